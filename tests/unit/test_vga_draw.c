/* What the VGA shows: text, the graphics modes, VBE's depths, and that no setting of its registers leads beyond its memory. */
#include <check.h>

#include "tests/unit/vga_harness.h"

static struct text_screen text;

/* ---- pictures ---- */

/* A font whose character c has the rows c, c + 1, c + 2... */
static void load_test_font(void)
{
	seq(2, 0x04);
	seq(4, 0x06);
	gfx(5, 0x00);
	gfx(6, 0x00);
	for (u32 c = 0; c < 256; c++)
		for (u32 line = 0; line < 16; line++)
			write8(0xa0000 + 32 * c + line, (u8)(c + line));
	seq(2, 0x03);
	seq(4, 0x02);
	gfx(5, 0x10);
	gfx(6, 0x0e);
}

START_TEST(text_picture)
{
	load_test_font();
	crtc(0x0a, 0x20); /* no cursor */
	mmio_write(rig->vm, 0xb8000 + 2 * (80 * 3 + 5), 0x1e41, 2);
	mmio_write(rig->vm, 0xb8000 + 2 * (80 * 3 + 6), 0x4fc5, 2);
	draw();
	ck_assert_uint_eq(frame.width, 720);
	ck_assert_uint_eq(frame.height, 400);
	for (u32 line = 0; line < 16; line++) {
		for (u32 dot = 0; dot < 9; dot++) {
			/* Yellow on blue; white on red, whose ninth dot repeats the eighth (C0h to DFh). */
			bool a = dot < 8 && (0x41 + line) >> (7 - dot) & 1, b = (0xc5 + line) >> (dot < 8 ? 7 - dot : 0) & 1;

			ck_assert_uint_eq(pixel(5 * 9 + dot, 48 + line), a ? 0xffff55 : 0x0000aa);
			ck_assert_uint_eq(pixel(6 * 9 + dot, 48 + line), b ? 0xffffff : 0xaa0000);
		}
	}
	seq(1, 0x01); /* 8 dots */
	draw();
	ck_assert_uint_eq(frame.width, 640);
	ck_assert_uint_eq(pixel(5 * 8 + 1, 48), 0xffff55);
	ck_assert_uint_eq(pixel(5 * 8 + 2, 48), 0x0000aa);
}
END_TEST

START_TEST(cursor_and_blink)
{
	unsigned shown = 0, characters = 0;

	load_test_font();
	crtc(0x0e, 0);
	crtc(0x0f, 82);
	crtc(0x0a, 13);
	crtc(0x0b, 14);
	mmio_write(rig->vm, 0xb8000 + 2 * 10, 0x87ff, 2);
	for (int i = 0; i < 64; i++) {
		rig_advance(rig, 50 * MS);
		draw();
		ck_assert_uint_eq(pixel(2 * 9 + 8, 16 + 12), 0);
		ck_assert_uint_eq(pixel(2 * 9 + 8, 16 + 15), 0);
		ck_assert_uint_eq(pixel(2 * 9 + 8, 16 + 13), pixel(2 * 9 + 8, 16 + 14));
		shown += pixel(2 * 9 + 8, 16 + 13) == 0xaaaaaa;
		characters += pixel(10 * 9, 0) == 0xaaaaaa;
	}
	ck_assert_uint_ge(shown, 24);
	ck_assert_uint_le(shown, 40);
	ck_assert_uint_ge(characters, 20);
	ck_assert_uint_le(characters, 44);
	/* Without blinking, bit 7 is the background's intensity. */
	attr(0x10, 0x04);
	mmio_write(rig->vm, 0xb8000 + 2 * 10, 0x8700, 2);
	draw();
	ck_assert_uint_eq(pixel(10 * 9, 0), 0x555555);
}
END_TEST

START_TEST(text_cells)
{
	mmio_write(rig->vm, 0xb8000 + 2 * (80 * 24 + 79), 0x1f5a, 2);
	crtc(0x0e, 1);
	crtc(0x0f, 0x42);
	rig_lock(rig);
	vga_snapshot(vga, &view);
	rig_unlock(rig);
	ck_assert(vga_text(&view, &text));
	ck_assert_uint_eq(text.cols, 80);
	ck_assert_uint_eq(text.rows, 25);
	ck_assert_int_eq(text.cells[80 * 24 + 79], 0x1f5a);
	ck_assert_int_eq(text.cells[0], 0x0720);
	ck_assert(text.cursor && text.cursor_row == 0x142 / 80 && text.cursor_col == 0x142 % 80);
	/* The start address scrolls. */
	crtc(0x0d, 80);
	vga_snapshot(vga, &view);
	ck_assert(vga_text(&view, &text));
	ck_assert_int_eq(text.cells[80 * 23 + 79], 0x1f5a);
	vbe(VBE_XRES, 800);
	vbe(VBE_YRES, 600);
	vbe(VBE_BPP, 32);
	vbe(VBE_ENABLE, VBE_ENABLED | VBE_LFB);
	vga_snapshot(vga, &view);
	ck_assert(!vga_text(&view, &text));
	ck_assert(text.cols == 800 && text.rows == 600);
}
END_TEST

/* Mode 13h's registers, where they differ from mode 3's. */
static void mode_13h(void)
{
	crtc(0x11, 0x0e);
	seq(1, 0x01);
	seq(2, 0x0f);
	seq(4, 0x0e);
	gfx(5, 0x40);
	gfx(6, 0x05);
	crtc(9, 0x41);
	crtc(0x14, 0x40);
	attr(0x10, 0x41);
	attr(0x13, 0);
}

/* Colour 1 on black is underlined, on the line that the CRT controller says; the colour select register chooses among the DAC's fourths. */
START_TEST(underline_and_color_select)
{
	load_test_font();
	crtc(0x0a, 0x20);
	crtc(0x14, 12);
	for (u32 k = 0; k < 4; k++)
		mmio_write(rig->vm, 0xb8000 + 2 * k, 0x00 | (u32)(const u8[]){0x01, 0x11, 0x02, 0x09}[k] << 8, 2);
	draw();
	for (u32 line = 0; line < 16; line++) {
		/* Character 0 has the rows 0, 1, 2...: its first dot is never set. */
		ck_assert_uint_eq(pixel(0, line), line == 12 ? 0x0000aa : 0);
		ck_assert_uint_eq(pixel(9, line), 0x0000aa);
		ck_assert_uint_eq(pixel(18, line), 0);
		ck_assert_uint_eq(pixel(27, line), line == 12 ? 0x5555ff : 0);
	}
	mmio_write(rig->vm, 0xb8000, 0x20ff, 2);
	for (u8 select = 0; select < 16; select++) {
		/* Attribute 2 is DAC entry 02h, in one of four places; with 16 colours to a page in one of sixteen. */
		for (u8 pages = 0; pages < 2; pages++) {
			u8 entry = pages ? (u8)(select << 4 | 2) : (u8)((select & 0x0c) << 4 | 2);

			attr(0x14, select);
			attr(0x10, pages ? 0x8c : 0x0c);
			set_dac(entry, 63, 0, 63);
			draw();
			ck_assert_uint_eq(pixel(8, 0), 0xff00ff);
			set_dac(entry, 0, 0, 0);
			draw();
			ck_assert_uint_eq(pixel(8, 0), 0);
		}
	}
	vga_snapshot(vga, &view);
	ck_assert(vga_text(&view, &text) && text.blink);
	attr(0x10, 0x05);
	vga_snapshot(vga, &view);
	ck_assert(vga_text(&view, &text) && !text.blink);
}
END_TEST

START_TEST(mode13)
{
	mode_13h();
	set_dac(200, 63, 0, 21);
	set_dac(3, 0, 63, 0);
	write8(0xa0000 + 320 * 7 + 11, 200);
	write8(0xa0000 + 320 * 7 + 12, 3);
	draw();
	ck_assert_uint_eq(frame.width, 640);
	ck_assert_uint_eq(frame.height, 400);
	for (u32 y = 14; y < 16; y++) {
		ck_assert_uint_eq(pixel(21, y), 0);
		ck_assert_uint_eq(pixel(22, y), 0xff0055);
		ck_assert_uint_eq(pixel(23, y), 0xff0055);
		ck_assert_uint_eq(pixel(24, y), 0x00ff00);
	}
	ck_assert_uint_eq(pixel(22, 16), 0);
	/* The pixel mask. */
	out8(rig, 0x3c6, 0x03);
	draw();
	ck_assert_uint_eq(pixel(24, 14), 0x00ff00);
	ck_assert_uint_eq(pixel(22, 14), 0);
}
END_TEST

START_TEST(mode_x)
{
	mode_13h();
	out8(rig, 0x3c6, 0xff);
	for (u8 p = 0; p < 4; p++)
		set_dac(10 + p, p == 0 ? 63 : 0, p == 1 ? 63 : 0, p == 2 ? 63 : 21);
	seq(4, 0x06); /* no longer chained: each plane is every fourth pixel */
	for (u8 p = 0; p < 4; p++) {
		seq(2, (u8)(1 << p));
		write8(0xa0000 + 80 * 5 + 3, 10 + p);
	}
	draw();
	ck_assert_uint_eq(pixel(24, 10), 0xff0055);
	ck_assert_uint_eq(pixel(26, 10), 0x00ff55);
	ck_assert_uint_eq(pixel(28, 10), 0x0000ff);
	ck_assert_uint_eq(pixel(30, 10), 0x000055);
	/* Another page. */
	crtc(0x0c, 0x40);
	draw();
	ck_assert_uint_eq(pixel(24, 10), pixel(0, 0));
}
END_TEST

static void mode_12h(void)
{
	crtc(0x11, 0x0e);
	seq(1, 0x01);
	seq(2, 0x0f);
	seq(4, 0x06);
	gfx(5, 0x00);
	gfx(6, 0x05);
	crtc(9, 0x40);
	crtc(0x17, 0xe3);
	attr(0x10, 0x01);
	attr(0x13, 0);
}

START_TEST(planar_picture)
{
	mode_12h();
	seq(2, 0x05); /* colour 5 */
	write8(0xa0000 + 80 * 9 + 2, 0x90);
	draw();
	ck_assert_uint_eq(pixel(16, 9), 0xaa00aa);
	ck_assert_uint_eq(pixel(17, 9), 0);
	ck_assert_uint_eq(pixel(19, 9), 0xaa00aa);
	/* Panned by 3 dots. */
	attr(0x13, 3);
	draw();
	ck_assert_uint_eq(pixel(13, 9), 0xaa00aa);
	ck_assert_uint_eq(pixel(14, 9), 0);
	/* Colour plane 2 disabled: it is colour 1. */
	attr(0x13, 0);
	attr(0x12, 0x01);
	draw();
	ck_assert_uint_eq(pixel(16, 9), 0x0000aa);
}
END_TEST

START_TEST(line_compare)
{
	mode_12h();
	seq(2, 0x0f);
	write8(0xa0000, 0xff);		  /* line 0 of memory */
	write8(0xa0000 + 80 * 120, 0xff); /* shown at line 20, for the screen starts at 100 */
	crtc(0x0c, 80 * 100 >> 8);
	crtc(0x0d, (80 * 100) & 0xff);
	crtc(0x18, 200);
	crtc(7, 0x0f); /* bit 8 of line compare off (and bit 9, in 9) */
	crtc(9, 0x00);
	draw();
	ck_assert_uint_eq(pixel(0, 20), 0xffffff);
	ck_assert_uint_eq(pixel(0, 200), 0);
	ck_assert_uint_eq(pixel(0, 201), 0xffffff);
	ck_assert_uint_eq(pixel(0, 202), 0);
}
END_TEST

START_TEST(cga_picture)
{
	/* Mode 4: 320x200 in 4 colours, odd lines 8 KiB behind the even ones. */
	crtc(0x11, 0x0e);
	seq(1, 0x09);
	seq(4, 0x02);
	gfx(5, 0x30);
	gfx(6, 0x0f);
	crtc(1, 0x27);
	crtc(9, 0xc1);
	crtc(0x13, 0x14);
	crtc(0x17, 0xa2);
	attr(0x10, 0x01);
	attr(0x13, 0);
	write8(0xb8000 + 80 * 2 + 1, 0x1b);	     /* line 4: colours 0 1 2 3 */
	write8(0xb8000 + 0x2000 + 80 * 2 + 1, 0xc0); /* line 5: colour 3 */
	draw();
	ck_assert_uint_eq(frame.width, 640);
	ck_assert_uint_eq(frame.height, 400);
	ck_assert_uint_eq(pixel(8, 8), 0);
	ck_assert_uint_eq(pixel(10, 9), 0x0000aa);
	ck_assert_uint_eq(pixel(12, 8), 0x00aa00);
	ck_assert_uint_eq(pixel(14, 8), 0x00aaaa);
	ck_assert_uint_eq(pixel(8, 10), 0x00aaaa);
	ck_assert_uint_eq(pixel(9, 11), 0x00aaaa);
	ck_assert_uint_eq(pixel(10, 10), 0);
}
END_TEST

/* Four banks of lines, as Hercules has them: address bits 13 and 14 are the scan line's. */
START_TEST(four_banks)
{
	mode_12h();
	crtc(9, 0x43);
	crtc(0x17, 0xe0);
	seq(2, 0x0f);
	for (u32 line = 0; line < 4; line++)
		write8(0xa0000 + 0x2000 * line, (u8)(0x80 >> line));
	draw();
	for (u32 line = 0; line < 4; line++)
		for (u32 x = 0; x < 8; x++)
			ck_assert_uint_eq(pixel(x, line), x == line ? 0xffffff : 0);
}
END_TEST

START_TEST(blank)
{
	in8(rig, 0x3da);
	out8(rig, 0x3c0, 0x00); /* the palette is the CPU's: nothing is shown */
	mmio_write(rig->vm, 0xb8000, 0x7fdb, 2);
	draw();
	for (u32 x = 0; x < 9; x++)
		ck_assert_uint_eq(pixel(x, 8), 0);
}
END_TEST

/* The widest and tallest that the registers can say, and the smallest. */
START_TEST(extreme_sizes)
{
	crtc(0x11, 0);
	crtc(1, 0xff);
	crtc(7, 0x42);
	crtc(0x12, 0xff);
	for (u8 clocking = 0; clocking < 16; clocking++) {
		seq(1, clocking);
		attr(0x13, 7);
		draw();
		ck_assert_uint_eq(frame.width, 256u * (clocking & 1 ? 8 : 9) * (clocking & 8 ? 2 : 1));
		ck_assert_uint_eq(frame.height, 1024);
		ck_assert_uint_le(frame.width, VGA_MAX_WIDTH);
		ck_assert(vga_text(&view, &text));
		ck_assert(text.cols == 256 && text.rows <= VGA_TEXT_MAX_ROWS);
	}
	crtc(1, 0);
	crtc(7, 0);
	crtc(9, 0x9f);
	crtc(0x12, 0);
	draw();
	ck_assert_uint_eq(frame.height, 1);
	ck_assert(vga_text(&view, &text));
	ck_assert(text.cols == 1 && text.rows == 1);
}
END_TEST

/* Whatever the registers are: no more than the largest picture, and nothing beyond memory (the sanitizers look). */
START_TEST(absurd_registers)
{
	srandom(5);
	for (int i = 0; i < 300; i++) {
		crtc(0x11, 0);
		for (int k = 0; k < 60; k++) {
			static const u16 ports[] = {0x3c4, 0x3ce, 0x3d4};

			set(ports[random() % 3], (u8)(random() % 0x1a), (u8)random());
			attr((u8)random() & 0x1f, (u8)random());
			vbe((u16)(random() % 12), (u16)random());
		}
		draw();
		ck_assert_uint_le(frame.width, VGA_MAX_WIDTH);
		ck_assert_uint_le(frame.height, VGA_MAX_HEIGHT);
		vga_text(&view, &text);
		ck_assert(vbe_valid(&vga->r));
	}
}
END_TEST

START_TEST(vbe_pictures)
{
	static const struct {
		u16 bpp;
		u32 raw, bytes, color;
	} depths[] = {{8, 0x07, 1, 0xffff00},
		      {15, 0x7c1f, 2, 0xff00ff},
		      {16, 0x07e0, 2, 0x00ff00},
		      {24, 0x123456, 3, 0x123456},
		      {32, 0xff654321, 4, 0x654321}};

	for (unsigned i = 0; i < ARRAY_SIZE(depths); i++) {
		vbe_mode(640, 480, depths[i].bpp);
		set_dac(7, 63, 63, 0);
		memcpy(vga->memory + (641 * 9 + 8) * depths[i].bytes, &depths[i].raw, depths[i].bytes);
		draw();
		ck_assert_uint_eq(frame.width, 640);
		ck_assert_uint_eq(frame.height, 480);
		ck_assert_uint_eq(pixel(17, 9), depths[i].color);
		ck_assert_uint_eq(pixel(16, 9), 0);
		/* The window shows the same, a bank at a time. */
		vbe(VBE_BANK, 1);
		write8(0xa0000, 0x42);
		ck_assert_int_eq(vga->memory[65536], 0x42);
		/* Panning over a wider picture. */
		vbe(VBE_VIRT_WIDTH, 800);
		memcpy(vga->memory + (800 * 100 + 50) * depths[i].bytes, &depths[i].raw, depths[i].bytes);
		vbe(VBE_X_OFFSET, 40);
		vbe(VBE_Y_OFFSET, 90);
		draw();
		ck_assert_uint_eq(pixel(10, 10), depths[i].color);
	}
	/* A mode set clears, unless it is told not to. */
	vga->memory[5] = 1;
	vbe_mode(640, 480, 8);
	ck_assert_int_eq(vga->memory[5], 0);
	vga->memory[5] = 1;
	vbe(VBE_ENABLE, 0);
	vbe(VBE_ENABLE, VBE_ENABLED | VBE_NO_CLEAR);
	ck_assert_int_eq(vga->memory[5], 1);
	/* Four planes. */
	vbe_mode(800, 600, 4);
	seq(2, 0x02);
	write8(0xa0000 + 100 * 3 + 1, 0x80);
	draw();
	ck_assert_uint_eq(pixel(8, 3), 0x00aa00);
	ck_assert_uint_eq(pixel(9, 3), 0);
}
END_TEST

START_TEST(eight_bit_dac)
{
	vbe_mode(640, 480, 8);
	set_dac(1, 0x3f, 0x20, 0x00);
	vbe(VBE_ENABLE, VBE_ENABLED | VBE_LFB | VBE_8BIT_DAC);
	ck_assert_int_eq(vga->r.dac[3], 0xff);
	set_dac(2, 0x81, 0x42, 0x03);
	vga->memory[0] = 2;
	draw();
	ck_assert_uint_eq(pixel(0, 0), 0x814203);
	/* Six bits again: the lower two are lost. */
	vbe(VBE_ENABLE, VBE_ENABLED | VBE_LFB);
	ck_assert(vga->r.dac[6] == 0x20 && vga->r.dac[7] == 0x10 && vga->r.dac[8] == 0x00);
}
END_TEST

Suite *vga_draw_suite(void);
Suite *vga_draw_suite(void)
{
	const TTest *const tests[] = {text_picture,	cursor_and_blink, text_cells,	  underline_and_color_select,
				      mode13,		mode_x,		  planar_picture, line_compare,
				      cga_picture,	four_banks,	  blank,	  extreme_sizes,
				      absurd_registers, vbe_pictures,	  eight_bit_dac};
	Suite *s = suite_create("vga_draw");
	TCase *t = tcase_create("vga_draw");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return s;
}
