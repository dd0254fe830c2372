/* The MP tables as a kernel without ACPI walks them. Intel MultiProcessor Specification 1.4, chapter 4. */
#include <check.h>

#include "monitor/cpuid.h"
#include "monitor/devices/i440fx.h"
#include "monitor/devices/pci.h"
#include "monitor/devices/piix4_pm.h"
#include "monitor/load_image.h"
#include "monitor/machine.h"
#include "monitor/mptable.h"
#include "tests/unit/device_harness.h"

static struct rig *rig;

static void setup(void)
{
	rig = rig_create();
	rig->vm->opt.kernel = "none";
	machine_init(rig->vm);
	/* As the loader has it: RAM where the tables go, and an interrupt line for PIRQ A. */
	pci_firmware_write(rig->vm, I440FX_DEVFN, I440FX_PAM, 0x30, 1);
	pci_firmware_write(rig->vm, PIIX4_PM_DEVFN, 0x3c, 10, 1);
}

static void teardown(void)
{
	rig_free(rig);
}

static const u8 *at(u32 pa)
{
	return ram_ptr(&rig->vm->mem, pa);
}

static u8 sum(const u8 *p, u32 n)
{
	u8 x = 0;

	while (n--)
		x += *p++;
	return x;
}

START_TEST(tables)
{
	static const u8 sizes[] = {20, 8, 8, 8, 8};
	const u8 *fp = at(MPTABLE_BASE), *t, *p;
	unsigned count[5] = {0}, n = 0;
	u16 isa = 0, seen_pci = 0;
	u32 length;

	mptable_build(rig->vm);
	ck_assert_mem_eq(fp, "_MP_", 4);
	ck_assert_uint_eq(MPTABLE_BASE % 16, 0);
	ck_assert_uint_eq(fp[8], 1);
	ck_assert_uint_eq(fp[9], 4);
	ck_assert_uint_eq(sum(fp, 16), 0);
	ck_assert_uint_eq(fp[11] | fp[12], 0); /* a table, and no IMCR */
	t = at(le32(fp + 4));
	length = le16(t + 4);
	ck_assert_mem_eq(t, "PCMP", 4);
	ck_assert_uint_eq(sum(t, length), 0);
	ck_assert_uint_eq(le32(t + 36), 0xfee00000);
	for (p = t + 44; p < t + length; p += sizes[p[0]], n++) {
		ck_assert_uint_le(p[0], 4);
		count[p[0]]++;
		if (p[0] == 2)
			ck_assert_uint_eq(le32(p + 4), 0xfec00000);
		if (p[0] != 3)
			continue;
		if (p[4] == 1) {
			ck_assert_uint_eq(p[7], p[5] ? p[5] : 2);
			isa |= BIT(p[5]);
		} else {
			ck_assert_uint_eq(p[5], 1 << 2); /* slot 1, pin A */
			ck_assert_uint_eq(p[7], 10);
			seen_pci++;
		}
	}
	ck_assert_ptr_eq(p, t + length);
	ck_assert_uint_eq(n, le16(t + 34));
	ck_assert(count[0] == 1 && count[1] == 2 && count[2] == 1 && count[4] == 2);
	ck_assert_uint_eq(seen_pci, 1);
	ck_assert_uint_eq(isa, 0xffff & ~BIT(2) & ~BIT(10));
}
END_TEST

START_TEST(no_apic)
{
	rig->vm->opt.cpu_minus = CPUF_APIC;
	mptable_build(rig->vm);
	ck_assert_uint_eq(*at(MPTABLE_BASE), 0);
}
END_TEST

Suite *mptable_suite(void)
{
	Suite *s = suite_create("mptable");
	TCase *t = tcase_create("mptable");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, tables);
	tcase_add_test(t, no_apic);
	suite_add_tcase(s, t);
	return s;
}
