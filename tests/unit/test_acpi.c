/* ACPI: the tables as a kernel walks them, and the fixed hardware that they describe. */
#include <check.h>

#include "monitor/acpi.h"
#include "monitor/cpuid.h"
#include "monitor/devices/acpi_pm.h"
#include "monitor/devices/fw_cfg.h"
#include "monitor/machine.h"
#include "tests/unit/device_harness.h"

static struct rig *rig;
static struct wire sci;
static struct acpi_pm *pm;

static void setup(void)
{
	rig = rig_create();
	sci = (struct wire){0};
	rig_lock(rig);
	pm = acpi_pm_create(rig->vm, wire_irq(&sci));
	acpi_pm_move(pm, 0x600);
	rig_unlock(rig);
}

static void teardown(void)
{
	rig_free(rig);
}

static u32 le32(const u8 *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24;
}

static u8 sum(const u8 *p, u32 n)
{
	u8 x = 0;

	while (n--)
		x += *p++;
	return x;
}

static const u8 *table(u32 pa, const char *signature)
{
	const u8 *p = ram_ptr(&rig->vm->mem, pa);

	ck_assert_uint_ge(pa, ACPI_AREA_BASE);
	ck_assert_uint_lt(pa, ACPI_AREA_BASE + ACPI_AREA_SIZE);
	ck_assert_mem_eq(p, signature, 4);
	if (memcmp(signature, "FACS", 4) != 0)
		ck_assert_uint_eq(sum(p, le32(p + 4)), 0);
	return p;
}

static const u8 *find_serp(const u8 *dsdt)
{
	const u8 *p = memmem(dsdt, le32(dsdt + 4), "\x08SERP\x0a", 6);

	ck_assert_ptr_nonnull(p);
	return p;
}

START_TEST(tables)
{
	rig->vm->opt.serial_count = 3;
	rig->vm->opt.serial[0] = "stdio";
	rig->vm->opt.serial[1] = "none";
	rig->vm->opt.serial[2] = "null";
	acpi_build(rig->vm);
	const u8 *rsdp = ram_ptr(&rig->vm->mem, ACPI_RSDP_ADDR);

	ck_assert_mem_eq(rsdp, "RSD PTR ", 8);
	ck_assert_uint_eq(sum(rsdp, 20), 0);
	const u8 *rsdt = table(le32(rsdp + 16), "RSDT");

	ck_assert_uint_eq(le32(rsdt + 4), 44);
	table(le32(rsdt + 40), "APIC");
	const u8 *fadt = table(le32(rsdt + 36), "FACP");

	ck_assert_uint_eq(le32(fadt + 4), 244);
	ck_assert_uint_eq(le32(fadt + 36) & 63, 0);
	table(le32(fadt + 36), "FACS");
	table(le32(fadt + 40), "DSDT");
	ck_assert_uint_eq(le32(fadt + 40), le32(fadt + 140));
	ck_assert_uint_eq(le32(fadt + 36), le32(fadt + 132));
	ck_assert_uint_eq(le32(fadt + 56), le32(fadt + 152));
	ck_assert_uint_eq(le32(fadt + 64), le32(fadt + 176));
	ck_assert_uint_eq(le32(fadt + 76), le32(fadt + 212));
	ck_assert_uint_eq(le32(fadt + 120), 0xcf9);
	/* What the DSDT's _STA methods read. */
	const u8 *serp = find_serp(table(le32(fadt + 40), "DSDT"));

	ck_assert_uint_eq(serp[6], 5);
}
END_TEST

/* The HPET's table and the DSDT's HPTP: there where it is. */
START_TEST(event_timers)
{
	const u8 *rsdt, *p, *dsdt;

	for (int on = 0; on < 2; on++) {
		rig->vm->opt.hpet = on;
		acpi_build(rig->vm);
		rsdt = table(le32(ram_ptr(&rig->vm->mem, ACPI_RSDP_ADDR) + 16), "RSDT");
		ck_assert_uint_eq(le32(rsdt + 4), on ? 48 : 44);
		dsdt = table(le32(table(le32(rsdt + 36), "FACP") + 40), "DSDT");
		p = memmem(dsdt, le32(dsdt + 4), "\x08HPTP\x0a", 6);
		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq(p[6], on);
	}
	p = table(le32(rsdt + 44), "HPET");
	ck_assert_uint_eq(le32(p + 4), 56);
	ck_assert_uint_eq(le32(p + 36), 0x8086a201);
	ck_assert_uint_eq(le32(p + 40), 0); /* memory */
	ck_assert_uint_eq(le32(p + 44), 0xfed00000);
	ck_assert_uint_eq(le32(p + 48), 0);
	ck_assert_uint_eq(p[53] | p[54] << 8, 2000);
}
END_TEST

/* The MADT's entries fill it; a CPU without an APIC gets none. */
START_TEST(interrupt_controllers)
{
	acpi_build(rig->vm);
	const u8 *rsdt = table(le32(ram_ptr(&rig->vm->mem, ACPI_RSDP_ADDR) + 16), "RSDT"), *p = table(le32(rsdt + 40), "APIC");
	const u8 *end = p + le32(p + 4);
	unsigned count[5] = {0};

	ck_assert_uint_eq(le32(p + 36), 0xfee00000);
	for (p += 44; p < end; p += p[1]) {
		ck_assert_uint_le(p[0], 4);
		ck_assert_uint_ge(p[1], 6);
		count[p[0]]++;
	}
	ck_assert(p == end);
	ck_assert(count[0] == 1 && count[1] == 1 && count[2] == 5 && count[4] == 1);
	rig->vm->opt.cpu_minus = CPUF_APIC;
	acpi_build(rig->vm);
	rsdt = table(le32(ram_ptr(&rig->vm->mem, ACPI_RSDP_ADDR) + 16), "RSDT");
	ck_assert_uint_eq(le32(rsdt + 4), 40);
}
END_TEST

/* Does to the files what SeaBIOS does, as etc/table-loader says, and finds the tables again. */
START_TEST(tables_for_firmware)
{
	enum { RSDP_AT = 0xf5a00, TABLES_AT = 0xe1000 }; /* the latter so that table() accepts them */
	struct memory *m = &rig->vm->mem;
	size_t n, rsdp_size, tables_size;

	rig->vm->fw_cfg = fw_cfg_create(rig->vm);
	rig->vm->opt.serial_count = 1;
	rig->vm->opt.serial[0] = "null";
	acpi_publish(rig->vm);
	const u8 *c = fw_cfg_file(rig->vm->fw_cfg, "etc/table-loader", &n);
	const u8 *rsdp = fw_cfg_file(rig->vm->fw_cfg, "etc/acpi/rsdp", &rsdp_size);
	const u8 *tables = fw_cfg_file(rig->vm->fw_cfg, "etc/acpi/tables", &tables_size);

	ck_assert(c && rsdp && tables);
	ck_assert_uint_eq(n % 128, 0);
	phys_write(rig->vm, RSDP_AT, rsdp, rsdp_size);
	phys_write(rig->vm, TABLES_AT, tables, tables_size);
	for (; n; n -= 128, c += 128) {
		const char *file = (const char *)c + 4;
		u32 at = strcmp(file, "etc/acpi/rsdp") == 0 ? RSDP_AT : TABLES_AT, arg = le32(c + 60);
		size_t size = at == RSDP_AT ? rsdp_size : tables_size;
		u8 *p;

		switch (le32(c)) {
		case 1:
			ck_assert_uint_eq(c[64], at == RSDP_AT ? 2 : 1);
			ck_assert_uint_eq(at % arg, 0);
			break;
		case 2:
			ck_assert_str_eq((const char *)c + 60, "etc/acpi/tables");
			arg = le32(c + 116);
			ck_assert_uint_le(arg + c[120], size);
			p = ram_ptr(m, at + arg);
			ck_assert_uint_lt(le32(p), tables_size);
			u32 target = le32(p) + TABLES_AT;

			memcpy(p, &target, 4);
			break;
		case 3:
			ck_assert_uint_lt(arg, size);
			ck_assert_uint_le(le32(c + 64) + le32(c + 68), size);
			p = ram_ptr(m, at + arg);
			*p = (u8)(*p - sum(ram_ptr(m, at + le32(c + 64)), le32(c + 68)));
			break;
		default:
			ck_abort_msg("command %u", le32(c));
		}
	}
	rsdp = ram_ptr(m, RSDP_AT);
	ck_assert_uint_eq(sum(rsdp, 20), 0);
	const u8 *fadt = table(le32(table(le32(rsdp + 16), "RSDT") + 36), "FACP");

	ck_assert_uint_eq(le32(fadt + 36) & 63, 0);
	table(le32(fadt + 36), "FACS");
	ck_assert_uint_eq(find_serp(table(le32(fadt + 140), "DSDT"))[6], 1);
}
END_TEST

/* The ports are where firmware has put them by the time that it reads the tables. */
START_TEST(ports_that_firmware_moves)
{
	enum { FILES = 3, TABLES = 0x100000 };
	static const u8 resource[] = {0x47, 0x01, 0x00, 0xe4, 0x00, 0xe4, 0x01, 0x40};
	struct vm *vm = rig->vm;
	const u8 *t = ram_ptr(&vm->mem, TABLES);
	size_t size;

	vm->fw_cfg = fw_cfg_create(vm);
	vm->acpi_pm = pm;
	acpi_publish(vm);
	fw_cfg_file(vm->fw_cfg, "etc/acpi/tables", &size);
	acpi_pm_move(pm, 0xe400);
	for (u32 key = FW_CFG_FILE_FIRST; key < FW_CFG_FILE_FIRST + FILES && memcmp(t, "RSDT", 4) != 0; key++) {
		/* Select and read. */
		u32 dma[4] = {__builtin_bswap32(key << 16 | 0x0a), __builtin_bswap32((u32)size), 0, __builtin_bswap32(TABLES)};

		phys_write(vm, 0x1000, dma, sizeof(dma));
		io_write(vm, 0x518, __builtin_bswap32(0x1000), 4);
	}
	ck_assert_mem_eq(t, "RSDT", 4);
	t += le32(t + 36); /* not relocated */
	ck_assert_mem_eq(t, "FACP", 4);
	ck_assert_uint_eq(le32(t + 56), 0xe400);
	ck_assert_uint_eq(le32(t + 64), 0xe404);
	ck_assert_uint_eq(le32(t + 76), 0xe408);
	ck_assert_uint_eq(le32(t + 152), 0xe400);
	ck_assert_uint_eq(le32(t + 176), 0xe404);
	ck_assert_uint_eq(le32(t + 212), 0xe408);
	ck_assert_ptr_nonnull(memmem(ram_ptr(&vm->mem, TABLES), size, resource, sizeof(resource)));
}
END_TEST

START_TEST(enable_and_power_button)
{
	ck_assert_uint_eq(io_read(rig->vm, 0x604, 2), 0);
	out8(rig, 0xb2, 0xf1);
	ck_assert_uint_eq(io_read(rig->vm, 0x604, 2), 1);
	io_write(rig->vm, 0x602, 0x0120, 2);
	ck_assert_uint_eq(io_read(rig->vm, 0x602, 2), 0x0120);
	rig_lock(rig);
	acpi_pm_power_button(pm);
	rig_unlock(rig);
	ck_assert_int_eq(sci.level, 1);
	ck_assert_uint_eq(io_read(rig->vm, 0x600, 2) & 0x100, 0x100);
	io_write(rig->vm, 0x600, 0x0100, 2);
	ck_assert_int_eq(sci.level, 0);
	ck_assert_uint_eq(io_read(rig->vm, 0x600, 2) & 0x100, 0);
	out8(rig, 0xb2, 0xf0);
	ck_assert_uint_eq(io_read(rig->vm, 0x604, 2), 0);
}
END_TEST

START_TEST(pm_timer)
{
	u32 a = io_read(rig->vm, 0x608, 4);

	rig_advance(rig, 1000 * MS);
	u32 d = (io_read(rig->vm, 0x608, 4) - a) & 0xffffff;

	ck_assert_uint_ge(d, 3579545);
	ck_assert_uint_le(d, 3579545 + 358000);
	/* The carry, 2.34 s apart, interrupts once for each time that it is acknowledged. */
	out8(rig, 0xb2, 0xf1);
	io_write(rig->vm, 0x600, 1, 2);
	io_write(rig->vm, 0x602, 1, 2);
	ck_assert_int_eq(sci.level, 0);
	rig_advance(rig, 2400 * MS);
	ck_assert_int_eq(sci.level, 1);
	ck_assert_uint_eq(io_read(rig->vm, 0x600, 2), 1);
	io_write(rig->vm, 0x600, 1, 2);
	ck_assert_int_eq(sci.level, 0);
	rig_advance(rig, 2400 * MS);
	ck_assert_int_eq(sci.level, 1);
}
END_TEST

/* SCI follows status, enables and SCI_EN, whichever changes. */
START_TEST(sci_follows)
{
	rig_lock(rig);
	acpi_pm_power_button(pm);
	rig_unlock(rig);
	io_write(rig->vm, 0x602, 0x0100, 2);
	ck_assert_int_eq(sci.level, 0);
	out8(rig, 0xb2, 0xf1);
	ck_assert_int_eq(sci.level, 1);
	out8(rig, 0xb2, 0xf0);
	ck_assert_int_eq(sci.level, 0);
	io_write(rig->vm, 0x604, 1, 2);
	ck_assert_int_eq(sci.level, 1);
	io_write(rig->vm, 0x602, 0, 2);
	ck_assert_int_eq(sci.level, 0);
	io_write(rig->vm, 0x602, 0x0100, 2);
	ck_assert_int_eq(sci.level, 1);
	rig_lock(rig);
	vm_reset_devices(rig->vm);
	rig_unlock(rig);
	ck_assert_int_eq(sci.level, 0);
	ck_assert_uint_eq(io_read(rig->vm, 0x600, 4) | io_read(rig->vm, 0x604, 2), 0);
}
END_TEST

/* Every byte of the block, in every size: 16-bit registers, the timer's three bytes, and nothing. */
START_TEST(all_sizes)
{
	io_write(rig->vm, 0x602, 0x0521, 2);
	io_write(rig->vm, 0x604, 0x1c01, 2);
	u32 timer = io_read(rig->vm, 0x608, 4);
	u8 bytes[68] = {0};
	u32 regs[] = {0, 0x0521, 0x1c01};

	ck_assert_uint_eq(timer >> 24, 0);
	for (unsigned k = 0; k < 6; k++)
		bytes[k] = (u8)(regs[k / 2] >> 8 * (k & 1));
	for (unsigned k = 0; k < 4; k++)
		bytes[8 + k] = (u8)(timer >> 8 * k);
	memset(bytes + 64, 0xff, 4);
	for (unsigned at = 0; at < 64; at++) {
		for (unsigned size = 1; size <= 4; size *= 2) {
			u32 want = 0;

			for (unsigned k = 0; k < size; k++)
				want |= (u32)bytes[at + k] << 8 * k;
			ck_assert_msg(io_read(rig->vm, (u16)(0x600 + at), size) == want, "%u bytes at %#x", size, at);
		}
	}
}
END_TEST

/* The timer's interrupt comes in the loaded machine as well, without being looked at. */
START_TEST(carry_after_load)
{
	struct rig *other = rig_create();
	struct wire w = {0};
	struct state s;

	rig_lock(other);
	acpi_pm_move(acpi_pm_create(other->vm, wire_irq(&w)), 0x600);
	rig_unlock(other);
	out8(rig, 0xb2, 0xf1);
	io_write(rig->vm, 0x600, 1, 2);
	io_write(rig->vm, 0x602, 1, 2);
	rig_lock(rig);
	rig_save(rig, "acpi_pm", &s);
	rig_unlock(rig);
	rig_lock(other);
	ck_assert(rig_load(other, "acpi_pm", &s));
	rig_unlock(other);
	for (int i = 0; i < 3; i++)
		rig_advance(other, 1200 * MS);
	ck_assert_int_eq(w.level, 1);
	/* A carry that nobody has looked at yet is acknowledged, too. */
	io_write(rig->vm, 0x602, 0, 2);
	rig_advance(rig, 2400 * MS);
	io_write(rig->vm, 0x600, 1, 2);
	ck_assert_uint_eq(io_read(rig->vm, 0x600, 2) & 1, 0);
	state_free(&s);
	rig_free(other);
}
END_TEST

START_TEST(soft_off)
{
	io_write(rig->vm, 0x604, 0x1401 | 0x2000, 2);
	ck_assert_int_eq(rig->vm->exit_reason, VM_RUNNING); /* no such sleep type */
	io_write(rig->vm, 0x604, 0x2001, 2);
	ck_assert_int_eq(rig->vm->exit_reason, VM_POWEROFF);
	ck_assert_int_eq(rig->vm->exit_status, 0);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct wire w = {0};

	rig_lock(other);
	acpi_pm_move(acpi_pm_create(other->vm, wire_irq(&w)), 0x600);
	rig_unlock(other);
	out8(rig, 0xb2, 0xf1);
	io_write(rig->vm, 0x602, 0x0100, 2);
	rig_advance(rig, 3000 * MS);
	check_saved_state(rig, other, "acpi_pm");
	ck_assert_uint_eq(io_read(other->vm, 0x604, 2), 1);
	ck_assert_uint_eq(io_read(other->vm, 0x602, 2), 0x0100);
	ck_assert_uint_eq(in8(other, 0xb2), 0xf1);
	rig_free(other);
}
END_TEST

START_TEST(hostile)
{
	rig->vm->opt.no_shutdown = true;
	poke_ports(rig, 0x600, 0x63f, 20000);
	poke_ports(rig, 0xb2, 0xb3, 1000);
}
END_TEST

Suite *acpi_suite(void)
{
	Suite *s = suite_create("acpi");
	TCase *t = tcase_create("acpi");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, tables);
	tcase_add_test(t, event_timers);
	tcase_add_test(t, interrupt_controllers);
	tcase_add_test(t, tables_for_firmware);
	tcase_add_test(t, ports_that_firmware_moves);
	tcase_add_test(t, enable_and_power_button);
	tcase_add_test(t, pm_timer);
	tcase_add_test(t, sci_follows);
	tcase_add_test(t, all_sizes);
	tcase_add_test(t, carry_after_load);
	tcase_add_test(t, soft_off);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, hostile);
	suite_add_tcase(s, t);
	return s;
}
