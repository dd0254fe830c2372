/*
 * The guest page-table walk against another one, written here from the manual's tables: random tables in random modes, every kind of
 * access; and the permission rules spelled out case by case. A failed walk changes nothing; a successful one sets exactly A and D.
 */
#include "tests/unit/vm_harness.h"

#include "shadowpt/walk.h"

#define TABLE_PAGES 12u /* pages with random tables, at H_TABLES */

/* ---- the reference: one loop over levels ---- */

struct expected {
	int error; /* -1: allowed */
	u64 pa;
	bool writable, global, large;
	u64 mark[3]; /* entries that get A; the last one also D for a write */
	unsigned marks;
};

static u64 seen_address(u64 pa)
{
	return vm->mem.a20_open ? pa : pa & ~0x100000ull;
}

static u64 entry_at(u64 pa, unsigned size)
{
	u64 x = ~0ull;
	if (ram_ptr(&vm->mem, seen_address(pa)))
		x = peek(seen_address(pa), size);
	return size == 4 ? x & 0xffffffffu : x;
}

static struct expected reference(u32 linear, int acc)
{
	struct expected e = {.error = -1};
	bool pae = v->cr4 & CR4_PAE, nxe = pae && (v->efer & EFER_NXE);
	bool user = acc & ACC_USER, write = acc & ACC_WRITE, fetch = acc & ACC_EXEC;
	bool may_user = true, may_write = true, no_exec = false, present = true, reserved = false;
	unsigned size = pae ? 8 : 4, index_bits = pae ? 9 : 10;
	u64 address_bits = pae ? 0xffffff000ull : 0xfffff000ull, x = 0;

	if (!(v->cr0 & CR0_PG)) {
		e.pa = seen_address(linear);
		e.writable = e.global = true;
		return e;
	}
	u64 table = v->cr3 & 0xfffff000u;
	if (pae) {
		x = v->pdpte[linear >> 30];
		present = x & 1;
		table = x & address_bits;
	}
	for (unsigned shift = 12 + index_bits; present && shift >= 12; shift -= index_bits) {
		u64 at = table + (linear >> shift & ((1u << index_bits) - 1)) * size;
		x = entry_at(at, size);
		if (!(x & 1)) {
			present = false;
			break;
		}
		bool leaf = shift == 12;
		u64 wrong = pae ? 0x7ffffff000000000ull | (nxe ? 0 : PTE_NX) : 0;
		if (!leaf && (x >> 7 & 1) && (pae || (v->cr4 & CR4_PSE))) {
			leaf = e.large = true;
			wrong |= pae ? 0x1fe000 : 0x3e0000;
		}
		may_user &= x >> 2 & 1;
		may_write &= x >> 1 & 1;
		no_exec |= x >> 63;
		e.mark[e.marks++] = seen_address(at);
		if (x & wrong) {
			reserved = true;
			break;
		}
		table = x & address_bits;
		if (leaf) {
			u64 offset = (1ull << shift) - 1;
			e.pa = (x & address_bits & ~offset) | (linear & offset);
			if (e.large && !pae)
				e.pa |= (x >> 13 & 15) << 32;
			break;
		}
	}
	bool denied = (user && !may_user) || (write && !may_write && (user || (v->cr0 & CR0_WP))) || (fetch && nxe && no_exec);
	if (!present || reserved || denied) {
		e.error = (present ? 1 : 0) | (write ? 2 : 0) | (user ? 4 : 0) | (reserved ? 8 : 0) | (fetch && nxe ? 16 : 0);
		return e;
	}
	e.pa = seen_address(e.pa);
	e.writable = (may_write || (!user && !(v->cr0 & CR0_WP))) && (write || (x >> 6 & 1));
	e.global = (x >> 8 & 1) && (v->cr4 & CR4_PGE);
	return e;
}

/* ---- comparison ---- */

static u8 tables_before[TABLE_PAGES * PAGE_SIZE];

static void compare(u32 linear, int acc)
{
	u8 *tables = vm->mem.ram + H_TABLES;
	struct expected e = reference(linear, acc);
	struct walk w = {0};
	u64 pa;

	memcpy(tables_before, tables, sizeof(tables_before));
	bool mapped = walk_peek(v, linear, &pa);
	ck_assert_msg(!memcmp(tables, tables_before, sizeof(tables_before)), "a peek sets bits");
	int error = walk_translate(v, linear, acc, &w);
	ck_assert_msg(error == e.error, "linear %#x acc %d cr0 %#x cr4 %#x efer %#llx: error %d, expected %d", linear, acc, v->cr0, v->cr4,
		      (unsigned long long)v->efer, error, e.error);
	if (error < 0) {
		ck_assert_msg(w.pa == e.pa, "linear %#x cr4 %#x: %#llx, expected %#llx", linear, v->cr4, (unsigned long long)w.pa,
			      (unsigned long long)e.pa);
		ck_assert(mapped);
		ck_assert_uint_eq(pa, e.pa);
		ck_assert_int_eq(w.writable, e.writable);
		ck_assert_int_eq(w.global, e.global);
		ck_assert_int_eq(w.large, e.large);
		for (unsigned i = 0; i < e.marks; i++) {
			u64 off = e.mark[i] - H_TABLES;
			if (off < sizeof(tables_before))
				tables_before[off] |= i + 1 == e.marks && (acc & ACC_WRITE) ? PTE_A | PTE_D : PTE_A;
		}
	}
	for (u32 i = 0; memcmp(tables, tables_before, sizeof(tables_before)) && i < sizeof(tables_before); i++)
		ck_assert_msg(tables[i] == tables_before[i], "linear %#x acc %d: byte %#x of the tables is %#x, expected %#x", linear, acc,
			      i, tables[i], tables_before[i]);
}

static u32 random_table(void)
{
	/* Now and then outside RAM. */
	return rand() % 16 ? H_TABLES + (u32)(rand() % (int)TABLE_PAGES) * PAGE_SIZE : 0xf0000000u + (u32)(rand() % 16) * PAGE_SIZE;
}

static u64 random_entry(bool wide)
{
	u64 x = random_table() | (u32)(rand() & 0xfff);
	if (rand() % 4)
		x |= PTE_P;
	if (rand() % 4)
		x &= ~(u64)PTE_PS;
	if (rand() % 8 == 0)
		x |= 1ull << (12 + rand() % 20);
	if (wide && rand() % 4 == 0)
		x |= PTE_NX;
	if (wide && rand() % 8 == 0)
		x |= 1ull << (32 + rand() % 31);
	return wide ? x : x & 0xffffffffu;
}

static const int accesses[] = {
	ACC_READ, ACC_WRITE, ACC_EXEC, ACC_READ | ACC_USER, ACC_WRITE | ACC_USER, ACC_EXEC | ACC_USER,
};

START_TEST(random_tables)
{
	machine_create();
	srand(1);
	for (int round = 0; round < 200; round++) {
		bool pae = rand() & 1;
		v->cr0 = CR0_PE | (round % 50 ? CR0_PG : 0) | (rand() & 1 ? CR0_WP : 0);
		v->cr4 = (pae ? CR4_PAE : 0) | (rand() & 1 ? CR4_PSE : 0) | (rand() & 1 ? CR4_PGE : 0);
		v->efer = rand() & 1 ? EFER_NXE : 0;
		/* Its low bits are no part of the address. */
		v->cr3 = (u32)random_table() | (u32)(rand() & 0xfff);
		vm->mem.a20_open = rand() % 4;
		for (int i = 0; i < 4; i++)
			v->pdpte[i] = random_table() | (rand() % 8 ? PTE_P : 0);
		for (u32 at = 0; at < TABLE_PAGES * PAGE_SIZE; at += pae ? 8 : 4)
			poke(H_TABLES + at, random_entry(pae), pae ? 8 : 4);
		for (int i = 0; i < 100; i++)
			compare((u32)rand() << 16 ^ (u32)rand(), accesses[rand() % 6]);
	}
	machine_destroy();
}
END_TEST

/* SDM Vol. 3A 4.6.1 and 4.7, spelled out. */
START_TEST(permissions)
{
	machine_create();
	paging_on();
	for (int bits = 0; bits < 128; bits++) {
		u32 pde_bits = (bits & 1 ? PTE_U : 0) | (bits & 2 ? PTE_W : 0), pte_bits = (bits & 4 ? PTE_U : 0) | (bits & 8 ? PTE_W : 0);
		bool wp = bits & 16, user = bits & 32, write = bits & 64;
		u32 linear = 0x40000123, pte = map_page(linear, 0x300000, PTE_P | pte_bits), pde = v->cr3 + (linear >> 22) * 4;
		poke(pde, (peek(pde, 4) & ~0xfffull) | PTE_P | pde_bits, 4);
		v->cr0 = CR0_PE | CR0_PG | (wp ? CR0_WP : 0);
		bool u_page = (pde_bits & pte_bits) & PTE_U, w_page = (pde_bits & pte_bits) & PTE_W;
		bool ok = user ? u_page && (!write || w_page) : !write || w_page || !wp;
		int want = ok ? -1 : (int)(PFERR_P | (write ? PFERR_W : 0) | (user ? PFERR_U : 0));
		struct walk w;
		ck_assert_int_eq(walk_translate(v, linear, (user ? ACC_USER : 0) | (write ? ACC_WRITE : 0), &w), want);
		ck_assert_uint_eq(peek(pde, 4) & (PTE_A | PTE_D), ok ? PTE_A : 0);
		ck_assert_uint_eq(peek(pte, 4) & (PTE_A | PTE_D), ok ? (write ? PTE_A | PTE_D : PTE_A) : 0);
		if (ok)
			ck_assert_uint_eq(w.pa, 0x300123);
	}
	machine_destroy();
}
END_TEST

START_TEST(not_present)
{
	struct walk w;

	machine_create();
	paging_on();
	u32 pte = map_page(0x40000000, 0x300000, PTE_W | PTE_U);
	u32 pde = v->cr3 + 0x100 * 4;
	ck_assert_int_eq(walk_translate(v, 0x40000000, ACC_READ, &w), 0);
	ck_assert_int_eq(walk_translate(v, 0x40000000, ACC_WRITE | ACC_USER, &w), PFERR_W | PFERR_U);
	ck_assert_int_eq(walk_translate(v, 0x80000000, ACC_EXEC, &w), 0);
	ck_assert_uint_eq(peek(pde, 4) & PTE_A, 0);
	ck_assert_uint_eq(peek(pte, 4), 0x300000 | PTE_W | PTE_U);
	machine_destroy();
}
END_TEST

/* 36-bit addresses in 4 MB pages; RAM above 4 GiB is reached through them. */
START_TEST(pse36)
{
	struct walk w;

	machine_create();
	paging_on();
	u32 pde = v->cr3 + 0x100 * 4;
	poke(pde, 0xabc00000u | 0xfu << 13 | 1u << 12 | PTE_P | PTE_PS, 4);
	ck_assert_int_eq(walk_translate(v, 0x40123456, ACC_READ, &w), -1);
	ck_assert_uint_eq(w.pa, 0xfabd23456ull);
	ck_assert(w.large);
	ck_assert(!w.writable);
	for (u32 bit = 17; bit <= 21; bit++) {
		poke(pde, PTE_P | PTE_PS | BIT(bit), 4);
		ck_assert_int_eq(walk_translate(v, 0x40123456, ACC_WRITE, &w), PFERR_P | PFERR_RSVD | PFERR_W);
		ck_assert_uint_eq(peek(pde, 4), PTE_P | PTE_PS | BIT(bit));
	}
	machine_destroy();
}
END_TEST

START_TEST(pae)
{
	struct walk w;

	machine_create();
	u32 pd = new_table(), pt = new_table();
	v->cr0 = CR0_PE | CR0_PG;
	v->cr4 = CR4_PAE;
	v->efer = EFER_NXE;
	v->pdpte[2] = pd | PTE_P;
	poke(pd, pt | PTE_P | PTE_W, 8);
	poke(pt + 8, 0x912345000ull | PTE_P | PTE_W | PTE_NX, 8);
	ck_assert_int_eq(walk_translate(v, 0x80001abc, ACC_WRITE, &w), -1);
	ck_assert_uint_eq(w.pa, 0x912345abcull);
	/* No-execute, at either level, and only with EFER.NXE; without it the bit is reserved. */
	ck_assert_int_eq(walk_translate(v, 0x80001abc, ACC_EXEC, &w), PFERR_P | PFERR_I);
	v->efer = 0;
	ck_assert_int_eq(walk_translate(v, 0x80001abc, ACC_EXEC, &w), PFERR_P | PFERR_RSVD);
	ck_assert_int_eq(walk_translate(v, 0x80001abc, ACC_READ, &w), PFERR_P | PFERR_RSVD);
	v->efer = EFER_NXE;
	poke(pt + 8, 0x300000 | PTE_P, 8);
	poke(pd, (u64)pt | PTE_P | PTE_NX, 8);
	ck_assert_int_eq(walk_translate(v, 0x80001abc, ACC_EXEC, &w), PFERR_P | PFERR_I);
	ck_assert_int_eq(walk_translate(v, 0x80001abc, ACC_READ, &w), -1);
	/* 2 MB */
	poke(pd + 8, 0x812200000ull | PTE_P | PTE_PS | PTE_D, 8);
	ck_assert_int_eq(walk_translate(v, 0x80312345, ACC_READ, &w), -1);
	ck_assert_uint_eq(w.pa, 0x812312345ull);
	ck_assert(w.large);
	ck_assert(w.writable);
	poke(pd + 8, 0x2000 | PTE_P | PTE_PS, 8);
	ck_assert_int_eq(walk_translate(v, 0x80312345, ACC_READ, &w), PFERR_P | PFERR_RSVD);
	/* PDPTE not present, and a table where there is no memory */
	ck_assert_int_eq(walk_translate(v, 0x40000000, ACC_EXEC | ACC_USER, &w), PFERR_U | PFERR_I);
	v->pdpte[1] = 0xf0000000u | PTE_P;
	ck_assert_int_eq(walk_translate(v, 0x40000000, ACC_READ, &w), PFERR_P | PFERR_RSVD);
	machine_destroy();
}
END_TEST

Suite *walk_suite(void)
{
	Suite *s = suite_create("walk");
	TCase *c = tcase_create("walk");

	tcase_set_timeout(c, 30);
	tcase_add_test(c, random_tables);
	tcase_add_test(c, permissions);
	tcase_add_test(c, not_present);
	tcase_add_test(c, pse36);
	tcase_add_test(c, pae);
	suite_add_tcase(s, c);
	return s;
}
