/*
 * Segments and the instructions that load and examine them against the manual's rules, on the fake machine of segment_harness.h: what is
 * loaded, which fault with which error code, and that a fault leaves the CPU as it was.
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
	v.cr0 = 0;
	EXPECT_RAISE(emu_ltr(&v, &i), EXC_UD, NO_ERROR_CODE);
}
END_TEST

Suite *segment_suite(void);
Suite *segment_suite(void)
{
	const TTest *const tests[] = {full_flags, limits, descriptor_decode, loads, accessed_bit, ldt, mov_push_pop, lar_lsl_ver,
				      arpl,	  tables, task_register};
	Suite *s = suite_create("segment");

	add_machine_tests(s, "segments", tests, ARRAY_SIZE(tests));
	return s;
}
