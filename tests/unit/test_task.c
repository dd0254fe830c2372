/*
 * Task switches on the fake machine of segment_harness.h: what is saved and loaded, busy bits, links, NT, and every fault of SDM Vol. 3A
 * table 7-1 in the task that it belongs to: up to the switch the CPU and both TSSs are as they were, behind it they are the new task's.
 */
#include <check.h>

#define HARNESS task_test
#include "tests/unit/segment_harness.h"

enum { NEW = 0x5000, NEW16 = 0x5800, NEW_SEL = SPARE, NEW16_SEL = SPARE2, ENTRY = 0x6100, BUSY_BIT = 2 };

/* A task of ring 3 in a 32-bit TSS at NEW, one of ring 0 in a 16-bit TSS at NEW16; the running one is TSS_SEL, busy. */
static void machine_tasks(void)
{
	machine_reset();
	put_descriptor(GDT + TSS_SEL, TSS, 0x67, A_P | DESC_TSS32_BUSY, 0);
	put_descriptor(GDT + NEW_SEL, NEW, 0x67, A_P | DESC_TSS32_AVAIL, 0);
	put_descriptor(GDT + NEW16_SEL, NEW16, 0x2b, A_P | DESC_TSS16_AVAIL, 0);
	for (u32 n = 0; n < 8; n++) {
		poke(NEW + 0x28 + 4 * n, 0x11110000 + n, 4);
		poke(NEW16 + 0x12 + 2 * n, 0x2220 + n, 2);
		v.regs[n] = n == REG_ESP ? KSTACK + 0x1000 : 0x33330000 + n;
	}
	poke(NEW, 0xabcd, 2);
	poke(NEW + 0x1c, 0x7000, 4);
	poke(NEW + 0x20, ENTRY, 4);
	poke(NEW + 0x24, EFLAGS_CF | EFLAGS_ID | 2, 4);
	poke(NEW + 0x38, USTACK + 0x1000, 4);
	for (u32 n = 0; n <= SEG_GS; n++)
		poke(NEW + 0x48 + 4 * n, (n == SEG_CS ? UCS : UDS) | 3, 4);
	poke(NEW + 0x60, LDT_SEL, 2);
	poke(NEW16 + 0x0e, ENTRY, 2);
	poke(NEW16 + 0x10, EFLAGS_ZF | 2, 2);
	poke(NEW16 + 0x1a, RSTACK + 0x800, 2);
	for (u32 n = 0; n <= SEG_DS; n++)
		poke(NEW16 + 0x22 + 2 * n, n == SEG_CS ? KCS : KDS, 2);
	v.cr3 = 0x1000;
	v.dr[7] = 0x7ff;
	v.hflags = EFLAGS_SF;
}

static u32 busy(u32 sel)
{
	return peek(GDT + sel + 5, 1) & BUSY_BIT;
}

static void go_to(u32 sel, bool call)
{
	struct emu_insn i = {.opsize = 4, .imm2 = sel, .imm = 0xdead};

	if (call)
		emu_call_far_imm(&v, &i);
	else
		emu_jmp_far_imm(&v, &i);
}

START_TEST(jump)
{
	machine_tasks();
	EXPECT_OK(go_to(NEW_SEL, false));
	ck_assert_uint_eq(v.eip, ENTRY);
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_CF | EFLAGS_ID | 2);
	ck_assert_uint_eq(v.regs[REG_EDI], 0x11110007);
	ck_assert_uint_eq(v.regs[REG_ESP], USTACK + 0x1000);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, UCS | 3);
	ck_assert_uint_eq(v.seg[SEG_GS].sel, UDS | 3);
	ck_assert(v.seg[SEG_SS].full_write);
	ck_assert_uint_eq(v.seg[SEG_LDTR].base, LDT);
	ck_assert_uint_eq(v.seg[SEG_TR].sel, NEW_SEL);
	ck_assert_uint_eq(v.seg[SEG_TR].base, NEW);
	ck_assert_uint_eq(v.seg[SEG_TR].attr & SEG_TYPE, DESC_TSS32_BUSY);
	ck_assert_uint_eq(v.cr0, CR0_PE | CR0_TS);
	ck_assert_uint_eq(v.cr3, 0x1000); /* without paging CR3 stays */
	ck_assert_uint_eq(v.dr[7], 0x6aa);
	ck_assert_uint_eq(busy(TSS_SEL), 0);
	ck_assert_uint_eq(busy(NEW_SEL), BUSY_BIT);
	ck_assert_uint_eq(peek(NEW, 2), 0xabcd);
	ck_assert_uint_eq(peek(TSS + 0x20, 4), 0x100002);
	ck_assert_uint_eq(peek(TSS + 0x24, 4), EFLAGS_SF | 2);
	ck_assert_uint_eq(peek(TSS + 0x28, 4), 0x33330000);
	ck_assert_uint_eq(peek(TSS + 0x38, 4), KSTACK + 0x1000);
	ck_assert_uint_eq(peek(TSS + 0x4c, 4), KCS);
	ck_assert_uint_eq(peek(TSS + 0x5c, 4), KDS);
	ck_assert_uint_eq(peek(TSS + 4, 4), RSTACK + 0x1000); /* what is not saved */
	machine_tasks();
	v.cr0 |= CR0_PG;
	EXPECT_OK(go_to(NEW_SEL, false));
	ck_assert_uint_eq(v.cr3, 0x7000);
}
END_TEST

START_TEST(call_and_return)
{
	struct emu_insn i = {.opsize = 4};

	machine_tasks();
	EXPECT_OK(go_to(NEW_SEL, true));
	ck_assert_uint_eq(busy(TSS_SEL), BUSY_BIT);
	ck_assert_uint_eq(busy(NEW_SEL), BUSY_BIT);
	ck_assert_uint_eq(peek(NEW, 2), TSS_SEL);
	ck_assert(v.sysflags & EFLAGS_NT);
	ck_assert_uint_eq(peek(TSS + 0x24, 4) & EFLAGS_NT, 0);
	v.next_eip = 0x7777;
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(v.seg[SEG_TR].sel, TSS_SEL);
	ck_assert_uint_eq(v.eip, 0x100002);
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.regs[REG_EAX], 0x33330000);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_SF | 2);
	ck_assert_uint_eq(busy(NEW_SEL), 0);
	ck_assert_uint_eq(busy(TSS_SEL), BUSY_BIT);
	ck_assert_uint_eq(peek(NEW + 0x20, 4), 0x7777);
	ck_assert_uint_eq(peek(NEW + 0x24, 4), EFLAGS_CF | EFLAGS_ID | 2); /* NT is cleared in the image */
	ck_assert_uint_eq(peek(NEW, 2), TSS_SEL);
}
END_TEST

START_TEST(task16)
{
	machine_tasks();
	EXPECT_OK(go_to(NEW16_SEL, true));
	ck_assert_uint_eq(v.eip, ENTRY);
	ck_assert_uint_eq(v.regs[REG_ECX], 0x2221);
	ck_assert_uint_eq(v.regs[REG_ESP], RSTACK + 0x800);
	ck_assert_uint_eq(v.seg[SEG_FS].attr, SEG_UNUSABLE);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_NT | EFLAGS_ZF | 2);
	ck_assert_uint_eq(peek(NEW16, 2), TSS_SEL);
	v.regs[REG_ECX] = 0x98765432;
	v.next_eip = 0x1234;
	v.regs[REG_ESP] = RSTACK + 0x700;
	EXPECT_OK(emu_iret(&v, &(struct emu_insn){.opsize = 2}));
	ck_assert_uint_eq(peek(NEW16 + 0x0e, 4), (EFLAGS_ZF | 2) << 16 | 0x1234);
	ck_assert_uint_eq(peek(NEW16 + 0x14, 2), 0x5432);
	ck_assert_uint_eq(peek(NEW16 + 0x24, 2), KCS);
	ck_assert_uint_eq(peek(NEW16 + 0x28, 4), KDS); /* DS, and the LDT behind it is not written */
	ck_assert_uint_eq(v.regs[REG_ECX], 0x33330001);
}
END_TEST

START_TEST(interrupts)
{
	u32 gate = IDT + 0x30 * 8;

	machine_tasks();
	v.sysflags = EFLAGS_RF;
	put_gate(gate, NEW_SEL, 0, A_P | DESC_TASK_GATE, 0);
	EXPECT_OK(interrupt_deliver(&v, 0x30, INTR_EXCEPTION, 0x4444, true, 0x8888));
	ck_assert_uint_eq(v.regs[REG_ESP], USTACK + 0xffc);
	ck_assert_uint_eq(peek(USTACK + 0xffc, 4), 0x8888);
	ck_assert_uint_eq(peek(TSS + 0x20, 4), 0x4444);
	ck_assert_uint_eq(peek(TSS + 0x24, 4), EFLAGS_RF | EFLAGS_SF | 2);
	ck_assert(v.sysflags & EFLAGS_NT);
	machine_tasks();
	put_gate(gate, NEW16_SEL, 0, A_P | DESC_TASK_GATE, 0);
	EXPECT_OK(interrupt_deliver(&v, 0x30, INTR_EXCEPTION, 0x4444, true, 0x8888));
	ck_assert_uint_eq(v.regs[REG_ESP], RSTACK + 0x7fe);
	ck_assert_uint_eq(peek(RSTACK + 0x7fe, 2), 0x8888);
	machine_tasks();
	put_gate(gate, NEW_SEL | 4, 0, A_P | DESC_TASK_GATE, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_GP, NEW_SEL | 4 | ERR_EXT);
	put_gate(gate, TSS_SEL, 0, A_P | DESC_TASK_GATE, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_SOFTWARE, 1, false, 0), EXC_GP, TSS_SEL); /* busy: itself */
	put_gate(gate, 0, 0, A_P | DESC_TASK_GATE, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_SOFTWARE, 1, false, 0), EXC_GP, 0);
	machine_user();
	put_gate(gate, NEW_SEL, 0, A_P | DESC_TASK_GATE, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_SOFTWARE, 1, false, 0), EXC_GP, 0x30 << 3 | ERR_IDT);
}
END_TEST

/* Raises with CPU and memory as they were. */
#define EXPECT_REFUSED(statement, vec, err)                                                                                                \
	do {                                                                                                                               \
		static u8 memory[FAKE_SIZE];                                                                                               \
		memcpy(memory, fake_memory, FAKE_SIZE);                                                                                    \
		EXPECT_RAISE(statement, vec, err);                                                                                         \
		ck_assert_mem_eq(memory, fake_memory, FAKE_SIZE);                                                                          \
	} while (0)

START_TEST(refused)
{
	struct emu_insn iret = {.opsize = 4};

	machine_tasks();
	put_descriptor(GDT + NEW_SEL, NEW, 0x67, A_P | DESC_TSS32_BUSY, 0);
	EXPECT_REFUSED(go_to(NEW_SEL, false), EXC_GP, NEW_SEL);
	put_descriptor(GDT + NEW_SEL, NEW, 0x67, DESC_TSS32_AVAIL, 0);
	EXPECT_REFUSED(go_to(NEW_SEL, true), EXC_NP, NEW_SEL);
	put_descriptor(GDT + NEW_SEL, NEW, 0x66, A_P | DESC_TSS32_AVAIL, 0);
	EXPECT_REFUSED(go_to(NEW_SEL, true), EXC_TS, NEW_SEL);
	put_descriptor(GDT + NEW16_SEL, NEW16, 0x2a, A_P | DESC_TSS16_AVAIL, 0);
	EXPECT_REFUSED(go_to(NEW16_SEL, true), EXC_TS, NEW16_SEL);
	machine_tasks();
	v.seg[SEG_TR].limit = 0x5e;
	EXPECT_REFUSED(go_to(NEW_SEL, true), EXC_TS, TSS_SEL);
	/* Pages: the new TSS, the old one, the table of the busy bits. */
	machine_tasks();
	fake_pages[NEW / PAGE_SIZE] = 0;
	EXPECT_REFUSED(go_to(NEW_SEL, false), EXC_PF, 0);
	fake_pages[NEW / PAGE_SIZE] = PAGE_P;
	EXPECT_REFUSED(go_to(NEW_SEL, true), EXC_PF, PFERR_P | PFERR_W); /* the link */
	fake_pages[TSS / PAGE_SIZE] = PAGE_P;
	EXPECT_REFUSED(go_to(NEW_SEL, false), EXC_PF, PFERR_P | PFERR_W);
	machine_tasks();
	fake_pages[GDT / PAGE_SIZE] = PAGE_P;
	EXPECT_REFUSED(go_to(NEW_SEL, true), EXC_PF, PFERR_P | PFERR_W);
	/* CR3 with bad PDPTEs. */
	machine_tasks();
	v.cr0 |= CR0_PG;
	poke(NEW + 0x1c, 0x7001, 4);
	EXPECT_REFUSED(go_to(NEW_SEL, true), EXC_GP, 0);
	/* Returns. */
	machine_tasks();
	v.sysflags = EFLAGS_NT;
	poke(TSS, NEW_SEL, 2);
	EXPECT_REFUSED(emu_iret(&v, &iret), EXC_TS, NEW_SEL); /* not busy */
	poke(TSS, KDS, 2);
	EXPECT_REFUSED(emu_iret(&v, &iret), EXC_TS, KDS);
	poke(TSS, 0, 2);
	EXPECT_REFUSED(emu_iret(&v, &iret), EXC_TS, 0);
	poke(TSS, GDT_BYTES, 2);
	EXPECT_REFUSED(emu_iret(&v, &iret), EXC_TS, GDT_BYTES);
	put_descriptor(GDT + NEW_SEL, NEW, 0x67, DESC_TSS32_BUSY, 0);
	poke(TSS, NEW_SEL, 2);
	EXPECT_REFUSED(emu_iret(&v, &iret), EXC_NP, NEW_SEL);
	/* Privilege. */
	machine_tasks();
	v.cpl = 3;
	EXPECT_REFUSED(go_to(NEW_SEL, false), EXC_GP, NEW_SEL);
	put_descriptor(GDT + NEW_SEL, NEW, 0x67, A_P | A_DPL3 | DESC_TSS32_AVAIL, 0);
	EXPECT_OK(go_to(NEW_SEL | 3, false));
}
END_TEST

/* The fault comes in the new task, at its first instruction. */
static void broken(u32 at, u32 sel, int vector, u32 error)
{
	poke(NEW + at, sel, 2);
	raised.vector = NOTHING;
	fake_tables(&v);
	if (!setjmp(raised.env))
		go_to(NEW_SEL, false);
	ck_assert_int_eq(raised.vector, vector);
	ck_assert_uint_eq(raised.error, error);
	ck_assert_uint_eq(v.eip, ENTRY);
	ck_assert_uint_eq(v.seg[SEG_TR].sel, NEW_SEL);
	ck_assert_uint_eq(v.cpl, peek(NEW + 0x4c, 2) & 3);
	ck_assert_uint_eq(v.regs[REG_EBX], 0x11110003);
	ck_assert_uint_eq(busy(NEW_SEL), BUSY_BIT);
	ck_assert_uint_eq(busy(TSS_SEL), 0);
	ck_assert_uint_eq(peek(TSS + 0x20, 4), 0x100002);
}

START_TEST(new_task_faults)
{
	static const struct {
		u32 at, sel;
		int vector;
		u32 error;
	} cases[] = {
		{0x4c, 3, EXC_TS, 0},
		{0x4c, KCS | 3, EXC_TS, KCS},
		{0x4c, UDS | 3, EXC_TS, UDS},
		{0x4c, UCS, EXC_TS, UCS},
		{0x4c, GDT_BYTES | 3, EXC_TS, GDT_BYTES},
		{0x50, 3, EXC_TS, 0},
		{0x50, KDS | 3, EXC_TS, KDS},
		{0x50, UDS, EXC_TS, UDS},
		{0x50, UCS | 3, EXC_TS, UCS},
		{0x54, KDS | 3, EXC_TS, KDS},
		{0x48, TSS_SEL | 3, EXC_TS, TSS_SEL},
		{0x58, GDT_BYTES | 3, EXC_TS, GDT_BYTES},
		{0x60, KDS, EXC_TS, KDS},
		{0x60, LDT_SEL | 4, EXC_TS, LDT_SEL | 4},
		{0x60, GDT_BYTES, EXC_TS, GDT_BYTES},
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		machine_tasks();
		broken(cases[k].at, cases[k].sel, cases[k].vector, cases[k].error);
	}
	/* Not present: each its own vector. */
	machine_tasks();
	put_descriptor(GDT + NEW16_SEL, 0, 0xfffff, (A_CODE | A_DPL3) & ~A_P, 0xc);
	broken(0x4c, NEW16_SEL | 3, EXC_NP, NEW16_SEL);
	machine_tasks();
	put_descriptor(GDT + NEW16_SEL, 0, 0xfffff, (A_DATA | A_DPL3) & ~A_P, 0xc);
	broken(0x50, NEW16_SEL | 3, EXC_SS, NEW16_SEL);
	machine_tasks();
	put_descriptor(GDT + NEW16_SEL, 0, 0xfffff, (A_DATA | A_DPL3) & ~A_P, 0xc);
	broken(0x5c, NEW16_SEL | 3, EXC_NP, NEW16_SEL);
	ck_assert_uint_eq(v.seg[SEG_FS].sel, UDS | 3); /* those before it are loaded, it is not */
	ck_assert(v.seg[SEG_FS].full_write);
	ck_assert_uint_eq(v.seg[SEG_GS].attr, SEG_UNUSABLE);
	machine_tasks();
	put_descriptor(GDT + LDT_SEL, LDT, 0x1f, DESC_LDT, 0);
	broken(0x60, LDT_SEL, EXC_TS, LDT_SEL);
	/* EIP. */
	machine_tasks();
	put_descriptor(GDT + NEW16_SEL, 0, 0x1000, A_CODE | A_DPL3, 4);
	broken(0x4c, NEW16_SEL | 3, EXC_GP, 0);
}
END_TEST

START_TEST(trap_bit_and_v86)
{
	machine_tasks();
	poke(NEW + 0x64, 1, 2);
	EXPECT_OK(go_to(NEW_SEL, false));
	ck_assert_uint_eq(v.pending_db, 0x8000);
	ck_assert(v.no_step_trap);
	machine_tasks();
	poke(NEW + 0x24, EFLAGS_VM | EFLAGS_IOPL | 2, 4);
	EXPECT_OK(go_to(NEW_SEL, false));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.seg[SEG_CS].base, (UCS | 3) << 4);
	ck_assert_uint_eq(v.seg[SEG_GS].base, (UDS | 3) << 4);
	ck_assert_uint_eq(v.seg[SEG_GS].limit, 0xffff);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM | EFLAGS_IOPL);
	ck_assert_uint_eq(v.seg[SEG_LDTR].base, LDT);
	/* And out of it again, by a task gate. */
	put_gate(IDT + 0x30 * 8, NEW16_SEL, 0, A_P | DESC_TASK_GATE, 0);
	EXPECT_OK(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 0x4444, false, 0));
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(peek(NEW + 0x24, 4), EFLAGS_VM | EFLAGS_IOPL | 2);
	ck_assert_uint_eq(peek(NEW + 0x20, 4), 0x4444);
	EXPECT_OK(emu_iret(&v, &(struct emu_insn){.opsize = 2}));
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM | EFLAGS_IOPL);
	ck_assert_uint_eq(v.seg[SEG_CS].base, (UCS | 3) << 4);
}
END_TEST

Suite *task_suite(void);

Suite *task_suite(void)
{
	const TTest *const tests[] = {jump, call_and_return, task16, interrupts, refused, new_task_faults, trap_bit_and_v86};
	Suite *s = suite_create("task");

	add_machine_tests(s, "task", tests, ARRAY_SIZE(tests));
	return s;
}
