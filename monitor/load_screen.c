/*
 * The `vga=` of a Linux command line, which a boot loader obeys, not the kernel (Linux documentation, "SVGA support" and "The Linux/x86
 * Boot Protocol"): a VBE mode is set here, as the real-mode part of the kernel would have the VGA BIOS do, and screen_info says what it is.
 *
 * Invariant: screen_info names the linear frame buffer only while the VGA shows it, at the address that its BAR has.
 */
#include "monitor/load_image.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/devices/vga.h"
#include "monitor/log.h"

#define MODE_NORMAL  0x7fffu /* FFFFh, FFFEh and FFFDh, without the flag: normal, extended, ask */
#define MODE_ASK     0x7ffdu
#define MODE_VBE     0x200u  /* Linux's number of VBE mode 0 */
#define MODE_TEXT    0x100u  /* below it menu entries, from it on those of the BIOS: what a text screen of 80x25 stands for */
#define FLAG_RECALC  0x8000u /* the vertical timing anew: means nothing here */
#define VIDEO_VLFB   0x23
#define VBE_FUNCTION 0x9b /* supported, colour, graphics, with a linear frame buffer */

/* boot_params begins with screen_info. */
enum {
	SI_IS_VGA = 0x0f,
	SI_LFB_WIDTH = 0x12,
	SI_LFB_HEIGHT = 0x14,
	SI_LFB_DEPTH = 0x16,
	SI_LFB_BASE = 0x18,
	SI_LFB_SIZE = 0x1c, /* in 64 KiB */
	SI_LFB_LINE = 0x24,
	SI_COLOURS = 0x26, /* size and position of red, green, blue, the rest */
	SI_PAGES = 0x32,
	SI_VESA_ATTRIBUTES = 0x34,
};

/* The modes of the VGA BIOS (VBE core functions 3.0, 3.1, and Bochs's numbers from 140h on). */
static const struct mode {
	u16 number, width, height;
	u8 depth;
} modes[] = {
	{0x100, 640, 400, 8},	 {0x101, 640, 480, 8},	  {0x103, 800, 600, 8},	  {0x105, 1024, 768, 8},   {0x107, 1280, 1024, 8},
	{0x110, 640, 480, 15},	 {0x111, 640, 480, 16},	  {0x112, 640, 480, 24},  {0x113, 800, 600, 15},   {0x114, 800, 600, 16},
	{0x115, 800, 600, 24},	 {0x116, 1024, 768, 15},  {0x117, 1024, 768, 16}, {0x118, 1024, 768, 24},  {0x119, 1280, 1024, 15},
	{0x11a, 1280, 1024, 16}, {0x11b, 1280, 1024, 24}, {0x11c, 1600, 1200, 8}, {0x11d, 1600, 1200, 15}, {0x11e, 1600, 1200, 16},
	{0x11f, 1600, 1200, 24}, {0x142, 640, 480, 32},	  {0x143, 800, 600, 32},  {0x144, 1024, 768, 32},  {0x145, 1280, 1024, 32},
	{0x147, 1600, 1200, 32},
};

/* The last vga= counts. What is no number (normal, ext, ask) is text. */
static u32 asked_mode(const char *cmdline)
{
	u32 mode = MODE_NORMAL;

	for (const char *at = cmdline; (at = strstr(at, "vga=")) != NULL; at += 4) {
		char *end;
		unsigned long value;

		if (at != cmdline && at[-1] != ' ')
			continue;
		value = strtoul(at + 4, &end, 0);
		mode = end != at + 4 && (!*end || *end == ' ') && value <= 0xffff ? (u32)value & ~FLAG_RECALC : MODE_NORMAL;
	}
	return mode;
}

static const struct mode *find(u32 number)
{
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (modes[i].number == number)
			return &modes[i];
	return NULL;
}

void load_graphics(struct vm *vm, const char *cmdline, u8 *screen_info)
{
	static const u8 colours[][8] = {
		[8] = {6, 0, 6, 0, 6, 0, 0, 0},	  [15] = {5, 10, 5, 5, 5, 0, 1, 15}, [16] = {5, 11, 6, 5, 5, 0, 0, 0},
		[24] = {8, 16, 8, 8, 8, 0, 0, 0}, [32] = {8, 16, 8, 8, 8, 0, 8, 24},
	};
	u32 asked = asked_mode(cmdline), line;
	const struct mode *m;
	u64 base;

	if (asked < MODE_TEXT || asked >= MODE_ASK)
		return;
	m = asked >= MODE_VBE ? find(asked - MODE_VBE) : NULL;
	if (!m) {
		warn("vga=%#x: there is no such graphics mode; the screen stays text", asked);
		return;
	}
	pthread_mutex_lock(&vm->lock);
	line = vga_set_linear_mode(vm->vga, m->width, m->height, m->depth, &base);
	pthread_mutex_unlock(&vm->lock);
	if (!line)
		return;
	memset(screen_info, 0, SI_IS_VGA);
	screen_info[SI_IS_VGA] = VIDEO_VLFB;
	put16(screen_info + SI_LFB_WIDTH, m->width);
	put16(screen_info + SI_LFB_HEIGHT, m->height);
	put16(screen_info + SI_LFB_DEPTH, m->depth);
	put32(screen_info + SI_LFB_BASE, (u32)base);
	put32(screen_info + SI_LFB_SIZE, VGA_MEMORY >> 16);
	put16(screen_info + SI_LFB_LINE, line);
	memcpy(screen_info + SI_COLOURS, colours[m->depth], sizeof(colours[0]));
	put16(screen_info + SI_PAGES, VGA_MEMORY / (line * m->height) - 1);
	put16(screen_info + SI_VESA_ATTRIBUTES, VBE_FUNCTION);
}
