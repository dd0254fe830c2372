/*
 * Drives from options. As on QEMU's pc there is always a floppy drive A and, unless another drive has its place or there is a CD-ROM drive
 * elsewhere, a CD-ROM drive as the second channel's first; both may be empty. -device takes them away: who names devices names them all.
 */
#include "monitor/storage.h"

#include <stdio.h>
#include <string.h>

#include "monitor/block.h"
#include "monitor/devices/dma8237.h"
#include "monitor/devices/fdc.h"
#include "monitor/devices/ide.h"
#include "monitor/devices/piix3.h"
#include "monitor/devices/rtc.h"
#include "monitor/log.h"
#include "monitor/vm.h"

enum { IRQ_FLOPPY = 6, IRQ_IDE1 = 14, IRQ_IDE2 = 15 };

#define CMOS_FLOPPIES	 0x10
#define CMOS_DISKS	 0x12
#define CMOS_EQUIPMENT	 0x14
#define CMOS_EXT_TYPE	 0x19 /* of drive C; D's follows */
#define CMOS_GEOMETRY	 0x1b /* nine bytes for each of C and D */
#define CMOS_TRANSLATION 0x39 /* two bits for each disk: 0 none, 1 LBA */
#define TYPE_USER	 47
#define EQUIPMENT_FLOPPY 0x01
#define EQUIPMENT_COUNT	 0xc0

/* Formats that an image could be in, by what is at an offset, where the user has not said that it is raw. */
static const struct {
	const char *name;
	unsigned offset;
	const char *magic;
} foreign[] = {
	{"qcow2", 0, "QFI\xfb"},	   {"VMDK", 0, "KDMV"},	   {"VMDK", 0, "# Disk DescriptorFile"},
	{"VDI", 0x40, "\x7f\x10\xda\xbe"}, {"VHD", 0, "conectix"}, {"VHDX", 0, "vhdxfile"},
};

static bool is_foreign(struct block *b, char *err, size_t n)
{
	u8 head[BLOCK_SECTOR];

	if (block_read_now(b, 0, head, sizeof(head)))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
		if (memcmp(head + foreign[i].offset, foreign[i].magic, strlen(foreign[i].magic)) == 0) {
			snprintf(err, n, "this looks like a %s image, which is not supported: convert it to raw (format=raw if it is)",
				 foreign[i].name);
			return true;
		}
	}
	return false;
}

static struct block *open_image(struct vm *vm, const struct block_config *c, bool raw, char *err, size_t n)
{
	struct block *b = block_open(vm, c, err, n);

	if (b && !raw && is_foreign(b, err, n)) {
		block_close(b);
		return NULL;
	}
	return b;
}

static struct block *open_drive(struct vm *vm, const struct drive_option *d)
{
	struct block_config c = {d->file, d->readonly, d->snapshot || (vm->opt.snapshot && !d->readonly)};
	struct block *b;
	char err[256];

	if (!*d->file)
		return NULL;
	b = open_image(vm, &c, d->format_given, err, sizeof(err));
	if (!b)
		fatal("%s: %s", d->file, err);
	return b;
}

static void disk_cmos(struct vm *vm, const struct ide *ide)
{
	u8 types = 0, translation = 0;
	struct chs g;

	for (int i = 0; i < 4; i++) {
		if (!ide_geometry(ide, i / 2, i % 2, &g))
			continue;
		if (g.cylinders > 1024)
			translation |= (u8)(1 << (2 * i));
		if (i >= 2)
			continue;
		const u8 bytes[9] = {(u8)g.cylinders, (u8)(g.cylinders >> 8), (u8)g.heads,  0xff, 0xff, (u8)(0xc0 | (g.heads > 8) << 3),
				     (u8)g.cylinders, (u8)(g.cylinders >> 8), (u8)g.sectors};

		types |= i ? 0x0f : 0xf0;
		rtc_set_cmos(vm->rtc, (u8)(CMOS_EXT_TYPE + i), TYPE_USER);
		for (int k = 0; k < 9; k++)
			rtc_set_cmos(vm->rtc, (u8)(CMOS_GEOMETRY + 9 * i + k), bytes[k]);
	}
	rtc_set_cmos(vm->rtc, CMOS_DISKS, types);
	rtc_set_cmos(vm->rtc, CMOS_TRANSLATION, translation);
}

static void floppy_cmos(struct vm *vm, const struct fdc *fdc)
{
	u8 a = fdc_drive_type(fdc, 0), b = fdc_drive_type(fdc, 1), equipment = rtc_get_cmos(vm->rtc, CMOS_EQUIPMENT);
	u8 count = (a ? 1 : 0) + (b ? 1 : 0);

	equipment &= (u8) ~(EQUIPMENT_FLOPPY | EQUIPMENT_COUNT);
	if (count)
		equipment |= (u8)(EQUIPMENT_FLOPPY | (count - 1) << 6);
	rtc_set_cmos(vm->rtc, CMOS_FLOPPIES, (u8)(a << 4 | b));
	rtc_set_cmos(vm->rtc, CMOS_EQUIPMENT, equipment);
}

void storage_create(struct vm *vm)
{
	struct ide_drive_config ide[2][2] = {0};
	struct fdc_drive_config floppy[2] = {{.present = !vm->opt.no_floppy}};
	const struct irq irqs[2] = {piix3_irq(vm->piix3, IRQ_IDE1), piix3_irq(vm->piix3, IRQ_IDE2)};
	bool cdrom = false;

	for (unsigned i = 0; i < vm->opt.drive_count; i++) {
		const struct drive_option *d = &vm->opt.drives[i];
		struct block *b = open_drive(vm, d);

		switch (d->interface) {
		case DRIVE_IDE:
			ide[d->bus][d->unit] = (struct ide_drive_config){d->cdrom ? IDE_CDROM : IDE_DISK, b};
			cdrom = cdrom || d->cdrom;
			break;
		case DRIVE_FLOPPY:
			if (b && !fdc_takes(block_sectors(b)))
				fatal("%s: the image is larger than any floppy disk", d->file);
			floppy[d->unit] = (struct fdc_drive_config){true, b};
			break;
		case DRIVE_NONE:
			/* Nothing can be made of it but a check. */
			block_close(b);
			break;
		}
	}
	if (!cdrom && !vm->opt.no_cdrom && ide[1][0].kind == IDE_NONE)
		ide[1][0].kind = IDE_CDROM;
	floppy_cmos(vm, fdc_create(vm, dma8237_create(vm), piix3_irq(vm->piix3, IRQ_FLOPPY), floppy));
	disk_cmos(vm, ide_create(vm, vm->pci, irqs, ide));
}

/* ---- media that come and go ---- */

bool storage_drive(struct vm *vm, unsigned n, struct storage_drive *d)
{
	struct ide *ide = device_find(vm, "ide");
	struct fdc *fdc = device_find(vm, "fdc");
	struct ide_drive_view view;

	for (int i = 0; ide && i < 4; i++) {
		ide_view(ide, i / 2, i % 2, &view);
		if (view.kind == IDE_NONE || n-- > 0)
			continue;
		*d = (struct storage_drive){.block = view.block,
					    .removable = view.kind == IDE_CDROM,
					    .locked = view.locked,
					    .tray_open = view.tray_open,
					    .bus = i / 2,
					    .unit = i % 2};
		snprintf(d->name, sizeof(d->name), "ide%d-%s%d", d->bus, d->removable ? "cd" : "hd", d->unit);
		return true;
	}
	for (int i = 0; fdc && i < 2; i++) {
		*d = (struct storage_drive){.floppy = true, .removable = true, .unit = i};
		if (!fdc_view(fdc, i, &d->block) || n-- > 0)
			continue;
		d->tray_open = !d->block;
		snprintf(d->name, sizeof(d->name), "floppy%d", i);
		return true;
	}
	return false;
}

struct block *storage_open_medium(struct vm *vm, const struct storage_drive *d, const char *file, bool raw, bool readonly, char *err,
				  size_t n)
{
	struct block_config c = {file, readonly || !d->floppy, d->floppy && vm->opt.snapshot && !readonly};
	struct block *b = open_image(vm, &c, raw, err, n);

	if (b && d->floppy && !fdc_takes(block_sectors(b))) {
		snprintf(err, n, "the image is larger than any floppy disk");
		block_close(b);
		return NULL;
	}
	return b;
}

void storage_change(struct vm *vm, const struct storage_drive *d, struct block *b)
{
	if (d->floppy)
		fdc_change(device_find(vm, "fdc"), d->unit, b);
	else
		ide_change(device_find(vm, "ide"), d->bus, d->unit, b);
}

void storage_press_eject(struct vm *vm, const struct storage_drive *d)
{
	if (!d->floppy)
		ide_press_eject(device_find(vm, "ide"), d->bus, d->unit);
}
