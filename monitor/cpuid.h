/*
 * CPU models and CPUID: what the guest is told that it runs on, spelled as QEMU's -cpu.
 *
 * Invariant: v->features holds only what the model has, the user did not take away, the 32-bit machine emulates or translates, and (where
 * the guest's instruction runs on the host as itself) the host has. The translator, the MSRs and the control registers ask it, so that a
 * feature that CPUID does not show is not there.
 */
#ifndef RINGER_CPUID_H
#define RINGER_CPUID_H

#include <stdio.h>

#include "monitor/options.h"
#include "monitor/types.h"

struct vcpu;

/* Width of a guest-physical address, SDM Vol. 3A 4.1.4 (MAXPHYADDR). */
#define CPU_PHYS_BITS 36

/* The CPUID registers that hold feature bits. */
enum cpuid_word {
	CPUID_1_EDX,
	CPUID_1_ECX,
	CPUID_7_EDX,
	CPUID_EXT1_EDX, /* leaf 0x80000001 */
	CPUID_EXT1_ECX,
	CPUID_EXT7_EDX, /* leaf 0x80000007 */
	CPUID_WORDS,
	CPUID_NONE = CPUID_WORDS, /* no bit of its own */
};

/* X(NAME, "QEMU's name", "alias" or NULL, word, bit, the host must have it) */
/* clang-format off */
#define CPU_FEATURES(X)                                                                                                                    \
	X(FPU, "fpu", NULL, CPUID_1_EDX, 0, false)                                                                                         \
	X(VME, "vme", NULL, CPUID_1_EDX, 1, false)                                                                                         \
	X(DE, "de", NULL, CPUID_1_EDX, 2, false)                                                                                           \
	X(PSE, "pse", NULL, CPUID_1_EDX, 3, false)                                                                                         \
	X(TSC, "tsc", NULL, CPUID_1_EDX, 4, false)                                                                                         \
	X(MSR, "msr", NULL, CPUID_1_EDX, 5, false)                                                                                         \
	X(PAE, "pae", NULL, CPUID_1_EDX, 6, false)                                                                                         \
	X(MCE, "mce", NULL, CPUID_1_EDX, 7, false)                                                                                         \
	X(CX8, "cx8", NULL, CPUID_1_EDX, 8, true)                                                                                          \
	X(APIC, "apic", NULL, CPUID_1_EDX, 9, false)                                                                                       \
	X(SEP, "sep", NULL, CPUID_1_EDX, 11, false)                                                                                        \
	X(MTRR, "mtrr", NULL, CPUID_1_EDX, 12, false)                                                                                      \
	X(PGE, "pge", NULL, CPUID_1_EDX, 13, false)                                                                                        \
	X(MCA, "mca", NULL, CPUID_1_EDX, 14, false)                                                                                        \
	X(CMOV, "cmov", NULL, CPUID_1_EDX, 15, true)                                                                                       \
	X(PAT, "pat", NULL, CPUID_1_EDX, 16, false)                                                                                        \
	X(PSE36, "pse36", NULL, CPUID_1_EDX, 17, false)                                                                                    \
	X(CLFLUSH, "clflush", "clfsh", CPUID_1_EDX, 19, true)                                                                              \
	X(MMX, "mmx", NULL, CPUID_1_EDX, 23, true)                                                                                         \
	X(FXSR, "fxsr", NULL, CPUID_1_EDX, 24, true)                                                                                       \
	X(SSE, "sse", NULL, CPUID_1_EDX, 25, true)                                                                                         \
	X(SSE2, "sse2", NULL, CPUID_1_EDX, 26, true)                                                                                       \
	X(SSE3, "pni", "sse3", CPUID_1_ECX, 0, true)                                                                                       \
	X(PCLMUL, "pclmulqdq", "pclmuldq", CPUID_1_ECX, 1, true)                                                                           \
	X(SSSE3, "ssse3", NULL, CPUID_1_ECX, 9, true)                                                                                      \
	X(SSE41, "sse4-1", "sse4.1", CPUID_1_ECX, 19, true)                                                                                \
	X(SSE42, "sse4-2", "sse4.2", CPUID_1_ECX, 20, true)                                                                                \
	X(MOVBE, "movbe", NULL, CPUID_1_ECX, 22, true)                                                                                     \
	X(POPCNT, "popcnt", NULL, CPUID_1_ECX, 23, true)                                                                                   \
	X(TSC_DEADLINE, "tsc-deadline", NULL, CPUID_1_ECX, 24, false)                                                                      \
	X(AES, "aes", NULL, CPUID_1_ECX, 25, true)                                                                                         \
	X(RDRAND, "rdrand", NULL, CPUID_1_ECX, 30, true)                                                                                   \
	X(ARCH_CAPABILITIES, "arch-capabilities", NULL, CPUID_7_EDX, 29, false)                                                            \
	X(NX, "nx", "xd", CPUID_EXT1_EDX, 20, false)                                                                                       \
	X(RDTSCP, "rdtscp", NULL, CPUID_EXT1_EDX, 27, false)                                                                               \
	X(LAHF_LM, "lahf-lm", NULL, CPUID_EXT1_ECX, 0, false)                                                                              \
	X(LZCNT, "abm", "lzcnt", CPUID_EXT1_ECX, 5, true)                                                                                  \
	X(INVTSC, "invtsc", NULL, CPUID_EXT7_EDX, 8, false)                                                                                \
	/* Multi-byte NOP, 0F 1F: every family from 6 on has it (SDM Vol. 2B, NOP). */                                                     \
	X(NOPL, "nopl", NULL, CPUID_NONE, 0, false)
/* clang-format on */

enum {
#define X(n, name, alias, word, bit, host) CPUF_##n##_BIT,
	CPU_FEATURES(X)
#undef X
		CPUF_COUNT
};
#define X(n, name, alias, word, bit, host) static const u64 CPUF_##n __attribute__((unused)) = 1ull << CPUF_##n##_BIT;
CPU_FEATURES(X)
#undef X
_Static_assert(CPUF_COUNT <= 64, "features are bits of a u64");

enum cpu_vendor { CPU_INTEL, CPU_AMD };

struct cpu_model {
	const char *name; /* static storage */
	enum cpu_vendor vendor;
	u8 family, model, stepping; /* as displayed, i.e. with the extended fields added in */
	u64 features;
	u32 level, xlevel; /* highest basic leaf; highest extended leaf, or 0 */
	const char *brand; /* at most 47 characters */
	const char *help;
};

/*
 * Parses -cpu's argument, "model[,+feature][,-feature][,feature[=on|off]]...", into o->cpu_model (static storage), o->cpu_plus and
 * o->cpu_minus. False with a one-line reason in err[n] if it names what does not exist. Start-up, any thread.
 */
bool cpu_parse(const char *spec, struct options *o, char *err, size_t n);
/* Lists models and features, for -cpu help. */
void cpu_help(FILE *f);
/* Whether the CPU that the options ask for has a local APIC. */
bool cpu_has_apic(const struct options *o);
/* The frequency of the local APIC's timer: the crystal's where CPUID leaf 15h tells it (SDM Vol. 3A 10.5.4), else that of a bus of
 * 1 GHz; the crystal's differs from it by 0.02 % at most. */
u32 cpu_apic_timer_hz(const struct options *o, u64 tsc_hz);
/* Sets v->model and v->features from the options (a NULL model: the default, max). Warns of +features that the host lacks. Start-up. */
void cpu_model_apply(struct vcpu *v, const struct options *o);
/*
 * The CPUID instruction: out is EAX, EBX, ECX, EDX (SDM Vol. 2A, CPUID; AMD APM Vol. 3 appendix E for the extended leaves). vCPU thread;
 * uses general registers only.
 */
void cpuid(struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4]);
/* CPUID.1:EAX. */
u32 cpu_signature(const struct cpu_model *m);

#endif
