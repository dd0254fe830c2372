/*
 * Bochs's VBE extensions (the "DISPI" interface, version B0C5h): an index at port 1CEh, 16-bit data at 1CFh (or 1D0h).
 *
 * Invariants: while VBE_ENABLED is set, the mode is one that memory can hold: depth known, 1 <= xres <= virtual width, and all lines from
 * y_offset to its bottom within VGA_MEMORY, but for what the x offset moves beyond the end, where memory goes round.
 */
#include <string.h>

#include "monitor/devices/vga_state.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PORT_INDEX  0x1ce
#define PORT_DATA   0x1cf
#define PORT_DATA_2 0x1d0
#define ID_FIRST    0xb0c0
#define ID_LAST	    0xb0c5
#define MAX_XRES    2560
#define MAX_YRES    1600
#define MAX_BPP	    32
#define MAX_VIRTUAL 8192 /* pixels */

u16 vbe_read(const struct vga *g, unsigned index)
{
	const struct vga_regs *r = &g->r;
	bool caps = r->vbe[VBE_ENABLE] & VBE_GETCAPS;

	if (index >= VGA_VBE_REGS)
		return 0;
	if (caps && index == VBE_XRES)
		return MAX_XRES;
	if (caps && index == VBE_YRES)
		return MAX_YRES;
	if (caps && index == VBE_BPP)
		return MAX_BPP;
	return r->vbe[index];
}

static bool known_depth(u16 bpp)
{
	return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

/* Makes geometry what memory can hold. */
static void fix_geometry(struct vga_regs *r)
{
	u16 *v = r->vbe;
	u32 lines;

	if (!known_depth(v[VBE_BPP]))
		v[VBE_BPP] = 8;
	v[VBE_XRES] = MIN(MAX(v[VBE_XRES] & ~7, 8), MAX_XRES);
	v[VBE_YRES] = MIN(MAX(v[VBE_YRES], 1), MAX_YRES);
	v[VBE_VIRT_WIDTH] = MIN(MAX(v[VBE_VIRT_WIDTH] & ~7, v[VBE_XRES]), MAX_VIRTUAL);
	lines = VGA_MEMORY / vbe_pitch(r);
	if (lines < v[VBE_YRES]) {
		v[VBE_VIRT_WIDTH] = v[VBE_XRES];
		lines = VGA_MEMORY / vbe_pitch(r);
	}
	v[VBE_VIRT_HEIGHT] = (u16)MIN(lines, 0xffffu);
	v[VBE_X_OFFSET] = MIN(v[VBE_X_OFFSET], v[VBE_VIRT_WIDTH] - v[VBE_XRES]);
	v[VBE_Y_OFFSET] = MIN(v[VBE_Y_OFFSET], v[VBE_VIRT_HEIGHT] - v[VBE_YRES]);
}

bool vbe_valid(const struct vga_regs *r)
{
	struct vga_regs fixed = *r;

	if (r->vbe[VBE_ID] < ID_FIRST || r->vbe[VBE_ID] > ID_LAST || r->vbe[VBE_MEMORY_64K] != VGA_MEMORY >> 16 ||
	    r->vbe[VBE_BANK] >= VGA_MEMORY >> 16)
		return false;
	if (!vbe_on(r))
		return true;
	fix_geometry(&fixed);
	return memcmp(fixed.vbe, r->vbe, sizeof(r->vbe)) == 0;
}

/* A mode begins: what the VGA's own registers must say for the window to show it. */
static void enable(struct vga *g, bool clear)
{
	struct vga_regs *r = &g->r;

	r->vbe[VBE_VIRT_WIDTH] = r->vbe[VBE_XRES];
	r->vbe[VBE_X_OFFSET] = r->vbe[VBE_Y_OFFSET] = 0;
	fix_geometry(r);
	if (clear)
		memset(g->memory, 0, vbe_pitch(r) * (size_t)r->vbe[VBE_YRES]);
	r->gfx[GFX_MISC] = (r->gfx[GFX_MISC] & ~0x0e) | 0x04 | GFX_GRAPHICS;
	r->gfx[GFX_MODE] &= ~(GFX_ODD_EVEN | 0x60);
	r->seq[SEQ_MAP_MASK] = 0xf;
	if (r->vbe[VBE_BPP] == 4) {
		r->seq[SEQ_MEMORY] &= ~SEQ_CHAIN4;
	} else {
		r->seq[SEQ_MEMORY] |= SEQ_CHAIN4;
		r->gfx[GFX_MODE] |= 0x40;
	}
}

static void set_dac_width(struct vga_regs *r, bool eight)
{
	bool was = r->vbe[VBE_ENABLE] & VBE_8BIT_DAC;

	for (size_t i = 0; was != eight && i < sizeof(r->dac); i++)
		r->dac[i] = eight ? (u8)(r->dac[i] << 2 | r->dac[i] >> 4) : r->dac[i] >> 2;
}

void vbe_write(struct vga *g, unsigned index, u16 value)
{
	struct vga_regs *r = &g->r;
	bool was_on = vbe_on(r);

	switch (index) {
	case VBE_ID:
		if (value >= ID_FIRST && value <= ID_LAST)
			r->vbe[VBE_ID] = value;
		return;
	case VBE_XRES:
	case VBE_YRES:
	case VBE_BPP:
		/* Changing the mode under way is undefined; it is refused. */
		if (!was_on)
			r->vbe[index] = value;
		return;
	case VBE_VIRT_WIDTH:
	case VBE_X_OFFSET:
	case VBE_Y_OFFSET:
		r->vbe[index] = value;
		if (was_on)
			fix_geometry(r);
		return;
	case VBE_BANK:
		r->vbe[VBE_BANK] = value & ((VGA_MEMORY >> 16) - 1);
		break;
	case VBE_ENABLE:
		set_dac_width(r, value & VBE_8BIT_DAC);
		r->vbe[VBE_ENABLE] = value & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NO_CLEAR);
		if (!was_on && (value & VBE_ENABLED))
			enable(g, !(value & VBE_NO_CLEAR));
		if (!(value & VBE_ENABLED))
			r->vbe[VBE_BANK] = 0;
		break;
	default:
		return;
	}
	vga_memory_changed(g);
}

void vbe_reset(struct vga *g)
{
	struct vga_regs *r = &g->r;

	set_dac_width(r, false);
	memset(r->vbe, 0, sizeof(r->vbe));
	r->vbe_index = 0;
	r->vbe[VBE_ID] = ID_LAST;
	r->vbe[VBE_MEMORY_64K] = VGA_MEMORY >> 16;
}

u32 vga_set_linear_mode(struct vga *g, u16 width, u16 height, u16 depth, u64 *base)
{
	*base = vga_frame_buffer(g);
	if (*base > 0xffffffff)
		return 0;
	vbe_write(g, VBE_ENABLE, 0);
	vbe_write(g, VBE_XRES, width);
	vbe_write(g, VBE_YRES, height);
	vbe_write(g, VBE_BPP, depth);
	vbe_write(g, VBE_ENABLE, VBE_ENABLED | VBE_LFB);
	return vbe_pitch(&g->r);
}

static u32 port_read(void *opaque, u16 port, unsigned size)
{
	struct vga *g = opaque;

	(void)size;
	return port == PORT_INDEX ? g->r.vbe_index : vbe_read(g, g->r.vbe_index);
}

static void port_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct vga *g = opaque;

	(void)size;
	if (port == PORT_INDEX)
		g->r.vbe_index = (u16)value;
	else if (port == PORT_DATA || port == PORT_DATA_2)
		vbe_write(g, g->r.vbe_index, (u16)value);
}

void vbe_register(struct vga *g)
{
	trace_ports(g->vm, io_register(g->vm, &(struct port_range){PORT_INDEX, PORT_DATA_2 + 1, 2, port_read, port_write, g}), REGS_VGA);
}
