/*
 * Segmentation, far transfers and interrupt delivery against the manual's rules, on the fake machine of segment_harness.h: what is loaded,
 * what is pushed, which fault with which error code, and that a fault leaves the CPU as it was.
 */
#include <check.h>

#define HARNESS segment_test
#include "tests/unit/segment_harness.h"

/* ---- limits and types ---- */

#define UP (SEG_P | SEG_S | SEG_TYPE_W | SEG_DB)

START_TEST(full_flags)
{
	static const struct {
		u32 limit, attr;
		bool read, write;
	} cases[] = {
		{0xffffffff, UP, true, true},
		{0xfffffffe, UP, false, false},
		{0xffffffff, UP & ~SEG_TYPE_W, true, false},
		{0xffffffff, UP | SEG_TYPE_E, false, false},
		{0xffffffff, UP & ~SEG_P, false, false},
		{0xffffffff, UP & ~SEG_S, false, false},
		{0xffffffff, UP | SEG_UNUSABLE, false, false},
		{0xffffffff, SEG_P | SEG_S | SEG_TYPE_CODE, false, false},
		{0xffffffff, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_R, true, false},
		{0xffffffff, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_R | SEG_TYPE_C, true, false},
	};

	machine_reset();
	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		segment_set(&v, SEG_ES, 0x123, 0x5000, cases[k].limit, cases[k].attr);
		ck_assert_int_eq(!!v.seg[SEG_ES].full_read, cases[k].read);
		ck_assert_int_eq(!!v.seg[SEG_ES].full_write, cases[k].write);
		ck_assert_uint_eq(v.seg[SEG_ES].base, 0x5000);
		ck_assert_uint_eq(v.seg[SEG_ES].sel, 0x123);
	}
}
END_TEST

START_TEST(limits)
{
	static const struct {
		u32 limit, attr, off;
		unsigned size;
		int acc;
		bool ok;
	} cases[] = {
		{0xfff, UP, 0, 4, ACC_WRITE, true},
		{0xfff, UP, 0xfff, 1, ACC_READ, true},
		{0xfff, UP, 0xffc, 4, ACC_WRITE, true},
		{0xfff, UP, 0xffd, 4, ACC_READ, false},
		{0xfff, UP, 0x1000, 1, ACC_READ, false},
		{0xfff, UP, 0xfffffffe, 4, ACC_READ, false}, /* the end wraps to 1 */
		{0xffffffff, UP, 0xfffffffe, 4, ACC_WRITE, true},
		{0xfff, UP & ~SEG_TYPE_W, 0, 4, ACC_READ, true},
		{0xfff, UP & ~SEG_TYPE_W, 0, 4, ACC_WRITE, false},
		{0xffffffff, UP & ~SEG_TYPE_W, 0, 4, ACC_WRITE, false},
		{0xffffffff, SEG_P | SEG_S | SEG_TYPE_CODE, 0, 4, ACC_READ, false},
		{0xffffffff, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_R, 0, 4, ACC_READ, true},
		{0xffffffff, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_R, 0, 4, ACC_WRITE, false},
		{0xffff, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_R | SEG_TYPE_C, 0xfffd, 4, ACC_READ, false},
		{0xffffffff, UP | SEG_UNUSABLE, 0, 1, ACC_READ, false},
		/* expand-down: valid from limit + 1 to 4 GiB (B = 1) or 64 KiB (B = 0) */
		{0xfff, UP | SEG_TYPE_E, 0xfff, 1, ACC_READ, false},
		{0xfff, UP | SEG_TYPE_E, 0x1000, 4, ACC_WRITE, true},
		{0xfff, UP | SEG_TYPE_E, 0xfffffffc, 4, ACC_WRITE, true},
		{0xfff, UP | SEG_TYPE_E, 0xfffffffd, 4, ACC_WRITE, false},
		{0xfff, (UP | SEG_TYPE_E) & ~SEG_DB, 0xfffc, 4, ACC_WRITE, true},
		{0xfff, (UP | SEG_TYPE_E) & ~SEG_DB, 0xfffd, 4, ACC_WRITE, false},
		{0xfff, (UP | SEG_TYPE_E) & ~SEG_DB, 0x10000, 1, ACC_READ, false},
		{0xffffffff, UP | SEG_TYPE_E, 0xffffffff, 1, ACC_READ, false}, /* empty */
		{0, UP | SEG_TYPE_E, 1, 1, ACC_READ, true},
		{0, UP | SEG_TYPE_E, 0, 1, ACC_READ, false},
	};

	machine_reset();
	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		u32 linear = 0;

		segment_set(&v, SEG_ES, KDS, 0x10000, cases[k].limit, cases[k].attr);
		segment_set(&v, SEG_SS, KDS, 0x10000, cases[k].limit, cases[k].attr);
		if (cases[k].ok) {
			EXPECT_OK(linear = seg_linear(&v, SEG_ES, cases[k].off, cases[k].size, cases[k].acc));
			ck_assert_uint_eq(linear, 0x10000 + cases[k].off);
		} else {
			EXPECT_RAISE(seg_linear(&v, SEG_ES, cases[k].off, cases[k].size, cases[k].acc), EXC_GP, 0);
			EXPECT_RAISE(seg_linear(&v, SEG_SS, cases[k].off, cases[k].size, cases[k].acc), EXC_SS, 0);
		}
	}
}
END_TEST

START_TEST(descriptor_decode)
{
	/* base 0x12345678, limit 0xabcde, access 0x92 (not accessed), flags G D AVL */
	struct descriptor d = {.lo = 0x5678bcde, .hi = 0x12da9234};
	struct segment s = segment_from_descriptor(0x1b, &d);

	ck_assert_uint_eq(s.base, 0x12345678);
	ck_assert_uint_eq(s.limit, 0xabcdefff);
	ck_assert_uint_eq(s.attr, 0xd093);
	ck_assert_uint_eq(s.sel, 0x1b);
	d.hi &= ~0x00800000u;
	s = segment_from_descriptor(0x1b, &d);
	ck_assert_uint_eq(s.limit, 0xabcde);
	d.hi |= 0x00800000u;
	d.hi |= 0xf0000;
	d.lo |= 0xffff;
	s = segment_from_descriptor(0x1b, &d);
	ck_assert_uint_eq(s.limit, 0xffffffff);
	ck_assert(s.full_read && s.full_write);
	/* A gate's offset is 16 bits wide in a 286 gate. */
	d = (struct descriptor){.lo = 0x00081234, .hi = 0x56788e00};
	ck_assert_uint_eq(gate_offset(&d), 0x56781234);
	ck_assert_uint_eq(gate_selector(&d), 8);
	d.hi = 0x56788600;
	ck_assert_uint_eq(gate_offset(&d), 0x1234);
}
END_TEST

/* ---- loads ---- */

START_TEST(loads)
{
	static const struct {
		int reg;
		u32 cpl, access, sel;
		int vector;
		u32 error;
	} cases[] = {
		{SEG_DS, 0, A_DATA, SPARE, NOTHING, 0},
		{SEG_DS, 0, A_DATA, SPARE | 3, EXC_GP, SPARE},
		{SEG_DS, 3, A_DATA, SPARE | 3, EXC_GP, SPARE},
		{SEG_DS, 3, A_DATA, SPARE, EXC_GP, SPARE},
		{SEG_DS, 0, A_DATA | A_DPL3, SPARE | 3, NOTHING, 0},
		{SEG_GS, 3, A_DATA | A_DPL3, SPARE, NOTHING, 0},
		{SEG_ES, 0, A_DATA & ~A_P, SPARE, EXC_NP, SPARE},
		{SEG_ES, 0, 0x91, SPARE, NOTHING, 0},	 /* read-only data */
		{SEG_ES, 0, 0x99, SPARE, EXC_GP, SPARE}, /* execute-only */
		{SEG_ES, 3, A_CODE, SPARE, EXC_GP, SPARE},
		{SEG_ES, 3, A_CODE | SEG_TYPE_C, SPARE | 3, NOTHING, 0},
		{SEG_ES, 0, A_P | DESC_LDT, SPARE, EXC_GP, SPARE},
		{SEG_ES, 0, A_DATA, GDT_BYTES, EXC_GP, GDT_BYTES},
		{SEG_ES, 0, A_DATA, SPARE | SEL_TI, EXC_GP, SPARE | SEL_TI}, /* no LDT */
		{SEG_ES, 0, A_DATA, 3, NOTHING, 0},
		{SEG_SS, 0, A_DATA, 0, EXC_GP, 0},
		{SEG_SS, 0, A_DATA, SPARE, NOTHING, 0},
		{SEG_SS, 0, A_DATA, SPARE | 1, EXC_GP, SPARE},
		{SEG_SS, 3, A_DATA, SPARE | 3, EXC_GP, SPARE},
		{SEG_SS, 3, A_DATA | A_DPL3, SPARE | 3, NOTHING, 0},
		{SEG_SS, 0, 0x91, SPARE, EXC_GP, SPARE},
		{SEG_SS, 0, A_CODE, SPARE, EXC_GP, SPARE},
		{SEG_SS, 0, A_DATA & ~A_P, SPARE, EXC_SS, SPARE},
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		machine_reset();
		v.cpl = cases[k].cpl;
		put_descriptor(GDT + SPARE, 0x20000, 0xfffff, cases[k].access, 0xc);
		if (cases[k].vector != NOTHING) {
			EXPECT_RAISE(segment_load(&v, cases[k].reg, cases[k].sel), cases[k].vector, cases[k].error);
			continue;
		}
		EXPECT_OK(segment_load(&v, cases[k].reg, cases[k].sel));
		ck_assert_uint_eq(v.seg[cases[k].reg].sel, cases[k].sel);
		if (sel_is_null(cases[k].sel))
			ck_assert(v.seg[cases[k].reg].attr & SEG_UNUSABLE);
		else
			ck_assert_uint_eq(v.seg[cases[k].reg].base, 0x20000);
	}
}
END_TEST

START_TEST(accessed_bit)
{
	machine_reset();
	put_descriptor(GDT + SPARE, 0, 0xfffff, 0x92, 0xc);
	EXPECT_OK(segment_load(&v, SEG_DS, SPARE));
	ck_assert_uint_eq(peek(GDT + SPARE + 5, 1), 0x93);
	/* Not written when it is set: the table may be read-only. */
	fake_pages[GDT / PAGE_SIZE] = PAGE_P;
	EXPECT_OK(segment_load(&v, SEG_ES, SPARE));
	put_descriptor(GDT + SPARE, 0, 0xfffff, 0x92, 0xc);
	EXPECT_RAISE(segment_load(&v, SEG_ES, SPARE), EXC_PF, PFERR_W | PFERR_P);
}
END_TEST

START_TEST(ldt)
{
	struct emu_insn i = insn_reg(2, REG_EAX, 4);

	machine_reset();
	put_descriptor(LDT + 0x18, 0x7000, 0xff, A_DATA, 4);
	v.regs[REG_EAX] = LDT_SEL;
	EXPECT_OK(emu_lldt(&v, &i));
	EXPECT_OK(segment_load(&v, SEG_FS, 0x18 | SEL_TI));
	ck_assert_uint_eq(v.seg[SEG_FS].base, 0x7000);
	ck_assert_uint_eq(v.seg[SEG_FS].limit, 0xff);
	EXPECT_RAISE(segment_load(&v, SEG_FS, 0x20 | SEL_TI), EXC_GP, 0x20 | SEL_TI);
	v.regs[REG_EAX] = TSS_SEL;
	EXPECT_RAISE(emu_lldt(&v, &i), EXC_GP, TSS_SEL);
	v.regs[REG_EAX] = 0;
	EXPECT_OK(emu_lldt(&v, &i));
	ck_assert(v.seg[SEG_LDTR].attr & SEG_UNUSABLE);
	v.cpl = 3;
	EXPECT_RAISE(emu_lldt(&v, &i), EXC_GP, 0);
}
END_TEST

/* ---- the sensitive instructions ---- */

START_TEST(mov_push_pop)
{
	struct emu_insn i;
	int r = -1;

	machine_reset();
	v.regs[REG_ECX] = 0xdeadbeef;
	i = insn_reg(SEG_DS, REG_ECX, 4);
	EXPECT_OK(r = emu_mov_from_seg(&v, &i));
	ck_assert_int_eq(r, EMU_NEXT);
	ck_assert_uint_eq(v.regs[REG_ECX], KDS);
	i = insn_reg(SEG_SS, REG_ECX, 4);
	EXPECT_OK(r = emu_mov_to_seg(&v, &i));
	ck_assert_int_eq(r, EMU_EXIT);
	ck_assert_uint_eq(v.eip, v.next_eip);
	ck_assert_int_eq(v.shadow, SHADOW_MOV_SS);
	i = insn_reg(SEG_GS, REG_ECX, 4);
	EXPECT_OK(r = emu_mov_to_seg(&v, &i));
	ck_assert_int_eq(r, EMU_NEXT);
	i = insn_reg(SEG_CS, REG_ECX, 4);
	EXPECT_RAISE(emu_mov_to_seg(&v, &i), EXC_UD, NO_ERROR_CODE);

	poke(KSTACK + 0xffc, UDS | 3, 4);
	v.regs[REG_ESP] = KSTACK + 0xffc;
	i = insn_reg(SEG_ES, 0, 4);
	EXPECT_OK(r = emu_pop_seg(&v, &i));
	ck_assert_int_eq(r, EMU_EXIT);
	ck_assert_uint_eq(v.seg[SEG_ES].sel, UDS | 3);
	ck_assert_uint_eq(v.regs[REG_ESP], KSTACK + 0x1000);

	poke(DATA, 0x12345678, 4);
	poke(DATA + 4, UDS, 2);
	i = insn_mem(REG_EBX, 4);
	i.imm2 = SEG_FS;
	EXPECT_OK(r = emu_load_far_ptr(&v, &i));
	ck_assert_int_eq(r, EMU_NEXT);
	ck_assert_uint_eq(v.regs[REG_EBX], 0x12345678);
	ck_assert_uint_eq(v.seg[SEG_FS].sel, UDS);
	poke(DATA + 4, GDT_BYTES, 2);
	EXPECT_RAISE(emu_load_far_ptr(&v, &i), EXC_GP, GDT_BYTES);
}
END_TEST

START_TEST(lar_lsl_ver)
{
	struct emu_insn i = insn_reg(REG_EBX, REG_EAX, 4);
	static const struct {
		u32 cpl, access, sel;
		bool lar, lsl, verr, verw;
	} cases[] = {
		{0, A_DATA, SPARE, true, true, true, true},
		{0, A_DATA, SPARE | 3, false, false, false, false},
		{3, A_DATA, SPARE, false, false, false, false},
		{3, A_DATA | A_DPL3, SPARE | 3, true, true, true, true},
		{0, 0x91, SPARE, true, true, true, false},
		{0, 0x99, SPARE, true, true, false, false},
		{3, A_CODE | SEG_TYPE_C, SPARE | 3, true, true, true, false},
		{0, A_P | DESC_CALL32, SPARE, true, false, false, false},
		{0, A_P | DESC_TASK_GATE, SPARE, true, false, false, false},
		{0, A_P | DESC_TSS32_BUSY, SPARE, true, true, false, false},
		{0, A_P | DESC_INT32, SPARE, false, false, false, false},
		{0, A_P, SPARE, false, false, false, false},
		{0, A_DATA, 0, false, false, false, false},
		{0, A_DATA, GDT_BYTES, false, false, false, false},
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		machine_reset();
		v.cpl = cases[k].cpl;
		v.hflags = EFLAGS_CF;
		put_descriptor(GDT + SPARE, 0x20000, 0x12345, cases[k].access, 0x4);
		v.regs[REG_EAX] = cases[k].sel;
		v.regs[REG_EBX] = 7;
		EXPECT_OK(emu_lar(&v, &i));
		ck_assert_uint_eq(v.hflags, EFLAGS_CF | (cases[k].lar ? EFLAGS_ZF : 0));
		ck_assert_uint_eq(v.regs[REG_EBX] & ~0xf0000u, cases[k].lar ? 0x400000 | cases[k].access << 8 : 7);
		v.regs[REG_EBX] = 7;
		EXPECT_OK(emu_lsl(&v, &i));
		ck_assert_uint_eq(v.hflags, EFLAGS_CF | (cases[k].lsl ? EFLAGS_ZF : 0));
		ck_assert_uint_eq(v.regs[REG_EBX], cases[k].lsl ? 0x12345 : 7);
		EXPECT_OK(emu_verr(&v, &i));
		ck_assert_uint_eq(v.hflags, EFLAGS_CF | (cases[k].verr ? EFLAGS_ZF : 0));
		EXPECT_OK(emu_verw(&v, &i));
		ck_assert_uint_eq(v.hflags, EFLAGS_CF | (cases[k].verw ? EFLAGS_ZF : 0));
	}
}
END_TEST

START_TEST(arpl)
{
	struct emu_insn i = insn_reg(REG_EBX, REG_EAX, 2);

	machine_user();
	v.regs[REG_EAX] = 0xaaaa0010;
	v.regs[REG_EBX] = 3;
	EXPECT_OK(emu_arpl(&v, &i));
	ck_assert_uint_eq(v.regs[REG_EAX], 0xaaaa0013);
	ck_assert(v.hflags & EFLAGS_ZF);
	EXPECT_OK(emu_arpl(&v, &i));
	ck_assert(!(v.hflags & EFLAGS_ZF));
}
END_TEST

START_TEST(tables)
{
	struct emu_insn i = insn_mem(0, 4);

	machine_user();
	memset(fake_memory + DATA, 0xee, 8);
	EXPECT_OK(emu_sgdt(&v, &i));
	ck_assert_uint_eq(peek(DATA, 2), GDT_BYTES - 1);
	ck_assert_uint_eq(peek(DATA + 2, 4), GDT);
	ck_assert_uint_eq(peek(DATA + 6, 2), 0xeeee);
	EXPECT_RAISE(emu_lidt(&v, &i), EXC_GP, 0);
	machine_reset();
	poke(DATA, 0x123, 2);
	poke(DATA + 2, 0xfedcba98, 4);
	EXPECT_OK(emu_lidt(&v, &i));
	ck_assert_uint_eq(v.idtr.base, 0xfedcba98);
	ck_assert_uint_eq(v.idtr.limit, 0x123);
	i.opsize = 2;
	EXPECT_OK(emu_lgdt(&v, &i));
	ck_assert_uint_eq(v.gdtr.base, 0xdcba98);
	/* SGDT stores all of the base, whatever the operand size. */
	v.gdtr.base = 0x87654321;
	EXPECT_OK(emu_sgdt(&v, &i));
	ck_assert_uint_eq(peek(DATA + 2, 4), 0x87654321);
}
END_TEST

START_TEST(task_register)
{
	struct emu_insn i = insn_reg(3, REG_EAX, 4);

	machine_reset();
	segment_set(&v, SEG_TR, 0, 0, 0, SEG_UNUSABLE);
	v.regs[REG_EAX] = TSS_SEL;
	EXPECT_OK(emu_ltr(&v, &i));
	ck_assert_uint_eq(peek(GDT + TSS_SEL + 5, 1), A_P | DESC_TSS32_BUSY);
	ck_assert_uint_eq(v.seg[SEG_TR].attr & SEG_TYPE, DESC_TSS32_BUSY);
	ck_assert_uint_eq(v.seg[SEG_TR].base, TSS);
	EXPECT_RAISE(emu_ltr(&v, &i), EXC_GP, TSS_SEL); /* busy */
	v.regs[REG_EAX] = 0;
	EXPECT_RAISE(emu_ltr(&v, &i), EXC_GP, 0);
	put_descriptor(GDT + TSS_SEL, TSS, 0x67, DESC_TSS32_AVAIL, 0);
	v.regs[REG_EAX] = TSS_SEL;
	EXPECT_RAISE(emu_ltr(&v, &i), EXC_NP, TSS_SEL);
	v.regs[REG_EBX] = 0xffffffff;
	i = insn_reg(1, REG_EBX, 4);
	EXPECT_OK(emu_str(&v, &i));
	ck_assert_uint_eq(v.regs[REG_EBX], TSS_SEL);
	v.regs[REG_EBX] = 0xffffffff;
	i = insn_reg(0, REG_EBX, 2);
	EXPECT_OK(emu_sldt(&v, &i));
	ck_assert_uint_eq(v.regs[REG_EBX], 0xffff0000);
	v.cr0 = 0;
	EXPECT_RAISE(emu_str(&v, &i), EXC_UD, NO_ERROR_CODE);
}
END_TEST

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

Suite *segment_suite(void);

static void add(Suite *s, const char *name, const TTest *const *tests, unsigned n)
{
	TCase *c = tcase_create(name);

	for (unsigned k = 0; k < n; k++)
		tcase_add_test(c, tests[k]);
	suite_add_tcase(s, c);
}

Suite *segment_suite(void)
{
	const TTest *const segments[] = {full_flags, limits, descriptor_decode, loads, accessed_bit, ldt, mov_push_pop, lar_lsl_ver,
					 arpl,	     tables, task_register};
	const TTest *const interrupts[] = {system_call_and_back, exception_same_ring, interrupt_16bit,	interrupt_faults,
					   interrupt_eip_limit,	 into_int1,	      exception_classes};
	const TTest *const transfers[] = {call_same_ring, conforming,	    call_gate,	 return_faults,
					  iret_eflags,	  iret_16bit_stack, stack_wraps, sysenter_sysexit};
	Suite *s = suite_create("segment");

	add(s, "segments", segments, ARRAY_SIZE(segments));
	add(s, "interrupts", interrupts, ARRAY_SIZE(interrupts));
	add(s, "transfers", transfers, ARRAY_SIZE(transfers));
	return s;
}
