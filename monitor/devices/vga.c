/*
 * The VGA's registers (IBM Personal System/2 Video Subsystem reference; the names are its).
 *
 * Invariants: every register holds only bits that it has (the masks below), so whatever reads them need not look again. The retrace bits of
 * input status 1 follow from vm time and the CRT controller's timing; there is no timer. Video memory is guest memory: it is saved with RAM
 * (memory.h), not here.
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/vga_state.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PORT_CRTC_MONO	 0x3b4
#define PORT_STATUS_MONO 0x3ba
#define PORT_ATTR	 0x3c0
#define PORT_ATTR_READ	 0x3c1
#define PORT_MISC	 0x3c2 /* write; reads input status 0 */
#define PORT_ENABLE	 0x3c3
#define PORT_SEQ	 0x3c4
#define PORT_DAC_MASK	 0x3c6
#define PORT_DAC_READ	 0x3c7
#define PORT_DAC_WRITE	 0x3c8
#define PORT_DAC_DATA	 0x3c9
#define PORT_FEATURE	 0x3ca
#define PORT_MISC_READ	 0x3cc
#define PORT_GFX	 0x3ce
#define PORT_CRTC	 0x3d4
#define PORT_STATUS	 0x3da

#define SENSE		0x10 /* input status 0: a monitor is there */
#define STATUS_BLANK	0x01
#define STATUS_RETRACE	0x08
#define CRTC_PROTECT	0x80 /* in register 11h: 0 to 7 are read-only, but for: */
#define CRTC_OVERFLOW	7
#define CRTC_OVERFLOW_4 0x10

static const u8 seq_mask[VGA_SEQ_REGS] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0x00, 0x00, 0xff};
static const u8 gfx_mask[VGA_GFX_REGS] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
static const u8 attr_mask[VGA_ATTR_REGS] = {0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
					    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f};

/* Mode 3 with 400 lines. */
static const u8 text_seq[5] = {0x03, 0x00, 0x03, 0x00, 0x02};
static const u8 text_crtc[VGA_CRTC_REGS] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
					    0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
static const u8 text_gfx[VGA_GFX_REGS] = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff};
static const u8 text_attr[VGA_ATTR_REGS] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3a,
					    0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08, 0x00};

/* ---- input status 1 ---- */

static u32 crtc_vertical(const u8 *c, unsigned low, u8 bit8, u8 bit9)
{
	return c[low] | (c[CRTC_OVERFLOW] & bit8 ? 0x100 : 0) | (c[CRTC_OVERFLOW] & bit9 ? 0x200 : 0);
}

static u8 retrace_status(const struct vga *g)
{
	const u8 *c = g->r.crtc;
	u64 hz = (g->r.misc >> 2 & 3) == 1 ? 28322000 : 25175000;
	u32 dots = g->r.seq[SEQ_CLOCKING] & SEQ_DOTS8 ? 8 : 9;
	u32 width = (c[0] + 5u) * dots << (g->r.seq[SEQ_CLOCKING] & SEQ_HALF_CLOCK ? 1 : 0);
	u32 lines = crtc_vertical(c, 6, 0x01, 0x20) + 2, shown = crtc_vertical(c, 0x12, 0x02, 0x40) + 1;
	u32 start = crtc_vertical(c, 0x10, 0x04, 0x80), length = (c[0x11] - start) & 15;
	u64 dot = muldiv64(clock_ns(&g->vm->clock), hz, NS_PER_SEC) % ((u64)width * lines);
	u32 line = (u32)(dot / width), column = (u32)(dot % width);
	u8 status = 0;

	if (line >= shown || column >= (c[1] + 1u) * dots << (g->r.seq[SEQ_CLOCKING] & SEQ_HALF_CLOCK ? 1 : 0))
		status |= STATUS_BLANK;
	/* A CRT controller that nobody has programmed still has a retrace, lest its guest wait for ever: the last line. */
	if (start >= lines || length == 0)
		start = lines - 1, length = 1;
	if (line >= start && line < start + length)
		status |= STATUS_RETRACE | STATUS_BLANK;
	return status;
}

/* ---- ports ---- */

static void crtc_write(struct vga_regs *r, u8 value)
{
	u8 i = r->crtc_index;

	if (i >= VGA_CRTC_REGS)
		return;
	if (i <= 7 && (r->crtc[0x11] & CRTC_PROTECT)) {
		if (i == CRTC_OVERFLOW)
			r->crtc[i] = (r->crtc[i] & ~CRTC_OVERFLOW_4) | (value & CRTC_OVERFLOW_4);
		return;
	}
	r->crtc[i] = value;
}

static void attr_write(struct vga_regs *r, u8 value)
{
	u8 i = r->attr_index & 0x1f;

	if (!r->attr_data)
		r->attr_index = value & 0x3f;
	else if (i < VGA_ATTR_REGS)
		r->attr[i] = value & attr_mask[i];
	r->attr_data = !r->attr_data;
}

static void dac_write(struct vga_regs *r, u8 value)
{
	u8 mask = (r->vbe[VBE_ENABLE] & VBE_8BIT_DAC) ? 0xff : 0x3f;

	if (r->dac_part < 2) {
		r->dac_latch[r->dac_part++] = value & mask;
		return;
	}
	r->dac[3 * r->dac_write] = r->dac_latch[0];
	r->dac[3 * r->dac_write + 1] = r->dac_latch[1];
	r->dac[3 * r->dac_write + 2] = value & mask;
	r->dac_write++;
	r->dac_part = 0;
}

static u8 dac_read(struct vga_regs *r)
{
	u8 value = r->dac[3 * r->dac_read + r->dac_part];

	if (++r->dac_part == 3) {
		r->dac_part = 0;
		r->dac_read++;
	}
	return value;
}

/* The CRT controller and status ports are where the miscellaneous output register puts them: 3Bxh or 3Dxh. */
static bool elsewhere(const struct vga *g, u16 port)
{
	bool mono = (port & ~0xfu) == 0x3b0, color = (port & ~0xfu) == 0x3d0;

	return (mono && (g->r.misc & MISC_COLOR)) || (color && !(g->r.misc & MISC_COLOR));
}

void vga_port_write(void *opaque, u16 port, u32 value32, unsigned size)
{
	struct vga *g = opaque;
	struct vga_regs *r = &g->r;
	u8 value = (u8)value32;

	(void)size;
	if (elsewhere(g, port))
		return;
	switch (port) {
	case PORT_ATTR:
		attr_write(r, value);
		return;
	case PORT_MISC:
		r->misc = value & ~0x10;
		return;
	case PORT_ENABLE:
		r->enable = value & 1;
		return;
	case PORT_SEQ:
		r->seq_index = value & 7;
		return;
	case PORT_SEQ + 1:
		r->seq[r->seq_index] = value & seq_mask[r->seq_index];
		vga_memory_changed(g);
		return;
	case PORT_DAC_MASK:
		r->dac_mask = value;
		return;
	case PORT_DAC_READ:
		r->dac_read = value;
		r->dac_part = 0;
		r->dac_reading = true;
		return;
	case PORT_DAC_WRITE:
		r->dac_write = value;
		r->dac_part = 0;
		r->dac_reading = false;
		return;
	case PORT_DAC_DATA:
		dac_write(r, value);
		return;
	case PORT_GFX:
		r->gfx_index = value & 0xf;
		return;
	case PORT_GFX + 1:
		if (r->gfx_index < VGA_GFX_REGS)
			r->gfx[r->gfx_index] = value & gfx_mask[r->gfx_index];
		vga_memory_changed(g);
		return;
	case PORT_CRTC_MONO:
	case PORT_CRTC:
		r->crtc_index = value;
		return;
	case PORT_CRTC_MONO + 1:
	case PORT_CRTC + 1:
		crtc_write(r, value);
		return;
	case PORT_STATUS_MONO:
	case PORT_STATUS:
		r->feature = value & 0x10;
		return;
	}
}

u32 vga_port_read(void *opaque, u16 port, unsigned size)
{
	struct vga *g = opaque;
	struct vga_regs *r = &g->r;

	(void)size;
	if (elsewhere(g, port))
		return 0xff;
	switch (port) {
	case PORT_ATTR:
		return r->attr_data ? 0 : r->attr_index;
	case PORT_ATTR_READ:
		return (r->attr_index & 0x1f) < VGA_ATTR_REGS ? r->attr[r->attr_index & 0x1f] : 0;
	case PORT_MISC:
		return SENSE;
	case PORT_ENABLE:
		return r->enable;
	case PORT_SEQ:
		return r->seq_index;
	case PORT_SEQ + 1:
		return r->seq[r->seq_index];
	case PORT_DAC_MASK:
		return r->dac_mask;
	case PORT_DAC_READ:
		return r->dac_reading ? 3 : 0;
	case PORT_DAC_WRITE:
		return r->dac_write;
	case PORT_DAC_DATA:
		return dac_read(r);
	case PORT_FEATURE:
		return r->feature;
	case PORT_MISC_READ:
		return r->misc;
	case PORT_GFX:
		return r->gfx_index;
	case PORT_GFX + 1:
		return r->gfx_index < VGA_GFX_REGS ? r->gfx[r->gfx_index] : 0;
	case PORT_CRTC_MONO:
	case PORT_CRTC:
		return r->crtc_index;
	case PORT_CRTC_MONO + 1:
	case PORT_CRTC + 1:
		return r->crtc_index < VGA_CRTC_REGS ? r->crtc[r->crtc_index] : 0;
	case PORT_STATUS_MONO:
	case PORT_STATUS:
		r->attr_data = false;
		return retrace_status(g);
	}
	return 0xff;
}

/* ---- text mode as a BIOS sets it ---- */

void vga_set_text_mode(struct vga *g)
{
	struct vga_regs *r = &g->r;

	vbe_reset(g);
	memcpy(r->seq, text_seq, sizeof(text_seq));
	memcpy(r->crtc, text_crtc, sizeof(text_crtc));
	memcpy(r->gfx, text_gfx, sizeof(text_gfx));
	memcpy(r->attr, text_attr, sizeof(text_attr));
	r->attr_index = ATTR_ON;
	r->attr_data = false;
	r->misc = 0x67;
	r->enable = 1;
	r->dac_mask = 0xff;
	/* The EGA's 64 colours: a bit of two thirds and one of a third for each primary. */
	memset(r->dac, 0, sizeof(r->dac));
	for (unsigned i = 0; i < 64; i++)
		for (unsigned primary = 0; primary < 3; primary++)
			r->dac[3 * i + primary] = (i >> (2 - primary) & 1 ? 0x2a : 0) + (i >> (5 - primary) & 1 ? 0x15 : 0);
	vga_memory_changed(g);

	for (u32 i = 0; i < 0x10000; i++)
		memcpy(g->memory + 4 * i, i < 0x4000 ? (const u8[]){' ', 0x07, 0, 0} : (const u8[4]){0}, 4);
	for (u32 c = 0; g->font && c < 256; c++)
		for (u32 line = 0; line < 16; line++)
			g->memory[4 * (c * 32 + line) + 2] = g->font[c * 16 + line];
}

void vga_snapshot(const struct vga *g, struct vga_view *v)
{
	v->r = g->r;
	v->memory = g->memory;
	v->now = clock_ns(&g->vm->clock);
}

/* ---- life ---- */

static void vga_reset(void *opaque)
{
	struct vga *g = opaque;

	memset(&g->r, 0, sizeof(g->r));
	g->r.dac_mask = 0xff;
	vbe_reset(g);
	vga_memory_changed(g);
}

static void vga_save(void *opaque, struct state *s)
{
	const struct vga_regs *r = &((struct vga *)opaque)->r;

	state_put_u8(s, r->seq_index);
	state_put(s, r->seq, sizeof(r->seq));
	state_put_u8(s, r->gfx_index);
	state_put(s, r->gfx, sizeof(r->gfx));
	state_put_u8(s, r->crtc_index);
	state_put(s, r->crtc, sizeof(r->crtc));
	state_put_u8(s, r->attr_index);
	state_put(s, r->attr, sizeof(r->attr));
	state_put_u8(s, r->attr_data);
	state_put_u8(s, r->misc);
	state_put_u8(s, r->feature);
	state_put_u8(s, r->enable);
	state_put_u8(s, r->dac_mask);
	state_put_u8(s, r->dac_read);
	state_put_u8(s, r->dac_write);
	state_put_u8(s, r->dac_part);
	state_put_u8(s, r->dac_reading);
	state_put(s, r->dac_latch, sizeof(r->dac_latch));
	state_put(s, r->dac, sizeof(r->dac));
	state_put_u32(s, r->latch);
	state_put_u16(s, r->vbe_index);
	for (unsigned i = 0; i < VGA_VBE_REGS; i++)
		state_put_u16(s, r->vbe[i]);
}

static void get_masked(struct state *s, u8 *regs, const u8 *mask, unsigned n)
{
	state_get(s, regs, n);
	for (unsigned i = 0; i < n; i++)
		if (regs[i] & ~mask[i])
			s->error = true;
}

static void vga_load(void *opaque, struct state *s)
{
	struct vga *g = opaque;
	struct vga_regs n = {0};

	n.seq_index = state_get_u8_max(s, VGA_SEQ_REGS - 1);
	get_masked(s, n.seq, seq_mask, VGA_SEQ_REGS);
	n.gfx_index = state_get_u8_max(s, 15);
	get_masked(s, n.gfx, gfx_mask, VGA_GFX_REGS);
	n.crtc_index = state_get_u8(s);
	state_get(s, n.crtc, sizeof(n.crtc));
	n.attr_index = state_get_u8_max(s, 0x3f);
	get_masked(s, n.attr, attr_mask, VGA_ATTR_REGS);
	n.attr_data = state_get_bool(s);
	n.misc = state_get_u8(s);
	n.feature = state_get_u8(s);
	n.enable = state_get_u8_max(s, 1);
	n.dac_mask = state_get_u8(s);
	n.dac_read = state_get_u8(s);
	n.dac_write = state_get_u8(s);
	n.dac_part = state_get_u8_max(s, 2);
	n.dac_reading = state_get_bool(s);
	state_get(s, n.dac_latch, sizeof(n.dac_latch));
	state_get(s, n.dac, sizeof(n.dac));
	n.latch = state_get_u32(s);
	n.vbe_index = state_get_u16(s);
	for (unsigned i = 0; i < VGA_VBE_REGS; i++)
		n.vbe[i] = state_get_u16(s);
	if ((n.misc & 0x10) || (n.feature & ~0x10) || !vbe_valid(&n))
		s->error = true;
	if (s->error)
		return;
	g->r = n;
	vga_memory_changed(g);
}

static void vga_free(void *opaque)
{
	struct vga *g = opaque;

	g->vm->vga = NULL;
	free(g->rom);
	free(g);
}

struct vga *vga_create(struct vm *vm)
{
	static const struct {
		u16 first, last;
	} ports[] = {{PORT_CRTC_MONO, PORT_CRTC_MONO + 1},
		     {PORT_STATUS_MONO, PORT_STATUS_MONO},
		     {PORT_ATTR, PORT_GFX + 1},
		     {PORT_CRTC, PORT_CRTC + 1},
		     {PORT_STATUS, PORT_STATUS}};
	struct vga *g = calloc(1, sizeof(*g));

	if (!g)
		fatal("out of memory");
	g->vm = vm;
	g->offset = memory_alloc(&vm->mem, VGA_MEMORY);
	g->memory = vm->mem.ram + g->offset;
	g->mapped = g->candidate = MEMORY_NOTHING;
	vga_rom_open(g);
	vga_reset(g);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		trace_ports(vm, io_register(vm, &(struct port_range){ports[i].first, ports[i].last, 1, vga_port_read, vga_port_write, g}),
			    REGS_VGA);
	vbe_register(g);
	vga_memory_register(g);
	device_register(vm, &(struct device){"vga", 1, g, vga_reset, vga_save, vga_load, vga_free});
	return g;
}
