/*
 * What the tests of disks and of CD-ROM drives share: a controller whose bus master is at ports BM, a descriptor table at PRD, and one
 * drive's image.
 */
#ifndef RINGER_IDE_HARNESS_H
#define RINGER_IDE_HARNESS_H

#include "monitor/devices/ide.h"
#include "monitor/devices/pci.h"
#include "monitor/devices/sysctl.h"
#include "tests/unit/disk_harness.h"

#define BM	   0xc000
#define PRD	   0x1000u
#define DATA	   0x10000u
#define IDE_CONFIG 0x80000900u /* the PCI function's registers, as CF8h names them */
enum { BSY = 0x80, DRDY = 0x40, DSC = 0x10, DRQ = 8, ERR = 1 };

static struct rig *rig;
static struct image image;
static struct wire wire[2];

static inline void ide_config(struct rig *r, u8 reg, u32 value, unsigned size)
{
	io_write(r->vm, 0xcf8, IDE_CONFIG | reg, 4);
	io_write(r->vm, 0xcfc, value, size);
}

/* A controller with these drives, which may master the bus. */
static inline struct ide *ide_plug(struct rig *r, const struct ide_drive_config drives[2][2])
{
	const struct irq irqs[2] = {wire_irq(&wire[0]), wire_irq(&wire[1])};
	struct ide *ide = ide_create(r->vm, pci_create(r->vm, sysctl_create(r->vm)), irqs, drives);

	ide_config(r, 0x20, BM, 4);
	ide_config(r, 0x04, 5, 2);
	return ide;
}

/* Descriptor n of the table. */
static inline void prd(unsigned n, u32 addr, u32 count)
{
	u32 d[2] = {addr, count};

	rig_lock(rig);
	phys_write(rig->vm, PRD + 8 * n, d, 8);
	rig_unlock(rig);
}

static inline bool ram_is_sector(u32 addr, u64 n)
{
	return is_sector(ram_ptr(&rig->vm->mem, addr), n);
}

static inline void teardown(void)
{
	rig_free(rig);
	close(image.fd);
}

#endif
