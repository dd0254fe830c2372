/*
 * The host's requirements, from one table. Invariant: what translated code or the monitor's own code executes without looking is named
 * here: flag-free glue (BMI2, BMI1), segment bases in user mode (FSGSBASE), the SSE level that the guest is shown, LAHF/SAHF in 64-bit
 * mode.
 */
#include "monitor/hostcheck.h"

#include <cpuid.h>
#include <sys/auxv.h>
#include <unistd.h>

#ifndef __x86_64__
#error "Ringer runs on x86-64 hosts"
#endif

/* Linux: the kernel lets user mode use RDFSBASE and its kin (HWCAP2_FSGSBASE). */
#define HWCAP2_FSGSBASE_BIT 1

enum cpuid_reg { REG_A, REG_B, REG_C, REG_D };

static const struct {
	const char *name;
	u32 leaf;
	enum cpuid_reg reg;
	unsigned bit;
} features[] = {
	{"the CPU feature FXSR", 1, REG_D, 24},
	{"the CPU feature SSE3", 1, REG_C, 0},
	{"the CPU feature SSSE3", 1, REG_C, 9},
	{"the CPU feature CMPXCHG16B", 1, REG_C, 13},
	{"the CPU feature SSE4.1", 1, REG_C, 19},
	{"the CPU feature SSE4.2", 1, REG_C, 20},
	{"the CPU feature POPCNT", 1, REG_C, 23},
	{"the CPU feature FSGSBASE", 7, REG_B, 0},
	{"the CPU feature BMI1", 7, REG_B, 3},
	{"the CPU feature BMI2", 7, REG_B, 8},
	{"the CPU feature LAHF/SAHF in 64-bit mode", 0x80000001, REG_C, 0},
};

const char *hostcheck_missing(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		unsigned r[4] = {0};

		if (!__get_cpuid_count(features[i].leaf, 0, &r[REG_A], &r[REG_B], &r[REG_C], &r[REG_D]) ||
		    !(r[features[i].reg] >> features[i].bit & 1))
			return features[i].name;
	}
	if (!(getauxval(AT_HWCAP2) >> HWCAP2_FSGSBASE_BIT & 1))
		return "a kernel that lets programs use FSGSBASE (Linux 5.9 or later)";
	if (sysconf(_SC_PAGESIZE) != (long)PAGE_SIZE)
		return "pages of 4 KiB";
	return NULL;
}
