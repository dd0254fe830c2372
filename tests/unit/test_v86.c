/*
 * Virtual-8086 mode on the fake machine of segment_harness.h: the ways in and out, IOPL, CR4.VME with the redirection bitmap, and that
 * every fault leaves the CPU as it was.
 */
#include <check.h>

#define HARNESS v86_test
#include "tests/unit/segment_harness.h"

/* The 8086 program's stack is USTACK, its data DATA. */
static void machine_v86(u32 iopl)
{
	static const int data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	machine_reset();
	fake_pages[0] |= PAGE_U;
	v.cpl = 3;
	v.sysflags = EFLAGS_VM | iopl << EFLAGS_IOPL_SHIFT;
	v.seg[SEG_CS] = segment_v86(0x2000);
	v.seg[SEG_SS] = segment_v86(USTACK >> 4);
	for (unsigned k = 0; k < ARRAY_SIZE(data); k++)
		v.seg[data[k]] = segment_v86((DATA >> 4) + k);
	v.regs[REG_ESP] = 0x1000;
	v.eip = 0x100;
	v.next_eip = 0x102;
}

START_TEST(segments)
{
	machine_v86(0);
	segment_set(&v, SEG_ES, 8, 0x1000, 0xffffffff, A_DATA | SEG_DB | SEG_G);
	EXPECT_OK(segment_load(&v, SEG_ES, 0x1234));
	ck_assert_uint_eq(v.seg[SEG_ES].base, 0x12340);
	ck_assert_uint_eq(v.seg[SEG_ES].limit, 0xffff);
	ck_assert_uint_eq(v.seg[SEG_ES].attr, A_DATA | A_DPL3);
	EXPECT_OK(seg_linear(&v, SEG_CS, 0x10, 2, ACC_WRITE));
	EXPECT_RAISE(seg_linear(&v, SEG_ES, 0xffff, 2, ACC_READ), EXC_GP, 0);
}
END_TEST

START_TEST(out_and_back)
{
	struct emu_insn i = {.opsize = 4};
	struct vcpu was;
	u32 frame = RSTACK + 0x1000 - 9 * 4;

	machine_v86(2);
	v.sysflags |= EFLAGS_IF | EFLAGS_AC | EFLAGS_NT | EFLAGS_RF;
	put_gate(IDT + 0x30 * 8, KCS, 0x5000, A_P | DESC_INT32, 0);
	was = v;
	EXPECT_OK(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 0x100, false, 0));
	ck_assert_uint_eq(v.cpl, 0);
	ck_assert_uint_eq(v.eip, 0x5000);
	ck_assert_uint_eq(v.regs[REG_ESP], frame);
	ck_assert_uint_eq(v.sysflags, EFLAGS_AC | 2 << EFLAGS_IOPL_SHIFT);
	ck_assert_uint_eq(peek(frame, 4), 0x100);
	ck_assert_uint_eq(peek(frame + 4, 4), 0x2000);
	ck_assert_uint_eq(peek(frame + 8, 4), vcpu_eflags(&was));
	ck_assert_uint_eq(peek(frame + 12, 4), 0x1000);
	ck_assert_uint_eq(peek(frame + 16, 4), USTACK >> 4);
	for (u32 k = 0; k < 4; k++)
		ck_assert_uint_eq(peek(frame + 20 + 4 * k, 4), (DATA >> 4) + k); /* ES DS FS GS */
	for (int n = 0; n <= SEG_GS; n++) {
		if (n != SEG_CS && n != SEG_SS) {
			ck_assert_uint_eq(v.seg[n].attr, SEG_UNUSABLE);
			ck_assert_uint_eq(v.seg[n].sel, 0);
		}
	}
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(v.cpl, 3);
	ck_assert_uint_eq(v.eip, 0x100);
	ck_assert_uint_eq(vcpu_eflags(&v), vcpu_eflags(&was));
	ck_assert_uint_eq(v.regs[REG_ESP], 0x1000);
	for (int n = 0; n <= SEG_GS; n++)
		ck_assert_mem_eq(&v.seg[n], &was.seg[n], sizeof(v.seg[n]));
}
END_TEST

START_TEST(out_through_a_16bit_gate)
{
	machine_v86(0);
	poke(TSS + 4, RSTACK + 0x800, 4);
	put_gate(IDT + 13 * 8, KCS, 0x5000, A_P | DESC_TRAP16, 0);
	v.sysflags |= EFLAGS_IF;
	EXPECT_OK(interrupt_deliver(&v, 13, INTR_EXCEPTION, 0x100, true, 0x4321));
	ck_assert_uint_eq(v.regs[REG_ESP], RSTACK + 0x800 - 20);
	ck_assert_uint_eq(peek(RSTACK + 0x800 - 20, 2), 0x4321);
	ck_assert_uint_eq(peek(RSTACK + 0x800 - 18, 2), 0x100);
	ck_assert_uint_eq(peek(RSTACK + 0x800 - 2, 2), (DATA >> 4) + 3); /* GS */
	ck_assert_uint_eq(v.sysflags, EFLAGS_IF);
}
END_TEST

START_TEST(out_faults)
{
	u32 gate = IDT + 0x30 * 8;

	machine_v86(3);
	put_gate(gate, UCS, 0x5000, A_P | A_DPL3 | DESC_INT32, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_SOFTWARE, 1, false, 0), EXC_GP, UCS);
	put_gate(gate, CONFORMING, 0x5000, A_P | A_DPL3 | DESC_INT32, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_GP, CONFORMING | ERR_EXT);
	put_gate(gate, KCS, 0x5000, A_P | DESC_INT32, 0);
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_SOFTWARE, 1, false, 0), EXC_GP, 0x30 << 3 | ERR_IDT);
	fake_pages[RSTACK / PAGE_SIZE] = 0;
	EXPECT_RAISE(interrupt_deliver(&v, 0x30, INTR_EXTERNAL, 1, false, 0), EXC_PF, PFERR_W);
}
END_TEST

START_TEST(iret_into)
{
	struct emu_insn i = {.opsize = 4};

	machine_reset();
	v.regs[REG_ESP] = KSTACK;
	poke(KSTACK, 0x10000, 4);
	poke(KSTACK + 8, EFLAGS_VM, 4);
	EXPECT_RAISE(emu_iret(&v, &i), EXC_GP, 0); /* EIP beyond 64 KiB */
	poke(KSTACK, 0xffff, 4);
	v.regs[REG_ESP] = KSTACK + 0x1000 - 12;
	poke(KSTACK + 0x1000 - 4, EFLAGS_VM, 4);
	fake_pages[KSTACK / PAGE_SIZE + 1] = 0;
	EXPECT_RAISE(emu_iret(&v, &i), EXC_PF, 0); /* half of the frame is missing */
	/* Outer rings cannot: VM is ignored. */
	machine_user();
	v.regs[REG_ESP] = USTACK;
	poke(USTACK, 0x1000, 4);
	poke(USTACK + 4, UCS | 3, 4);
	poke(USTACK + 8, EFLAGS_VM, 4);
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(v.sysflags & EFLAGS_VM, 0);
	ck_assert_uint_eq(v.seg[SEG_CS].sel, UCS | 3);
}
END_TEST

START_TEST(iopl_decides)
{
	struct emu_insn iret = {.opsize = 2}, int21 = {.imm = 0x21};

	machine_v86(2);
	put_gate(IDT + 0x21 * 8, KCS, 0x5000, A_P | A_DPL3 | DESC_INT32, 0);
	put_gate(IDT + EXC_BP * 8, KCS, 0x6000, A_P | A_DPL3 | DESC_INT32, 0);
	EXPECT_RAISE(emu_iret(&v, &iret), EXC_GP, 0);
	EXPECT_RAISE(emu_int_n(&v, &int21), EXC_GP, 0);
	EXPECT_OK(emu_int3(&v, &int21));
	ck_assert_uint_eq(v.eip, 0x6000);
	machine_v86(3);
	put_gate(IDT + 0x21 * 8, KCS, 0x5000, A_P | A_DPL3 | DESC_INT32, 0);
	EXPECT_OK(emu_int_n(&v, &int21));
	ck_assert_uint_eq(v.eip, 0x5000);
	/* IRET: IF changes, IOPL and VM do not; NT makes no task return. */
	machine_v86(3);
	v.sysflags |= EFLAGS_NT;
	poke(USTACK + 0x1000, 0x2345 << 16 | 0x77, 4);
	poke(USTACK + 0x1004, EFLAGS_IF | EFLAGS_CF, 2);
	fake_pages[USTACK / PAGE_SIZE + 1] |= PAGE_U;
	EXPECT_OK(emu_iret(&v, &iret));
	ck_assert_uint_eq(v.eip, 0x77);
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x23450);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_VM | EFLAGS_IOPL | EFLAGS_IF | EFLAGS_CF | 2);
	ck_assert_uint_eq(v.regs[REG_ESP], 0x1006);
}
END_TEST

/* The redirection bitmap before an I/O map at 40h of a TSS with a limit of 67h: it is at 20h. */
static void machine_vme(u32 iopl, u8 redirect_40_to_47)
{
	machine_v86(iopl);
	v.cr4 = CR4_VME;
	poke(TSS + 0x66, 0x40, 2);
	memset(fake_memory + TSS + 0x20, 0xff, 32);
	poke(TSS + 0x20 + 8, redirect_40_to_47, 1);
	put_gate(IDT + 0x40 * 8, KCS, 0x5000, A_P | A_DPL3 | DESC_INT32, 0);
	poke(0x40 * 4, 0x3000 << 16 | 0x999, 4);
}

START_TEST(vme_redirection)
{
	struct emu_insn i = {.imm = 0x40};

	/* IOPL 0: to the program, with the virtual IF and IOPL 3 in the image. */
	machine_vme(0, 0xfe);
	v.sysflags |= EFLAGS_VIF | EFLAGS_TF;
	EXPECT_OK(emu_int_n(&v, &i));
	ck_assert_uint_eq(v.eip, 0x999);
	ck_assert_uint_eq(v.seg[SEG_CS].base, 0x30000);
	ck_assert_uint_eq(peek(USTACK + 0xffa, 4), 0x2000u << 16 | 0x102);
	ck_assert_uint_eq(peek(USTACK + 0xffe, 2), EFLAGS_IF | EFLAGS_TF | EFLAGS_IOPL | 2);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM);
	ck_assert_uint_eq(v.cpl, 3);
	machine_vme(0, 0xfe);
	v.sysflags |= EFLAGS_IF; /* the real one is not seen, and stays */
	EXPECT_OK(emu_int_n(&v, &i));
	ck_assert_uint_eq(peek(USTACK + 0xffe, 2), EFLAGS_IOPL | 2);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM | EFLAGS_IF);
	/* IOPL 3: the real flags. */
	machine_vme(3, 0xfe);
	v.sysflags |= EFLAGS_IF;
	EXPECT_OK(emu_int_n(&v, &i));
	ck_assert_uint_eq(peek(USTACK + 0xffe, 2), EFLAGS_IF | EFLAGS_IOPL | 2);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM | EFLAGS_IOPL);
	/* A set bit: to the monitor, or #GP. */
	machine_vme(3, 0xff);
	EXPECT_OK(emu_int_n(&v, &i));
	ck_assert_uint_eq(v.eip, 0x5000);
	machine_vme(0, 0xff);
	EXPECT_RAISE(emu_int_n(&v, &i), EXC_GP, 0);
	/* A bitmap outside of the TSS, or of a TSS that has none. */
	machine_vme(3, 0xfe);
	v.seg[SEG_TR].limit = 0x27;
	EXPECT_RAISE(emu_int_n(&v, &i), EXC_GP, 0);
	machine_vme(3, 0xfe);
	poke(TSS + 0x66, 0x10, 2);
	EXPECT_RAISE(emu_int_n(&v, &i), EXC_GP, 0);
	machine_vme(3, 0xfe);
	segment_set(&v, SEG_TR, TSS_SEL, TSS, 0x67, SEG_P | DESC_TSS16_BUSY);
	EXPECT_RAISE(emu_int_n(&v, &i), EXC_GP, 0);
	/* Interrupts and exceptions are never redirected. */
	machine_vme(0, 0xfe);
	EXPECT_OK(interrupt_deliver(&v, 0x40, INTR_EXTERNAL, 0x100, false, 0));
	ck_assert_uint_eq(v.cpl, 0);
}
END_TEST

START_TEST(vme_iret)
{
	struct emu_insn i = {.opsize = 2};

	machine_vme(0, 0xff);
	v.regs[REG_ESP] = 0x800;
	poke(USTACK + 0x800, 0x2345 << 16 | 0x77, 4);
	poke(USTACK + 0x804, EFLAGS_IF | EFLAGS_IOPL | EFLAGS_ZF, 2);
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(v.eip, 0x77);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_VM | EFLAGS_VIF | EFLAGS_ZF | 2);
	v.regs[REG_ESP] = 0x800;
	v.sysflags |= EFLAGS_VIP;
	EXPECT_RAISE(emu_iret(&v, &i), EXC_GP, 0);
	poke(USTACK + 0x804, EFLAGS_TF, 2);
	v.sysflags &= ~EFLAGS_VIP;
	EXPECT_RAISE(emu_iret(&v, &i), EXC_GP, 0);
	poke(USTACK + 0x804, 0, 2);
	i.opsize = 4;
	EXPECT_RAISE(emu_iret(&v, &i), EXC_GP, 0);
	i.opsize = 2;
	EXPECT_OK(emu_iret(&v, &i));
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_VM | 2);
}
END_TEST

Suite *v86_suite(void);

Suite *v86_suite(void)
{
	const TTest *const tests[] = {segments,	 out_and_back, out_through_a_16bit_gate, out_faults,
				      iret_into, iopl_decides, vme_redirection,		 vme_iret};
	Suite *s = suite_create("v86");

	add_machine_tests(s, "v86", tests, ARRAY_SIZE(tests));
	return s;
}
