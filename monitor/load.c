/*
 * Boot loaders, the common part: reads files, finds out what they are, and leaves low memory and chip set as a PC's firmware does.
 *
 * Invariants: what a user can get wrong ends in one line here or in the format's open function; loader_load cannot fail.
 * Firmware tables are written before the kernel, so that a kernel that asks to be loaded over them gets its way.
 */
#include "monitor/load_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/acpi.h"
#include "monitor/devices/acpi_pm.h"
#include "monitor/devices/i440fx.h"
#include "monitor/devices/pci.h"
#include "monitor/devices/piix3.h"
#include "monitor/devices/piix4_pm.h"
#include "monitor/devices/vga.h"
#include "monitor/log.h"
#include "monitor/mptable.h"

#define BDA	      0x400u
#define BDA_SIZE      0x100u
#define EBDA	      LOW_RAM_END
#define EBDA_SIZE     0x400u
#define FIRMWARE_RAM  0x100000u	    /* below the end of low RAM: tables and buffers of its own */
#define FILE_SIZE_MAX 0xffff0000ull /* offsets are 32 bits wide in every format */

void image_read(struct image *image, const char *path, const char *what)
{
	struct stat st;
	size_t room;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		fatal("%s %s: %s", what, path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		fatal("%s %s: is a directory", what, path);
	if (S_ISREG(st.st_mode) && (u64)st.st_size > FILE_SIZE_MAX)
		fatal("%s %s: is larger than 4 GiB", what, path);
	/* A pipe has no size, and a file may grow or shrink while it is read: its end is where read() says. */
	room = S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 1 << 20;
	image->size = 0;
	image->data = malloc(room);
	for (;;) {
		ssize_t n;

		if (!image->data)
			fatal("%s %s: not enough memory to read it", what, path);
		n = read(fd, image->data + image->size, room - image->size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			fatal("%s %s: %s", what, path, strerror(errno));
		if (!n)
			break;
		image->size += (size_t)n;
		if (image->size > FILE_SIZE_MAX)
			fatal("%s %s: is larger than 4 GiB", what, path);
		if (image->size == room) {
			room *= 2;
			image->data = realloc(image->data, room);
		}
	}
	close(fd);
	if (!image->size)
		fatal("%s %s: is empty", what, path);
	image->path = strdup(path);
	if (!image->path)
		fatal("out of memory");
}

u64 load_low_size(const struct loader *l, const struct vm *vm)
{
	u64 size = vm->mem.ram_size ? vm->mem.low_size : MIN(vm->opt.ram_size, RAM_LOW_MAX);

	return size - MIN(size, l->reserve);
}

unsigned load_mebibytes(const struct loader *l, u64 end)
{
	return (unsigned)((end + l->reserve + (1 << 20) - 1) >> 20);
}

void load_write(struct vm *vm, u32 pa, const void *data, size_t size)
{
	if (!phys_write(vm, pa, data, size))
		fatal("the boot loader wrote outside memory: %zu bytes at %#x", size, pa);
}

static void load_zero(struct vm *vm, u32 pa, size_t size)
{
	static const u8 zero[PAGE_SIZE];

	while (size) {
		size_t n = MIN(size, sizeof(zero));

		load_write(vm, pa, zero, n);
		pa += (u32)n;
		size -= n;
	}
}

void load_segments(const struct loader *l, struct vm *vm)
{
	for (unsigned i = 0; i < l->segment_count; i++) {
		const struct load_segment *s = &l->segments[i];

		load_write(vm, s->addr, l->kernel.data + s->file_offset, s->file_size);
		load_zero(vm, s->addr + s->file_size, s->mem_size - s->file_size);
	}
	for (unsigned i = 0; i < l->module_count; i++)
		load_write(vm, l->modules[i].addr, l->modules[i].data, l->modules[i].size);
}

unsigned load_e820(const struct vm *vm, struct e820_entry map[E820_MAX])
{
	unsigned n = 0;

	map[n++] = (struct e820_entry){0, LOW_RAM_END, E820_RAM};
	map[n++] = (struct e820_entry){LOW_RAM_END, 0xa0000 - LOW_RAM_END, E820_RESERVED};
	map[n++] = (struct e820_entry){ROM_BASE, HIGH_RAM - ROM_BASE, E820_RESERVED};
	if (vm->mem.low_size > HIGH_RAM)
		map[n++] = (struct e820_entry){HIGH_RAM, vm->mem.low_size - HIGH_RAM, E820_RAM};
	if (vm->mem.ram_size > vm->mem.low_size)
		map[n++] = (struct e820_entry){RAM_HIGH_BASE, vm->mem.ram_size - vm->mem.low_size, E820_RAM};
	return n;
}

void load_gdt(struct vm *vm, u32 pa, u16 cs, struct boot_entry *entry)
{
	/* Base 0, limit 4 GiB, present, ring 0, accessed: execute/read and read/write, 32-bit. SDM Vol. 3A 3.4.5. */
	static const u64 code = 0x00cf9b000000ffff, data = 0x00cf93000000ffff;
	u8 gdt[32] = {0};

	put64(gdt + cs, code);
	put64(gdt + cs + 8, data);
	load_write(vm, pa, gdt, sizeof(gdt));
	entry->gdt_base = pa;
	entry->gdt_limit = cs + 15u;
	entry->cs = cs;
	entry->ds = cs + 8;
}

/*
 * BIOS data area: kernels look here for the serial ports, the size of conventional memory and the extended BIOS data area. Video fields
 * stay zero, there is no adapter.
 */
static void load_bios_data(struct vm *vm)
{
	static const u16 com[4] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
	unsigned ports = MIN(MAX(vm->opt.serial_count, 1u), (unsigned)ARRAY_SIZE(com));
	u8 bda[BDA_SIZE] = {0}, ebda[EBDA_SIZE] = {0};

	for (unsigned i = 0; i < ports; i++)
		put16(bda + 2 * i, com[i]);
	put16(bda + 0x0e, EBDA >> 4);
	put16(bda + 0x10, ports << 9 | 1 << 1); /* equipment: serial ports, coprocessor */
	put16(bda + 0x13, LOW_RAM_END >> 10);	/* KiB of conventional memory */
	load_write(vm, BDA, bda, sizeof(bda));
	ebda[0] = EBDA_SIZE >> 10; /* its own size in KiB */
	load_write(vm, EBDA, ebda, sizeof(ebda));
}

/*
 * What firmware programs before it boots anything; kernels without drivers of their own rely on it, and Linux complains about the ELCR.
 * Interrupts at vectors 08h and 70h, a tick of 18.2 Hz, the ACPI interrupt level-triggered. The masks are those that SeaBIOS leaves.
 */
static void load_chip_set(struct vm *vm)
{
	static const struct {
		u16 port;
		u8 value;
	} writes[] = {
		{0x20, 0x11},  {0x21, 0x08}, {0x21, 0x04}, {0x21, 0x01}, {0x21, 0xb8}, /* master 8259A: ICW1 to ICW4, mask */
		{0xa0, 0x11},  {0xa1, 0x70}, {0xa1, 0x02}, {0xa1, 0x01}, {0xa1, 0x8e}, /* slave */
		{0x4d1, 0x0e},							       /* ELCR: IRQ 9, 10, 11 */
		{0x43, 0x34},  {0x40, 0x00}, {0x40, 0x00},			       /* 8254 counter 0: mode 2, 65536 */
	};
	static const struct {
		u8 devfn, reg, size;
		u32 value;
	} config[] = {
		{I440FX_DEVFN, I440FX_PAM, 1, 0x30}, /* RAM from C0000h on */
		{I440FX_DEVFN, I440FX_PAM + 1, 1, 0x33}, {I440FX_DEVFN, I440FX_PAM + 2, 1, 0x33},
		{I440FX_DEVFN, I440FX_PAM + 3, 1, 0x33}, {I440FX_DEVFN, I440FX_PAM + 4, 1, 0x33},
		{I440FX_DEVFN, I440FX_PAM + 5, 1, 0x33}, {I440FX_DEVFN, I440FX_PAM + 6, 1, 0x33},
		{PIIX3_DEVFN, PIIX3_PIRQ, 1, 10}, /* PIRQ A to D */
		{PIIX3_DEVFN, PIIX3_PIRQ + 1, 1, 10},	 {PIIX3_DEVFN, PIIX3_PIRQ + 2, 1, 11},
		{PIIX3_DEVFN, PIIX3_PIRQ + 3, 1, 11},	 {PIIX4_PM_DEVFN, PIIX4_PM_BASE, 4, ACPI_PM_BASE | 1},
		{PIIX4_PM_DEVFN, PIIX4_PM_ENABLE, 1, 1},
	};
	static const u8 irq_of_line[4] = {10, 10, 11, 11};

	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
		io_write(vm, writes[i].port, writes[i].value, 1);
	for (unsigned i = 0; i < ARRAY_SIZE(config); i++)
		pci_firmware_write(vm, config[i].devfn, config[i].reg, config[i].value, config[i].size);
	if (vm->pci)
		pci_assign(vm->pci, irq_of_line);
}

/* Text mode 3, which a PC's firmware leaves, and its BIOS data. */
static void load_screen(struct vm *vm)
{
	static const struct {
		u16 at;
		u8 value;
	} data[] = {
		{0x449, 3},				     /* video mode */
		{0x44a, 80},				     /* columns */
		{0x44c, 0x00}, {0x44d, 0x10},		     /* bytes of a page */
		{0x460, 14},   {0x461, 13},		     /* cursor: last and first line */
		{0x463, 0xd4}, {0x464, 0x03},		     /* CRT controller's port */
		{0x484, 24},				     /* last row */
		{0x485, 16},				     /* lines of a character */
		{0x487, 0x60}, {0x488, 0xf9}, {0x489, 0x51}, /* 256 KiB, enhanced colour display, VGA */
	};

	if (!vm->vga)
		return;
	pthread_mutex_lock(&vm->lock);
	vga_set_text_mode(vm->vga);
	pthread_mutex_unlock(&vm->lock);
	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		load_write(vm, data[i].at, &data[i].value, 1);
}

/* Multiboot 2 specification 3.1.1: in the first 32 KiB, 8-byte aligned, the four header fields sum to zero. */
static bool is_multiboot2(const struct image *k)
{
	for (size_t i = 0; i + 16 <= MIN(k->size, (size_t)32768); i += 8) {
		const u8 *h = k->data + i;

		if (le32(h) == 0xe85250d6 && le32(h) + le32(h + 4) + le32(h + 8) + le32(h + 12) == 0)
			return true;
	}
	return false;
}

/* Names what a file is that cannot be booted. */
static _Noreturn void reject(const struct image *k)
{
	static const struct {
		const char *magic;
		unsigned size, offset;
		const char *name;
	} known[] = {
		{"\x7f"
		 "ELF",
		 4, 0, "is an ELF file without a Multiboot 1 header (of Linux, give the bzImage, not vmlinux; PVH entries are not used)"},
		{"MZ", 2, 0, "is a PE/EFI program, not a Linux bzImage or a Multiboot 1 kernel"},
		{"\x1f\x8b", 2, 0, "is compressed by gzip: unpack it first"},
		{"\xfd"
		 "7zXZ",
		 5, 0, "is compressed by xz: unpack it first"},
		{"BZh", 3, 0, "is compressed by bzip2: unpack it first"},
		{"\x28\xb5\x2f\xfd", 4, 0, "is compressed by zstd: unpack it first"},
		{"070701", 6, 0, "is a cpio archive: an initramfs goes to -initrd"},
		{"\x55\xaa", 2, 510, "is a boot sector or a damaged bzImage: the Linux header's magic \"HdrS\" is missing"},
	};

	if (is_multiboot2(k))
		fatal("kernel %s: has only a Multiboot 2 header, and Ringer boots Multiboot 1 and Linux bzImage", k->path);
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		if (k->size >= known[i].offset + known[i].size && !memcmp(k->data + known[i].offset, known[i].magic, known[i].size))
			fatal("kernel %s: %s", k->path, known[i].name);
	fatal("kernel %s: unknown format: neither a Linux bzImage nor a Multiboot 1 kernel", k->path);
}

struct loader *loader_open(struct vm *vm)
{
	struct loader *l = calloc(1, sizeof(*l));

	if (!l)
		fatal("out of memory");
	if (!vm->opt.kernel)
		return l;
	image_read(&l->kernel, vm->opt.kernel, "kernel");
	if (vm->opt.bios)
		l->reserve = FIRMWARE_RAM;
	if (load_low_size(l, vm) < 2 * HIGH_RAM)
		fatal("too little memory: give at least %u MiB with -m", load_mebibytes(l, 2 * HIGH_RAM));
	if (linux_recognise(&l->kernel))
		linux_open(l, vm);
	else if (multiboot_recognise(&l->kernel))
		multiboot_open(l, vm);
	else
		reject(&l->kernel);
	return l;
}

void loader_load(struct loader *l, struct vm *vm, struct boot_entry *entry)
{
	memset(entry, 0, sizeof(*entry));
	if (!l->load || vm->opt.bios) {
		entry->firmware = true;
		return;
	}
	load_chip_set(vm);
	load_bios_data(vm);
	load_screen(vm);
	acpi_build(vm);
	mptable_build(vm);
	l->load(l, vm, entry);
}

void loader_publish(struct loader *l, struct vm *vm)
{
	if (l->publish && vm->opt.bios)
		l->publish(l, vm);
}

void loader_close(struct loader *l)
{
	if (!l)
		return;
	for (unsigned i = 0; i < l->module_count; i++) {
		free(l->modules[i].path);
		free(l->modules[i].data);
		free(l->modules[i].string);
	}
	free(l->modules);
	free(l->segments);
	free(l->cmdline);
	free(l->kernel.path);
	free(l->kernel.data);
	free(l);
}
