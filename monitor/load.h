/*
 * Boot loaders: put a kernel into guest RAM and describe the vCPU's state at its entry. Run before the vCPU starts, and again at every
 * reset. Files are read once by loader_open, which validates everything that can be validated, and is where a user's error ends in fatal().
 */
#ifndef RINGER_LOAD_H
#define RINGER_LOAD_H

#include "monitor/types.h"

struct vm;

struct boot_entry {
	bool firmware; /* nothing of the below: the processor starts as it comes out of reset */
	u32 eip, esp;
	u32 eax, ebx, ecx, edx, esi, edi, ebp;
	u32 gdt_base, gdt_limit; /* flat 32-bit segments: */
	u16 cs, ds;		 /* selectors; DS, ES, SS, FS, GS all = ds */
};

struct loader; /* holds the validated images */

/* Recognises Linux bzImage or Multiboot 1 from vm->opt; without a kernel, or with -bios, firmware runs.
 * fatal() on anything a user got wrong. */
struct loader *loader_open(struct vm *vm);
/* Copies the images into RAM, builds tables (e820, boot_params, multiboot_info, ACPI) and fills *entry. vCPU thread, without vm->lock. */
void loader_load(struct loader *l, struct vm *vm, struct boot_entry *entry);
/* Under -bios: gives the kernel to firmware, which boots it by an option ROM. Does nothing otherwise. Start-up, with vm->fw_cfg there. */
void loader_publish(struct loader *l, struct vm *vm);
void loader_close(struct loader *l);

#endif
