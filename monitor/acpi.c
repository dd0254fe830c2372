/*
 * Builds the ACPI tables: RSDP -> RSDT -> FADT -> FACS, DSDT; RSDT -> MADT, HPET. The DSDT is monitor/devices/dsdt.asl, compiled by iasl
 * when Ringer is built.
 *
 * They are built with pointers that are offsets, and a list of what is to be done when it is known where they will lie: relocate() does it
 * for a machine that starts without firmware; firmware does it itself, told by the list as the commands of etc/table-loader. Firmware also
 * chooses where the power management ports lie, before it fetches the tables: they are built again then. Neither size nor list depend on
 * it.
 *
 * Invariants: everything fits into [ACPI_AREA_BASE, + ACPI_AREA_SIZE); every table's bytes add up to 0; what the FADT says of ports is what
 * monitor/devices/acpi_pm.h implements, what the MADT says of interrupts is ioapic.h's. A CPU without a local APIC gets no MADT.
 * Which serial ports exist, and whether the HPET does, is told to the DSDT by bytes in it (the integers SERP and HPTP), so that one
 * compiled table serves all machines.
 */
#include "monitor/acpi.h"

#include <string.h>

#include "monitor/cpuid.h"
#include "monitor/devices/acpi_pm.h"
#include "monitor/devices/fw_cfg.h"
#include "monitor/devices/hpet.h"
#include "monitor/devices/ioapic.h"
#include "monitor/devices/lapic.h"
#include "monitor/log.h"
#include "monitor/machine.h"
#include "monitor/memory.h"
#include "monitor/vm.h"

#include "dsdt.hex"

#define RSDP_SIZE   20
#define HEADER_SIZE 36
#define RSDT_MAX    (HEADER_SIZE + 3 * 4)
#define MADT_SIZE   (HEADER_SIZE + 8 + 8 + 12 + 5 * 10 + 6)
#define HPET_LENGTH (HEADER_SIZE + 20)
#define FADT_SIZE   244 /* ACPI 2.0 to 4.0 */
#define FACS_SIZE   64
#define MAX_FIXES   16

/* FADT, ACPI 5.2.9. */
enum {
	FADT_FACS = 36,
	FADT_DSDT = 40,
	FADT_PROFILE = 45,
	FADT_SCI_INT = 46,
	FADT_SMI_CMD = 48,
	FADT_ACPI_ENABLE = 52,
	FADT_ACPI_DISABLE = 53,
	FADT_PM1A_EVT = 56,
	FADT_PM1A_CNT = 64,
	FADT_PM_TMR = 76,
	FADT_PM1_EVT_LEN = 88,
	FADT_PM1_CNT_LEN = 89,
	FADT_PM_TMR_LEN = 91,
	FADT_P_LVL2_LAT = 96,
	FADT_P_LVL3_LAT = 98,
	FADT_CENTURY = 108,
	FADT_BOOT_ARCH = 109,
	FADT_FLAGS = 112,
	FADT_RESET_REG = 116,
	FADT_RESET_VALUE = 128,
	FADT_X_FACS = 132,
	FADT_X_DSDT = 140,
	FADT_X_PM1A_EVT = 148,
	FADT_X_PM1A_CNT = 172,
	FADT_X_PM_TMR = 208,
};

#define PROFILE_DESKTOP	    1
#define BOOT_LEGACY_DEVICES 0x0001
#define BOOT_8042	    0x0002
#define BOOT_NO_VGA	    0x0004
#define FLAG_WBINVD	    (1u << 0)
#define FLAG_PROC_C1	    (1u << 2)
#define FLAG_NO_SLP_BUTTON  (1u << 5)
#define FLAG_NO_FIX_RTC	    (1u << 6)
#define FLAG_RESET_REG	    (1u << 10)
#define NO_C2_LATENCY	    101	 /* above 100 us: not supported */
#define NO_C3_LATENCY	    1001 /* above 1000 us */
#define RESET_PORT	    0xcf9
#define RESET_VALUE	    0x06
#define GAS_IO		    1
#define SCI_IRQ		    9
#define CMOS_CENTURY	    0x32

/* The area being filled: the RSDP, then the tables. */
struct area {
	u8 bytes[ACPI_AREA_SIZE];
	u32 used;
	struct fix {
		u32 at;		   /* of a pointer, or of a checksum */
		u32 start, length; /* length 0: a 32- or 64-bit pointer of `size` bytes; else what the checksum is of */
		unsigned size;
	} fixes[MAX_FIXES];
	unsigned fix_count;
};

static void put(u8 *p, u64 value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = value >> 8 * i;
}

/* Space for a table; returns its offset. */
static u32 reserve(struct area *a, u32 size, u32 align)
{
	u32 at = (a->used + align - 1) & ~(align - 1);

	if (at + size > ACPI_AREA_SIZE)
		fatal("the ACPI tables do not fit");
	a->used = at + size;
	return at;
}

static void add_fix(struct area *a, struct fix f)
{
	if (a->fix_count == MAX_FIXES)
		fatal("the ACPI tables have too many pointers");
	a->fixes[a->fix_count++] = f;
}

/* A pointer of `size` bytes at `at` to what lies at offset `target`. */
static void point(struct area *a, u32 at, u32 target, unsigned size)
{
	put(a->bytes + at, target, size);
	add_fix(a, (struct fix){.at = at, .size = size});
}

static u8 checksum(const u8 *p, u32 size)
{
	u8 sum = 0;

	for (u32 i = 0; i < size; i++)
		sum += p[i];
	return -sum;
}

/* The header that every table but RSDP and FACS has, ACPI 5.2.6. */
static void header(struct area *a, u32 at, const char *signature, u32 size, u8 revision)
{
	u8 *t = a->bytes + at;

	memcpy(t, signature, 4);
	put(t + 4, size, 4);
	t[8] = revision;
	memcpy(t + 10, "RINGER", 6);
	memcpy(t + 16, "RINGERPC", 8);
	put(t + 24, 1, 4);
	memcpy(t + 28, "RNGR", 4);
	put(t + 32, 1, 4);
	add_fix(a, (struct fix){.at = at + 9, .start = at, .length = size});
}

/* A generic address structure, ACPI 5.2.3.2. */
static void gas_io(u8 *p, u16 port, u8 bits)
{
	p[0] = GAS_IO;
	p[1] = bits;
	p[3] = bits == 8 ? 1 : bits == 16 ? 2 : 3;
	put(p + 4, port, 8);
}

static void build_fadt(struct area *a, u32 at, u32 facs, u32 dsdt, u16 pm)
{
	u8 *f = a->bytes + at;

	point(a, at + FADT_FACS, facs, 4);
	point(a, at + FADT_DSDT, dsdt, 4);
	point(a, at + FADT_X_FACS, facs, 8);
	point(a, at + FADT_X_DSDT, dsdt, 8);
	f[FADT_PROFILE] = PROFILE_DESKTOP;
	put(f + FADT_SCI_INT, SCI_IRQ, 2);
	put(f + FADT_SMI_CMD, ACPI_SMI_COMMAND, 4);
	f[FADT_ACPI_ENABLE] = ACPI_SMI_ENABLE;
	f[FADT_ACPI_DISABLE] = ACPI_SMI_DISABLE;
	put(f + FADT_PM1A_EVT, pm + ACPI_PM1_EVENT, 4);
	put(f + FADT_PM1A_CNT, pm + ACPI_PM1_CONTROL, 4);
	put(f + FADT_PM_TMR, pm + ACPI_PM_TIMER, 4);
	f[FADT_PM1_EVT_LEN] = 4;
	f[FADT_PM1_CNT_LEN] = 2;
	f[FADT_PM_TMR_LEN] = 4;
	put(f + FADT_P_LVL2_LAT, NO_C2_LATENCY, 2);
	put(f + FADT_P_LVL3_LAT, NO_C3_LATENCY, 2);
	f[FADT_CENTURY] = CMOS_CENTURY;
	put(f + FADT_BOOT_ARCH, BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA, 2);
	put(f + FADT_FLAGS, FLAG_WBINVD | FLAG_PROC_C1 | FLAG_NO_SLP_BUTTON | FLAG_NO_FIX_RTC | FLAG_RESET_REG, 4);
	gas_io(f + FADT_RESET_REG, RESET_PORT, 8);
	f[FADT_RESET_VALUE] = RESET_VALUE;
	gas_io(f + FADT_X_PM1A_EVT, pm + ACPI_PM1_EVENT, 32);
	gas_io(f + FADT_X_PM1A_CNT, pm + ACPI_PM1_CONTROL, 16);
	gas_io(f + FADT_X_PM_TMR, pm + ACPI_PM_TIMER, 32);
	header(a, at, "FACP", FADT_SIZE, 3);
}

/* The interrupt controllers, ACPI 5.2.12. */
static void build_madt(struct area *a, u32 at)
{
	/* ISA interrupts that differ from their inputs: the timer's number; those of PCI and ACPI are level-triggered, active high. */
	static const struct {
		u8 irq, gsi, flags;
	} overrides[] = {{0, 2, 0}, {5, 5, 0x0d}, {9, 9, 0x0d}, {10, 10, 0x0d}, {11, 11, 0x0d}};
	u8 *p = a->bytes + at + HEADER_SIZE;

	put(p, LAPIC_BASE, 4);
	put(p + 4, 1, 4); /* there is a pair of 8259s as well */
	p += 8;
	p[0] = 0; /* processor 0, local APIC 0, enabled */
	p[1] = 8;
	p[4] = 1;
	p += 8;
	p[0] = 1; /* I/O APIC 0, inputs from 0 on */
	p[1] = 12;
	put(p + 4, IOAPIC_BASE, 4);
	p += 12;
	for (unsigned i = 0; i < ARRAY_SIZE(overrides); i++, p += 10) {
		p[0] = 2;
		p[1] = 10;
		p[3] = overrides[i].irq;
		put(p + 4, overrides[i].gsi, 4);
		p[8] = overrides[i].flags;
	}
	p[0] = 4; /* NMI at LINT1 of all */
	p[1] = 6;
	p[2] = 0xff;
	p[5] = 1;
	header(a, at, "APIC", MADT_SIZE, 1);
}

/* The event timers, HPET 3.2.4. */
static void build_hpet(struct area *a, u32 at)
{
	u8 *p = a->bytes + at + HEADER_SIZE;

	put(p, HPET_BLOCK_ID, 4);
	put(p + 8, HPET_BASE, 8); /* in memory: 0 in front of it */
	put(p + 17, HPET_MIN_TICK, 2);
	header(a, at, "HPET", HPET_LENGTH, 1);
}

/* Tells the DSDT something: the value of Name (..., 0xA5), AML 20.2.5.1 and 20.2.3. */
static void tell(u8 *dsdt, u32 size, const char *name, u8 value)
{
	u8 pattern[] = {0x08, name[0], name[1], name[2], name[3], 0x0a, 0xa5};
	u8 *p = memmem(dsdt, size, pattern, sizeof(pattern));

	if (!p)
		fatal("the DSDT has no %s", name);
	p[sizeof(pattern) - 1] = value;
}

static u8 serials(const struct vm *vm)
{
	u8 set = 0;

	for (int i = 0; i < MAX_SERIALS; i++)
		if (machine_has_serial(vm, i))
			set |= BIT(i);
	return set;
}

/* The DSDT's resource IO (Decode16, 0x0600, 0x0600, 0x01, 0x40), ACPI 6.4.2.5. */
static void tell_pm_ports(u8 *dsdt, u32 size, u16 pm)
{
	u8 ports[] = {0x47, 0x01, 0, 0, 0, 0, 0x01, ACPI_PM_PORTS}, *p;

	put(ports + 2, ACPI_PM_BASE, 2);
	put(ports + 4, ACPI_PM_BASE, 2);
	p = memmem(dsdt, size, ports, sizeof(ports));
	if (!p)
		fatal("the DSDT has no ports of power management");
	put(p + 2, pm, 2);
	put(p + 4, pm, 2);
}

/* pm: the first of the power management ports. */
static void build(const struct vm *vm, struct area *a, u16 pm)
{
	u32 rsdp = reserve(a, RSDP_SIZE, 16);
	u32 rsdt = reserve(a, RSDT_MAX, FACS_SIZE);
	u32 fadt = reserve(a, FADT_SIZE, 16);
	u32 facs = reserve(a, FACS_SIZE, FACS_SIZE);
	u32 madt = reserve(a, MADT_SIZE, 16);
	u32 hpet = reserve(a, HPET_LENGTH, 16);
	u32 dsdt = reserve(a, sizeof(dsdt_aml_code), 16);
	u32 entry = rsdt + HEADER_SIZE;

	memcpy(a->bytes + dsdt, dsdt_aml_code, sizeof(dsdt_aml_code));
	tell(a->bytes + dsdt, sizeof(dsdt_aml_code), "SERP", serials(vm));
	tell(a->bytes + dsdt, sizeof(dsdt_aml_code), "HPTP", vm->opt.hpet);
	tell_pm_ports(a->bytes + dsdt, sizeof(dsdt_aml_code), pm);
	add_fix(a, (struct fix){.at = dsdt + 9, .start = dsdt, .length = sizeof(dsdt_aml_code)});
	memcpy(a->bytes + facs, "FACS", 4);
	put(a->bytes + facs + 4, FACS_SIZE, 4);
	a->bytes[facs + 32] = 1; /* version */
	build_fadt(a, fadt, facs, dsdt, pm);
	point(a, entry, fadt, 4);
	entry += 4;
	if (cpu_has_apic(&vm->opt)) {
		build_madt(a, madt);
		point(a, entry, madt, 4);
		entry += 4;
	}
	if (vm->opt.hpet) {
		build_hpet(a, hpet);
		point(a, entry, hpet, 4);
		entry += 4;
	}
	header(a, rsdt, "RSDT", entry - rsdt, 1);
	/* ACPI 1.0's pointer: there is nothing above 4 GiB to point to. */
	memcpy(a->bytes + rsdp, "RSD PTR ", 8);
	memcpy(a->bytes + rsdp + 9, "RINGER", 6);
	point(a, rsdp + 16, rsdt, 4);
	add_fix(a, (struct fix){.at = rsdp + 8, .start = rsdp, .length = RSDP_SIZE});
	for (unsigned i = 0; i < a->fix_count; i++)
		if (a->fixes[i].length)
			a->bytes[a->fixes[i].at] = 0;
}

/* Pointers come before the checksums of what they are in. */
static void relocate(struct area *a, u32 base)
{
	for (unsigned i = 0; i < a->fix_count; i++) {
		const struct fix *f = &a->fixes[i];
		u8 *p = a->bytes + f->at;

		if (f->length)
			*p = checksum(a->bytes + f->start, f->length);
		else
			put(p, base + (p[0] | p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24), f->size);
	}
}

void acpi_build(struct vm *vm)
{
	struct area a = {0};

	build(vm, &a, ACPI_PM_BASE);
	relocate(&a, ACPI_AREA_BASE);
	phys_write(vm, ACPI_AREA_BASE, a.bytes, sizeof(a.bytes));
}

/* ---- for firmware ---- */

#define FILE_RSDP   "etc/acpi/rsdp"
#define FILE_TABLES "etc/acpi/tables"

/* A command of etc/table-loader: 128 bytes, little-endian. */
enum { LOADER_ALLOCATE = 1, LOADER_POINTER = 2, LOADER_CHECKSUM = 3, LOADER_SIZE = 128, LOADER_NAME = 56 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

static void allocate_command(u8 *c, const char *file, u32 align, u8 zone)
{
	put(c, LOADER_ALLOCATE, 4);
	memcpy(c + 4, file, strlen(file));
	put(c + 4 + LOADER_NAME, align, 4);
	c[8 + LOADER_NAME] = zone;
}

static void fix_command(u8 *c, const struct fix *f, u32 tables)
{
	u32 origin = f->at < tables ? 0 : tables;
	const char *file = origin ? FILE_TABLES : FILE_RSDP;

	put(c, f->length ? LOADER_CHECKSUM : LOADER_POINTER, 4);
	memcpy(c + 4, file, strlen(file));
	c += 4 + LOADER_NAME;
	if (f->length) {
		put(c, f->at - origin, 4);
		put(c + 4, f->start - origin, 4);
		put(c + 8, f->length, 4);
	} else {
		memcpy(c, FILE_TABLES, strlen(FILE_TABLES));
		put(c + LOADER_NAME, f->at - origin, 4);
		c[LOADER_NAME + 4] = (u8)f->size;
	}
}

/* The tables of FILE_TABLES begin at the first multiple of the FACS's alignment behind the RSDP; pointers go there, none to the RSDP. */
#define TABLES_AT ((u32)FACS_SIZE)

static void build_file(const struct vm *vm, struct area *a, u16 pm)
{
	build(vm, a, pm);
	for (unsigned i = 0; i < a->fix_count; i++) {
		u8 *p = a->bytes + a->fixes[i].at;

		if (!a->fixes[i].length)
			put(p, (p[0] | p[1] << 8 | (u32)p[2] << 16) - TABLES_AT, 4);
	}
}

/* Firmware reads the tables: says where the ports lie now. */
static void refresh_tables(void *opaque, u8 *data, size_t size)
{
	const struct vm *vm = opaque;
	u32 pm = acpi_pm_base(vm->acpi_pm);
	struct area a = {0};

	build_file(vm, &a, pm == IO_NOWHERE ? ACPI_PM_BASE : (u16)pm);
	memcpy(data, a.bytes + TABLES_AT, size);
}

void acpi_publish(struct vm *vm)
{
	struct area a = {0};
	u8 loader[(2 + MAX_FIXES) * LOADER_SIZE] = {0};

	build_file(vm, &a, ACPI_PM_BASE);
	allocate_command(loader, FILE_RSDP, 16, ZONE_FSEG);
	allocate_command(loader + LOADER_SIZE, FILE_TABLES, FACS_SIZE, ZONE_HIGH);
	for (unsigned i = 0; i < a.fix_count; i++)
		fix_command(loader + (2 + i) * LOADER_SIZE, &a.fixes[i], TABLES_AT);
	fw_cfg_add_file(vm->fw_cfg, FILE_RSDP, a.bytes, RSDP_SIZE);
	fw_cfg_add_file(vm->fw_cfg, FILE_TABLES, a.bytes + TABLES_AT, a.used - TABLES_AT);
	fw_cfg_refresh_file(vm->fw_cfg, FILE_TABLES, refresh_tables, vm);
	fw_cfg_add_file(vm->fw_cfg, "etc/table-loader", loader, (2 + a.fix_count) * LOADER_SIZE);
}
