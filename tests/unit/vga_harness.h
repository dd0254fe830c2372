/*
 * What the tests of the VGA share: a machine with one in mode 3, its ports by name, and pictures of its screen.
 */
#ifndef RINGER_VGA_HARNESS_H
#define RINGER_VGA_HARNESS_H

#include "monitor/devices/vga_state.h"
#include "tests/unit/device_harness.h"

static struct rig *rig;
static struct vga *vga;
static struct vga_view view;
static struct frame frame;

static inline void setup(void)
{
	rig = rig_create();
	rig_lock(rig);
	vga = rig->vm->vga = vga_create(rig->vm);
	vga_set_text_mode(vga);
	rig_unlock(rig);
}

static inline void teardown(void)
{
	free(frame.pixels);
	frame = (struct frame){0};
	rig_free(rig);
}

static inline void set(u16 port, u8 index, u8 value)
{
	io_write(rig->vm, port, index | value << 8, 2);
}

static inline u8 get(u16 port, u8 index)
{
	out8(rig, port, index);
	return in8(rig, port + 1);
}

static inline void seq(u8 index, u8 value)
{
	set(0x3c4, index, value);
}

static inline void gfx(u8 index, u8 value)
{
	set(0x3ce, index, value);
}

static inline void crtc(u8 index, u8 value)
{
	set(0x3d4, index, value);
}

static inline void attr(u8 index, u8 value)
{
	in8(rig, 0x3da);
	out8(rig, 0x3c0, index);
	out8(rig, 0x3c0, value);
	out8(rig, 0x3c0, 0x20);
}

static inline void vbe(u16 index, u16 value)
{
	io_write(rig->vm, 0x1ce, index, 2);
	io_write(rig->vm, 0x1cf, value, 2);
}

static inline u16 vbe_get(u16 index)
{
	io_write(rig->vm, 0x1ce, index, 2);
	return (u16)io_read(rig->vm, 0x1cf, 2);
}

static inline void set_dac(u8 index, u8 r, u8 g, u8 b)
{
	out8(rig, 0x3c8, index);
	out8(rig, 0x3c9, r);
	out8(rig, 0x3c9, g);
	out8(rig, 0x3c9, b);
}

static inline void write8(u32 pa, u8 value)
{
	mmio_write(rig->vm, pa, value, 1);
}

static inline u8 read8(u32 pa)
{
	return (u8)mmio_read(rig->vm, pa, 1);
}

static inline void draw(void)
{
	rig_lock(rig);
	vga_snapshot(vga, &view);
	rig_unlock(rig);
	ck_assert(vga_draw(&view, &frame));
}

static inline u32 pixel(u32 x, u32 y)
{
	ck_assert(x < frame.width && y < frame.height);
	return frame.pixels[(size_t)y * frame.width + x];
}

static inline void vbe_mode(u16 x, u16 y, u16 bpp)
{
	vbe(VBE_ENABLE, 0);
	vbe(VBE_XRES, x);
	vbe(VBE_YRES, y);
	vbe(VBE_BPP, bpp);
	vbe(VBE_ENABLE, VBE_ENABLED | VBE_LFB);
}

#endif
