/*
 * Page tables: accessed and dirty bits, large and global pages, when a TLB entry must be gone, aliases, address spaces.
 */
#include "guestos/conformance/test.h"

enum { A = TW, B = TW + 0x1000, C = TW + 0x2000 };

static volatile u32 *at(u32 lin)
{
	return (volatile u32 *)(uintptr_t)lin;
}

CODE(g_read, "mov (%ebx), %eax");
CODE(g_write, "mov %eax, (%ebx)");
CODE(g_rmw, "addl $1, (%ebx)");
CODE(g_cmpxchg, "cmpxchg %ecx, (%ebx)");
CODE(g_exec, "jmp *%ebx");
CODE(g_bt, "btl $3, (%ebx)");
CODE(g_push, "mov %ebx, %esp; push %eax");

static u32 bits(u32 lin)
{
	return (u32)pte_get(lin) & (P_A | P_D);
}

static void ad_case(const char *name, const u8 *code, int ring, u64 flags, u32 off, u32 want, u32 vec)
{
	struct state s = at_ring(code, ring);

	map(B, scratch[1], flags);
	s.ebx = B + off;
	s.eax = 5;
	run(&s);
	if (s.vec != vec)
		fail("%s in ring %d: trap %u, want %u", name, ring, s.vec, vec);
	if (bits(B) != want)
		fail("%s in ring %d: accessed and dirty bits are %x, want %x", name, ring, bits(B), want);
}

TEST_PG(ad, "paging.accessed and dirty bits")
{
	const u64 f = P_P | P_W | P_U;

	for (int ring = 0; ring <= 3; ring += 3) {
		ad_case("read", g_read, ring, f, 0, P_A, V_END);
		ad_case("write", g_write, ring, f, 0, P_A | P_D, V_END);
		ad_case("read-modify-write", g_rmw, ring, f, 0, P_A | P_D, V_END);
		ad_case("bt", g_bt, ring, f, 0, P_A, V_END);
		ad_case("read of a clean, accessed page", g_read, ring, f | P_A, 0, P_A, V_END);
		ad_case("write to a read-only page", g_write, ring, P_P | P_U, 0, 0, V_PF);
		ad_case("read of an absent page", g_read, ring, 0, 0, 0, V_PF);
	}
	ad_case("push", g_push, 3, f, 0x800, P_A | P_D, V_END);
	ad_case("read of a supervisor page", g_read, 3, P_P | P_W, 0, 0, V_PF);
	ad_case("write to a supervisor page", g_write, 3, P_P | P_W, 0, 0, V_PF);
	scratch[1][0x100] = 0xcd;
	scratch[1][0x101] = 0xf0;
	ad_case("execution", g_exec, 3, f, 0x100, P_A, V_END);
}

TEST_PG(ad_failed_cmpxchg, "paging.a cmpxchg that fails is a write")
{
	*(volatile u32 *)scratch[1] = 99;
	ad_case("cmpxchg", g_cmpxchg, 3, P_P | P_W | P_U, 0, P_A | P_D, V_END);
	EQ(*(volatile u32 *)scratch[1], 99, "memory");
}

TEST_PG(ad_late, "paging.dirty bit set by the first write after reads")
{
	u32 v;

	map(B, scratch[1], P_P | P_W);
	v = *at(B);
	EQ(bits(B), P_A, "after a read");
	*at(B) = v + 1;
	EQ(bits(B), P_A | P_D, "after a write");
	pte_set(B, pte_get(B) & ~(u64)(P_A | P_D));
	invlpg(B);
	v = *at(B);
	EQ(bits(B), P_A, "after clearing, invlpg and a read");
	*at(B) = v;
	EQ(bits(B), P_A | P_D, "after clearing, invlpg and a write");
	pte_set(B, pte_get(B) & ~(u64)(P_A | P_D));
	write_cr3(read_cr3());
	EQ(bits(B), 0, "before an access");
	*at(B) = v;
	EQ(bits(B), P_A | P_D, "after clearing, a CR3 load and a write");
}

TEST_PG(ad_pde, "paging.accessed bit of the directory entry")
{
	u64 pde = pde_get(TW) & ~(u64)P_A;

	map(B, scratch[1], P_P | P_W);
	pde_set(TW, pde);
	write_cr3(read_cr3());
	(void)*at(B);
	EQ(pde_get(TW) & P_A, P_A, "A after a read");
	pde_set(TW, pde);
	write_cr3(read_cr3());
	*at(B) = 1;
	EQ(pde_get(TW) & P_A, P_A, "A after a write");
}

TEST_PG(stale, "paging.invlpg and CR3 loads end staleness")
{
	map(B, scratch[1], P_P | P_W);
	*(volatile u32 *)scratch[1] = 0x1111;
	*(volatile u32 *)scratch[2] = 0x2222;
	for (int i = 0; i < 50; i++) {
		EQ(*at(B), 0x1111, "first page");
		pte_set(B, ADDR(scratch[2]) | P_P | P_W);
		invlpg(B + 0x345);
		EQ(*at(B), 0x2222, "second page after invlpg");
		pte_set(B, ADDR(scratch[1]) | P_P | P_W);
		write_cr3(read_cr3());
		EQ(*at(B), 0x1111, "first page after a CR3 load");
	}
}

TEST_PG(grow, "paging.an entry that becomes present needs no flush")
{
	struct state s;

	for (u32 i = 0; i < 200; i++) {
		u32 lin = TW + (i << 12);

		pte_set(lin, 0);
		invlpg(lin);
		s = at_ring(g_read, 0);
		s.ebx = lin;
		run(&s);
		trapped(&s, V_PF, 0, g_read, "read while absent");
		*(volatile u32 *)scratch[i % SCRATCH] = i + 7;
		pte_set(lin, ADDR(scratch[i % SCRATCH]) | P_P | P_W);
		s = at_ring(g_read, 0);
		s.ebx = lin;
		run(&s);
		if (ended(&s, "read when present"))
			EQ(s.eax, i + 7, "word");
	}
	unmap_window();
}

TEST_PG(shrink, "paging.rights that shrink hold after invlpg")
{
	struct state s;

	for (u32 i = 0; i < 20; i++) {
		map(B, scratch[1], P_P | P_W | P_U);
		s = at_ring(g_write, 3);
		s.ebx = B;
		run(&s);
		ended(&s, "write to a writable page");
		map(B, scratch[1], P_P | P_U);
		s = at_ring(g_write, 3);
		s.ebx = B;
		run(&s);
		trapped(&s, V_PF, 7, g_write, "write to a page made read-only");
		s = at_ring(g_read, 3);
		s.ebx = B;
		run(&s);
		ended(&s, "read of a page made read-only");
		map(B, scratch[1], P_P | P_W);
		s = at_ring(g_read, 3);
		s.ebx = B;
		run(&s);
		trapped(&s, V_PF, 5, g_read, "read of a page made supervisor's");
		map(B, scratch[1], 0);
		s = at_ring(g_read, 0);
		s.ebx = B;
		run(&s);
		trapped(&s, V_PF, 0, g_read, "read of a page made absent");
	}
}

TEST_PG(widen, "paging.rights that grow hold after a fault")
{
	struct state s;

	map(B, scratch[1], P_P | P_U);
	s = at_ring(g_write, 3);
	s.ebx = B;
	run(&s);
	trapped(&s, V_PF, 7, g_write, "write to a read-only page");
	pte_set(B, ADDR(scratch[1]) | P_P | P_W | P_U);
	s.eip = ADDR(g_write);
	run(&s);
	ended(&s, "the same write after the entry was changed without a flush");
}

TEST_PG(alias, "paging.two linear pages on one physical page")
{
	map(A, scratch[1], P_P | P_W | P_U);
	map(B, scratch[1], P_P | P_W | P_U);
	map(C, scratch[1], P_P | P_U);
	for (u32 i = 0; i < 1024; i++) {
		at(A)[i] = i;
		at(B)[i] += 5;
		if (at(C)[i] != i + 5 || ((volatile u32 *)scratch[1])[i] != i + 5) {
			fail("word %u through the third alias is %x", i, at(C)[i]);
			return;
		}
	}
}

TEST_PG(write_ptes, "paging.page tables written through an alias of themselves")
{
	u32 size = paging_mode() == PG_PAE ? 8 : 4, pt = ADDR(pte_ptr(TW)) & ~0xfffu;
	volatile u32 *entry;

	/* C maps the page table of the window: entry for B is then at C. */
	map(C, (void *)pt, P_P | P_W);
	entry = at(C + (ADDR(pte_ptr(B)) & 0xfff));
	for (u32 i = 0; i < 100; i++) {
		*(volatile u32 *)scratch[i & 7] = 0x900 + i;
		if (size == 8)
			entry[1] = 0;
		*entry = ADDR(scratch[i & 7]) | P_P | P_W;
		invlpg(B);
		EQ(*at(B), 0x900 + i, "word behind the rewritten entry");
		*at(B) = 1;
		EQ(*entry & (P_A | P_D), P_A | P_D, "A and D seen through the alias");
	}
	unmap_window();
}

TEST_PG(many_ptes, "paging.rep movs and rep stos over a page table")
{
	u32 n = 128, size = paging_mode() == PG_PAE ? 8 : 4;
	static u64 image[128];

	for (u32 i = 0; i < n; i++)
		if (size == 8)
			image[i] = ADDR(scratch[i % SCRATCH]) | P_P | P_W;
		else
			((u32 *)image)[i] = ADDR(scratch[i % SCRATCH]) | P_P | P_W;
	for (u32 i = 0; i < SCRATCH; i++)
		*(volatile u32 *)scratch[i] = i;
	for (int round = 0; round < 3; round++) {
		struct state s;

		memcpy(pte_ptr(TW), image, n * size);
		write_cr3(read_cr3());
		for (u32 i = 0; i < n; i++)
			EQ(*at(TW + (i << 12)), i % SCRATCH, "word of a mapped page");
		memset(pte_ptr(TW), 0, n * size);
		write_cr3(read_cr3());
		s = at_ring(g_read, 0);
		s.ebx = TW + (n / 2 << 12);
		run(&s);
		trapped(&s, V_PF, 0, g_read, "read after the table was cleared");
	}
}

static void large_page(u32 pde_bits, u32 size)
{
	u64 pde = pde_get(TW);
	u32 phys = 0x800000; /* 8 MiB: behind the kernel */
	struct state s;

	pde_set(TW, phys | P_PS | pde_bits);
	write_cr3(read_cr3());
	*(volatile u32 *)(uintptr_t)(phys + size - 4) = 0xfeedface;
	*(volatile u32 *)(uintptr_t)(phys + 0x1238) = 0xdeadbeef;
	EQ(*at(TW + size - 4), 0xfeedface, "last word");
	EQ(*at(TW + 0x1238), 0xdeadbeef, "a word");
	EQ((u32)pde_get(TW) & (P_A | P_D), P_A, "A and D after reads");
	*at(TW + 0x1238) = 1;
	EQ((u32)pde_get(TW) & (P_A | P_D), P_A | P_D, "A and D after a write");
	EQ(*(volatile u32 *)(uintptr_t)(phys + 0x1238), 1, "word written");
	s = at_ring(g_write, 3);
	s.ebx = TW + 0x4444;
	run(&s);
	trapped(&s, V_PF, 7, g_write, "ring 3 write to a supervisor page");
	pde_set(TW, phys | P_PS | P_P | P_U);
	write_cr3(read_cr3());
	s = at_ring(g_write, 3);
	s.ebx = TW + 0x4444;
	run(&s);
	trapped(&s, V_PF, 7, g_write, "ring 3 write to a read-only page");
	s = at_ring(g_read, 3);
	s.ebx = TW + 0x1238;
	run(&s);
	if (ended(&s, "ring 3 read"))
		EQ(s.eax, 1, "word read");
	/* The page is split into small ones, and one of them moved. */
	pde_set(TW, pde);
	map(TW + 0x1000, scratch[4], P_P | P_W);
	write_cr3(read_cr3());
	*(volatile u32 *)(scratch[4] + 0x238) = 0x5911;
	EQ(*at(TW + 0x1238), 0x5911, "word after the split");
	unmap_window();
}

TEST_IN(large4m, "paging.4 MB pages", IN_32)
{
	if (!(cpuid_edx1() & 8)) {
		skip("no PSE");
		return;
	}
	write_cr4(read_cr4() | CR4_PSE);
	large_page(P_P | P_W, 4u << 20);
	write_cr4(read_cr4() & ~(u32)CR4_PSE);
}

TEST_IN(no_pse, "paging.PS is ignored without CR4.PSE", IN_32)
{
	u64 pde = pde_get(TW);

	map(B, scratch[1], P_P | P_W);
	*(volatile u32 *)scratch[1] = 0x77;
	pde_set(TW, pde | P_PS);
	write_cr3(read_cr3());
	EQ(*at(B), 0x77, "word");
	pde_set(TW, pde);
	write_cr3(read_cr3());
}

TEST_IN(large2m, "paging.2 MB pages", IN_PAE)
{
	large_page(P_P | P_W, 2u << 20);
}

TEST_PG(global, "paging.global pages")
{
	if (!(cpuid_edx1() & 1u << 13)) {
		skip("no PGE");
		return;
	}
	write_cr4(read_cr4() | CR4_PGE);
	map(B, scratch[1], P_P | P_W | P_G);
	*(volatile u32 *)scratch[1] = 0x1111;
	*(volatile u32 *)scratch[2] = 0x2222;
	EQ(*at(B), 0x1111, "word");
	write_cr3(read_cr3());
	EQ(*at(B), 0x1111, "word after a CR3 load");
	pte_set(B, ADDR(scratch[2]) | P_P | P_W | P_G);
	invlpg(B);
	EQ(*at(B), 0x2222, "word after invlpg of a global page");
	pte_set(B, ADDR(scratch[1]) | P_P | P_W | P_G);
	write_cr4(read_cr4() & ~(u32)CR4_PGE);
	EQ(*at(B), 0x1111, "word after CR4.PGE was cleared");
	write_cr4(read_cr4() | CR4_PGE);
	pte_set(B, ADDR(scratch[2]) | P_P | P_W | P_G);
	write_cr4(read_cr4() & ~(u32)CR4_PGE);
	EQ(*at(B), 0x2222, "word after CR4.PGE was toggled");
}

TEST_PG(wp_toggle, "paging.CR0.WP is obeyed at once")
{
	u32 cr0 = read_cr0();
	struct state s;

	map(B, scratch[1], P_P | P_U);
	for (int i = 0; i < 10; i++) {
		write_cr0(cr0 & ~(u32)CR0_WP);
		s = at_ring(g_write, 0);
		s.ebx = B;
		s.eax = (u32)i;
		run(&s);
		ended(&s, "write with WP clear");
		EQ(*(volatile u32 *)scratch[1], i, "word");
		write_cr0(cr0 | CR0_WP);
		s = at_ring(g_write, 0);
		s.ebx = B;
		run(&s);
		trapped(&s, V_PF, 3, g_write, "write with WP set");
		s = at_ring(g_write, 3);
		s.ebx = B;
		run(&s);
		trapped(&s, V_PF, 7, g_write, "ring 3 write");
	}
	write_cr0(cr0);
}

TEST_IN(off_on, "paging.CR0.PG off and on", IN_32)
{
	u32 cr0 = read_cr0();

	map(B, scratch[1], P_P | P_W);
	*(volatile u32 *)scratch[1] = 0x4242;
	*(volatile u32 *)scratch[2] = 0x4343;
	for (int i = 0; i < 5; i++) {
		EQ(*at(B), 0x4242, "word");
		write_cr0(cr0 & ~CR0_PG);
		EQ(*(volatile u32 *)scratch[1], 0x4242, "physical word");
		pte_set(B, ADDR(scratch[2]) | P_P | P_W);
		write_cr0(cr0);
		EQ(*at(B), 0x4343, "word after the table was changed with paging off");
		map(B, scratch[1], P_P | P_W);
	}
}

/* Two directories whose window differs: code and data at one linear address, other bytes behind it. */
static u32 dir2[1024] __attribute__((aligned(4096)));
static u32 pt2[1024] __attribute__((aligned(4096)));

CODE(space_call, "mov $100, %esi; xor %edi, %edi; 1: mov %eax, %cr3; call *%ebx; add %edx, %edi; mov %ecx, %cr3; call *%ebx; add %edx, "
		 "%edi; dec %esi; jnz 1b");

TEST_IN(spaces, "paging.two address spaces with other code at one address", IN_32)
{
	/* mov $imm32, %edx; ret */
	static const u8 fn[2][6] = {{0xba, 1, 0, 0, 0, 0xc3}, {0xba, 0, 1, 0, 0, 0xc3}};
	u32 cr3 = read_cr3();
	struct state s;

	memcpy(dir2, (void *)cr3, sizeof(dir2));
	memset(pt2, 0, sizeof(pt2));
	dir2[TW >> 22] = ADDR(pt2) | P_P | P_W | P_U;
	map(B, scratch[1], P_P | P_W | P_U);
	pt2[1] = ADDR(scratch[2]) | P_P | P_W | P_U;
	memcpy(scratch[1] + 0x40, fn[0], 6);
	memcpy(scratch[2] + 0x40, fn[1], 6);
	s = at_ring(space_call, 0);
	s.eax = cr3;
	s.ecx = ADDR(dir2);
	s.ebx = B + 0x40;
	run(&s);
	write_cr3(cr3);
	if (ended(&s, "calls"))
		EQ(s.edi, 100 * 0x101, "sum of the functions' values");
	/* Data: the same, and a write in one space stays in it. */
	write_cr3(ADDR(dir2));
	*at(B) = 0xbbbb;
	write_cr3(cr3);
	*at(B) = 0xaaaa;
	write_cr3(ADDR(dir2));
	EQ(*at(B), 0xbbbb, "second space");
	write_cr3(cr3);
	EQ(*at(B), 0xaaaa, "first space");
	EQ(*(volatile u32 *)scratch[2], 0xbbbb, "second page");
}

TEST_IN(self_map, "paging.directory that maps itself", IN_32)
{
	u32 *dir = (u32 *)read_cr3();
	volatile u32 *ptes = (volatile u32 *)0xffc00000, *pdes = (volatile u32 *)0xfffff000;

	dir[1023] = ADDR(dir) | P_P | P_W;
	EQ(pdes[TW >> 22] & ~0xfffu, ADDR(pte_ptr(TW)) & ~0xfffu, "directory entry through the self-map");
	map(B, scratch[1], P_P | P_W);
	EQ(ptes[B >> 12] & ~0xfffu, ADDR(scratch[1]), "table entry through the self-map");
	*(volatile u32 *)scratch[3] = 0x3333;
	for (u32 i = 0; i < 50; i++) {
		ptes[B >> 12] = ADDR(scratch[3]) | P_P | P_W;
		invlpg(B);
		EQ(*at(B), 0x3333, "word after a change through the self-map");
		EQ(ptes[B >> 12] & P_A, P_A, "A through the self-map");
		ptes[B >> 12] = ADDR(scratch[1]) | P_P | P_W;
		invlpg(B);
		*at(B) = i;
		EQ(*(volatile u32 *)scratch[1], i, "word written");
		EQ(ptes[B >> 12] & P_D, P_D, "D through the self-map");
	}
	dir[1023] = 0;
	write_cr3(read_cr3());
}

TEST_PG(fork_like, "paging.copy on write as a kernel does it")
{
	struct state s;
	u32 copies = 0;

	for (u32 i = 0; i < 32; i++) {
		*(volatile u32 *)scratch[i & 15] = i & 15;
		map(TW + (i << 12), scratch[i & 15], P_P | P_U);
	}
	write_cr3(read_cr3());
	for (u32 i = 0; i < 16; i++) {
		u32 lin = TW + (i << 12);

		s = at_ring(g_rmw, 3);
		s.ebx = lin;
		run(&s);
		if (!trapped(&s, V_PF, 7, g_rmw, "write to a shared page"))
			return;
		memcpy(scratch[16 + i], scratch[i], 4096);
		map(lin, scratch[16 + i], P_P | P_W | P_U);
		copies++;
		run(&s);
		ended(&s, "write to the copy");
		EQ(*at(lin), i + 1, "copy");
		EQ(*at(lin + 0x10000), i, "original");
	}
	EQ(copies, 16, "copies");
	unmap_window();
}

TEST_PG(zero_page_reuse, "paging.a physical page used at ever other addresses")
{
	for (u32 i = 0; i < 300; i++) {
		u32 lin = TW + (i % TW_PAGES << 12);

		map(lin, scratch[5], P_P | P_W);
		at(lin)[i] = i;
		EQ(((volatile u32 *)scratch[5])[i], i, "word");
		map(lin, scratch[5], 0);
	}
}
