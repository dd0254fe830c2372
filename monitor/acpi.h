/* The ACPI tables that a guest kernel finds in the firmware area below 1 MiB. ACPI specification 5.2. */
#ifndef RINGER_ACPI_H
#define RINGER_ACPI_H

struct vm;

/* Guest-physical. The area is reserved in the guest's memory map; the RSDP is its first structure, where also a scan for its signature
 * finds it. */
#define ACPI_AREA_BASE 0xe0000u
#define ACPI_AREA_SIZE 0x4000u
#define ACPI_RSDP_ADDR ACPI_AREA_BASE

/* Writes all tables into guest RAM. By the loaders, at every (re)start, before the vCPU runs. */
void acpi_build(struct vm *vm);
/* Hands them to firmware, as files of vm->fw_cfg: etc/acpi/rsdp, etc/acpi/tables, etc/table-loader. Start-up. */
void acpi_publish(struct vm *vm);

#endif
