/*
 * Real mode on the fake machine of segment_harness.h: what segment loads keep, far transfers, the interrupt vector table, IRET, and that
 * every fault leaves the CPU as it was.
 */
#include <check.h>

#define HARNESS real_test
#include "tests/unit/segment_harness.h"

enum { RCODE = 0x20000, IVT = 0x500 };

/* CS 2000h, SS at KSTACK with SP 1000h, DS at DATA. */
static void machine_real(void)
{
	static const int data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	machine_reset();
	v.cr0 = 0;
	segment_set(&v, SEG_CS, RCODE >> 4, RCODE, 0xffff, A_DATA);
	segment_set(&v, SEG_SS, KSTACK >> 4, KSTACK, 0xffff, A_DATA);
	for (unsigned k = 0; k < ARRAY_SIZE(data); k++)
		segment_set(&v, data[k], DATA >> 4, DATA, 0xffff, A_DATA);
	v.regs[REG_ESP] = 0xffff1000;
	v.eip = 0x100;
	v.next_eip = 0x102;
	v.idtr = (struct table_register){IVT, 0x3ff};
}

START_TEST(loads_keep_the_hidden_part)
{
	machine_real();
	segment_set(&v, SEG_ES, 8, 0x1000, 0xffffffff, A_DATA | SEG_DB | SEG_G);
	EXPECT_OK(segment_load(&v, SEG_ES, 0x12345678));
	ck_assert_uint_eq(v.seg[SEG_ES].sel, 0x5678);
	ck_assert_uint_eq(v.seg[SEG_ES].base, 0x56780);
	ck_assert_uint_eq(v.seg[SEG_ES].limit, 0xffffffff);
	ck_assert_uint_eq(v.seg[SEG_ES].attr, A_DATA | SEG_DB | SEG_G);
	ck_assert(v.seg[SEG_ES].full_read && v.seg[SEG_ES].full_write);
	EXPECT_OK(segment_load(&v, SEG_SS, 0)); /* null is a paragraph like others */
	ck_assert_uint_eq(v.seg[SEG_SS].base, 0);
	ck_assert_uint_eq(v.seg[SEG_SS].attr, A_DATA);
	/* What protected mode left null, or a code segment in CS, becomes usable and writable. */
	segment_set(&v, SEG_DS, 0, 0, 0, SEG_UNUSABLE);
	EXPECT_OK(segment_load(&v, SEG_DS, 0x1000));
	ck_assert_uint_eq(v.seg[SEG_DS].limit, 0xffff);
	EXPECT_OK(seg_write(&v, SEG_DS, 0xfffe, 1, 2));
	segment_set(&v, SEG_CS, KCS, 0, 0xffff, A_CODE);
	EXPECT_OK(real_go_far(&v, 0x2000, 5, 2, false));
	EXPECT_OK(seg_write(&v, SEG_CS, 0x10, 1, 2));
}
END_TEST

START_TEST(limits_at_64k)
{
	machine_real();
	EXPECT_OK(seg_linear(&v, SEG_DS, 0xfffe, 2, ACC_WRITE));
	EXPECT_RAISE(seg_linear(&v, SEG_DS, 0xffff, 2, ACC_READ), EXC_GP, 0);
	EXPECT_RAISE(seg_linear(&v, SEG_DS, 0x10000, 1, ACC_READ), EXC_GP, 0);
	EXPECT_RAISE(seg_linear(&v, SEG_SS, 0xfffd, 4, ACC_READ), EXC_SS, 0);
}
END_TEST

START_TEST(far_jump_call_return)
{
	struct emu_insn i = {.opsize = 2, .imm = 0x98761234, .imm2 = 0x3000};

	machine_real();
	EXPECT_OK(emu_jmp_far_imm(&v, &i));
	ck_assert_uint_eq(v.eip, 0x1234);
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x30000);
	machine_real();
	EXPECT_OK(emu_call_far_imm(&v, &i));
	ck_assert_uint_eq(v.regs[REG_ESP], 0xffff0ffc);
	ck_assert_uint_eq(peek(KSTACK + 0xffc, 4), (RCODE >> 4) << 16 | 0x102);
	i = (struct emu_insn){.opsize = 2, .imm = 6};
	EXPECT_OK(emu_ret_far(&v, &i));
	ck_assert_uint_eq(v.eip, 0x102);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, RCODE >> 4);
	ck_assert_uint_eq(v.regs[REG_ESP], 0xffff1006);
	/* 32 bits wide; EIP beyond the limit, a frame beyond the stack. */
	machine_real();
	i = (struct emu_insn){.opsize = 4, .imm = 0x1234, .imm2 = 0x3000};
	EXPECT_OK(emu_call_far_imm(&v, &i));
	ck_assert_uint_eq(peek(KSTACK + 0xff8, 4), 0x102);
	ck_assert_uint_eq(peek(KSTACK + 0xffc, 4), RCODE >> 4);
	EXPECT_OK(emu_ret_far(&v, &(struct emu_insn){.opsize = 4}));
	ck_assert_uint_eq(v.eip, 0x102);
	i.imm = 0x10000;
	EXPECT_RAISE(emu_call_far_imm(&v, &i), EXC_GP, 0);
	EXPECT_RAISE(emu_jmp_far_imm(&v, &i), EXC_GP, 0);
	v.regs[REG_ESP] = 1;
	i.imm = 0;
	EXPECT_RAISE(emu_call_far_imm(&v, &i), EXC_SS, 0);
	v.regs[REG_ESP] = 0xffff;
	EXPECT_RAISE(emu_ret_far(&v, &i), EXC_SS, 0);
}
END_TEST

START_TEST(vector_table)
{
	machine_real();
	poke(IVT + 0x21 * 4, 0x3000 << 16 | 0x4321, 4);
	v.sysflags = EFLAGS_IF | EFLAGS_TF | EFLAGS_AC | EFLAGS_RF | EFLAGS_IOPL;
	v.hflags = EFLAGS_CF;
	EXPECT_OK(interrupt_deliver(&v, 0x21, INTR_EXCEPTION, 0x100, true, 0x1234)); /* no error code is pushed */
	ck_assert_uint_eq(v.eip, 0x4321);
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x30000);
	ck_assert_uint_eq(v.regs[REG_ESP], 0xffff0ffa);
	ck_assert_uint_eq(peek(KSTACK + 0xffa, 2), 0x100);
	ck_assert_uint_eq(peek(KSTACK + 0xffc, 2), RCODE >> 4);
	ck_assert_uint_eq(peek(KSTACK + 0xffe, 2), EFLAGS_IF | EFLAGS_TF | EFLAGS_IOPL | EFLAGS_CF | 2);
	ck_assert_uint_eq(v.sysflags, EFLAGS_IOPL);
	v.idtr.limit = 0x21 * 4 + 2;
	EXPECT_RAISE(interrupt_deliver(&v, 0x21, INTR_EXTERNAL, 0x100, false, 0), EXC_GP, 0);
	v.idtr.limit++;
	EXPECT_OK(interrupt_deliver(&v, 0x21, INTR_EXTERNAL, 0x100, false, 0));
	v.regs[REG_ESP] = 5;
	EXPECT_RAISE(interrupt_deliver(&v, 0x21, INTR_SOFTWARE, 0x100, false, 0), EXC_SS, 0);
	/* A handler beyond CS's limit. */
	v.regs[REG_ESP] = 0x100;
	v.seg[SEG_CS].limit = 0x4320;
	EXPECT_RAISE(interrupt_deliver(&v, 0x21, INTR_SOFTWARE, 0x100, false, 0), EXC_GP, 0);
}
END_TEST

START_TEST(iret)
{
	struct emu_insn i = {.opsize = 2};
	u32 all = 0x3f7fd5;

	machine_real();
	poke(KSTACK + 0x1000, 0x3000 << 16 | 0x55, 4);
	poke(KSTACK + 0x1004, 0xffff, 2);
	v.sysflags = EFLAGS_ID;
	v.nmi_blocked = true;
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert(!v.nmi_blocked);
	ck_assert_uint_eq(v.eip, 0x55);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, 0x3000);
	ck_assert_uint_eq(vcpu_eflags(&v), (all & 0xffff) | EFLAGS_ID | 2);
	ck_assert_uint_eq(v.regs[REG_ESP], 0xffff1006);
	/* 32 bits: all but VM, VIF and VIP. NT makes no task return. */
	machine_real();
	v.sysflags = EFLAGS_NT;
	poke(KSTACK + 0x1000, 0x66, 4);
	poke(KSTACK + 0x1004, 0x3000, 4);
	poke(KSTACK + 0x1008, all, 4);
	i.opsize = 4;
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(vcpu_eflags(&v), (all & ~(EFLAGS_VM | EFLAGS_VIF | EFLAGS_VIP)) | 2);
	ck_assert_uint_eq(v.eip, 0x66);
	v.regs[REG_ESP] = 0x1000;
	poke(KSTACK + 0x1000, 0x10000, 4);
	EXPECT_RAISE(emu_iret(&v, &i), EXC_GP, 0);
}
END_TEST

START_TEST(undefined_instructions)
{
	struct emu_insn i = insn_reg(REG_EAX, REG_EBX, 2);
	emu_fn *const handlers[] = {emu_lar, emu_lsl, emu_verr, emu_verw, emu_arpl, emu_lldt, emu_ltr};

	machine_real();
	for (unsigned k = 0; k < ARRAY_SIZE(handlers); k++)
		EXPECT_RAISE(handlers[k](&v, &i), EXC_UD, NO_ERROR_CODE);
	/* The same in virtual-8086 mode. */
	v.cr0 = CR0_PE;
	v.cpl = 3;
	v.sysflags = EFLAGS_VM;
	for (unsigned k = 0; k < ARRAY_SIZE(handlers); k++)
		EXPECT_RAISE(handlers[k](&v, &i), EXC_UD, NO_ERROR_CODE);
	machine_real();
	v.sysenter_cs = 8;
	EXPECT_RAISE(emu_sysenter(&v, &i), EXC_GP, 0);
	EXPECT_RAISE(emu_sysexit(&v, &i), EXC_GP, 0);
}
END_TEST

Suite *real_suite(void);

Suite *real_suite(void)
{
	const TTest *const tests[] = {loads_keep_the_hidden_part, limits_at_64k, far_jump_call_return, vector_table, iret,
				      undefined_instructions};
	Suite *s = suite_create("real");

	add_machine_tests(s, "real", tests, ARRAY_SIZE(tests));
	return s;
}
