/*
 * ATA disks: the commands of ATA/ATAPI-6 (T13/1410D, chapter 8) that disks of the time have; others are aborted. Packet drives come here
 * for the few commands that they share.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "monitor/devices/ide_internal.h"

#define CHUNK_SECTORS (IDE_BUFFER / BLOCK_SECTOR)
#define LBA28_SECTORS 0x0fffffffull
#define MAX_MWDMA     2
#define MAX_UDMA      5
#define XFER_MWDMA    0x20
#define XFER_UDMA     0x40

enum {		       /* flags of commands */
       F_EXT = 0x01,   /* 48-bit address, 16-bit count */
       F_MULTI = 0x02, /* blocks of several sectors */
       F_DMA = 0x04,
       F_WRITE = 0x08,
       F_FUA = 0x10,	/* in stable storage when done */
       F_VERIFY = 0x20, /* no data for the guest */
       F_PACKET = 0x40, /* for packet drives as well */
};

struct ata_op {
	void (*fn)(struct ide_channel *ch, u8 flags);
	u8 flags;
};
static const struct ata_op ops[256];

void ide_put_word(u8 *buf, unsigned word, u16 value)
{
	buf[2 * word] = (u8)value;
	buf[2 * word + 1] = value >> 8;
}

void ide_put_text(u8 *buf, unsigned word, unsigned words, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < 2 * words; i++)
		buf[2 * word + (i ^ 1)] = i < n ? (u8)text[i] : ' ';
}

void ata_init(struct ide_drive *d)
{
	u8 first[BLOCK_SECTOR];

	d->native = block_chs(d->sectors, block_read_now(d->block, 0, first, sizeof(first)) ? NULL : first);
}

void ata_reset(struct ide_drive *d, bool hard)
{
	d->standby = false;
	if (!hard)
		return;
	d->current = d->native;
	d->multi = ATA_MAX_MULTI;
	d->dma_mode = XFER_MWDMA + MAX_MWDMA;
	d->write_cache = d->read_ahead = true;
}

/* ---- addresses ---- */

static u64 register_lba(const struct ide_drive *d, bool ext)
{
	u64 lba = d->lba_low[0] | d->lba_mid[0] << 8 | (u32)d->lba_high[0] << 16;

	if (ext)
		return lba | (u64)d->lba_low[1] << 24 | (u64)d->lba_mid[1] << 32 | (u64)d->lba_high[1] << 40;
	return lba | (u64)(d->select & 15) << 24;
}

/* The first sector that the registers name, or UINT64_MAX. */
static u64 start_address(const struct ide_drive *d, bool ext)
{
	const struct chs *g = &d->current;
	u32 cylinder = d->lba_mid[0] | d->lba_high[0] << 8, head = d->select & 15, sector = d->lba_low[0];

	if (ext || (d->select & SEL_LBA))
		return register_lba(d, ext);
	if (!g->cylinders || head >= g->heads || !sector || sector > g->sectors)
		return UINT64_MAX;
	return ((u64)cylinder * g->heads + head) * g->sectors + sector - 1;
}

/* Puts an address into the registers: where an error is, or how large the disk is. */
static void show_address(struct ide_drive *d, u64 lba, bool ext)
{
	const struct chs *g = &d->current;

	if (ext || (d->select & SEL_LBA)) {
		d->lba_low[0] = (u8)lba;
		d->lba_mid[0] = (u8)(lba >> 8);
		d->lba_high[0] = (u8)(lba >> 16);
		if (ext) {
			d->lba_low[1] = (u8)(lba >> 24);
			d->lba_mid[1] = (u8)(lba >> 32);
			d->lba_high[1] = (u8)(lba >> 40);
		} else {
			d->select = (u8)((d->select & 0xf0) | (lba >> 24 & 15));
		}
		return;
	}
	if (!g->cylinders)
		return;
	d->lba_low[0] = (u8)(lba % g->sectors + 1);
	d->select = (u8)((d->select & 0xf0) | (lba / g->sectors % g->heads));
	lba /= (u64)g->sectors * g->heads;
	d->lba_mid[0] = (u8)lba;
	d->lba_high[0] = (u8)(lba >> 8);
}

static u32 sector_count(const struct ide_drive *d, bool ext)
{
	u32 n = ext ? d->count[0] | d->count[1] << 8 : d->count[0];

	return n ? n : ext ? 65536 : 256;
}

/* ---- transfers ---- */

/* The chunk at hand had an error: the registers say where it began. */
static void end_with_error(struct ide_channel *ch, u8 error)
{
	struct ide_drive *d = ide_selected(ch);

	show_address(d, ch->lba - ch->chunk, ops[ch->command].flags & F_EXT);
	ide_end(ch, error);
}

static void next_chunk(struct ide_channel *ch)
{
	ch->chunk = MIN(ch->left, CHUNK_SECTORS);
	ch->lba += ch->chunk;
	ch->left -= ch->chunk;
	ch->pos = ch->drq_end = 0;
	ch->end = ch->chunk * BLOCK_SECTOR;
}

static void request_chunk(struct ide_channel *ch, enum block_op op)
{
	next_chunk(ch);
	ide_request(ch, op, (ch->lba - ch->chunk) * BLOCK_SECTOR, ch->end);
}

/* Asks the guest for the next chunk of what it writes. */
static void ask_for_chunk(struct ide_channel *ch, bool first)
{
	next_chunk(ch);
	ide_drq(ch, !first && !ch->dma);
	if (ch->dma)
		ide_bm_run(ch);
}

static void do_transfer(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);
	u64 lba = start_address(d, flags & F_EXT);
	u32 n = sector_count(d, flags & F_EXT);

	if ((flags & F_MULTI) && !d->multi) {
		ide_end(ch, ER_ABRT);
		return;
	}
	if ((flags & F_WRITE) && block_readonly(d->block)) {
		ide_end(ch, ER_ABRT);
		return;
	}
	if (lba >= d->sectors || n > d->sectors - lba) {
		ide_end(ch, ER_IDNF);
		return;
	}
	d->standby = false;
	ch->lba = lba;
	ch->left = n;
	ch->dma = flags & F_DMA;
	ch->block = (flags & F_MULTI ? d->multi : 1) * BLOCK_SECTOR;
	if (flags & F_WRITE) {
		ch->job = JOB_ATA_WRITE;
		ask_for_chunk(ch, true);
	} else {
		ch->job = flags & F_VERIFY ? JOB_ATA_VERIFY : JOB_ATA_READ;
		request_chunk(ch, BLOCK_READ);
	}
}

void ata_block_done(struct ide_channel *ch)
{
	if (ch->job == JOB_REPLY) {
		/* The drive has nothing to say any more, so it does not interrupt. */
		ide_selected(ch)->status = ST_DRDY | ST_DSC;
		ch->job = JOB_NONE;
		ch->pos = ch->drq_end = ch->end = 0;
		return;
	}
	if (ch->pos < ch->end) {
		ide_drq(ch, true);
		return;
	}
	if (ch->job == JOB_ATA_WRITE) {
		ide_request(ch, BLOCK_WRITE, (ch->lba - ch->chunk) * BLOCK_SECTOR, ch->end);
	} else if (ch->left) {
		request_chunk(ch, BLOCK_READ);
	} else if (ch->dma) {
		ide_end(ch, 0);
	} else {
		ide_selected(ch)->status = ST_DRDY | ST_DSC;
		ch->job = JOB_NONE;
		ch->pos = ch->drq_end = ch->end = 0;
	}
}

static void written(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);

	if (ch->left) {
		ask_for_chunk(ch, false);
	} else if (!d->write_cache || (ops[ch->command].flags & F_FUA)) {
		ch->job = JOB_FLUSH;
		ide_request(ch, BLOCK_FLUSH, 0, 0);
	} else {
		ide_end(ch, 0);
	}
}

void ata_request_done(struct ide_channel *ch, int err)
{
	switch (ch->job) {
	case JOB_ATA_READ:
		if (err) {
			end_with_error(ch, ER_UNC);
			return;
		}
		ide_drq(ch, !ch->dma);
		if (ch->dma)
			ide_bm_run(ch);
		return;
	case JOB_ATA_VERIFY:
		if (err)
			end_with_error(ch, ER_UNC);
		else if (ch->left)
			request_chunk(ch, BLOCK_READ);
		else
			ide_end(ch, 0);
		return;
	case JOB_ATA_WRITE:
		if (err)
			/* Not only this sector: the drive's at fault (a full or failing host disk). */
			end_with_error(ch, ER_ABRT);
		else
			written(ch);
		return;
	default: /* JOB_FLUSH */
		ide_end(ch, err ? ER_ABRT : 0);
		return;
	}
}

/* ---- IDENTIFY DEVICE ---- */

static void put_chs(u8 *buf, unsigned word, const struct chs *g)
{
	ide_put_word(buf, word, (u16)g->cylinders);
	ide_put_word(buf, word + 1, (u16)g->heads);
	ide_put_word(buf, word + 2, (u16)g->sectors);
}

static void put_number(u8 *buf, unsigned word, unsigned words, u64 value)
{
	for (unsigned i = 0; i < words; i++)
		ide_put_word(buf, word + i, (u16)(value >> (16 * i)));
}

static u16 mode_bit(u8 mode, u8 family)
{
	return (mode & 0xf8) == family ? (u16)(0x100 << (mode & 7)) : 0;
}

static void identify(const struct ide_channel *ch, struct ide_drive *d, u8 *buf)
{
	u64 chs_sectors = (u64)d->current.cylinders * d->current.heads * d->current.sectors;
	u16 cache = (u16)((d->write_cache ? 0x20 : 0) | (d->read_ahead ? 0x40 : 0));
	char serial[21];

	snprintf(serial, sizeof(serial), "RG%05d", 2 * ch->number + (d != ch->drive) + 1);
	memset(buf, 0, BLOCK_SECTOR);
	ide_put_word(buf, 0, 0x0040); /* not removable */
	ide_put_word(buf, 1, (u16)d->native.cylinders);
	ide_put_word(buf, 3, (u16)d->native.heads);
	ide_put_word(buf, 6, (u16)d->native.sectors);
	ide_put_text(buf, 10, 10, serial);
	ide_put_text(buf, 23, 4, RINGER_VERSION);
	ide_put_text(buf, 27, 20, "RINGER HARDDISK");
	ide_put_word(buf, 47, 0x8000 | ATA_MAX_MULTI);
	ide_put_word(buf, 48, 0x0001); /* 32-bit accesses to the data port */
	ide_put_word(buf, 49, 0x0b00); /* IORDY, LBA, DMA */
	ide_put_word(buf, 50, 0x4000);
	ide_put_word(buf, 51, 0x0200); /* PIO 2 */
	ide_put_word(buf, 52, 0x0200);
	ide_put_word(buf, 53, 0x0007); /* 54-58, 64-70 and 88 are valid */
	put_chs(buf, 54, &d->current);
	put_number(buf, 57, 2, chs_sectors);
	ide_put_word(buf, 59, d->multi ? 0x0100 | d->multi : 0);
	put_number(buf, 60, 2, MIN(d->sectors, LBA28_SECTORS));
	ide_put_word(buf, 63, (u16)(0x0007 | mode_bit(d->dma_mode, XFER_MWDMA)));
	ide_put_word(buf, 64, 0x0003); /* PIO 3 and 4 */
	for (unsigned i = 65; i <= 68; i++)
		ide_put_word(buf, i, 120); /* ns to a cycle */
	ide_put_word(buf, 80, 0x007e);	   /* up to ATA/ATAPI-6 */
	ide_put_word(buf, 82, 0x4068);	   /* NOP, read-ahead, write cache, power management */
	ide_put_word(buf, 83, 0x7400);	   /* FLUSH CACHE (EXT), 48-bit addresses */
	ide_put_word(buf, 84, 0x4040);	   /* FUA */
	ide_put_word(buf, 85, 0x4008 | cache);
	ide_put_word(buf, 86, 0x3400);
	ide_put_word(buf, 87, 0x4040);
	ide_put_word(buf, 88, (u16)(0x003f | mode_bit(d->dma_mode, XFER_UDMA)));
	ide_put_word(buf, 93, 0x6001); /* an 80-conductor cable */
	put_number(buf, 100, 4, d->sectors);
}

static void reply(struct ide_channel *ch)
{
	ch->job = JOB_REPLY;
	ch->pos = 0;
	ch->end = ch->block = BLOCK_SECTOR;
	ide_drq(ch, true);
}

static void do_identify(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);

	(void)flags;
	if (d->kind == IDE_CDROM) {
		/* Aborted with the signature in the registers: that is how it is told from a disk. */
		ide_signature(d);
		ide_end(ch, ER_ABRT);
		return;
	}
	identify(ch, d, ch->buf);
	reply(ch);
}

static void do_identify_packet(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);

	(void)flags;
	if (d->kind != IDE_CDROM) {
		ide_end(ch, ER_ABRT);
		return;
	}
	atapi_identify(d, ch->buf);
	reply(ch);
}

static void do_packet(struct ide_channel *ch, u8 flags)
{
	(void)flags;
	if (ide_selected(ch)->kind == IDE_CDROM)
		atapi_packet_command(ch);
	else
		ide_end(ch, ER_ABRT);
}

/* ---- commands without data ---- */

static void do_nothing(struct ide_channel *ch, u8 flags)
{
	(void)flags;
	ide_end(ch, 0);
}

static void do_abort(struct ide_channel *ch, u8 flags)
{
	(void)flags;
	ide_end(ch, ER_ABRT);
}

static void do_flush(struct ide_channel *ch, u8 flags)
{
	(void)flags;
	ch->job = JOB_FLUSH;
	ide_request(ch, BLOCK_FLUSH, 0, 0);
}

static void do_seek(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);

	(void)flags;
	ide_end(ch, start_address(d, false) < d->sectors ? 0 : ER_IDNF);
}

static void do_set_multiple(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);
	u8 n = d->count[0];

	(void)flags;
	if (n > ATA_MAX_MULTI || (n & (n - 1))) {
		ide_end(ch, ER_ABRT);
		return;
	}
	d->multi = n;
	ide_end(ch, 0);
}

static void do_parameters(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);
	struct chs g = {.heads = (d->select & 15) + 1u, .sectors = d->count[0]};

	(void)flags;
	if (!g.sectors) {
		d->current.cylinders = 0;
		ide_end(ch, ER_ABRT);
		return;
	}
	g.cylinders = (u32)MAX(MIN(d->sectors / (g.heads * g.sectors), 65535), 1);
	d->current = g;
	ide_end(ch, 0);
}

static void do_read_native_max(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);
	u64 last = d->sectors - 1;

	d->select |= SEL_LBA;
	show_address(d, flags & F_EXT ? last : MIN(last, LBA28_SECTORS - 1), flags & F_EXT);
	ide_end(ch, 0);
}

static bool valid_mode(u8 mode)
{
	u8 family = mode & 0xf8, n = mode & 7;

	switch (family) {
	case 0x00: /* PIO default, with or without IORDY */
		return n <= 1;
	case 0x08: /* PIO with flow control */
		return n <= 4;
	case XFER_MWDMA:
		return n <= MAX_MWDMA;
	case XFER_UDMA:
		return n <= MAX_UDMA;
	default:
		return false;
	}
}

static void do_set_features(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);
	bool disk = d->kind == IDE_DISK;

	(void)flags;
	switch (d->feature[0]) {
	case 0x03: /* transfer mode */
		if (!valid_mode(d->count[0]))
			break;
		if (d->count[0] >= XFER_MWDMA)
			d->dma_mode = d->count[0];
		ide_end(ch, 0);
		return;
	case 0x02: /* write cache */
	case 0x82:
		if (!disk)
			break;
		d->write_cache = d->feature[0] == 0x02;
		if (d->write_cache)
			ide_end(ch, 0);
		else
			do_flush(ch, 0);
		return;
	case 0x55: /* look-ahead */
	case 0xaa:
		if (!disk)
			break;
		d->read_ahead = d->feature[0] == 0xaa;
		ide_end(ch, 0);
		return;
	case 0x66: /* settings kept, or not, at a software reset: they always are */
	case 0xcc:
		ide_end(ch, 0);
		return;
	default:
		break;
	}
	ide_end(ch, ER_ABRT);
}

static void do_power(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);
	u8 what = ch->command & 0x0f;

	(void)flags;
	/* STANDBY (IMMEDIATE) and SLEEP put it to sleep; IDLE and IDLE IMMEDIATE wake it. */
	d->standby = what == 0 || what == 2 || what == 4 || what == 6 || what == 9;
	ide_end(ch, 0);
}

static void do_check_power(struct ide_channel *ch, u8 flags)
{
	struct ide_drive *d = ide_selected(ch);

	(void)flags;
	d->count[0] = d->standby ? 0x00 : 0xff;
	ide_end(ch, 0);
}

static const struct ata_op ops[256] = {
	[0x00] = {do_abort, F_PACKET}, /* NOP: always aborted */
	[0x20] = {do_transfer, 0},
	[0x21] = {do_transfer, 0},
	[0x24] = {do_transfer, F_EXT},
	[0x25] = {do_transfer, F_EXT | F_DMA},
	[0x27] = {do_read_native_max, F_EXT},
	[0x29] = {do_transfer, F_EXT | F_MULTI},
	[0x30] = {do_transfer, F_WRITE},
	[0x31] = {do_transfer, F_WRITE},
	[0x34] = {do_transfer, F_WRITE | F_EXT},
	[0x35] = {do_transfer, F_WRITE | F_EXT | F_DMA},
	[0x39] = {do_transfer, F_WRITE | F_EXT | F_MULTI},
	[0x3c] = {do_transfer, F_WRITE | F_FUA}, /* WRITE VERIFY */
	[0x3d] = {do_transfer, F_WRITE | F_EXT | F_DMA | F_FUA},
	[0x40] = {do_transfer, F_VERIFY},
	[0x41] = {do_transfer, F_VERIFY},
	[0x42] = {do_transfer, F_VERIFY | F_EXT},
	[0x91] = {do_parameters, 0},
	[0x94] = {do_power, F_PACKET},
	[0x95] = {do_power, F_PACKET},
	[0x96] = {do_power, F_PACKET},
	[0x97] = {do_power, F_PACKET},
	[0x98] = {do_check_power, F_PACKET},
	[0x99] = {do_power, F_PACKET},
	[0xa0] = {do_packet, F_PACKET},
	[0xa1] = {do_identify_packet, F_PACKET},
	[0xc4] = {do_transfer, F_MULTI},
	[0xc5] = {do_transfer, F_WRITE | F_MULTI},
	[0xc6] = {do_set_multiple, 0},
	[0xc8] = {do_transfer, F_DMA},
	[0xc9] = {do_transfer, F_DMA},
	[0xca] = {do_transfer, F_WRITE | F_DMA},
	[0xcb] = {do_transfer, F_WRITE | F_DMA},
	[0xce] = {do_transfer, F_WRITE | F_EXT | F_MULTI | F_FUA},
	[0xe0] = {do_power, F_PACKET},
	[0xe1] = {do_power, F_PACKET},
	[0xe2] = {do_power, F_PACKET},
	[0xe3] = {do_power, F_PACKET},
	[0xe5] = {do_check_power, F_PACKET},
	[0xe6] = {do_power, F_PACKET},
	[0xe7] = {do_flush, 0},
	[0xea] = {do_flush, F_EXT},
	[0xec] = {do_identify, F_PACKET},
	[0xef] = {do_set_features, F_PACKET},
	[0xf8] = {do_read_native_max, 0},
};

void ata_command(struct ide_channel *ch, u8 command)
{
	const struct ata_op *op = &ops[command];
	bool known = op->fn && (ide_selected(ch)->kind == IDE_DISK || (op->flags & F_PACKET));

	if (known)
		op->fn(ch, op->flags);
	else if (command >= 0x10 && command <= 0x1f && ide_selected(ch)->kind == IDE_DISK)
		do_nothing(ch, 0); /* RECALIBRATE */
	else if (command >= 0x70 && command <= 0x7f && ide_selected(ch)->kind == IDE_DISK)
		do_seek(ch, 0);
	else
		ide_end(ch, ER_ABRT);
}
