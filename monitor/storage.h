/* The drives of the machine: opens their images and creates the controllers. */
#ifndef RINGER_STORAGE_H
#define RINGER_STORAGE_H

#include "monitor/types.h"

struct vm;
struct block;

/*
 * Creates DMA controllers, IDE and floppy controllers with the drives that vm->opt names, and writes what a PC's CMOS says of them. fatal()
 * if an image cannot be had. Start-up, vm->lock held, with bus, interrupt lines and CMOS there.
 */
void storage_create(struct vm *vm);

/* ---- media that can be changed while the machine runs; lock held ---- */

struct storage_drive {
	char name[16]; /* QEMU's: ide0-hd0, ide1-cd0, floppy0 */
	const struct block *block;
	bool floppy, removable, locked, tray_open;
	int bus, unit;
};
/* The nth drive; false if there are not so many. */
bool storage_drive(struct vm *vm, unsigned n, struct storage_drive *d);
/* Opens an image for a removable drive; NULL with a line in err. raw: it is not looked at what it might be. */
struct block *storage_open_medium(struct vm *vm, const struct storage_drive *d, const char *file, bool raw, bool readonly, char *err,
				  size_t n);
/* It takes the place of what is in the drive. NULL: none. vCPU thread. */
void storage_change(struct vm *vm, const struct storage_drive *d, struct block *b);
/* The eject button of a locked drive. */
void storage_press_eject(struct vm *vm, const struct storage_drive *d);

#endif
