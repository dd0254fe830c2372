/* The ACPI fixed hardware: PM1a event and control blocks, the PM timer, the SMI command port. ACPI specification 4.8. */
#ifndef RINGER_ACPI_PM_H
#define RINGER_ACPI_PM_H

#include "monitor/io.h"

/* What the FADT says of it. The port block lies where firmware puts it; where there is no firmware, at ACPI_PM_BASE. */
#define ACPI_PM_BASE	 0x600
#define ACPI_PM_PORTS	 0x40
#define ACPI_PM1_EVENT	 0 /* in the block: status, enable, 16 bits each */
#define ACPI_PM1_CONTROL 4
#define ACPI_PM_TIMER	 8
#define ACPI_SMI_COMMAND 0xb2
#define ACPI_SMI_ENABLE	 0xf1
#define ACPI_SMI_DISABLE 0xf0
#define ACPI_SLP_TYP_S5	 0 /* as in the DSDT's \_S5 */

struct acpi_pm;

/* Registers it with vm, which owns it. sci is IRQ9. The port block is nowhere until acpi_pm_move. */
struct acpi_pm *acpi_pm_create(struct vm *vm, struct irq sci);
/* The block of ACPI_PM_PORTS ports answers from `base` on, or nowhere (IO_NOWHERE). vCPU thread with the lock, or start-up. */
void acpi_pm_move(struct acpi_pm *a, u32 base);
/* The first of them now, or IO_NOWHERE. Lock held. */
u32 acpi_pm_base(const struct acpi_pm *a);
/* Somebody presses the power button: the guest's operating system is told, and shuts down if it listens. Lock held. */
void acpi_pm_power_button(struct acpi_pm *a);

#endif
