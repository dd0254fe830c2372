/* The debugger's protocol: packets, good ones and others, and what registers look like. */
#include "monitor/gdb_packet.h"
#include "monitor/gdb_regs.h"

#include <stdio.h>

#include "tests/unit/vm_harness.h"

static struct gdb_parser parser;

/* What a string ends in; all bytes before its last must yield GDB_MORE. */
static enum gdb_input feed(const char *text)
{
	enum gdb_input last = GDB_MORE;

	for (; *text; text++) {
		ck_assert_int_eq(last, GDB_MORE);
		last = gdb_parse(&parser, (u8)*text);
	}
	return last;
}

static void fresh(void)
{
	memset(&parser, 0, sizeof(parser));
}

START_TEST(packets)
{
	fresh();
	ck_assert_int_eq(feed("$g#67"), GDB_PACKET);
	ck_assert_str_eq((char *)parser.data, "g");
	ck_assert_uint_eq(parser.len, 1);
	ck_assert_int_eq(feed("$#00"), GDB_PACKET);
	ck_assert_uint_eq(parser.len, 0);
	ck_assert_int_eq(feed("+"), GDB_ACK);
	ck_assert_int_eq(feed("-"), GDB_NACK);
	ck_assert_int_eq(feed("\x03"), GDB_INTERRUPT);
	/* Noise between packets. */
	ck_assert_int_eq(feed("#00abc}$m0,4#FD"), GDB_PACKET);
	ck_assert_str_eq((char *)parser.data, "m0,4");
	/* Escaped: } and #, 03h is data within a packet. */
	ck_assert_int_eq(feed("$X}]}\x03\x03#b5"), GDB_PACKET);
	ck_assert_mem_eq(parser.data, "X}#\x03", 5);
}
END_TEST

START_TEST(bad_packets)
{
	fresh();
	ck_assert_int_eq(feed("$g#68"), GDB_CORRUPT);
	ck_assert_int_eq(feed("$g#x"), GDB_CORRUPT);
	ck_assert_int_eq(feed("$g#6"), GDB_MORE);
	ck_assert_int_eq(feed("$"), GDB_CORRUPT);
	/* A packet whose end was lost. */
	ck_assert_int_eq(feed("$m12$g#67"), GDB_PACKET);
	ck_assert_str_eq((char *)parser.data, "g");
	/* An escape without a byte. */
	ck_assert_int_eq(feed("$g}#e4"), GDB_PACKET);
	ck_assert_str_eq((char *)parser.data, "g");
}
END_TEST

static enum gdb_input feed_long(u32 n)
{
	char sum[4];

	ck_assert_int_eq(feed("$"), GDB_MORE);
	for (u32 i = 0; i < n; i++)
		if (gdb_parse(&parser, 'a') != GDB_MORE)
			ck_abort_msg("byte %u", i);
	snprintf(sum, sizeof(sum), "#%02x", (u8)(n * 'a'));
	return feed(sum);
}

START_TEST(long_packets)
{
	fresh();
	ck_assert_int_eq(feed_long(GDB_PACKET_MAX), GDB_PACKET);
	ck_assert_uint_eq(parser.len, GDB_PACKET_MAX);
	ck_assert_uint_eq(parser.data[GDB_PACKET_MAX], 0);
	ck_assert_int_eq(feed_long(GDB_PACKET_MAX + 1), GDB_TOO_LONG);
	ck_assert_int_eq(feed_long(1000000), GDB_TOO_LONG);
	ck_assert_int_eq(feed("$g#67"), GDB_PACKET);
	ck_assert_uint_eq(parser.len, 1);
}
END_TEST

START_TEST(random_bytes)
{
	u32 x = 12345, packets = 0;

	fresh();
	for (u32 i = 0; i < 3000000; i++) {
		static const u8 likely_ones[] = "$#}+-\x03"
						"06ag";
		x = x * 1664525 + 1013904223;
		u8 byte = x >> 30 ? likely_ones[(x >> 16) % (sizeof(likely_ones) - 1)] : (u8)(x >> 8);
		enum gdb_input in = gdb_parse(&parser, byte);
		/* Not ck_assert: each is a report to the runner. */
		if (parser.len > GDB_PACKET_MAX || (in == GDB_PACKET && parser.data[parser.len]))
			ck_abort_msg("%u bytes", parser.len);
		packets += in == GDB_PACKET;
	}
	ck_assert_uint_gt(packets, 0);
}
END_TEST

START_TEST(replies)
{
	static struct gdb_reply r;
	u8 byte = 0xa5;

	gdb_begin(&r);
	gdb_put(&r, "OK");
	ck_assert_uint_eq(gdb_frame(&r), 6);
	ck_assert_mem_eq(r.frame, "$OK#9a", 6);
	/* Framed again for a debugger that has not understood. */
	ck_assert_uint_eq(gdb_frame(&r), 6);
	gdb_begin(&r);
	gdb_put_hex(&r, &byte, 1);
	ck_assert(gdb_put_binary(&r, '#'));
	ck_assert_uint_eq(gdb_frame(&r), 8);
	ck_assert_mem_eq(r.frame, "$a5}\x03#", 6);
	gdb_begin(&r);
	for (u32 i = 0; i < GDB_REPLY_MAX; i++)
		gdb_put(&r, "x");
	ck_assert(!r.full);
	ck_assert(!gdb_put_binary(&r, 'x'));
	gdb_put(&r, "x");
	ck_assert(r.full);
	ck_assert_uint_eq(gdb_frame(&r), GDB_REPLY_MAX + 4);
}
END_TEST

START_TEST(fields)
{
	const char *s = "1F,ffffffffffffffff:10000000000000000";
	u8 two[2];
	u64 x;

	ck_assert(gdb_take_number(&s, &x));
	ck_assert_uint_eq(x, 0x1f);
	ck_assert(!gdb_take_number(&s, &x));
	ck_assert(gdb_take_char(&s, ','));
	ck_assert(gdb_take_number(&s, &x));
	ck_assert(x == ~0ull);
	ck_assert(gdb_take_word(&s, ":"));
	ck_assert(!gdb_take_number(&s, &x));
	s = "a5";
	ck_assert(!gdb_take_bytes(&s, two, 2));
	ck_assert(gdb_take_bytes(&s, two, 1));
	ck_assert_uint_eq(two[0], 0xa5);
	ck_assert_str_eq(s, "");
}
END_TEST

START_TEST(registers)
{
	u8 x[GDB_REG_MAX] = {0};
	u32 total = 0;
	static char xml[32768];
	long size;

	machine_create();
	for (unsigned n = 0; n < gdb_reg_count(); n++) {
		ck_assert_uint_le(gdb_reg_size(n), GDB_REG_MAX);
		ck_assert_uint_eq(gdb_reg_read(v, n, x), gdb_reg_size(n));
		total += gdb_reg_size(n);
		/* Each takes what it has. */
		ck_assert_msg(gdb_reg_write(v, n, x), "register %u", n);
	}
	/* All of them go into a packet. */
	ck_assert_uint_le(2 * total, GDB_PACKET_MAX);
	ck_assert_uint_eq(gdb_reg_read(v, gdb_reg_count(), x), 0);
	ck_assert(!gdb_reg_write(v, gdb_reg_count(), x));
	v->regs[REG_ESP] = 0x12345678;
	gdb_reg_read(v, 4, x);
	ck_assert_mem_eq(x, "\x78\x56\x34\x12", 4);
	/* Neither CR0 nor EFLAGS.VM nor a selector of protected mode can be changed, nor MXCSR's reserved bits be set. */
	memset(x, 0xff, sizeof(x));
	ck_assert(!gdb_reg_write(v, 9, x));
	ck_assert(!gdb_reg_write(v, 10, x));
	ck_assert(!gdb_reg_write(v, 40, x));
	ck_assert(!gdb_reg_write(v, 43, x));
	/* Tags: empty at first, one and zero pushed. */
	v->fx[4] = 0xc0;
	v->fx[3] = 0x30; /* TOP 6 */
	memset(v->fx + 32, 0, 32);
	v->fx[32 + 7] = 0x80;
	v->fx[32 + 8] = 0xff;
	v->fx[32 + 9] = 0x3f;
	gdb_reg_read(v, 26, x);
	ck_assert_uint_eq(x[0] | x[1] << 8, 0x4fff);
	for (const char *const *name = (const char *const[]){"target.xml", "i386-core.xml", "i386-sse.xml", "i386-system.xml", NULL}; *name;
	     name++) {
		size = gdb_xml(*name, 0, xml, sizeof(xml) - 1);
		ck_assert_int_gt(size, 0);
		ck_assert_int_lt(size, (long)sizeof(xml));
		xml[size] = '\0';
		ck_assert_ptr_nonnull(strstr(xml, **name == 't' ? "</target>" : "</feature>"));
		/* In pieces it is the same. */
		char piece[8] = {0};
		ck_assert_int_eq(gdb_xml(*name, (size_t)size - 5, piece, 7), size);
		ck_assert_str_eq(piece, xml + size - 5);
	}
	ck_assert_int_eq(gdb_xml("other.xml", 0, xml, 1), -1);
	machine_destroy();
}
END_TEST

Suite *gdb_suite(void)
{
	Suite *s = suite_create("gdb");
	TCase *t = tcase_create("gdb");

	tcase_add_test(t, packets);
	tcase_add_test(t, bad_packets);
	tcase_add_test(t, long_packets);
	tcase_add_test(t, random_bytes);
	tcase_add_test(t, replies);
	tcase_add_test(t, fields);
	tcase_add_test(t, registers);
	suite_add_tcase(s, t);
	return s;
}
