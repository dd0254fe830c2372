/*
 * Privileged and flag instructions: control and debug registers, MSRs, CPUID, the TSC, CLI/STI/PUSHF/POPF, HLT.
 *
 * Invariants: privilege, reserved bits and memory are checked before anything changes. A handler that changes what translated code was made
 * for (CR0, CR3, CR4, DR7, TF, AC), or that enables interrupts, returns EMU_EXIT.
 */
#include "monitor/cpuid.h"
#include "monitor/emulate.h"
#include "monitor/memory.h"
#include "monitor/msr.h"
#include "monitor/priv.h"
#include "monitor/segment.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define CR0_DEFINED (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
/* A present PDPTE's reserved bits, SDM Vol. 3A table 4-8. */
#define PDPTE_P	       1ull
#define PDPTE_RESERVED (0x1e6ull | ~((1ull << CPU_PHYS_BITS) - 1))
#define DR6_FIXED      0xffff0ff0u /* SDM Vol. 3B 17.2.3 */
#define DR6_DEFINED    0x0000e00fu
#define DR6_BD	       0x00002000u
#define DR7_FIXED      0x00000400u
#define DR7_DEFINED    0xffff23ffu
#define DR7_GD	       0x00002000u

static int done_exit(struct vcpu *v)
{
	v->eip = v->next_eip;
	return EMU_EXIT;
}

static void need_cpl0(struct vcpu *v)
{
	if (unlikely(v->cpl != 0))
		raise_error(v, EXC_GP, 0);
}

static void need_feature(struct vcpu *v, u64 feature)
{
	if (unlikely(!(v->features & feature)))
		raise_exception(v, EXC_UD);
}

/* --- control registers --- */

/* Reads the PAE PDPTEs from cr3's page, SDM Vol. 3A 4.4.1: #GP(0) if a present one has reserved bits set. */
static void read_pdptes(struct vcpu *v, u32 cr3, u64 *pdpte)
{
	const struct memory *m = &v->vm->mem;
	u64 pa = cr3 & ~31u;
	const u8 *p;

	if (!m->a20_open)
		pa &= ~(1ull << 20);
	p = ram_ptr(m, pa);
	for (unsigned i = 0; i < 4; i++) {
		/* 32-byte aligned, so all four are in one page. Outside RAM the bus reads as ones. */
		pdpte[i] = p ? __atomic_load_n((const u64 *)p + i, __ATOMIC_RELAXED) : ~0ull;
		if ((pdpte[i] & PDPTE_P) && (pdpte[i] & PDPTE_RESERVED))
			raise_error(v, EXC_GP, 0);
	}
}

static void load_pdptes(struct vcpu *v, u32 cr3)
{
	u64 pdpte[4];

	read_pdptes(v, cr3, pdpte);
	for (unsigned i = 0; i < 4; i++)
		v->pdpte[i] = pdpte[i];
}

/* False: nothing has changed. */
static bool write_cr0(struct vcpu *v, u32 x)
{
	u32 changed;

	x = (x & CR0_DEFINED) | CR0_ET;
	if ((x & (CR0_PG | CR0_PE)) == CR0_PG || (x & (CR0_NW | CR0_CD)) == CR0_NW)
		raise_error(v, EXC_GP, 0);
	changed = x ^ v->cr0;
	if (!changed)
		return false;
	if ((changed & (CR0_PG | CR0_CD | CR0_NW)) && (x & CR0_PG) && (v->cr4 & CR4_PAE))
		load_pdptes(v, v->cr3);
	v->cr0 = x;
	/* What real mode loads in the cache has no descriptor. */
	if (!(x & CR0_PE) && (changed & CR0_PE))
		for (int n = 0; n < SEG_COUNT; n++)
			v->seg[n].raw = 0;
	if (changed & (CR0_PG | CR0_WP))
		mmu_flush_all(v);
	return true;
}

void cr3_check(struct vcpu *v, u32 x)
{
	u64 pdpte[4];

	if ((v->cr0 & CR0_PG) && (v->cr4 & CR4_PAE))
		read_pdptes(v, x, pdpte);
}

void cr3_load(struct vcpu *v, u32 x)
{
	if ((v->cr0 & CR0_PG) && (v->cr4 & CR4_PAE))
		load_pdptes(v, x);
	trace_to(LOG_MMU, "mmu: CR3 %08x -> %08x (eip %08x)\n", v->cr3, x, v->eip);
	v->cr3 = x;
	v->stats.cr3_loads++;
	mmu_flush_nonglobal(v);
}

/* The bits of CR4 that the CPU model has, SDM Vol. 3A 2.5. */
static u32 cr4_allowed(const struct vcpu *v)
{
	static const struct {
		u64 feature;
		u32 bits;
	} bits[] = {
		{CPUF_VME, CR4_VME | CR4_PVI}, {CPUF_TSC, CR4_TSD},	   {CPUF_DE, CR4_DE},	{CPUF_PSE, CR4_PSE},
		{CPUF_PAE, CR4_PAE},	       {CPUF_MCE, CR4_MCE},	   {CPUF_PGE, CR4_PGE}, {CPUF_MMX, CR4_PCE},
		{CPUF_FXSR, CR4_OSFXSR},       {CPUF_SSE, CR4_OSXMMEXCPT},
	};
	u32 r = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
		if (v->features & bits[i].feature)
			r |= bits[i].bits;
	return r;
}

static void write_cr4(struct vcpu *v, u32 x)
{
	u32 changed = x ^ v->cr4;

	if (x & ~cr4_allowed(v))
		raise_error(v, EXC_GP, 0);
	if ((changed & (CR4_PAE | CR4_PGE | CR4_PSE)) && (x & CR4_PAE) && (v->cr0 & CR0_PG))
		load_pdptes(v, v->cr3);
	v->cr4 = x;
	if (x & CR4_TSD)
		tsc_stop(v);
	if (changed & (CR4_PAE | CR4_PGE | CR4_PSE))
		mmu_flush_all(v);
}

int emu_mov_to_cr(struct vcpu *v, const struct emu_insn *i)
{
	u32 x = v->regs[i->rm];

	if (i->reg == 1 || i->reg > 4)
		raise_exception(v, EXC_UD);
	need_cpl0(v);
	switch (i->reg) {
	case 0:
		if (!write_cr0(v, x))
			return EMU_NEXT;
		break;
	case 2:
		v->cr2 = x;
		break;
	case 3:
		cr3_load(v, x);
		break;
	case 4:
		write_cr4(v, x);
		break;
	}
	return done_exit(v);
}

int emu_mov_from_cr(struct vcpu *v, const struct emu_insn *i)
{
	u32 x = 0;

	if (i->reg == 1 || i->reg > 4)
		raise_exception(v, EXC_UD);
	need_cpl0(v);
	switch (i->reg) {
	case 0:
		x = v->cr0;
		break;
	case 2:
		x = v->cr2;
		break;
	case 3:
		x = v->cr3;
		break;
	case 4:
		x = v->cr4;
		break;
	}
	v->regs[i->rm] = x;
	return EMU_NEXT;
}

/* PE, MP, EM and TS; PE can be set but not cleared. */
int emu_lmsw(struct vcpu *v, const struct emu_insn *i)
{
	u32 x;

	need_cpl0(v);
	x = emu_rm_read(v, i, 2);
	v->cr0 = (v->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (x & (CR0_PE | CR0_MP | CR0_EM | CR0_TS));
	return done_exit(v);
}

int emu_clts(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	need_cpl0(v);
	if (!(v->cr0 & CR0_TS))
		return EMU_NEXT;
	v->cr0 &= ~CR0_TS;
	return done_exit(v);
}

/* Limits are not checked, SDM Vol. 2A, INVLPG. */
int emu_invlpg(struct vcpu *v, const struct emu_insn *i)
{
	if (!i->has_mem)
		raise_exception(v, EXC_UD);
	need_cpl0(v);
	mmu_invlpg(v, v->seg[i->seg].base + emu_ea(v, i));
	return done_exit(v);
}

/* Caches are coherent: nothing to do. */
int emu_wbinvd(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	need_cpl0(v);
	return EMU_NEXT;
}

/* --- debug registers, SDM Vol. 3B 17.2 --- */

/* The register that number n means; raises what both directions raise. */
static unsigned debug_register(struct vcpu *v, unsigned n)
{
	need_cpl0(v);
	if (n == 4 || n == 5) {
		if (v->cr4 & CR4_DE)
			raise_exception(v, EXC_UD);
		n += 2;
	}
	if (v->dr[7] & DR7_GD) {
		v->dr[6] |= DR6_BD;
		v->dr[7] &= ~DR7_GD;
		raise_exception(v, EXC_DB);
	}
	return n;
}

int emu_mov_from_dr(struct vcpu *v, const struct emu_insn *i)
{
	v->regs[i->rm] = v->dr[debug_register(v, i->reg & 7)];
	return EMU_NEXT;
}

int emu_mov_to_dr(struct vcpu *v, const struct emu_insn *i)
{
	unsigned n = debug_register(v, i->reg & 7);
	u32 x = v->regs[i->rm];

	if (n == 6)
		x = (x & DR6_DEFINED) | DR6_FIXED;
	else if (n == 7)
		x = (x & DR7_DEFINED) | DR7_FIXED;
	v->dr[n] = x;
	return done_exit(v);
}

/* --- time, counters, MSRs, CPUID --- */

static void set_edx_eax(struct vcpu *v, u64 x)
{
	v->regs[REG_EAX] = (u32)x;
	v->regs[REG_EDX] = (u32)(x >> 32);
}

static void read_tsc(struct vcpu *v)
{
	if ((v->cr4 & CR4_TSD) && v->cpl != 0)
		raise_error(v, EXC_GP, 0);
	set_edx_eax(v, tsc_read(v));
}

int emu_rdtsc(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	need_feature(v, CPUF_TSC);
	read_tsc(v);
	return EMU_NEXT;
}

int emu_rdtscp(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	need_feature(v, CPUF_RDTSCP);
	read_tsc(v);
	v->regs[REG_ECX] = (u32)v->tsc_aux;
	return EMU_NEXT;
}

int emu_rdpmc(struct vcpu *v, const struct emu_insn *i)
{
	u64 x;

	(void)i;
	if (v->cpl != 0 && !(v->cr4 & CR4_PCE))
		raise_error(v, EXC_GP, 0);
	if (!msr_rdpmc(v, v->regs[REG_ECX], &x))
		raise_error(v, EXC_GP, 0);
	set_edx_eax(v, x);
	return EMU_NEXT;
}

int emu_rdmsr(struct vcpu *v, const struct emu_insn *i)
{
	u64 x;

	(void)i;
	need_feature(v, CPUF_MSR);
	need_cpl0(v);
	if (!msr_read(v, v->regs[REG_ECX], &x))
		raise_error(v, EXC_GP, 0);
	set_edx_eax(v, x);
	return EMU_NEXT;
}

int emu_wrmsr(struct vcpu *v, const struct emu_insn *i)
{
	u64 efer = v->efer, apic_base = v->apic_base;

	(void)i;
	need_feature(v, CPUF_MSR);
	need_cpl0(v);
	if (!msr_write(v, v->regs[REG_ECX], (u64)v->regs[REG_EDX] << 32 | v->regs[REG_EAX]))
		raise_error(v, EXC_GP, 0);
	/* These two change what linear and physical addresses mean. */
	return v->efer == efer && v->apic_base == apic_base ? EMU_NEXT : done_exit(v);
}

int emu_cpuid(struct vcpu *v, const struct emu_insn *i)
{
	u32 out[4];

	(void)i;
	cpuid(v, v->regs[REG_EAX], v->regs[REG_ECX], out);
	v->regs[REG_EAX] = out[0];
	v->regs[REG_EBX] = out[1];
	v->regs[REG_ECX] = out[2];
	v->regs[REG_EDX] = out[3];
	return EMU_NEXT;
}

/* --- the interrupt flag, and EFLAGS as a whole --- */

int emu_hlt(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	need_cpl0(v);
	v->halted = true;
	return done_exit(v);
}

/*
 * Where IOPL keeps CLI and STI from IF, do they change VIF instead (SDM Vol. 3A 20.3.3.5 and 20.4)? Raises #GP(0) if neither is allowed.
 */
static bool uses_vif(struct vcpu *v)
{
	if (v->cpl <= vcpu_iopl(v))
		return false;
	if (v->cpl != 3 || !(v->cr4 & (is_v86(v) ? CR4_VME : CR4_PVI)))
		raise_error(v, EXC_GP, 0);
	return true;
}

int emu_cli(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	if (uses_vif(v)) {
		v->sysflags &= ~EFLAGS_VIF;
		return EMU_NEXT;
	}
	v->sysflags &= ~EFLAGS_IF;
	return EMU_NEXT;
}

int emu_sti(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	if (uses_vif(v)) {
		if (v->sysflags & EFLAGS_VIP)
			raise_error(v, EXC_GP, 0);
		v->sysflags |= EFLAGS_VIF;
		return EMU_NEXT;
	}
	if (v->sysflags & EFLAGS_IF)
		return EMU_NEXT;
	v->sysflags |= EFLAGS_IF;
	v->shadow = SHADOW_STI;
	return done_exit(v);
}

/* In virtual-8086 mode with IOPL < 3, PUSHF and POPF are for CR4.VME and 16 bits only (SDM Vol. 3A 20.3.3.4). */
static bool is_restricted(struct vcpu *v, const struct emu_insn *i)
{
	if (!is_v86(v) || vcpu_iopl(v) == 3)
		return false;
	if (!(v->cr4 & CR4_VME) || i->opsize != 2)
		raise_error(v, EXC_GP, 0);
	return true;
}

int emu_pushf(struct vcpu *v, const struct emu_insn *i)
{
	u32 sp = v->regs[REG_ESP] - i->opsize, x = vcpu_eflags(v) & ~(EFLAGS_VM | EFLAGS_RF);

	if (is_restricted(v, i))
		x = (x & ~EFLAGS_IF) | EFLAGS_IOPL | (x & EFLAGS_VIF ? EFLAGS_IF : 0);
	if (i->stacksize == 2)
		sp &= 0xffff;
	seg_write(v, SEG_SS, sp, x, i->opsize);
	reg_set(v, REG_ESP, i->stacksize, sp);
	return EMU_NEXT;
}

/* SDM Vol. 2B, POPF, table 4-16. */
int emu_popf(struct vcpu *v, const struct emu_insn *i)
{
	u32 old = vcpu_eflags(v), sp = v->regs[REG_ESP], mask, x, turned_on;
	bool restricted = is_restricted(v, i);

	x = (u32)seg_read(v, SEG_SS, i->stacksize == 2 ? sp & 0xffff : sp, i->opsize);
	mask = EFLAGS_HOST | EFLAGS_TF | EFLAGS_NT;
	if (i->opsize == 4)
		mask |= EFLAGS_AC | EFLAGS_ID;
	if (v->cpl <= vcpu_iopl(v))
		mask |= EFLAGS_IF;
	if (v->cpl == 0)
		mask |= EFLAGS_IOPL;
	x = restricted ? real_vme_flags(v, x) : (x & mask) | (old & ~mask & ~EFLAGS_RF);
	reg_set(v, REG_ESP, i->stacksize, sp + i->opsize);
	vcpu_set_eflags(v, x);
	turned_on = x & ~old;
	if ((x & EFLAGS_TF) || ((x ^ old) & (EFLAGS_TF | EFLAGS_AC)) || (turned_on & EFLAGS_IF))
		return done_exit(v);
	return EMU_NEXT;
}

/* --- what is never there --- */

int emu_ud(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	raise_exception(v, EXC_UD);
}

int emu_nm(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	raise_exception(v, EXC_NM);
}

/* Outside system-management mode, SDM Vol. 2B, RSM. */
int emu_rsm(struct vcpu *v, const struct emu_insn *i)
{
	return emu_ud(v, i);
}
