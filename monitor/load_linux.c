/*
 * Linux: bzImage by the 32-bit boot protocol (Linux documentation, "The Linux/x86 Boot Protocol"). The real-mode part of the image is not
 * run; what it would find out is written into boot_params here. Under -bios it is: an option ROM boots the kernel by the older protocol.
 *
 * Invariants: [runtime start, + init_size) holds nothing but the kernel, it unpacks itself there; the initrd lies above it, below the end
 * of low RAM and not above initrd_addr_max. Screen information stays zero, so that the kernel does not take an absent VGA for its console.
 */
#include "monitor/load_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/acpi.h"
#include "monitor/log.h"

/* Where things go in low memory; 0x90000 is also where kernels of protocol 2.00 and 2.01 expect it. */
#define BOOT_PARAMS	0x90000u
#define BOOT_PARAMS_LEN 0x1000u
#define BOOT_GDT	0x91000u
#define BOOT_CMDLINE	0x92000u
#define CMDLINE_ROOM	0x8000u
#define KERNEL_BASE	0x100000u
/* Under -bios: where the real-mode part and its command line go; for kernels of protocol 2.00 and 2.01 at 0x90000. */
#define SETUP_BASE	0x10000u
#define SETUP_CMDLINE	0x20000u
#define OLD_SETUP_BASE	0x90000u
#define OLD_CMDLINE_END 0x9a000u
#define HEAP_MARGIN	0x200u
#define SETUP_MAX	0x8000u

/* boot_params */
enum {
	BP_EXT_MEM_K = 0x002,
	BP_OLD_CMDLINE_MAGIC = 0x020,
	BP_OLD_CMDLINE_OFFSET = 0x022,
	BP_ACPI_RSDP = 0x070,
	BP_ALT_MEM_K = 0x1e0,
	BP_E820_COUNT = 0x1e8,
	BP_SETUP_HEADER = 0x1f1,
	BP_SETUP_HEADER_END = 0x290,
	BP_E820_TABLE = 0x2d0,
};

/* The setup header, at the same offsets in the file and in boot_params. */
enum {
	H_SETUP_SECTS = 0x1f1,
	H_SYSSIZE = 0x1f4, /* in 16-byte paragraphs */
	H_BOOT_FLAG = 0x1fe,
	H_JUMP = 0x201, /* its operand: the header's length behind 0x202 */
	H_MAGIC = 0x202,
	H_VERSION = 0x206,
	H_TYPE_OF_LOADER = 0x210,
	H_LOADFLAGS = 0x211,
	H_CODE32_START = 0x214,
	H_RAMDISK_IMAGE = 0x218,
	H_RAMDISK_SIZE = 0x21c,
	H_HEAP_END_PTR = 0x224,
	H_CMD_LINE_PTR = 0x228,
	H_INITRD_ADDR_MAX = 0x22c,
	H_KERNEL_ALIGNMENT = 0x230,
	H_RELOCATABLE = 0x234,
	H_XLOADFLAGS = 0x236,
	H_CMDLINE_SIZE = 0x238,
	H_SETUP_DATA = 0x250,
	H_PREF_ADDRESS = 0x258,
	H_INIT_SIZE = 0x260,
	H_END = 0x264,
};
#define LOADFLAG_LOADED_HIGH 0x01
#define LOADFLAG_USE_HEAP    0x80
#define XLOADFLAG_KERNEL_64  0x01
#define LOADER_UNDEFINED     0xff
#define SECTOR		     512u

bool linux_recognise(const struct image *k)
{
	return k->size >= H_VERSION + 2 && !memcmp(k->data + H_MAGIC, "HdrS", 4);
}

/* The header field at `offset` if the protocol version has it, else `otherwise`. The image reaches beyond H_END. */
static u32 field(const struct loader *l, unsigned since, unsigned offset, unsigned size, u32 otherwise)
{
	const u8 *p = l->kernel.data + offset;

	if (l->protocol < since)
		return otherwise;
	return size == 1 ? *p : size == 2 ? le16(p) : le32(p);
}

/* The protected-mode part: one segment, from behind the setup sectors to the end of what the header says the kernel is. */
static void plan_kernel(struct loader *l, u64 low_size)
{
	const struct image *k = &l->kernel;
	u32 setup = (k->data[H_SETUP_SECTS] ? k->data[H_SETUP_SECTS] : 4u) * SECTOR + SECTOR;
	u64 need, size = (u64)field(l, 0x204, H_SYSSIZE, 4, le16(k->data + H_SYSSIZE)) * 16;
	struct load_segment *s;

	if (k->size <= setup)
		fatal("kernel %s: is truncated: %zu bytes, its setup code alone has %u", k->path, k->size, setup);
	/* syssize is rounded up to a paragraph, which the file need not be. */
	if (size > (u64)k->size - setup + 15)
		fatal("kernel %s: is truncated: %zu bytes of %llu", k->path, k->size, (unsigned long long)(setup + size));
	/* Signatures may follow; a header before 2.04 may have lost the upper bits. All of it is loaded. */
	size = k->size - setup;
	need = KERNEL_BASE + size;
	if (need > low_size)
		fatal("kernel %s: too little memory: it needs at least -m %u", k->path, load_mebibytes(l, need));
	s = calloc(1, sizeof(*s));
	if (!s)
		fatal("out of memory");
	*s = (struct load_segment){KERNEL_BASE, setup, (u32)size, (u32)size};
	l->segments = s;
	l->segment_count = 1;
}

/* The end of the memory that the kernel uses before it looks at the memory map: init_size from where it will run. */
static u64 kernel_end(const struct loader *l)
{
	u32 align = field(l, 0x205, H_KERNEL_ALIGNMENT, 4, 0);
	u32 init_size = field(l, 0x20a, H_INIT_SIZE, 4, 0);
	u64 start = KERNEL_BASE;

	if (l->protocol >= 0x20a) {
		u64 pref = le64(l->kernel.data + H_PREF_ADDRESS);

		if (align & (align - 1))
			fatal("kernel %s: kernel_alignment %#x in its header is not a power of two", l->kernel.path, align);
		if (pref > 0xffffffff)
			fatal("kernel %s: wants to run at %#llx, beyond 4 GiB", l->kernel.path, (unsigned long long)pref);
		if (field(l, 0x205, H_RELOCATABLE, 1, 0) && align)
			start = (start + align - 1) & ~(u64)(align - 1);
		start = MAX(start, pref);
	}
	return MAX(start + init_size, KERNEL_BASE + (u64)l->segments[0].mem_size);
}

static void plan_initrd(struct loader *l, struct vm *vm, u64 end, u64 low_size)
{
	u64 max = (u64)field(l, 0x203, H_INITRD_ADDR_MAX, 4, 0x37ffffff) + 1;
	u64 top = MIN(max, low_size), addr;
	struct image *i = calloc(1, sizeof(*i));

	if (!i)
		fatal("out of memory");
	image_read(i, vm->opt.initrd, "initrd");
	l->modules = i;
	l->module_count = 1;
	addr = top > i->size ? (top - i->size) & ~(u64)PAGE_MASK : 0;
	if (addr < end) {
		u64 need = ((end + PAGE_MASK) & ~(u64)PAGE_MASK) + ((i->size + PAGE_MASK) & ~(u64)PAGE_MASK);

		if (need > max || need > RAM_LOW_MAX)
			fatal("initrd %s: %zu bytes do not fit below %#llx, where the kernel can reach them", i->path, i->size,
			      (unsigned long long)MIN(max, RAM_LOW_MAX));
		fatal("initrd %s: too little memory: kernel and initrd (%zu bytes) need at least -m %u", i->path, i->size,
		      load_mebibytes(l, need));
	}
	i->addr = (u32)addr;
}

/* screen_info at the start of boot_params: cursor at 0, 0; mode 3, 80x25 on a VGA with 256 KiB, characters of 16 lines. */
static const u8 text_screen[0x12] = {[0x06] = 3, [0x07] = 80, [0x0a] = 3, [0x0e] = 25, [0x0f] = 1, [0x10] = 16};

static void load(struct loader *l, struct vm *vm, struct boot_entry *entry)
{
	const u8 *header = l->kernel.data;
	u32 header_end = MIN(MAX(H_MAGIC + (u32)header[H_JUMP], H_END), BP_SETUP_HEADER_END);
	u32 ext_k = (u32)((vm->mem.low_size - HIGH_RAM) >> 10);
	u8 bp[BOOT_PARAMS_LEN] = {0};
	struct e820_entry map[E820_MAX];
	unsigned count = load_e820(vm, map);

	if (vm->vga) {
		memcpy(bp, text_screen, sizeof(text_screen));
		load_graphics(vm, l->cmdline, bp);
	}
	memcpy(bp + BP_SETUP_HEADER, header + BP_SETUP_HEADER, header_end - BP_SETUP_HEADER);
	put16(bp + BP_EXT_MEM_K, MIN(ext_k, 0xffffu));
	put32(bp + BP_ALT_MEM_K, ext_k);
	put64(bp + BP_ACPI_RSDP, ACPI_RSDP_ADDR);
	bp[BP_E820_COUNT] = (u8)count;
	memcpy(bp + BP_E820_TABLE, map, count * sizeof(map[0]));

	bp[H_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	put32(bp + H_CODE32_START, KERNEL_BASE);
	put32(bp + H_RAMDISK_IMAGE, l->module_count ? l->modules[0].addr : 0);
	put32(bp + H_RAMDISK_SIZE, l->module_count ? (u32)l->modules[0].size : 0);
	if (l->protocol >= 0x202) {
		put32(bp + H_CMD_LINE_PTR, BOOT_CMDLINE);
	} else {
		put16(bp + BP_OLD_CMDLINE_MAGIC, 0xa33f);
		put16(bp + BP_OLD_CMDLINE_OFFSET, BOOT_CMDLINE - BOOT_PARAMS);
	}
	if (l->protocol >= 0x209)
		put64(bp + H_SETUP_DATA, 0);

	load_segments(l, vm);
	load_write(vm, BOOT_PARAMS, bp, sizeof(bp));
	load_write(vm, BOOT_CMDLINE, l->cmdline, strlen(l->cmdline) + 1);
	load_gdt(vm, BOOT_GDT, 0x10, entry); /* __BOOT_CS and __BOOT_DS */
	entry->eip = l->entry;
	entry->esp = BOOT_PARAMS;
	entry->esi = BOOT_PARAMS;
}

static void publish(struct loader *l, struct vm *vm)
{
	const struct image *k = &l->kernel;
	bool old = l->protocol < 0x202;
	u32 size = l->segments[0].file_offset, base = old ? OLD_SETUP_BASE : SETUP_BASE, length = (u32)strlen(l->cmdline) + 1;
	u32 cmdline = old ? (OLD_CMDLINE_END - length) & ~15u : SETUP_CMDLINE;
	u8 *setup = malloc(size);

	if (!setup)
		fatal("out of memory");
	if (size > SETUP_MAX)
		fatal("kernel %s: with -bios, its real-mode part of %u bytes is too large: %u fit", k->path, size, SETUP_MAX);
	memcpy(setup, k->data, size);
	setup[H_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	if (l->protocol >= 0x201) {
		setup[H_LOADFLAGS] |= LOADFLAG_USE_HEAP;
		put16(setup + H_HEAP_END_PTR, cmdline - base - HEAP_MARGIN);
	}
	if (old) {
		put16(setup + BP_OLD_CMDLINE_MAGIC, 0xa33f);
		put16(setup + BP_OLD_CMDLINE_OFFSET, cmdline - base);
	} else {
		put32(setup + H_CMD_LINE_PTR, cmdline);
	}
	put32(setup + H_RAMDISK_IMAGE, l->module_count ? l->modules[0].addr : 0);
	put32(setup + H_RAMDISK_SIZE, l->module_count ? (u32)l->modules[0].size : 0);
	load_publish_item(vm, ITEM_KERNEL, l->segments[0].addr, k->data + size, l->segments[0].file_size);
	if (l->module_count)
		load_publish_item(vm, ITEM_INITRD, l->modules[0].addr, l->modules[0].data, l->modules[0].size);
	else
		load_publish_item(vm, ITEM_INITRD, 0, "", 0);
	load_publish_item(vm, ITEM_CMDLINE, cmdline, l->cmdline, length);
	load_publish_item(vm, ITEM_SETUP, base, setup, size);
	load_publish_rom(vm, "linuxboot");
	free(setup);
}

void linux_open(struct loader *l, struct vm *vm)
{
	const struct image *k = &l->kernel;
	const char *append = vm->opt.append ? vm->opt.append : "";
	u64 low_size = load_low_size(l, vm), end;
	u32 cmdline_max;

	l->protocol = le16(k->data + H_VERSION);
	if (l->protocol < 0x200)
		fatal("kernel %s: Linux boot protocol %u.%02u is too old: 2.00 is the oldest", k->path, l->protocol >> 8,
		      l->protocol & 0xff);
	if (k->size < H_END + SECTOR)
		fatal("kernel %s: is truncated: %zu bytes do not even hold the setup header", k->path, k->size);
	if (le16(k->data + H_BOOT_FLAG) != 0xaa55)
		fatal("kernel %s: is a damaged bzImage: the boot flag is %#x, not 0xaa55", k->path, le16(k->data + H_BOOT_FLAG));
	if (!(k->data[H_LOADFLAGS] & LOADFLAG_LOADED_HIGH))
		fatal("kernel %s: is a zImage, which loads below 1 MiB: give a bzImage", k->path);
	/* What kernels have there is where they are loaded; programs that only look like one are entered in real mode, behind a BIOS. */
	if (!le32(k->data + H_CODE32_START))
		fatal("kernel %s: has no 32-bit entry (code32_start is 0): boot it from a disk or CD, by GRUB's linux16 for instance",
		      k->path);
	if (field(l, 0x20c, H_XLOADFLAGS, 2, 0) & XLOADFLAG_KERNEL_64)
		fatal("kernel %s: is a 64-bit kernel, and Ringer's machine is a 32-bit one", k->path);
	plan_kernel(l, low_size);
	end = kernel_end(l);
	if (end > low_size) {
		if (end > RAM_LOW_MAX)
			fatal("kernel %s: needs %u MiB of memory by its header, more than a 32-bit PC has", k->path,
			      load_mebibytes(l, end));
		fatal("kernel %s: too little memory: it needs at least -m %u", k->path, load_mebibytes(l, end));
	}
	if (vm->opt.initrd)
		plan_initrd(l, vm, end, low_size);

	cmdline_max = MIN(field(l, 0x206, H_CMDLINE_SIZE, 4, 255), CMDLINE_ROOM - 1);
	if (strlen(append) > cmdline_max)
		fatal("-append: %zu bytes are too long, this kernel takes %u", strlen(append), cmdline_max);
	l->cmdline = strdup(append);
	if (!l->cmdline)
		fatal("out of memory");
	l->entry = KERNEL_BASE;
	l->load = load;
	l->publish = publish;
}
