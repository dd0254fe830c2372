/*
 * The segmentation code on a fake machine: a megabyte of linear memory with page permissions, and raise_* that record and return to the
 * test. add_machine_tests runs each test twice: the code finds the pages that may be accessed in the flat tables, or asks lin_* for all.
 *
 * monitor/segment.c, segment_insn.c, far.c, real.c, task.c and interrupt.c are compiled into the test once more, every external name with a
 * prefix that the including file defines as HARNESS, so that they meet the fake lin_* here while all other suites keep the library's.
 * Invariant: nothing of the library is called from the code under test.
 */
#ifndef RINGER_TEST_SEGMENT_HARNESS_H
#define RINGER_TEST_SEGMENT_HARNESS_H

#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>

#define H_PASTE(a, b) a##_##b
#define H_JOIN(a, b)  H_PASTE(a, b)
#define H(name)	      H_JOIN(HARNESS, name)
/* What the code under test calls. */
#define lin_read	H(lin_read)
#define lin_write	H(lin_write)
#define lin_read_buf	H(lin_read_buf)
#define lin_write_buf	H(lin_write_buf)
#define lin_probe	H(lin_probe)
#define raise_exception H(raise_exception)
#define raise_error	H(raise_error)
#define raise_pf	H(raise_pf)
#define cr3_check	H(cr3_check)
#define cr3_load	H(cr3_load)
/* What it defines. */
#define segment_set		  H(segment_set)
#define real_go_far		  H(real_go_far)
#define real_ret_far		  H(real_ret_far)
#define real_iret		  H(real_iret)
#define real_iret_to_v86	  H(real_iret_to_v86)
#define real_interrupt		  H(real_interrupt)
#define real_v86_int		  H(real_v86_int)
#define real_vme_flags		  H(real_vme_flags)
#define task_switch		  H(task_switch)
#define task_return		  H(task_return)
#define task_push_error		  H(task_push_error)
#define segment_allows		  H(segment_allows)
#define segment_load		  H(segment_load)
#define segment_null_for_outer	  H(segment_null_for_outer)
#define seg_linear		  H(seg_linear)
#define descriptor_lookup	  H(descriptor_lookup)
#define descriptor_fetch	  H(descriptor_fetch)
#define descriptor_mark_accessed  H(descriptor_mark_accessed)
#define stack_read		  H(stack_read)
#define stack_push		  H(stack_push)
#define stack_from_tss		  H(stack_from_tss)
#define far_pointer_read	  H(far_pointer_read)
#define interrupt_deliver	  H(interrupt_deliver)
#define exception_is_contributory H(exception_is_contributory)
#define exception_has_error_code  H(exception_has_error_code)
#define emu_call_far_imm	  H(emu_call_far_imm)
#define emu_call_far_mem	  H(emu_call_far_mem)
#define emu_jmp_far_imm		  H(emu_jmp_far_imm)
#define emu_jmp_far_mem		  H(emu_jmp_far_mem)
#define emu_ret_far		  H(emu_ret_far)
#define emu_int_n		  H(emu_int_n)
#define emu_int3		  H(emu_int3)
#define emu_int1		  H(emu_int1)
#define emu_into		  H(emu_into)
#define emu_iret		  H(emu_iret)
#define emu_sysenter		  H(emu_sysenter)
#define emu_sysexit		  H(emu_sysexit)
#define emu_mov_from_seg	  H(emu_mov_from_seg)
#define emu_mov_to_seg		  H(emu_mov_to_seg)
#define emu_pop_seg		  H(emu_pop_seg)
#define emu_load_far_ptr	  H(emu_load_far_ptr)
#define emu_lar			  H(emu_lar)
#define emu_lsl			  H(emu_lsl)
#define emu_verr		  H(emu_verr)
#define emu_verw		  H(emu_verw)
#define emu_arpl		  H(emu_arpl)
#define emu_lldt		  H(emu_lldt)
#define emu_ltr			  H(emu_ltr)
#define emu_lgdt		  H(emu_lgdt)
#define emu_lidt		  H(emu_lidt)

#include "monitor/segment.c"

#include "monitor/segment_insn.c"

#include "monitor/far.c"

/* Static names that far.c has too. */
#define iret_flags real_iret_flags
#include "monitor/real.c"
#undef iret_flags

#define load_ss task_load_ss
#define commit	task_commit
#include "monitor/task.c"
#undef load_ss
#undef commit

#include "monitor/interrupt.c"

#define FAKE_SIZE (1u << 20)
enum { PAGE_P = 1, PAGE_W = 2, PAGE_U = 4 };
static u8 fake_memory[FAKE_SIZE];
static u8 fake_pages[FAKE_SIZE / PAGE_SIZE];

/* The last thing raised. */
static struct {
	jmp_buf env;
	int vector; /* NOTHING: nothing */
	u32 error;
} raised;
enum { NOTHING = -1, NO_ERROR_CODE = 0x10000 };

_Noreturn void raise_error(struct vcpu *v, int vector, u32 error)
{
	(void)v;
	raised.vector = vector;
	raised.error = error;
	longjmp(raised.env, 1);
}

_Noreturn void raise_exception(struct vcpu *v, int vector)
{
	raise_error(v, vector, NO_ERROR_CODE);
}

_Noreturn void raise_pf(struct vcpu *v, u32 linear, u32 error)
{
	(void)linear;
	raise_error(v, EXC_PF, error);
}

/* Bit 0 of CR3 stands for bad PDPTEs. */
void cr3_check(struct vcpu *v, u32 x)
{
	if (x & 1)
		raise_error(v, EXC_GP, 0);
}

void cr3_load(struct vcpu *v, u32 x)
{
	v->cr3 = x;
}

void lin_probe(struct vcpu *v, u32 linear, unsigned n, int acc)
{
	u32 user = acc & ACC_USER ? PFERR_U : 0, write = acc & ACC_WRITE ? PFERR_W : 0;

	for (unsigned k = 0; k < n; k++) {
		u32 at = linear + k;
		u8 page = at < FAKE_SIZE ? fake_pages[at / PAGE_SIZE] : 0;

		if (!(page & PAGE_P))
			raise_pf(v, at, user | write);
		if ((user && !(page & PAGE_U)) || (write && !(page & PAGE_W)))
			raise_pf(v, at, user | write | PFERR_P);
	}
}

void lin_read_buf(struct vcpu *v, u32 linear, void *buf, unsigned n, int acc)
{
	lin_probe(v, linear, n, acc);
	memcpy(buf, fake_memory + linear, n);
}

void lin_write_buf(struct vcpu *v, u32 linear, const void *buf, unsigned n, int acc)
{
	lin_probe(v, linear, n, acc | ACC_WRITE);
	memcpy(fake_memory + linear, buf, n);
}

u64 lin_read(struct vcpu *v, u32 linear, unsigned size, int acc)
{
	u64 x = 0;

	lin_read_buf(v, linear, &x, size, acc);
	return x;
}

void lin_write(struct vcpu *v, u32 linear, u64 value, unsigned size, int acc)
{
	lin_write_buf(v, linear, &value, size, acc);
}

static bool fake_direct;
static struct softmmu fake_mmu;

/* The flat tables as a warm machine has them, or empty. */
static void fake_tables(struct vcpu *v)
{
	for (int t = 0; t < MMU_TABLES && !fake_mmu.table[t]; t++) {
		fake_mmu.table[t] = mmap(NULL, MMU_TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		ck_assert_ptr_ne(fake_mmu.table[t], MAP_FAILED);
	}
	for (u32 page = 0; page < FAKE_SIZE / PAGE_SIZE; page++) {
		for (int t = MMU_SUPERVISOR; t <= MMU_USER; t++) {
			bool found = fake_direct && (fake_pages[page] & PAGE_P) && (t == MMU_SUPERVISOR || (fake_pages[page] & PAGE_U));
			u64 *entry = fake_mmu.table[t] + 2 * (u64)page;

			entry[0] = found ? (u64)fake_memory : 0;
			entry[MMU_HALF_ENTRIES] = found && (fake_pages[page] & PAGE_W) ? (u64)fake_memory : 0;
		}
	}
	v->mmu = &fake_mmu;
}

/*
 * Runs a statement; `raised` says what it threw. Checked each time: whoever raises has changed nothing of the CPU.
 * No test changes a local variable between the setjmp and a longjmp to it, so none has a clobbered one, whatever the compiler fears.
 */
#pragma GCC diagnostic ignored "-Wclobbered"
/* Not every suite needs all of the helpers. */
#pragma GCC diagnostic ignored "-Wunused-function"
static struct vcpu v, before;
#define TRY(statement)                                                                                                                     \
	do {                                                                                                                               \
		raised.vector = NOTHING;                                                                                                   \
		fake_tables(&v);                                                                                                           \
		before = v;                                                                                                                \
		if (setjmp(raised.env) == 0) {                                                                                             \
			statement;                                                                                                         \
		} else {                                                                                                                   \
			before.nmi_blocked = v.nmi_blocked;                                                                                \
			ck_assert_mem_eq(&v, &before, sizeof(v));                                                                          \
		}                                                                                                                          \
	} while (0)
#define EXPECT_RAISE(statement, vec, err)                                                                                                  \
	do {                                                                                                                               \
		TRY(statement);                                                                                                            \
		ck_assert_int_eq(raised.vector, vec);                                                                                      \
		ck_assert_uint_eq(raised.error, err);                                                                                      \
	} while (0)
#define EXPECT_OK(statement)                                                                                                               \
	do {                                                                                                                               \
		TRY(statement);                                                                                                            \
		ck_assert_int_eq(raised.vector, NOTHING);                                                                                  \
	} while (0)

/* Where the tables and stacks of the fake machine lie. */
enum {
	GDT = 0x1000,
	LDT = 0x2000,
	IDT = 0x3000,
	TSS = 0x4000,
	KSTACK = 0x8000, /* grows down from the end of this page */
	RSTACK = 0x9000, /* ring 0's stack in the TSS, likewise */
	USTACK = 0xa000,
	DATA = 0xb000,
};
/* Selectors of the GDT. */
enum {
	KCS = 0x08,
	KDS = 0x10,
	UCS = 0x18,
	UDS = 0x20,
	TSS_SEL = 0x28,
	LDT_SEL = 0x30,
	SPARE = 0x38, /* the test's own */
	SPARE2 = 0x40,
	CONFORMING = 0x48, /* DPL 0 */
	GDT_BYTES = 0x50,
};
/* Access bytes. */
enum {
	A_P = 0x80,
	A_DPL3 = 0x60,
	A_CODE = 0x9b,
	A_DATA = 0x93,
};

static void put_raw(u32 at, u32 lo, u32 hi)
{
	memcpy(fake_memory + at, &lo, 4);
	memcpy(fake_memory + at + 4, &hi, 4);
}

/* flags: the G, D/B, L, AVL nibble. */
static void put_descriptor(u32 at, u32 base, u32 limit, u32 access, u32 flags)
{
	put_raw(at, (limit & 0xffff) | base << 16,
		(base >> 16 & 0xff) | access << 8 | (limit & 0xf0000) | flags << 20 | (base & 0xff000000u));
}

static void put_gate(u32 at, u32 sel, u32 off, u32 access, u32 params)
{
	put_raw(at, (off & 0xffff) | sel << 16, (off & 0xffff0000u) | access << 8 | params);
}

static u32 peek(u32 at, unsigned size)
{
	u32 x = 0;

	memcpy(&x, fake_memory + at, size);
	return x;
}

static void poke(u32 at, u32 x, unsigned size)
{
	memcpy(fake_memory + at, &x, size);
}

/* A flat kernel at CPL 0. */
static void machine_reset(void)
{
	memset(&v, 0, sizeof(v));
	memset(fake_memory, 0, sizeof(fake_memory));
	memset(fake_pages, PAGE_P | PAGE_W, sizeof(fake_pages));
	fake_pages[USTACK / PAGE_SIZE] |= PAGE_U;
	fake_pages[DATA / PAGE_SIZE] |= PAGE_U;
	put_descriptor(GDT + KCS, 0, 0xfffff, A_CODE, 0xc);
	put_descriptor(GDT + KDS, 0, 0xfffff, A_DATA, 0xc);
	put_descriptor(GDT + UCS, 0, 0xfffff, A_CODE | A_DPL3, 0xc);
	put_descriptor(GDT + UDS, 0, 0xfffff, A_DATA | A_DPL3, 0xc);
	put_descriptor(GDT + TSS_SEL, TSS, 0x67, A_P | DESC_TSS32_AVAIL, 0);
	put_descriptor(GDT + LDT_SEL, LDT, 0x1f, A_P | DESC_LDT, 0);
	put_descriptor(GDT + CONFORMING, 0, 0xfffff, A_CODE | SEG_TYPE_C, 0xc);
	poke(TSS + 4, RSTACK + 0x1000, 4);
	poke(TSS + 8, KDS, 2);
	v.cr0 = CR0_PE;
	v.gdtr = (struct table_register){GDT, GDT_BYTES - 1};
	v.idtr = (struct table_register){IDT, 0x7ff};
	segment_set(&v, SEG_TR, TSS_SEL, TSS, 0x67, SEG_P | DESC_TSS32_BUSY);
	segment_set(&v, SEG_LDTR, 0, 0, 0, SEG_UNUSABLE);
	segment_set(&v, SEG_CS, KCS, 0, 0xffffffff, A_CODE | SEG_DB | SEG_G);
	for (int n = 0; n <= SEG_GS; n++)
		if (n != SEG_CS)
			segment_set(&v, n, KDS, 0, 0xffffffff, A_DATA | SEG_DB | SEG_G);
	v.regs[REG_ESP] = KSTACK + 0x1000;
	v.eip = 0x100000;
	v.next_eip = 0x100002;
}

/* The same machine in flat user mode. */
static void machine_user(void)
{
	machine_reset();
	v.cpl = 3;
	segment_set(&v, SEG_CS, UCS | 3, 0, 0xffffffff, A_CODE | A_DPL3 | SEG_DB | SEG_G);
	for (int n = 0; n <= SEG_GS; n++)
		if (n != SEG_CS)
			segment_set(&v, n, UDS | 3, 0, 0xffffffff, A_DATA | A_DPL3 | SEG_DB | SEG_G);
	v.regs[REG_ESP] = USTACK + 0x1000;
	v.sysflags = EFLAGS_IF;
}

static void find_direct(void)
{
	fake_direct = true;
}

static void add_machine_tests(Suite *s, const char *name, const TTest *const *tests, unsigned n)
{
	for (int direct = 0; direct < 2; direct++) {
		TCase *c = tcase_create(name);

		if (direct)
			tcase_add_checked_fixture(c, find_direct, NULL);
		for (unsigned k = 0; k < n; k++)
			tcase_add_test(c, tests[k]);
		suite_add_tcase(s, c);
	}
}

/* An instruction with a register operand, or with memory at DS:DATA. */
static struct emu_insn insn_reg(unsigned reg, unsigned rm, unsigned opsize)
{
	return (struct emu_insn){.opsize = (u8)opsize, .addrsize = 4, .stacksize = 4, .mod = 3, .reg = (u8)reg, .rm = (u8)rm};
}

static struct emu_insn insn_mem(unsigned reg, unsigned opsize)
{
	struct emu_insn i = insn_reg(reg, 0, opsize);

	i.mod = 0;
	i.has_mem = true;
	i.seg = SEG_DS;
	i.base = i.index = EMU_NO_REG;
	i.scale = 1;
	i.disp = DATA;
	return i;
}

#endif
