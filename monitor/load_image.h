/*
 * What the boot loaders share: images held in memory, and the tables that every kernel finds in low memory.
 *
 * Invariants: an image is read once and never changes, so that a reset boots the same guest even if the file is gone or was cut short
 * meanwhile. Every header value is the guest's and hostile: it is checked by the loader's open function, and what the load function later
 * writes lies in RAM.
 */
#ifndef RINGER_LOAD_IMAGE_H
#define RINGER_LOAD_IMAGE_H

#include "monitor/load.h"
#include "monitor/vm.h"

/* Low memory as a PC's firmware leaves it: 639 KiB, then the extended BIOS data area, then video memory and ROM. */
#define LOW_RAM_END   0x9fc00u
#define ROM_BASE      0xe0000u /* ACPI and MP tables lie between here and 1 MiB */
#define HIGH_RAM      0x100000u
#define E820_MAX      8
#define E820_RAM      1
#define E820_RESERVED 2

/* As the firmware call E820h returns it, ACPI specification 15.1. */
struct e820_entry {
	u64 addr, size;
	u32 type;
} __attribute__((packed));

struct image {
	char *path; /* for messages */
	u8 *data;
	size_t size;
	char *string; /* Multiboot modules: path and arguments */
	u32 addr;     /* where in guest memory it goes */
};

/* A part of the kernel image that goes to guest memory [addr, addr + mem_size); what the file does not fill is zero. */
struct load_segment {
	u32 addr;
	u32 file_offset, file_size, mem_size;
};

struct loader {
	struct image kernel;
	struct image *modules; /* the initrd, or the Multiboot modules */
	unsigned module_count;
	struct load_segment *segments;
	unsigned segment_count;
	u32 entry;
	u32 tables; /* where boot information goes */
	char *cmdline;
	unsigned protocol; /* Linux boot protocol version, 0x020c for 2.12 */
	u64 reserve;	   /* bytes below the end of low RAM that are firmware's */
	void (*load)(struct loader *l, struct vm *vm, struct boot_entry *entry);
	void (*publish)(struct loader *l, struct vm *vm);
};

/* Little-endian fields of images. The caller has checked that they are inside. */
static inline u16 le16(const u8 *p)
{
	return (u16)(p[0] | p[1] << 8);
}
static inline u32 le32(const u8 *p)
{
	return le16(p) | (u32)le16(p + 2) << 16;
}
static inline u64 le64(const u8 *p)
{
	return le32(p) | (u64)le32(p + 4) << 32;
}
static inline void put16(u8 *p, u32 v)
{
	p[0] = (u8)v;
	p[1] = (u8)(v >> 8);
}
static inline void put32(u8 *p, u32 v)
{
	put16(p, v);
	put16(p + 2, v >> 16);
}
static inline void put64(u8 *p, u64 v)
{
	put32(p, (u32)v);
	put32(p + 4, (u32)(v >> 32));
}

/* Reads a whole file into image->data (malloc'd, the caller's); `what` names its role in messages. fatal() on any error, an empty file
 * included. */
void image_read(struct image *image, const char *path, const char *what);
/* Bytes of RAM below the PCI hole that the kernel may be loaded into. */
u64 load_low_size(const struct loader *l, const struct vm *vm);
/* The smallest -m, in MiB, that holds guest memory up to `end`, and what is firmware's. */
unsigned load_mebibytes(const struct loader *l, u64 end);
/* Writes to guest RAM; the range was validated before. */
void load_write(struct vm *vm, u32 pa, const void *data, size_t size);
void load_segments(const struct loader *l, struct vm *vm);
/* The memory map, lowest address first; returns the number of entries. */
unsigned load_e820(const struct vm *vm, struct e820_entry map[E820_MAX]);
/* A GDT with flat 32-bit code at selector `cs` and data at cs + 8, the entry's segments set to it. 32 bytes at pa. */
void load_gdt(struct vm *vm, u32 pa, u16 cs, struct boot_entry *entry);

/*
 * Obeys the command line's vga=: for a VBE mode that there is, sets it and writes screen_info, the first 36h bytes of boot_params; leaves
 * both alone for text modes, warns of others. There is a VGA. vCPU thread, without the lock. load_screen.c
 */
void load_graphics(struct vm *vm, const char *cmdline, u8 *screen_info);

/* ---- under -bios: load_firmware.c ---- */

/* What the option ROMs load: an address, a size and data. */
enum load_item { ITEM_KERNEL, ITEM_INITRD, ITEM_CMDLINE, ITEM_SETUP };
void load_publish_item(struct vm *vm, enum load_item which, u32 addr, const void *data, size_t size);
/* The option ROM "linuxboot" or "multiboot", first of the boot devices. */
void load_publish_rom(struct vm *vm, const char *name);

/* True if the file is one of theirs; then every error in it is theirs to report. */
bool linux_recognise(const struct image *kernel);
bool multiboot_recognise(const struct image *kernel);
/* Validate and plan. fatal() on what is wrong. */
void linux_open(struct loader *l, struct vm *vm);
void multiboot_open(struct loader *l, struct vm *vm);

#endif
