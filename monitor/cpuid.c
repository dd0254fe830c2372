/*
 * CPU models and CPUID, see cpuid.h.
 *
 * The default model, max, calls itself an Atom of the first generation. That is a choice by effect, not by likeness: such a CPU executes in
 * order, so kernels know that Meltdown, Spectre v2 and their kin do not concern it, and leave page-table isolation and retpolines off. Both
 * would cost a lot under translation and protect nothing: guest code meets only the monitor's mappings, whose user windows hold no kernel
 * pages. It is also a CPU whose kernel support reads no exotic MSR. IA32_ARCH_CAPABILITIES says the same to kernels that ask before they
 * look at the model.
 *
 * Invariant: nothing in here tells a guest that it runs in a virtual machine: no hypervisor bit, no leaf 0x40000000.
 */
#include "monitor/cpuid.h"

#include <cpuid.h>
#include <string.h>

#include "monitor/devices/lapic.h"
#include "monitor/log.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

/* Feature sets, each on top of the one before. */
#define F_PENTIUM (CPUF_FPU | CPUF_VME | CPUF_DE | CPUF_PSE | CPUF_TSC | CPUF_MSR | CPUF_MCE | CPUF_CX8 | CPUF_APIC | CPUF_MMX)
#define F_PENTIUM2                                                                                                                         \
	(F_PENTIUM | CPUF_PAE | CPUF_SEP | CPUF_MTRR | CPUF_PGE | CPUF_MCA | CPUF_CMOV | CPUF_PAT | CPUF_PSE36 | CPUF_FXSR | CPUF_NOPL)
#define F_PENTIUM3 (F_PENTIUM2 | CPUF_SSE)
#define F_QEMU32   ((F_PENTIUM3 | CPUF_SSE2 | CPUF_SSE3) & ~(CPUF_MTRR | CPUF_MCA | CPUF_PSE36))
#define F_COREDUO  ((F_PENTIUM3 | CPUF_CLFLUSH | CPUF_SSE2 | CPUF_SSE3 | CPUF_NX | CPUF_INVTSC | CPUF_ARCH_CAPABILITIES) & ~CPUF_PSE36)
#define F_N270	   (F_COREDUO | CPUF_SSSE3 | CPUF_MOVBE | CPUF_LAHF_LM)
#define F_ATHLON   (F_PENTIUM2 | CPUF_SSE | CPUF_SSE2)
#define F_ALL	   ((CPUF_NOPL << 1) - 1)

static const struct cpu_model models[] = {
	{"pentium", CPU_INTEL, 5, 4, 3, F_PENTIUM, 1, 0, "", "Pentium MMX"},
	{"pentium2", CPU_INTEL, 6, 5, 2, F_PENTIUM2, 2, 0, "", "Pentium II"},
	{"pentium3", CPU_INTEL, 6, 7, 3, F_PENTIUM3, 3, 0, "", "Pentium III"},
	{"qemu32", CPU_INTEL, 6, 6, 3, F_QEMU32, 4, 0x80000004, "Ringer virtual CPU, qemu32", "QEMU's generic 32-bit CPU"},
	{"coreduo", CPU_INTEL, 6, 14, 8, F_COREDUO, 10, 0x80000008, "Ringer virtual CPU, Core Duo T2600 compatible", "Core Duo T2600"},
	{"n270", CPU_INTEL, 6, 28, 2, F_N270, 10, 0x80000008, "Ringer virtual CPU, Atom N270 compatible", "Atom N270"},
	{"athlon", CPU_AMD, 6, 2, 3, F_ATHLON, 2, 0x80000008, "Ringer virtual CPU, Athlon compatible", "Athlon"},
	{"max", CPU_INTEL, 6, 28, 10, F_ALL, 0x16, 0x80000008, "Ringer virtual CPU", "all that Ringer and the host offer (default)"},
	{"host", CPU_INTEL, 6, 28, 10, F_ALL, 0x16, 0x80000008, "Ringer virtual CPU", "the same as max"},
};
static const char default_model[] = "max";

static const struct feature {
	const char *name, *alias;
	enum cpuid_word word;
	u8 bit;
	bool host;
} features[] = {
#define X(n, name, alias, word, bit, host) {name, alias, word, bit, host},
	CPU_FEATURES(X)
#undef X
};

/* Features that QEMU knows and Ringer never has: taking one away is fine, asking for one deserves an exact answer. */
static const char *const not_offered[] = {
	"acpi",		 "ss",	    "ht",      "tm",	   "pbe",	 "ds",	     "dtes64",	"monitor",	"ds-cpl",     "vmx",
	"smx",		 "est",	    "tm2",     "fma",	   "cx16",	 "xtpr",     "pdcm",	"pcid",		"dca",	      "x2apic",
	"xsave",	 "osxsave", "avx",     "f16c",	   "hypervisor", "fsgsbase", "bmi1",	"hle",		"avx2",	      "smep",
	"bmi2",		 "erms",    "invpcid", "rtm",	   "mpx",	 "rdseed",   "adx",	"smap",		"clflushopt", "clwb",
	"sha-ni",	 "umip",    "pku",     "rdpid",	   "spec-ctrl",	 "stibp",    "ssbd",	"syscall",	"mmxext",     "fxsr-opt",
	"pdpe1gb",	 "lm",	    "3dnow",   "3dnowext", "cmp-legacy", "svm",	     "extapic", "cr8legacy",	"sse4a",      "misalignsse",
	"3dnowprefetch", "osvw",    "ibs",     "xop",	   "fma4",	 "tbm",	     "topoext", "perfctr-core", "xsaveopt",   "xsavec",
	"xsaves",	 "arat",    "kvm",     "pmu",
};

/* --- the host --- */

static u64 host_features(void)
{
	u32 w[CPUID_WORDS] = {0}, a, b, c, d;
	u64 f = 0;

	if (__get_cpuid(1, &a, &b, &c, &d)) {
		w[CPUID_1_EDX] = d;
		w[CPUID_1_ECX] = c;
	}
	if (__get_cpuid(0x80000001, &a, &b, &c, &d)) {
		w[CPUID_EXT1_EDX] = d;
		w[CPUID_EXT1_ECX] = c;
	}
	for (unsigned i = 0; i < CPUF_COUNT; i++)
		if (!features[i].host || (w[features[i].word] >> features[i].bit & 1))
			f |= 1ull << i;
	return f;
}

/* --- -cpu --- */

/* Names are equal whether spelled with '-', '_' or '.', as in QEMU's own aliases (sse4_1, sse4.1, sse4-1). */
static bool name_equal(const char *a, const char *b, size_t n)
{
	if (!a || strlen(a) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char x = a[i] == '_' || a[i] == '.' ? '-' : a[i];
		char y = b[i] == '_' || b[i] == '.' ? '-' : b[i];

		if (x != y)
			return false;
	}
	return true;
}

static const struct cpu_model *find_model(const char *name, size_t n)
{
	for (unsigned i = 0; i < ARRAY_SIZE(models); i++)
		if (strlen(models[i].name) == n && !memcmp(models[i].name, name, n))
			return &models[i];
	return NULL;
}

/* One feature, on or off. */
static bool set_feature(struct options *o, const char *name, size_t len, bool on, char *err, size_t n)
{
	for (unsigned i = 0; i < CPUF_COUNT; i++) {
		if (!name_equal(features[i].name, name, len) && !name_equal(features[i].alias, name, len))
			continue;
		o->cpu_plus &= ~(1ull << i);
		o->cpu_minus &= ~(1ull << i);
		*(on ? &o->cpu_plus : &o->cpu_minus) |= 1ull << i;
		return true;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(not_offered); i++) {
		if (!name_equal(not_offered[i], name, len))
			continue;
		if (!on)
			return true;
		snprintf(err, n, "CPU feature '%.*s' is not supported", (int)len, name);
		return false;
	}
	snprintf(err, n, "unknown CPU feature '%.*s' (-cpu help lists them)", (int)len, name);
	return false;
}

bool cpu_parse(const char *spec, struct options *o, char *err, size_t n)
{
	size_t len = strcspn(spec, ",");
	const struct cpu_model *m = find_model(spec, len);

	if (!m) {
		snprintf(err, n, "unknown CPU model '%.*s' (-cpu help lists them)", (int)len, spec);
		return false;
	}
	o->cpu_model = m->name;
	o->cpu_plus = o->cpu_minus = 0;
	for (const char *p = spec + len; *p; p += len) {
		const char *eq;
		size_t name_len;
		bool on = true;

		p++;
		len = strcspn(p, ",");
		eq = memchr(p, '=', len);
		name_len = eq ? (size_t)(eq - p) : len;
		if (*p == '+' || *p == '-') {
			if (eq) {
				snprintf(err, n, "'%.*s': a feature takes + or -, or =on or =off, not both", (int)len, p);
				return false;
			}
			if (!set_feature(o, p + 1, len - 1, *p == '+', err, n))
				return false;
			continue;
		}
		if (eq) {
			on = name_equal("on", eq + 1, len - name_len - 1);
			if (!on && !name_equal("off", eq + 1, len - name_len - 1)) {
				snprintf(err, n, "'%.*s': expected on or off", (int)len, p);
				return false;
			}
		}
		if (!set_feature(o, p, name_len, on, err, n))
			return false;
	}
	return true;
}

void cpu_help(FILE *f)
{
	int column = 0;

	fprintf(f, "CPU models:\n");
	for (unsigned i = 0; i < ARRAY_SIZE(models); i++)
		fprintf(f, "  %-10s %s\n", models[i].name, models[i].help);
	fprintf(f, "\nCPU features (+name or -name):\n");
	for (unsigned i = 0; i < CPUF_COUNT; i++) {
		int len = (int)strlen(features[i].name) + 1;

		if (column + len > 76) {
			fprintf(f, "\n");
			column = 0;
		}
		column += len + (column == 0);
		fprintf(f, "%s%s", column == len + 1 ? "  " : " ", features[i].name);
	}
	fprintf(f, "\n");
}

/* No CPU has a vector extension without those that it builds on: programs ask for the newest alone. */
static u64 without_orphans(u64 f)
{
	static const struct {
		u64 base, needs_it;
	} chain[] = {
		{CPUF_FXSR, CPUF_SSE},	 {CPUF_SSE, CPUF_SSE2},	   {CPUF_SSE2, CPUF_SSE3 | CPUF_AES | CPUF_PCLMUL},
		{CPUF_SSE3, CPUF_SSSE3}, {CPUF_SSSE3, CPUF_SSE41}, {CPUF_SSE41, CPUF_SSE42},
	};

	if (!(f & CPUF_APIC))
		f &= ~CPUF_TSC_DEADLINE;
	for (unsigned i = 0; i < ARRAY_SIZE(chain); i++)
		if (!(f & chain[i].base))
			f &= ~chain[i].needs_it;
	return f;
}

bool cpu_has_apic(const struct options *o)
{
	const char *name = o->cpu_model ? o->cpu_model : default_model;
	const struct cpu_model *m = find_model(name, strlen(name));

	return m && ((m->features | o->cpu_plus) & ~o->cpu_minus & CPUF_APIC);
}

void cpu_model_apply(struct vcpu *v, const struct options *o)
{
	const char *name = o->cpu_model ? o->cpu_model : default_model;
	const struct cpu_model *m = find_model(name, strlen(name));
	u64 host = host_features();

	if (!m)
		fatal("unknown CPU model '%s'", name);
	for (unsigned i = 0; i < CPUF_COUNT; i++)
		if (o->cpu_plus & ~host & 1ull << i)
			warn("this host's CPU does not have '%s'", features[i].name);
	v->model = m;
	v->features = without_orphans((m->features | o->cpu_plus) & ~o->cpu_minus & host);
}

/* --- CPUID --- */

u32 cpu_signature(const struct cpu_model *m)
{
	u32 family = MIN(m->family, 15), ext_family = m->family - family;

	return ext_family << 20 | (u32)(m->model >> 4) << 16 | family << 8 | (m->model & 15u) << 4 | m->stepping;
}

static inline u32 feature_word(u64 f, enum cpuid_word word)
{
	u32 r = 0;

#define X(n, name, alias, w, bit, host) r |= (w) == word ? (u32)(f >> CPUF_##n##_BIT & 1) << (bit) : 0;
	CPU_FEATURES(X)
#undef X
	return r;
}

/* Caches, the same in every leaf that tells: 32 KiB + 32 KiB of L1, 2 MiB of L2, all 8-way with 64-byte lines. */
#define CPUID_APIC_BIT 9
#define APIC_BUS_HZ    1000000000u
#define RATIO_NUM      4000ull
#define LINE_SIZE      64u
#define WAYS	       8u
#define L1_KIB	       32u
#define L2_KIB	       2048u

/* SDM Vol. 2A table 3-8: type, level, self-initializing; ways, partitions, line size; sets. */
static void cache_leaf(u32 out[4], unsigned type, unsigned level, u32 kib)
{
	out[0] = type | level << 5 | 1u << 8;
	out[1] = (WAYS - 1) << 22 | (LINE_SIZE - 1);
	out[2] = kib * 1024 / (WAYS * LINE_SIZE) - 1;
	out[3] = 0;
}

/*
 * The TSC's frequency as a ratio to a crystal's (SDM Vol. 2A, CPUID leaf 15H). The local APIC's timer counts the crystal, and small kernels
 * (xv6 and JOS: 10,000,000 counts are a tick) take its frequency for that of QEMU's, 1 GHz. So the ratio is made first, of numbers as large
 * as they may be, and the crystal, within 0.02 % of 1 GHz and a multiple of 1 kHz, follows from it: kernels compute kHz * num / den in 32
 * bits, which must not overflow, and get the TSC's frequency within 1 ppm.
 */
struct tsc_ratio {
	u32 num, den, crystal_hz;
};

static bool tsc_tells_crystal(u64 tsc_hz, struct tsc_ratio *r)
{
	u64 den = tsc_hz ? RATIO_NUM * APIC_BUS_HZ / tsc_hz : 0, num;

	if (!den || den > UINT32_MAX)
		return false;
	num = (tsc_hz * den + APIC_BUS_HZ / 2) / APIC_BUS_HZ;
	*r = (struct tsc_ratio){(u32)num, (u32)den, (u32)((tsc_hz * den / num + 500) / 1000 * 1000)};
	return true;
}

u32 cpu_apic_timer_hz(const struct options *o, u64 tsc_hz)
{
	const char *name = o->cpu_model ? o->cpu_model : default_model;
	const struct cpu_model *m = find_model(name, strlen(name));
	struct tsc_ratio r;

	return m && m->level >= 0x15 && tsc_tells_crystal(tsc_hz, &r) ? r.crystal_hz : APIC_BUS_HZ;
}

static void tsc_leaf(const struct vcpu *v, u32 out[4])
{
	struct tsc_ratio r;

	if (!tsc_tells_crystal(v->vm->clock.tsc_hz, &r))
		return;
	out[0] = r.den;
	out[1] = r.num;
	out[2] = r.crystal_hz;
}

static void vendor_string(const struct cpu_model *m, u32 *ebx, u32 *edx, u32 *ecx)
{
	bool amd = m->vendor == CPU_AMD;

	*ebx = amd ? 0x68747541 : 0x756e6547; /* "Auth" "Genu" */
	*edx = amd ? 0x69746e65 : 0x49656e69; /* "enti" "ineI" */
	*ecx = amd ? 0x444d4163 : 0x6c65746e; /* "cAMD" "ntel" */
}

/* 16 of the brand string's 48 characters, zero-padded. */
static void brand_leaf(const struct cpu_model *m, unsigned part, u32 out[4])
{
	const char *s = m->brand;

	for (unsigned i = 0; i < part * 16 && *s; i++)
		s++;
	for (unsigned i = 0; i < 16 && *s; i++, s++)
		out[i / 4] |= (u32)(u8)*s << i % 4 * 8;
}

static void extended_leaf(struct vcpu *v, u32 leaf, u32 out[4])
{
	const struct cpu_model *m = v->model;

	switch (leaf) {
	case 0x80000000:
		out[0] = m->xlevel;
		if (m->vendor == CPU_AMD)
			vendor_string(m, &out[1], &out[3], &out[2]);
		break;
	case 0x80000001:
		if (m->vendor == CPU_AMD) {
			/* AMD repeats most of leaf 1 here: bits 0-9, 12-17, 23, 24. */
			out[0] = cpu_signature(m);
			out[3] = feature_word(v->features, CPUID_1_EDX) & 0x0183f3ff;
		}
		out[2] = feature_word(v->features, CPUID_EXT1_ECX);
		out[3] |= feature_word(v->features, CPUID_EXT1_EDX);
		break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
		brand_leaf(m, leaf - 0x80000002, out);
		break;
	case 0x80000005:
		if (m->vendor == CPU_AMD) {
			out[0] = out[1] = 0xff20ff20; /* TLBs: 32 entries, fully associative */
			out[2] = out[3] = L1_KIB << 24 | WAYS << 16 | 1 << 8 | LINE_SIZE;
		}
		break;
	case 0x80000006:
		/* L2: associativity code 6 is 8-way. */
		out[2] = L2_KIB << 16 | 6 << 12 | (m->vendor == CPU_AMD) << 8 | LINE_SIZE;
		if (m->vendor == CPU_AMD)
			out[1] = 0x42004200; /* L2 TLBs for 4 KiB pages: 512 entries, 4-way */
		break;
	case 0x80000007:
		out[3] = feature_word(v->features, CPUID_EXT7_EDX);
		break;
	case 0x80000008:
		out[0] = 32u << 8 | (v->features & (CPUF_PAE | CPUF_PSE36) ? CPU_PHYS_BITS : 32);
		break;
	}
}

void cpuid(struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
	const struct cpu_model *m = v->model;
	/* IA32_MISC_ENABLE bit 22, limit CPUID maximum to 3 (SDM Vol. 4 table 2-2). */
	u32 level = v->misc_enable & 1u << 22 ? MIN(m->level, 3) : m->level;

	out[0] = out[1] = out[2] = out[3] = 0;
	if (leaf >= 0x80000000 && leaf <= m->xlevel) {
		extended_leaf(v, leaf, out);
		return;
	}
	if (leaf > level) {
		/* SDM: a leaf beyond the last one yields the data of the last basic one; AMD: zeros. */
		if (m->vendor == CPU_AMD)
			return;
		leaf = level;
	}
	switch (leaf) {
	case 0:
		out[0] = level;
		vendor_string(m, &out[1], &out[3], &out[2]);
		break;
	case 1:
		out[0] = cpu_signature(m);
		out[1] = v->features & CPUF_CLFLUSH ? LINE_SIZE / 8 << 8 : 0;
		out[2] = feature_word(v->features, CPUID_1_ECX);
		out[3] = feature_word(v->features, CPUID_1_EDX);
		/* A local APIC that is switched off is not there (SDM Vol. 3A 10.4.3). */
		if (!(v->apic_base & LAPIC_BASE_ENABLE))
			out[3] &= ~(1u << CPUID_APIC_BIT);
		break;
	case 2:
		if (m->vendor == CPU_INTEL) {
			out[0] = 1;
			out[3] = 0x2c307d; /* L1D and L1I of 32 KiB, L2 of 2 MiB, SDM Vol. 2A table 3-12 */
		}
		break;
	case 4:
		if (subleaf == 0)
			cache_leaf(out, 1, 1, L1_KIB);
		else if (subleaf == 1)
			cache_leaf(out, 2, 1, L1_KIB);
		else if (subleaf == 2)
			cache_leaf(out, 3, 2, L2_KIB);
		break;
	case 6:
		/* The timer of the local APIC runs always, at one rate. */
		out[0] = v->features & CPUF_TSC_DEADLINE ? 1u << 2 : 0;
		break;
	case 7:
		if (subleaf == 0) {
			out[1] = 1u << 13; /* FPU CS and DS are deprecated: they read as 0 */
			out[3] = feature_word(v->features, CPUID_7_EDX);
		}
		break;
	case 0x0b:
		/* No topology levels; ECX repeats the subleaf. */
		out[2] = subleaf & 0xff;
		break;
	case 0x15:
		tsc_leaf(v, out);
		break;
	case 0x16:
		out[0] = out[1] = (u32)(v->vm->clock.tsc_hz / 1000000) & 0xffff;
		out[2] = 100;
		break;
	}
}
