/*
 * The two IDE channels of a PIIX3 and their drives: disks (ATA/ATAPI-6, T13/1410D) and CD-ROM drives (ATAPI, with MMC-3's commands), behind
 * the legacy ports, with bus-master DMA (Intel 82371SB data sheet 290550, sections 2.7 and 3.2).
 */
#ifndef RINGER_IDE_H
#define RINGER_IDE_H

#include "monitor/block.h"
#include "monitor/io.h"

struct pci_bus;
struct ide;

enum ide_kind { IDE_NONE, IDE_DISK, IDE_CDROM };

/* What a drive is made of. block: taken over and closed in the end; NULL in a CD-ROM drive: there is no disc in it. */
struct ide_drive_config {
	enum ide_kind kind;
	struct block *block;
};

/*
 * Registers both channels with vm, which owns them, and their PCI function 00:01.1 with bus, if that is not NULL. drives: by channel and
 * unit. irq: lines 14 and 15.
 */
struct ide *ide_create(struct vm *vm, struct pci_bus *bus, const struct irq irq[2], const struct ide_drive_config drives[2][2]);
/* Geometry of a disk as it says in IDENTIFY, for the firmware's tables; false if there is no disk. Any time after ide_create. */
bool ide_geometry(const struct ide *ide, int channel, int unit, struct chs *g);
/* What is where. Lock held. */
struct ide_drive_view {
	enum ide_kind kind;
	const struct block *block;
	bool tray_open, locked;
};
void ide_view(const struct ide *ide, int channel, int unit, struct ide_drive_view *view);
/*
 * Another disc, which is taken over, in a CD-ROM drive, and the tray closed; or none (NULL), and the tray open. The old one is closed; a
 * command that reads it fails. vCPU thread, lock held.
 */
void ide_change(struct ide *ide, int channel, int unit, struct block *block);
/* Somebody presses the eject button of a drive that the guest has locked: it is told. Lock held. */
void ide_press_eject(struct ide *ide, int channel, int unit);

#endif
