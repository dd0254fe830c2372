/* Packets of GDB's remote serial protocol (see gdb_packet.h). Invariant: len <= GDB_PACKET_MAX, whatever comes in. */
#include "monitor/gdb_packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void begin(struct gdb_parser *p)
{
	p->state = GDB_DATA;
	p->too_long = false;
	p->sum = 0;
	p->len = 0;
}

static void add(struct gdb_parser *p, u8 byte)
{
	if (p->len == GDB_PACKET_MAX)
		p->too_long = true;
	else
		p->data[p->len++] = byte;
}

static enum gdb_input idle(struct gdb_parser *p, u8 byte)
{
	switch (byte) {
	case '$':
		begin(p);
		return GDB_MORE;
	case '+':
		return GDB_ACK;
	case '-':
		return GDB_NACK;
	case 0x03:
		return GDB_INTERRUPT;
	default:
		return GDB_MORE;
	}
}

static enum gdb_input end(struct gdb_parser *p)
{
	p->state = GDB_IDLE;
	p->data[p->len] = 0;
	if (p->sent != p->sum)
		return GDB_CORRUPT;
	return p->too_long ? GDB_TOO_LONG : GDB_PACKET;
}

/* The end of a packet was lost if another begins within it. */
enum gdb_input gdb_parse(struct gdb_parser *p, u8 byte)
{
	int digit;

	switch (p->state) {
	case GDB_IDLE:
		return idle(p, byte);
	case GDB_DATA:
	case GDB_ESCAPED:
		if (byte == '$') {
			begin(p);
			return GDB_MORE;
		}
		if (byte == '#') {
			p->state = GDB_SUM1;
			return GDB_MORE;
		}
		p->sum += byte;
		if (p->state == GDB_ESCAPED)
			add(p, byte ^ 0x20);
		else if (byte != '}')
			add(p, byte);
		p->state = p->state == GDB_DATA && byte == '}' ? GDB_ESCAPED : GDB_DATA;
		return GDB_MORE;
	case GDB_SUM1:
	case GDB_SUM2:
		digit = hex_digit(byte);
		if (digit < 0) {
			p->state = GDB_IDLE;
			return GDB_CORRUPT;
		}
		if (p->state == GDB_SUM1) {
			p->sent = (u8)(digit << 4);
			p->state = GDB_SUM2;
			return GDB_MORE;
		}
		p->sent |= (u8)digit;
		return end(p);
	}
	return GDB_MORE;
}

/* ---- replies ---- */

void gdb_begin(struct gdb_reply *r)
{
	r->len = 0;
	r->full = false;
	r->sum = 0;
	r->frame[0] = '$';
}

static void put(struct gdb_reply *r, u8 byte)
{
	if (r->len == GDB_REPLY_MAX) {
		r->full = true;
		return;
	}
	r->frame[1 + r->len++] = byte;
	r->sum += byte;
}

void gdb_put(struct gdb_reply *r, const char *text)
{
	while (*text)
		put(r, (u8)*text++);
}

void gdb_printf(struct gdb_reply *r, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	gdb_put(r, text);
}

static const char digits[] = "0123456789abcdef";

void gdb_put_hex(struct gdb_reply *r, const void *bytes, size_t n)
{
	const u8 *b = bytes;

	for (size_t i = 0; i < n; i++) {
		put(r, (u8)digits[b[i] >> 4]);
		put(r, (u8)digits[b[i] & 15]);
	}
}

bool gdb_put_binary(struct gdb_reply *r, u8 byte)
{
	bool special = byte == '$' || byte == '#' || byte == '}' || byte == '*';

	if (r->len + 1 + special > GDB_REPLY_MAX)
		return false;
	if (special)
		put(r, '}');
	put(r, special ? byte ^ 0x20 : byte);
	return true;
}

u32 gdb_frame(struct gdb_reply *r)
{
	u8 *end = r->frame + 1 + r->len;

	end[0] = '#';
	end[1] = (u8)digits[r->sum >> 4];
	end[2] = (u8)digits[r->sum & 15];
	return r->len + 4;
}

/* ---- fields ---- */

bool gdb_take_number(const char **s, u64 *value)
{
	const char *p = *s;
	u64 x = 0;
	int n = 0;

	for (; hex_digit((u8)*p) >= 0; p++, n++) {
		if (x >> 60)
			return false;
		x = x << 4 | (u32)hex_digit((u8)*p);
	}
	if (!n)
		return false;
	*s = p;
	*value = x;
	return true;
}

bool gdb_take_bytes(const char **s, void *bytes, size_t n)
{
	const char *p = *s;

	for (size_t i = 0; i < n; i++, p += 2) {
		int hi = hex_digit((u8)p[0]), lo = hi < 0 ? -1 : hex_digit((u8)p[1]);

		if (lo < 0)
			return false;
		((u8 *)bytes)[i] = (u8)(hi << 4 | lo);
	}
	*s = p;
	return true;
}

bool gdb_take_char(const char **s, char c)
{
	if (**s != c)
		return false;
	++*s;
	return true;
}

bool gdb_take_word(const char **s, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*s, word, n) != 0)
		return false;
	*s += n;
	return true;
}
