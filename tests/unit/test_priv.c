/*
 * Control registers, EFLAGS and port I/O: what is refused, with which fault, and when the dispatcher gets control back.
 *
 * monitor/priv.c and io_insn.c are compiled into the test once more, so that they meet the fake machine here: 64 KiB of linear memory,
 * without paging, which is also the guest's RAM.
 */
#include <check.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define lin_read	    priv_fake_lin_read
#define lin_write	    priv_fake_lin_write
#define lin_probe	    priv_fake_lin_probe
#define seg_linear	    priv_fake_seg_linear
#define raise_exception	    priv_fake_raise_exception
#define raise_error	    priv_fake_raise_error
#define real_vme_flags	    priv_fake_real_vme_flags
#define cr3_check	    priv_cr3_check
#define cr3_load	    priv_cr3_load
#define mmu_flush_all	    priv_fake_mmu_flush_all
#define mmu_flush_nonglobal priv_fake_mmu_flush_nonglobal
#define mmu_invlpg	    priv_fake_mmu_invlpg
#define io_read		    priv_fake_io_read
#define io_write	    priv_fake_io_write
#define fpu_save	    priv_fake_fpu_save
#define emu_lmsw	    priv_emu_lmsw
#define emu_mov_from_cr	    priv_emu_mov_from_cr
#define emu_mov_to_cr	    priv_emu_mov_to_cr
#define emu_mov_from_dr	    priv_emu_mov_from_dr
#define emu_mov_to_dr	    priv_emu_mov_to_dr
#define emu_clts	    priv_emu_clts
#define emu_invlpg	    priv_emu_invlpg
#define emu_wbinvd	    priv_emu_wbinvd
#define emu_hlt		    priv_emu_hlt
#define emu_rdtsc	    priv_emu_rdtsc
#define emu_rdtscp	    priv_emu_rdtscp
#define emu_rdpmc	    priv_emu_rdpmc
#define emu_rdmsr	    priv_emu_rdmsr
#define emu_wrmsr	    priv_emu_wrmsr
#define emu_cpuid	    priv_emu_cpuid
#define emu_cli		    priv_emu_cli
#define emu_sti		    priv_emu_sti
#define emu_pushf	    priv_emu_pushf
#define emu_popf	    priv_emu_popf
#define emu_rsm		    priv_emu_rsm
#define emu_ud		    priv_emu_ud
#define emu_nm		    priv_emu_nm
#define emu_in		    priv_emu_in
#define emu_out		    priv_emu_out
#define emu_ins		    priv_emu_ins
#define emu_outs	    priv_emu_outs

#include "monitor/priv.c"

#include "monitor/io_insn.c"

#define MEMORY 0x10000u
#define EIP    0x1000u

enum { NOTHING = -1 };

static jmp_buf env;
static int raised;
static u8 memory[MEMORY];
static struct vm vm;
static struct vcpu v;
static unsigned flushes, nonglobal_flushes, reads;
static u32 written;

_Noreturn void priv_fake_raise_error(struct vcpu *cpu, int vector, u32 error)
{
	(void)cpu, (void)error;
	raised = vector;
	longjmp(env, 1);
}
_Noreturn void priv_fake_raise_exception(struct vcpu *cpu, int vector)
{
	priv_fake_raise_error(cpu, vector, 0);
}
/* The real one is test_real.c's; this one marks its result. */
u32 priv_fake_real_vme_flags(struct vcpu *cpu, u32 image)
{
	return vcpu_eflags(cpu) | (image & EFLAGS_CF) | EFLAGS_VIF;
}
void priv_fake_lin_probe(struct vcpu *cpu, u32 linear, unsigned n, int acc)
{
	(void)acc;
	if (linear > MEMORY - n)
		priv_fake_raise_error(cpu, EXC_PF, 0);
}
u64 priv_fake_lin_read(struct vcpu *cpu, u32 linear, unsigned size, int acc)
{
	u64 x = 0;

	priv_fake_lin_probe(cpu, linear, size, acc);
	memcpy(&x, memory + linear, size);
	return x;
}
void priv_fake_lin_write(struct vcpu *cpu, u32 linear, u64 value, unsigned size, int acc)
{
	priv_fake_lin_probe(cpu, linear, size, acc);
	memcpy(memory + linear, &value, size);
}
u32 priv_fake_seg_linear(struct vcpu *cpu, int n, u32 off, unsigned size, int acc)
{
	(void)size, (void)acc;
	return cpu->seg[n].base + off;
}
void priv_fake_mmu_flush_all(struct vcpu *cpu)
{
	(void)cpu;
	flushes++;
}
void priv_fake_mmu_flush_nonglobal(struct vcpu *cpu)
{
	(void)cpu;
	nonglobal_flushes++;
}
void priv_fake_mmu_invlpg(struct vcpu *cpu, u32 linear)
{
	(void)cpu, (void)linear;
}
void priv_fake_fpu_save(struct vcpu *cpu)
{
	(void)cpu;
}
u32 priv_fake_io_read(struct vm *m, u16 port, unsigned size)
{
	(void)m, (void)size;
	reads++;
	return port;
}
void priv_fake_io_write(struct vm *m, u16 port, u32 value, unsigned size)
{
	(void)m, (void)port, (void)size;
	written = written << 8 | (value & 0xff);
}

static void setup(void)
{
	struct options o = {0};

	memset(&v, 0, sizeof(v));
	memset(memory, 0, sizeof(memory));
	v.vm = &vm;
	vm.mem = (struct memory){.ram = memory, .ram_size = MEMORY, .low_size = MEMORY, .a20_open = true};
	clock_set_tsc_hz(&vm.clock, 1000000000);
	cpu_model_apply(&v, &o);
	v.cr0 = CR0_PE | CR0_ET;
	v.eip = EIP;
	v.next_eip = EIP + 2;
	v.regs[REG_ESP] = 0x8000;
	flushes = nonglobal_flushes = reads = written = 0;
}

/* Runs a handler: its result, or 100 + the vector that it raised. */
static int run(emu_fn *fn, struct emu_insn i)
{
	if (!i.opsize)
		i.opsize = 4;
	i.stacksize = 4;
	if (!i.addrsize)
		i.addrsize = 4;
	v.eip = EIP;
	raised = NOTHING;
	if (!setjmp(env))
		return fn(&v, &i);
	ck_assert_uint_eq(v.eip, EIP);
	return 100 + raised;
}
#define RUN(name, ...) run(emu_##name, (struct emu_insn){__VA_ARGS__})

static int set_cr(unsigned n, u32 x)
{
	v.regs[REG_EBX] = x;
	return RUN(mov_to_cr, .reg = n, .rm = REG_EBX);
}

START_TEST(cr0)
{
	ck_assert_int_eq(set_cr(0, CR0_PG), 100 + EXC_GP);
	ck_assert_int_eq(set_cr(0, CR0_PE | CR0_NW), 100 + EXC_GP);
	ck_assert_int_eq(set_cr(0, 0), EMU_EXIT); /* real mode: hidden parts and CPL stay */
	ck_assert_uint_eq(v.cr0, CR0_ET);
	ck_assert_int_eq(set_cr(0, 0x8005003b & ~CR0_ET), EMU_EXIT);
	ck_assert_uint_eq(v.cr0, 0x8005003b);
	ck_assert_uint_eq(v.eip, EIP + 2);
	ck_assert_uint_eq(flushes, 1);
	ck_assert_int_eq(set_cr(0, 0x80050033), EMU_EXIT);
	ck_assert_uint_eq(flushes, 1);
	ck_assert_int_eq(RUN(mov_from_cr, .reg = 0, .rm = REG_ESI), EMU_NEXT);
	ck_assert_uint_eq(v.regs[REG_ESI], 0x80050033);
	ck_assert_int_eq(set_cr(1, 0), 100 + EXC_UD);
	ck_assert_int_eq(set_cr(8, 0), 100 + EXC_UD);
	v.cpl = 3;
	ck_assert_int_eq(set_cr(0, CR0_PE), 100 + EXC_GP);
	ck_assert_int_eq(RUN(mov_from_cr, .reg = 3), 100 + EXC_GP);
}
END_TEST

START_TEST(task_switched)
{
	v.regs[REG_EAX] = 0xfff8;
	ck_assert_int_eq(RUN(lmsw, .rm = REG_EAX), EMU_EXIT);
	ck_assert_uint_eq(v.cr0, CR0_PE | CR0_ET | CR0_TS);
	ck_assert_int_eq(RUN(clts), EMU_EXIT);
	ck_assert_uint_eq(v.cr0, CR0_PE | CR0_ET);
	ck_assert_int_eq(RUN(clts), EMU_NEXT);
	/* What is there already changes nothing; a reserved combination is refused all the same. */
	ck_assert_int_eq(set_cr(0, CR0_PE | CR0_ET), EMU_NEXT);
	ck_assert_int_eq(set_cr(0, CR0_PE | CR0_ET | CR0_TS), EMU_EXIT);
	ck_assert_int_eq(set_cr(0, CR0_PE | CR0_NW), 100 + EXC_GP);
}
END_TEST

START_TEST(cr4)
{
	v.features &= ~CPUF_VME;
	ck_assert_int_eq(set_cr(4, CR4_VME), 100 + EXC_GP);
	ck_assert_int_eq(set_cr(4, CR4_PVI), 100 + EXC_GP);
	v.features |= CPUF_VME;
	ck_assert_int_eq(set_cr(4, CR4_VME | CR4_PVI), EMU_EXIT);
	ck_assert_int_eq(set_cr(4, 0), EMU_EXIT);
	ck_assert_int_eq(set_cr(4, 0x2000), 100 + EXC_GP);
	ck_assert_int_eq(set_cr(4, 0x80000000), 100 + EXC_GP);
	ck_assert_int_eq(set_cr(4, CR4_OSFXSR | CR4_TSD), EMU_EXIT);
	ck_assert_uint_eq(flushes, 0);
	ck_assert_int_eq(set_cr(4, CR4_PGE), EMU_EXIT);
	ck_assert_uint_eq(flushes, 1);
	v.features &= ~CPUF_PGE;
	ck_assert_int_eq(set_cr(4, CR4_PGE), 100 + EXC_GP);
}
END_TEST

START_TEST(pdptes)
{
	u64 *p = (u64 *)(memory + 0x2020);

	p[0] = 0x5001;
	p[1] = 0x1e6; /* not present: anything goes */
	p[3] = 0xfffff7001ull & 0xffffff001ull;
	ck_assert_int_eq(set_cr(3, 0x2020), EMU_EXIT);
	ck_assert_uint_eq(v.pdpte[0], 0);
	ck_assert_int_eq(set_cr(4, CR4_PAE), EMU_EXIT);
	ck_assert_int_eq(set_cr(0, CR0_PE | CR0_PG), EMU_EXIT);
	ck_assert_uint_eq(v.pdpte[0], 0x5001);
	ck_assert_uint_eq(v.pdpte[1], 0x1e6);
	ck_assert_uint_eq(v.stats.cr3_loads, 1);
	p[2] = 1ull << 36 | 1;
	ck_assert_int_eq(set_cr(3, 0x2020), 100 + EXC_GP);
	ck_assert_uint_eq(v.pdpte[2], 0);
	p[2] = 0x3;
	ck_assert_int_eq(set_cr(3, 0x2020), 100 + EXC_GP);
	/* Outside RAM the bus reads as ones. */
	ck_assert_int_eq(set_cr(3, 0xfffff000), 100 + EXC_GP);
	ck_assert_uint_eq(v.cr3, 0x2020);
	p[2] = 0x8fe19; /* P, PWT, PCD, available bits, an address */
	ck_assert_int_eq(set_cr(3, 0x2020), EMU_EXIT);
	ck_assert_uint_eq(v.pdpte[2], 0x8fe19);
	ck_assert_uint_eq(nonglobal_flushes, 2);
}
END_TEST

START_TEST(debug_registers)
{
	v.dr[7] = 0x400;
	v.regs[REG_EBX] = 0xffffffff;
	ck_assert_int_eq(RUN(mov_to_dr, .reg = 4, .rm = REG_EBX), EMU_EXIT);
	ck_assert_uint_eq(v.dr[6], 0xffffeff0 | 0xf);
	v.cr4 = CR4_DE;
	ck_assert_int_eq(RUN(mov_to_dr, .reg = 5, .rm = REG_EBX), 100 + EXC_UD);
	ck_assert_int_eq(RUN(mov_to_dr, .reg = 7, .rm = REG_EBX), EMU_EXIT);
	ck_assert_uint_eq(v.dr[7], 0xffff27ff);
	v.dr[6] = DR6_FIXED;
	ck_assert_int_eq(RUN(mov_from_dr, .reg = 0, .rm = REG_EBX), 100 + EXC_DB);
	ck_assert_uint_eq(v.dr[6], DR6_FIXED | DR6_BD);
	ck_assert_int_eq(RUN(mov_from_dr, .reg = 7, .rm = REG_EBX), EMU_NEXT);
	ck_assert_uint_eq(v.regs[REG_EBX], 0xffff07ff);
}
END_TEST

static int pop_flags(u32 image, unsigned opsize)
{
	v.regs[REG_ESP] = 0x7ffc;
	memcpy(memory + 0x7ffc, &image, 4);
	return RUN(popf, .opsize = opsize);
}

START_TEST(flags)
{
	v.sysflags = EFLAGS_RF | EFLAGS_VIP;
	v.hflags = EFLAGS_CF | EFLAGS_DF | 0x8000;
	ck_assert_int_eq(RUN(pushf), EMU_NEXT);
	ck_assert_uint_eq(*(u32 *)(memory + 0x7ffc), EFLAGS_CF | EFLAGS_DF | EFLAGS_VIP | EFLAGS_FIXED);
	ck_assert_uint_eq(v.regs[REG_ESP], 0x7ffc);
	ck_assert_int_eq(pop_flags(0xffffffff & ~(EFLAGS_TF | EFLAGS_IF | EFLAGS_AC), 4), EMU_NEXT);
	ck_assert_uint_eq(vcpu_eflags(&v), EFLAGS_HOST | EFLAGS_VIP | EFLAGS_IOPL | EFLAGS_NT | EFLAGS_ID | EFLAGS_FIXED);
	ck_assert_uint_eq(v.regs[REG_ESP], 0x8000);
	ck_assert_int_eq(pop_flags(EFLAGS_IF, 4), EMU_EXIT);
	ck_assert_int_eq(pop_flags(EFLAGS_IF, 4), EMU_NEXT);
	ck_assert_int_eq(pop_flags(0, 4), EMU_NEXT);
	ck_assert_int_eq(pop_flags(EFLAGS_AC, 4), EMU_EXIT);
	ck_assert_int_eq(pop_flags(EFLAGS_TF, 2), EMU_EXIT);
	ck_assert_uint_eq(v.sysflags, EFLAGS_AC | EFLAGS_TF | EFLAGS_VIP);
	ck_assert_uint_eq(v.regs[REG_ESP], 0x7ffe);

	/* Outside ring 0: IOPL stays; IF only within IOPL, silently. */
	v.cpl = 3;
	v.sysflags = EFLAGS_IF;
	ck_assert_int_eq(pop_flags(EFLAGS_IOPL | EFLAGS_NT, 4), EMU_NEXT);
	ck_assert_uint_eq(v.sysflags, EFLAGS_IF | EFLAGS_NT);
	ck_assert_int_eq(RUN(cli), 100 + EXC_GP);
	ck_assert_int_eq(RUN(sti), 100 + EXC_GP);
	v.sysflags = EFLAGS_IOPL;
	ck_assert_int_eq(RUN(sti), EMU_EXIT);
	ck_assert_int_eq(v.shadow, SHADOW_STI);
	v.shadow = SHADOW_NONE;
	ck_assert_int_eq(RUN(sti), EMU_NEXT);
	ck_assert_int_eq(v.shadow, SHADOW_NONE);
	ck_assert_int_eq(RUN(cli), EMU_NEXT);
	ck_assert_uint_eq(v.sysflags, EFLAGS_IOPL);
	ck_assert_int_eq(RUN(hlt), 100 + EXC_GP);
	v.cr4 = CR4_TSD;
	ck_assert_int_eq(RUN(rdtsc), 100 + EXC_GP);
	ck_assert_int_eq(RUN(rdpmc), 100 + EXC_GP);
	ck_assert_int_eq(RUN(rdmsr), 100 + EXC_GP);
}
END_TEST

static int in_byte(u16 port)
{
	v.regs[REG_EDX] = port;
	return RUN(in, .opcode = 0xec, .opsize = 1);
}

START_TEST(port_permission)
{
	v.cpl = 3;
	v.seg[SEG_TR] = (struct segment){.base = 0x100, .limit = 0x67 + 4, .attr = SEG_P | DESC_TSS32_BUSY};
	memory[0x100 + 0x66] = 0x68;
	memory[0x100 + 0x68] = 0xfe;
	ck_assert_int_eq(in_byte(0), EMU_NEXT);
	ck_assert_int_eq(in_byte(1), 100 + EXC_GP);
	ck_assert_int_eq(in_byte(8), EMU_NEXT);
	ck_assert_int_eq(in_byte(23), EMU_NEXT);
	/* Byte 3 of the map is the limit's last: its second byte lies outside. */
	ck_assert_int_eq(in_byte(24), 100 + EXC_GP);
	ck_assert_int_eq(in_byte(0xffff), 100 + EXC_GP);
	v.regs[REG_EDX] = 15;
	ck_assert_int_eq(RUN(in, .opcode = 0xed, .opsize = 4), EMU_NEXT);
	memory[0x100 + 0x6a] = 4;
	ck_assert_int_eq(RUN(in, .opcode = 0xed, .opsize = 4), 100 + EXC_GP);
	ck_assert_int_eq(RUN(in, .opcode = 0xed, .opsize = 2), EMU_NEXT);
	v.seg[SEG_TR].limit = 0x66;
	ck_assert_int_eq(in_byte(0), 100 + EXC_GP);
	v.seg[SEG_TR] = (struct segment){.base = 0x100, .limit = 0x2000, .attr = SEG_P | DESC_TSS16_BUSY};
	ck_assert_int_eq(in_byte(0), 100 + EXC_GP);
	v.sysflags = EFLAGS_IOPL;
	ck_assert_int_eq(in_byte(0), EMU_NEXT);
	/* In virtual-8086 mode IOPL does not help. */
	v.sysflags = EFLAGS_IOPL | EFLAGS_VM;
	ck_assert_int_eq(in_byte(0), 100 + EXC_GP);
	v.seg[SEG_TR] = (struct segment){.base = 0x100, .limit = 0x67 + 4, .attr = SEG_P | DESC_TSS32_BUSY};
	ck_assert_int_eq(in_byte(0), EMU_NEXT);
	ck_assert_int_eq(in_byte(1), 100 + EXC_GP);
}
END_TEST

START_TEST(flags_v86)
{
	/* IOPL < 3 without VME, or with 32-bit operands: nothing. */
	v.cpl = 3;
	v.sysflags = EFLAGS_VM | 2 << EFLAGS_IOPL_SHIFT;
	for (unsigned n = 0; n < 2; n++) {
		v.cr4 = n ? CR4_VME : CR4_PVI;
		ck_assert_int_eq(RUN(pushf, .opsize = n ? 4 : 2), 100 + EXC_GP);
		ck_assert_int_eq(RUN(popf, .opsize = n ? 4 : 2), 100 + EXC_GP);
	}
	v.cr4 = CR4_PVI; /* is protected mode's */
	ck_assert_int_eq(RUN(cli), 100 + EXC_GP);
	ck_assert_int_eq(RUN(sti), 100 + EXC_GP);
	ck_assert_uint_eq(v.regs[REG_ESP], 0x8000);
	/* VME: VIF for IF. */
	v.cr4 = CR4_VME;
	v.sysflags = EFLAGS_VM | EFLAGS_IF;
	ck_assert_int_eq(RUN(sti), EMU_NEXT);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM | EFLAGS_IF | EFLAGS_VIF);
	ck_assert_int_eq(RUN(cli), EMU_NEXT);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM | EFLAGS_IF);
	ck_assert_int_eq(RUN(pushf, .opsize = 2), EMU_NEXT);
	ck_assert_uint_eq(*(u16 *)(memory + 0x7ffe), EFLAGS_IOPL | 2);
	v.sysflags |= EFLAGS_VIF;
	ck_assert_int_eq(RUN(pushf, .opsize = 2), EMU_NEXT);
	ck_assert_uint_eq(*(u16 *)(memory + 0x7ffc), EFLAGS_IOPL | EFLAGS_IF | 2);
	v.sysflags = EFLAGS_VM;
	ck_assert_int_eq(RUN(popf, .opsize = 2), EMU_NEXT);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM | EFLAGS_VIF); /* what the fake real_vme_flags says */
	ck_assert_uint_eq(v.regs[REG_ESP], 0x7ffe);
	v.sysflags = EFLAGS_VM | EFLAGS_VIP;
	ck_assert_int_eq(RUN(sti), 100 + EXC_GP);
	/* IOPL 3: the real flag, and IOPL stays. */
	v.sysflags = EFLAGS_VM | EFLAGS_IOPL;
	ck_assert_int_eq(RUN(sti), EMU_EXIT);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM | EFLAGS_IOPL | EFLAGS_IF);
	*(u32 *)(memory + 0x7ffe) = 0;
	ck_assert_int_eq(RUN(popf, .opsize = 2), EMU_NEXT);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VM | EFLAGS_IOPL);
	/* Protected-mode virtual interrupts, in ring 3 alone; PUSHF shows the flags as they are. */
	v.cr4 = CR4_PVI;
	v.sysflags = 0;
	ck_assert_int_eq(RUN(sti), EMU_NEXT);
	ck_assert_uint_eq(v.sysflags, EFLAGS_VIF);
	ck_assert_int_eq(RUN(pushf), EMU_NEXT);
	ck_assert_uint_eq(*(u32 *)(memory + 0x7ffc), EFLAGS_VIF | 2);
	v.cpl = 2;
	ck_assert_int_eq(RUN(cli), 100 + EXC_GP);
}
END_TEST

START_TEST(port_strings)
{
	/* A destination that faults must not have consumed from the device. */
	v.regs[REG_EDX] = 0x42;
	v.regs[REG_EDI] = MEMORY - 2;
	v.regs[REG_ECX] = 5;
	ck_assert_int_eq(RUN(ins, .opsize = 1, .rep = true), 100 + EXC_PF);
	ck_assert_uint_eq(reads, 2);
	ck_assert_uint_eq(v.regs[REG_ECX], 3);
	ck_assert_uint_eq(v.regs[REG_EDI], MEMORY);
	ck_assert_uint_eq(memory[MEMORY - 1], 0x42);

	memcpy(memory + 0x300, "\1\2\3\4", 4);
	v.regs[REG_ESI] = 0x303;
	v.regs[REG_ECX] = 4;
	v.hflags = EFLAGS_DF;
	ck_assert_int_eq(RUN(outs, .opsize = 1, .rep = true, .seg = SEG_DS), EMU_NEXT);
	ck_assert_uint_eq(written, 0x04030201);
	ck_assert_uint_eq(v.regs[REG_ESI], 0x2ff);
	ck_assert_int_eq(RUN(outs, .opsize = 1, .rep = true, .seg = SEG_DS), EMU_NEXT);
	ck_assert_uint_eq(written, 0x04030201);

	/* Long ones come back with EIP unchanged, so do those that an interrupt is due in. */
	v.hflags = 0;
	v.regs[REG_ECX] = 100;
	v.regs[REG_ESI] = 0;
	ck_assert_int_eq(RUN(outs, .opsize = 2, .rep = true, .seg = SEG_DS), EMU_EXIT);
	ck_assert_uint_eq(v.regs[REG_ECX], 36);
	ck_assert_uint_eq(v.eip, EIP);
	v.events = EV_INTR;
	v.sysflags = EFLAGS_IF;
	ck_assert_int_eq(RUN(outs, .opsize = 2, .rep = true, .seg = SEG_DS), EMU_EXIT);
	ck_assert_uint_eq(v.regs[REG_ECX], 35);
	v.regs[REG_ECX] = 1;
	ck_assert_int_eq(RUN(outs, .opsize = 2, .rep = true, .seg = SEG_DS), EMU_EXIT);
	ck_assert_uint_eq(v.eip, EIP + 2);
}
END_TEST

Suite *priv_suite(void);
Suite *priv_suite(void)
{
	Suite *s = suite_create("priv");
	TCase *t = tcase_create("priv");

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, cr0);
	tcase_add_test(t, task_switched);
	tcase_add_test(t, cr4);
	tcase_add_test(t, pdptes);
	tcase_add_test(t, debug_registers);
	tcase_add_test(t, flags);
	tcase_add_test(t, flags_v86);
	tcase_add_test(t, port_permission);
	tcase_add_test(t, port_strings);
	suite_add_tcase(s, t);
	return s;
}
