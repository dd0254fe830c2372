/*
 * The VGA's window at A0000h: write and read modes, chaining, planes and latches.
 *
 * Memory is kept as the CRT controller reads it: dword i holds the four planes' bytes at address i. Chained by four, the window is memory
 * as it lies; in odd/even mode (text) the even address 2i is plane 0 of dword i, the odd one plane 1 (or planes 2 and 3).
 *
 * A window of which every access would only move bytes (chained by four, no plane masked: mode 13h, VBE's banks) is mapped directly after
 * MAP_AFTER accesses; the count starts anew whenever it shows something else, for a change of the map costs the vCPU all its translations.
 * Invariant: the window is mapped to what it would read as, or not at all.
 */
#include <string.h>

#include "monitor/devices/vga_state.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define WINDOW	      0xa0000ull
#define WINDOW_SIZE   0x20000ull
#define WINDOW_DIRECT 0x10000ull
#define MAP_AFTER     65536
#define NOT_MEMORY    (~0u)

/* A bit for each plane, made into a byte for each. */
static const u32 planes[16] = {
	0x00000000, 0x000000ff, 0x0000ff00, 0x0000ffff, 0x00ff0000, 0x00ff00ff, 0x00ffff00, 0x00ffffff,
	0xff000000, 0xff0000ff, 0xff00ff00, 0xff00ffff, 0xffff0000, 0xffff00ff, 0xffffff00, 0xffffffff,
};

/* Where an offset into the window is in what the memory map select shows of memory, or NOT_MEMORY. */
static u32 window_address(const struct vga_regs *r, u32 offset)
{
	switch (r->gfx[GFX_MISC] >> 2 & 3) {
	case 0:
		return offset;
	case 1:
		return offset < 0x10000 ? offset + (vbe_on(r) ? (u32)r->vbe[VBE_BANK] << 16 : 0) : NOT_MEMORY;
	case 2:
		return offset >= 0x10000 && offset < 0x18000 ? offset - 0x10000 : NOT_MEMORY;
	default:
		return offset >= 0x18000 ? offset - 0x18000 : NOT_MEMORY;
	}
}

/* ---- direct mapping ---- */

/* What the window could be mapped to now, as an offset in the linear view. */
static u64 direct_target(const struct vga *g)
{
	const struct vga_regs *r = &g->r;
	u32 at = window_address(r, 0);

	if (!(r->seq[SEQ_MEMORY] & SEQ_CHAIN4) || r->seq[SEQ_MAP_MASK] != 0xf || at == NOT_MEMORY || at > VGA_MEMORY - WINDOW_DIRECT)
		return MEMORY_NOTHING;
	return g->offset + at;
}

static void map_window(struct vga *g, u64 target)
{
	if (g->mapped == target)
		return;
	g->mapped = target;
	memory_map_isa(g->vm, WINDOW, WINDOW_DIRECT, target, target);
}

void vga_memory_changed(struct vga *g)
{
	u64 target = direct_target(g);

	if (target == g->candidate)
		return;
	g->candidate = target;
	g->accesses = 0;
	map_window(g, MEMORY_NOTHING);
}

static void count_access(struct vga *g)
{
	if (g->candidate != MEMORY_NOTHING && ++g->accesses == MAP_AFTER)
		map_window(g, g->candidate);
}

/* ---- accesses ---- */

static u32 get32(const struct vga *g, u32 index)
{
	u32 x;

	memcpy(&x, g->memory + 4 * (u64)index, 4);
	return x;
}

static u8 *odd_even(struct vga *g, u32 at, unsigned *plane)
{
	*plane = (g->r.gfx[GFX_READ_PLANE] & 2) | (at & 1);
	return g->memory + 4 * (u64)(at >> 1 & vga_plane_mask(&g->r)) + *plane;
}

static u8 read_byte(struct vga *g, u32 at)
{
	struct vga_regs *r = &g->r;
	unsigned plane;
	u32 differs;

	if (r->seq[SEQ_MEMORY] & SEQ_CHAIN4)
		return g->memory[at & (VGA_MEMORY - 1)];
	if (r->gfx[GFX_MODE] & GFX_ODD_EVEN)
		return *odd_even(g, at, &plane);
	r->latch = get32(g, at & vga_plane_mask(r));
	if (!(r->gfx[GFX_MODE] & GFX_READ_COMPARE))
		return (u8)(r->latch >> 8 * r->gfx[GFX_READ_PLANE]);
	differs = (r->latch ^ planes[r->gfx[GFX_COMPARE]]) & planes[r->gfx[GFX_DONT_CARE]];
	differs |= differs >> 16;
	return (u8) ~(differs | differs >> 8);
}

static u8 rotate(u8 value, unsigned n)
{
	return (u8)(value >> n | value << (8 - n));
}

static void write_planes(struct vga *g, u32 index, u8 value)
{
	struct vga_regs *r = &g->r;
	u32 data, bits = r->gfx[GFX_BIT_MASK], enabled = planes[r->seq[SEQ_MAP_MASK]], old;
	u8 *p = g->memory + 4 * (u64)index;

	switch (r->gfx[GFX_MODE] & 3) {
	case 0:
		data = rotate(value, r->gfx[GFX_ROTATE] & 7) * 0x01010101u;
		data = (data & ~planes[r->gfx[GFX_SR_ENABLE]]) | (planes[r->gfx[GFX_SET_RESET]] & planes[r->gfx[GFX_SR_ENABLE]]);
		break;
	case 1:
		data = r->latch;
		goto store;
	case 2:
		data = planes[value & 15];
		break;
	default:
		data = planes[r->gfx[GFX_SET_RESET]];
		bits &= rotate(value, r->gfx[GFX_ROTATE] & 7);
		break;
	}
	switch (r->gfx[GFX_ROTATE] >> 3) {
	case 1:
		data &= r->latch;
		break;
	case 2:
		data |= r->latch;
		break;
	case 3:
		data ^= r->latch;
		break;
	}
	bits *= 0x01010101u;
	data = (data & bits) | (r->latch & ~bits);
store:
	memcpy(&old, p, 4);
	data = (old & ~enabled) | (data & enabled);
	memcpy(p, &data, 4);
}

static void write_byte(struct vga *g, u32 at, u8 value)
{
	struct vga_regs *r = &g->r;
	unsigned plane;
	u8 *p;

	if (r->seq[SEQ_MEMORY] & SEQ_CHAIN4) {
		if (r->seq[SEQ_MAP_MASK] & BIT(at & 3))
			g->memory[at & (VGA_MEMORY - 1)] = value;
	} else if (r->gfx[GFX_MODE] & GFX_ODD_EVEN) {
		p = odd_even(g, at, &plane);
		if (r->seq[SEQ_MAP_MASK] & BIT(plane))
			*p = value;
	} else {
		write_planes(g, at & vga_plane_mask(r), value);
	}
}

static u32 window_read(void *opaque, u64 offset, unsigned size)
{
	struct vga *g = opaque;
	u32 at = window_address(&g->r, (u32)offset), end = window_address(&g->r, (u32)offset + size - 1), value = 0;

	count_access(g);
	if (g->candidate != MEMORY_NOTHING && at < VGA_MEMORY - 3 && end - at == size - 1) {
		memcpy(&value, g->memory + at, size);
		return value;
	}
	for (unsigned i = 0; i < size; i++) {
		at = window_address(&g->r, (u32)offset + i);
		value |= (u32)(at == NOT_MEMORY ? 0xff : read_byte(g, at)) << 8 * i;
	}
	return value;
}

static void window_write(void *opaque, u64 offset, u32 value, unsigned size)
{
	struct vga *g = opaque;
	u32 at = window_address(&g->r, (u32)offset), end = window_address(&g->r, (u32)offset + size - 1);

	count_access(g);
	if (g->candidate != MEMORY_NOTHING && at < VGA_MEMORY - 3 && end - at == size - 1) {
		memcpy(g->memory + at, &value, size);
		return;
	}
	for (unsigned i = 0; i < size; i++) {
		at = window_address(&g->r, (u32)offset + i);
		if (at != NOT_MEMORY)
			write_byte(g, at, (u8)(value >> 8 * i));
	}
}

void vga_memory_register(struct vga *g)
{
	trace_mmio(g->vm, mmio_register(&g->vm->mem, &(struct mmio_range){WINDOW, WINDOW_SIZE, window_read, window_write, g}),
		   REGS_VGA_MEMORY);
}
