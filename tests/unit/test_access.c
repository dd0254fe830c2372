/*
 * Memory accesses of the monitor's C: every size across page and address-space ends, faults before anything changes, alignment checks and
 * data breakpoints.
 */
#include "tests/unit/vm_harness.h"

#include "shadowpt/access.h"

/* Linear pages A and A + 1 lie apart, and in the wrong order, in RAM. */
#define A	  0x40000000u
#define PA_FIRST  0x305000u
#define PA_SECOND 0x301000u

static void set_up(u32 first_flags, u32 second_flags)
{
	machine_create();
	cpu_flat(3);
	paging_on();
	map_page(A, PA_FIRST, first_flags);
	map_page(A + PAGE_SIZE, PA_SECOND, second_flags);
	for (u32 i = 0; i < PAGE_SIZE; i++) {
		poke(PA_FIRST + i, i * 7 + 1, 1);
		poke(PA_SECOND + i, i * 5 + 3, 1);
	}
}

static u8 byte_at(u32 offset)
{
	return (u8)peek(offset < PAGE_SIZE ? PA_FIRST + offset : PA_SECOND + offset - PAGE_SIZE, 1);
}

#define ALL (PTE_P | PTE_W | PTE_U)

START_TEST(sizes_and_offsets)
{
	static const unsigned sizes[] = {1, 2, 4, 8};

	set_up(ALL, ALL);
	for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++) {
		for (u32 off = PAGE_SIZE - 9; off < PAGE_SIZE + 2; off++) {
			unsigned n = sizes[k];
			u64 want = 0, mask = n == 8 ? ~0ull : (1ull << (8 * n)) - 1;
			for (unsigned i = 0; i < n; i++)
				want |= (u64)byte_at(off + i) << (8 * i);
			ck_assert_uint_eq(lin_read(v, A + off, n, ACC_USER), want);
			u8 before = byte_at(off - 1), after = byte_at(off + n);
			u64 x = 0x1122334455667788ull * (off + n);
			lin_write(v, A + off, x, n, ACC_USER);
			ck_assert_uint_eq(lin_read(v, A + off, n, ACC_USER), x & mask);
			ck_assert_uint_eq(byte_at(off + n - 1), (u8)(x >> (8 * (n - 1))));
			ck_assert_uint_eq(byte_at(off - 1), before);
			ck_assert_uint_eq(byte_at(off + n), after);
		}
	}
	machine_destroy();
}
END_TEST

START_TEST(buffers)
{
	u8 in[PAGE_SIZE], out[PAGE_SIZE];

	set_up(ALL, ALL);
	for (u32 i = 0; i < PAGE_SIZE; i++)
		in[i] = (u8)(i ^ 0x5a);
	for (u32 off = 1; off < PAGE_SIZE; off += 511) {
		lin_write_buf(v, A + off, in, PAGE_SIZE, ACC_USER);
		for (u32 i = 0; i < PAGE_SIZE; i++)
			ck_assert_uint_eq(byte_at(off + i), in[i]);
		lin_read_buf(v, A + off, out, PAGE_SIZE, ACC_USER);
		ck_assert_mem_eq(in, out, PAGE_SIZE);
	}
	machine_destroy();
}
END_TEST

/* The last bytes of the address space and the first ones. */
START_TEST(wrap)
{
	machine_create();
	paging_on();
	map_page(0xfffff000, PA_FIRST, ALL);
	lin_write(v, 0xfffffffe, 0x44332211, 4, 0);
	ck_assert_uint_eq(peek(PA_FIRST + 0xffe, 2), 0x2211);
	ck_assert_uint_eq(peek(0, 2), 0x4433);
	ck_assert_uint_eq(lin_read(v, 0xfffffffe, 4, 0), 0x44332211);
	machine_destroy();
}
END_TEST

START_TEST(faults_change_nothing)
{
	static const u8 zeros[64];

	/* Read-only, not present, or the supervisor's, in the second page. */
	static const struct {
		u32 flags;
		int acc;
		u32 error;
	} cases[] = {
		{PTE_P | PTE_U, ACC_USER, PFERR_P | PFERR_W | PFERR_U},
		{PTE_W | PTE_U, ACC_USER, PFERR_W | PFERR_U},
		{PTE_P | PTE_W, ACC_USER, PFERR_P | PFERR_W | PFERR_U},
		{PTE_P | PTE_U, 0, PFERR_P | PFERR_W},
		{PTE_W, 0, PFERR_W},
	};
	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		set_up(ALL, cases[k].flags);
		u8 before[16];
		for (u32 i = 0; i < sizeof(before); i++)
			before[i] = byte_at(PAGE_SIZE - 8 + i);
		ck_assert_int_eq(CATCH(lin_write(v, A + PAGE_SIZE - 1, 0, 4, cases[k].acc)), EXC_PF);
		ck_assert_uint_eq(v->pending.error_code, cases[k].error);
		ck_assert_uint_eq(v->cr2, A + PAGE_SIZE);
		ck_assert_int_eq(CATCH(lin_write_buf(v, A + PAGE_SIZE - 7, zeros, 64, cases[k].acc)), EXC_PF);
		ck_assert_uint_eq(v->cr2, A + PAGE_SIZE);
		ck_assert_int_eq(CATCH(lin_probe(v, A + PAGE_SIZE - 7, 64, cases[k].acc | ACC_WRITE)), EXC_PF);
		for (u32 i = 0; i < sizeof(before); i++)
			ck_assert_uint_eq(byte_at(PAGE_SIZE - 8 + i), before[i]);
		machine_destroy();
	}
	/* In the first page: the address is that of the access. */
	set_up(0, ALL);
	ck_assert_int_eq(CATCH(lin_read(v, A + PAGE_SIZE - 1, 4, ACC_USER)), EXC_PF);
	ck_assert_uint_eq(v->cr2, A + PAGE_SIZE - 1);
	ck_assert_uint_eq(v->pending.error_code, PFERR_U);
	machine_destroy();
}
END_TEST

START_TEST(devices)
{
	machine_create();
	ck_assert_uint_eq(lin_read(v, H_MMIO + 0x12, 1, 0), 0x12);
	ck_assert_uint_eq(lin_read(v, H_MMIO + 0x14, 4, 0), 0x17161514);
	ck_assert_uint_eq(lin_read(v, H_MMIO + 0x15, 4, 0), 0x18171615);
	ck_assert_uint_eq(lin_read(v, H_MMIO + 0x20, 8, 0), 0x2726252423222120ull);
	mmio_count = 0;
	lin_write(v, H_MMIO + 0x40, 0x1122334455667788ull, 8, 0);
	ck_assert_uint_eq(mmio_count, 2);
	ck_assert_uint_eq(mmio_seen[0].value, 0x55667788);
	ck_assert_uint_eq(mmio_seen[1].offset, 0x44);
	ck_assert_uint_eq(mmio_seen[1].value, 0x11223344);
	mmio_count = 0;
	lin_write(v, H_MMIO + 0x42, 0xaabbccdd, 4, 0);
	ck_assert_uint_eq(mmio_count, 2);
	ck_assert_uint_eq(mmio_seen[0].size, 2);
	ck_assert_uint_eq(mmio_seen[1].value, 0xaabb);
	/* The video hole has bytes behind it in RAM, which must not be seen. */
	ck_assert_uint_eq(lin_read(v, 0xa0000, 4, 0), 0xffffffffu);
	lin_write(v, 0xb8000, 0x12345678, 4, 0);
	ck_assert_uint_eq(*(u32 *)(vm->mem.ram + 0xb8000), 0);
	/* Where nothing answers */
	ck_assert_uint_eq(lin_read(v, 0xe0000000u, 8, 0), ~0ull);
	machine_destroy();
}
END_TEST

START_TEST(alignment)
{
	set_up(ALL, ALL);
	v->cr0 |= CR0_AM;
	v->sysflags |= EFLAGS_AC;
	static const unsigned sizes[] = {1, 2, 4, 8};
	for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++) {
		for (u32 off = 0; off < 8; off++) {
			int want = off % sizes[k] ? EXC_AC : -1;
			ck_assert_int_eq(CATCH(lin_read(v, A + off, sizes[k], ACC_USER)), want);
			ck_assert_int_eq(CATCH(lin_write(v, A + off, 0, sizes[k], ACC_USER)), want);
		}
	}
	/* System structures, and other privileges, are not checked. */
	ck_assert_int_eq(CATCH(lin_read(v, A + 1, 4, 0)), -1);
	v->cpl = 0;
	ck_assert_int_eq(CATCH(lin_read(v, A + 1, 4, ACC_USER)), -1);
	v->cpl = 3;
	v->cr0 &= ~CR0_AM;
	ck_assert_int_eq(CATCH(lin_read(v, A + 1, 4, ACC_USER)), -1);
	v->cr0 |= CR0_AM;
	v->sysflags &= ~EFLAGS_AC;
	ck_assert_int_eq(CATCH(lin_read(v, A + 1, 4, ACC_USER)), -1);
	machine_destroy();
}
END_TEST

/* SDM Vol. 3B 17.2.4 and 17.2.5 */
START_TEST(watchpoints)
{
	static const u32 length_bits[] = {0, 0, 1, 0, 3, 0, 0, 0, 2};
	static const u32 lengths[] = {1, 2, 4, 8};

	set_up(ALL, ALL);
	for (unsigned n = 0; n < 4; n++) {
		for (unsigned k = 0; k < ARRAY_SIZE(lengths); k++) {
			for (unsigned rw = 1; rw <= 3; rw++) {
				u32 at = A + 0x100;
				v->dr[n] = at;
				v->dr[7] = 0x400 | 1u << (2 * n) | rw << (16 + 4 * n) | length_bits[lengths[k]] << (18 + 4 * n);
				for (u32 a = at - 9; a < at + 10; a++) {
					bool overlap = a < at + lengths[k] && at < a + 4;
					v->pending_db = 0;
					lin_read(v, a, 4, ACC_USER);
					ck_assert_uint_eq(v->pending_db, overlap && rw == 3 ? 1u << n : 0);
					v->pending_db = 0;
					lin_write(v, a, 0, 4, ACC_USER);
					ck_assert_uint_eq(v->pending_db, overlap && rw != 2 ? 1u << n : 0);
				}
			}
		}
		v->dr[7] = 0x400;
	}
	/* The breakpoint's address is aligned to its length; two can hit at once. */
	v->dr[0] = A + 0x203;
	v->dr[1] = A + 0x200;
	v->dr[7] = 0x400 | 1 | 4 | 0xfu << 16 | 0xdu << 20;
	v->pending_db = 0;
	lin_write(v, A + 0x200, 0, 1, ACC_USER);
	ck_assert_uint_eq(v->pending_db, 3);
	machine_destroy();
}
END_TEST

Suite *access_suite(void)
{
	Suite *s = suite_create("access");
	TCase *c = tcase_create("access");

	tcase_add_test(c, sizes_and_offsets);
	tcase_add_test(c, buffers);
	tcase_add_test(c, wrap);
	tcase_add_test(c, faults_change_nothing);
	tcase_add_test(c, devices);
	tcase_add_test(c, alignment);
	tcase_add_test(c, watchpoints);
	suite_add_tcase(s, c);
	return s;
}
