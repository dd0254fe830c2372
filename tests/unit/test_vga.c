/*
 * The VGA: registers, the window's write and read modes against a model that works bit by bit, VBE's registers, the PCI function, retrace
 * by time, saved state. What it shows is test_vga_draw.c's.
 */
#include <check.h>

#include "monitor/devices/pci.h"
#include "monitor/devices/sysctl.h"
#include "tests/unit/vga_harness.h"

/* ---- registers ---- */

START_TEST(registers)
{
	seq(2, 0xff);
	ck_assert_int_eq(get(0x3c4, 2), 0x0f);
	seq(4, 0xff);
	ck_assert_int_eq(get(0x3c4, 4), 0x0e);
	gfx(5, 0xff);
	ck_assert_int_eq(get(0x3ce, 5), 0x7b);
	gfx(8, 0x5a);
	ck_assert_int_eq(get(0x3ce, 8), 0x5a);
	ck_assert_int_eq(get(0x3ce, 9), 0);
	/* Register 11h of mode 3 protects 0 to 7, but for bit 4 of register 7. */
	crtc(0, 0x11);
	ck_assert_int_eq(get(0x3d4, 0), 0x5f);
	crtc(7, 0x00);
	ck_assert_int_eq(get(0x3d4, 7), 0x0f);
	crtc(0x11, 0x0e);
	crtc(0, 0x11);
	ck_assert_int_eq(get(0x3d4, 0), 0x11);
	crtc(0x0e, 0x12);
	ck_assert_int_eq(get(0x3d4, 0x0e), 0x12);
	/* The other address of the CRT controller is nobody's. */
	ck_assert_int_eq(in8(rig, 0x3b5), 0xff);
	out8(rig, 0x3c2, 0x66);
	ck_assert_int_eq(in8(rig, 0x3d5), 0xff);
	ck_assert_int_eq(get(0x3b4, 0x0e), 0x12);
	out8(rig, 0x3c2, 0x67);
	ck_assert_int_eq(in8(rig, 0x3cc), 0x67);
}
END_TEST

START_TEST(attribute_flip_flop)
{
	in8(rig, 0x3da);
	out8(rig, 0x3c0, 0x05);
	out8(rig, 0x3c0, 0x2a);
	out8(rig, 0x3c0, 0x06);
	in8(rig, 0x3da); /* an index is next again */
	out8(rig, 0x3c0, 0x05);
	ck_assert_int_eq(in8(rig, 0x3c1), 0x2a);
	out8(rig, 0x3c0, 0xff);
	ck_assert_int_eq(in8(rig, 0x3c1), 0x3f);
	ck_assert_int_eq(in8(rig, 0x3c0), 0x05);
	ck_assert_int_eq(vga->r.attr[6], 0x14);
}
END_TEST

START_TEST(dac)
{
	set_dac(7, 0x11, 0xff, 0x33);
	out8(rig, 0x3c9, 0x01); /* the index has moved on */
	out8(rig, 0x3c9, 0x02);
	out8(rig, 0x3c9, 0x03);
	ck_assert_int_eq(in8(rig, 0x3c7), 0);
	out8(rig, 0x3c7, 7);
	ck_assert_int_eq(in8(rig, 0x3c7), 3);
	ck_assert_int_eq(in8(rig, 0x3c9), 0x11);
	ck_assert_int_eq(in8(rig, 0x3c9), 0x3f);
	ck_assert_int_eq(in8(rig, 0x3c9), 0x33);
	ck_assert_int_eq(in8(rig, 0x3c9), 0x01);
	/* The last entry is followed by the first. */
	set_dac(255, 1, 2, 3);
	out8(rig, 0x3c9, 9);
	out8(rig, 0x3c9, 8);
	out8(rig, 0x3c9, 7);
	ck_assert_int_eq(vga->r.dac[0], 9);
}
END_TEST

START_TEST(retrace)
{
	unsigned frames = 0, blanks = 0, n = 0;
	bool was = true;

	/* 720x400 at 28.3 MHz is 70 Hz: in a tenth of a second 7 retraces, of 2 lines each. */
	for (u64 ns = 0; ns < 100 * MS; ns += 20 * US, n++) {
		u8 status;

		rig_lock(rig);
		rig->vm->clock.offset_ns += 20 * (s64)US;
		rig_unlock(rig);
		status = in8(rig, 0x3da);
		frames += (status & 8) && !was;
		was = status & 8;
		blanks += status & 1;
		ck_assert(!(status & 8) || (status & 1));
	}
	ck_assert_uint_ge(frames, 6);
	ck_assert_uint_le(frames, 8);
	ck_assert_uint_ge(blanks, n / 5);
	ck_assert_uint_le(blanks, n / 2);
}
END_TEST

/* Mode 3 as a BIOS leaves it (IBM's table), register by register. */
START_TEST(text_mode_registers)
{
	static const u8 crt[25] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
				   0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};
	static const u8 attributes[21] = {0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0, 0x0f, 8, 0};
	static const u8 graphics[9] = {0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff}, sequencer[5] = {3, 0, 3, 0, 2};

	for (u8 i = 0; i < 25; i++)
		ck_assert_int_eq(get(0x3d4, i), crt[i]);
	for (u8 i = 0; i < 9; i++)
		ck_assert_int_eq(get(0x3ce, i), graphics[i]);
	for (u8 i = 0; i < 5; i++)
		ck_assert_int_eq(get(0x3c4, i), sequencer[i]);
	for (u8 i = 0; i < 21; i++) {
		in8(rig, 0x3da);
		out8(rig, 0x3c0, i);
		ck_assert_int_eq(in8(rig, 0x3c1), attributes[i]);
		out8(rig, 0x3c0, attributes[i]);
	}
	/* Beyond the last register is nothing. */
	out8(rig, 0x3d4, 0xff);
	for (u8 i = 9; i < 16; i++)
		ck_assert_int_eq(get(0x3ce, i), 0);
	ck_assert_int_eq(get(0x3d4, 25), 0);
	for (u8 enable = 0; enable < 4; enable++) {
		out8(rig, 0x3c3, enable);
		ck_assert_int_eq(in8(rig, 0x3c3), enable & 1);
	}
}
END_TEST

/* The share of a frame that is blanked, and that is retrace: 720 of 900 dots in 400 of 449 lines, and 2 lines; doubled dots change nothing.
 */
START_TEST(retrace_shares)
{
	for (unsigned clocking = 0; clocking < 16; clocking += 8) {
		unsigned shown = 0, retrace = 0, n = 0;

		seq(1, (u8)clocking);
		for (u64 ns = 0; ns < (clocking ? 28540 : 14270) * US; ns += US, n++) {
			u8 status;

			rig_lock(rig);
			rig->vm->clock.offset_ns += (s64)US;
			rig_unlock(rig);
			status = in8(rig, 0x3da);
			shown += !(status & 1);
			retrace += (status & 8) != 0;
		}
		ck_assert_uint_ge(shown * 1000ull / n, 710);
		ck_assert_uint_le(shown * 1000ull / n, 716);
		ck_assert_uint_ge(retrace * 100000ull / n, 430);
		ck_assert_uint_le(retrace * 100000ull / n, 460);
	}
}
END_TEST

/* ---- the window ---- */

/* The data path of the graphics controller as its reference draws it, a bit at a time. */
static struct {
	u8 mem[4][256], latch[4];
	u8 sr, esr, compare, rotate, function, read_plane, mode, care, mask, planes;
} model;

static u8 ror(u8 x, unsigned n)
{
	return (u8)((x >> n) | (x << (8 - n)));
}

static void model_write(u8 at, u8 value)
{
	u8 rotated = ror(value, model.rotate);

	for (unsigned p = 0; p < 4; p++) {
		u8 result = 0;

		for (unsigned bit = 0; bit < 8; bit++) {
			bool latch = model.latch[p] >> bit & 1, data, open = model.mask >> bit & 1;

			switch (model.mode) {
			case 0:
				data = model.esr >> p & 1 ? model.sr >> p & 1 : rotated >> bit & 1;
				break;
			case 1:
				data = latch;
				break;
			case 2:
				data = value >> p & 1;
				break;
			default:
				data = model.sr >> p & 1;
				open = open && (rotated >> bit & 1);
			}
			if (model.mode != 1) {
				if (model.function == 1)
					data = data && latch;
				else if (model.function == 2)
					data = data || latch;
				else if (model.function == 3)
					data = data != latch;
				if (!open)
					data = latch;
			}
			result |= (u8)(data << bit);
		}
		if (model.planes >> p & 1)
			model.mem[p][at] = result;
	}
}

static u8 model_read(u8 at, bool by_color)
{
	u8 result = 0;

	for (unsigned p = 0; p < 4; p++)
		model.latch[p] = model.mem[p][at];
	if (!by_color)
		return model.latch[model.read_plane];
	for (unsigned bit = 0; bit < 8; bit++) {
		bool same = true;

		for (unsigned p = 0; p < 4; p++)
			if ((model.care >> p & 1) && (model.latch[p] >> bit & 1) != (model.compare >> p & 1))
				same = false;
		result |= (u8)(same << bit);
	}
	return result;
}

START_TEST(planar_modes)
{
	u64 mask = vga_plane_mask(&vga->r);

	memset(&model, 0, sizeof(model));
	memset(vga->memory, 0, VGA_MEMORY);
	vga->r.latch = 0;
	seq(4, 0x06);
	gfx(6, 0x05);
	srandom(3);
	for (int i = 0; i < 100000; i++) {
		u8 at = (u8)random(), value = (u8)random();

		if (i % 8 == 0) {
			bool by_color = random() & 1;

			model.sr = random() & 15;
			model.esr = random() & 15;
			model.compare = random() & 15;
			model.rotate = random() & 7;
			model.function = random() & 3;
			model.read_plane = random() & 3;
			model.mode = random() & 3;
			model.care = random() & 15;
			model.mask = random() & 1 ? 0xff : (u8)random();
			model.planes = random() & 15;
			seq(2, model.planes);
			gfx(0, model.sr);
			gfx(1, model.esr);
			gfx(2, model.compare);
			gfx(3, model.rotate | model.function << 3);
			gfx(4, model.read_plane);
			gfx(5, model.mode | (by_color ? 8 : 0));
			gfx(7, model.care);
			gfx(8, model.mask);
		}
		if (random() & 1) {
			write8(0xa0000 + at, value);
			model_write(at, value);
		} else {
			ck_assert_int_eq(read8(0xa0000 + at), model_read(at, vga->r.gfx[5] & 8));
		}
	}
	for (unsigned at = 0; at < 256; at++)
		for (unsigned p = 0; p < 4; p++)
			ck_assert_int_eq(vga->memory[4 * at + p], model.mem[p][at]);
	ck_assert_uint_eq(mask, 0xffff);
}
END_TEST

START_TEST(wide_accesses)
{
	/* As four of a byte each, in planar modes and chained; the latches are those of the last. */
	seq(4, 0x06);
	seq(2, 0x0f);
	gfx(5, 0);
	gfx(6, 0x05);
	mmio_write(rig->vm, 0xa0010, 0x44332211, 4);
	ck_assert_int_eq(read8(0xa0010), 0x11);
	ck_assert_int_eq(read8(0xa0013), 0x44);
	ck_assert_uint_eq(mmio_read(rig->vm, 0xa0010, 4), 0x44332211);
	ck_assert_uint_eq(vga->r.latch, 0x44444444);
	ck_assert_uint_eq(mmio_read(rig->vm, 0xa0011, 2), 0x3322);
	seq(4, 0x0e);
	mmio_write(rig->vm, 0xa0020, 0x88776655, 4);
	ck_assert_mem_eq(vga->memory + 0x20, "\x55\x66\x77\x88", 4);
	seq(2, 0x05); /* planes 0 and 2: addresses 0 and 2 modulo 4 */
	mmio_write(rig->vm, 0xa0020, 0x04030201, 4);
	ck_assert_mem_eq(vga->memory + 0x20, "\x01\x66\x03\x88", 4);
}
END_TEST

START_TEST(memory_map_select)
{
	static const struct {
		u8 select;
		u32 first, size;
	} maps[] = {{0, 0xa0000, 0x20000}, {1, 0xa0000, 0x10000}, {2, 0xb0000, 0x8000}, {3, 0xb8000, 0x8000}};

	seq(4, 0x0e);
	seq(2, 0x0f);
	for (unsigned i = 0; i < 4; i++) {
		gfx(6, (u8)(maps[i].select << 2 | 1));
		for (u32 pa = 0xa0000; pa < 0xc0000; pa += 0x800) {
			bool in = pa >= maps[i].first && pa < maps[i].first + maps[i].size;

			vga->memory[in ? pa - maps[i].first : 0] = 0x5a;
			ck_assert_int_eq(read8(pa), in ? 0x5a : 0xff);
			write8(pa, 0x77);
			ck_assert_int_eq(read8(pa), in ? 0x77 : 0xff);
		}
	}
}
END_TEST

START_TEST(odd_even_text)
{
	mmio_write(rig->vm, 0xb8000 + 2 * 81, 0x1e41, 2);
	ck_assert_mem_eq(vga->memory + 4 * 81, "\x41\x1e", 2);
	ck_assert_uint_eq(mmio_read(rig->vm, 0xb8000 + 2 * 81, 2), 0x1e41);
	seq(2, 0x01);
	mmio_write(rig->vm, 0xb8000 + 2 * 81, 0xffff, 2);
	ck_assert_mem_eq(vga->memory + 4 * 81, "\xff\x1e", 2);
}
END_TEST

/* A window that only moves bytes becomes memory once it is worth it, and ceases as soon as it is something else. */
START_TEST(direct_window)
{
	struct memory *m = &rig->vm->mem;

	seq(4, 0x0e);
	seq(2, 0x0f);
	gfx(6, 0x05);
	ck_assert_ptr_null(ram_ptr(m, 0xa0000));
	for (u32 i = 0; i < 70000; i++)
		mmio_write(rig->vm, 0xa0000 + (i & 0xffff), i, 1);
	ck_assert_ptr_eq(ram_ptr(m, 0xa1234), vga->memory + 0x1234);
	ck_assert(memory_is_writable(m, 0xa1234));
	ck_assert_ptr_null(ram_ptr(m, 0xb0000));
	seq(2, 0x01);
	ck_assert_ptr_null(ram_ptr(m, 0xa1234));
	seq(2, 0x0f);
	ck_assert_ptr_null(ram_ptr(m, 0xa1234));
	for (u32 i = 0; i < 70000; i++)
		mmio_read(rig->vm, 0xa0000, 1);
	ck_assert_ptr_nonnull(ram_ptr(m, 0xa1234));
	rig_lock(rig);
	vm_reset_devices(rig->vm);
	rig_unlock(rig);
	ck_assert_ptr_null(ram_ptr(m, 0xa1234));
}
END_TEST

/* ---- VBE ---- */

START_TEST(vbe_registers)
{
	ck_assert_int_eq(vbe_get(VBE_ID), 0xb0c5);
	vbe(VBE_ID, 0xb0c0);
	ck_assert_int_eq(vbe_get(VBE_ID), 0xb0c0);
	vbe(VBE_ID, 0x1234);
	ck_assert_int_eq(vbe_get(VBE_ID), 0xb0c0);
	ck_assert_int_eq(vbe_get(VBE_MEMORY_64K), 256);
	vbe(VBE_ENABLE, VBE_GETCAPS);
	ck_assert_int_eq(vbe_get(VBE_XRES), 2560);
	ck_assert_int_eq(vbe_get(VBE_YRES), 1600);
	ck_assert_int_eq(vbe_get(VBE_BPP), 32);
	vbe_mode(1024, 768, 16);
	ck_assert_int_eq(vbe_get(VBE_XRES), 1024);
	ck_assert_int_eq(vbe_get(VBE_VIRT_WIDTH), 1024);
	ck_assert_int_eq(vbe_get(VBE_VIRT_HEIGHT), (16 << 20) / 2048);
	vbe(VBE_XRES, 640); /* not while it is on */
	ck_assert_int_eq(vbe_get(VBE_XRES), 1024);
	vbe(VBE_VIRT_WIDTH, 2048);
	ck_assert_int_eq(vbe_get(VBE_VIRT_HEIGHT), (16 << 20) / 4096);
	vbe(VBE_Y_OFFSET, 0xffff);
	ck_assert_int_eq(vbe_get(VBE_Y_OFFSET), 4096 - 768);
	/* What does not fit is made to. */
	vbe_mode(65535, 65535, 77);
	ck_assert_int_eq(vbe_get(VBE_XRES), 2560);
	ck_assert_int_eq(vbe_get(VBE_YRES), 1600);
	ck_assert_int_eq(vbe_get(VBE_BPP), 8);
	vbe_mode(2560, 1600, 32);
	ck_assert_int_eq(vbe_get(VBE_VIRT_WIDTH), 2560);
	vbe(VBE_VIRT_WIDTH, 8192);
	ck_assert_int_eq(vbe_get(VBE_VIRT_WIDTH), 2560);
}
END_TEST

/* ---- PCI ---- */

START_TEST(pci_function)
{
	struct memory *m = &rig->vm->mem;
	struct pci_device *d = &vga->pci;

	rig_lock(rig);
	vga_attach_pci(vga, pci_create(rig->vm, sysctl_create(rig->vm)));
	rig_unlock(rig);
	ck_assert_int_eq(d->devfn, 0x10);
	ck_assert_mem_eq(d->config, "\x34\x12\x11\x11", 4);
	ck_assert_int_eq(d->config[0x0b], 3);
	ck_assert_uint_eq(d->bar[0].size, 16 << 20);
	ck_assert(d->bar[0].prefetchable && !d->bar[0].io);
	d->bar[0].map(d, 0, 0xe0000000);
	ck_assert_ptr_eq(ram_ptr(m, 0xe0123456), vga->memory + 0x123456);
	ck_assert(memory_is_writable(m, 0xe0123456));
	d->bar[0].map(d, 0, PCI_NOWHERE);
	ck_assert_ptr_null(ram_ptr(m, 0xe0123456));
	/* Registers in memory: VBE's at 500h, the ports at 400h. */
	d->bar[2].map(d, 2, 0xf0000000);
	ck_assert_uint_eq(mmio_read(rig->vm, 0xf0000500, 2), 0xb0c5);
	mmio_write(rig->vm, 0xf0000500 + 2 * VBE_XRES, 480 << 16 | 640, 4);
	ck_assert_int_eq(vbe_get(VBE_XRES), 640);
	ck_assert_int_eq(vbe_get(VBE_YRES), 480);
	mmio_write(rig->vm, 0xf0000400 + 0x0e, 0x5a08, 2); /* port 3CEh */
	ck_assert_int_eq(get(0x3ce, 8), 0x5a);
	ck_assert_uint_eq(mmio_read(rig->vm, 0xf0000000, 4), 0xffffffff);
	/* Each of VBE's registers, by halves and wholes; nothing behind the last, nor between it and the ports. */
	for (unsigned i = 0; i < VGA_VBE_REGS; i++) {
		u32 both = vbe_get((u16)i);

		ck_assert_uint_eq(mmio_read(rig->vm, 0xf0000500 + 2 * i, 2), both);
		ck_assert_uint_eq(mmio_read(rig->vm, 0xf0000501 + 2 * i, 1), both >> 8);
	}
	mmio_write(rig->vm, 0xf0000500 + 2 * VBE_Y_OFFSET, 0x123, 2);
	ck_assert_int_eq(vbe_get(VBE_Y_OFFSET), 0x123);
	mmio_write(rig->vm, 0xf0000500 + 2 * VBE_Y_OFFSET, 0x77, 1);
	ck_assert_int_eq(vbe_get(VBE_Y_OFFSET), 0x123);
	ck_assert_uint_eq(mmio_read(rig->vm, 0xf0000500 + 2 * VGA_VBE_REGS, 2), 0xffff);
	for (u32 offset = 0x41f; offset < 0x500; offset++)
		ck_assert_uint_eq(mmio_read(rig->vm, 0xf0000000 + offset, 2), 0xffff);
	d->bar[2].map(d, 2, PCI_NOWHERE);
	ck_assert_uint_eq(mmio_read(rig->vm, 0xf0000500, 2), 0xffff);
	/* The BIOS, where the host has one. */
	if (vga->rom) {
		ck_assert_uint_eq(d->bar[PCI_ROM_BAR].size, 65536);
		d->bar[PCI_ROM_BAR].map(d, PCI_ROM_BAR, 0xf8000000);
		ck_assert_mem_eq(ram_ptr(m, 0xf8000000), "\x55\xaa", 2);
		ck_assert(!memory_is_writable(m, 0xf8000000));
	}
}
END_TEST

/* ---- life ---- */

START_TEST(saved_state)
{
	struct rig *other = rig_create();

	rig_lock(other);
	other->vm->vga = vga_create(other->vm);
	rig_unlock(other);
	vbe_mode(800, 600, 16);
	vbe(VBE_VIRT_WIDTH, 1024);
	vbe(VBE_Y_OFFSET, 17);
	set_dac(9, 1, 2, 3);
	out8(rig, 0x3c9, 7);
	out8(rig, 0x3c0, 3);
	check_saved_state(rig, other, "vga");
	rig_free(other);
}
END_TEST

START_TEST(random_accesses)
{
	poke_ports(rig, 0x3b0, 0x3df, 20000);
	poke_ports(rig, 0x1ce, 0x1d1, 2000);
	for (int i = 0; i < 20000; i++) {
		u64 pa = 0x9fffc + (u64)random() % 0x20008;

		if (random() & 1)
			mmio_write(rig->vm, pa, (u32)random(), 1u << random() % 3);
		else
			mmio_read(rig->vm, pa, 1u << random() % 3);
		if (i % 100 == 0)
			set(random() & 1 ? 0x3c4 : 0x3ce, (u8)(random() % 9), (u8)random());
	}
	draw();
}
END_TEST

Suite *vga_suite(void);
Suite *vga_suite(void)
{
	const TTest *const tests[] = {registers,      attribute_flip_flop, dac,		  retrace,	     text_mode_registers,
				      retrace_shares, planar_modes,	   wide_accesses, memory_map_select, odd_even_text,
				      direct_window,  vbe_registers,	   pci_function,  saved_state,	     random_accesses};
	Suite *s = suite_create("vga");
	TCase *t = tcase_create("vga");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return s;
}
