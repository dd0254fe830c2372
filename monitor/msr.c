/*
 * Model-specific registers, see msr.h.
 *
 * Most are a field of the vCPU with a mask of the bits that may be written; the others have functions. An MSR that a model does not have is
 * #GP, as on the machine, for that is how kernels probe. What is here beyond the architectural ones is what kernels read without asking on
 * the CPU models that cpuid.c offers.
 */
#include "monitor/msr.h"

#include "monitor/cpuid.h"
#include "monitor/devices/lapic.h"
#include "monitor/log.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

/* Slots of v->msr_store. */
enum {
	STORE_PERFSEL,
	STORE_PERFCTR = STORE_PERFSEL + 4,
	STORE_HWCR = STORE_PERFCTR + 4,
	STORE_SYSCFG,
	STORE_COUNT,
};
_Static_assert(STORE_COUNT <= ARRAY_SIZE(((struct vcpu *)0)->msr_store), "msr_store is too small");

#define PHYS_MASK	    ((1ull << CPU_PHYS_BITS) - 1)
#define MTRR_VAR_COUNT	    8
#define MTRRCAP		    (MTRR_VAR_COUNT | 1u << 8 | 1u << 10) /* fixed ranges, write-combining */
#define MTRR_DEF_E	    0x800ull
#define MTRR_DEF_FE	    0x400ull
#define MTRR_MASK_VALID	    0x800ull
#define MTRR_WB		    6
#define MTRR_ALL(type)	    ((type)*0x0101010101010101ull)
#define PAT_RESET	    0x0007040600070406ull
#define MISC_ENABLE_DEFAULT 0x00001801ull /* fast strings; no branch trace store, no PEBS */
#define MISC_ENABLE_WRITE   0x00450009ull /* fast strings, thermal control, SpeedStep, MONITOR FSM, limit CPUID maximum */
#define MISC_ENABLE_FIXED   0x00001800ull
#define APIC_BASE_RESET	    0xfee00900ull
#define APIC_BASE_BSP	    0x100ull
#define CLOCK_RATIO	    12ull	/* of the bus clock */
#define UCODE_INTEL	    0x219u	/* recent enough for kernels to trust an early Atom's large pages */
#define PATCH_LEVEL_AMD	    0x010000afu /* a level that kernels know as final: they look for no update */
/*
 * IA32_ARCH_CAPABILITIES: RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO,
 * GDS_NO, RFDS_NO, ITS_NO. A guest's own mitigations would not reach the host's CPU anyhow: that is the host kernel's task.
 */
#define ARCH_CAPABILITIES (0x0c10e179ull | 1ull << 62)

/* Which models have it. */
enum msr_model { ANY, P5, P6_MODEL, P6_PERF, P6_SPEED, AMD };

struct msr {
	u32 first, count;
	enum msr_model model;
	u64 feature; /* all of these, or 0 */
	/* NULL: the field. A false result is #GP. n is the index from `first`. */
	bool (*read)(struct vcpu *v, const struct msr *m, u32 n, u64 *x);
	bool (*write)(struct vcpu *v, const struct msr *m, u32 n, u64 x);
	u16 field, size; /* offset in struct vcpu; 4 or 8 bytes */
	u64 mask;	 /* bits of the field that may be written, or the constant of read_const */
};

/* --- generic ones --- */

static bool read_field(struct vcpu *v, const struct msr *m, u32 n, u64 *x)
{
	const u8 *p = (const u8 *)v + m->field + n * m->size;

	*x = m->size == 8 ? *(const u64 *)p : *(const u32 *)p;
	return true;
}

static bool write_field(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	u8 *p = (u8 *)v + m->field + n * m->size;

	if (x & ~m->mask)
		return false;
	if (m->size == 8)
		*(u64 *)p = x;
	else
		*(u32 *)p = (u32)x;
	return true;
}

static bool read_const(struct vcpu *v, const struct msr *m, u32 n, u64 *x)
{
	(void)v, (void)n;
	*x = m->mask;
	return true;
}

static bool write_none(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	(void)v, (void)m, (void)n, (void)x;
	return false;
}

static bool write_ignore(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	(void)v, (void)m, (void)n, (void)x;
	return true;
}

/* Only a value that changes nothing. */
static bool write_same(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	(void)v, (void)n;
	return x == m->mask;
}

/* --- particular ones --- */

static bool read_tsc(struct vcpu *v, const struct msr *m, u32 n, u64 *x)
{
	(void)m, (void)n;
	*x = tsc_read(v);
	return true;
}

static bool write_tsc(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	(void)m, (void)n;
	clock_set_tsc(&v->vm->clock, x);
	tsc_restart(v);
	return true;
}

/* The microcode's revision is in the high half for Intel, in the low one for AMD. */
static bool read_ucode(struct vcpu *v, const struct msr *m, u32 n, u64 *x)
{
	(void)m, (void)n;
	*x = v->model->vendor == CPU_INTEL ? (u64)UCODE_INTEL << 32 : PATCH_LEVEL_AMD;
	return true;
}

/* SDM Vol. 3A 4.1.4: NXE exists with the feature; long mode's bits never do. */
static bool write_efer(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	u64 old = v->efer;

	(void)m, (void)n;
	if (x & ~(u64)EFER_NXE)
		return false;
	v->efer = x;
	if (x != old)
		mmu_flush_all(v);
	return true;
}

bool msr_pat_valid(u64 pat)
{
	for (unsigned i = 0; i < 8; i++) {
		u8 type = (u8)(pat >> 8 * i);

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static bool write_pat(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	(void)m, (void)n;
	if (!msr_pat_valid(x))
		return false;
	v->pat = x;
	return true;
}

/* Base and global enable; the processor stays the bootstrap one, and x2APIC mode is not offered. SDM Vol. 3A 10.4.4. */
static bool write_apic_base(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	struct vm *vm = v->vm;

	(void)m, (void)n;
	if (x & ~(LAPIC_BASE_WRITABLE | APIC_BASE_BSP))
		return false;
	v->apic_base = x | APIC_BASE_BSP;
	if (!vm->lapic)
		return true;
	fpu_park(v);
	pthread_mutex_lock(&vm->lock);
	lapic_set_base(vm->lapic, v->apic_base);
	pthread_mutex_unlock(&vm->lock);
	return true;
}

static bool read_tsc_deadline(struct vcpu *v, const struct msr *m, u32 n, u64 *x)
{
	struct vm *vm = v->vm;

	(void)m, (void)n;
	fpu_park(v);
	pthread_mutex_lock(&vm->lock);
	*x = vm->lapic ? lapic_tsc_deadline(vm->lapic) : 0;
	pthread_mutex_unlock(&vm->lock);
	return true;
}

static bool write_tsc_deadline(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	struct vm *vm = v->vm;

	(void)m, (void)n;
	fpu_park(v);
	pthread_mutex_lock(&vm->lock);
	if (vm->lapic)
		lapic_set_tsc_deadline(vm->lapic, x);
	pthread_mutex_unlock(&vm->lock);
	return true;
}

static bool write_misc_enable(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	(void)m, (void)n;
	if (x & ~(MISC_ENABLE_WRITE | MISC_ENABLE_FIXED))
		return false;
	v->misc_enable = (x & MISC_ENABLE_WRITE) | MISC_ENABLE_FIXED;
	return true;
}

/* SDM Vol. 3A table 11-8. */
static bool mtrr_type_valid(u64 type)
{
	return type <= 6 && type != 2 && type != 3;
}

static bool write_mtrr_def_type(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	(void)m, (void)n;
	if ((x & ~(0xffull | MTRR_DEF_E | MTRR_DEF_FE)) || !mtrr_type_valid(x & 0xff))
		return false;
	v->mtrr_def_type = x;
	return true;
}

static bool write_mtrr_fixed(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	for (unsigned i = 0; i < 8; i++)
		if (!mtrr_type_valid(x >> 8 * i & 0xff))
			return false;
	*(u64 *)((u8 *)v + m->field + n * 8) = x;
	return true;
}

/* Pairs of base and mask. */
static bool read_mtrr_var(struct vcpu *v, const struct msr *m, u32 n, u64 *x)
{
	(void)m;
	*x = n & 1 ? v->mtrr_mask[n / 2] : v->mtrr_base[n / 2];
	return true;
}

static bool write_mtrr_var(struct vcpu *v, const struct msr *m, u32 n, u64 x)
{
	(void)m;
	if (n & 1) {
		if (x & (~PHYS_MASK | 0x7ff))
			return false;
		v->mtrr_mask[n / 2] = x;
	} else {
		if ((x & (~PHYS_MASK | 0xf00)) || !mtrr_type_valid(x & 0xff))
			return false;
		v->mtrr_base[n / 2] = x;
	}
	return true;
}

/* --- the table --- */

#define FIELD(f, s, m)	   .field = offsetof(struct vcpu, f), .size = (s), .mask = (m)
#define STORE(slot, m)	   .field = offsetof(struct vcpu, msr_store) + 8 * (slot), .size = 8, .mask = (m)
#define CONSTANT(value, w) .read = read_const, .write = (w), .mask = (value)

static const struct msr msrs[] = {
	/* P5_MC_ADDR, P5_MC_TYPE */
	{0x000, 2, P5, CPUF_MCE, CONSTANT(0, write_ignore)},
	{0x010, 1, ANY, CPUF_TSC, .read = read_tsc, .write = write_tsc},
	{0x01b, 1, ANY, CPUF_APIC, .write = write_apic_base, FIELD(apic_base, 8, 0)},
	{0x6e0, 1, ANY, CPUF_TSC_DEADLINE, .read = read_tsc_deadline, .write = write_tsc_deadline},
	/* IA32_PLATFORM_ID */
	{0x017, 1, P6_MODEL, 0, CONSTANT(0, write_none)},
	/* IA32_BIOS_SIGN_ID, PATCH_LEVEL; kernels write 0 before they read */
	{0x08b, 1, ANY, 0, .read = read_ucode, .write = write_ignore},
	/* MSR_EBL_CR_POWERON; memory testers take the clock ratio from it and from IA32_PERF_STATUS without asking CPUID for SpeedStep */
	{0x02a, 1, P6_MODEL, 0, CONSTANT(CLOCK_RATIO << 22, write_same)},
	/* P6 PerfCtr0-1, PerfEvtSel0-1 */
	{0x0c1, 2, P6_PERF, 0, STORE(STORE_PERFCTR, 0xffffffffffull)},
	{0x186, 2, P6_PERF, 0, STORE(STORE_PERFSEL, 0xffffffffull)},
	/* IA32_PERF_STATUS: the highest ratio and the current one */
	{0x198, 1, P6_SPEED, 0, CONSTANT(CLOCK_RATIO << 40 | CLOCK_RATIO << 8, write_none)},
	{0x0fe, 1, ANY, CPUF_MTRR, CONSTANT(MTRRCAP, write_none)},
	{0x10a, 1, ANY, CPUF_ARCH_CAPABILITIES, CONSTANT(ARCH_CAPABILITIES, write_none)},
	/* IA32_SYSENTER_CS, _ESP, _EIP; the upper halves do not exist without long mode */
	{0x174, 1, ANY, CPUF_SEP, FIELD(sysenter_cs, 4, ~0ull)},
	{0x175, 1, ANY, CPUF_SEP, FIELD(sysenter_esp, 4, ~0ull)},
	{0x176, 1, ANY, CPUF_SEP, FIELD(sysenter_eip, 4, ~0ull)},
	/* IA32_MCG_CAP: no banks; IA32_MCG_STATUS */
	{0x179, 1, ANY, CPUF_MCA, CONSTANT(0, write_none)},
	{0x17a, 1, ANY, CPUF_MCA, FIELD(mcg_status, 8, 7)},
	{0x1a0, 1, P6_MODEL, 0, .write = write_misc_enable, FIELD(misc_enable, 8, 0)},
	/* IA32_DEBUGCTL: neither branch recording nor single-step on branches */
	{0x1d9, 1, P6_MODEL, 0, CONSTANT(0, write_same)},
	{0x1d9, 1, AMD, 0, CONSTANT(0, write_same)},
	{0x200, 2 * MTRR_VAR_COUNT, ANY, CPUF_MTRR, .read = read_mtrr_var, .write = write_mtrr_var},
	{0x250, 1, ANY, CPUF_MTRR, .write = write_mtrr_fixed, FIELD(mtrr_fixed[0], 8, 0)},
	{0x258, 2, ANY, CPUF_MTRR, .write = write_mtrr_fixed, FIELD(mtrr_fixed[1], 8, 0)},
	{0x268, 8, ANY, CPUF_MTRR, .write = write_mtrr_fixed, FIELD(mtrr_fixed[3], 8, 0)},
	{0x277, 1, ANY, CPUF_PAT, .write = write_pat, FIELD(pat, 8, 0)},
	{0x2ff, 1, ANY, CPUF_MTRR, .write = write_mtrr_def_type, FIELD(mtrr_def_type, 8, 0)},
	{0xc0000080, 1, ANY, CPUF_NX, .write = write_efer, FIELD(efer, 8, 0)},
	{0xc0000103, 1, ANY, CPUF_RDTSCP, FIELD(tsc_aux, 8, 0xffffffffull)},
	/* K7 PERF_CTL0-3, PERF_CTR0-3 */
	{0xc0010000, 4, AMD, 0, STORE(STORE_PERFSEL, 0xffffffffull)},
	{0xc0010004, 4, AMD, 0, STORE(STORE_PERFCTR, 0xffffffffffffull)},
	/* SYSCFG, HWCR */
	{0xc0010010, 1, AMD, 0, STORE(STORE_SYSCFG, ~0ull)},
	{0xc0010015, 1, AMD, 0, STORE(STORE_HWCR, 0xffffffffull)},
};

static bool model_has(const struct vcpu *v, enum msr_model which)
{
	const struct cpu_model *m = v->model;

	switch (which) {
	case P5:
		return m->vendor == CPU_INTEL && m->family == 5;
	case P6_MODEL:
		return m->vendor == CPU_INTEL && m->family == 6;
	case P6_PERF:
		/* Later models have architectural counters, which CPUID leaf 0AH says are absent. */
		return m->vendor == CPU_INTEL && m->family == 6 && m->model < 12;
	case P6_SPEED:
		/* Pentium M and later, SDM Vol. 4, chapter 2. */
		return m->vendor == CPU_INTEL && m->family == 6 && m->model >= 13;
	case AMD:
		return m->vendor == CPU_AMD;
	case ANY:
		break;
	}
	return true;
}

static const struct msr *find(const struct vcpu *v, u32 index)
{
	for (const struct msr *m = msrs; m < msrs + ARRAY_SIZE(msrs); m++)
		if (index - m->first < m->count && model_has(v, m->model) && (v->features & m->feature) == m->feature)
			return m;
	return NULL;
}

static void complain(struct vcpu *v, const char *what, u32 index, u64 value, const char *why)
{
	u32 category = log_mask & (LOG_GUEST_ERRORS | LOG_UNIMP);

	if (likely(!category))
		return;
	fpu_save(v);
	log_print("%04x:%08x: %s of MSR %#x (value %#llx): %s\n", v->seg[SEG_CS].sel, v->eip, what, index, (unsigned long long)value, why);
}

bool msr_read(struct vcpu *v, u32 index, u64 *value)
{
	const struct msr *m = find(v, index);

	if (!m) {
		complain(v, "read", index, 0, "no such register in this CPU model");
		return false;
	}
	return m->read ? m->read(v, m, index - m->first, value) : read_field(v, m, index - m->first, value);
}

bool msr_write(struct vcpu *v, u32 index, u64 value)
{
	const struct msr *m = find(v, index);
	bool ok;

	if (!m) {
		complain(v, "write", index, value, "no such register in this CPU model");
		return false;
	}
	ok = m->write ? m->write(v, m, index - m->first, value) : write_field(v, m, index - m->first, value);
	if (!ok)
		complain(v, "write", index, value, "reserved bits, or read-only");
	return ok;
}

bool msr_rdpmc(struct vcpu *v, u32 counter, u64 *value)
{
	bool amd = v->model->vendor == CPU_AMD;

	if (counter >= (amd ? 4 : 2) || v->model->family < 6)
		return false;
	*value = v->msr_store[STORE_PERFCTR + counter];
	return true;
}

void msr_reset(struct vcpu *v)
{
	v->efer = 0;
	v->pat = PAT_RESET;
	v->apic_base = APIC_BASE_RESET;
	v->misc_enable = v->model->vendor == CPU_INTEL && v->model->family >= 6 ? MISC_ENABLE_DEFAULT : 0;
	v->tsc_aux = 0;
	v->sysenter_cs = v->sysenter_esp = v->sysenter_eip = 0;
	v->mcg_status = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(v->msr_store); i++)
		v->msr_store[i] = 0;

	/* Below 640 KiB write-back, video memory uncached, ROM write-protected, then write-back but for the PCI hole. */
	v->mtrr_def_type = MTRR_DEF_E | MTRR_DEF_FE | MTRR_WB;
	for (unsigned i = 0; i < ARRAY_SIZE(v->mtrr_fixed); i++)
		v->mtrr_fixed[i] = i < 2 ? MTRR_ALL(6) : i == 2 ? MTRR_ALL(0) : MTRR_ALL(5);
	for (unsigned i = 0; i < MTRR_VAR_COUNT; i++)
		v->mtrr_base[i] = v->mtrr_mask[i] = 0;
	v->mtrr_base[0] = RAM_LOW_MAX; /* type 0: uncached */
	v->mtrr_mask[0] = (PHYS_MASK & ~((RAM_HIGH_BASE - RAM_LOW_MAX) - 1)) | MTRR_MASK_VALID;
}
