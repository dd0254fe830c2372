/* The drives of the machine: opens their images and creates the controllers. */
#ifndef RINGER_STORAGE_H
#define RINGER_STORAGE_H

struct vm;

/*
 * Creates DMA controllers, IDE and floppy controllers with the drives that vm->opt names, and writes what a PC's CMOS says of them. fatal()
 * if an image cannot be had. Start-up, vm->lock held, with bus, interrupt lines and CMOS there.
 */
void storage_create(struct vm *vm);

#endif
