/*
 * Page tables that change under translations: written by every kind of instruction, through aliases, by user code; replaced as a whole;
 * tables that are data and code as well; large pages; modes of paging.
 */
#include "guestos/shadow/shadow.h"

enum { T = C }; /* where tests map the page table that they change */

/* EBX: the entry, through an alias; ESI: 16 bytes for it. The first n bytes of them are written. */
CODE(t_movl, "mov (%esi), %eax; mov %eax, (%ebx)");
CODE(t_bytes, "mov (%esi), %al; mov %al, (%ebx); mov 1(%esi), %al; mov %al, 1(%ebx); mov 2(%esi), %al; mov %al, 2(%ebx); mov 3(%esi), %al; "
	      "mov %al, 3(%ebx)");
CODE(t_words, "mov (%esi), %ax; mov %ax, (%ebx); mov 2(%esi), %ax; mov %ax, 2(%ebx)");
CODE(t_xchg, "mov (%esi), %eax; xchg %eax, (%ebx)");
CODE(t_lock, "lock andl $0, (%ebx); mov (%esi), %eax; lock orl %eax, (%ebx)");
CODE(t_cmpxchg, "mov (%ebx), %eax; mov (%esi), %ecx; lock cmpxchg %ecx, (%ebx)");
CODE(t_cmpxchg8b, "mov %ebx, %edi; mov (%edi), %eax; mov 4(%edi), %edx; mov (%esi), %ebx; mov 4(%esi), %ecx; lock cmpxchg8b (%edi)");
CODE(t_movq, "movq (%esi), %mm0; movq %mm0, (%ebx); emms");
CODE(t_fistp, "fildq (%esi); fistpq (%ebx)");
CODE(t_movups, "movups (%esi), %xmm0; movups %xmm0, (%ebx)");
CODE(t_movsl, "mov %ebx, %edi; mov $4, %ecx; rep movsl");
CODE(t_movsb, "mov %ebx, %edi; mov $16, %ecx; rep movsb");
CODE(t_straddle, "mov (%esi), %ax; mov %ax, (%ebx); mov 2(%esi), %eax; mov %eax, 2(%ebx); mov 6(%esi), %eax; mov %eax, 6(%ebx); mov "
		 "10(%esi), %eax; mov %eax, 10(%ebx); mov 14(%esi), %ax; mov %ax, "
		 "14(%ebx)");
CODE(t_push, "mov %esp, %ebp; lea 16(%ebx), %esp; push 12(%esi); push 8(%esi); push 4(%esi); push (%esi); mov %ebp, %esp");
CODE(t_pop, "mov %esp, %ebp; mov %esi, %esp; pop (%ebx); pop 4(%ebx); pop 8(%ebx); pop 12(%ebx); mov %ebp, %esp");
CODE(t_add, "mov (%esi), %eax; sub (%ebx), %eax; add %eax, (%ebx)");
CODE(t_xadd, "mov (%esi), %eax; sub (%ebx), %eax; xadd %eax, (%ebx)");

static const struct writer {
	const char *name;
	const u8 *code;
	u32 bytes;
} writers[] = {
	{"mov", t_movl, 4},
	{"bytes", t_bytes, 4},
	{"words", t_words, 4},
	{"xchg", t_xchg, 4},
	{"lock and, or", t_lock, 4},
	{"cmpxchg", t_cmpxchg, 4},
	{"cmpxchg8b", t_cmpxchg8b, 8},
	{"movq", t_movq, 8},
	{"fistp", t_fistp, 8},
	{"movups", t_movups, 16},
	{"rep movsl", t_movsl, 16},
	{"rep movsb", t_movsb, 16},
	{"straddling", t_straddle, 16},
	{"push", t_push, 16},
	{"pop", t_pop, 16},
	{"add", t_add, 4},
	{"xadd", t_xadd, 4},
};

static UDATA u32 image[4];

/* Changes four entries (two with PAE) of R1's page table, which lies at physical `pt`, through T, with every instruction; both rings. */
static void write_table(u32 pt, const struct who *writer, const struct who *reader)
{
	u32 size = entry_size(), count = 16 / size;

	mark_pages(16);
	pde_set(R1, pt | RWU);
	map(T, (void *)(uintptr_t)pt, RW | writer->u);
	write_cr3(read_cr3());
	memset((void *)(uintptr_t)T, 0, 4096);
	for (u32 k = 0; k < sizeof(writers) / sizeof(writers[0]); k++) {
		const struct writer *wr = &writers[k];

		for (u32 round = 0; round < 6; round++) {
			u32 changed = wr->bytes >= size ? wr->bytes / size : 1, n = k * 5 + round;
			struct state s = at_ring(wr->code, writer->ring);

			/* Known state, seen by the reader; its accesses set A. */
			for (u32 i = 0; i < count; i++) {
				set_entry((void *)(uintptr_t)T, 8 + i, ADDR(page((n + i) % 16)) | RW | reader->u);
				invlpg(R1 + ((8 + i) << 12));
				reads(reader, R1 + ((8 + i) << 12), MARK + (n + i) % 16, wr->name);
			}
			for (u32 i = 0; i < count; i++)
				set_entry(image, i, ADDR(page((n + i + 5) % 16)) | RW | reader->u);
			s.ebx = T + 8 * size;
			s.esi = ADDR(image);
			run(&s);
			if (!ended(&s, wr->name))
				continue;
			for (u32 i = 0; i < changed; i++)
				flush(R1 + ((8 + i) << 12), round);
			for (u32 i = 0; i < changed; i++)
				reads(reader, R1 + ((8 + i) << 12), MARK + (n + i + 5) % 16, wr->name);
			for (u32 i = 0; i < changed; i++) {
				writes(reader, R1 + ((8 + i) << 12) + 16, n + i, wr->name);
				EQ(*(u32 *)(page((n + i + 5) % 16) + 16), n + i, wr->name);
			}
		}
	}
	pde_set(R1, 0);
	unmap_window();
}

TEST_PG(by_instruction, "shadow.page tables written by every kind of instruction")
{
	u32 cr4 = read_cr4();

	write_cr4(cr4 | CR4_OSFXSR);
	FOR_EVERYBODY(writer)
	FOR_EVERYBODY(reader)
	write_table(ADDR(page(100)), writer, reader);
	write_cr4(cr4);
}

TEST_PG(places, "shadow.page tables in low, high and odd places")
{
	static const u32 where[] = {0x60000, 0x9d000, HIGH, HIGH + 0x123000, 0x3ef0000, POOL + 0x7ff000};
	u32 cr4 = read_cr4();

	write_cr4(cr4 | CR4_OSFXSR);
	for (u32 i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		write_table(where[i], &everybody[0], &everybody[0]);
		write_table(where[i], &everybody[1], &everybody[0]);
	}
	write_cr4(cr4);
}

/* System calls of the user code below: EAX 0: INVLPG of ECX; 1: a CR3 load. */
static int sys_flush(struct state *s)
{
	if (s->eax)
		write_cr3(read_cr3());
	else
		invlpg(s->ecx);
	return 1;
}

static UTEXT u32 user_pager(u32 pte, u32 lin, u32 how)
{
	u32 bad = 0;

	for (u32 i = 0; i < 300; i++) {
		u32 n = i * 7 % 16, eax = how, e;

		*at(pte) = ADDR(page(n)) | RWU;
		asm volatile("int $0x80" : "+a"(eax) : "c"(lin) : "memory");
		bad += *at(lin) != MARK + n;
		bad += (*at(pte) & (P_A | P_D)) != P_A;
		*at(lin + 4) = i;
		bad += (*at(pte) & (P_A | P_D)) != (P_A | P_D);
		/* Away and back. */
		e = *at(pte);
		*at(pte) = 0;
		*at(pte) = e;
		bad += *at(lin + 4) != i;
	}
	return bad;
}

TEST_PG(user_pager, "shadow.user code that changes its own page table")
{
	u8 *pt = page(100);

	mark_pages(16);
	install(R1, pt);
	map(T, pt, RWU);
	trap_hook[V_SYS] = sys_flush;
	for (u32 how = 0; how < 2; how++) {
		EQ(call_in(3, user_pager, T + 5 * entry_size(), R1 + 0x5000, how), 0, "wrong words, user");
		EQ(call_in(0, user_pager, T + 5 * entry_size(), R1 + 0x5000, how), 0, "wrong words, kernel");
	}
	trap_hook[V_SYS] = NULL;
	pde_set(R1, 0);
	unmap_window();
}

TEST_PG(recursive, "shadow.a recursive directory, writable for users")
{
	u8 *pt = page(100);
	u32 ptes = pae() ? 0xff800000 : 0xffc00000;

	mark_pages(16);
	install(R1, pt);
	/* The whole of the tables appears at the top of the address space. */
	if (pae()) {
		u64 *pdpt = (u64 *)(uintptr_t)(read_cr3() & ~31u), *top = (u64 *)(uintptr_t)(pdpt[3] & ~0xfffull);

		for (u32 i = 0; i < 4; i++)
			top[508 + i] = (pdpt[i] & ~0xfffull) | RWU;
	} else {
		((u32 *)(uintptr_t)read_cr3())[1023] = read_cr3() | RWU;
	}
	write_cr3(read_cr3());
	trap_hook[V_SYS] = sys_flush;
	for (u32 how = 0; how < 2; how++) {
		u32 pte = ptes + ((R1 + 0x5000) >> 12) * entry_size();

		EQ(call_in(3, user_pager, pte, R1 + 0x5000, how), 0, "wrong words, user");
		EQ(call_in(0, user_pager, pte, R1 + 0x5000, how), 0, "wrong words, kernel");
	}
	trap_hook[V_SYS] = NULL;
}

/* Runs in the page that is its own page table: writes the entry, flushes, reads through it. */
CODE(in_table, "mov %edx, (%ebx); xor %eax, %eax; int $0x80; mov (%ecx), %eax; incl 0x7f8(%edi); mov 0x7f8(%edi), %esi");

TEST_PG(all_in_one, "shadow.a page that is page table, data and code")
{
	u8 *pt = page(100);
	u32 size = entry_size(), own = R1 + 0x3000;

	mark_pages(16);
	install(R1, pt);
	memcpy(pt + 0x800, in_table, (u32)(in_table_end - in_table) + 2);
	/* It maps itself, as entry 3. */
	set_entry(pt, 3, ADDR(pt) | RWU);
	trap_hook[V_SYS] = sys_flush;
	for (int ring = 3; ring >= 0; ring -= 3) {
		*(volatile u32 *)(pt + 0x7f8) = 0;
		for (u32 i = 0; i < 200; i++) {
			struct state s = at_ring((void *)(uintptr_t)(own + 0x800), ring);

			s.ebx = own + 7 * size;
			s.ecx = R1 + 0x7000;
			s.edx = ADDR(page(i % 16)) | RWU;
			s.edi = own;
			run(&s);
			if (!ended(&s, tag("code in a page table", ring)))
				break;
			EQ(s.eax, MARK + i % 16, tag("word through the entry", ring));
			EQ(s.esi, i + 1, tag("counter beside the code", ring));
		}
	}
	trap_hook[V_SYS] = NULL;
	pde_set(R1, 0);
	write_cr3(read_cr3());
}

TEST_PG(swap_tables, "shadow.a whole page table replaced")
{
	mark_pages(64);
	FOR_EVERYBODY(w)
	{
		install(R1, page(101));
		install(R1, page(100));
		for (u32 i = 0; i < 32; i++) {
			set_entry(page(100), i, ADDR(page(i)) | RW | w->u);
			set_entry(page(101), i, ADDR(page(63 - i)) | RW | w->u);
		}
		for (u32 round = 0; round < 40; round++) {
			u32 n = round * 3 % 32;

			pde_set(R1, ADDR(page(100 + round % 2)) | RWU);
			flush(R1 + (n << 12), round / 2);
			reads(w, R1 + (n << 12), MARK + (round % 2 ? 63 - n : n), "a page of the new table");
			/* A change of the table that is not in use is seen when it is back. */
			set_entry(page(101 - round % 2), n, ADDR(page(40)) | RW | w->u);
			reads(w, R1 + (n << 12), MARK + (round % 2 ? 63 - n : n), "a page of the table in use");
			pde_set(R1, ADDR(page(101 - round % 2)) | RWU);
			write_cr3(read_cr3());
			reads(w, R1 + (n << 12), MARK + 40, "the changed page of the other table");
			set_entry(page(101 - round % 2), n, ADDR(page(round % 2 ? n : 63 - n)) | RW | w->u);
			write_cr3(read_cr3());
		}
		/* Rights of the directory entry. */
		pde_set(R1, ADDR(page(100)) | P_P | w->u);
		write_cr3(read_cr3());
		write_faults(w, R1, 1, "read-only by the directory");
		reads(w, R1, MARK, "read-only by the directory");
		pde_set(R1, ADDR(page(100)) | RW);
		write_cr3(read_cr3());
		if (w->ring)
			read_faults(w, R1, 1, "the kernel's by the directory");
		else
			reads(w, R1, MARK, "the kernel's by the directory");
		pde_set(R1, ADDR(page(100)) | RWU);
		write_cr3(read_cr3());
		writes(w, R1 + 4, 3, "writable again");
		pde_set(R1, 0);
		invlpg(R1);
		read_faults(w, R1, 0, "no table");
		write_cr3(read_cr3());
		read_faults(w, R1 + 0x1000, 0, "no table");
	}
}

TEST_PG(one_table_twice, "shadow.one page table at two places")
{
	mark_pages(32);
	FOR_EVERYBODY(w)
	{
		install(R1, page(100));
		install(R2, page(100));
		for (u32 i = 0; i < 60; i++) {
			u32 n = i % 9;

			set_entry(page(100), n, ADDR(page(i % 32)) | RW | w->u);
			invlpg(R1 + (n << 12));
			invlpg(R2 + (n << 12));
			reads(w, R1 + (n << 12), MARK + i % 32, "first place");
			reads(w, R2 + (n << 12), MARK + i % 32, "second place");
			writes(w, R1 + (n << 12) + 8, i, "first place");
			reads(w, R2 + (n << 12) + 8, i, "second place");
		}
		pde_set(R1, 0);
		write_cr3(read_cr3());
		read_faults(w, R1, 0, "first place, gone");
		reads(w, R2, *(u32 *)(uintptr_t)((u32)entry(page(100), 0) & ~0xfffu), "second place, still there");
		pde_set(R2, 0);
		write_cr3(read_cr3());
	}
}

TEST_PG(large, "shadow.large pages, and back to small ones")
{
	u32 size = pae() ? 0x200000 : 0x400000;

	write_cr4(read_cr4() | CR4_PSE);
	mark_pages(1000);
	FOR_EVERYBODY(w)
	{
		install(R1, page(1500));
		for (u32 i = 0; i < 32; i++)
			set_entry(page(1500), i, ADDR(page(900 - i)) | RW | w->u);
		for (u32 round = 0; round < 30; round++) {
			pde_set(R1, POOL | RW | w->u | P_PS);
			flush(R1, round);
			reads(w, R1 + 0x5000, MARK + 5, "page of a large page");
			EQ(pde_get(R1) & (P_A | P_D), P_A, "A and D after a read");
			reads(w, R1 + size - 0x1000, round ? 7777 : *(u32 *)page(size / 4096 - 1), "last page of a large page");
			writes(w, R1 + size - 0x1000, 7777, "last page of a large page");
			EQ(pde_get(R1) & (P_A | P_D), P_A | P_D, "A and D after a write");
			pde_set(R1, pde_get(R1) & ~(u64)P_W);
			flush(R1 + 0x5000, round / 2);
			write_faults(w, R1 + 0x6000, 1, "read-only large page");
			reads(w, R1 + 0x6000, MARK + 6, "read-only large page");
			pde_set(R1, ADDR(page(1500)) | RWU);
			flush(R1 + 0x5000, round / 3);
			reads(w, R1 + 0x5000, MARK + 895, "small page");
			write_cr3(read_cr3());
			reads(w, R1 + 0x6000, MARK + 894, "another small page");
			if (round == 29)
				*(u32 *)page(size / 4096 - 1) = MARK + size / 4096 - 1;
		}
		pde_set(R1, 0);
		write_cr3(read_cr3());
		*(u32 *)page(size / 4096 - 1) = MARK + size / 4096 - 1;
	}
}

/* Without PSE, bit 7 of a directory entry means nothing: the same entry names a page table. */
TEST_IN(pse, "shadow.CR4.PSE toggled", IN_32)
{
	u32 cr4 = read_cr4();

	mark_pages(64);
	FOR_EVERYBODY(w)
	{
		for (u32 i = 0; i < 40; i++) {
			u32 *pt = (u32 *)(uintptr_t)0xc00000;

			pt[0] = ADDR(page(i % 64)) | RW | w->u;
			pt[1] = ADDR(page(60 - i)) | RW | w->u;
			pde_set(R1, 0xc00000 | RW | w->u | P_PS);
			write_cr4(cr4 & ~(u32)CR4_PSE);
			reads(w, R1 + 0x1000, MARK + 60 - i, "through a page table");
			write_cr4(cr4 | CR4_PSE);
			struct state s = touch(w->ring, u_read, R1, 0);

			EQ(s.eax & ~0x60u, (ADDR(page(i % 64)) | RW | w->u) & ~0x60u, "the same page, as a large page");
		}
		pde_set(R1, 0);
	}
	write_cr4(cr4);
}

TEST_PG(wp, "shadow.CR0.WP toggled")
{
	u32 cr0 = read_cr0();

	for (u32 u = 0; u <= P_U; u += P_U)
		for (u32 i = 0; i < 60; i++) {
			const struct who *kernel = &everybody[1];

			map(B, page(0), P_P | u);
			write_cr0(cr0 & ~(u32)CR0_WP);
			writes(kernel, B, i, "read-only page without WP");
			EQ(*(u32 *)page(0), i, "word written");
			EQ(pte_get(B) & (P_A | P_D), P_A | P_D, "A and D");
			if (u)
				write_faults(&everybody[0], B, 1, "read-only page without WP");
			write_cr0(cr0 | CR0_WP);
			write_faults(kernel, B, 1, "read-only page with WP");
			reads(kernel, B, i, "read-only page with WP");
			if (u)
				write_faults(&everybody[0], B, 1, "read-only page with WP");
		}
	write_cr0(cr0);
}

TEST_PG(global, "shadow.global pages and CR4.PGE")
{
	u32 cr4 = read_cr4();

	mark_pages(8);
	FOR_EVERYBODY(w)
	for (u32 i = 0; i < 40; i++) {
		struct state s;

		write_cr4(cr4 | CR4_PGE);
		map(B, page(i % 8), RW | w->u | P_G);
		reads(w, B, MARK + i % 8, "global page");
		pte_set(B, ADDR(page((i + 1) % 8)) | RW | w->u | P_G);
		write_cr3(read_cr3());
		s = touch(w->ring, u_read, B, 0);
		if (s.vec != V_END || (s.eax != MARK + i % 8 && s.eax != MARK + (i + 1) % 8))
			fail("%s: global page after a CR3 load: %x", w->name, s.eax);
		if (i & 1)
			invlpg(B);
		else
			write_cr4(cr4);
		reads(w, B, MARK + (i + 1) % 8, i & 1 ? "after INVLPG" : "after PGE was cleared");
	}
	write_cr4(cr4);
}

TEST_PG(paging_off, "shadow.paging off and on")
{
	mark_pages(8);
	FOR_EVERYBODY(w)
	{
		if (w->u && !w->ring)
			continue;
		for (u32 i = 0; i < 20; i++) {
			map(B, page(i % 8), RW | w->u);
			reads(w, B, MARK + i % 8, "with paging");
			write_cr0(read_cr0() & ~CR0_PG);
			pte_set(B, ADDR(page((i + 1) % 8)) | RW | w->u);
			reads(w, POOL, MARK, "without paging");
			writes(w, POOL + 8, i, "without paging");
			write_cr0(read_cr0() | CR0_PG);
			reads(w, B, MARK + (i + 1) % 8, "with paging again");
			EQ(*(u32 *)(page(0) + 8), i, "word written without paging");
			if (w->ring)
				read_faults(w, POOL, 1, "the kernel's page with paging again");
		}
	}
}

TEST(mode_switch, "shadow.two-level and PAE tables in turn")
{
	mark_pages(8);
	for (u32 i = 0; i < 12; i++) {
		paging_set(i & 1 ? PG_PAE : PG_32);
		FOR_EVERYBODY(w)
		{
			map(B, page((i * 3 + w->ring) % 8), RW | w->u);
			reads(w, B, MARK + (i * 3 + w->ring) % 8, "a page");
			read_faults(w, C, 0, "no page");
		}
	}
}

TEST_IN(nx, "shadow.no-execute pages hold data", IN_PAE)
{
	u32 r[4];

	cpuid(0x80000001, 0, r);
	if (!(r[3] & 1u << 20)) {
		skip("no NX");
		return;
	}
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
	page(0)[0x100] = 0xcd;
	page(0)[0x101] = 0xf0;
	FOR_EVERYBODY(w)
	for (u32 i = 0; i < 40; i++) {
		struct state s = at_ring((void *)(uintptr_t)(B + 0x100), w->ring);

		map(B, page(0), RW | w->u | P_NX);
		writes(w, B, i, "no-execute page");
		reads(w, B, i, "no-execute page");
		run(&s);
		faults_at(&s, B + 0x100, 0x11 | (w->ring ? 4 : 0), (void *)(uintptr_t)(B + 0x100), "execution");
		pte_set(B, ADDR(page(0)) | RW | w->u);
		flush(B, i);
		s = at_ring((void *)(uintptr_t)(B + 0x100), w->ring);
		run(&s);
		ended(&s, "execution when it is allowed");
		if (boot_qemu) /* which reports a reserved bit without P */
			continue;
		/* Without NXE, bit 63 is reserved. */
		wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ull);
		map(B, page(0), RW | w->u | P_NX);
		read_faults(w, B, 9, "reserved bit");
		wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
		reads(w, B, i, "no longer reserved");
	}
	wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ull);
}

TEST_IN(pdpte, "shadow.PDPTEs are loaded by CR3 loads alone", IN_PAE)
{
	u64 *pdpt = (u64 *)(uintptr_t)(read_cr3() & ~31u), old = pdpt[2];
	u32 lin = 0x80000000;

	mark_pages(4);
	FOR_EVERYBODY(w)
	{
		memset(page(100), 0, 4096 * 4);
		set_entry(page(100), 0, ADDR(page(101)) | RWU);
		set_entry(page(101), 0, ADDR(page(0)) | RW | w->u);
		set_entry(page(102), 0, ADDR(page(103)) | RWU);
		set_entry(page(103), 0, ADDR(page(1)) | RW | w->u);
		pdpt[2] = ADDR(page(100)) | P_P;
		write_cr3(read_cr3());
		for (u32 i = 0; i < 40; i++) {
			reads(w, lin, MARK + (i & 1), "before the change");
			pdpt[2] = ADDR(page(i & 1 ? 100 : 102)) | P_P;
			invlpg(lin);
			if (!boot_qemu)
				reads(w, lin, MARK + (i & 1), "changed in memory only");
			write_cr3(read_cr3());
			reads(w, lin, MARK + (~i & 1), "after a CR3 load");
		}
		pdpt[2] = 0;
		write_cr3(read_cr3());
		read_faults(w, lin, 0, "not present");
		pdpt[2] = old;
		write_cr3(read_cr3());
	}
}

TEST_PG(reserved, "shadow.tables where there is no memory")
{
	if (qemu_skips("reads of unassigned memory are 0"))
		return;
	FOR_EVERYBODY(w)
	{
		pde_set(R1, 0xd0000000 | RWU);
		write_cr3(read_cr3());
		for (u32 i = 0; i < 20; i++) {
			touch(w->ring, u_read, R1 + (i << 12), 0);
			touch(w->ring, u_write, R1 + (i << 12), 0);
		}
		pde_set(R1, 0);
		write_cr3(read_cr3());
		read_faults(w, R1, 0, "no table");
	}
}
