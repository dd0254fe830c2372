/* Guest-physical memory: the hole, the edges, physical access across them, memory-mapped regions. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/memory.h"
#include "monitor/vm.h"

static struct vm *vm;

static void set_up_size(u64 size)
{
	vm = calloc(1, sizeof(*vm));
	pthread_mutex_init(&vm->lock, NULL);
	ck_assert_int_eq(memory_init(&vm->mem, size), 0);
}

static void tear_down(void)
{
	memory_free(&vm->mem);
	free(vm);
}

START_TEST(layout)
{
	set_up_size(8 << 20);
	ck_assert_uint_eq((uintptr_t)vm->mem.ram % (2 << 20), 0);
	ck_assert_uint_eq(vm->mem.low_size, 8 << 20);
	ck_assert(vm->mem.a20_open);
	ck_assert_ptr_eq(ram_ptr(&vm->mem, 0), vm->mem.ram);
	ck_assert_ptr_eq(ram_ptr(&vm->mem, (8 << 20) - 1), vm->mem.ram + (8 << 20) - 1);
	ck_assert_ptr_null(ram_ptr(&vm->mem, 8 << 20));
	ck_assert_ptr_null(ram_ptr(&vm->mem, RAM_HIGH_BASE));
	ck_assert_uint_eq(ram_page(&vm->mem, vm->mem.ram + 0x5123), 5);
	tear_down();
}
END_TEST

START_TEST(above_the_hole)
{
	u32 x = 0x600df00d, y = 0;

	/* Overcommitted: only what is touched costs memory. */
	set_up_size(5ull << 30);
	ck_assert_uint_eq(vm->mem.low_size, RAM_LOW_MAX);
	ck_assert_ptr_null(ram_ptr(&vm->mem, RAM_LOW_MAX));
	ck_assert_ptr_eq(ram_ptr(&vm->mem, RAM_HIGH_BASE), vm->mem.ram + RAM_LOW_MAX);
	ck_assert_ptr_null(ram_ptr(&vm->mem, RAM_HIGH_BASE + (5ull << 30) - RAM_LOW_MAX));
	ck_assert(phys_write(vm, RAM_HIGH_BASE + 0x1000, &x, 4));
	ck_assert(phys_read(vm, RAM_HIGH_BASE + 0x1000, &y, 4));
	ck_assert_uint_eq(y, x);
	tear_down();
}
END_TEST

START_TEST(bad_sizes)
{
	struct memory m;

	ck_assert_int_eq(memory_init(&m, 0), -EINVAL);
	ck_assert_int_eq(memory_init(&m, 5000), -EINVAL);
	ck_assert_int_lt(memory_init(&m, 1ull << 62), 0);
}
END_TEST

START_TEST(across_the_end)
{
	u8 in[16], out[16];

	set_up_size(1 << 20);
	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (u8)(i + 1);
	ck_assert(!phys_write(vm, (1 << 20) - 8, in, 16));
	ck_assert(!phys_read(vm, (1 << 20) - 8, out, 16));
	ck_assert_mem_eq(out, in, 8);
	for (unsigned i = 8; i < 16; i++)
		ck_assert_uint_eq(out[i], 0xff);
	/* Round the end of the address space. */
	ck_assert(!phys_read(vm, UINT64_MAX - 7, out, 16));
	ck_assert_uint_eq(out[0], 0xff);
	tear_down();
}
END_TEST

START_TEST(across_pages)
{
	u8 in[10000], out[10000];

	set_up_size(1 << 20);
	for (unsigned i = 0; i < sizeof(in); i++)
		in[i] = (u8)(i * 7);
	ck_assert(phys_write(vm, 0xffe, in, sizeof(in)));
	ck_assert(phys_read(vm, 0xffe, out, sizeof(out)));
	ck_assert_mem_eq(in, out, sizeof(in));
	tear_down();
}
END_TEST

static u8 device[16];
static unsigned widest;

static u32 mmio_get(void *opaque, u64 offset, unsigned size)
{
	u32 x = 0;

	(void)opaque;
	ck_assert_uint_le(offset + size, sizeof(device));
	widest = MAX(widest, size);
	memcpy(&x, device + offset, size);
	return x;
}

static void mmio_put(void *opaque, u64 offset, u32 value, unsigned size)
{
	(void)opaque;
	ck_assert_uint_le(offset + size, sizeof(device));
	memcpy(device + offset, &value, size);
}

START_TEST(mmio)
{
	const u64 base = 0xfee00000;

	set_up_size(1 << 20);
	mmio_register(&vm->mem, &(struct mmio_range){base, 16, mmio_get, mmio_put, NULL});
	mmio_write(vm, base + 4, 0x11223344, 4);
	ck_assert_uint_eq(mmio_read(vm, base + 4, 4), 0x11223344);
	ck_assert_uint_eq(widest, 4);
	ck_assert_uint_eq(mmio_read(vm, base + 5, 2), 0x2233);
	ck_assert_uint_eq(mmio_read(vm, base + 7, 1), 0x11);
	/* Over the edges. */
	mmio_write(vm, base + 14, 0xaabbccdd, 4);
	ck_assert_uint_eq(mmio_read(vm, base + 14, 4), 0xffffccdd);
	ck_assert_uint_eq(mmio_read(vm, base - 1, 2) & 0xff, 0xff);
	ck_assert_uint_eq(mmio_read(vm, 0xd0000000, 4), 0xffffffff);
	tear_down();
}
END_TEST

START_TEST(mmio_overlap_is_fatal)
{
	set_up_size(1 << 20);
	mmio_register(&vm->mem, &(struct mmio_range){0xfec00000, 0x1000, NULL, NULL, NULL});
	mmio_register(&vm->mem, &(struct mmio_range){0xfec00fff, 1, NULL, NULL, NULL});
}
END_TEST

Suite *memory_suite(void);
Suite *memory_suite(void)
{
	Suite *s = suite_create("memory");
	TCase *t = tcase_create("memory");

	tcase_add_test(t, layout);
	tcase_add_test(t, above_the_hole);
	tcase_add_test(t, bad_sizes);
	tcase_add_test(t, across_the_end);
	tcase_add_test(t, across_pages);
	tcase_add_test(t, mmio);
	tcase_add_exit_test(t, mmio_overlap_is_fatal, 1);
	suite_add_tcase(s, t);
	return s;
}
