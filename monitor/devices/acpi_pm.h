/* The ACPI fixed hardware: PM1a event and control blocks, the PM timer, the SMI command port. ACPI specification 4.8. */
#ifndef RINGER_ACPI_PM_H
#define RINGER_ACPI_PM_H

#include "monitor/io.h"

/* What the FADT says of it. */
#define ACPI_PM1_EVENT	 0x600 /* status, enable: 16 bits each */
#define ACPI_PM1_CONTROL 0x604
#define ACPI_PM_TIMER	 0x608
#define ACPI_SMI_COMMAND 0xb2
#define ACPI_SMI_ENABLE	 0xf1
#define ACPI_SMI_DISABLE 0xf0
#define ACPI_SLP_TYP_S5	 0 /* as in the DSDT's \_S5 */

struct acpi_pm;

/* Registers it with vm, which owns it. sci is IRQ9. */
struct acpi_pm *acpi_pm_create(struct vm *vm, struct irq sci);
/* Somebody presses the power button: the guest's operating system is told, and shuts down if it listens. Lock held. */
void acpi_pm_power_button(struct acpi_pm *a);

#endif
