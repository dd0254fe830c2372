/*
 * Pictures of the screen as files: PNG by libpng, text as UTF-8 by the table of code page 437.
 */
#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/display/backend.h"

/* The first 32 as the VGA shows them. */
static const u16 cp437[256] = {
	0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9, 0x2642, 0x2640, 0x266a, 0x266b, 0x263c,
	0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8, 0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
	0x0020, 0x0021, 0x0022, 0x0023, 0x0024, 0x0025, 0x0026, 0x0027, 0x0028, 0x0029, 0x002a, 0x002b, 0x002c, 0x002d, 0x002e, 0x002f,
	0x0030, 0x0031, 0x0032, 0x0033, 0x0034, 0x0035, 0x0036, 0x0037, 0x0038, 0x0039, 0x003a, 0x003b, 0x003c, 0x003d, 0x003e, 0x003f,
	0x0040, 0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047, 0x0048, 0x0049, 0x004a, 0x004b, 0x004c, 0x004d, 0x004e, 0x004f,
	0x0050, 0x0051, 0x0052, 0x0053, 0x0054, 0x0055, 0x0056, 0x0057, 0x0058, 0x0059, 0x005a, 0x005b, 0x005c, 0x005d, 0x005e, 0x005f,
	0x0060, 0x0061, 0x0062, 0x0063, 0x0064, 0x0065, 0x0066, 0x0067, 0x0068, 0x0069, 0x006a, 0x006b, 0x006c, 0x006d, 0x006e, 0x006f,
	0x0070, 0x0071, 0x0072, 0x0073, 0x0074, 0x0075, 0x0076, 0x0077, 0x0078, 0x0079, 0x007a, 0x007b, 0x007c, 0x007d, 0x007e, 0x2302,
	0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
	0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
	0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
	0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
	0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567,
	0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
	0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
	0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};

u32 cp437_to_unicode(u8 c)
{
	return cp437[c];
}

/* libpng reports by longjmp; its own message goes nowhere, the caller's errno says enough. */
static void png_failed(png_structp png, png_const_charp message)
{
	(void)message;
	longjmp(png_jmpbuf(png), 1);
}

static void png_ignore(png_structp png, png_const_charp message)
{
	(void)png;
	(void)message;
}

static bool write_rows(FILE *file, const struct frame *f, u8 *row)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_failed, png_ignore);
	png_infop info = png ? png_create_info_struct(png) : NULL;

	if (!info || setjmp(png_jmpbuf(png))) {
		png_destroy_write_struct(&png, &info);
		return false;
	}
	png_init_io(png, file);
	png_set_IHDR(png, info, f->width, f->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE,
		     PNG_FILTER_TYPE_BASE);
	/* Screens compress well by anything; the machine waits. */
	png_set_compression_level(png, 3);
	png_write_info(png, info);
	for (u32 y = 0; y < f->height; y++) {
		for (u32 x = 0; x < f->width; x++) {
			u32 p = f->pixels[(size_t)y * f->width + x];

			row[3 * x] = (u8)(p >> 16);
			row[3 * x + 1] = (u8)(p >> 8);
			row[3 * x + 2] = (u8)p;
		}
		png_write_row(png, row);
	}
	png_write_end(png, info);
	png_destroy_write_struct(&png, &info);
	return true;
}

int picture_write_png(const char *path, const struct frame *f)
{
	u8 *row = malloc(3 * (size_t)f->width);
	FILE *file;
	bool ok;

	if (!row)
		return -ENOMEM;
	file = fopen(path, "wbe");
	if (!file) {
		free(row);
		return -errno;
	}
	errno = EIO;
	ok = write_rows(file, f, row);
	if (fclose(file) != 0)
		ok = false;
	free(row);
	return ok ? 0 : -errno;
}

int picture_write_ppm(const char *path, const struct frame *f)
{
	FILE *file = fopen(path, "wbe");
	bool ok;

	if (!file)
		return -errno;
	fprintf(file, "P6\n%u %u\n255\n", f->width, f->height);
	for (size_t i = 0; i < (size_t)f->width * f->height; i++) {
		putc((int)(f->pixels[i] >> 16 & 0xff), file);
		putc((int)(f->pixels[i] >> 8 & 0xff), file);
		putc((int)(f->pixels[i] & 0xff), file);
	}
	ok = !ferror(file);
	if (fclose(file) != 0)
		ok = false;
	return ok ? 0 : -EIO;
}

static void put_utf8(FILE *file, u32 c)
{
	if (c < 0x80) {
		putc((int)c, file);
	} else if (c < 0x800) {
		putc((int)(0xc0 | c >> 6), file);
		putc((int)(0x80 | (c & 0x3f)), file);
	} else {
		putc((int)(0xe0 | c >> 12), file);
		putc((int)(0x80 | (c >> 6 & 0x3f)), file);
		putc((int)(0x80 | (c & 0x3f)), file);
	}
}

int picture_write_text(const char *path, const struct text_screen *t, bool is_text)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return -errno;
	if (!is_text)
		fprintf(file, "(graphics, %u x %u)\n", t->cols, t->rows);
	for (u32 y = 0; is_text && y < t->rows; y++) {
		const u16 *row = t->cells + y * t->cols;
		u32 end = t->cols;

		while (end && cp437_to_unicode((u8)row[end - 1]) == ' ')
			end--;
		for (u32 x = 0; x < end; x++)
			put_utf8(file, cp437_to_unicode((u8)row[x]));
		putc('\n', file);
	}
	if (ferror(file)) {
		fclose(file);
		return -EIO;
	}
	return fclose(file) == 0 ? 0 : -errno;
}
