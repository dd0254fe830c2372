/*
 * The framing of GDB's remote serial protocol ("Debugging with GDB", appendix E): $data#sum, with } as the escape of binary data, + and -
 * as acknowledgements, 03h outside of a packet as an interruption. No state but the struct's; any thread, one at a time.
 */
#ifndef RINGER_GDB_PACKET_H
#define RINGER_GDB_PACKET_H

#include "monitor/types.h"

#define GDB_PACKET_MAX 4096 /* bytes of a packet's data, as the debugger is told (PacketSize) */
/* Replies of as many bytes of memory in hexadecimal. */
#define GDB_REPLY_MAX (2 * GDB_PACKET_MAX)

enum gdb_input {
	GDB_MORE,     /* nothing yet */
	GDB_PACKET,   /* data[0..len) is a packet, unescaped, followed by a 0; until the next byte */
	GDB_CORRUPT,  /* a packet with another checksum */
	GDB_TOO_LONG, /* a packet of more than GDB_PACKET_MAX bytes, dropped */
	GDB_ACK,
	GDB_NACK,
	GDB_INTERRUPT,
};

struct gdb_parser {
	enum { GDB_IDLE, GDB_DATA, GDB_ESCAPED, GDB_SUM1, GDB_SUM2 } state;
	bool too_long;
	u8 sum, sent; /* the checksum so far; the packet's own */
	u32 len;
	u8 data[GDB_PACKET_MAX + 1];
};

/* Takes one byte. A zeroed parser is a fresh one. */
enum gdb_input gdb_parse(struct gdb_parser *p, u8 byte);

/* A packet that is made: the frame is put around it by gdb_frame. What does not fit is left out, and `full` set. */
struct gdb_reply {
	u32 len; /* of data[0..len), the frame aside */
	bool full;
	u8 sum;
	u8 frame[GDB_REPLY_MAX + 4]; /* $ data # sum */
};

void gdb_begin(struct gdb_reply *r);
void gdb_put(struct gdb_reply *r, const char *text);
/* Formats at most 255 characters. */
void gdb_printf(struct gdb_reply *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void gdb_put_hex(struct gdb_reply *r, const void *bytes, size_t n);
/* One byte of binary data; false, with nothing put, if there is no room. */
bool gdb_put_binary(struct gdb_reply *r, u8 byte);
/* Ends it; the number of bytes in r->frame. */
u32 gdb_frame(struct gdb_reply *r);

/* ---- fields of packets: *s is moved behind what is taken ---- */

/* A hexadecimal number of at least one digit and at most 64 bits. */
bool gdb_take_number(const char **s, u64 *value);
/* `n` bytes as 2n digits. */
bool gdb_take_bytes(const char **s, void *bytes, size_t n);
bool gdb_take_char(const char **s, char c);
/* A prefix. */
bool gdb_take_word(const char **s, const char *word);

#endif
