/* The floppy disk controller: an 82077AA (Intel data sheet 290166) with up to two drives, ports 3F0h to 3F7h, IRQ6, DMA channel 2. */
#ifndef RINGER_FDC_H
#define RINGER_FDC_H

#include "monitor/block.h"
#include "monitor/io.h"

struct dma8237;
struct fdc;

/* What a drive is made of. block: taken over and closed in the end; NULL: no disk in it. */
struct fdc_drive_config {
	bool present;
	struct block *block;
};

/* Registers it with vm, which owns it. fatal() is not its business: see fdc_takes. */
struct fdc *fdc_create(struct vm *vm, struct dma8237 *dma, struct irq irq, const struct fdc_drive_config drives[2]);
/* Whether an image of so many sectors can be a floppy disk: of one of the usual formats, or small enough for the largest. */
bool fdc_takes(u64 sectors);
/* The drive's type as a PC's CMOS has it at 10h: 0 none, 1 360K, 2 1.2M, 3 720K, 4 1.44M, 5 2.88M. Any time after fdc_create. */
u8 fdc_drive_type(const struct fdc *f, int drive);
/* Whether there is such a drive, and the disk in it or NULL. Lock held. */
bool fdc_view(const struct fdc *f, int drive, const struct block **block);
/*
 * Another disk in the drive, which is taken over, or none (NULL); the change line rises. The old one is closed; a command that uses it
 * fails. The disk is one that fdc_takes. vCPU thread, lock held.
 */
void fdc_change(struct fdc *f, int drive, struct block *block);

#endif
