/*
 * The PIIX4's power management function: configuration space only; acpi_pm.c is what it places.
 *
 * Invariants: the port block is where PMBA says while PMREGMISC bit 0 is set, else nowhere. System management interrupts count as set up
 * already (DEVACTB bit 25): there is no system management mode, and firmware that tried it would wait for ever. The SMBus controller is
 * absent: its base cannot be written and reads as 0.
 */
#include "monitor/devices/piix4_pm.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/devices/acpi_pm.h"
#include "monitor/devices/pci.h"
#include "monitor/log.h"

#define DEVACTB_APMC 0x5b /* bits 31:24 of DEVACTB */
#define APMC_ENABLED 0x02
#define INT_LINE     0x3c
#define INT_PIN	     0x3d

struct piix4_pm {
	struct pci_device dev;
	struct acpi_pm *pm;
	u32 base;
};

static void place(struct piix4_pm *p)
{
	const u8 *c = p->dev.config;
	u32 base = c[PIIX4_PM_ENABLE] & 1 ? (u32)c[PIIX4_PM_BASE + 1] << 8 | (c[PIIX4_PM_BASE] & 0xc0) : IO_NOWHERE;

	if (base == p->base)
		return;
	p->base = base;
	acpi_pm_move(p->pm, base);
}

static void piix4_pm_written(struct pci_device *d, unsigned reg, unsigned size)
{
	(void)reg;
	(void)size;
	place(d->opaque);
}

static void piix4_pm_free(struct pci_device *d)
{
	free(d->opaque);
}

void piix4_pm_create(struct pci_bus *bus, struct acpi_pm *pm)
{
	struct piix4_pm *p = calloc(1, sizeof(*p));
	static const u8 config[] = {
		0x86, 0x80, 0x13, 0x71, /* vendor, device */
		0x00, 0x00, 0x80, 0x02, /* command; status: medium DEVSEL#, fast back-to-back */
		0x03, 0x00, 0x80, 0x06, /* revision; class: other bridge */
	};

	if (!p)
		fatal("out of memory");
	p->pm = pm;
	p->base = IO_NOWHERE;
	p->dev = (struct pci_device){
		.name = "piix4_pm", .opaque = p, .devfn = PIIX4_PM_DEVFN, .written = piix4_pm_written, .free = piix4_pm_free};
	memcpy(p->dev.config, config, sizeof(config));
	p->dev.config[INT_LINE] = 9; /* the SCI, which is wired */
	p->dev.config[INT_PIN] = 1;
	p->dev.config[PIIX4_PM_BASE] = 1;
	p->dev.writable[PIIX4_PM_BASE] = 0xc0;
	p->dev.writable[PIIX4_PM_BASE + 1] = 0xff;
	p->dev.config[DEVACTB_APMC] = APMC_ENABLED;
	p->dev.writable[PIIX4_PM_ENABLE] = 0x01;
	pci_attach(bus, &p->dev);
}
