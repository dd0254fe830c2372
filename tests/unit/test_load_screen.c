/*
 * vga= on a Linux command line: the mode that the VGA is in, and what screen_info says of it.
 */
#include <check.h>

#include "monitor/devices/sysctl.h"
#include "monitor/load_image.h"
#include "tests/unit/vga_harness.h"

#define BASE 0xe0000000u

static u8 screen[0x40];

/* What the loader has written before; and the frame buffer's BAR, as firmware programs it. */
static void with_bar(void)
{
	setup();
	rig_lock(rig);
	vga_attach_pci(vga, pci_create(rig->vm, sysctl_create(rig->vm)));
	rig_unlock(rig);
	pci_firmware_write(rig->vm, PCI_DEVFN(2, 0), 0x10, BASE, 4);
	pci_firmware_write(rig->vm, PCI_DEVFN(2, 0), 0x04, 2, 2);
	memset(screen, 0x77, sizeof(screen));
}

static bool is_text(void)
{
	for (size_t i = 0; i < sizeof(screen); i++)
		if (screen[i] != 0x77)
			return false;
	return !(vbe_get(VBE_ENABLE) & VBE_ENABLED);
}

START_TEST(sixteen_bits)
{
	load_graphics(rig->vm, "quiet vga=0x317 console=tty0", screen);
	ck_assert_uint_eq(vbe_get(VBE_ENABLE), VBE_ENABLED | VBE_LFB);
	ck_assert_uint_eq(screen[0x0f], 0x23);
	ck_assert_uint_eq(le16(screen + 0x12), 1024);
	ck_assert_uint_eq(le16(screen + 0x14), 768);
	ck_assert_uint_eq(le16(screen + 0x16), 16);
	ck_assert_uint_eq(le32(screen + 0x18), BASE);
	ck_assert_uint_eq(le32(screen + 0x1c), 256);
	ck_assert_uint_eq(le16(screen + 0x24), 2048);
	ck_assert_mem_eq(screen + 0x26, "\5\13\6\5\5\0\0\0", 8);
	ck_assert_uint_eq(le16(screen + 0x32), 9);
	ck_assert_uint_eq(le16(screen + 0x34) & 0x80, 0x80);
	/* A pixel where it says that there is one. */
	((u16 *)ram_ptr(&rig->vm->mem, BASE))[3 * 1024 + 5] = 0x1f << 11;
	draw();
	ck_assert_uint_eq(frame.width, 1024);
	ck_assert_uint_eq(frame.height, 768);
	ck_assert_uint_eq(pixel(5, 3) >> 16, 0xff);
	ck_assert_uint_eq(pixel(6, 3), 0);
}
END_TEST

/* Lines and colours of the other depths, by Linux's decimal numbers, 0x8000 and the last of several. */
START_TEST(depths)
{
	static const struct {
		const char *cmdline;
		u16 width, depth, line;
		const char *colours;
	} cases[] = {
		{"vga=769", 640, 8, 640, "\6\0\6\0\6\0\0\0"},
		{"vga=0x316", 1024, 15, 2048, "\5\12\5\5\5\0\1\17"},
		{"vga=0x8315", 800, 24, 2400, "\10\20\10\10\10\0\0\0"},
		{"vga=normal xvga=0x317 vga=0x345 vga", 1280, 32, 5120, "\10\20\10\10\10\0\10\30"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		load_graphics(rig->vm, cases[i].cmdline, screen);
		ck_assert_uint_eq(screen[0x0f], 0x23);
		ck_assert_uint_eq(le16(screen + 0x12), cases[i].width);
		ck_assert_uint_eq(vbe_get(VBE_XRES), cases[i].width);
		ck_assert_uint_eq(le16(screen + 0x16), cases[i].depth);
		ck_assert_uint_eq(vbe_get(VBE_BPP), cases[i].depth);
		ck_assert_uint_eq(le16(screen + 0x24), cases[i].line);
		ck_assert_mem_eq(screen + 0x26, cases[i].colours, 8);
	}
}
END_TEST

START_TEST(text)
{
	static const char *const cmdlines[] = {
		"",	     "quiet",	  "vga=normal", "vga=ask", "vga=0xffff", "vga=0xfffd",	"vga=3",
		"vga=0x3ff", "vga=0x1f0", "vga=0x317x", "vga=",	   "xvga=0x317", "vga=0x10317", "vga=0x317 vga=normal"};

	for (size_t i = 0; i < ARRAY_SIZE(cmdlines); i++) {
		load_graphics(rig->vm, cmdlines[i], screen);
		ck_assert_msg(is_text(), "%s", cmdlines[i]);
	}
}
END_TEST

/* Nothing is said of a frame buffer that no address leads to. */
START_TEST(no_address)
{
	pci_firmware_write(rig->vm, PCI_DEVFN(2, 0), 0x04, 0, 2);
	load_graphics(rig->vm, "vga=0x317", screen);
	ck_assert(is_text());
}
END_TEST

Suite *load_screen_suite(void);
Suite *load_screen_suite(void)
{
	const TTest *const tests[] = {sixteen_bits, depths, text, no_address};
	Suite *s = suite_create("load_screen");
	TCase *t = tcase_create("load_screen");

	tcase_add_checked_fixture(t, with_bar, teardown);
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	return s;
}
