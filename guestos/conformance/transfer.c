/*
 * Sensitive control transfers: far CALL, JMP and RET, INT n, IRET, within a ring and between rings, without gates.
 */
#include "guestos/conformance/test.h"

static UDATA u8 buf[64];
static UDATA struct {
	u32 off;
	u16 sel;
} __attribute__((packed)) ptr;

CODE(call_direct0, "lcall $0x08, $1f; jmp 2f\n1: mov 4(%esp), %ecx; mov (%esp), %edx; lret\n2: mov $1b, %eax\ncall_direct0_at:");
CODE(call_direct3, "lcall $0x1b, $1f; jmp 2f\n1: mov 4(%esp), %ecx; mov (%esp), %edx; lret\n2: mov $1b, %eax\ncall_direct3_at:");
CODE(call_mem, "lcall *(%ebx); call_mem_at: jmp 2f; 1: mov 4(%esp), %ecx; mov (%esp), %edx; lret $8\n2:");
CODE(call_mem16, "lcallw *(%ebx); call_mem16_at:");

TEST(lcall, "sensitive.lcall and lret in a ring")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		const u8 *code = ring ? call_direct3 : call_direct0;
		struct state s = at_ring(code, ring), in = s;

		run(&s);
		if (!ended(&s, "lcall"))
			return;
		EQ((u16)s.ecx, in.cs, tag("pushed cs", ring));
		EQ(s.edx, in.eip + 7, tag("pushed eip", ring));
		EQ(s.esp, in.esp, tag("esp", ring));
		EQ(s.cs, in.cs, tag("cs", ring));

		s = at_ring(call_mem, ring);
		in = s;
		ptr.off = ADDR(call_mem_at) + 2;
		ptr.sel =
			ring ? UCS & ~3 : KCS; /* RPL of the selector does not matter for a non-conforming target as long as it is <= CPL */
		s.ebx = ADDR(&ptr);
		run(&s);
		if (!ended(&s, "lcall mem"))
			return;
		EQ((u16)s.ecx, in.cs, tag("pushed cs", ring));
		EQ(s.edx, ADDR(call_mem_at), tag("pushed eip", ring));
		EQ(s.esp, in.esp + 8, tag("esp after lret 8", ring));
		EQ(s.cs, in.cs, tag("cs", ring));
	}
}

static void far_fault(const void *code, int ring, u32 off, u16 sel, u32 vec, u32 err, const char *what)
{
	struct state s = at_ring(code, ring), in;

	ptr.off = off;
	ptr.sel = sel;
	s.ebx = ADDR(&ptr);
	in = s;
	run(&s);
	if (trapped(&s, vec, err, code, tag(what, ring)))
		same_regs(&s, &in, tag(what, ring));
	EQ(s.cs, in.cs, "cs at the fault");
}

CODE(jmp_mem, "ljmp *(%ebx)");
CODE(target, "mov %cs, %eax");

TEST(far_faults, "sensitive.lcall and ljmp faults")
{
	gdt_set(0x40, desc(0, 0xfffff, 0x1a | ACC_DPL(3), 0xc));
	gdt_set(0x48, desc(0, 0xfff, 0x9a | ACC_DPL(3), 0x4));
	for (int i = 0; i < 2; i++) {
		const void *code = i ? (const void *)jmp_mem : (const void *)call_mem;

		far_fault(code, 3, ADDR(target), KCS, V_GP, KCS, "far to ring 0 code");
		far_fault(code, 3, ADDR(target), KCS | 3, V_GP, KCS, "far to ring 0 code");
		far_fault(code, 0, ADDR(target), UCS, V_GP, UCS & ~3, "far to ring 3 code");
		far_fault(code, 0, ADDR(target), 0, V_GP, 0, "far to null");
		far_fault(code, 3, ADDR(target), 3, V_GP, 0, "far to null");
		far_fault(code, 3, ADDR(target), UDS, V_GP, UDS & ~3, "far to data");
		far_fault(code, 0, ADDR(target), 0xfff8, V_GP, 0xfff8, "far beyond the limit");
		far_fault(code, 3, ADDR(target), 0x43, V_NP, 0x40, "far to a segment not present");
		far_fault(code, 3, ADDR(target), SEL_LDT, V_GP, SEL_LDT, "far to an LDT descriptor");
		far_fault(code, 3, ADDR(target), SEL_TSS | 3, V_GP, SEL_TSS, "far to a busy TSS of ring 0");
	}
}

TEST(far_limit, "sensitive.lcall and ljmp beyond the target's limit")
{
	if (qemu_skips("the error code is the selector, not 0"))
		return;
	gdt_set(0x48, desc(0, 0xfff, 0x9a | ACC_DPL(3), 0x4));
	far_fault(call_mem, 3, 0x1000, 0x4b, V_GP, 0, "lcall");
	far_fault(jmp_mem, 3, 0x1000, 0x4b, V_GP, 0, "ljmp");
}

TEST(ljmp, "sensitive.ljmp")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(jmp_mem, ring), in = s;

		ptr.off = ADDR(target);
		ptr.sel = ring ? UCS & ~3 : KCS;
		s.ebx = ADDR(&ptr);
		run(&s);
		if (!ended(&s, "ljmp"))
			return;
		EQ(s.eax, in.cs, tag("cs", ring));
		EQ(s.esp, in.esp, tag("esp", ring));
		EQ(s.eip, ADDR(target_end) + 2, tag("eip", ring));
	}
}

CODE(int80, "int $0x80; int80_at:");
CODE(int21, "int $0x21; int21_at:");
CODE(int3_cc, "int3; int3_cc_at:");
CODE(int3_cd, "int $3; int3_cd_at:");
CODE(int14, "int $14; int14_at:");

static int sys_hook(struct state *s)
{
	s->eax = s->ebx + s->eflags;
	s->ecx = s->esp;
	return 1;
}

TEST(int_n, "sensitive.int n")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s, in;

		s = at_ring(int80, ring);
		s.eflags |= FL_ARITH | FL_DF | FL_AC | FL_ID;
		in = s;
		run(&s);
		trapped(&s, V_SYS, 0, int80_at, tag("int 80", ring));
		same_regs(&s, &in, tag("int 80", ring));
		EQ(s.eflags, in.eflags, tag("eflags image", ring));
		EQ(s.cs, in.cs, tag("cs image", ring));
		EQ(s.ss, in.ss, tag("ss image", ring));

		s = go(int21, ring);
		if (ring)
			trapped(&s, V_GP, 0x21 * 8 + 2, int21, "int 21 in ring 3");
		else
			trapped(&s, 0x21, 0, int21_at, "int 21 in ring 0");
		s = go(int3_cc, ring);
		trapped(&s, V_BP, 0, int3_cc_at, tag("int3", ring));
		s = go(int3_cd, ring);
		trapped(&s, V_BP, 0, int3_cd_at, tag("int $3", ring));
	}
	struct state s = go(int14, 3);

	trapped(&s, V_GP, 14 * 8 + 2, int14, "int 14 in ring 3");
	idt[0x90] = 0;
}

TEST(int_resume, "sensitive.int n and back by iret")
{
	trap_hook[V_SYS] = sys_hook;
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(int80, ring), in = s;

		run(&s);
		if (!ended(&s, "int 80"))
			continue;
		EQ(s.eax, in.ebx + in.eflags, tag("eax set by the handler", ring));
		EQ(s.ecx, in.esp, tag("esp seen by the handler", ring));
		EQ(s.eip, ADDR(int80_end) + 2, tag("eip", ring));
		EQ(s.eflags, in.eflags, tag("eflags", ring));
	}
	trap_hook[V_SYS] = NULL;
}

CODE(int_bad, "int $0x91; int_bad_at:");

TEST(int_bad_gates, "sensitive.int n through bad gates")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		u64 good = idt[0x91];
		struct state s;

		idt[0x91] = gate(KCS, ADDR(trap_stubs[0x91]), 0xe, 3) & ~(0x80ull << 40);
		s = go(int_bad, ring);
		trapped(&s, V_NP, 0x91 * 8 + 2, int_bad, tag("gate not present", ring));
		idt[0x91] = 0;
		s = go(int_bad, ring);
		trapped(&s, V_GP, 0x91 * 8 + 2, int_bad, tag("empty gate", ring));
		idt[0x91] = gate(0, ADDR(trap_stubs[0x91]), 0xe, 3);
		s = go(int_bad, ring);
		trapped(&s, V_GP, 0, int_bad, tag("gate to null", ring));
		idt[0x91] = gate(KDS, ADDR(trap_stubs[0x91]), 0xe, 3);
		s = go(int_bad, ring);
		trapped(&s, V_GP, KDS, int_bad, tag("gate to data", ring));
		idt[0x91] = gate(0x1f8, ADDR(trap_stubs[0x91]), 0xe, 3);
		gdt_set(0x1f8, desc(0, 0xfffff, 0x1a, 0xc));
		s = go(int_bad, ring);
		trapped(&s, V_NP, 0x1f8, int_bad, tag("gate to code not present", ring));
		gdt_set(0x1f8, 0);
		idt[0x91] = good;
	}
	struct pseudo small = {0x91 * 8 - 1, ADDR(idt)};

	/* 0xf0, the end of a run, is beyond this limit too: only the fault can end it. */
	asm volatile("lidt %0" ::"m"(small));
	struct state s = go(int_bad, 3);

	asm volatile("lidt %0" ::"m"(idtr));
	trapped(&s, V_GP, 0x91 * 8 + 2, int_bad, "vector beyond the IDT's limit");
}

TEST(trap_gate, "sensitive.int n through a trap gate keeps IF")
{
	extern u8 trap_gate_entry[];
	struct state s = at_ring(int80, 3);

	asm goto("jmp %l0\n.globl trap_gate_entry\ntrap_gate_entry: pushf; pop %%ecx; iret" :: ::over);
over:
	idt[V_SYS] = gate(KCS, ADDR(trap_gate_entry), 0xf, 3);
	s.eflags = FL_ONE | FL_IF | FL_NT | FL_AC;
	run(&s);
	if (ended(&s, "trap gate"))
		EQ(s.ecx, FL_ONE | FL_IF | FL_AC, "eflags in a trap gate's handler");
	idt[V_SYS] = gate(KCS, ADDR(trap_gate_entry), 0xe, 3);
	s = at_ring(int80, 3);
	s.eflags = FL_ONE | FL_IF | FL_NT | FL_AC;
	run(&s);
	if (ended(&s, "interrupt gate"))
		EQ(s.ecx, FL_ONE | FL_AC, "eflags in an interrupt gate's handler");
}

/* Far return and IRET to an outer ring: EBX is the frame that is made, EAX the EFLAGS for IRET. */
CODE(ret_outer,
     "push $0x23; push %edx; push $0x1b; push $1f; ret_outer_at: lret; 1: mov %esp, %ecx; mov %ds, %eax; mov %es, %ebx; mov %fs, %esi;"
     "mov %gs, %edi");
CODE(ret_outer_imm,
     "push $0x23; push %edx; push $7; push $8; push $0x1b; push $1f; lret $8; 1: mov %esp, %ecx; mov %cs, %eax; mov %ss, %ebx");

TEST(lret_outer, "sensitive.lret to an outer ring")
{
	struct state s = at_ring(ret_outer, 0);
	u32 sp3 = ADDR(stack3 + 4096);

	gdt_set(0x50, desc(0, 0xfffff, 0x9e, 0xc));
	s.edx = sp3;
	s.es = UDS;
	s.fs = 0x50; /* readable conforming code stays */
	s.gs = KDS;
	run(&s);
	if (ended(&s, "lret")) {
		EQ(s.ecx, sp3, "esp");
		EQ(s.cs, UCS, "cs");
		EQ(s.ss, UDS, "ss");
		EQ(s.eax, 0, "ds of ring 0");
		EQ(s.ebx, UDS, "es of ring 3");
		EQ(s.esi, 0x50, "fs, conforming code");
		EQ(s.edi, 0, "gs of ring 0");
	}
	s = at_ring(ret_outer_imm, 0);
	s.edx = sp3;
	run(&s);
	if (ended(&s, "lret 8")) {
		EQ(s.ecx, sp3 + 8, "esp after lret 8");
		EQ(s.eax, UCS, "cs");
		EQ(s.ebx, UDS, "ss");
	}
}

CODE(do_lret, "push %eax; push %ebx; do_lret_at: lret");
CODE(do_iret, "push %ecx; push %eax; push %ebx; do_iret_at: iret");

TEST(lret_faults, "sensitive.lret faults")
{
	static const struct {
		int ring;
		u32 sel, vec, err;
	} c[] = {
		{3, KCS, V_GP, KCS},	  {3, 0, V_GP, 0},	     {0, 0, V_GP, 0},	      {0, KDS, V_GP, KDS},
		{3, UDS, V_GP, UDS & ~3}, {3, 0xffff, V_GP, 0xfffc}, {0, KCS | 3, V_GP, KCS}, {3, UCS & ~3, V_GP, UCS & ~3},
		{0, 0x40, V_NP, 0x40},
	};

	gdt_set(0x40, desc(0, 0xfffff, 0x1a, 0xc));
	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct state s = at_ring(do_lret, c[i].ring), in;

		s.eax = c[i].sel;
		s.ebx = ADDR(target);
		in = s;
		run(&s);
		trapped(&s, c[i].vec, c[i].err, do_lret_at, tag("lret", c[i].ring));
		EQ(s.esp, in.esp - 8, "esp at the fault");
		s = at_ring(do_iret, c[i].ring);
		s.eax = c[i].sel;
		s.ebx = ADDR(target);
		s.ecx = FL_ONE;
		in = s;
		run(&s);
		trapped(&s, c[i].vec, c[i].err, do_iret_at, tag("iret", c[i].ring));
		EQ(s.esp, in.esp - 12, "esp at the fault");
	}
}

CODE(iret_same, "push %eax; push %cs; push $1f; iret; 1: pushf; pop %ecx");
CODE(iret_same16, "pushw %ax; pushw %cs; pushw %dx; iretw");

TEST(iret_same_ring, "sensitive.iret in a ring")
{
	static const struct {
		int ring;
		u32 before, popped, after;
	} c[] = {
		{0, FL_ONE, FL_IF | FL_IOPL | FL_AC | FL_ID | FL_CF, FL_ONE | FL_IF | FL_IOPL | FL_AC | FL_ID | FL_CF},
		{0, FL_ONE | FL_IF | FL_IOPL, 0, FL_ONE},
		{0, FL_ONE, FL_NT | FL_DF, FL_ONE | FL_NT | FL_DF},
		{3, FL_ONE | FL_IF, 0, FL_ONE | FL_IF},
		{3, FL_ONE, FL_IF | FL_IOPL | FL_ARITH, FL_ONE | FL_ARITH},
		{3, FL_ONE | FL_IF | FL_IOPL, 0, FL_ONE | FL_IOPL},
		{3, FL_ONE | FL_IF, FL_ID | FL_NT, FL_ONE | FL_IF | FL_ID | FL_NT},
	};

	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct state s = at_ring(iret_same, c[i].ring), in;

		s.eflags = c[i].before;
		s.eax = c[i].popped;
		in = s;
		run(&s);
		if (!ended(&s, "iret"))
			continue;
		EQ(s.ecx, c[i].after, tag("eflags after iret", c[i].ring));
		EQ(s.esp, in.esp, "esp");
		EQ(s.cs, in.cs, "cs");
	}
}

TEST(iret_vm3, "sensitive.iret in ring 3 ignores VM")
{
	struct state s = at_ring(iret_same, 3);

	if (qemu_skips("enters virtual-8086 mode from any ring"))
		return;
	s.eax = FL_VM | FL_ONE;
	run(&s);
	if (ended(&s, "iret"))
		EQ(s.ecx & FL_VM, 0, "VM");
}

CODE(iret_outer,
     "push $0x23; push %edx; push %eax; push $0x1b; push $1f; iret; 1: pushf; pop %ecx; mov %ds, %eax; mov %gs, %ebx; mov %cs, %esi;"
     "mov %ss, %edi");

TEST(iret_to_outer, "sensitive.iret to ring 3")
{
	struct state s = at_ring(iret_outer, 0);
	u32 sp3 = ADDR(stack3 + 4096);

	s.edx = sp3;
	s.eax = FL_ONE | FL_IF | FL_IOPL | FL_AC;
	s.gs = UDS;
	run(&s);
	if (!ended(&s, "iret"))
		return;
	EQ(s.ecx, FL_ONE | FL_IF | FL_IOPL | FL_AC, "eflags");
	EQ(s.esp, sp3, "esp");
	EQ(s.eax, 0, "ds of ring 0");
	EQ(s.ebx, UDS, "gs of ring 3");
	EQ(s.esi, UCS, "cs");
	EQ(s.edi, UDS, "ss");
}

CODE(iret_ss, "push %eax; push %edx; push $2; push $0x1b; push $1f; iret_ss_at: iret; 1:");

TEST(iret_bad_ss, "sensitive.iret to ring 3 with a bad stack")
{
	static const struct {
		u32 sel, vec, err;
	} c[] = {{0, V_GP, 0}, {3, V_GP, 0}, {KDS, V_GP, KDS}, {UDS & ~3, V_GP, UDS & ~3}, {UCS, V_GP, UCS & ~3}, {0xfffb, V_GP, 0xfff8}};

	gdt_set(0x40, desc(0, 0xfffff, 0x12 | ACC_DPL(3), 0xc));
	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct state s = at_ring(iret_ss, 0), in;

		s.eax = c[i].sel;
		s.edx = ADDR(stack3 + 4096);
		in = s;
		run(&s);
		trapped(&s, c[i].vec, c[i].err, iret_ss_at, "iret");
		EQ(s.esp, in.esp - 20, "esp at the fault");
		EQ(s.cs, KCS, "cs at the fault");
	}
}

TEST(iret_ss_np, "sensitive.iret to ring 3 with a stack segment not present")
{
	struct state s = at_ring(iret_ss, 0);

	gdt_set(0x40, desc(0, 0xfffff, 0x12 | ACC_DPL(3), 0xc));
	s.eax = 0x43;
	s.edx = ADDR(stack3 + 4096);
	run(&s);
	/* The manual's pseudo-code says #SS, its list of exceptions #NP. */
	trapped(&s, s.vec == V_NP ? V_NP : V_SS, 0x40, iret_ss_at, "iret");
}

CODE(lret16, "pushw $0x1b; pushw $0x1234; lret16_at: lretw");

TEST(lret_16, "sensitive.lret with a 16-bit operand")
{
	struct state s = at_ring(lret16, 3), in = s;

	/* IP 0x1234 is in the first 4 KB page of the identity map: a supervisor page, so the fetch faults, there, where there is paging. */
	if (paging_mode() == PG_OFF)
		*(u16 *)0x1234 = 0xf0cd;
	run(&s);
	if (paging_mode() == PG_OFF) {
		ended(&s, "lretw");
		EQ(s.eip, 0x1236, "eip");
	} else {
		trapped(&s, V_PF, 5, (void *)0x1234, "lretw");
		EQ(s.cr2, 0x1234, "cr2");
	}
	EQ(s.esp, in.esp, "esp");
	memset(buf, 0, sizeof(buf));
}
