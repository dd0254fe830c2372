/*
 * Real mode, SDM Vol. 3A 20.1, and big real mode. QEMU's TCG checks no segment limits, keeps selectors in x87 images of every mode, and has
 * no #SS or #GP for accesses that pass the end of a segment: those tests are skipped there.
 */
#include "guestos/modes/modes.h"

/* The run stopped at vector vec, at offset ip of the code. */
static void stopped(const struct state *s, u32 vec, u32 ip, const char *what)
{
	if (s->vec != vec || s->eip != ip || s->cs != LOW_CODE >> 4)
		fail("%s: vector %u at %x:%x, want %u at %x", what, s->vec, s->cs, s->eip, vec, ip);
}

CODE16(segments,
       "mov $0x2100, %ax; mov %ax, %ds; movw $0x1234, 0x10; mov %ds, %bx; movw $0x5678, %cs:0x800; push %cs; pop %es; mov %es:0x800, %cx;"
       "mov $0x2200, %dx; push %dx; pop %fs; mov %fs, %fs:4; les 0x20, %si; mov %es, %di");

TEST(real_segments, "real.segment loads are paragraphs")
{
	struct state s = AT_REAL(segments);

	*(volatile u32 *)low(LOW_AREA + 0x1020) = 0x98764321;
	real_run(&s);
	stopped(&s, V_END, END(segments), "end");
	EQ(low16(LOW_AREA + 0x1010), 0x1234, "store at 2100:0010");
	EQ(s.ebx & 0xffff, 0x2100, "ds");
	EQ(low16(LOW_CODE + 0x800), 0x5678, "store through cs");
	EQ(s.ecx & 0xffff, 0x5678, "load through es");
	EQ(low16(LOW_AREA + 0x2004), 0x2200, "fs");
	EQ(s.esi, 0x51514321, "les: si");
	EQ(s.edi & 0xffff, 0x9876, "les: es");
	EQ(s.esp, 0x8000, "esp");
}

CODE16(protected_only, "sldt %ax; str %ax; lldt %ax; ltr %ax; lar %ax, %bx; lsl %ax, %bx; verr %ax; verw %ax; arpl %ax, %bx");

TEST(real_ud, "real.instructions of protected mode alone are undefined")
{
	static const u8 offsets[] = {0, 3, 6, 9, 12, 15, 18, 21, 24};

	for (unsigned n = 0; n < sizeof(offsets); n++) {
		struct state s = AT_REAL(protected_only);

		s.eip = offsets[n];
		real_run(&s);
		stopped(&s, V_UD, offsets[n], "undefined");
	}
}

CODE16(allowed, "mov %cr0, %eax; smsw %bx; sidt 0x10; sgdt 0x20; lmsw %bx; clts; mov %cr3, %ecx; mov %cr3, %edx; mov %edx, %cr3; mov %dr7, "
		"%esi; mov $0x77, %di;"
		"wbinvd; lidt 0x10");

TEST(real_allowed, "real.system instructions run at CPL 0")
{
	struct state s = AT_REAL(allowed);

	real_run(&s);
	stopped(&s, V_END, END(allowed), "end");
	EQ(s.eax & (CR0_PE | CR0_PG), 0, "cr0");
	EQ(s.ebx & 1, 0, "msw");
	EQ(low16(LOW_AREA + 0x10), 0x3ff, "idt limit");
	EQ(low32(LOW_AREA + 0x12), LOW_IVT, "idt base");
	EQ(low32(LOW_AREA + 0x22), ADDR(gdt), "gdt base");
	EQ(s.edi & 0xffff, 0x77, "di");
}

CODE16(divide, "xor %bl, %bl; div %bl");
CODE16(breakpoint, "int3");
CODE16(overflow, "mov $0x7f, %al; inc %al; into");
CODE16(bounds, "mov $5, %ax; bound %ax, 0x10");
CODE16(undefined, "ud2");
CODE16(fast_call, "sysenter");

TEST(real_exceptions, "real.exceptions through the vector table, without error codes")
{
	static const struct {
		const u8 *code;
		u32 bytes, vec, ip;
	} cases[] = {{divide, 6, V_DE, 2}, {breakpoint, 3, V_BP, 1}, {overflow, 7, V_OF, 5},
		     {bounds, 9, V_BR, 3}, {undefined, 4, V_UD, 0},  {fast_call, 4, V_GP, 0}};

	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct state s = at_real(cases[n].code, cases[n].bytes);

		s.eflags |= FL_AC | FL_IF;
		if (cases[n].vec == V_GP && !(cpuid_edx1() & 1u << 11))
			continue;
		pic_mask(0xffff);
		real_run(&s);
		pic_mask(0xfffe);
		stopped(&s, cases[n].vec, cases[n].ip, "exception");
		EQ(s.esp, 0x8000, "three words pushed");
		EQ(s.eflags & (FL_IF | FL_AC), FL_IF, "IF of the image, AC cleared behind it");
	}
}

CODE16(int40, "nop; int $0x40");

TEST(real_ivt_limit, "real.a vector beyond the table's limit is #GP")
{
	struct state s = AT_REAL(int40);

	ivt_limit(0x40 * 4 + 2);
	real_run(&s);
	stopped(&s, V_GP, 1, "int 40h");
	s = AT_REAL(int40);
	ivt_limit(0x40 * 4 + 3);
	real_run(&s);
	stopped(&s, 0x40, 3, "int 40h within the limit");
}

CODE16(wrap_ds, "mov 0xffff, %ax");
CODE16(wrap_ss, "mov %ss:0xffff, %ax");
CODE16(wrap_dword, "movl 0xfffd, %eax");
CODE16(wrap_32, "mov $0x10000, %ebx; addr32 mov (%ebx), %al");

TEST(real_wrap, "real.accesses beyond 64 KiB fault")
{
	struct state s = AT_REAL(wrap_ds);

	if (qemu_skips("no segment limits"))
		return;
	real_run(&s);
	stopped(&s, V_GP, 0, "ds:ffff");
	s = AT_REAL(wrap_ss);
	real_run(&s);
	stopped(&s, V_SS, 0, "ss:ffff");
	s = AT_REAL(wrap_dword);
	real_run(&s);
	stopped(&s, V_GP, 0, "dword at ds:fffd");
	s = AT_REAL(wrap_32);
	real_run(&s);
	stopped(&s, V_GP, 6, "ds:10000");
}

CODE16(sp_wraps, "xor %sp, %sp; push $0x1122; mov %sp, %ax; pop %bx; mov %sp, %cx");

TEST(real_sp, "real.SP wraps from 0 to FFFE and back")
{
	struct state s = AT_REAL(sp_wraps);

	real_run(&s);
	stopped(&s, V_END, END(sp_wraps), "end");
	EQ(s.eax & 0xffff, 0xfffe, "sp behind push");
	EQ(s.ebx & 0xffff, 0x1122, "popped");
	EQ(s.ecx & 0xffff, 0, "sp behind pop");
}

CODE16(popf16, "pushw %ax; popfw; pushfl; popl %ebx; pushw $2; popfw");
CODE16(popf32, "pushl %eax; popfl; pushfl; popl %ebx; pushw $2; popfw");
CODE16(iret16, "pushw %ax; push %cs; call 1f; 1: pop %si; add $2f - 1b, %si; push %si; iretw; ud2; 2: pushfl; popl %ebx; pushw $2; popfw");
CODE16(iret32, "pushl %eax; pushl %cs; call 1f; 1: pop %si; add $2f - 1b, %si; movzwl %si, %esi; pushl %esi; iretl; ud2; 2: pushfl; popl "
	       "%ebx; pushw $2; popfw");

TEST(real_flags, "real.POPF and IRET, 16 and 32 bits")
{
	static const u32 images[] = {0, FL_ARITH | FL_DF, FL_IF, FL_IOPL, FL_NT, FL_AC | FL_ID, 0xffffffff & ~(u32)FL_TF};
	const u32 low16_bits = FL_ARITH | FL_DF | FL_IF | FL_IOPL | FL_NT, high = FL_AC | FL_ID;

	for (unsigned n = 0; n < sizeof(images) / sizeof(images[0]); n++) {
		for (int form = 0; form < 4; form++) {
			struct state s = form == 0   ? AT_REAL(popf16)
					 : form == 1 ? AT_REAL(popf32)
					 : form == 2 ? AT_REAL(iret16)
						     : AT_REAL(iret32);

			pic_mask(0xffff);
			s.eax = images[n];
			real_run(&s);
			pic_mask(0xfffe);
			EQ(s.vec, V_END, "end");
			EQ(s.ebx, (images[n] & (form & 1 ? low16_bits | high : low16_bits)) | FL_ONE, form < 2 ? "popf" : "iret");
		}
	}
}

CODE16(far_calls, "movw $0x100, 0x40; movw $0x1010, 0x42; lcall *0x40; mov %sp, %dx; push %si; lcall $0x1020, $0x10; lcalll $0x1030, "
		  "$0x20; ljmp $0x1000, $1f - far_calls; ud2; 1: inc %di");

TEST(real_far, "real.far calls, jumps and returns")
{
	struct state s = AT_REAL(far_calls);
	static const u8 callee1[] = {0x8c, 0xc8, 0xcb};		    /* mov %cs, %ax; lret */
	static const u8 callee2[] = {0x8c, 0xcb, 0xca, 0x02, 0x00}; /* mov %cs, %bx; lret $2 */
	static const u8 callee3[] = {0x8c, 0xc9, 0x66, 0xcb};	    /* mov %cs, %cx; lretl */

	memcpy((void *)low(0x10100 + 0x100), callee1, sizeof(callee1));
	memcpy((void *)low(0x10200 + 0x10), callee2, sizeof(callee2));
	memcpy((void *)low(0x10300 + 0x20), callee3, sizeof(callee3));
	real_run(&s);
	stopped(&s, V_END, END(far_calls), "end");
	EQ(s.eax & 0xffff, 0x1010, "cs of the first");
	EQ(s.ebx & 0xffff, 0x1020, "cs of the second");
	EQ(s.ecx & 0xffff, 0x1030, "cs of the third");
	EQ(s.edx & 0xffff, 0x8000, "sp");
	EQ(s.edi, 0xd9d9d9da, "jmp");
	EQ(s.esp, 0x8000, "sp at the end");
}

CODE16(big, "addr32 mov (%ebx), %al; mov %ds, %cx; mov %cx, %ds; addr32 mov (%ebx), %ah; addr32 movl $0x13572468, (%edx); xor %cx, %cx; "
	    "mov %cx, %fs; addr32 incl %fs:(%esi)");

TEST(big_real, "real.big real mode: limits stay at 4 GiB across loads")
{
	static volatile u32 cell = 0x55, target, counter = 7;
	struct state s = AT_REAL(big);

	s.ebx = ADDR(&cell) - LOW_AREA;
	s.edx = ADDR(&target) - LOW_AREA;
	s.esi = ADDR(&counter);
	big_real_run(&s);
	stopped(&s, V_END, END(big), "end");
	EQ(s.eax & 0xffff, 0x5555, "loads");
	EQ(target, 0x13572468, "store");
	EQ(counter, 8, "increment through a fs that was loaded");
}

CODE16(strings, "cld; mov $0xfff0, %si; mov $0x1000, %di; mov $16, %cx; rep movsb; mov %si, %bx; mov $0xfffe, %di; mov $0x4242, %ax; mov "
		"$3, %cx; rep stosw; mov %di, %dx; std;"
		"xor %di, %di; mov $2, %cx; mov $0x33, %al; rep stosb; cld; mov %di, %bp");

TEST(real_strings, "real.string instructions wrap SI and DI at 64 KiB")
{
	struct state s = AT_REAL(strings);

	for (u32 n = 0; n < 16; n++)
		*low(LOW_AREA + 0xfff0 + n) = (u8)(n + 1);
	real_run(&s);
	stopped(&s, V_END, END(strings), "end");
	EQ(s.ebx & 0xffff, 0, "si");
	EQ(low32(LOW_AREA + 0x100c), 0x100f0e0d, "moved");
	EQ(s.edx & 0xffff, 4, "di");
	EQ(low32(LOW_AREA + 0xfffc) >> 16, 0x3342, "stored last word; its upper byte overwritten downwards");
	EQ(low32(LOW_AREA), 0x42424233, "stored behind the wrap");
	EQ(s.ebp & 0xffff, 0xfffe, "di downwards");
}

CODE16(halt, "sti; hlt; ud2");

TEST(real_irq, "real.HLT and an external interrupt")
{
	struct state s = AT_REAL(halt);

	real_run(&s);
	outb(0x20, 0x20);
	stopped(&s, V_IRQ0, 2, "timer");
	EQ(s.eflags & FL_IF, FL_IF, "IF of the image");
}

CODE16(step, "nop; nop; nop");

TEST(real_step, "real.single step")
{
	struct state s = AT_REAL(step);

	s.eflags |= FL_TF;
	real_run(&s);
	stopped(&s, V_DB, 1, "trap");
	EQ(s.eflags & FL_TF, FL_TF, "TF of the image");
}

/* 0000:0500 and FFFF:0510 are 1 MiB apart. */
CODE16(a20, "mov $0xffff, %ax; mov %ax, %es; xor %ax, %ax; mov %ax, %ds; mov 0x500, %bx; mov %es:0x510, %cx; movw $0x1111, 0x500; movw "
	    "$0x2222, %es:0x510;"
	    "in $0x92, %al; and $0xfc, %al; out %al, $0x92; mov %es:0x510, %dx; movw $0x3333, %es:0x510; mov 0x500, %si; or $2, %al; out "
	    "%al, $0x92;"
	    "mov %es:0x510, %di; mov %cx, %es:0x510; mov 0x500, %bp; mov %bx, 0x500");

TEST(real_a20, "real.A20 closed wraps at 1 MiB")
{
	struct state s = AT_REAL(a20);

	real_run(&s);
	stopped(&s, V_END, END(a20), "end");
	EQ(s.edx & 0xffff, 0x1111, "closed: FFFF:0510 reads 0000:0500");
	EQ(s.esi & 0xffff, 0x3333, "closed: and writes it");
	EQ(s.edi & 0xffff, 0x2222, "open: it is its own again");
	EQ(s.ebp & 0xffff, 0x3333, "open: 0000:0500 keeps what was written");
}

CODE16(x87, "fninit; fld1; real_x87_at: fstps 0x100; data32 fnstenv 0x10; fnstenv 0x40; fldenv 0x40; fnstenv 0x60");
extern u8 real_x87_at[];

TEST(real_x87, "real.x87 images have linear addresses")
{
	struct state s = AT_REAL(x87);
	u32 ip = LOW_CODE + (u32)(real_x87_at - x87), dp = LOW_AREA + 0x100;

	if (qemu_skips("the images of protected mode"))
		return;
	real_run(&s);
	stopped(&s, V_END, END(x87), "end");
	EQ(low16(LOW_AREA + 0x40 + 6), ip & 0xffff, "16 bits: ip");
	EQ(low16(LOW_AREA + 0x40 + 8) >> 12, ip >> 16, "16 bits: ip 19:16");
	EQ(low16(LOW_AREA + 0x40 + 10), dp & 0xffff, "16 bits: dp");
	EQ(low16(LOW_AREA + 0x40 + 12), dp >> 16 << 12, "16 bits: dp 19:16");
	EQ(low16(LOW_AREA + 0x10 + 12), ip & 0xffff, "32 bits: ip");
	EQ(low32(LOW_AREA + 0x10 + 16) >> 12, ip >> 16, "32 bits: ip 31:16");
	EQ(low16(LOW_AREA + 0x10 + 20), dp & 0xffff, "32 bits: dp");
	EQ(low32(LOW_AREA + 0x10 + 24), dp >> 16 << 12, "32 bits: dp 31:16");
	for (u32 n = 6; n < 14; n += 2)
		EQ(low16(LOW_AREA + 0x60 + n), low16(LOW_AREA + 0x40 + n), "fldenv keeps the pointers");
}

CODE16(elements, "movsb; nop; movsw; nop; movsl; nop; lodsb; nop; lodsw; nop; lodsl; nop; stosb; nop; stosw; nop; stosl; nop; cmpsb; nop; "
		 "cmpsw; nop; "
		 "cmpsl; nop; scasb; nop; scasw; nop; scasl; nop; es lodsb; nop");

/* One string instruction of the code above, at `ip`, in real or virtual-8086 mode; runs to the INT3 that is put behind it. */
static struct state one_string(u32 ip, u32 length, int v86, u32 si, u32 di, u32 df)
{
	struct state s = v86 ? AT_V86(elements, 3) : AT_REAL(elements);

	*low(LOW_CODE + ip + length) = 0xcc;
	if (v86)
		idt[3] = gate(KCS, ADDR(trap_stubs[3]), 0xe, 3);
	s.eip = ip;
	s.esi = 0x12340000 | si;
	s.edi = 0x56780000 | di;
	s.eax = 0xaabbccdd;
	s.es = (LOW_AREA >> 4) + 0x100;
	s.eflags |= df;
	for (u32 i = 0; i < 8; i++) {
		*low(LOW_AREA + ((si + i) & 0xffff)) = (u8)(0x30 + i);
		*low(LOW_AREA + 0x1000 + ((di + i) & 0xffff)) = (u8)(0x31 + i);
	}
	if (v86)
		run(&s);
	else
		real_run(&s);
	return s;
}

TEST(string_elements, "real, v86.strings one at a time, both ways")
{
	enum { MOVS, LODS, STOS, CMPS, SCAS };
	static const u32 value[3] = {0x30, 0x3130, 0x33323130}, there[3] = {0x31, 0x3231, 0x34333231};

	for (u32 n = 0; n < 15 * 4; n++) {
		u32 op = n % 15 / 3, w = n % 3, size = 1u << w, df = n / 15 & 1 ? FL_DF : 0, ip = 0;
		int v86 = n / 30;
		/* Every element is followed by a NOP; those of 32 bits have a prefix. */
		for (u32 k = 0; k < n % 15; k++)
			ip += k % 3 == 2 ? 3 : 2;
		struct state s = one_string(ip, w == 2 ? 2 : 1, v86, 0xfff8, 0x40, df);
		u32 step = df ? 0u - size : size, mask = size == 4 ? ~0u : (1u << 8 * size) - 1;
		u32 si = op == STOS || op == SCAS ? 0xfff8 : (0xfff8 + step) & 0xffff, di = op == LODS ? 0x40 : (0x40 + step) & 0xffff;
		u32 left = op == CMPS ? value[w] : 0xaabbccdd & mask, stored = *(volatile u32 *)low(LOW_AREA + 0x1040) & mask;

		if (s.vec != 3)
			fail("string %u: vector %u at %x", n, s.vec, s.eip);
		EQ(s.esi, 0x12340000 | si, "esi");
		EQ(s.edi, 0x56780000 | di, "edi");
		EQ(s.eax, op == LODS ? (0xaabbccdd & ~mask) | value[w] : 0xaabbccdd, "eax");
		EQ(stored, op == MOVS ? value[w] : op == STOS ? 0xaabbccdd & mask : there[w], "memory at es:di");
		if (op >= CMPS)
			EQ(s.eflags & (FL_CF | FL_ZF), left < there[w] ? FL_CF : 0, "flags");
		EQ(s.eflags & FL_DF, df, "DF");
	}
}

TEST(real_string_wrap, "real.string pointers wrap at 64 KiB; an element across the end is #GP")
{
	struct state s = one_string(0, 1, 0, 0xffff, 0xffff, 0);

	EQ(s.esi, 0x12340000, "movsb: esi");
	EQ(s.edi, 0x56780000, "movsb: edi");
	EQ(*low(LOW_AREA + 0x10fff), 0x30, "movsb: memory");
	s = one_string(0, 1, 0, 0, 0, FL_DF);
	EQ(s.esi, 0x1234ffff, "movsb down: esi");
	EQ(s.edi, 0x5678ffff, "movsb down: edi");
	s = one_string(35, 2, 0, 0x22, 0x20, 0);
	EQ(s.eax & 0xff, 0x33, "es lodsb");
	if (qemu_skips("no segment limits"))
		return;
	for (u32 k = 0; k < 2; k++) {
		s = one_string(2, 1, 0, k ? 0x10 : 0xffff, k ? 0xffff : 0x10, 0);
		stopped(&s, V_GP, 2, "movsw across the end");
		EQ(s.esi, 0x12340000 | (k ? 0x10 : 0xffff), "movsw: esi");
		EQ(s.edi, 0x56780000 | (k ? 0xffff : 0x10), "movsw: edi");
	}
}
