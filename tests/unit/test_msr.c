/* MSRs: which exist for whom, and that no reserved bit gets in. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/cpuid.h"
#include "monitor/msr.h"
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
	clock_init(&vm->clock);
}

static void teardown(void)
{
	free(v);
	free(vm);
}

static void use(const char *spec)
{
	char err[200] = "";

	ck_assert_msg(cpu_parse(spec, &vm->opt, err, sizeof(err)), "%s", err);
	cpu_model_apply(v, &vm->opt);
	msr_reset(v);
}

static u64 get(u32 index)
{
	u64 x = 0;

	ck_assert_msg(msr_read(v, index, &x), "MSR %#x does not exist", index);
	return x;
}

static bool absent(u32 index)
{
	u64 x;

	return !msr_read(v, index, &x) && !msr_write(v, index, 0);
}

START_TEST(who_has_what)
{
	use("max");
	ck_assert_uint_ne(get(0x2a) >> 22 & 0x1f, 0); /* a ratio that may be divided by */
	ck_assert_uint_eq(get(0x198) >> 40 & 0x1f, get(0x2a) >> 22 & 0x1f);
	ck_assert(!msr_write(v, 0x198, 0));
	ck_assert_uint_eq(get(0x1b), 0xfee00900);
	ck_assert(msr_write(v, 0x1b, 0xfee00000));
	ck_assert_uint_eq(get(0x1b), 0xfee00100);   /* switched off; still the bootstrap processor */
	ck_assert(!msr_write(v, 0x1b, 0xfee00d00)); /* no x2APIC mode */
	ck_assert(msr_write(v, 0x1b, 0xfee00900));
	ck_assert(absent(0xc0000081));
	ck_assert(absent(0xc0010015));
	ck_assert(absent(0x12345678));
	ck_assert(absent(0xffffffff));
	ck_assert_uint_eq(get(0x17), 0);
	ck_assert_uint_eq(get(0x10a) & 0x21, 0x21);
	ck_assert(!msr_write(v, 0x10a, get(0x10a)));
	use("max,-nx,-mtrr,-pat,-sep,-arch-capabilities,-rdtscp");
	ck_assert(absent(0xc0000080));
	ck_assert(absent(0xfe));
	ck_assert(absent(0x2ff));
	ck_assert(absent(0x277));
	ck_assert(absent(0x174));
	ck_assert(absent(0x10a));
	ck_assert(absent(0xc0000103));
	use("athlon");
	ck_assert(msr_write(v, 0xc0010015, 0x40));
	ck_assert_uint_eq(get(0xc0010015), 0x40);
	ck_assert(absent(0x1a0));
	use("pentium");
	ck_assert_uint_eq(get(0), 0);
	ck_assert(absent(0x17));
}
END_TEST

START_TEST(pat)
{
	use("max");
	ck_assert_uint_eq(get(0x277), 0x0007040600070406ull);
	ck_assert(msr_write(v, 0x277, 0x0407050600070106ull));
	ck_assert_uint_eq(get(0x277), 0x0407050600070106ull);
	ck_assert(!msr_write(v, 0x277, 0x0407050600070206ull));
	ck_assert(!msr_write(v, 0x277, 0x8007040600070406ull));
	ck_assert_uint_eq(v->pat, 0x0407050600070106ull);
}
END_TEST

START_TEST(mtrr)
{
	use("max");
	ck_assert_uint_eq(get(0xfe), 0x508);
	ck_assert_uint_eq(get(0x2ff), 0xc06);
	ck_assert_uint_eq(get(0x250), 0x0606060606060606ull);
	ck_assert_uint_eq(get(0x259), 0);
	ck_assert_uint_eq(get(0x26f), 0x0505050505050505ull);
	ck_assert_uint_eq(get(0x200), 0xc0000000);
	ck_assert_uint_eq(get(0x201), 0xfc0000800ull);
	for (u32 i = 0x200; i < 0x210; i++) {
		ck_assert(msr_write(v, i, 0x123456800ull & (i & 1 ? ~0ull : ~0xfffull)));
		ck_assert(!msr_write(v, i, 1ull << 36));
		ck_assert(!msr_write(v, i, 0x100));
	}
	ck_assert(!msr_write(v, 0x200, 2));
	ck_assert(absent(0x210));
	ck_assert(!msr_write(v, 0x2ff, 0x1c06));
	ck_assert(!msr_write(v, 0x2ff, 0xc03));
	ck_assert(!msr_write(v, 0x268, 0x0505050705050505ull));
	ck_assert(msr_write(v, 0x26f, 0x0606060606060606ull));
	ck_assert_uint_eq(v->mtrr_fixed[10], 0x0606060606060606ull);
	ck_assert(!msr_write(v, 0xfe, 0x508));
}
END_TEST

START_TEST(widths)
{
	use("max");
	ck_assert(msr_write(v, 0x176, 0x1234567887654321ull));
	ck_assert_uint_eq(get(0x176), 0x87654321);
	ck_assert(!msr_write(v, 0xc0000103, 1ull << 32));
	ck_assert(msr_write(v, 0x8b, 0));
	ck_assert_uint_gt(get(0x8b) >> 32, 0x20e);
	ck_assert(!msr_write(v, 0x1a0, 1ull << 34));
	ck_assert(msr_write(v, 0x1a0, 0));
	ck_assert_uint_eq(get(0x1a0), 0x1800);
	ck_assert(!msr_write(v, 0xc0000080, 1));
	ck_assert(msr_write(v, 0xc0000080, 0));
}
END_TEST

START_TEST(tsc)
{
	use("max");
	ck_assert(msr_write(v, 0x10, 1ull << 60));
	ck_assert_uint_ge(get(0x10), 1ull << 60);
	ck_assert(msr_write(v, 0x10, 5));
	ck_assert_uint_lt(get(0x10), 1ull << 40);
}
END_TEST

START_TEST(counters)
{
	u64 x;

	use("pentium3");
	ck_assert(msr_write(v, 0xc2, 77));
	ck_assert(msr_rdpmc(v, 1, &x));
	ck_assert_uint_eq(x, 77);
	ck_assert(!msr_rdpmc(v, 2, &x));
	use("athlon");
	ck_assert(msr_write(v, 0xc0010007, 99));
	ck_assert(msr_rdpmc(v, 3, &x));
	ck_assert_uint_eq(x, 99);
	use("pentium");
	ck_assert(!msr_rdpmc(v, 0, &x));
}
END_TEST

Suite *msr_suite(void);
Suite *msr_suite(void)
{
	Suite *s = suite_create("msr");
	TCase *t = tcase_create("msr");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, who_has_what);
	tcase_add_test(t, pat);
	tcase_add_test(t, mtrr);
	tcase_add_test(t, widths);
	tcase_add_test(t, tsc);
	tcase_add_test(t, counters);
	suite_add_tcase(s, t);
	return s;
}
