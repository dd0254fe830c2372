/* The port registry: who is asked, with what size, and how wide accesses are split. */
#include <check.h>
#include <stdlib.h>

#include "monitor/io.h"
#include "monitor/vm.h"

static struct vm *vm;
static struct {
	u16 port;
	u32 value;
	unsigned size;
} seen[16];
static unsigned seen_count;

static u32 read_port(void *opaque, u16 port, unsigned size)
{
	seen[seen_count].port = port;
	seen[seen_count++].size = size;
	return opaque ? *(u32 *)opaque : port;
}

static void write_port(void *opaque, u16 port, u32 value, unsigned size)
{
	(void)opaque;
	seen[seen_count].port = port;
	seen[seen_count].value = value;
	seen[seen_count++].size = size;
}

static void set_up(void)
{
	vm = calloc(1, sizeof(*vm));
	pthread_mutex_init(&vm->lock, NULL);
	seen_count = 0;
}

static void tear_down(void)
{
	pthread_mutex_destroy(&vm->lock);
	free(vm);
}

static void claim(u16 first, u16 last, unsigned max_size)
{
	io_register(vm, &(struct port_range){first, last, max_size, read_port, write_port, NULL});
}

START_TEST(unclaimed)
{
	ck_assert_uint_eq(io_read(vm, 0x80, 1), 0xff);
	ck_assert_uint_eq(io_read(vm, 0x80, 2), 0xffff);
	ck_assert_uint_eq(io_read(vm, 0xffff, 4), 0xffffffff);
	io_write(vm, 0xffff, 0x12345678, 4);
	ck_assert_uint_eq(seen_count, 0);
}
END_TEST

START_TEST(bounds)
{
	claim(0x60, 0x64, 1);
	ck_assert_uint_eq(io_read(vm, 0x5f, 1), 0xff);
	ck_assert_uint_eq(io_read(vm, 0x60, 1), 0x60);
	ck_assert_uint_eq(io_read(vm, 0x64, 1), 0x64);
	ck_assert_uint_eq(io_read(vm, 0x65, 1), 0xff);
	ck_assert_uint_eq(seen_count, 2);
}
END_TEST

START_TEST(splits_low_byte_first)
{
	claim(0x20, 0x21, 1);
	io_write(vm, 0x20, 0x1234, 2);
	ck_assert_uint_eq(seen_count, 2);
	ck_assert_uint_eq(seen[0].port, 0x20);
	ck_assert_uint_eq(seen[0].value, 0x34);
	ck_assert_uint_eq(seen[0].size, 1);
	ck_assert_uint_eq(seen[1].port, 0x21);
	ck_assert_uint_eq(seen[1].value, 0x12);
	ck_assert_uint_eq(io_read(vm, 0x20, 2), 0x2120);
	/* Half of it belongs to nobody. */
	ck_assert_uint_eq(io_read(vm, 0x20, 4), 0xffff2120);
	ck_assert_uint_eq(io_read(vm, 0x1f, 2), 0x20ff);
}
END_TEST

START_TEST(wide_devices)
{
	u32 value = 0xcafebabe;

	io_register(vm, &(struct port_range){0xcf8, 0xcfb, 4, read_port, write_port, &value});
	ck_assert_uint_eq(io_read(vm, 0xcf8, 4), 0xcafebabe);
	ck_assert_uint_eq(seen_count, 1);
	ck_assert_uint_eq(io_read(vm, 0xcf8, 2), 0xbabe);
	/* Across the end of the range: one half is the device's. */
	ck_assert_uint_eq(io_read(vm, 0xcfa, 4), 0xffffbabe);
	ck_assert_uint_eq(seen[2].size, 2);
}
END_TEST

START_TEST(end_of_port_space)
{
	claim(0xffff, 0xffff, 4);
	ck_assert_uint_eq(io_read(vm, 0xffff, 1), 0xff);
	ck_assert_uint_eq(io_read(vm, 0xffff, 4), 0xffffffff);
	ck_assert_uint_eq(seen_count, 2);
	io_write(vm, 0xffff, 0x11223344, 4);
	ck_assert_uint_eq(seen[2].value, 0x44);
}
END_TEST

START_TEST(no_handlers)
{
	io_register(vm, &(struct port_range){0x80, 0x80, 1, NULL, NULL, NULL});
	ck_assert_uint_eq(io_read(vm, 0x80, 1), 0xff);
	io_write(vm, 0x80, 1, 1);
}
END_TEST

START_TEST(overlap_is_fatal)
{
	claim(0x60, 0x60, 1);
	claim(0x5f, 0x61, 1);
}
END_TEST

START_TEST(every_range_of_the_table)
{
	for (u16 i = 0; i < MAX_PORT_RANGES; i++)
		claim((u16)(0x1000 + i), (u16)(0x1000 + i), 1);
	for (u16 i = 0; i < MAX_PORT_RANGES; i++) {
		seen_count = 0;
		ck_assert_uint_eq(io_read(vm, (u16)(0x1000 + i), 1), i);
		ck_assert_uint_eq(seen[0].port, 0x1000 + i);
	}
}
END_TEST

Suite *io_suite(void);
Suite *io_suite(void)
{
	Suite *s = suite_create("io");
	TCase *t = tcase_create("ports");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, unclaimed);
	tcase_add_test(t, bounds);
	tcase_add_test(t, splits_low_byte_first);
	tcase_add_test(t, wide_devices);
	tcase_add_test(t, end_of_port_space);
	tcase_add_test(t, no_handlers);
	tcase_add_exit_test(t, overlap_is_fatal, 1);
	tcase_add_test(t, every_range_of_the_table);
	suite_add_tcase(s, t);
	return s;
}
