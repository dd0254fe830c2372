/*
 * Far transfers and interrupt delivery against the manual's rules, on the fake machine of segment_harness.h: what is loaded, what is
 * pushed, which fault with which error code, and that a fault leaves the CPU as it was.
 */
#include <check.h>

#define HARNESS far_test
#include "tests/unit/segment_harness.h"

/* ---- interrupts ---- */

START_TEST(system_call_and_back)
{
	struct emu_insn i = {.opsize = 4, .imm = 0x80};
	u32 sp = RSTACK + 0x1000;

	machine_user();
	put_gate(IDT + 0x80 * 8, KCS, 0x80001234, A_P | A_DPL3 | DESC_TRAP32, 0);
	v.hflags = EFLAGS_CF | EFLAGS_OF | 0xffffffff00000000ull;
	v.sysflags |= EFLAGS_NT | EFLAGS_AC;
	EXPECT_OK(emu_int_n(&v, &i));
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.eip, 0x80001234);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, KCS);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, KDS);
	ck_assert_uint_eq(v.regs[REG_ESP], sp - 20);
	ck_assert_uint_eq(peek(sp - 4, 4), UDS | 3);
	ck_assert_uint_eq(peek(sp - 8, 4), USTACK + 0x1000);
	ck_assert_uint_eq(peek(sp - 12, 4), EFLAGS_CF | EFLAGS_OF | EFLAGS_IF | EFLAGS_NT | EFLAGS_AC | 2);
	ck_assert_uint_eq(peek(sp - 16, 4), UCS | 3);
	ck_assert_uint_eq(peek(sp - 20, 4), 0x100002);
	ck_assert_uint_eq(v.sysflags, EFLAGS_IF | EFLAGS_AC); /* a trap gate */
	ck_assert_uint_eq(v.stats.ring_crossings, 1);

	segment_set(&v, SEG_DS, KDS, 0, 0xffffffff, A_DATA | SEG_DB | SEG_G);
	v.nmi_blocked = true;
	i = (struct emu_insn){.opsize = 4};
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.eip, 0x100002);
	ck_assert_uint_eq(v.regs[REG_ESP], USTACK + 0x1000);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, UCS | 3);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, UDS | 3);
	ck_assert(v.seg[SEG_SS].full_write);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_CF | EFLAGS_OF | EFLAGS_IF | EFLAGS_NT | EFLAGS_AC | 2);
	ck_assert_uint_eq(v.seg[SEG_ES].sel, UDS | 3);
	ck_assert_uint_eq(v.seg[SEG_DS].sel, 0); /* the kernel's was taken away */
	ck_assert(v.seg[SEG_DS].attr & SEG_UNUSABLE);
	ck_assert(!v.nmi_blocked);
	ck_assert_uint_eq(v.stats.ring_crossings, 2);
}
END_TEST

START_TEST(exception_same_ring)
{
	u32 sp = KSTACK + 0x1000;

	machine_reset();
	put_gate(IDT + 14 * 8, KCS, 0x5555, A_P | DESC_INT32, 0);
	v.sysflags = EFLAGS_IF | EFLAGS_RF | EFLAGS_TF;
	EXPECT_OK(interrupt_deliver(&v, 14, INTR_EXCEPTION, 0x777, true, 0xabcd));
	ck_assert_uint_eq(v.regs[REG_ESP], sp - 16);
	ck_assert_uint_eq(peek(sp - 4, 4), EFLAGS_IF | EFLAGS_RF | EFLAGS_TF | 2);
	ck_assert_uint_eq(peek(sp - 8, 4), KCS);
	ck_assert_uint_eq(peek(sp - 12, 4), 0x777);
	ck_assert_uint_eq(peek(sp - 16, 4), 0xabcd);
	ck_assert_uint_eq(v.sysflags, 0);
	ck_assert_uint_eq(v.stats.ring_crossings, 0);
}
END_TEST

START_TEST(interrupt_16bit)
{
	u32 sp = RSTACK + 0x1000;

	machine_user();
	/* 16-bit gate, 16-bit TSS, 16-bit inner stack */
	put_descriptor(GDT + SPARE, 0, 0xffff, A_DATA, 0);
	segment_set(&v, SEG_TR, TSS_SEL, TSS, 0x2b, SEG_P | DESC_TSS16_BUSY);
	poke(TSS + 2, sp, 2);
	poke(TSS + 4, SPARE, 2);
	put_gate(IDT + 8 * 8, KCS, 0x99995678, A_P | DESC_INT16, 0);
	EXPECT_OK(interrupt_deliver(&v, 8, INTR_EXTERNAL, 0x12345, true, 0x10020));
	ck_assert_uint_eq(v.eip, 0x5678);
	ck_assert_uint_eq(v.regs[REG_ESP], sp - 12);
	ck_assert_uint_eq(peek(sp - 2, 2), UDS | 3);
	ck_assert_uint_eq(peek(sp - 4, 2), (USTACK + 0x1000) & 0xffff);
	ck_assert_uint_eq(peek(sp - 6, 2), EFLAGS_IF | 2);
	ck_assert_uint_eq(peek(sp - 8, 2), UCS | 3);
	ck_assert_uint_eq(peek(sp - 10, 2), 0x2345);
	ck_assert_uint_eq(peek(sp - 12, 2), 0x20);
}
END_TEST

START_TEST(interrupt_faults)
{
	u32 gate = IDT + 0x30 * 8, error = 0x30 << 3 | ERR_IDT;

	machine_user();
	put_gate(gate, KCS, 0x1000, A_P | DESC_INT32, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_SOFTWARE, 1, false, 0), EXC_GP, error); /* the gate's DPL */
	put_gate(gate, KCS, 0x1000, DESC_INT32, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_NP, error | ERR_EXT);
	put_gate(gate, KCS, 0x1000, A_P | DESC_CALL32, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXCEPTION, 1, false, 0), EXC_GP, error | ERR_EXT);
	v.idtr.limit = 0x30 * 8 + 6;
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_GP, error | ERR_EXT);
	v.idtr.limit = 0x7ff;
	put_gate(gate, 3, 0x1000, A_P | DESC_INT32, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_GP, ERR_EXT);
	put_gate(gate, KDS, 0x1000, A_P | DESC_INT32 | A_DPL3, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_SOFTWARE, 1, false, 0), EXC_GP, KDS);

	put_gate(gate, KCS, 0x1000, A_P | DESC_INT32, 0);
	fake_pages[RSTACK / PAGE_SIZE] = 0;
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_PF, PFERR_W);
	poke(TSS + 8, UDS, 2);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_TS, UDS | ERR_EXT);
	poke(TSS + 8, 0, 2);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_TS, ERR_EXT);
	put_descriptor(GDT + SPARE, 0, 0xfffff, A_DATA & ~A_P, 0xc);
	poke(TSS + 8, SPARE, 2);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_SS, SPARE | ERR_EXT);
	put_descriptor(GDT + SPARE, 0, 0x100, A_DATA, 0x4);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_SS, SPARE | ERR_EXT);
	v.seg[SEG_TR].limit = 8;
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_TS, TSS_SEL | ERR_EXT);
}
END_TEST

START_TEST(interrupt_eip_limit)
{
	machine_user();
	put_descriptor(GDT + SPARE, 0, 0xfff, A_CODE, 4);
	put_gate(IDT, SPARE, 0x1000, A_P | DESC_INT32, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0, INTR_EXCEPTION, 1, false, 0), EXC_GP, ERR_EXT);
	put_gate(IDT, SPARE, 0xfff, A_P | DESC_INT32, 0);
	EXPECT_OK(interrupt_deliver(&v, 0, INTR_EXCEPTION, 1, false, 0));
}
END_TEST

START_TEST(into_int1)
{
	struct emu_insn i = {.opsize = 4};

	machine_user();
	put_gate(IDT + 8, KCS, 0x1000, A_P | DESC_INT32, 0);
	put_gate(IDT + 4 * 8, KCS, 0x2000, A_P | DESC_INT32, 0);
	EXPECT_OK(emu_into(&v, &i));
	ck_assert_uint_eq(v.eip, v.next_eip);
	v.hflags = EFLAGS_OF;
	EXPECT_RAISE(emu_into(&v, &i), EXC_GP, 4 << 3 | ERR_IDT);
	EXPECT_OK(emu_int1(&v, &i)); /* no DPL check */
	ck_assert_uint_eq(v.eip, 0x1000);
}
END_TEST

START_TEST(exception_classes)
{
	static const u32 contributory = 1 << 0 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13;
	static const u32 with_error = 1 << 8 | 0x1f << 10 | 1 << 17;

	for (int k = 0; k < 32; k++) {
		ck_assert_int_eq(exception_is_contributory(k), contributory >> k & 1);
		ck_assert_int_eq(exception_has_error_code(k), with_error >> k & 1);
	}
}
END_TEST

/* ---- far calls, jumps, returns ---- */

START_TEST(call_same_ring)
{
	struct emu_insn call = {.opsize = 4, .imm = 0x2000, .imm2 = KCS | 3}, ret = {.opsize = 4, .imm = 8};
	u32 sp = KSTACK + 0x800;

	machine_reset();
	v.regs[REG_ESP] = sp;
	EXPECT_RAISE(emu_call_far_imm(&v, &call), EXC_GP, KCS); /* RPL > CPL */
	call.imm2 = KCS;
	EXPECT_OK(emu_call_far_imm(&v, &call));
	ck_assert_uint_eq(v.eip, 0x2000);
	ck_assert_uint_eq(peek(sp - 4, 4), KCS);
	ck_assert_uint_eq(peek(sp - 8, 4), 0x100002);
	EXPECT_OK(emu_ret_far(&v, &ret));
	ck_assert_uint_eq(v.eip, 0x100002);
	ck_assert_uint_eq(v.regs[REG_ESP], sp + 8);
	/* m16:32, and 16-bit pushes */
	poke(DATA, 0x3000, 4);
	poke(DATA + 4, KCS, 2);
	call = insn_mem(3, 4);
	EXPECT_OK(emu_call_far_mem(&v, &call));
	ck_assert_uint_eq(v.eip, 0x3000);
	ck_assert_uint_eq(v.regs[REG_ESP], sp);
	call = (struct emu_insn){.opsize = 2, .imm = 0x4000, .imm2 = KCS};
	EXPECT_OK(emu_call_far_imm(&v, &call));
	ck_assert_uint_eq(v.regs[REG_ESP], sp - 4);
	ck_assert_uint_eq(peek(sp - 4, 4), (u32)KCS << 16 | 2);
	call.imm2 = 0;
	EXPECT_RAISE(emu_jmp_far_imm(&v, &call), EXC_GP, 0);
	call.imm2 = KDS;
	EXPECT_RAISE(emu_jmp_far_imm(&v, &call), EXC_GP, KDS);
	call.imm2 = UCS;
	EXPECT_RAISE(emu_jmp_far_imm(&v, &call), EXC_GP, UCS);
	put_descriptor(GDT + SPARE, 0, 0x1000, A_CODE, 4);
	call.imm2 = SPARE;
	EXPECT_RAISE(emu_jmp_far_imm(&v, &call), EXC_GP, 0); /* beyond the limit */
	put_descriptor(GDT + SPARE, 0, 0xfffff, A_CODE & ~A_P, 0xc);
	EXPECT_RAISE(emu_jmp_far_imm(&v, &call), EXC_NP, SPARE);
}
END_TEST

/* CS is left alone while selector and descriptor are those that it holds, and is loaded as soon as the descriptor in memory is another. */
START_TEST(same_code_segment)
{
	struct emu_insn jmp = {.opsize = 4, .imm = 0x2000, .imm2 = KCS}, iret = {.opsize = 4};
	u32 sp = KSTACK + 0x800;

	machine_reset();
	/* What it holds at first has not been loaded from a descriptor. */
	for (int k = 0; k < 2; k++) {
		v.eip = 0;
		EXPECT_OK(emu_jmp_far_imm(&v, &jmp));
		ck_assert_uint_eq(v.eip, 0x2000);
		ck_assert(segment_is_loaded(&v, SEG_CS, KCS, &(struct descriptor){.lo = peek(GDT + KCS, 4), .hi = peek(GDT + KCS + 4, 4)}));
	}
	ck_assert_uint_eq(v.seg[SEG_CS].sel, KCS);
	v.regs[REG_ESP] = sp;
	poke(sp, 0x3000, 4);
	poke(sp + 4, KCS, 4);
	poke(sp + 8, EFLAGS_IF | EFLAGS_IOPL, 4);
	EXPECT_OK(emu_iret(&v, &iret));
	ck_assert_uint_eq(v.sysflags, EFLAGS_IF | EFLAGS_IOPL);
	ck_assert_uint_eq(v.eip, 0x3000);
	ck_assert_uint_eq(v.regs[REG_ESP], sp + 12);
	put_descriptor(GDT + KCS, 0, 0xfffff, A_CODE, 0x8);
	EXPECT_OK(emu_jmp_far_imm(&v, &jmp));
	ck_assert(!(v.seg[SEG_CS].attr & SEG_DB));
	EXPECT_OK(emu_jmp_far_imm(&v, &jmp));
	put_descriptor(GDT + KCS, 0, 0x1fff, A_CODE, 0x4);
	EXPECT_RAISE(emu_jmp_far_imm(&v, &jmp), EXC_GP, 0);
	put_descriptor(GDT + KCS, 0, 0x2000, A_CODE, 0x4);
	EXPECT_OK(emu_jmp_far_imm(&v, &jmp));
	ck_assert_uint_eq(v.seg[SEG_CS].limit, 0x2000);
	jmp.imm = 0x2001;
	EXPECT_RAISE(emu_jmp_far_imm(&v, &jmp), EXC_GP, 0);
	jmp.imm = 0x2000;
	put_descriptor(GDT + KCS, 0, 0x2000, A_CODE & ~A_P, 0x4);
	EXPECT_RAISE(emu_jmp_far_imm(&v, &jmp), EXC_NP, KCS);
	/* The accessed bit, cleared in memory, is set again. */
	put_descriptor(GDT + KCS, 0, 0x2000, A_CODE & ~SEG_TYPE_A, 0x4);
	EXPECT_OK(emu_jmp_far_imm(&v, &jmp));
	ck_assert_uint_eq(peek(GDT + KCS + 5, 1), A_CODE);
}
END_TEST

START_TEST(conforming)
{
	struct emu_insn call = {.opsize = 4, .imm = 0x2000, .imm2 = CONFORMING};

	machine_user();
	EXPECT_OK(emu_call_far_imm(&v, &call));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, CONFORMING | 3);
	ck_assert_uint_eq(v.stats.ring_crossings, 0);
	call = (struct emu_insn){.opsize = 4};
	EXPECT_OK(emu_ret_far(&v, &call));
	ck_assert_uint_eq(v.seg[SEG_CS].sel, UCS | 3);
}
END_TEST

START_TEST(call_gate)
{
	struct emu_insn call = {.opsize = 4, .imm = 0xdead, .imm2 = SPARE | 3}, ret = {.opsize = 4, .imm = 12};
	u32 sp = RSTACK + 0x1000, usp = USTACK + 0x800;

	machine_user();
	v.regs[REG_ESP] = usp;
	for (u32 k = 0; k < 3; k++)
		poke(usp + 4 * k, 0x11110000 + k, 4);
	put_gate(GDT + SPARE, KCS, 0x7000, A_P | A_DPL3 | DESC_CALL32, 3);
	EXPECT_RAISE(emu_jmp_far_imm(&v, &call), EXC_GP, KCS);
	EXPECT_OK(emu_call_far_imm(&v, &call));
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.eip, 0x7000);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, KCS);
	ck_assert_uint_eq(v.regs[REG_ESP], sp - 28);
	ck_assert_uint_eq(peek(sp - 28, 4), 0x100002);
	ck_assert_uint_eq(peek(sp - 24, 4), UCS | 3);
	ck_assert_uint_eq(peek(sp - 20, 4), 0x11110000);
	ck_assert_uint_eq(peek(sp - 12, 4), 0x11110002);
	ck_assert_uint_eq(peek(sp - 8, 4), usp);
	ck_assert_uint_eq(peek(sp - 4, 4), UDS | 3);
	EXPECT_OK(emu_ret_far(&v, &ret));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.eip, 0x100002);
	ck_assert_uint_eq(v.regs[REG_ESP], usp + 12);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, UDS | 3);
	ck_assert_uint_eq(v.stats.ring_crossings, 2);

	put_gate(GDT + SPARE, KCS, 0x7000, A_P | DESC_CALL32, 3);
	EXPECT_RAISE(emu_call_far_imm(&v, &call), EXC_GP, SPARE);
	put_gate(GDT + SPARE, KCS, 0x7000, A_DPL3 | DESC_CALL32, 3);
	EXPECT_RAISE(emu_call_far_imm(&v, &call), EXC_NP, SPARE);
	/* The parameters come from a page that user code may not read. */
	put_gate(GDT + SPARE, KCS, 0x7000, A_P | A_DPL3 | DESC_CALL32, 31);
	v.regs[REG_ESP] = USTACK - 0x100;
	EXPECT_RAISE(emu_call_far_imm(&v, &call), EXC_PF, PFERR_U | PFERR_P);
	/* All 31 of them, through a 16-bit gate; then the same ring through a gate. */
	v.regs[REG_ESP] = usp;
	put_gate(GDT + SPARE, KCS, 0x12347000, A_P | A_DPL3 | DESC_CALL16, 31);
	EXPECT_OK(emu_call_far_imm(&v, &call));
	ck_assert_uint_eq(v.eip, 0x7000);
	ck_assert_uint_eq(v.regs[REG_ESP], sp - 70);
	ck_assert_uint_eq(peek(sp - 66, 2), 0);
	ck_assert_uint_eq(peek(sp - 64, 2), 0x1111);
	EXPECT_OK(emu_call_far_imm(&v, &call));
	ck_assert_uint_eq(v.regs[REG_ESP], sp - 74);
}
END_TEST

START_TEST(return_faults)
{
	struct emu_insn ret = {.opsize = 4};
	u32 sp = KSTACK + 0x800;
	static const struct {
		u32 cs, ss;
		int vector;
		u32 error;
	} cases[] = {
		{0, 0, EXC_GP, 0},
		{KDS, 0, EXC_GP, KDS},
		{GDT_BYTES, 0, EXC_GP, GDT_BYTES},
		{UCS, 0, EXC_GP, UCS},	   /* DPL 3, RPL 0 */
		{KCS | 3, 0, EXC_GP, KCS}, /* DPL 0, RPL 3 */
		{UCS | 3, 0, EXC_GP, 0},
		{UCS | 3, UDS, EXC_GP, UDS},
		{UCS | 3, KDS | 3, EXC_GP, KDS},
		{UCS | 3, UCS | 3, EXC_GP, UCS},
		{UCS | 3, SPARE | 3, EXC_SS, SPARE},
		{SPARE2, 0, EXC_NP, SPARE2},
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		machine_reset();
		v.regs[REG_ESP] = sp;
		put_descriptor(GDT + SPARE, 0, 0xfffff, (A_DATA | A_DPL3) & ~A_P, 0xc);
		put_descriptor(GDT + SPARE2, 0, 0xfffff, A_CODE & ~A_P, 0xc);
		poke(sp + 4, cases[k].cs, 4);
		poke(sp + 12, cases[k].ss, 4);
		EXPECT_RAISE(emu_ret_far(&v, &ret), cases[k].vector, cases[k].error);
		poke(sp + 12, 0, 4);
		poke(sp + 16, cases[k].ss, 4);
		v.nmi_blocked = true;
		EXPECT_RAISE(emu_iret(&v, &ret), cases[k].vector, cases[k].error);
		ck_assert(!v.nmi_blocked);
	}
	/* Never inwards. */
	machine_user();
	v.regs[REG_ESP] = USTACK;
	poke(USTACK + 4, KCS, 4);
	EXPECT_RAISE(emu_ret_far(&v, &ret), EXC_GP, KCS);
	EXPECT_RAISE(emu_iret(&v, &ret), EXC_GP, KCS);
}
END_TEST

START_TEST(iret_eflags)
{
	struct emu_insn i = {.opsize = 4};
	u32 all = 0x3f7fd5; /* everything but VM's effect, and the reserved bits */

	machine_user();
	v.regs[REG_ESP] = USTACK;
	poke(USTACK, 0x1000, 4);
	poke(USTACK + 4, UCS | 3, 4);
	poke(USTACK + 8, all, 4);
	v.sysflags = 0;
	EXPECT_OK(emu_iret(&v, &i)); /* CPL 3, IOPL 0: no IF, IOPL, VIF, VIP, VM */
	ck_assert_uint_eq(vcpu_eflags(&v), (all & ~(EFLAGS_IF | EFLAGS_IOPL | EFLAGS_VM | EFLAGS_VIF | EFLAGS_VIP)) | 2);
	v.regs[REG_ESP] = USTACK;
	v.sysflags = EFLAGS_IOPL;
	poke(USTACK + 8, EFLAGS_IF, 4);
	EXPECT_OK(emu_iret(&v, &i)); /* IOPL 3: IF, and IOPL stays */
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_IF | EFLAGS_IOPL | 2);

	machine_reset();
	v.regs[REG_ESP] = KSTACK;
	poke(KSTACK, 0x1000, 4);
	poke(KSTACK + 4, KCS, 4);
	poke(KSTACK + 8, all & ~EFLAGS_VM, 4);
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(vcpu_eflags(&v), (all & ~EFLAGS_VM) | 2);
	ck_assert_uint_eq(v.regs[REG_ESP], KSTACK + 12);
	v.regs[REG_ESP] = KSTACK;
	/* The 16-bit form leaves the upper half alone. */
	v.sysflags = EFLAGS_AC | EFLAGS_ID;
	i.opsize = 2;
	poke(KSTACK, 0x1000 | (u32)KCS << 16, 4);
	poke(KSTACK + 4, EFLAGS_IF | EFLAGS_IOPL | EFLAGS_CF, 2);
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_AC | EFLAGS_ID | EFLAGS_IF | EFLAGS_IOPL | EFLAGS_CF | 2);
	ck_assert_uint_eq(v.regs[REG_ESP], KSTACK + 6);
}
END_TEST

/* IRET to a 16-bit stack changes SP only, also when its frame crosses a page. */
START_TEST(iret_16bit_stack)
{
	struct emu_insn i = {.opsize = 4};
	u32 sp = KSTACK + 0x1000 - 12;

	machine_reset();
	put_descriptor(GDT + SPARE, 0, 0xffff, A_DATA | A_DPL3, 0);
	v.regs[REG_ESP] = sp;
	segment_set(&v, SEG_SS, KDS, 0x10000, 0xffffffff, A_DATA | SEG_DB | SEG_G);
	poke(0x10000 + sp, 0x1000, 4);
	poke(0x10000 + sp + 4, UCS | 3, 4);
	poke(0x10000 + sp + 8, 2, 4);
	poke(0x10000 + sp + 12, 0xabcd1234, 4);
	poke(0x10000 + sp + 16, SPARE | 3, 4);
	v.regs[REG_ESP] = sp;
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(v.regs[REG_ESP], (sp & 0xffff0000) | 0x1234);
	/* The return to an outer ring needs the page behind; the one to the same ring does not. */
	machine_reset();
	fake_pages[KSTACK / PAGE_SIZE + 1] = 0;
	v.regs[REG_ESP] = sp;
	poke(sp + 4, UCS | 3, 4);
	EXPECT_RAISE(emu_iret(&v, &i), EXC_PF, 0);
	poke(sp + 4, KCS, 4);
	EXPECT_OK(emu_iret(&v, &i));
}
END_TEST

/* A 16-bit stack wraps at 64 KiB; the upper half of ESP stays. Half of the frame on a missing page: nothing is written. */
START_TEST(stack_wraps)
{
	struct emu_insn call = {.opsize = 4, .imm = 0x2000, .imm2 = KCS}, ret = {.opsize = 4};

	machine_reset();
	segment_set(&v, SEG_SS, SPARE, 0x10000, 0xffff, A_DATA);
	v.regs[REG_ESP] = 0xabcd0004;
	EXPECT_OK(emu_call_far_imm(&v, &call));
	ck_assert_uint_eq(v.regs[REG_ESP], 0xabcdfffc);
	ck_assert_uint_eq(peek(0x10000, 4), KCS);
	ck_assert_uint_eq(peek(0x1fffc, 4), 0x100002);
	EXPECT_OK(emu_ret_far(&v, &ret));
	ck_assert_uint_eq(v.eip, 0x100002);
	ck_assert_uint_eq(v.regs[REG_ESP], 0xabcd0004);
	poke(0x10000, 0x12345678, 4);
	fake_pages[0x1f] = PAGE_P;
	EXPECT_RAISE(emu_call_far_imm(&v, &call), EXC_PF, PFERR_P | PFERR_W);
	fake_pages[0x1f] = PAGE_P | PAGE_W;
	fake_pages[0x10] = PAGE_P;
	EXPECT_RAISE(emu_call_far_imm(&v, &call), EXC_PF, PFERR_P | PFERR_W);
	ck_assert_uint_eq(peek(0x10000, 4), 0x12345678);
	/* A doubleword across the wrap is over the limit. */
	v.regs[REG_ESP] = 0xabcd0002;
	EXPECT_RAISE(emu_call_far_imm(&v, &call), EXC_SS, 0);
}
END_TEST

START_TEST(sysenter_sysexit)
{
	struct emu_insn i = {.opsize = 4};

	machine_user();
	EXPECT_RAISE(emu_sysenter(&v, &i), EXC_GP, 0);
	v.sysenter_cs = 3;
	EXPECT_RAISE(emu_sysenter(&v, &i), EXC_GP, 0);
	v.sysenter_cs = KCS | 3;
	v.sysenter_esp = 0x8888;
	v.sysenter_eip = 0x9999;
	EXPECT_RAISE(emu_sysexit(&v, &i), EXC_GP, 0);
	EXPECT_OK(emu_sysenter(&v, &i));
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.eip, 0x9999);
	ck_assert_uint_eq(v.regs[REG_ESP], 0x8888);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, KCS);
	ck_assert_uint_eq(v.seg[SEG_CS].attr, 0xc09b);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, KDS);
	ck_assert_uint_eq(v.seg[SEG_SS].attr, 0xc093);
	ck_assert(!(v.sysflags & EFLAGS_IF));
	v.regs[REG_EDX] = 0x1111;
	v.regs[REG_ECX] = 0x2222;
	EXPECT_OK(emu_sysexit(&v, &i));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.eip, 0x1111);
	ck_assert_uint_eq(v.regs[REG_ESP], 0x2222);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, UCS | 3);
	ck_assert_uint_eq(v.seg[SEG_CS].attr, 0xc0fb);
	ck_assert_uint_eq(v.seg[SEG_SS].sel, UDS | 3);
	ck_assert_uint_eq(v.seg[SEG_SS].attr, 0xc0f3);
	ck_assert_uint_eq(v.stats.ring_crossings, 2);
}
END_TEST

Suite *far_suite(void);

Suite *far_suite(void)
{
	const TTest *const interrupts[] = {system_call_and_back, exception_same_ring, interrupt_16bit,	interrupt_faults,
					   interrupt_eip_limit,	 into_int1,	      exception_classes};
	const TTest *const transfers[] = {call_same_ring, same_code_segment, conforming,  call_gate,	   return_faults,
					  iret_eflags,	  iret_16bit_stack,  stack_wraps, sysenter_sysexit};
	Suite *s = suite_create("far");

	add_machine_tests(s, "interrupts", interrupts, ARRAY_SIZE(interrupts));
	add_machine_tests(s, "transfers", transfers, ARRAY_SIZE(transfers));
	return s;
}
