/*
 * Code pages that are written: rewritten and called, with data beside code, through aliases, remapped under the code.
 */
#include "guestos/shadow/shadow.h"

/* Writes `mov $i, %eax; ret` at `code`, through `alias`, calls it, n times. */
static UTEXT u32 jit(u32 code, u32 alias, u32 n)
{
	u32 bad = 0;

	for (u32 i = 0; i < n; i++) {
		volatile u8 *p = (volatile u8 *)(uintptr_t)alias;

		p[0] = 0xb8;
		*(volatile u32 *)(p + 1) = i * 0x1234567;
		p[5] = 0xc3;
		bad += ((u32(*)(void))(uintptr_t)code)() != i * 0x1234567;
	}
	return bad;
}

TEST_PG(jit, "shadow.code rewritten and called 10,000 times")
{
	map(A, page(0), RWU);
	map(B, page(0), RWU);
	map(C, page(1), RWU);
	for (int ring = 3; ring >= 0; ring -= 3) {
		EQ(call_in(ring, jit, A + 0x40, A + 0x40, 10000), 0, tag("wrong results", ring));
		EQ(call_in(ring, jit, A + 0x80, B + 0x80, 2000), 0, tag("wrong results through an alias", ring));
		/* Over a page border, both pages in turn. */
		EQ(call_in(ring, jit, B + 0xffd, B + 0xffd, 2000), 0, tag("wrong results over a page border", ring));
	}
	/* The kernel writes, the user calls, and the other way round. */
	for (u32 i = 0; i < 200; i++) {
		struct state s = at_ring((void *)(uintptr_t)(B + 0x200), 3);

		*at(A + 0x200) = 0xb8 | i << 8;
		*at(A + 0x204) = 0xf0cd00;
		run(&s);
		if (ended(&s, "written by the kernel"))
			EQ(s.eax, i, "written by the kernel");
		writes(&everybody[0], A + 0x201, i + 7, "code by the user");
		s = at_ring((void *)(uintptr_t)(B + 0x200), 0);
		run(&s);
		if (ended(&s, "written by the user"))
			EQ(s.eax, i + 7, "written by the user");
	}
	unmap_window();
}

/* Calls code at `code` that increments the word at code + off, n times. */
static UTEXT u32 call_many(u32 code, u32 n, u32 off)
{
	volatile u32 *p = at(code + off);

	*p = 0;
	for (u32 i = 0; i < n; i++) {
		((void (*)(void))(uintptr_t)code)();
		if (*p != 2 * i + 1)
			return i + 1;
		(*p)++;
	}
	return 0;
}

TEST_PG(beside, "shadow.data beside code")
{
	static const u32 offsets[] = {8, 16, 60, 64, 128, 0x800, 0xf00};

	map(A, page(0), RWU);
	for (int ring = 3; ring >= 0; ring -= 3)
		for (u32 k = 0; k < sizeof(offsets) / sizeof(offsets[0]); k++) {
			volatile u8 *p = page(0);

			/* incl disp32; ret */
			p[0] = 0xff;
			p[1] = 0x05;
			*(volatile u32 *)(p + 2) = A + offsets[k];
			p[6] = 0xc3;
			EQ(call_in(ring, call_many, A, 20000, offsets[k]), 0, tag("first wrong count", ring));
		}
	unmap_window();
}

CODE(patch_alias, "mov $2000, %ecx; xor %eax, %eax; 1: mov %ecx, 3f - patch_alias(%edi); jmp 2f; 2: .byte 0xba; 3: .long 0; add %edx, "
		  "%eax; dec %ecx; jnz 1b");

TEST_PG(self_alias, "shadow.code that patches itself through an alias")
{
	memcpy(page(0) + 0x100, patch_alias, (u32)(patch_alias_end - patch_alias) + 2);
	map(A, page(0), RWU);
	for (int ring = 3; ring >= 0; ring -= 3)
		for (u32 k = 0; k < 3; k++) {
			struct state s = at_ring((void *)(uintptr_t)(A + 0x100), ring);

			map(B, page(0), k == 2 && ring ? RU : RWU);
			map(A, page(0), k == 2 ? RU : RWU);
			if (k == 2)
				map(C, page(0), RWU);
			s.edi = (k == 2 ? C : k ? B : A) + 0x100;
			run(&s);
			if (ended(&s, tag("patching code", ring)))
				EQ(s.eax, 2000 * 2001 / 2, tag("sum of the patched immediates", ring));
		}
	unmap_window();
}

CODE(give_1, "mov $0x101, %eax; jmp 1f; 1: add $1, %eax");
CODE(give_2, "mov $0x202, %eax; jmp 1f; 1: add $2, %eax");

TEST_PG(remap_code, "shadow.code pages remapped under the code")
{
	memcpy(page(0), give_1, (u32)(give_1_end - give_1) + 2);
	memcpy(page(1), give_2, (u32)(give_2_end - give_2) + 2);
	for (int ring = 3; ring >= 0; ring -= 3)
		for (u32 i = 0; i < 400; i++) {
			struct state s = at_ring((void *)(uintptr_t)B, ring);

			pte_set(B, ADDR(page(i & 1)) | RWU);
			flush(B, i / 2);
			run(&s);
			if (!ended(&s, tag("code", ring)))
				break;
			EQ(s.eax, i & 1 ? 0x204 : 0x102, tag("the new page's code", ring));
			if (i % 8)
				continue;
			pte_set(B, 0);
			flush(B, i / 8);
			s = at_ring((void *)(uintptr_t)B, ring);
			run(&s);
			faults_at(&s, B, ring ? 4 : 0, (void *)(uintptr_t)B, tag("code in an absent page", ring));
		}
}

TEST_PG(straddle_code, "shadow.an instruction over a border with the second page remapped")
{
	/* mov $imm, %eax with the immediate in the second page */
	page(0)[0xfff] = 0xb8;
	for (u32 i = 1; i < 4; i++) {
		*(volatile u32 *)page(i) = i * 0x11111;
		page(i)[4] = 0xcd;
		page(i)[5] = 0xf0;
	}
	map(A, page(0), RWU);
	for (int ring = 3; ring >= 0; ring -= 3)
		for (u32 i = 0; i < 120; i++) {
			struct state s = at_ring((void *)(uintptr_t)(A + 0xfff), ring);

			pte_set(B, i % 4 ? ADDR(page(i % 4)) | RWU : 0);
			flush(B, i);
			run(&s);
			if (i % 4 && ended(&s, tag("instruction", ring)))
				EQ(s.eax, i % 4 * 0x11111, tag("immediate in the second page", ring));
			else if (i % 4 == 0)
				faults_at(&s, B, ring ? 4 : 0, (void *)(uintptr_t)(A + 0xfff), tag("second page absent", ring));
		}
	unmap_window();
}

TEST_PG(read_only_code, "shadow.a write to read-only code faults")
{
	for (int ring = 3; ring >= 0; ring -= 3)
		for (u32 i = 0; i < 40; i++) {
			struct state s;

			memcpy(page(0), give_1, (u32)(give_1_end - give_1) + 2);
			map(B, page(0), RWU);
			s = at_ring((void *)(uintptr_t)B, ring);
			run(&s);
			ended(&s, tag("code", ring));
			map(B, page(0), RU);
			s = at_ring((void *)(uintptr_t)B, ring);
			run(&s);
			ended(&s, tag("read-only code", ring));
			write_faults(&everybody[ring ? 0 : 2], B + 1, 1, tag("write to code", ring));
			s = at_ring((void *)(uintptr_t)B, ring);
			run(&s);
			if (ended(&s, tag("the same code", ring)))
				EQ(s.eax, 0x102, tag("the same code", ring));
		}
}

/* A page that alternates between data that is written hard and code. */
TEST_PG(alternate, "shadow.a page used as data and as code by turns")
{
	map(A, page(0), RWU);
	for (int ring = 3; ring >= 0; ring -= 3)
		for (u32 i = 0; i < 60; i++) {
			struct state s = at_ring((void *)(uintptr_t)A, ring);

			for (u32 k = 0; k < 1024; k += 64)
				writes(&everybody[ring ? 0 : 2], A + 4 * k, i * k, "as data");
			memcpy((void *)(uintptr_t)A, i & 1 ? give_1 : give_2, (u32)(give_1_end - give_1) + 2);
			run(&s);
			if (ended(&s, tag("as code", ring)))
				EQ(s.eax, i & 1 ? 0x102 : 0x204, tag("as code", ring));
		}
}

/* Writes to n mappings of one page, then makes code through the last and calls it through the first, so that the page is write-protected in
 * all. */
static UTEXT u32 jit_many(u32 lin, u32 n, u32 rounds)
{
	u32 bad = 0;

	for (u32 i = 0; i < rounds; i++) {
		for (u32 k = 0; k < n; k++)
			*at(lin + (k << 12) + 0x400 + 4 * k) = i + k;
		bad += jit(lin + (i % n << 12) + 0x40, lin + ((i + 1) % n << 12) + 0x40, 3);
		for (u32 k = 0; k < n; k++)
			bad += *at(lin + ((n - 1 - k) << 12) + 0x400 + 4 * k) != i + k;
	}
	return bad;
}

TEST_PG(many_writers, "shadow.a page written through 64 mappings becomes code, and a page table")
{
	mark_pages(16);
	for (u32 i = 0; i < 64; i++)
		map(TW + (i << 12), page(100), RWU);
	for (int ring = 3; ring >= 0; ring -= 3) {
		EQ(call_in(ring, jit_many, TW, 64, 30), 0, tag("wrong words or results", ring));
		for (u32 round = 0; round < 10; round++) {
			memset(page(100), 0, 4096);
			for (u32 i = 0; i < 64; i++)
				writes(&everybody[ring ? 0 : 2], TW + (i << 12) + 0xffc, i, "one of many mappings");
			*at(TW + 0xffc) = 0;
			set_entry(page(100), 5, ADDR(page(round)) | RWU);
			pde_set(R1, ADDR(page(100)) | RWU);
			reads(&everybody[ring ? 0 : 2], R1 + 0x5000, MARK + round, "through a page that was data");
			/* Any of the mappings changes the table. */
			*at(TW + (round * 6 << 12) + 5 * entry_size()) = ADDR(page(round + 1)) | RWU;
			invlpg(R1 + 0x5000);
			reads(&everybody[ring ? 0 : 2], R1 + 0x5000, MARK + round + 1, "through the changed table");
			pde_set(R1, 0);
			write_cr3(read_cr3());
		}
	}
	unmap_window();
}
