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

struct id_word {
	u8 word;
	u16 value;
};

/* IDENTIFY data: words that are listed must be so, and all others up to 254 zero, but for those in [first, last] of `others`, ended by 0,
 * 0. */
static inline void check_id(const u8 *id, const struct id_word *words, unsigned n, const u8 (*others)[2])
{
	for (unsigned w = 0; w < 255; w++) {
		u16 got = (u16)(id[2 * w] | id[2 * w + 1] << 8), want = 0;
		bool listed = false;

		for (unsigned k = 0; k < n; k++)
			if (words[k].word == w)
				want = words[k].value;
		for (unsigned k = 0; others[k][1]; k++)
			listed = listed || (w >= others[k][0] && w <= others[k][1]);
		ck_assert_msg(listed || got == want, "word %u is %04x, not %04x", w, got, want);
	}
}

/* Text of IDENTIFY data, padded with spaces; two characters to a word, the first one high. */
static inline void check_id_text(const u8 *id, unsigned word, unsigned words, const char *text)
{
	for (unsigned k = 0; k < 2 * words; k++)
		ck_assert_int_eq(id[2 * word + (k ^ 1)], k < strlen(text) ? text[k] : ' ');
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
