/*
 * What the beam shows: registers and video memory made into pixels, scan line by scan line, or into text cells. Works on a snapshot,
 * without the lock; video memory may change meanwhile.
 *
 * Invariants: whatever the registers say, memory is read within its bounds (addresses go round, as on the hardware), and a picture is at
 * most VGA_MAX_WIDTH x VGA_MAX_HEIGHT. Pictures have the CRT's resolution: mode 13h is 640x400, each dot twice and each line twice.
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/devices/vga_state.h"

#define CURSOR_BLINK_NS 266000000ull
#define TEXT_BLINK_NS	533000000ull
#define CURSOR_OFF	0x20
#define BLANK_WIDTH	640
#define BLANK_HEIGHT	480
#define FONT_LINES	32 /* bytes of font memory for each character */

struct beam {
	const struct vga_view *v;
	const struct vga_regs *r;
	u32 colors[256]; /* of the DAC */
	u32 palette[16]; /* of the attribute controller, with the plane enable register */
	u32 plane_mask;
	u32 columns; /* character clocks in a line */
	u32 dots;    /* in a character clock */
	bool half;   /* each dot is shown twice */
	u32 cursor;
	bool cursor_shown, blink_off;
	u32 fonts[2];
};

static bool is_blank(const struct vga_regs *r)
{
	return !vbe_on(r) && (!(r->attr_index & ATTR_ON) || (r->seq[SEQ_CLOCKING] & SEQ_SCREEN_OFF));
}

static bool is_graphics(const struct vga_regs *r)
{
	return vbe_on(r) || (r->gfx[GFX_MISC] & GFX_GRAPHICS);
}

static u32 dword(const struct beam *b, u32 index)
{
	u32 x;

	memcpy(&x, b->v->memory + 4 * (u64)(index & b->plane_mask), 4);
	return x;
}

static void set_colors(struct beam *b)
{
	const struct vga_regs *r = b->r;
	bool eight = r->vbe[VBE_ENABLE] & VBE_8BIT_DAC;

	for (unsigned i = 0; i < 256; i++) {
		const u8 *c = r->dac + 3 * (i & r->dac_mask);
		u32 color = 0;

		for (unsigned k = 0; k < 3; k++)
			color = color << 8 | (eight ? c[k] : (u32)(c[k] << 2 | c[k] >> 4));
		b->colors[i] = color;
	}
	for (unsigned i = 0; i < 16; i++) {
		u8 p = r->attr[i & r->attr[ATTR_PLANES] & 15], select = r->attr[ATTR_COLOR];

		if (r->attr[ATTR_MODE] & 0x80)
			p = (p & 0x0f) | (u8)(select << 4);
		else
			p = (p & 0x3f) | (u8)((select & 0x0c) << 4);
		b->palette[i] = b->colors[p];
	}
}

static u32 font_base(u8 a, u8 b, u8 c)
{
	return (u32)(a << 1 | b) * 0x4000 + (c ? 0x2000 : 0);
}

static void set_up(struct beam *b, const struct vga_view *v)
{
	const struct vga_regs *r = &v->r;
	u8 select = r->seq[SEQ_FONT];

	b->v = v;
	b->r = r;
	set_colors(b);
	b->plane_mask = vga_plane_mask(r);
	b->columns = r->crtc[1] + 1u;
	b->half = r->seq[SEQ_CLOCKING] & SEQ_HALF_CLOCK;
	b->dots = is_graphics(r) || (r->seq[SEQ_CLOCKING] & SEQ_DOTS8) ? 8 : 9;
	b->cursor = (u32)r->crtc[0x0e] << 8 | r->crtc[0x0f];
	b->cursor_shown = !(r->crtc[0x0a] & CURSOR_OFF) && v->now / CURSOR_BLINK_NS % 2 == 0;
	b->blink_off = (r->attr[ATTR_MODE] & 0x08) && v->now / TEXT_BLINK_NS % 2 == 1;
	b->fonts[0] = font_base(select >> 1 & 1, select & 1, select & 0x10);
	b->fonts[1] = font_base(select >> 3 & 1, select >> 2 & 1, select & 0x20);
}

static bool resize(struct frame *f, u32 width, u32 height)
{
	size_t need = (size_t)width * height;

	if (need > f->capacity) {
		u32 *pixels = realloc(f->pixels, need * sizeof(*pixels));

		if (!pixels)
			return false;
		f->pixels = pixels;
		f->capacity = need;
	}
	f->width = width;
	f->height = height;
	return true;
}

/* ---- one scan line of the VGA's own modes ---- */

/* Scan line `line` of the character rows whose first cell is dword `at`. Writes columns * dots pixels. */
static void text_line(const struct beam *b, u32 *out, u32 at, u32 line, u32 columns)
{
	const struct vga_regs *r = b->r;
	u32 first = r->crtc[0x0a] & 0x1f, last = r->crtc[0x0b] & 0x1f;
	bool intensity = !(r->attr[ATTR_MODE] & 0x08);

	for (u32 x = 0; x < columns; x++, out += b->dots) {
		u32 cell = dword(b, at + x), c = cell & 0xff, attr = cell >> 8 & 0xff;
		u32 fg = b->palette[attr & 15], bg = b->palette[attr >> 4 & (intensity ? 15 : 7)];
		u32 bits = dword(b, b->fonts[attr >> 3 & 1] + c * FONT_LINES + line) >> 16 & 0xff;

		if (line == (r->crtc[0x14] & 0x1f) && (attr & 7) == 1 && (attr & 0x70) == 0)
			bits = 0xff;
		bits <<= 1;
		/* The ninth dot: line-drawing characters go on, others end. */
		if ((r->attr[ATTR_MODE] & 0x04) && c >= 0xc0 && c <= 0xdf)
			bits |= bits >> 1 & 1;
		if (b->blink_off && (attr & 0x80))
			bits = 0;
		if (b->cursor_shown && ((at + x) & 0xffff) == b->cursor && line >= first && line <= last)
			bits = 0x1ff;
		for (u32 dot = 0; dot < b->dots; dot++)
			out[dot] = bits >> (8 - dot) & 1 ? fg : bg;
	}
}

/* Where graphics rows are read when the CRT controller takes address bits 13 and 14 from the scan line's number (CGA, Hercules). */
static u32 interleave(const struct vga_regs *r, u32 at, u32 line)
{
	u32 bit = r->crtc[0x17] & 0x40 ? 13 : 12;

	if (!(r->crtc[0x17] & 1))
		at = (at & ~BIT(bit)) | (line & 1) << bit;
	if (!(r->crtc[0x17] & 2))
		at = (at & ~BIT(bit + 1)) | (line >> 1 & 1) << (bit + 1);
	return at;
}

/* Eight dots of each dword: by plane, two bits by two bits (CGA), or a byte for two dots. */
static void graphics_line(const struct beam *b, u32 *out, u32 at, u32 line, u32 columns)
{
	u8 shift = b->r->gfx[GFX_MODE] >> 5 & 3;

	if (!vbe_on(b->r))
		at = interleave(b->r, at, line);
	for (u32 x = 0; x < columns; x++, out += 8) {
		u32 d = dword(b, at + x);

		if (shift & 2) {
			for (unsigned i = 0; i < 8; i++)
				out[i] = b->colors[d >> 8 * (i / 2) & 0xff];
		} else if (shift) {
			for (unsigned i = 0; i < 8; i++) {
				unsigned by = 6 - 2 * (i & 3) + 8 * (i >> 2);

				out[i] = b->palette[(d >> by & 3) | (d >> (16 + by) & 3) << 2];
			}
		} else {
			for (unsigned i = 0; i < 8; i++) {
				u32 p = d >> (7 - i) & 0x01010101;

				out[i] = b->palette[(p | p >> 7 | p >> 14 | p >> 21) & 15];
			}
		}
	}
}

/* The line `from`, panned, to its place in the picture. */
static void put_line(const struct beam *b, u32 *to, const u32 *from, u32 pan)
{
	u32 n = b->columns * b->dots;

	if (!b->half) {
		memcpy(to, from + pan, n * sizeof(*to));
		return;
	}
	for (u32 i = 0; i < n; i++)
		to[2 * i] = to[2 * i + 1] = from[pan + i];
}

/* Dots by which lines begin further right than their first character does. */
static u32 panning(const struct beam *b)
{
	u32 pan = b->r->attr[ATTR_PAN] & 15;

	if (b->dots == 9)
		return pan >= 8 ? 0 : pan + 1;
	return pan & 7;
}

static u32 crtc_lines(const u8 *c, unsigned low, u32 bit8, u32 bit9)
{
	return c[low] | (bit8 ? 0x100 : 0) | (bit9 ? 0x200 : 0);
}

static u32 shown_lines(const struct vga_regs *r)
{
	return crtc_lines(r->crtc, 0x12, r->crtc[7] & 0x02, r->crtc[7] & 0x40) + 1;
}

static u32 start_address(const struct vga_regs *r)
{
	return ((u32)r->crtc[0x0c] << 8 | r->crtc[0x0d]) + (r->crtc[8] >> 5 & 3);
}

static bool draw_vga(struct beam *b, struct frame *f)
{
	const struct vga_regs *r = b->r;
	u32 height = shown_lines(r), width = b->columns * b->dots << (b->half ? 1 : 0);
	u32 compare = crtc_lines(r->crtc, 0x18, r->crtc[7] & 0x10, r->crtc[9] & 0x40);
	u32 at = start_address(r), line = r->crtc[8] & 0x1f, pan = panning(b), rows_of = r->crtc[9] & 0x1f;
	bool graphics = is_graphics(r), twice = r->crtc[9] & 0x80, second = false;
	u32 buffer[(VGA_TEXT_MAX_COLS + 1) * 9];

	if (!resize(f, width, height))
		return false;
	for (u32 y = 0; y < height; y++) {
		if (graphics)
			graphics_line(b, buffer, at, line, b->columns + 1);
		else
			text_line(b, buffer, at, line, b->columns + 1);
		put_line(b, f->pixels + (size_t)y * width, buffer, pan);
		if (y == compare) {
			at = line = 0;
			second = false;
			if (r->attr[ATTR_MODE] & 0x20)
				pan = b->dots == 9 && pan ? 1 : 0;
		} else if (twice && !second) {
			second = true;
		} else {
			second = false;
			if (line == rows_of) {
				line = 0;
				at += 2u * r->crtc[0x13];
			} else {
				line = (line + 1) & 0x1f;
			}
		}
	}
	return true;
}

/* ---- VBE's modes ---- */

static void vbe_line(const struct beam *b, u32 *out, u32 offset, u32 width)
{
	const u8 *m = b->v->memory;
	u32 mask = VGA_MEMORY - 1;

	switch (b->r->vbe[VBE_BPP]) {
	case 8:
		for (u32 x = 0; x < width; x++)
			out[x] = b->colors[m[(offset + x) & mask]];
		break;
	case 15:
	case 16:
		for (u32 x = 0; x < width; x++) {
			u32 at = (offset + 2 * x) & mask & ~1u, p = m[at] | (u32)m[at + 1] << 8;
			bool five = b->r->vbe[VBE_BPP] == 15;
			u32 blue = p & 31, green = five ? (p >> 5 & 31) << 1 | (p >> 9 & 1) : p >> 5 & 63, red = p >> (five ? 10 : 11) & 31;

			out[x] = (red << 3 | red >> 2) << 16 | (green << 2 | green >> 4) << 8 | blue << 3 | blue >> 2;
		}
		break;
	case 24:
		for (u32 x = 0; x < width; x++) {
			u32 at = offset + 3 * x;

			out[x] = (u32)m[(at + 2) & mask] << 16 | (u32)m[(at + 1) & mask] << 8 | m[at & mask];
		}
		break;
	default:
		for (u32 x = 0; x < width; x++) {
			u32 p;

			memcpy(&p, m + ((offset + 4 * x) & mask & ~3u), 4);
			out[x] = p & 0xffffff;
		}
		break;
	}
}

static bool draw_vbe(const struct beam *b, struct frame *f)
{
	const u16 *vbe = b->r->vbe;
	u32 pitch = vbe_pitch(b->r);

	if (!resize(f, vbe[VBE_XRES], vbe[VBE_YRES]))
		return false;
	for (u32 y = 0; y < f->height; y++) {
		u32 line = (vbe[VBE_Y_OFFSET] + y) * pitch, *out = f->pixels + (size_t)y * f->width;

		if (vbe[VBE_BPP] == 4)
			graphics_line(b, out, (line + vbe[VBE_X_OFFSET] / 2u) / 4, 0, f->width / 8);
		else
			vbe_line(b, out, line + vbe[VBE_X_OFFSET] * ((vbe[VBE_BPP] + 7u) / 8), f->width);
	}
	return true;
}

bool vga_draw(const struct vga_view *v, struct frame *f)
{
	struct beam b;

	if (is_blank(&v->r)) {
		if (!resize(f, f->width ? f->width : BLANK_WIDTH, f->height ? f->height : BLANK_HEIGHT))
			return false;
		memset(f->pixels, 0, (size_t)f->width * f->height * sizeof(*f->pixels));
		return true;
	}
	set_up(&b, v);
	return vbe_on(&v->r) ? draw_vbe(&b, f) : draw_vga(&b, f);
}

/* ---- text ---- */

bool vga_is_text(const struct vga_view *v)
{
	return !is_graphics(&v->r);
}

bool vga_text(const struct vga_view *v, struct text_screen *t)
{
	const struct vga_regs *r = &v->r;
	u32 at = start_address(r), pitch = 2u * r->crtc[0x13], cursor;
	struct beam b;

	memset(t, 0, offsetof(struct text_screen, cells));
	set_up(&b, v);
	if (is_graphics(r)) {
		t->cols = vbe_on(r) ? r->vbe[VBE_XRES] : b.columns * b.dots << (b.half ? 1 : 0);
		t->rows = vbe_on(r) ? r->vbe[VBE_YRES] : shown_lines(r);
		return false;
	}
	t->cols = MIN(b.columns, (u32)VGA_TEXT_MAX_COLS);
	t->rows = shown_lines(r) / (((r->crtc[9] & 0x1f) + 1u) << (r->crtc[9] >> 7));
	t->rows = MIN(MAX(t->rows, 1u), (u32)VGA_TEXT_MAX_ROWS);
	t->blink = r->attr[ATTR_MODE] & 0x08;
	for (u32 y = 0; y < t->rows; y++)
		for (u32 x = 0; x < t->cols; x++)
			t->cells[y * t->cols + x] = is_blank(r) ? ' ' : (u16)dword(&b, at + y * pitch + x);
	cursor = (b.cursor - at) & 0xffff;
	if (pitch && cursor / pitch < t->rows && cursor % pitch < t->cols) {
		t->cursor = !(r->crtc[0x0a] & CURSOR_OFF) && !is_blank(r);
		t->cursor_row = cursor / pitch;
		t->cursor_col = cursor % pitch;
	}
	return true;
}
