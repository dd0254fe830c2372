/*
 * 16-bit code and stack segments in protected mode, and the size prefixes in 32-bit code.
 */
#include "guestos/conformance/test.h"

static UDATA u8 area[65536 + 16] __attribute__((aligned(16)));

enum { CS16 = 0x40, DS16 = 0x48, SS16 = 0x50 };

/* Code at offset 0 of a 16-bit segment, data and stack in `area`; 16-bit stack unless told otherwise. */
static struct state at16(const u8 *code, int ring, int stack32)
{
	struct state s = at_ring(code, ring);
	u8 dpl = (u8)ACC_DPL(ring);

	gdt_set(CS16, desc(ADDR(code), 0xffff, (u8)(ACC_CODE | dpl), 0));
	gdt_set(DS16, desc(ADDR(area), 0xffff, (u8)(ACC_DATA | dpl), 0));
	gdt_set(SS16, desc(ADDR(area), stack32 ? 0xfffff : 0xffff, (u8)(ACC_DATA | dpl), stack32 ? 4 : 0));
	s.cs = (u32)(CS16 | ring);
	s.ds = s.es = (u32)(DS16 | ring);
	s.ss = (u32)(SS16 | ring);
	s.eip = 0;
	s.esp = 0x8000;
	s.eflags = FL_ONE; /* an interrupt's IRET would replace the upper half of ESP */
	return s;
}

#define CODE16(name, text) CODE(name, ".code16\n" text "\n.code32\n")

CODE16(arith, "mov $0x1234, %ax; add %ax, %ax; mov $0x12345678, %ebx; push %ax; push %ebx; pop %cx; pop %edx; mov %sp, %si; pop %bp; nop");

TEST(arith, "code16.registers and pushes")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at16(arith, ring, 0);

		run(&s);
		if (!ended(&s, tag("code", ring)))
			continue;
		EQ(s.eax, 0xa1a12468, "eax");
		EQ(s.ebx, 0x12345678, "ebx");
		EQ(s.ecx, 0xc1c15678, "ecx");
		EQ(s.edx, 0x24681234, "edx");
		EQ(s.esi & 0xffff, 0x8000, "si");
		EQ(s.eip, (u32)(arith_end - arith) + 2, "eip image");
		EQ(s.cs, CS16 | ring, "cs image");
	}
}

CODE16(modes, "movzwl %sp, %esp; mov $0x100, %bx; mov $0x20, %si; mov $0x30, %di; mov $0x200, %bp; mov (%bx,%si), %al; mov (%bx,%di), %ah; "
	      "mov (%bp,%si), "
	      "%cl; mov (%bp,%di), %ch;"
	      "mov (%si), %dl; mov (%di), %dh; mov 0x1234, %bl; mov 5(%bp), %bh; add %al, -1(%si); mov $0xfff0, %si; mov 0x20(%si), %al; "
	      "addr32 mov 0x30(%esp), %ah");

TEST(modes, "code16.16-bit addressing forms")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at16(modes, ring, 0);

		for (u32 i = 0; i < 65536; i++)
			area[i] = (u8)(i ^ i >> 8);
		s.edi = 0;
		s.ebp = 0;
		run(&s);
		if (!ended(&s, tag("code", ring)))
			continue;
		EQ(s.eax & 0xffff, (0x10 | (0x30 ^ 0x80) << 8), "(si) with a displacement wraps; 30(esp)");
		EQ(s.ecx & 0xffff, (0x22 | 0x32 << 8), "(bp,si), (bp,di)");
		EQ(s.edx & 0xffff, (0x20 | 0x30 << 8), "(si), (di)");
		EQ(s.ebx & 0xffff, ((0x12 ^ 0x34) | 0x07 << 8), "disp16, 5(bp)");
		EQ(area[0x1f], (u8)(0x1f + 0x21), "add to -1(si)");
	}
}

CODE16(flow, "xor %ax, %ax; mov $5, %cx; 1: inc %ax; loop 1b; call 2f; jmp 3f; 2: add $0x100, %ax; ret; 3: mov $(4f - flow), %bx; "
	     "call *%bx; jmp 5f;"
	     "4: add $0x200, %ax; ret $0; 5: jcxz 6f; mov $0xdead, %ax; 6: mov $0x10000, %ecx; jcxz 7f; mov $0xdead, %ax; 7: jecxz "
	     "8f; add $0x400, %ax; 8:"
	     "pushf; pop %dx; pushfl; pop %esi; push %cs; call 9f; mov %sp, %di; jmp 10f; 9: lret; 10: pushf; push %cs; call 11f; jmp 12f; "
	     "11: iret; 12: nop");

TEST(flow, "code16.loops, calls, far returns and iret")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at16(flow, ring, 0);

		s.eflags = FL_ONE | FL_ID;
		run(&s);
		if (!ended(&s, tag("code", ring)))
			continue;
		EQ(s.eax & 0xffff, 0x705, "ax");
		EQ(s.edx & FL_IF, s.eflags & FL_IF, "pushf");
		EQ(s.esi & FL_ID, FL_ID, "pushfl");
		EQ(s.edi & 0xffff, 0x8000, "sp after lret");
		EQ(s.esp & 0xffff, 0x8000, "sp");
	}
}

CODE16(strings, "cld; mov $0x100, %si; mov $0x300, %di; mov $16, %cx; rep movsw; mov $0xab, %al; mov $8, %cx; rep stosb; mov $0x100, %si; "
		"mov $0x300, %di;"
		"mov $100, %cx; repe cmpsb; mov %cx, %bx; mov $0xfffe, %si; lodsl; mov $0xffff, %si; lodsb; mov %si, %dx");

TEST(strings, "code16.string instructions use si, di and cx")
{
	struct state s = at16(strings, 3, 0);

	for (u32 i = 0; i < 65536; i++)
		area[i] = (u8)(i * 3);
	gdt_set(DS16, desc(ADDR(area), 0x1ffff, ACC_DATA | ACC_DPL(3), 0));
	s.ecx = 0xc1c10000;
	s.esi = 0x51510000;
	s.edi = 0xd9d90000;
	run(&s);
	if (!ended(&s, "strings"))
		return;
	EQ(memcmp(area + 0x100, area + 0x300, 32), 0, "copy");
	EQ(area[0x320], 0xab, "fill");
	EQ(s.ebx & 0xffff, 100 - 33, "cx after repe cmpsb");
	EQ(s.edx & 0xffff, 0, "si wraps");
	EQ(s.esi, 0x51510000, "upper half of esi");
	EQ(s.ecx >> 16, 0xc1c1, "upper half of ecx");
}

CODE16(direction, "mov $0x200, %si; std; lodsb; mov %si, %bx; pushf; cld; lodsb; mov %si, %cx; popf; lodsw; mov %si, %dx;"
		  "pushf; pop %ax; and $0xfbff, %ax; push %ax; popf; lodsb; mov %si, %di; std; daa; lodsb; mov %si, %bp; cld; daa; lodsl");

TEST(direction, "code16.string instructions follow DF, whatever sets it")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at16(direction, ring, 0);

		run(&s);
		if (!ended(&s, "direction"))
			continue;
		EQ(s.ebx & 0xffff, 0x1ff, tag("std, lodsb", ring));
		EQ(s.ecx & 0xffff, 0x200, tag("cld, lodsb", ring));
		EQ(s.edx & 0xffff, 0x1fe, tag("popf with DF, lodsw", ring));
		EQ(s.edi & 0xffff, 0x1ff, tag("popf without, lodsb", ring));
		EQ(s.ebp & 0xffff, 0x1fe, tag("std, a callout, lodsb", ring));
		EQ(s.esi & 0xffff, 0x202, tag("cld, a callout, lodsl", ring));
	}
}

CODE16(sp_wrap,
       "mov $0x12340000, %esp; push %ax; mov %sp, %bx; pop %cx; mov %sp, %dx; mov $4, %sp; pushl %eax; mov %sp, %si; mov $0x7000, %sp; "
       "enter $16, $0;"
       "mov %sp, %di; leave; mov %sp, %bp; call 1f; 1: pop %ax; mov $0x8000, %sp");

TEST(sp_wrap, "code16.sp wraps at 64 KB")
{
	struct state s = at16(sp_wrap, 3, 0);

	run(&s);
	if (!ended(&s, "stack"))
		return;
	EQ(s.ebx & 0xffff, 0xfffe, "sp after a push at 0");
	EQ(s.ecx & 0xffff, 0xa1a1, "popped word");
	EQ(s.edx & 0xffff, 0, "sp after the pop");
	EQ(s.edi & 0xffff, 0x7000 - 18, "sp in enter");
	EQ(s.ebp & 0xffff, 0x7000, "sp after leave");
	EQ(s.esp, 0x12348000, "upper half of esp");
}

CODE(stack16_32code, "mov %ebp, %esp; push %eax; mov %esp, %ebx; push $0x55667788; pop %ecx; pop %edx; call 1f; 1: pop %esi; pusha; popa; "
		     "pushf; popf; mov (%esp), %eax;"
		     "sub $8, %esp; mov %esp, %edi; add $8, %esp");

TEST(stack16, "code16.32-bit code on a 16-bit stack")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(stack16_32code, ring);

		gdt_set(SS16, desc(ADDR(area), 0xffff, (u8)(ACC_DATA | ACC_DPL(ring)), 0));
		s.ss = (u32)(SS16 | ring);
		/* IRET to a 16-bit stack loads SP alone, so ESP is loaded by the code. */
		s.ebp = ring ? 0x43210800 : 0x800;
		s.esp = 0x800;
		s.eflags = FL_ONE;
		*(volatile u32 *)(area + 0x800) = 0x13579bdf;
		run(&s);
		if (ring) {
			EQ(s.ebx, 0x432107fc, "esp after a push");
			EQ(s.ecx, 0x55667788, "popped word");
			continue;
		}
		if (!ended(&s, "stack"))
			continue;
		EQ(s.ecx, 0x55667788, "second word");
		EQ(s.edx, 0xa1a1a1a1, "first word");
		EQ(s.eax, 0x13579bdf, "(esp)");
		EQ(s.edi, 0x7f8, "esp");
	}
}

CODE(all_of_esp, "mov %ebp, %esp; all_of_esp_at: mov (%esp), %eax");

TEST(all_of_esp, "code16.(esp) uses all of ESP on a 16-bit stack")
{
	struct state s = at_ring(all_of_esp, 3);

	if (qemu_skips("segment limits are not checked on memory accesses"))
		return;
	gdt_set(SS16, desc(ADDR(area), 0xffff, ACC_DATA | ACC_DPL(3), 0));
	s.eflags = FL_ONE;
	s.ss = SS16 | 3;
	s.esp = 0x800;
	s.ebp = 0x43210800;
	run(&s);
	trapped(&s, V_SS, 0, all_of_esp_at, "mov (esp)");
}

CODE16(stack32_16code, "push %ax; pushl %ebx; mov %esp, %ecx; pop %edx; pop %si; call 1f; 1: pop %di; pusha; popa; nop");

TEST(stack32, "code16.16-bit code on a 32-bit stack")
{
	struct state s = at16(stack32_16code, 3, 1);

	s.esp = 0xfff0;
	run(&s);
	if (!ended(&s, "stack"))
		return;
	EQ(s.ecx, 0xfff0 - 6, "esp");
	EQ(s.edx, 0xb1b1b1b1, "popl");
	EQ(s.esi & 0xffff, 0xa1a1, "pop");
	EQ(s.esp, 0xfff0, "esp afterwards");
}

TEST(ip_wrap, "code16.ip is cut to 16 bits by a jump")
{
	/* At offset 0xfff0 of a segment: jmp +0x20 lands at 0x13. */
	struct state s = at16(area, 3, 0);

	memset(area, 0x90, 0x100);
	area[0x12] = 0xcd;
	area[0x13] = 0xf0;
	area[0xfff0] = 0xeb;
	area[0xfff1] = 0x20;
	s.eip = 0xfff0;
	run(&s);
	if (ended(&s, "jump"))
		EQ(s.eip, 0x14, "eip");
}

CODE(prefixes, "addw $0x1111, %ax; movw $0x2222, (%ebx); addr16 mov 2(%bx), %cx; imulw $3, %dx, %dx; movw %sp, %si; incw %di; cbtw; "
	       "pushw $7; popw %bp");

TEST(prefixes, "code16.66 and 67 in 32-bit code")
{
	struct state s = at_ring(prefixes, 3);

	/* 67 forms reach the first 64 KB alone: DS gets a base there. */
	gdt_set(DS16, desc(ADDR(area), 0xfffff, ACC_DATA | ACC_DPL(3), 0xc));
	s.ds = DS16 | 3;
	s.ebx = 0x100;
	s.edx = 0xd1d10005;
	*(volatile u16 *)(area + 0x102) = 0x3333;
	run(&s);
	if (!ended(&s, "prefixes"))
		return;
	EQ(*(u16 *)(area + 0x100), 0x2222, "movw");
	EQ(s.ecx, 0xc1c13333, "addr16 mov");
	EQ(s.edx, 0xd1d1000f, "imulw");
	EQ(s.edi, 0xd9d9d9da, "incw");
	EQ(s.ebp, 0xb9b90007, "popw bp");
}

CODE16(far16, "lcall $0x43, $(1f - far16); jmp 2f; 1: mov %sp, %bx; pop %ax; pop %cx; push %cx; push %ax; lret; 2: lcalll $0x43, $(3f - "
	      "far16); jmp 4f;"
	      "3: mov %sp, %dx; lretl; 4: nop");

TEST(far16, "code16.far calls of both operand sizes")
{
	struct state s = at16(far16, 3, 0);

	run(&s);
	if (!ended(&s, "far calls"))
		return;
	EQ(s.ebx & 0xffff, 0x8000 - 4, "sp in the 16-bit call");
	EQ(s.eax & 0xffff, 5, "return ip");
	EQ(s.ecx & 0xffff, CS16 | 3, "return cs");
	EQ(s.edx & 0xffff, 0x8000 - 8, "sp in the 32-bit call");
	EQ(s.esp & 0xffff, 0x8000, "sp");
}
