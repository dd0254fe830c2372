/*
 * Hardware task switches, SDM Vol. 3A chapter 7: by JMP, CALL, INT, exception and IRET, directly and through task gates, between 32-bit and
 * 16-bit tasks and into virtual-8086 mode; what is saved and loaded; every fault, in the task that it belongs to.
 *
 * Where QEMU's TCG departs: it does not know the T bit of a TSS; raises #TS for a task gate with a selector of the LDT, where Vol. 2A
 * (CALL) wants #GP; and reports faults of the new task at an EIP that is neither task's, for it restores EIP as for an instruction. Every
 * test ends in settle(), which makes the kernel's own task the current one again.
 */
#include "guestos/modes/modes.h"

enum { SEL_A = 0x60, SEL_B = 0x68, SEL_16 = 0x70, SEL_GATE = 0x78, SEL_CS16 = 0x80, SEL_SS16 = 0x88, SEL_BAD = 0x90, NOWHERE = 0x0bad };
enum { TSS_BYTES = 104, TSS16_BYTES = 44, BUSY = 2, DR6_BT = 0x8000 };

struct tss16 {
	u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldt;
};

static struct tss task_a, task_b;
static struct tss16 task16;
static u8 stack_a[4096] __attribute__((aligned(16))), stack_b[4096] __attribute__((aligned(16)));
static UDATA u8 ustack_a[4096] __attribute__((aligned(16)));
static u8 stack_16[4096] __attribute__((aligned(16)));

static u32 task_register(void)
{
	u32 sel;

	asm volatile("str %0" : "=r"(sel));
	return sel & 0xffff;
}

static int is_busy(u32 sel)
{
	return (int)(gdt[sel >> 3] >> 41 & 1);
}

static void settle(void)
{
	gdt_set(SEL_TSS, desc(ADDR(&tss), sizeof(tss) - 1, 0x89, 0));
	asm volatile("ltr %w0; clts" ::"r"(SEL_TSS));
	tss.link = 0;
	idt_reset();
}

/* What the processor does not save of the kernel's own task, for the way back. */
static void make_way_back(void)
{
	tss.cr3 = read_cr3();
	tss.ldt = SEL_LDT;
}

/* A task in ring 0 or 3 that is to begin at code. */
static void make_task(struct tss *t, u32 sel, const u8 *code, int ring)
{
	make_way_back();
	memset(t, 0, TSS_BYTES);
	t->link = 0x1234;
	t->ss0 = KDS;
	t->esp0 = ADDR(tss_stack_top);
	t->cr3 = read_cr3();
	t->eip = ADDR(code);
	t->eflags = FL_ONE | FL_CF;
	t->eax = 0x1a1a1a1a;
	t->ecx = 0x1c1c1c1c;
	t->edx = 0x1d1d1d1d;
	t->ebx = 0x1b1b1b1b;
	t->ebp = 0x1e1e1e1e;
	t->esi = 0x15151515;
	t->edi = 0x1f1f1f1f;
	t->esp = ring		? ADDR(ustack_a + sizeof(ustack_a))
		 : t == &task_a ? ADDR(stack_a + sizeof(stack_a))
				: ADDR(stack_b + sizeof(stack_b));
	t->cs = ring ? UCS : KCS;
	t->ss = t->ds = t->es = t->fs = t->gs = ring ? UDS : KDS;
	t->ldt = SEL_LDT;
	t->iomap = TSS_BYTES;
	gdt_set((u16)sel, desc(ADDR(t), TSS_BYTES - 1, 0x89, 0));
}

/* A 16-bit task in ring 0, at offset 0 of its code. */
static void make_task16(const u8 *code)
{
	make_way_back();
	memset(&task16, 0, sizeof(task16));
	gdt_set(SEL_CS16, desc(ADDR(code), 0xffff, ACC_CODE, 0));
	gdt_set(SEL_SS16, desc(ADDR(stack_16), sizeof(stack_16) - 1, ACC_DATA, 0));
	task16.flags = FL_ONE;
	task16.ax = 0x2a2a;
	task16.cx = 0x2c2c;
	task16.dx = 0x2d2d;
	task16.bx = 0x2b2b;
	task16.sp = sizeof(stack_16);
	task16.bp = 0x2e2e;
	task16.si = 0x2525;
	task16.di = 0x2f2f;
	task16.cs = SEL_CS16;
	task16.ss = task16.ds = task16.es = SEL_SS16;
	gdt_set(SEL_16, desc(ADDR(&task16), TSS16_BYTES - 1, 0x81, 0));
}

static void check_saved(const struct tss *t, const struct state *want, u32 eip)
{
	static const char *const names[8] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};

	for (int n = 0; n < 8; n++)
		EQ((&t->eax)[n], (&want->eax)[n], names[n]);
	EQ(t->eip, eip, "saved eip");
	EQ(t->cs & 0xffff, want->cs, "saved cs");
	EQ(t->ss & 0xffff, want->ss, "saved ss");
	EQ(t->ds & 0xffff, want->ds, "saved ds");
	EQ(t->es & 0xffff, want->es, "saved es");
	EQ(t->fs & 0xffff, want->fs, "saved fs");
	EQ(t->gs & 0xffff, want->gs, "saved gs");
}

CODE(jump, "ljmp $0x60, $0x0bad; jump_at:");
CODE(landed, "mov %eax, %edi");

static void check_jump(const u8 *code, const u8 *behind, const char *what)
{
	struct state s = at_ring(code, 0), before = s;

	run(&s);
	EQ(task_register(), SEL_A, "TR");
	if (ended(&s, what)) {
		EQ(s.eip, ADDR(landed_end) + 2, "eip");
		EQ(s.eax, 0x1a1a1a1a, "eax");
		EQ(s.ecx, 0x1c1c1c1c, "ecx");
		EQ(s.edi, 0x1a1a1a1a, "edi");
		EQ(s.esp, ADDR(stack_a + sizeof(stack_a)), "esp");
		EQ(s.eflags & (FL_CF | FL_NT | FL_IF), FL_CF, "eflags");
		EQ(read_cr0() & CR0_TS, CR0_TS, "CR0.TS");
		EQ(is_busy(SEL_TSS), 0, "old task busy");
		EQ(is_busy(SEL_A), 1, "new task busy");
		EQ(task_a.link, 0x1234, "link");
		check_saved(&tss, &before, ADDR(behind));
		EQ(tss.eflags & FL_NT, 0, "saved NT");
	}
	settle();
}

CODE(jump_gate, "ljmp $0x78, $0x0bad; jump_gate_at:");

TEST_IN(task_jmp, "task.JMP, to a TSS and through a gate", IN_OFF | IN_32 | IN_PAE)
{
	make_task(&task_a, SEL_A, landed, 0);
	check_jump(jump, jump_at, "jmp to the TSS");
	make_task(&task_a, SEL_A, landed, 0);
	gdt_set(SEL_GATE, gate(SEL_A, NOWHERE, 5, 0));
	check_jump(jump_gate, jump_gate_at, "jmp through a gate");
}

CODE(call_twice, "lcall $0x60, $0; call_twice_at: mov $1, %ecx; lcall $0x60, $0; mov $2, %edx");
CODE(counts, "1: incl %eax; str %ebx; pushf; pop %ecx; iret; counts_at: jmp 1b");

TEST(task_call, "task.CALL nests, IRET returns, and the next CALL goes on")
{
	struct state s = at_ring(call_twice, 0);

	make_task(&task_a, SEL_A, counts, 0);
	run(&s);
	EQ(task_register(), SEL_TSS, "TR");
	if (ended(&s, "two calls")) {
		EQ(s.eip, ADDR(call_twice_end) + 2, "eip");
		EQ(s.eax, 0xa1a1a1a1, "eax");
		EQ(s.ecx, 1, "ecx");
		EQ(s.edx, 2, "edx");
		EQ(task_a.eax, 0x1a1a1a1c, "counted twice");
		EQ(task_a.ebx, SEL_A, "TR in the task");
		EQ(task_a.ecx & FL_NT, FL_NT, "NT in the task");
		EQ(task_a.eflags & FL_NT, 0, "IRET clears it in the image");
		EQ(task_a.link, SEL_TSS, "link");
		EQ(task_a.eip, ADDR(counts_at), "eip behind IRET");
		EQ(is_busy(SEL_A), 0, "returned task busy");
		EQ(is_busy(SEL_TSS), 1, "own task busy");
		EQ(s.eflags & FL_NT, 0, "NT of the caller");
	}
	settle();
}

CODE(call_a, "lcall $0x60, $0");
CODE(call_b, "incl %eax; lcall $0x68, $0; incl %edx; iret");
CODE(jumps_back, "incl %eax; iret");

TEST(task_nested, "task.nested tasks return in order")
{
	struct state s = at_ring(call_a, 0);

	make_task(&task_a, SEL_A, call_b, 0);
	make_task(&task_b, SEL_B, jumps_back, 0);
	run(&s);
	ended(&s, "nested calls");
	EQ(task_register(), SEL_TSS, "TR");
	EQ(task_a.eax, 0x1a1a1a1b, "first task");
	EQ(task_b.eax, 0x1a1a1a1b, "second task");
	EQ(task_a.edx, 0x1d1d1d1e, "first task, later");
	EQ(task_b.link, SEL_A, "link of the second");
	EQ(task_a.link, SEL_TSS, "link of the first");
	EQ(is_busy(SEL_A) | is_busy(SEL_B), 0, "both free");
	settle();
}

CODE(int50, "int $0x50; int50_at: mov $3, %ecx");
CODE(gate_user, "lcall $0x7b, $0; mov $3, %ecx");

TEST(task_int, "task.INT n and CALL through task gates, from rings 0 and 3")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(int50, ring);

		make_task(&task_a, SEL_A, counts, 0);
		idt[0x50] = gate(SEL_A, NOWHERE, 5, 3);
		run(&s);
		if (ended(&s, tag("int", ring))) {
			EQ(s.ecx, 3, "ecx");
			EQ(s.eax, 0xa1a1a1a1, "eax");
			EQ(s.cs, ring ? UCS : KCS, "cs");
		}
		EQ(task_a.eax, 0x1a1a1a1b, "the task ran");
		EQ(tss.eip, ADDR(int50_at), "saved eip");
		EQ(task_register(), SEL_TSS, "TR");
		settle();

		make_task(&task_a, SEL_A, counts, 0);
		gdt_set(SEL_GATE, gate(SEL_A, NOWHERE, 5, 3));
		s = go(gate_user, ring);
		if (ended(&s, tag("call", ring)))
			EQ(s.ecx, 3, "ecx");
		EQ(task_a.eax, 0x1a1a1a1b, "the task ran");
		settle();
	}
	idt[0x50] = gate(SEL_A, NOWHERE, 5, 0);
	struct state s = go(int50, 3);
	trapped(&s, V_GP, 0x50 << 3 | 2, int50, "gate of DPL 0 from ring 3");
	settle();
}

CODE(faulting, "nop; faulting_at: hlt");
CODE(handler, "pop %eax; mov %esp, %ebx; addl $1, (%esi); iret");

TEST(task_exception, "task.an exception's error code lies on the new task's stack")
{
	struct state s = at_ring(faulting, 3);

	make_task(&task_a, SEL_A, handler, 0);
	task_a.esi = ADDR(&tss.eip); /* skips the HLT */
	task_a.eax = 0x5555;
	idt[V_GP] = gate(SEL_A, NOWHERE, 5, 0);
	run(&s);
	if (ended(&s, "behind the fault"))
		EQ(s.eip, ADDR(faulting_end) + 2, "eip");
	EQ(task_a.eax, 0, "error code");
	EQ(task_a.ebx, ADDR(stack_a + sizeof(stack_a)), "esp behind it");
	EQ(tss.cs & 0xffff, UCS, "saved cs");
	settle();
}

CODE(no_stack, "mov $0x10000000, %esp; no_stack_at: ud2");
CODE(df_handler, "pop %eax");

TEST_PG(task_double, "task.double fault through a task gate")
{
	struct state s = at_ring(no_stack, 0);

	make_task(&task_a, SEL_A, df_handler, 0);
	idt[V_DF] = gate(SEL_A, NOWHERE, 5, 0);
	s.eflags = FL_ONE;
	run(&s);
	if (ended(&s, "handler")) {
		EQ(s.eip, ADDR(df_handler_end) + 2, "eip");
		EQ(s.eax, 0, "error code");
		EQ(s.eflags & FL_NT, FL_NT, "NT");
	}
	EQ(tss.eip, ADDR(no_stack_at), "saved eip");
	EQ(tss.esp, TW, "saved esp");
	EQ(task_a.link, SEL_TSS, "link");
	settle();
}

CODE(call16, "lcall $0x70, $0; mov $5, %edi");
CODE16(in16, "inc %ax; mov %sp, %bx; str %cx; mov %fs, %si; pushf; pop %dx; iret; inc %ax; iret");

TEST(task_16, "task.into a 16-bit task and back")
{
	struct state s = at_ring(call16, 0);

	make_task16(in16);
	run(&s);
	if (ended(&s, "call")) {
		EQ(s.edi, 5, "edi");
		EQ(s.eax, 0xa1a1a1a1, "eax");
		EQ(s.esp, at_ring(call16, 0).esp, "esp");
	}
	EQ(task_register(), SEL_TSS, "TR");
	EQ(task16.ax, 0x2a2b, "ax");
	EQ(task16.bx, sizeof(stack_16), "sp");
	EQ(task16.cx, SEL_16, "TR in the task");
	EQ(task16.si, 0, "fs is null");
	EQ(task16.dx & FL_NT, FL_NT, "NT in the task");
	EQ(task16.link, SEL_TSS, "link");
	EQ(task16.flags & FL_NT, 0, "saved NT");
	EQ(task16.cs, SEL_CS16, "saved cs");
	EQ(task16.sp, sizeof(stack_16), "saved sp");
	EQ(is_busy(SEL_16), 0, "busy");
	settle();
}

CODE16(from16, "lcallw $0x60, $0; inc %si; ljmpl $0x68, $0");

TEST(task_16_to_32, "task.out of a 16-bit task")
{
	struct state s = at_ring(call16, 0);

	make_task16(from16);
	make_task(&task_a, SEL_A, counts, 0);
	make_task(&task_b, SEL_B, landed, 0);
	run(&s);
	ended(&s, "the 32-bit task behind");
	EQ(task_register(), SEL_B, "TR");
	EQ(s.eip, ADDR(landed_end) + 2, "eip");
	EQ(task_a.eax, 0x1a1a1a1b, "called");
	EQ(task_a.link, SEL_16, "link");
	EQ(task16.si, 0x2526, "si behind the call");
	EQ(task16.ip, from16_end - from16, "saved ip");
	EQ(is_busy(SEL_16), 0, "left by JMP");
	settle();
}

CODE16(handler16, "pop %ax; ud2");

TEST(task_16_error, "task.a 16-bit task takes a 16-bit error code")
{
	struct state s = at_ring(jump, 0);

	make_task16(handler16);
	idt[V_NP] = gate(SEL_16, NOWHERE, 5, 0);
	make_task(&task_a, SEL_A, landed, 0);
	gdt_set(SEL_A, desc(ADDR(&task_a), TSS_BYTES - 1, 0x09, 0));
	run(&s);
	EQ(s.vec, V_UD, "the handler's end");
	EQ(s.eax & 0xffff, SEL_A, "error code");
	EQ(s.esp & 0xffff, sizeof(stack_16), "sp");
	EQ(tss.eip, ADDR(jump), "saved eip");
	settle();
}

/* ---- what is wrong before the switch ---- */

TEST(task_refused, "task.faults before the switch are the old task's")
{
	static const struct {
		u8 access;
		u32 limit, vec;
		int ring;
	} cases[] = {
		{0x8b, TSS_BYTES - 1, V_GP, 0},					  /* busy */
		{0x09, TSS_BYTES - 1, V_NP, 0},					  /* not present */
		{0x0b, TSS_BYTES - 1, V_GP, 0},					  /* neither */
		{0x89, TSS_BYTES - 2, V_TS, 0},					  /* too short */
		{0x81, TSS16_BYTES - 2, V_TS, 0}, {0x89, TSS_BYTES - 1, V_GP, 3}, /* DPL 0 from ring 3 */
		{0x82, TSS_BYTES - 1, V_GP, 0},					  /* an LDT */
	};

	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct state s;
		u64 d;

		make_task(&task_a, SEL_A, landed, 0);
		d = desc(ADDR(&task_a), cases[n].limit, cases[n].access, 0);
		gdt_set(SEL_A, d);
		s = go(jump, cases[n].ring);
		trapped(&s, cases[n].vec, SEL_A, jump, "jmp");
		EQ(task_register(), SEL_TSS, "TR");
		EQ((u32)(gdt[SEL_A >> 3] >> 32), (u32)(d >> 32), "descriptor");
		EQ(read_cr0() & CR0_TS, 0, "CR0.TS");
		if (cases[n].ring)
			continue;
		/* A gate names the TSS: its DPL counts no more, the rest is the same. */
		gdt_set(SEL_GATE, gate(SEL_A, NOWHERE, 5, 3));
		s = go(gate_user, 3);
		trapped(&s, cases[n].vec, SEL_A, gate_user, "call through a gate");
		idt[0x50] = gate(SEL_A, NOWHERE, 5, 3);
		s = go(int50, 3);
		trapped(&s, cases[n].vec, SEL_A, int50, "int through a gate");
		idt_reset();
	}
	gdt_set(SEL_GATE, gate(SEL_A, NOWHERE, 5, 0));
	struct state s = go(gate_user, 3);
	trapped(&s, V_GP, SEL_GATE, gate_user, "gate of DPL 0");
	settle();
}

TEST(task_gate_ldt, "task.a task gate with a selector of the LDT")
{
	struct state s;

	if (qemu_skips("#TS instead of #GP"))
		return;
	gdt_set(SEL_GATE, gate(SEL_A | 4, NOWHERE, 5, 3));
	s = go(gate_user, 3);
	trapped(&s, V_GP, SEL_A | 4, gate_user, "call");
	idt[0x50] = gate(SEL_A | 4, NOWHERE, 5, 3);
	s = go(int50, 3);
	trapped(&s, V_GP, SEL_A | 4, int50, "int");
	settle();
}

CODE(iret_nt, "pushf; orl $0x4000, (%esp); popf; iret_nt_at: iret");

TEST(task_iret, "task.IRET with NT and a link that is no busy TSS")
{
	static const struct {
		u32 link, access, vec, err;
	} cases[] = {
		{SEL_A, 0x89, V_TS, SEL_A}, /* not busy */
		{SEL_A, 0x0b, V_NP, SEL_A}, {SEL_A | 4, 0x8b, V_TS, SEL_A | 4}, {KDS, 0x8b, V_TS, KDS}, {0xfff8, 0x8b, V_TS, 0xfff8},
	};

	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		make_task(&task_a, SEL_A, landed, 0);
		gdt_set(SEL_A, desc(ADDR(&task_a), TSS_BYTES - 1, (u8)cases[n].access, 0));
		tss.link = cases[n].link;
		struct state s = go(iret_nt, 0);
		trapped(&s, cases[n].vec, cases[n].err, iret_nt_at, "iret");
		EQ(task_register(), SEL_TSS, "TR");
	}
	make_task(&task_a, SEL_A, landed, 0);
	gdt_set(SEL_A, desc(ADDR(&task_a), TSS_BYTES - 1, 0x8b, 0));
	tss.link = SEL_A;
	struct state s = go(iret_nt, 0);
	ended(&s, "iret to a busy task");
	EQ(task_register(), SEL_A, "TR");
	EQ(is_busy(SEL_TSS), 0, "left by IRET");
	EQ(is_busy(SEL_A), 1, "stays busy");
	EQ(tss.eflags & FL_NT, 0, "saved NT");
	settle();
}

/* ---- what is wrong with the new task ---- */

TEST(task_broken, "task.faults behind the switch are the new task's")
{
	static const struct {
		size_t field;
		u32 sel, vec, err;
	} cases[] = {
		{offsetof(struct tss, cs), 3, V_TS, 0},
		{offsetof(struct tss, cs), KCS | 3, V_TS, KCS},	  /* DPL 0, RPL 3 */
		{offsetof(struct tss, cs), UDS, V_TS, UDS & ~3u}, /* data */
		{offsetof(struct tss, cs), SEL_BAD | 3, V_NP, SEL_BAD},
		{offsetof(struct tss, ss), 0, V_TS, 0},
		{offsetof(struct tss, ss), KDS | 3, V_TS, KDS},
		{offsetof(struct tss, ss), UDS & ~3u, V_TS, UDS & ~3u}, /* RPL 0 */
		{offsetof(struct tss, ss), (SEL_BAD + 8) | 3, V_SS, SEL_BAD + 8},
		{offsetof(struct tss, ds), KDS | 3, V_TS, KDS},
		{offsetof(struct tss, es), (SEL_BAD + 8) | 3, V_NP, SEL_BAD + 8},
		{offsetof(struct tss, fs), 0xfff8, V_TS, 0xfff8},
		{offsetof(struct tss, gs), SEL_TSS | 3, V_TS, SEL_TSS},
		{offsetof(struct tss, ldt), KDS, V_TS, KDS},
		{offsetof(struct tss, ldt), 0xfff8, V_TS, 0xfff8},
	};

	if (qemu_skips("EIP of faults behind the switch"))
		return;
	gdt_set(SEL_BAD, desc(0, 0xfffff, (ACC_CODE | ACC_DPL(3)) & 0x7f, 0xc));
	gdt_set(SEL_BAD + 8, desc(0, 0xfffff, (ACC_DATA | ACC_DPL(3)) & 0x7f, 0xc));
	for (unsigned n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
		struct state s;

		make_task(&task_a, SEL_A, landed, 3);
		*(u32 *)((u8 *)&task_a + cases[n].field) = cases[n].sel;
		s = go(jump, 0);
		if (!trapped(&s, cases[n].vec, cases[n].err, landed, "first instruction of the new task"))
			fail("... field %x selector %x", (u32)cases[n].field, cases[n].sel);
		EQ(task_register(), SEL_A, "TR");
		EQ(is_busy(SEL_A), 1, "new task busy");
		EQ(is_busy(SEL_TSS), 0, "old task busy");
		EQ(s.eax, 0x1a1a1a1a, "eax");
		EQ(tss.eip, ADDR(jump_at), "saved eip");
		settle();
		asm volatile("lldt %w0" ::"r"(SEL_LDT));
	}
}

TEST(task_eip, "task.EIP beyond the limit of the new task's code")
{
	struct state s;

	if (qemu_skips("EIP of faults behind the switch"))
		return;
	gdt_set(SEL_CS16, desc(0, 0xfff, ACC_CODE | ACC_DPL(3), 4));
	make_task(&task_a, SEL_A, (const u8 *)0x1000, 3);
	task_a.cs = SEL_CS16 | 3;
	s = go(jump, 0);
	trapped(&s, V_GP, 0, (const void *)0x1000, "fetch");
	EQ(task_register(), SEL_A, "TR");
	settle();
}

/* ---- what else a switch does ---- */

TEST(task_trap, "task.the T bit, and DR7's local bits")
{
	struct state s;
	u32 dr6, dr7;

	if (qemu_skips("no T bit"))
		return;
	make_task(&task_a, SEL_A, landed, 0);
	task_a.trap = 1;
	asm volatile("mov %0, %%dr6; mov %1, %%dr7" ::"r"(0xffff0ff0),
		     "r"(0x755)); /* of breakpoints that nothing meets: their addresses are 0 */
	s = go(jump, 0);
	asm volatile("mov %%dr6, %0; mov %%dr7, %1" : "=r"(dr6), "=r"(dr7));
	asm volatile("mov %0, %%dr7; mov %1, %%dr6" ::"r"(0x400), "r"(0xffff0ff0));
	trapped(&s, V_DB, 0, landed, "debug trap");
	EQ(dr6 & 0xe00f, DR6_BT, "dr6");
	EQ(dr7, 0x600, "dr7");
	settle();
}

CODE(reads_cr3, "mov %cr3, %eax; mov (%esi), %ebx; pushf; pop %ecx");

TEST_IN(task_cr3, "task.CR3 changes with the task", IN_32)
{
	u32 *dir = (u32 *)scratch[0], *table = (u32 *)scratch[1];
	struct state s;

	memcpy(dir, (void *)(uintptr_t)read_cr3(), 4096);
	memset(table, 0, 4096);
	table[0] = ADDR(scratch[2]) | P_P | P_W;
	dir[TW >> 22] = ADDR(table) | P_P | P_W;
	*(u32 *)scratch[2] = 0x600d;
	*(u32 *)scratch[3] = 0xbad;
	map(TW, scratch[3], P_P | P_W);
	EQ(*(volatile u32 *)TW, 0xbad, "old address space");
	u32 cr3 = read_cr3();
	make_task(&task_a, SEL_A, reads_cr3, 0);
	task_a.cr3 = ADDR(dir);
	task_a.esi = TW;
	s = go(jump, 0);
	ended(&s, "task");
	EQ(s.eax, ADDR(dir), "cr3");
	EQ(s.ebx, 0x600d, "new address space");
	EQ(tss.cr3, cr3, "CR3 is not saved");
	write_cr3(cr3);
	settle();
}

CODE16(in_v86, "mov %ds, %ax; mov %es, %bx; movw $0x99, 4");

TEST(task_v86, "task.a task in virtual-8086 mode")
{
	struct state s = AT_V86(in_v86, 3);

	make_task(&task_a, SEL_A, landed, 0);
	task_a.eip = 0;
	task_a.eflags = FL_ONE | FL_VM | FL_IOPL;
	task_a.cs = LOW_CODE >> 4;
	task_a.ss = LOW_STACK >> 4;
	task_a.ds = LOW_AREA >> 4;
	task_a.es = 0x1111;
	task_a.esp = 0x8000;
	s = go(jump, 0);
	if (ended(&s, "jmp")) {
		EQ(s.eflags & FL_VM, FL_VM, "VM");
		EQ(s.eax & 0xffff, LOW_AREA >> 4, "ds");
		EQ(s.ebx & 0xffff, 0x1111, "es");
		EQ(low16(LOW_AREA + 4), 0x99, "store");
		EQ(s.eip, END(in_v86), "ip");
	}
	settle();
}

CODE16(v86_int50, "int $0x50; mov $7, %cx");

TEST(task_from_v86, "task.a task gate out of virtual-8086 mode, and IRET into it")
{
	struct state s = AT_V86(v86_int50, 3);

	make_task(&task_a, SEL_A, counts, 0);
	idt[0x50] = gate(SEL_A, NOWHERE, 5, 3);
	run(&s);
	if (ended(&s, "int")) {
		EQ(s.eflags & FL_VM, FL_VM, "VM");
		EQ(s.ecx & 0xffff, 7, "cx");
		EQ(s.ds, LOW_AREA >> 4, "ds");
	}
	EQ(tss.eflags & FL_VM, FL_VM, "saved VM");
	EQ(tss.cs & 0xffff, LOW_CODE >> 4, "saved cs");
	EQ(tss.eip, 2, "saved ip");
	EQ(task_a.eax, 0x1a1a1a1b, "the task ran");
	settle();
}
