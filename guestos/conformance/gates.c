/*
 * Ring changes: call gates of both sizes with parameters, conforming code, stack faults of inner rings, SYSENTER, and the I/O bitmap.
 */
#include "guestos/conformance/test.h"

enum { GATE = 0x40, CODE1 = 0x48, DATA1 = 0x50, CONF = 0x58, BAD = 0x60, CODE16 = 0x68 };

static UDATA u32 seen[12];

/* Ring 3: two parameters, a call through the gate, and what is left. */
CODE(use_gate, "push $0x1111; push $0x2222; mov %esp, %ebp; lcall $0x43, $0xdeadbeef; use_gate_at: mov %esp, %ebx");
CODE(use_gate16, "pushw $0x1111; pushw $0x2222; mov %esp, %ebp; lcall $0x43, $0; use_gate16_at: mov %esp, %ebx");
CODE(jmp_gate, "ljmp $0x43, $0");
/* The gate's target: notes its frame. Its DS is still ring 3's. */
CODE(target32,
     "mov (%esp), %eax; mov %eax, seen; mov 4(%esp), %eax; mov %eax, seen+4; mov 8(%esp), %eax; mov %eax, seen+8; mov 12(%esp), %eax;"
     "mov %eax, seen+12; mov 16(%esp), %eax; mov %eax, seen+16; mov 20(%esp), %eax; mov %eax, seen+20; mov %cs, seen+24; mov %ss, seen+28;"
     "mov %esp, seen+32; pushf; pop %eax; mov %eax, seen+36; lret $8");
CODE(target0, "mov 4(%esp), %eax; mov %eax, seen; mov %cs, seen+4; lret");
CODE(target16, "mov (%esp), %eax; mov %eax, seen; mov 4(%esp), %eax; mov %eax, seen+4; mov 8(%esp), %eax; mov %eax, seen+8; mov %esp, "
	       "seen+12; lretw $4");

static u64 call_gate(u16 sel, const void *off, u8 dpl, u8 params)
{
	return gate(sel, ADDR(off), 0xc, dpl) | (u64)params << 32;
}

TEST(call_gate, "gates.call gate with parameters, ring 3 to 0 and back")
{
	struct state s = at_ring(use_gate, 3), in = s;

	memset(seen, 0, sizeof(seen));
	gdt_set(GATE, call_gate(KCS, target32, 3, 2));
	s.eflags |= FL_AC;
	run(&s);
	if (!ended(&s, "lcall through a gate"))
		return;
	EQ(seen[0], ADDR(use_gate_at), "return eip");
	EQ(seen[1] & 0xffff, UCS, "return cs");
	EQ(seen[2], 0x2222, "first parameter");
	EQ(seen[3], 0x1111, "second parameter");
	EQ(seen[4], in.esp - 8, "outer esp");
	EQ(seen[5] & 0xffff, UDS, "outer ss");
	EQ(seen[6] & 0xffff, KCS, "cs");
	EQ(seen[7] & 0xffff, KDS, "ss");
	EQ(seen[8], ADDR(tss_stack_top) - 24, "inner esp");
	EQ(seen[9] & (FL_IF | FL_AC), s.eflags & (FL_IF | FL_AC), "flags are not changed by a call gate");
	EQ(s.ebx, in.esp, "outer esp after lret 8");
	EQ(s.cs, UCS, "cs");
	EQ(s.ss, UDS, "ss");
}

TEST(call_gate16, "gates.16-bit call gate with parameters")
{
	struct state s = at_ring(use_gate16, 3), in = s;
	u32 copy = ADDR(&target16) & 0xffff;

	/* A 16-bit gate has a 16-bit offset: the target's segment has a base. */
	gdt_set(CODE16, desc(ADDR(target16) - copy, 0xfffff, ACC_CODE, 0xc));
	gdt_set(GATE, (u64)copy | (u64)CODE16 << 16 | 2ull << 32 | 0xe4ull << 40);
	memset(seen, 0, sizeof(seen));
	/* Ring 3 code must be below 64 KB in its segment too, for its return address. */
	gdt_set(BAD, desc(ADDR(use_gate16) & 0xffff0000, 0xfffff, ACC_CODE | ACC_DPL(3), 0xc));
	s.cs = BAD | 3;
	s.eip = ADDR(use_gate16) & 0xffff;
	gdt_set(DATA1, desc(ADDR(stack3), 0xfffff, ACC_DATA | ACC_DPL(3), 0xc));
	s.ss = DATA1 | 3;
	s.esp = in.esp = 0x1000;
	run(&s);
	if (!ended(&s, "lcall through a 16-bit gate"))
		return;
	EQ(seen[0] & 0xffff, (u16)ADDR(use_gate16_at), "return ip");
	EQ(seen[0] >> 16, BAD | 3, "return cs");
	EQ(seen[1], 0x11112222, "parameters");
	EQ(seen[2] & 0xffff, 0x1000 - 4, "outer sp");
	EQ(seen[2] >> 16, DATA1 | 3, "outer ss");
	EQ(seen[3], ADDR(tss_stack_top) - 12, "inner esp");
	EQ(s.ebx, 0x1000, "outer esp afterwards");
}

CODE(use_gate0, "lcall $0x40, $0");

TEST(call_gate_same, "gates.call gate within ring 0")
{
	struct state s = at_ring(use_gate0, 0), in = s;

	gdt_set(GATE, call_gate(KCS, target0, 0, 0));
	run(&s);
	if (!ended(&s, "lcall"))
		return;
	EQ(seen[0] & 0xffff, KCS, "return cs");
	EQ(seen[1] & 0xffff, KCS, "cs");
	EQ(s.esp, in.esp, "esp");
}

static void gate_fault(const u8 *code, u64 g, u32 vec, u32 err, const char *what)
{
	struct state s = at_ring(code, 3);
	u32 esp;

	gdt_set(GATE, g);
	run(&s);
	esp = s.esp;
	if (s.vec != vec || s.err != err || s.eip != ADDR(code) + (code == use_gate ? 12 : 0))
		fail("%s: trap %u error %x at +%x, want %u error %x", what, s.vec, s.err, s.eip - ADDR(code), vec, err);
	else if (code == use_gate)
		EQ(esp, at_ring(code, 3).esp - 8, "esp at the fault");
}

TEST(gate_faults, "gates.faults of call gates")
{
	u64 good = call_gate(KCS, target32, 3, 2);

	gate_fault(use_gate, call_gate(KCS, target32, 0, 2), V_GP, GATE, "gate of DPL 0");
	gate_fault(use_gate, good & ~(0x80ull << 40), V_NP, GATE, "gate not present");
	gate_fault(use_gate, call_gate(0, target32, 3, 2), V_GP, 0, "gate to null");
	gate_fault(use_gate, call_gate(KDS, target32, 3, 2), V_GP, KDS, "gate to data");
	gate_fault(use_gate, call_gate(0xfff8, target32, 3, 2), V_GP, 0xfff8, "gate beyond the limit");
	gdt_set(BAD, desc(0, 0xfffff, 0x1a, 0xc));
	gate_fault(use_gate, call_gate(BAD, target32, 3, 2), V_NP, BAD, "gate to code not present");
	gate_fault(jmp_gate, good, V_GP, KCS, "ljmp through a gate to an inner ring");
}

TEST(inner_stack, "gates.faults of the inner stack")
{
	static const struct {
		const char *what;
		u32 ss, vec, err;
	} c[] = {
		{"null", 0, V_TS, 0},
		{"DPL 0 for ring 1", KDS, V_TS, KDS},
		{"RPL 0", DATA1, V_TS, DATA1},
		{"code", CODE1 | 1, V_TS, CODE1},
		{"beyond the limit", 0xfff9, V_TS, 0xfff8},
		{"read-only", CONF | 1, V_TS, CONF},
	};

	gdt_set(CODE1, desc(0, 0xfffff, ACC_CODE | ACC_DPL(1), 0xc));
	gdt_set(DATA1, desc(0, 0xfffff, ACC_DATA | ACC_DPL(1), 0xc));
	gdt_set(CONF, desc(0, 0xfffff, 0x90 | ACC_DPL(1), 0xc));
	tss.esp1 = ADDR(stack0 + 2048);
	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		tss.ss1 = c[i].ss;
		gate_fault(use_gate, call_gate(CODE1, target32, 3, 2), c[i].vec, c[i].err, c[i].what);
	}
}

TEST(inner_stack_np, "gates.inner stack segment not present")
{
	if (qemu_skips("raises #TS instead of #SS"))
		return;
	gdt_set(CODE1, desc(0, 0xfffff, ACC_CODE | ACC_DPL(1), 0xc));
	gdt_set(BAD, desc(0, 0xfffff, 0x12 | ACC_DPL(1), 0xc));
	tss.esp1 = ADDR(stack0 + 2048);
	tss.ss1 = BAD | 1;
	gate_fault(use_gate, call_gate(CODE1, target32, 3, 2), V_SS, BAD, "not present");
}

TEST(ring1, "gates.ring 3 to ring 1 and back")
{
	struct state s = at_ring(use_gate, 3);

	gdt_set(CODE1, desc(0, 0xfffff, ACC_CODE | ACC_DPL(1), 0xc));
	gdt_set(DATA1, desc(0, 0xfffff, ACC_DATA | ACC_DPL(1), 0xc));
	gdt_set(GATE, call_gate(CODE1, target32, 3, 2));
	tss.esp1 = ADDR(stack0 + 2048);
	tss.ss1 = DATA1 | 1;
	memset(seen, 0, sizeof(seen));
	run(&s);
	if (!ended(&s, "lcall to ring 1"))
		return;
	EQ(seen[6] & 0xffff, CODE1 | 1, "cs");
	EQ(seen[7] & 0xffff, DATA1 | 1, "ss");
	EQ(seen[8], ADDR(stack0 + 2048) - 24, "esp");
	EQ(s.cs, UCS, "cs afterwards");
}

CODE(to_conf, "lcall $0x58, $1f; jmp 2f; 1: mov %cs, %eax; pushf; pop %ecx; cli; lret; 2: nop");
CODE(to_conf_ok, "lcall $0x58, $1f; jmp 2f; 1: mov %cs, %eax; lret; 2: nop");

TEST(conforming, "gates.conforming code keeps the CPL")
{
	struct state s = at_ring(to_conf_ok, 3);

	gdt_set(CONF, desc(0, 0xfffff, 0x9e, 0xc));
	run(&s);
	if (ended(&s, "lcall to conforming code"))
		EQ(s.eax, CONF | 3, "cs in conforming code");
	s = at_ring(to_conf, 3);
	run(&s);
	trapped(&s, V_GP, 0, NULL, "cli in conforming code called from ring 3");
	EQ(s.cs, CONF | 3, "cs");
	gdt_set(CONF, desc(0, 0xfffff, 0x9e | ACC_DPL(3), 0xc));
	s = at_ring(to_conf_ok, 0);
	run(&s);
	trapped(&s, V_GP, CONF, to_conf_ok, "lcall from ring 0 to conforming code of DPL 3");
}

CODE(se_user, "mov %esp, %ecx; mov $1f, %edx; sysenter; hlt; 1: mov %cs, %eax; mov %ss, %esi");
CODE(se_kernel, "mov %cs, %edi; mov %ss, %ebp; mov %esp, %ebx; pushf; pop seen; sysexit");
CODE(se_faults, "sysenter");
CODE(sx_fault, "sysexit");

TEST(sysenter, "gates.sysenter sysexit")
{
	struct state s = at_ring(se_user, 3), in = s;

	if (!(cpuid_edx1() & 1u << 11)) {
		skip("no SEP");
		return;
	}
	wrmsr(0x174, KCS);
	wrmsr(0x175, ADDR(stack0 + 4096));
	wrmsr(0x176, ADDR(se_kernel));
	s.eflags = FL_ONE | FL_IF | FL_CF | FL_ID;
	run(&s);
	if (ended(&s, "sysenter")) {
		EQ(s.edi, KCS, "cs in the kernel");
		EQ(s.ebp, KDS, "ss in the kernel");
		EQ(s.ebx, ADDR(stack0 + 4096), "esp in the kernel");
		EQ(seen[0] & (FL_IF | FL_VM | FL_ID), FL_ID, "eflags in the kernel");
		EQ(s.eax, UCS, "cs after sysexit");
		EQ(s.esi, UDS, "ss after sysexit");
		EQ(s.esp, in.esp, "esp after sysexit");
	}
	EQ((u32)rdmsr(0x175), ADDR(stack0 + 4096), "MSR 175");
	wrmsr(0x174, 0);
	s = go(se_faults, 3);
	trapped(&s, V_GP, 0, se_faults, "sysenter with a null CS");
	s = go(sx_fault, 0);
	trapped(&s, V_GP, 0, sx_fault, "sysexit with a null CS");
}

CODE(io_outb, "outb %al, %dx");
CODE(io_outw, "outw %ax, %dx");
CODE(io_outl, "outl %eax, %dx");
CODE(io_inb, "inb %dx, %al");
CODE(io_inw, "inw %dx, %ax");
CODE(io_outsb, "outsb");
CODE(io_imm, "outb %al, $0x80");

static void io_case(const u8 *code, u32 port, u32 size, u32 first, u32 last)
{
	struct state s = at_ring(code, 3);

	s.edx = port;
	s.esi = ADDR(seen);
	run(&s);
	if (port >= first && port + size - 1 <= last)
		ended(&s, "permitted port");
	else if (s.vec != V_GP || s.err || s.eip != ADDR(code))
		fail("%u bytes at port %x: trap %u error %x, want #GP(0)", size, port, s.vec, s.err);
}

TEST(iomap, "gates.I/O bitmap")
{
	/* 0xe0 to 0xe9 are permitted: nothing is there. */
	for (u32 p = 0xe0; p <= 0xe9; p++)
		tss.bitmap[p >> 3] &= (u8) ~(1u << (p & 7));
	for (u32 p = 0xdc; p < 0xee; p++) {
		io_case(io_inb, p, 1, 0xe0, 0xe9);
		io_case(io_inw, p, 2, 0xe0, 0xe9);
		if (p == 0xe9 || p == 0xe8 || p == 0xe7 || p == 0xe6)
			continue; /* the debug console's port is not written */
		io_case(io_outb, p, 1, 0xe0, 0xe9);
		io_case(io_outw, p, 2, 0xe0, 0xe9);
		io_case(io_outl, p, 4, 0xe0, 0xe9);
		io_case(io_outsb, p, 1, 0xe0, 0xe9);
	}
	tss.bitmap[0x80 >> 3] &= (u8)~1u;
	io_case(io_imm, 0x80, 1, 0x80, 0x80);
	tss.bitmap[0x80 >> 3] |= 1;
	io_case(io_imm, 0x80, 1, 0, 0);
	memset(tss.bitmap, 0xff, sizeof(tss.bitmap));
}

TEST(iomap_limit, "gates.I/O bitmap beyond the TSS limit")
{
	struct state s;

	memset(tss.bitmap, 0, sizeof(tss.bitmap));
	tss.bitmap[8192] = 0xff;
	/* A TSS whose limit ends with the bitmap's byte for ports 0xe0 to 0xe7, and the one behind it. */
	gdt_set(SEL_TSS, desc(ADDR(&tss), offsetof(struct tss, bitmap) + 0xe0 / 8 + 1, 0x89, 0));
	asm volatile("ltr %w0" ::"r"(SEL_TSS));
	io_case(io_inb, 0xe0, 1, 0xe0, 0xe7);
	io_case(io_inb, 0xf8, 1, 0, 0);
	tss.iomap = 0xffff;
	io_case(io_inb, 0xe0, 1, 0, 0);
	tss.iomap = offsetof(struct tss, bitmap);
	s = at_ring(io_inb, 3);
	s.edx = 0xe0;
	s.eflags |= FL_IOPL;
	run(&s);
	ended(&s, "IOPL 3 overrides the bitmap");
	gdt_set(SEL_TSS, desc(ADDR(&tss), sizeof(tss) - 1, 0x89, 0));
	asm volatile("ltr %w0" ::"r"(SEL_TSS));
	memset(tss.bitmap, 0xff, sizeof(tss.bitmap));
}

CODE(do_ltr, "ltr %ax");
CODE(do_lldt, "lldt %ax");

TEST(ltr, "gates.ltr marks the TSS busy")
{
	struct state s;

	EQ((u32)(gdt[SEL_TSS >> 3] >> 40) & 0xff, 0x8b, "access byte");
	s = at_ring(do_ltr, 0);
	s.eax = SEL_TSS;
	run(&s);
	trapped(&s, V_GP, SEL_TSS, do_ltr, "ltr of a busy TSS");
	s = at_ring(do_ltr, 0);
	s.eax = KDS;
	run(&s);
	trapped(&s, V_GP, KDS, do_ltr, "ltr of data");
	s = at_ring(do_lldt, 0);
	s.eax = KDS;
	run(&s);
	trapped(&s, V_GP, KDS, do_lldt, "lldt of data");
	gdt_set(BAD, desc(ADDR(ldt), 0x7f, 0x02, 0));
	s = at_ring(do_lldt, 0);
	s.eax = BAD;
	run(&s);
	trapped(&s, V_NP, BAD, do_lldt, "lldt of an LDT not present");
	s = at_ring(do_lldt, 0);
	s.eax = SEL_LDT | 4;
	run(&s);
	trapped(&s, V_GP, SEL_LDT | 4, do_lldt, "lldt of an LDT selector");
}

TEST(ltr_null, "gates.ltr of null")
{
	struct state s = at_ring(do_ltr, 0);

	if (qemu_skips("ltr takes a null selector"))
		return;
	s.eax = 0;
	run(&s);
	trapped(&s, V_GP, 0, do_ltr, "ltr");
}
