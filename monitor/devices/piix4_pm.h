/* The power management function of the PIIX4 (data sheet 290562, chapter 7), at 00:01.3: where the ports of acpi_pm.h lie. */
#ifndef RINGER_PIIX4_PM_H
#define RINGER_PIIX4_PM_H

struct pci_bus;
struct acpi_pm;

#define PIIX4_PM_DEVFN	0x0b
#define PIIX4_PM_BASE	0x40 /* port base, 32 bits */
#define PIIX4_PM_ENABLE 0x80 /* bit 0: the ports are decoded */

/* Puts it on the bus, which owns it. */
void piix4_pm_create(struct pci_bus *bus, struct acpi_pm *pm);

#endif
