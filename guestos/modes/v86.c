/*
 * Virtual-8086 mode, SDM Vol. 3A 20.2 and 20.3: entry and exit, what IOPL and the I/O bitmap allow, faults, interrupts and their
 * reflection, and the extensions of CR4.VME. QEMU's TCG has neither segment limits nor VME.
 */
#include "guestos/modes/modes.h"

static void faults(struct state s, u32 vec, u32 err, u32 ip, const char *what)
{
	run(&s);
	if (s.vec != vec || s.err != err || s.eip != ip || s.cs != LOW_CODE >> 4 || !(s.eflags & FL_VM))
		fail("%s: trap %u error %x at %x:%x eflags %x, want %u error %x at %x", what, s.vec, s.err, s.cs, s.eip, s.eflags, vec, err,
		     ip);
}

/* The run ended at its end, in virtual-8086 mode. */
static void came_through(const struct state *s, u32 ip, const char *what)
{
	if (ended(s, what)) {
		EQ(s->eip, ip, what);
		EQ(s->eflags & FL_VM, FL_VM, "VM in the image");
	}
}

CODE16(basics, "mov %ds, %ax; mov %es, %bx; mov %fs, %cx; mov %gs, %dx; movw $0x1234, 0x10; movw $0x5678, %cs:0x800; mov $0x2010, %si; mov "
	       "%si, %ds; mov 0, %di;"
	       "push %di; pop %bp; smsw %di");

TEST_IN(v86_basics, "v86.entry, segments, exit", IN_OFF | IN_32 | IN_PAE)
{
	struct state s = AT_V86(basics, 3);

	s.es = 0x2345;
	s.fs = 0x3456;
	s.gs = 0x4567;
	*(volatile u16 *)low(LOW_AREA + 0x100) = 0x4711;
	run(&s);
	came_through(&s, END(basics), "basics");
	EQ(s.eax & 0xffff, LOW_AREA >> 4, "ds");
	EQ(s.ebx & 0xffff, 0x2345, "es");
	EQ(s.ecx & 0xffff, 0x3456, "fs");
	EQ(s.edx & 0xffff, 0x4567, "gs");
	EQ(s.ds, 0x2010, "ds of the frame");
	EQ(s.es, 0x2345, "es of the frame");
	EQ(s.fs, 0x3456, "fs of the frame");
	EQ(s.gs, 0x4567, "gs of the frame");
	EQ(s.ss, LOW_STACK >> 4, "ss of the frame");
	EQ(s.esp, 0x8000, "esp of the frame");
	EQ(low16(LOW_AREA + 0x10), 0x1234, "store");
	EQ(low16(LOW_CODE + 0x800), 0x5678, "store through cs");
	EQ(s.ebp & 0xffff, 0x4711, "load at 2010:0000");
	EQ(s.edi & 1, 1, "PE");
}

CODE16(sensitive, "cli; sti; pushfw; popfw; int $0x21; iretw; pushfl; popfl; iretl");

TEST(v86_iopl, "v86.what IOPL below 3 refuses")
{
	static const u8 offsets[] = {0, 1, 2, 3, 4, 6, 7, 9, 11};

	for (u32 iopl = 0; iopl < 3; iopl++) {
		for (unsigned n = 0; n < sizeof(offsets); n++) {
			struct state s = AT_V86(sensitive, iopl);

			s.eip = offsets[n];
			faults(s, V_GP, 0, offsets[n], "sensitive instruction");
		}
	}
}

CODE16(breakpoint, "int3");
CODE16(overflow, "mov $0x7f, %al; inc %al; into");

TEST(v86_int3, "v86.INT3 and INTO do not ask IOPL; INT n asks the gate")
{
	struct state s = AT_V86(breakpoint, 0);

	faults(s, V_BP, 0, 1, "int3");
	s = AT_V86(overflow, 0);
	faults(s, V_OF, 0, 5, "into");
	s = AT_V86(sensitive, 3);
	s.eip = 4;
	faults(s, V_GP, 0x21 << 3 | 2, 4, "int 21h through a gate of DPL 0");
	idt[0x21] = gate(KCS, ADDR(trap_stubs[0x21]), 0xe, 3);
	faults(s, 0x21, 0, 6, "int 21h through a gate of DPL 3");
	gdt_set(SEL_FREE, desc(0, 0xfffff, ACC_CODE | ACC_DPL(3), 0xc));
	idt[0x21] = gate(SEL_FREE, ADDR(trap_stubs[0x21]), 0xe, 3);
	faults(s, V_GP, SEL_FREE, 4, "int 21h into ring 3");
	gdt_set(SEL_FREE, desc(0, 0xfffff, ACC_CODE | 4, 0xc));
	idt[0x21] = gate(SEL_FREE, ADDR(trap_stubs[0x21]), 0xe, 3);
	faults(s, V_GP, SEL_FREE, 4, "int 21h into conforming code");
}

CODE16(privileged, "hlt; clts; wbinvd; lmsw %ax; lgdt 0x10; lidt 0x10; mov %cr0, %eax; mov %eax, %cr0; mov %dr7, %eax; invlpg 0x10");
CODE16(protected_only, "sldt %ax; str %ax; lldt %ax; ltr %ax; lar %ax, %bx; lsl %ax, %bx; verr %ax; verw %ax; arpl %ax, %bx");

TEST(v86_privileged, "v86.privileged and undefined instructions")
{
	static const u8 gp[] = {0, 1, 3, 5, 8, 13, 18, 21, 24, 27}, ud[] = {0, 3, 6, 9, 12, 15, 18, 21, 24};

	for (unsigned n = 0; n < sizeof(gp); n++) {
		struct state s = AT_V86(privileged, 3);

		s.eip = gp[n];
		faults(s, V_GP, 0, gp[n], "privileged instruction");
	}
	for (unsigned n = 0; n < sizeof(ud); n++) {
		struct state s = AT_V86(protected_only, 3);

		s.eip = ud[n];
		faults(s, V_UD, 0, ud[n], "instruction of protected mode");
	}
}

CODE16(ports, "in $0x80, %al; out %al, $0x80; mov $0x8f, %dx; out %ax, %dx; outsb; insb");

TEST(v86_ports, "v86.the I/O bitmap alone decides")
{
	static const u8 offsets[] = {0, 2, 7, 8, 9};
	u8 *map80 = &tss.bitmap[0x80 / 8];
	struct state s;

	for (u32 iopl = 0; iopl < 4; iopl += 3) {
		for (unsigned n = 0; n < sizeof(offsets); n++) {
			s = AT_V86(ports, iopl);
			s.eip = offsets[n];
			s.edx = 0x80;
			faults(s, V_GP, 0, offsets[n], "port that the bitmap denies");
		}
		map80[0] = map80[1] = 0;
		map80[2] = 0xff;
		s = AT_V86(ports, iopl);
		run(&s);
		if (s.vec != V_GP || s.eip != 7)
			fail("word that passes the allowed ports: trap %u at %x", s.vec, s.eip);
		map80[2] = 0xfe;
		s = AT_V86(ports, iopl);
		s.eip = 4;
		run(&s);
		if (s.eip != END(ports) - (iopl == 3 ? 0 : 2))
			fail("ports that the bitmap allows: trap %u at %x", s.vec, s.eip);
		map80[0] = map80[1] = map80[2] = 0xff;
	}
}

CODE16(touch, "mov 0x5004, %al; movw $1, 0x6ffe; movl $1, 0x6ffe");

TEST_PG(v86_page_fault, "v86.page faults are the user's")
{
	struct state s = AT_V86(touch, 0);

	map(LOW_AREA + 0x5000, NULL, 0);
	faults(s, V_PF, 4, 0, "not present");
	map(LOW_AREA + 0x5000, (void *)low(LOW_AREA + 0x5000), P_P | P_W);
	faults(s, V_PF, 5, 0, "supervisor page");
	map(LOW_AREA + 0x5000, (void *)low(LOW_AREA + 0x5000), P_P | P_U);
	map(LOW_AREA + 0x6000, (void *)low(LOW_AREA + 0x6000), P_P | P_U);
	faults(s, V_PF, 7, 3, "write to a read-only page");
	map(LOW_AREA + 0x6000, (void *)low(LOW_AREA + 0x6000), P_P | P_W | P_U);
	map(LOW_AREA + 0x7000, NULL, 0);
	run(&s);
	EQ(s.vec, V_PF, "page crossing");
	EQ(s.cr2, LOW_AREA + 0x7000, "cr2");
	EQ(s.err, 6, "error");
}

CODE16(wrap_ds, "mov 0xffff, %ax");
CODE16(wrap_ss, "mov %ss:0xffff, %ax");
CODE16(wrap_push, "mov $1, %sp; push %ax");
CODE16(wrap_32, "mov $0x10000, %ebx; addr32 mov (%ebx), %al");

TEST(v86_wrap, "v86.accesses beyond 64 KiB fault")
{
	struct state s;

	if (qemu_skips("no segment limits"))
		return;
	s = AT_V86(wrap_ds, 0);
	faults(s, V_GP, 0, 0, "ds:ffff");
	s = AT_V86(wrap_ss, 0);
	faults(s, V_SS, 0, 0, "ss:ffff");
	s = AT_V86(wrap_push, 0);
	faults(s, V_SS, 0, 3, "push at sp 1");
	s = AT_V86(wrap_32, 0);
	faults(s, V_GP, 0, 6, "ds:10000");
}

CODE16(popf16, "pushw %ax; popfw; pushfl; popl %ebx; pushw $2; popfw");
CODE16(popf32, "pushl %eax; popfl; pushfl; popl %ebx; pushw $2; popfw");
CODE16(iret16, "pushw %ax; push %cs; call 1f; 1: pop %si; add $2f - 1b, %si; push %si; iretw; ud2; 2: pushfl; popl %ebx; pushw $2; popfw");
CODE16(iret32, "pushl %eax; pushl %cs; call 1f; 1: pop %si; add $2f - 1b, %si; movzwl %si, %esi; pushl %esi; iretl; ud2; 2: pushfl; popl "
	       "%ebx; pushw $2; popfw");

TEST(v86_flags, "v86.POPF and IRET with IOPL 3 change IF, but neither IOPL nor VM")
{
	static const u32 images[] = {0, FL_ARITH | FL_DF, FL_IF, FL_IOPL, FL_NT, FL_AC | FL_ID, 0xffffffff & ~(u32)FL_TF};
	const u32 low16_bits = FL_ARITH | FL_DF | FL_IF | FL_NT, high = FL_AC | FL_ID;

	for (unsigned n = 0; n < sizeof(images) / sizeof(images[0]); n++) {
		for (int form = 0; form < 4; form++) {
			struct state s = form == 0   ? AT_V86(popf16, 3)
					 : form == 1 ? AT_V86(popf32, 3)
					 : form == 2 ? AT_V86(iret16, 3)
						     : AT_V86(iret32, 3);

			pic_mask(0xffff);
			s.eax = images[n];
			run(&s);
			pic_mask(0xfffe);
			EQ(s.vec, V_END, "end");
			EQ(s.ebx, (images[n] & (form & 1 ? low16_bits | high : low16_bits)) | FL_IOPL | FL_ONE, form < 2 ? "popf" : "iret");
			EQ(s.eflags & (FL_VM | FL_IOPL), FL_VM | FL_IOPL, "VM and IOPL stay");
		}
	}
}

CODE16(wait, "1: jmp 1b");

TEST(v86_irq, "v86.an external interrupt leaves to ring 0 and comes back")
{
	struct state s = AT_V86(wait, 0);

	if (no_irq) {
		skip("noirq");
		return;
	}
	s.eflags |= FL_IF;
	for (int n = 0; n < 3; n++) {
		int (*hook)(struct state * s) = trap_hook[V_IRQ0];

		asm volatile("cli");
		trap_hook[V_IRQ0] = NULL;
		run(&s);
		trap_hook[V_IRQ0] = hook;
		asm volatile("sti");
		outb(0x20, 0x20);
		EQ(s.vec, V_IRQ0, "vector");
		EQ(s.eip, 0, "ip");
		EQ(s.eflags & (FL_VM | FL_IF), FL_VM | FL_IF, "flags");
	}
}

CODE16(sti_cli, "sti; cli; nop; nop");
CODE16(sti_nop, "sti; nop; sti_nop_at: nop; nop; cli");
CODE16(popf_if, "pushw $0x3202; popfw; popf_if_at: nop; nop; cli");
CODE16(iret_if, "pushw $0x3202; push %cs; pushw $6f - iret_if; iretw; 6: iret_if_at: nop; nop; cli");

TEST(v86_if, "v86.with IOPL 3 STI, POPF and IRET let a pending interrupt in, behind STI an instruction later")
{
	for (u32 i = 0; i < 4 * 3 && !no_irq; i++) {
		struct state s = i / 3 == 0   ? AT_V86(sti_cli, 3)
				 : i / 3 == 1 ? AT_V86(sti_nop, 3)
				 : i / 3 == 2 ? AT_V86(popf_if, 3)
					      : AT_V86(iret_if, 3);
		u32 at = i / 3 == 1 ? AT(sti_nop) : i / 3 == 2 ? AT(popf_if) : AT(iret_if);
		int (*hook)(struct state * s) = trap_hook[V_IRQ0];

		asm volatile("cli");
		do
			outb(0x20, 0x0a); /* IRR */
		while (!(inb(0x20) & 1));
		trap_hook[V_IRQ0] = NULL;
		run(&s);
		trap_hook[V_IRQ0] = hook;
		if (i / 3 == 0) {
			came_through(&s, END(sti_cli), "sti; cli");
		} else {
			EQ(s.vec, V_IRQ0, "vector");
			EQ(s.eip, at, "ip");
			EQ(s.eflags & (FL_VM | FL_IF | FL_IOPL), FL_VM | FL_IF | FL_IOPL, "flags");
			outb(0x20, 0x20);
		}
		asm volatile("sti");
	}
	if (no_irq)
		skip("noirq");
}

/* A monitor: emulates INT n and IRET of the 8086 program on its stack. */
static u32 reflected;

static void push16(struct state *s, u32 x)
{
	s->esp = (s->esp - 2) & 0xffff;
	*(volatile u16 *)low((s->ss << 4) + s->esp) = (u16)x;
}

static u32 pop16(struct state *s)
{
	u32 x = low16((s->ss << 4) + s->esp);

	s->esp = (s->esp + 2) & 0xffff;
	return x;
}

static int reflect(struct state *s)
{
	volatile u8 *p = low((s->cs << 4) + s->eip);

	if (!(s->eflags & FL_VM))
		return 0;
	if (p[0] == 0xcd) {
		if (p[1] == V_END) {
			s->vec = V_END;
			return 0;
		}
		reflected++;
		push16(s, s->eflags);
		push16(s, s->cs);
		push16(s, s->eip + 2);
		s->eip = low16(LOW_IVT + p[1] * 4u);
		s->cs = low16(LOW_IVT + p[1] * 4u + 2);
		return 1;
	}
	if (p[0] == 0xcf) {
		reflected++;
		s->eip = pop16(s);
		s->cs = pop16(s);
		s->eflags = (s->eflags & 0xffff0000) | FL_VM | (pop16(s) & ~(u32)FL_IOPL) | FL_ONE;
		return 1;
	}
	return 0;
}

CODE16(calls_dos, "mov $1000, %cx; 1: int $0x21; loop 1b");

TEST(v86_reflect, "v86.a monitor reflects INT 21h and IRET")
{
	struct state s = AT_V86(calls_dos, 0);

	memcpy((void *)low(LOW_CODE + 0x400), (const u8[]){0x43, 0xcf}, 2); /* inc %bx; iret */
	*(volatile u32 *)low(LOW_IVT + 0x21 * 4) = (LOW_CODE >> 4) << 16 | 0x400;
	s.ebx = 0;
	if (!no_irq)
		s.eflags |= FL_IF;
	reflected = 0;
	trap_hook[V_GP] = reflect;
	run(&s);
	trap_hook[V_GP] = NULL;
	EQ(s.vec, V_END, "end");
	EQ(s.ebx & 0xffff, 1000, "calls");
	EQ(reflected, 2000, "reflections");
	EQ(s.esp, 0x8000, "esp");
}

CODE16(step, "nop; nop");

TEST(v86_step, "v86.single step")
{
	struct state s = AT_V86(step, 0);

	s.eflags |= FL_TF;
	faults(s, V_DB, 0, 1, "single step");
}

TEST(v86_breakpoint, "v86.a breakpoint, and RF behind it")
{
	struct state s;

	if (qemu_skips("7.2 dies of a breakpoint in virtual-8086 mode"))
		return;
	s = AT_V86(step, 3);
	asm volatile("mov %0, %%dr0; mov %1, %%dr7" ::"r"(LOW_CODE + 1), "r"(0x402));
	faults(s, V_DB, 0, 1, "breakpoint");
	s.eip = 1;
	s.eflags |= FL_RF;
	run(&s);
	asm volatile("mov %0, %%dr7; mov %1, %%dr6" ::"r"(0x400), "r"(0xffff0ff0));
	came_through(&s, END(step), "RF");
}

/* ---- CR4.VME ---- */

static int has_vme(void)
{
	if (cpuid_edx1() & 2) {
		write_cr4(read_cr4() | CR4_VME);
		return 1;
	}
	skip("the CPU has no VME");
	return 0;
}

/* The redirection bitmap lies below the I/O bitmap, which moves up for it. */
static void redirect(u32 vector, int to_program)
{
	tss.iomap = offsetof(struct tss, bitmap) + 32;
	memset(tss.bitmap, 0xff, sizeof(tss.bitmap));
	if (to_program)
		tss.bitmap[vector / 8] &= (u8) ~(1u << vector % 8);
}

static void no_redirect(void)
{
	tss.iomap = offsetof(struct tss, bitmap);
	memset(tss.bitmap, 0xff, sizeof(tss.bitmap));
}

CODE16(vif, "sti; pushfw; pop %ax; cli; pushfw; pop %bx; pushw $0x3202; popfw; pushfw; pop %cx; pushw $2; popfw; pushfw; pop %dx");

TEST(vme_vif, "vme.CLI, STI, PUSHF and POPF use VIF")
{
	struct state s = AT_V86(vif, 0);

	if (!has_vme())
		return;
	redirect(0, 0);
	run(&s);
	/* INT n with IOPL 0 and its bit set: #GP. */
	EQ(s.vec, V_GP, "end");
	EQ(s.eip, END(vif) - 2, "ip");
	EQ(s.eax & 0xffff, 0x3202, "after sti: IF and IOPL 3");
	EQ(s.ebx & 0xffff, 0x3002, "after cli");
	EQ(s.ecx & 0xffff, 0x3202, "after popf with IF");
	EQ(s.edx & 0xffff, 0x3002, "after popf without");
	EQ(s.eflags & (FL_IF | FL_VIF | FL_IOPL), 0, "the real flags");
	no_redirect();
}

CODE16(vip_sti, "sti");
CODE16(vip_popf, "pushw $0x202; popfw");
CODE16(tf_popf, "pushw $0x102; popfw");
CODE16(wide_popf, "popfl");
CODE16(wide_pushf, "pushfl");
CODE16(wide_iret, "iretl");
CODE16(vip_iret, "pushw $0x202; push %cs; push $0; iretw");

TEST(vme_vip, "vme.VIP refuses VIF; TF and 32 bits are refused")
{
	struct state s;

	if (!has_vme())
		return;
	s = AT_V86(vip_sti, 0);
	s.eflags |= FL_VIP;
	faults(s, V_GP, 0, 0, "sti");
	s = AT_V86(vip_popf, 0);
	s.eflags |= FL_VIP;
	faults(s, V_GP, 0, 3, "popf with IF");
	s = AT_V86(vip_iret, 0);
	s.eflags |= FL_VIP;
	faults(s, V_GP, 0, 6, "iret with IF");
	s = AT_V86(tf_popf, 0);
	faults(s, V_GP, 0, 3, "popf with TF");
	s = AT_V86(wide_popf, 0);
	faults(s, V_GP, 0, 0, "popfl");
	s = AT_V86(wide_pushf, 0);
	faults(s, V_GP, 0, 0, "pushfl");
	s = AT_V86(wide_iret, 0);
	faults(s, V_GP, 0, 0, "iretl");
}

CODE16(int40, "sti; int $0x40; pushfw; pop %di");

TEST(vme_redirect, "vme.software interrupts by the redirection bitmap")
{
	for (u32 iopl = 0; iopl < 4; iopl += 3) {
		struct state s = AT_V86(int40, iopl);
		u32 ivt = low32(0x40 * 4);

		if (!has_vme())
			return;
		/* Handler: pop %ax; pop %bx; pop %cx; push them again; pushfw; pop %dx; iret */
		memcpy((void *)low(LOW_CODE + 0x400), (const u8[]){0x58, 0x5b, 0x59, 0x51, 0x53, 0x50, 0x9c, 0x5a, 0xcf}, 9);
		*(volatile u32 *)low(0x40 * 4) = (LOW_CODE >> 4) << 16 | 0x400;
		pic_mask(0xffff);
		redirect(0x40, 1);
		run(&s);
		EQ(s.vec, iopl == 3 ? V_END : V_GP, "end: int f0h is not redirected");
		EQ(s.eip, iopl == 3 ? END(int40) : END(int40) - 2, "ip");
		EQ(s.eax & 0xffff, 3, "pushed IP");
		EQ(s.ebx & 0xffff, LOW_CODE >> 4, "pushed CS");
		EQ(s.ecx & 0xffff, 0x3202, "pushed FLAGS");
		EQ(s.edx & 0xffff, 0x3002, "FLAGS in the handler");
		EQ(s.edi & 0xffff, 0x3202, "FLAGS after IRET");
		EQ(s.esp, 0x8000, "esp");
		EQ(s.eflags & (FL_IF | FL_VIF), iopl == 3 ? FL_IF : FL_VIF, "IF or VIF");
		redirect(0x40, 0);
		s = AT_V86(int40, iopl);
		idt[0x40] = gate(KCS, ADDR(trap_stubs[0x40]), 0xe, 3);
		run(&s);
		EQ(s.vec, iopl == 3 ? 0x40 : V_GP, "with its bit set");
		no_redirect();
		pic_mask(0xfffe);
		*(volatile u32 *)low(0x40 * 4) = ivt;
	}
}

CODE(pvi, "sti; pushfl; pop %eax; cli; pushfl; pop %ebx");

TEST(vme_pvi, "vme.protected-mode virtual interrupts: CLI and STI use VIF in ring 3")
{
	struct state s = at_ring(pvi, 3);

	if (!has_vme())
		return;
	write_cr4(read_cr4() | CR4_PVI);
	run(&s);
	if (ended(&s, "code")) {
		EQ(s.eax & (FL_VIF | FL_IOPL), FL_VIF, "after sti");
		EQ(s.ebx & (FL_VIF | FL_IOPL), 0, "after cli");
	}
	s = at_ring(pvi, 3);
	s.eflags |= FL_VIP;
	run(&s);
	trapped(&s, V_GP, 0, pvi, "sti with VIP");
	write_cr4(read_cr4() & ~(u32)CR4_PVI);
	s = go(pvi, 3);
	trapped(&s, V_GP, 0, pvi, "sti without PVI");
}
