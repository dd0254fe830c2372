/* -cpu's language, and what the CPUID instruction then says. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/cpuid.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

static struct vm *vm;
static struct vcpu *v;

static void setup(void)
{
	void *p = NULL;

	vm = calloc(1, sizeof(*vm));
	ck_assert_int_eq(posix_memalign(&p, 64, sizeof(*v)), 0);
	v = memset(p, 0, sizeof(*v));
	v->vm = vm;
	clock_set_tsc_hz(&vm->clock, 2600000000ull);
}

static void teardown(void)
{
	free(v);
	free(vm);
}

static void use(const char *spec)
{
	char err[200] = "";

	if (!cpu_parse(spec, &vm->opt, err, sizeof(err)))
		ck_abort_msg("%s: %s", spec, err);
	cpu_model_apply(v, &vm->opt);
}

static void rejected(const char *spec, const char *why)
{
	struct options o = {0};
	char err[200] = "";

	ck_assert(!cpu_parse(spec, &o, err, sizeof(err)));
	ck_assert_msg(strstr(err, why), "%s: %s", spec, err);
}

START_TEST(language)
{
	use("max,-sse4.1,sse4_2=off,-nx");
	ck_assert(!(v->features & (CPUF_SSE41 | CPUF_SSE42 | CPUF_NX)));
	ck_assert(v->features & CPUF_SSE2);
	ck_assert_str_eq(v->model->name, "max");
	use("pentium3,+sse2,pni=on");
	ck_assert((v->features & (CPUF_SSE | CPUF_SSE2 | CPUF_SSE3)) == (CPUF_SSE | CPUF_SSE2 | CPUF_SSE3));
	use("max,-nx,+nx");
	ck_assert(v->features & CPUF_NX);
	use("max,-vme,-apic,hypervisor=off");
	rejected("486", "unknown CPU model '486'");
	rejected("max,+nonsense", "unknown CPU feature 'nonsense'");
	rejected("max,+avx", "'avx' is not supported");
	rejected("max,nx=maybe", "on or off");
	rejected("max,+nx=on", "not both");
	rejected("max,", "unknown CPU feature ''");
	rejected("", "unknown CPU model ''");
}
END_TEST

START_TEST(default_model)
{
	struct options o = {0};
	u32 r[4];
	char brand[49] = "";

	cpu_model_apply(v, &o);
	cpuid(v, 0, 0, r);
	ck_assert_uint_ge(r[0], 7);
	ck_assert_mem_eq(&r[1], "Genu", 4);
	ck_assert_mem_eq(&r[3], "ineI", 4);
	ck_assert_mem_eq(&r[2], "ntel", 4);
	cpuid(v, 1, 0, r);
	ck_assert_uint_eq(r[0], 0x000106ca);
	ck_assert_uint_eq(r[3], 0x078bf9ff & ~(1u << 9));
	ck_assert_msg(!(r[2] >> 31), "the hypervisor bit gives it away");
	ck_assert_uint_eq(r[1], 0x800);
	cpuid(v, 7, 0, r);
	ck_assert_uint_eq(r[1], 1u << 13); /* FPU CS and DS deprecated */
	ck_assert_uint_eq(r[3], 1u << 29);
	cpuid(v, 7, 1, r);
	ck_assert_uint_eq(r[0] | r[1] | r[2] | r[3], 0);
	for (u32 i = 0; i < 3; i++) {
		cpuid(v, 0x80000002 + i, 0, r);
		memcpy(brand + 16 * i, r, 16);
	}
	ck_assert_str_eq(brand, "Ringer virtual CPU");
	cpuid(v, 0x80000007, 0, r);
	ck_assert_uint_eq(r[3], 0x100);
	cpuid(v, 0x80000008, 0, r);
	ck_assert_uint_eq(r[0], 32 << 8 | 36);
}
END_TEST

START_TEST(caches_agree)
{
	u32 l4[4], l6[4];

	use("max");
	cpuid(v, 4, 2, l4);
	cpuid(v, 0x80000006, 0, l6);
	ck_assert_uint_eq(((l4[1] >> 22) + 1) * ((l4[1] & 0xfff) + 1) * (l4[2] + 1), (l6[2] >> 16) * 1024);
	cpuid(v, 4, 3, l4);
	ck_assert_uint_eq(l4[0], 0);
}
END_TEST

START_TEST(leaves_beyond)
{
	u32 a[4], b[4];

	/* Intel: the last basic leaf; AMD: zeros. No hypervisor's leaves. */
	use("pentium2");
	cpuid(v, 2, 0, a);
	cpuid(v, 0x1234, 0, b);
	ck_assert_mem_eq(a, b, sizeof(a));
	cpuid(v, 0x80000000, 0, b);
	ck_assert_mem_eq(a, b, sizeof(a));
	use("athlon");
	cpuid(v, 0x40000000, 0, b);
	ck_assert_uint_eq(b[0] | b[1] | b[2] | b[3], 0);
	cpuid(v, 0x80000001, 0, b);
	ck_assert_uint_eq(b[0], 0x00000623);
	ck_assert_uint_eq(b[3] & 1, 1);
}
END_TEST

START_TEST(limit_maximum)
{
	u32 r[4];

	use("max");
	v->misc_enable = 1u << 22;
	cpuid(v, 0, 0, r);
	ck_assert_uint_eq(r[0], 3);
}
END_TEST

START_TEST(clock_ratio)
{
	static const u64 tsc_hz[] = {50000000, 1000000000, 1799999999, 2095123456, 2600000000, 2999999000, 4500000000, 7777777777};
	u32 r[4];

	use("max");
	for (size_t i = 0; i < ARRAY_SIZE(tsc_hz); i++) {
		clock_set_tsc_hz(&vm->clock, tsc_hz[i]);
		cpuid(v, 0x15, 0, r);
		/* Kernels compute ECX/1000 * EBX / EAX in 32 bits, some of them with nothing behind the comma. */
		ck_assert_uint_le((u64)(r[2] / 1000) * r[1], UINT32_MAX);
		ck_assert_double_eq_tol((double)(r[2] / 1000) * r[1] / r[0] * 1000, (double)tsc_hz[i], (double)tsc_hz[i] * 1e-6);
		ck_assert_double_eq_tol((double)r[2], 1e9, 2e5); /* what small kernels take the APIC's timer for */
		ck_assert_uint_eq(cpu_apic_timer_hz(&vm->opt, tsc_hz[i]), r[2]);
	}
	clock_set_tsc_hz(&vm->clock, 100); /* no ratio of 32 bits */
	cpuid(v, 0x15, 0, r);
	ck_assert_uint_eq(r[0] | r[1] | r[2], 0);
	ck_assert_uint_eq(cpu_apic_timer_hz(&vm->opt, 100), 1000000000);
}
END_TEST

Suite *cpuid_suite(void);
Suite *cpuid_suite(void)
{
	Suite *s = suite_create("cpuid");
	TCase *t = tcase_create("cpuid");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, language);
	tcase_add_test(t, default_model);
	tcase_add_test(t, caches_agree);
	tcase_add_test(t, leaves_beyond);
	tcase_add_test(t, limit_maximum);
	tcase_add_test(t, clock_ratio);
	suite_add_tcase(s, t);
	return s;
}
