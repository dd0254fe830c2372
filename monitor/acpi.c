/*
 * Builds the ACPI tables: RSDP -> RSDT -> FADT -> FACS, DSDT. The DSDT is monitor/devices/dsdt.asl, compiled by iasl when Ringer is built.
 *
 * Invariants: everything lies in [ACPI_AREA_BASE, + ACPI_AREA_SIZE); every table's bytes add up to 0; what the FADT says of ports is what
 * monitor/devices/acpi_pm.h implements. There is no MADT: interrupts go through the 8259 pair.
 * Which serial ports exist is told to the DSDT by one byte in memory (its operation region CONF), so that one compiled table serves all
 * machines.
 */
#include "monitor/acpi.h"

#include <string.h>

#include "monitor/devices/acpi_pm.h"
#include "monitor/log.h"
#include "monitor/machine.h"
#include "monitor/memory.h"
#include "monitor/vm.h"

#include "dsdt.hex"

#define RSDP_SIZE   20
#define HEADER_SIZE 36
#define RSDT_SIZE   (HEADER_SIZE + 4)
#define FADT_SIZE   244 /* ACPI 2.0 to 4.0 */
#define FACS_SIZE   64
#define CONF_OFFSET (ACPI_AREA_SIZE - 16) /* dsdt.asl: CONF */

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

/* The area being filled. */
struct area {
	u8 bytes[ACPI_AREA_SIZE];
	u32 used;
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

	if (at + size > CONF_OFFSET)
		fatal("the ACPI tables do not fit");
	a->used = at + size;
	return at;
}

static u8 checksum(const u8 *p, u32 size)
{
	u8 sum = 0;

	for (u32 i = 0; i < size; i++)
		sum += p[i];
	return -sum;
}

/* The header that every table but RSDP and FACS has, ACPI 5.2.6; checksum last. */
static void header(u8 *t, const char *signature, u32 size, u8 revision)
{
	memcpy(t, signature, 4);
	put(t + 4, size, 4);
	t[8] = revision;
	memcpy(t + 10, "RINGER", 6);
	memcpy(t + 16, "RINGERPC", 8);
	put(t + 24, 1, 4);
	memcpy(t + 28, "RNGR", 4);
	put(t + 32, 1, 4);
	t[9] = 0;
	t[9] = checksum(t, size);
}

/* A generic address structure, ACPI 5.2.3.2. */
static void gas_io(u8 *p, u16 port, u8 bits)
{
	p[0] = GAS_IO;
	p[1] = bits;
	p[3] = bits == 8 ? 1 : bits == 16 ? 2 : 3;
	put(p + 4, port, 8);
}

static void build_fadt(u8 *f, u32 facs, u32 dsdt)
{
	put(f + FADT_FACS, facs, 4);
	put(f + FADT_DSDT, dsdt, 4);
	f[FADT_PROFILE] = PROFILE_DESKTOP;
	put(f + FADT_SCI_INT, SCI_IRQ, 2);
	put(f + FADT_SMI_CMD, ACPI_SMI_COMMAND, 4);
	f[FADT_ACPI_ENABLE] = ACPI_SMI_ENABLE;
	f[FADT_ACPI_DISABLE] = ACPI_SMI_DISABLE;
	put(f + FADT_PM1A_EVT, ACPI_PM1_EVENT, 4);
	put(f + FADT_PM1A_CNT, ACPI_PM1_CONTROL, 4);
	put(f + FADT_PM_TMR, ACPI_PM_TIMER, 4);
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
	put(f + FADT_X_FACS, facs, 8);
	put(f + FADT_X_DSDT, dsdt, 8);
	gas_io(f + FADT_X_PM1A_EVT, ACPI_PM1_EVENT, 32);
	gas_io(f + FADT_X_PM1A_CNT, ACPI_PM1_CONTROL, 16);
	gas_io(f + FADT_X_PM_TMR, ACPI_PM_TIMER, 32);
	header(f, "FACP", FADT_SIZE, 3);
}

void acpi_build(struct vm *vm)
{
	struct area a = {0};
	u32 rsdp = reserve(&a, RSDP_SIZE, 16);
	u32 rsdt = reserve(&a, RSDT_SIZE, 16);
	u32 fadt = reserve(&a, FADT_SIZE, 16);
	u32 facs = reserve(&a, FACS_SIZE, 64);
	u32 dsdt = reserve(&a, sizeof(dsdt_aml_code), 16);

	memcpy(a.bytes + dsdt, dsdt_aml_code, sizeof(dsdt_aml_code));
	memcpy(a.bytes + facs, "FACS", 4);
	put(a.bytes + facs + 4, FACS_SIZE, 4);
	a.bytes[facs + 32] = 1; /* version */
	build_fadt(a.bytes + fadt, ACPI_AREA_BASE + facs, ACPI_AREA_BASE + dsdt);
	put(a.bytes + rsdt + HEADER_SIZE, ACPI_AREA_BASE + fadt, 4);
	header(a.bytes + rsdt, "RSDT", RSDT_SIZE, 1);
	/* ACPI 1.0's pointer: there is nothing above 4 GiB to point to. */
	memcpy(a.bytes + rsdp, "RSD PTR ", 8);
	memcpy(a.bytes + rsdp + 9, "RINGER", 6);
	put(a.bytes + rsdp + 16, ACPI_AREA_BASE + rsdt, 4);
	a.bytes[rsdp + 8] = checksum(a.bytes + rsdp, RSDP_SIZE);
	for (int i = 0; i < MAX_SERIALS; i++)
		if (machine_has_serial(vm, i))
			a.bytes[CONF_OFFSET] |= BIT(i);
	phys_write(vm, ACPI_AREA_BASE, a.bytes, sizeof(a.bytes));
}
