/*
 * The flat tables of the checked flavour: when an entry exists, with which rights, and what drops it; and the accesses that cannot go
 * through them, made by translated code: across pages, to devices, to its own bytes.
 */
#include "tests/unit/vm_harness.h"

#include "cache/smc.h"
#include "shadowpt/softmmu.h"

#define A    0x40000000u
#define ALL  (PTE_P | PTE_W | PTE_U)
#define USER true
#define SUP  false

static u64 entry(u32 linear, bool user, bool write)
{
	return v->mmu->table[user ? MMU_USER : MMU_SUPERVISOR][2 * (u64)(linear >> PAGE_SHIFT) + (write ? MMU_HALF_ENTRIES : 0)];
}

/* Fills by an access of C; NULL if there can be no entry. */
static u8 *touch(u32 linear, int acc)
{
	u32 room;
	u8 *p = softmmu_span(v, linear, acc, &room);
	ck_assert_uint_eq(room, PAGE_SIZE - (linear & PAGE_MASK));
	return p;
}

START_TEST(halves_and_dirty)
{
	machine_create();
	paging_on();
	u32 pte = map_page(A, 0x300000, ALL);
	ck_assert_ptr_eq(touch(A + 0x10, ACC_USER), vm->mem.ram + 0x300010);
	ck_assert_uint_eq(entry(A, USER, false) + A, (u64)vm->mem.ram + 0x300000);
	/* Not dirty yet: a write has to come by. */
	ck_assert_uint_eq(entry(A, USER, true), 0);
	ck_assert_uint_eq(entry(A, SUP, false), 0);
	ck_assert_uint_eq(peek(pte, 4) & (PTE_A | PTE_D), PTE_A);
	ck_assert_ptr_eq(touch(A + 0x10, ACC_USER | ACC_WRITE), vm->mem.ram + 0x300010);
	ck_assert_uint_eq(entry(A, USER, true), entry(A, USER, false));
	ck_assert_uint_eq(peek(pte, 4) & (PTE_A | PTE_D), PTE_A | PTE_D);
	/* The odd entries, for accesses across the page's end, never exist. */
	ck_assert_uint_eq(v->mmu->table[MMU_USER][2 * (A >> PAGE_SHIFT) + 1], 0);
	/* A dirty page gets both at once; one that may not be written does not. */
	map_page(A + 0x1000, 0x301000, ALL | PTE_D);
	touch(A + 0x1000, ACC_USER);
	ck_assert_uint_ne(entry(A + 0x1000, USER, true), 0);
	map_page(A + 0x2000, 0x302000, PTE_P | PTE_U | PTE_D);
	touch(A + 0x2000, ACC_USER);
	ck_assert_uint_ne(entry(A + 0x2000, USER, false), 0);
	ck_assert_uint_eq(entry(A + 0x2000, USER, true), 0);
	/* The supervisor may with WP clear, and its entry is not the user's. */
	v->cr0 &= ~CR0_WP;
	touch(A + 0x2000, ACC_WRITE);
	ck_assert_uint_ne(entry(A + 0x2000, SUP, true), 0);
	ck_assert_uint_eq(entry(A + 0x2000, USER, true), 0);
	machine_destroy();
}
END_TEST

START_TEST(flushes)
{
	machine_create();
	paging_on();
	map_page(A, 0x300000, ALL | PTE_D);
	map_page(A + 0x1000, 0x301000, ALL | PTE_D | PTE_G);
	for (int round = 0; round < 2; round++) {
		for (int user = 0; user < 2; user++) {
			touch(A, user ? ACC_USER : 0);
			touch(A + 0x1000, user ? ACC_USER : 0);
		}
		mmu_flush_nonglobal(v);
		for (int user = 0; user < 2; user++) {
			ck_assert_uint_eq(entry(A, user, false) | entry(A, user, true), 0);
			ck_assert_uint_ne(entry(A + 0x1000, user, false), 0);
			ck_assert_uint_ne(entry(A + 0x1000, user, true), 0);
			touch(A, user ? ACC_USER : 0);
		}
		mmu_flush_all(v);
		for (int user = 0; user < 2; user++)
			for (u32 at = A; at <= A + 0x1000; at += 0x1000)
				ck_assert_uint_eq(entry(at, user, false) | entry(at, user, true), 0);
	}
	/* G means nothing without CR4.PGE. */
	v->cr4 &= ~CR4_PGE;
	touch(A + 0x1000, 0);
	mmu_flush_nonglobal(v);
	ck_assert_uint_eq(entry(A + 0x1000, SUP, false), 0);
	machine_destroy();
}
END_TEST

START_TEST(invlpg)
{
	machine_create();
	paging_on();
	for (u32 i = 0; i < 3; i++) {
		map_page(A + i * PAGE_SIZE, 0x300000 + i * PAGE_SIZE, ALL | PTE_D | PTE_G);
		touch(A + i * PAGE_SIZE, 0);
		touch(A + i * PAGE_SIZE, ACC_USER);
	}
	/* Global pages too, of both privileges, and no others. */
	mmu_invlpg(v, A + 0x1abc);
	for (int user = 0; user < 2; user++) {
		ck_assert_uint_ne(entry(A, user, true), 0);
		ck_assert_uint_eq(entry(A + 0x1000, user, true) | entry(A + 0x1000, user, false), 0);
		ck_assert_uint_ne(entry(A + 0x2000, user, true), 0);
	}
	/* Anywhere in a large page drops all of it. */
	poke(v->cr3 + (0x50000000u >> 22) * 4, ALL | PTE_PS | PTE_D | PTE_G, 4);
	touch(0x50000000, 0);
	touch(0x503ff000, 0);
	touch(0x50200000, 0);
	mmu_invlpg(v, 0x50111222);
	ck_assert_uint_eq(entry(0x50000000, SUP, false) | entry(0x503ff000, SUP, true) | entry(0x50200000, SUP, false), 0);
	machine_destroy();
}
END_TEST

/* More entries than a log holds: none may escape the flush. */
START_TEST(log_overflow)
{
	const u32 pages = MMU_LOG_SIZE + 3000;

	machine_create_sized((u64)pages * PAGE_SIZE + (2 << 20) - ((u64)pages * PAGE_SIZE) % (2 << 20), 4 << 20);
	for (u32 i = 0; i < pages; i++)
		touch(i * PAGE_SIZE, i & 1 ? ACC_USER : ACC_WRITE);
	ck_assert_uint_ne(entry((pages - 1) * PAGE_SIZE, (pages - 1) & 1, false), 0);
	mmu_flush_all(v);
	for (u32 i = 0; i < pages; i++)
		for (int k = 0; k < 4; k++)
			ck_assert_uint_eq(entry(i * PAGE_SIZE, k & 1, k & 2), 0);
	machine_destroy();
}
END_TEST

/* A page that gets code is writable through none of its aliases, few or many. */
START_TEST(protect_page)
{
	for (unsigned aliases = 0; aliases <= 5; aliases++) {
		machine_create();
		paging_on();
		for (u32 i = 0; i < aliases; i++) {
			map_page(A + i * 0x10000, 0x300000, ALL | PTE_D);
			touch(A + i * 0x10000, i & 1 ? ACC_USER | ACC_WRITE : ACC_WRITE);
			/* Again, after an entry was dropped: not another writer. */
			mmu_invlpg(v, A + i * 0x10000);
			touch(A + i * 0x10000, i & 1 ? ACC_USER | ACC_WRITE : ACC_WRITE);
		}
		map_page(A + 0x1000, 0x301000, ALL | PTE_D);
		touch(A + 0x1000, ACC_WRITE);
		softmmu_protect_page(v, ram_page(&vm->mem, ram_ptr(&vm->mem, 0x300000)));
		for (u32 i = 0; i < aliases; i++)
			ck_assert_uint_eq(entry(A + i * 0x10000, i & 1, true), 0);
		if (aliases && aliases < 3)
			ck_assert_uint_ne(entry(A, SUP, false), 0);
		/* While it holds code, it is read through an entry and written through none. */
		smc_page(v, ram_page(&vm->mem, ram_ptr(&vm->mem, 0x300000)))->granules = 1;
		map_page(A, 0x300000, ALL | PTE_D);
		ck_assert_ptr_null(touch(A, ACC_WRITE));
		ck_assert_ptr_nonnull(touch(A, ACC_READ));
		ck_assert_uint_eq(entry(A, SUP, true), 0);
		ck_assert_ptr_nonnull(touch(A + 0x1000, ACC_WRITE));
		machine_destroy();
	}
}
END_TEST

START_TEST(no_entry)
{
	machine_create();
	ck_assert_ptr_null(touch(H_MMIO, ACC_READ));
	ck_assert_ptr_null(touch(0xe0000000u, ACC_WRITE));
	/* The video hole, and only it. */
	ck_assert_ptr_nonnull(touch(0x9f000, ACC_WRITE));
	ck_assert_ptr_null(touch(0xa0000, ACC_READ));
	ck_assert_ptr_null(touch(0xbf000, ACC_WRITE));
	ck_assert_ptr_nonnull(touch(0xc0000, ACC_READ));
	ck_assert_uint_eq(entry(0xa0000, SUP, false) | entry(H_MMIO, SUP, false), 0);
	/* Data breakpoints and alignment checks want to see everything. */
	v->dr[7] = 0x400 | 1 | 1u << 16;
	ck_assert_ptr_null(touch(0x300000, ACC_READ));
	ck_assert_ptr_eq(softmmu_table(v), v->mmu->table[MMU_EMPTY]);
	/* A breakpoint on execution does not. */
	v->dr[7] = 0x400 | 1;
	ck_assert_ptr_eq(softmmu_table(v), v->mmu->table[MMU_SUPERVISOR]);
	v->cpl = 3;
	ck_assert_ptr_eq(softmmu_table(v), v->mmu->table[MMU_USER]);
	v->cr0 |= CR0_AM;
	v->sysflags |= EFLAGS_AC;
	ck_assert_ptr_eq(softmmu_table(v), v->mmu->table[MMU_EMPTY]);
	machine_destroy();
}
END_TEST

/* ---- by translated code ---- */

#define CODE 0x20000u

static void run_paged(void)
{
	machine_create();
	paging_on();
	map_page(CODE, CODE, ALL | PTE_D);
}

/* Two pages apart in RAM: the access is one, the bytes lie in two places. */
START_TEST(crossing)
{
	run_paged();
	map_page(A, 0x305000, ALL | PTE_D);
	map_page(A + 0x1000, 0x301000, ALL | PTE_D);
	poke(0x305ffe, 0x2211, 2);
	poke(0x301000, 0x4433, 2);
	/* mov eax, [A+ffe] ; add [A+ffd], eax ; inc word [A+fff] ; int3 */
	PUT(CODE, 0xa1, 0xfe, 0x0f, 0x00, 0x40, 0x01, 0x05, 0xfd, 0x0f, 0x00, 0x40, 0x66, 0xff, 0x05, 0xff, 0x0f, 0x00, 0x40, 0xcc);
	poke(0x305ffd, 0x01, 1);
	vm_run_ok(CODE);
	ck_assert_uint_eq(v->regs[REG_EAX], 0x44332211);
	/* 33221101 + 44332211 = 77553312, then 7755 + 1 at ..fff */
	ck_assert_uint_eq(peek(0x305ffd, 1), 0x12);
	ck_assert_uint_eq(peek(0x305ffe, 1), 0x33);
	ck_assert_uint_eq(peek(0x305fff, 1), 0x56);
	ck_assert_uint_eq(peek(0x301000, 1), 0x77);
	ck_assert_uint_eq(peek(0x301001, 1), 0x44);
	ck_assert_uint_eq(peek(0x306000, 2) | peek(0x300fff, 1), 0);
	machine_destroy();
}
END_TEST

/* RAM and a device in one access. */
START_TEST(crossing_to_device)
{
	run_paged();
	map_page(A, 0x305000, ALL | PTE_D);
	map_page(A + 0x1000, H_MMIO, ALL | PTE_D);
	poke(0x305ffe, 0xbbaa, 2);
	/* mov eax, [A+ffe] ; mov [A+fff], edx ; int3 */
	PUT(CODE, 0xa1, 0xfe, 0x0f, 0x00, 0x40, 0x89, 0x15, 0xff, 0x0f, 0x00, 0x40, 0xcc);
	v->regs[REG_EDX] = 0x04030201;
	vm_run_ok(CODE);
	ck_assert_uint_eq(v->regs[REG_EAX], 0x0100bbaa);
	ck_assert_uint_eq(peek(0x305fff, 1), 0x01);
	ck_assert_uint_eq(mmio_count, 3);
	ck_assert(!mmio_seen[0].write);
	ck_assert_uint_eq(mmio_seen[0].size, 2);
	ck_assert(mmio_seen[1].write && mmio_seen[1].size == 2 && mmio_seen[1].offset == 0 && mmio_seen[1].value == 0x0302);
	ck_assert(mmio_seen[2].write && mmio_seen[2].size == 1 && mmio_seen[2].offset == 2 && mmio_seen[2].value == 0x04);
	machine_destroy();
}
END_TEST

START_TEST(device_accesses)
{
	static const struct {
		u32 offset, size;
		bool write;
		u32 value;
	} want[] = {
		{0x10, 1, false, 0x10},	     {0x12, 2, false, 0x1312}, {0x14, 4, false, 0x17161514}, {0x20, 4, false, 0x23222120},
		{0x20, 4, true, 0x23222125}, {0x30, 1, true, 0x7f},    {0x40, 4, true, 0x11223344},  {0x44, 4, true, 0},
	};

	machine_create();
	/*
	 * mov al, [10] ; mov cx, [12] ; mov edx, [14] ; add dword [20], 5 ; mov byte [30], 7f ; movq [40], xmm0 (all + H_MMIO); int3
	 */
	PUT(CODE, 0xa0, 0x10, 0x00, 0x00, 0xd0, 0x66, 0x8b, 0x0d, 0x12, 0x00, 0x00, 0xd0, 0x8b, 0x15, 0x14, 0x00, 0x00, 0xd0, 0x83, 0x05,
	    0x20, 0x00, 0x00, 0xd0, 0x05, 0xc6, 0x05, 0x30, 0x00, 0x00, 0xd0, 0x7f, 0x66, 0x0f, 0xd6, 0x05, 0x40, 0x00, 0x00, 0xd0, 0xcc);
	v->cr4 |= CR4_OSFXSR;
	/* XMM0: it survives the devices' C. */
	memcpy(v->fx + 160, &(u32){0x11223344}, 4);
	vm_run_ok(CODE);
	ck_assert_uint_eq(v->regs[REG_EAX] & 0xff, 0x10);
	ck_assert_uint_eq(v->regs[REG_ECX] & 0xffff, 0x1312);
	ck_assert_uint_eq(v->regs[REG_EDX], 0x17161514);
	ck_assert_uint_eq(mmio_count, ARRAY_SIZE(want));
	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		ck_assert_uint_eq(mmio_seen[i].offset, want[i].offset);
		ck_assert_uint_eq(mmio_seen[i].size, want[i].size);
		ck_assert_int_eq(mmio_seen[i].write, want[i].write);
		ck_assert_uint_eq(mmio_seen[i].value, want[i].value);
	}
	machine_destroy();
}
END_TEST

/* A fault in the second page of a read-modify-write: nothing has changed, the faulting address is that page's. */
START_TEST(crossing_fault)
{
	run_paged();
	map_page(A, 0x305000, ALL | PTE_D);
	map_page(A + 0x1000, 0x301000, PTE_P | PTE_U);
	poke(0x305ffe, 0x2211, 2);
	/* nop ; add [A+ffe], eax */
	PUT(CODE, 0x90, 0x01, 0x05, 0xfe, 0x0f, 0x00, 0x40);
	v->regs[REG_EAX] = 0x01010101;
	v->eip = CODE;
	struct outcome o = vm_run();
	ck_assert_int_eq(o.vector, EXC_PF);
	ck_assert_uint_eq(o.error, PFERR_P | PFERR_W);
	ck_assert_uint_eq(o.eip, CODE + 1);
	ck_assert_uint_eq(v->cr2, A + 0x1000);
	ck_assert_uint_eq(peek(0x305ffe, 2), 0x2211);
	ck_assert_uint_eq(peek(0x301000, 2), 0);
	machine_destroy();
}
END_TEST

/* Code that writes to the instruction behind itself sees the change at once; data beside code stays data. */
START_TEST(code_page_writes)
{
	run_paged();
	/* mov byte [CODE+8], 42 ; mov al, 1 (its immediate is CODE+8) ; mov dword [CODE+800], 12345678 ; int3 */
	PUT(CODE, 0xc6, 0x05, 0x08, 0x00, 0x02, 0x00, 0x42, 0xb0, 0x01, 0xc7, 0x05, 0x00, 0x08, 0x02, 0x00, 0x78, 0x56, 0x34, 0x12, 0xcc);
	for (int round = 0; round < 2; round++) {
		poke(CODE + 8, 1, 1);
		vm_run_ok(CODE);
		ck_assert_uint_eq(v->regs[REG_EAX] & 0xff, 0x42);
		ck_assert_uint_eq(peek(CODE + 0x800, 4), 0x12345678);
		ck_assert_uint_eq(peek(CODE + 8, 1), 0x42);
		cpu_flat(0);
		v->cr3 = H_TABLES;
		v->cr0 |= CR0_PG;
	}
	machine_destroy();
}
END_TEST

Suite *softmmu_suite(void)
{
	Suite *s = suite_create("softmmu");
	TCase *c = tcase_create("tables"), *r = tcase_create("translated");

	tcase_set_timeout(c, 20);
	tcase_add_test(c, halves_and_dirty);
	tcase_add_test(c, flushes);
	tcase_add_test(c, invlpg);
	tcase_add_test(c, log_overflow);
	tcase_add_test(c, protect_page);
	tcase_add_test(c, no_entry);
	suite_add_tcase(s, c);
	tcase_add_test(r, crossing);
	tcase_add_test(r, crossing_to_device);
	tcase_add_test(r, device_accesses);
	tcase_add_test(r, crossing_fault);
	tcase_add_test(r, code_page_writes);
	suite_add_tcase(s, r);
	return s;
}
