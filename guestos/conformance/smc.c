/*
 * Self-modifying code. The manual asks for a jump between a write and the execution of what it changed (SDM Vol. 3A 8.1.3); all processors
 * since the Pentium also see a change to the very next instruction when it is made through the same linear address, and so do guests.
 */
#include "guestos/conformance/test.h"

enum { A = TW, B = TW + 0x1000, C = TW + 0x2000 };

/* Text that is executed here is copied to page RWX first: code(lin) is where. */
static UDATA u8 page[8192] __attribute__((aligned(4096)));

static struct state in_page(const u8 *from, const u8 *end, u32 off, int ring)
{
	memcpy(page + off, from, (u32)(end - from) + 2);
	return at_ring(page + off, ring);
}
#define IN_PAGE(name, off, ring) in_page(name, name##_end, off, ring)

CODE(next_insn, "movb $0x43, 1f - next_insn(%ebx); 1: inc %eax"); /* becomes inc %ebx */
CODE(next_jump, "movb $0x43, 1f - next_jump(%ebx); jmp 1f; 1: inc %eax");
CODE(later, "movb $0x43, 1f - later(%ebx); nop; nop; mov %eax, %ecx; mov %ecx, %edx; add $0, %edx; 1: inc %eax");
CODE(later_block, "movb $0x43, 1f - later_block(%ebx); test %eax, %eax; jz 2f; 2: jmp 3f; 3: nop; 1: inc %eax");
CODE(xchg_next, "mov $0x90909043, %ecx; xchg %ecx, 1f - xchg_next(%ebx); 1: inc %eax; nop; nop; nop");
CODE(stos_next, "lea 1f - stos_next(%ebx), %edi; mov $0x43, %al; stosb; mov $1, %eax; 2: nop; 1: inc %eax");
CODE(push_next, "lea 4 + 1f - push_next(%ebx), %ecx; xchg %ecx, %esp; push $0x90909043; 1: inc %eax; nop; nop; nop; xchg %ecx, %esp");

static void modifies(const u8 *code, const u8 *end, const char *name)
{
	for (int ring = 0; ring <= 3; ring += 3)
		for (int warm = 0; warm < 3; warm++) {
			struct state s = in_page(code, end, 0x100, ring);
			u32 ebx = ADDR(page) + 0x100;

			s.eax = 1;
			s.ebx = ebx;
			run(&s);
			if (!ended(&s, tag(name, ring)))
				return;
			EQ(s.eax, 1, tag(name, ring));
			EQ(s.ebx, ebx + 1, tag(name, ring));
		}
}

TEST(next, "smc.the next instruction")
{
	modifies(next_insn, next_insn_end, "next instruction");
	modifies(xchg_next, xchg_next_end, "next instruction by xchg");
}

TEST(next_jump, "smc.after a jump")
{
	modifies(next_jump, next_jump_end, "after a jump");
}

TEST(later, "smc.a later instruction of the same block")
{
	modifies(later, later_end, "later instruction");
	modifies(later_block, later_block_end, "later block");
}

TEST(stos_next, "smc.by stos and push")
{
	modifies(stos_next, stos_next_end, "stos");
	modifies(push_next, push_next_end, "push");
}

CODE(self_imm,
     "xor %eax, %eax; mov $10000, %ecx; 1: add $0x11111111, %eax; mov %ecx, 3f - self_imm(%ebx); 2: .byte 0xba; 3: .long 0; add %edx, %esi;"
     "incl 4f - self_imm(%ebx); .byte 0xbf; 4: .long 0; dec %ecx; jnz 1b");

TEST(loop, "smc.a loop that patches its own immediates 10,000 times")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = IN_PAGE(self_imm, 0x40, ring);

		s.ebx = ADDR(page) + 0x40;
		s.esi = 0;
		run(&s);
		if (!ended(&s, tag("loop", ring)))
			return;
		EQ(s.esi, 10000u * 10001 / 2, "sum of the immediates");
		EQ(s.edi, 10000, "last counter");
		EQ(s.eax, 0x11111111u * 10000, "eax");
	}
}

CODE(rep_ahead, "rep movsb; rep_ahead_at: .skip 64, 0x90; nop");
CODE(stos_ahead, "rep stosb; stos_ahead_at: .skip 64, 0x40");

TEST(rep, "smc.rep movs and rep stos into the code ahead")
{
	static UDATA u8 incs[64];

	memset(incs, 0x43, sizeof(incs)); /* inc %ebx */
	for (int ring = 0; ring <= 3; ring += 3)
		for (u32 n = 1; n <= 64; n += 21) {
			struct state s = IN_PAGE(rep_ahead, 0x200, ring);

			s.esi = ADDR(incs);
			s.edi = ADDR(page) + 0x202;
			s.ecx = n;
			s.ebx = 0;
			run(&s);
			if (ended(&s, tag("rep movsb", ring)))
				EQ(s.ebx, n, tag("instructions written by rep movsb", ring));
			s = IN_PAGE(stos_ahead, 0x200, ring);
			s.eax = 0x43;
			s.edi = ADDR(page) + 0x202;
			s.ecx = n;
			s.ebx = 0;
			run(&s);
			if (ended(&s, tag("rep stosb", ring))) {
				EQ(s.ebx, n, tag("instructions written by rep stosb", ring));
				EQ(s.eax, 0x43 + 64 - n, tag("instructions left", ring));
			}
		}
}

typedef u32 (*fn_t)(void);

/* mov $v, %eax; ret */
static void make_fn(volatile u8 *p, u32 v)
{
	p[0] = 0xb8;
	p[1] = (u8)v;
	p[2] = (u8)(v >> 8);
	p[3] = (u8)(v >> 16);
	p[4] = (u8)(v >> 24);
	p[5] = 0xc3;
}

TEST(jit, "smc.write a function, call it, rewrite it")
{
	for (u32 i = 0; i < 3000; i++) {
		u8 *p = page + 64 * (i % 32);

		make_fn(p, i * 0x10001);
		if (((fn_t)p)() != i * 0x10001) {
			fail("function %u gives %x", i, ((fn_t)p)());
			return;
		}
	}
}

TEST(jit_imm, "smc.change one byte of a function at a time")
{
	make_fn(page, 0);
	for (u32 i = 0; i < 1024; i++) {
		page[1 + (i & 3)] = (u8)(i * 5);
		EQ(((fn_t)page)(), *(u32 *)(page + 1), "value");
	}
}

TEST(data_beside, "smc.data written beside code")
{
	volatile u32 *data = (volatile u32 *)(page + 0x80);

	make_fn(page + 0x40, 7);
	for (u32 i = 0; i < 20000; i++) {
		data[i & 15] = i;
		if ((i & 63) == 0)
			EQ(((fn_t)(page + 0x40))(), 7, "value");
		if (data[i & 15] != i) {
			fail("data word is %x, want %x", data[i & 15], i);
			return;
		}
	}
}

TEST(straddle, "smc.a write that covers the end of code and the start of data")
{
	for (u32 i = 0; i < 200; i++) {
		make_fn(page + 0x40, 0x01020304);
		EQ(((fn_t)(page + 0x40))(), 0x01020304, "before");
		/* Bytes 3 to 6 of the function: upper immediate bytes, ret, and a byte of data. */
		*(volatile u32 *)(page + 0x43) = 0xaac30000u | (i & 0xff) << 8 | 0x55;
		EQ(((fn_t)(page + 0x40))(), 0x0304 | 0x550000u | (i & 0xff) << 24, "after");
		EQ(page[0x46], 0xaa, "data byte");
	}
}

CODE(other_page, "mov $500, %ecx; xor %edx, %edx; 1: mov %ecx, 1(%ebx); call *%ebx; add %eax, %edx; dec %ecx; jnz 1b");

TEST(other_page, "smc.code of another page, from ring 3")
{
	struct state s = IN_PAGE(other_page, 0, 3);

	make_fn(page + 4096 + 0x20, 0);
	s.ebx = ADDR(page) + 4096 + 0x20;
	run(&s);
	if (ended(&s, "loop"))
		EQ(s.edx, 500 * 501 / 2, "sum");
}

TEST_PG(alias, "smc.through another linear address of the page")
{
	map(A, scratch[1], P_P | P_W | P_U);
	map(B, scratch[1], P_P | P_W | P_U);
	for (u32 i = 0; i < 500; i++) {
		make_fn((u8 *)A + 0x100, i);
		EQ(((fn_t)(B + 0x100))(), i, "written at A, called at B");
		make_fn(scratch[1] + 0x100, i + 7);
		EQ(((fn_t)(B + 0x100))(), i + 7, "written physically, called at B");
		EQ(((fn_t)(A + 0x100))(), i + 7, "written physically, called at A");
		((volatile u8 *)B)[0x101] = 0xee;
		EQ(((fn_t)(A + 0x100))(), ((i + 7) & ~0xffu) | 0xee, "one byte written at B, called at A");
	}
}

TEST_PG(boundary, "smc.a function across a page boundary whose second page is remapped")
{
	struct state s;

	for (u32 i = 0; i < 4; i++) {
		/* In A's last three bytes: mov $.., %eax begins; the rest is in B's page, another in each round. */
		u8 whole[6];

		make_fn(whole, 0x11220000u + i * 0x01000000);
		memcpy(scratch[0] + 0xffd, whole, 3);
		memcpy(scratch[1 + i], whole + 3, 3);
	}
	map(A, scratch[0], P_P | P_W | P_U);
	for (u32 round = 0; round < 50; round++) {
		u32 i = round % 4;

		map(B, scratch[1 + i], P_P | P_W | P_U);
		EQ(((fn_t)(A + 0xffd))(), 0x11220000u + i * 0x01000000, "value");
	}
	/* A write to the second page's part. */
	for (u32 i = 0; i < 100; i++) {
		((volatile u8 *)B)[1] = (u8)i;
		EQ(((fn_t)(A + 0xffd))() >> 24, i, "value after a write to the second page");
	}
	map(B, scratch[1], 0);
	s = at_ring((void *)(A + 0xffd), 3);
	run(&s);
	trapped(&s, V_PF, 4, (void *)(A + 0xffd), "call with the second page absent");
	EQ(s.cr2, B, "cr2");
}

TEST_PG(remap, "smc.a code page that is remapped")
{
	for (u32 i = 0; i < 8; i++)
		make_fn(scratch[i] + 0x10, i * 3);
	for (u32 round = 0; round < 200; round++) {
		u32 i = round * 5 % 8;

		map(B, scratch[i], P_P | P_U);
		EQ(((fn_t)(B + 0x10))(), i * 3, "value");
	}
	/* The same physical page at many linear addresses. */
	for (u32 i = 0; i < 64; i++) {
		map(TW + (i << 12), scratch[3], P_P | P_U);
		EQ(((fn_t)(TW + (i << 12) + 0x10))(), 9, "value");
	}
	unmap_window();
}

CODE(patch_site, "1: jmp 2f; .byte 0xb8, 1, 0, 0, 0; jmp 3f; 2: mov $2, %eax; 3: nop");

TEST(jump_label, "smc.a jump patched to a nop and back, as kernels do")
{
	struct state s;

	for (u32 i = 0; i < 300; i++) {
		if (!i)
			s = IN_PAGE(patch_site, 0x300, 0);
		s = at_ring(page + 0x300, i & 1 ? 3 : 0);
		*(volatile u16 *)(page + 0x300) = i % 3 ? 0x9066 : 0x07eb;
		run(&s);
		if (!ended(&s, "patched code"))
			return;
		EQ(s.eax, i % 3 ? 1 : 2, "eax");
	}
}

CODE(int3_site, "nop; .byte 0xb8, 5, 0, 0, 0; nop");

static int int3_hook(struct state *s)
{
	page[0x400] = 0x90;
	s->eip--;
	s->edx++;
	return 1;
}

TEST(int3_patch, "smc.breakpoints set and removed by their handler")
{
	struct state s;

	trap_hook[V_BP] = int3_hook;
	for (u32 i = 0; i < 100; i++) {
		s = IN_PAGE(int3_site, 0x400, i & 1 ? 3 : 0);
		s.edx = 0;
		run(&s);
		ended(&s, "plain");
		EQ(s.edx, 0, "breakpoints hit");
		page[0x400] = 0xcc;
		s = at_ring(page + 0x400, i & 1 ? 3 : 0);
		s.edx = 0;
		run(&s);
		ended(&s, "with a breakpoint");
		EQ(s.edx, 1, "breakpoints hit");
		EQ(s.eax, 5, "eax");
	}
	trap_hook[V_BP] = NULL;
}

CODE(big_block, ".rept 40; add $1, %eax; add $2, %ecx; xor %edx, %esi; .endr; jmp 1f; 1: nop");

TEST(rewrite_all, "smc.a page of code replaced by other code")
{
	for (u32 i = 0; i < 60; i++) {
		struct state s;

		memset(page, i & 1 ? 0x40 : 0x43, 1000); /* inc %eax or inc %ebx */
		page[1000] = 0xcd;
		page[1001] = 0xf0;
		s = at_ring(page, 3);
		s.eax = s.ebx = 0;
		run(&s);
		if (!ended(&s, "page"))
			return;
		EQ(s.eax, i & 1 ? 1000 : 0, "eax");
		EQ(s.ebx, i & 1 ? 0 : 1000, "ebx");
		s = IN_PAGE(big_block, 0x20, 3);
		s.eax = 0;
		run(&s);
		ended(&s, "block");
		EQ(s.eax, 40, "eax");
	}
}
