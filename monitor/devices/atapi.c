/*
 * ATAPI CD-ROM drives: the PACKET command (ATA/ATAPI-6, T13/1410D, 8.23 and 9.8) and the commands in it (MMC-3, T10/1363D; SPC-2).
 *
 * Data go to the guest in DRQ blocks of at most the byte count that it allowed; the interrupt reason register says what a DRQ is for. A
 * disc is one session with one data track in mode 1, from sector 0 on. The error detection and correction bytes of raw sectors are zeros.
 */
#include <string.h>

#include "monitor/devices/ide_internal.h"

#define FEATURE_DMA 0x01
#define PIO_LIMIT   0xfffeu
#define LEAD_OUT    0xaa
#define PREGAP	    150 /* sectors before sector 0 in minute-second-frame addresses */
#define SYNC_BYTES  12
#define HEAD_BYTES  4
#define EDC_BYTES   288

/* Sense keys and additional codes, as key << 16 | asc << 8 | ascq. */
enum {
	SENSE_NONE = 0,
	SENSE_NO_MEDIUM = 0x023a00,
	SENSE_READ_ERROR = 0x031100,
	SENSE_BAD_COMMAND = 0x052000,
	SENSE_BAD_ADDRESS = 0x052100,
	SENSE_BAD_FIELD = 0x052400,
	SENSE_LOCKED = 0x055302,
	SENSE_MEDIUM_CHANGED = 0x062800,
};
enum { /* fields of a raw sector, READ CD's byte 9 */
       RAW_SYNC = 0x80,
       RAW_SUBHEADER = 0x40,
       RAW_HEADER = 0x20,
       RAW_USER = 0x10,
       RAW_EDC = 0x08,
};
enum { EVENT_NONE, EVENT_EJECT, EVENT_NEW, EVENT_REMOVED };

enum {			 /* flags of commands */
       P_MEDIUM = 0x01,	 /* needs a disc */
       P_ANYTIME = 0x02, /* also while a unit attention waits */
};

static void put16(u8 *p, u32 x)
{
	p[0] = (u8)(x >> 8);
	p[1] = (u8)x;
}

static void put32(u8 *p, u32 x)
{
	put16(p, x >> 16);
	put16(p + 2, x);
}

static u32 get16(const u8 *p)
{
	return (u32)p[0] << 8 | p[1];
}

static u32 get32(const u8 *p)
{
	return get16(p) << 16 | get16(p + 2);
}

static bool has_medium(const struct ide_drive *d)
{
	return d->block && !d->tray_open;
}

static u32 cd_sectors(const struct ide_drive *d)
{
	u64 n = (d->sectors + 3) / 4;

	return n > 0xffffffffu ? 0xffffffffu : (u32)n;
}

void atapi_reset(struct ide_drive *d, bool hard)
{
	d->sense_key = d->asc = d->ascq = 0;
	d->locked = d->standby = false;
	if (!hard)
		return;
	d->tray_open = d->unit_attention = false;
	d->media_event = EVENT_NONE;
	d->dma_mode = 0x22;
}

void atapi_identify(struct ide_drive *d, u8 *buf)
{
	u16 mwdma = d->dma_mode >> 3 == 4 ? (u16)(0x100 << (d->dma_mode & 7)) : 0;
	u16 udma = d->dma_mode >> 3 == 8 ? (u16)(0x100 << (d->dma_mode & 7)) : 0;

	memset(buf, 0, BLOCK_SECTOR);
	ide_put_word(buf, 0, 0x85c0); /* a removable CD-ROM; DRQ within 50 us; packets of 12 bytes */
	ide_put_text(buf, 10, 10, "RG00003");
	ide_put_text(buf, 23, 4, RINGER_VERSION);
	ide_put_text(buf, 27, 20, "RINGER CD-ROM");
	ide_put_word(buf, 48, 0x0001);
	ide_put_word(buf, 49, 0x0b00); /* IORDY, LBA, DMA */
	ide_put_word(buf, 53, 0x0006); /* 64-70 and 88 are valid */
	ide_put_word(buf, 63, 0x0007 | mwdma);
	ide_put_word(buf, 64, 0x0003); /* PIO 3 and 4 */
	for (unsigned i = 65; i <= 68; i++)
		ide_put_word(buf, i, 120);
	ide_put_word(buf, 71, 30); /* ns from PACKET to bus release, and from SERVICE to BSY clear */
	ide_put_word(buf, 72, 30);
	ide_put_word(buf, 80, 0x007e);
	ide_put_word(buf, 82, 0x4218); /* NOP, DEVICE RESET, PACKET, power management */
	ide_put_word(buf, 83, 0x4000);
	ide_put_word(buf, 84, 0x4000);
	ide_put_word(buf, 85, 0x4218);
	ide_put_word(buf, 87, 0x4000);
	ide_put_word(buf, 88, 0x003f | udma);
	ide_put_word(buf, 93, 0x6001);
}

/* ---- the course of a packet command ---- */

static void set_sense(struct ide_drive *d, u32 sense)
{
	d->sense_key = (u8)(sense >> 16);
	d->asc = (u8)(sense >> 8);
	d->ascq = (u8)sense;
}

static void finish(struct ide_channel *ch, u32 sense)
{
	struct ide_drive *d = ide_selected(ch);

	if (sense)
		set_sense(d, sense);
	d->count[0] = IR_IO | IR_CD;
	ide_end(ch, sense ? (u8)(d->sense_key << 4 | ER_ABRT) : 0);
}

/* The next block of what is in buf, in the way that the command said. */
static void offer(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);

	d->count[0] = ch->job == JOB_PACKET_WRITE ? 0 : IR_IO;
	ide_drq(ch, !ch->dma);
	if (ch->dma) {
		ide_bm_run(ch);
		return;
	}
	d->lba_mid[0] = (u8)(ch->drq_end - ch->pos);
	d->lba_high[0] = (u8)((ch->drq_end - ch->pos) >> 8);
}

/* n bytes in buf, of which the guest wants `room`. */
static void reply(struct ide_channel *ch, u32 n, u32 room)
{
	n = MIN(n, room);
	if (!n) {
		finish(ch, SENSE_NONE);
		return;
	}
	ch->job = JOB_PACKET_REPLY;
	ch->pos = 0;
	ch->end = n;
	offer(ch);
}

void atapi_packet_command(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);

	d->count[0] = IR_CD;
	ch->job = JOB_PACKET;
	ch->pos = 0;
	ch->end = ch->block = ATAPI_PACKET;
	ide_drq(ch, false);
}

static void read_chunk(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);
	u64 offset = ch->lba * CD_SECTOR, size = d->sectors * BLOCK_SECTOR;
	u32 n;

	ch->chunk = MIN(ch->left, CD_CHUNK);
	ch->left -= ch->chunk;
	ch->lba += ch->chunk;
	ch->pos = ch->drq_end = 0;
	ch->end = ch->chunk * ch->cd_sector;
	n = ch->chunk * CD_SECTOR;
	/* The disc's last sector may be only partly in the image. */
	if (offset < size && n > size - offset) {
		memset(ch->buf, 0, n);
		n = (u32)(size - offset);
	}
	ide_request(ch, BLOCK_READ, offset, n);
}

static void put_msf(u8 *p, u32 lba)
{
	lba += PREGAP;
	p[0] = (u8)(lba / 75 / 60);
	p[1] = (u8)(lba / 75 % 60);
	p[2] = (u8)(lba % 75);
}

static u8 bcd(u8 x)
{
	return (u8)((x / 10 % 10) << 4 | x % 10);
}

static u32 raw_bytes(u8 layout)
{
	return (layout & RAW_SYNC ? SYNC_BYTES : 0) + (layout & RAW_HEADER ? HEAD_BYTES : 0) + (layout & RAW_USER ? CD_SECTOR : 0) +
	       (layout & RAW_EDC ? EDC_BYTES : 0);
}

/* Lays the user data in buf out as the sectors that the guest asked for: last one first, for they grow, or move down if they shrink. */
static void lay_out(struct ide_channel *ch)
{
	u8 user[CD_SECTOR], *to;

	if (ch->cd_layout == RAW_USER)
		return;
	for (u32 i = ch->chunk; i--;) {
		u32 lba = (u32)(ch->lba - ch->chunk + i);

		memcpy(user, ch->buf + i * CD_SECTOR, CD_SECTOR);
		to = ch->buf + i * ch->cd_sector;
		if (ch->cd_layout & RAW_SYNC) {
			memset(to, 0xff, SYNC_BYTES);
			to[0] = to[SYNC_BYTES - 1] = 0;
			to += SYNC_BYTES;
		}
		if (ch->cd_layout & RAW_HEADER) {
			put_msf(to, lba);
			for (int k = 0; k < 3; k++)
				to[k] = bcd(to[k]);
			to[3] = 1; /* mode */
			to += HEAD_BYTES;
		}
		if (ch->cd_layout & RAW_USER) {
			memcpy(to, user, CD_SECTOR);
			to += CD_SECTOR;
		}
		if (ch->cd_layout & RAW_EDC)
			memset(to, 0, EDC_BYTES);
	}
}

void atapi_request_done(struct ide_channel *ch, int err)
{
	if (err) {
		finish(ch, SENSE_READ_ERROR);
		return;
	}
	lay_out(ch);
	offer(ch);
}

/* ---- the disc comes and goes ---- */

void atapi_set_medium(struct ide_channel *ch, struct ide_drive *d, struct block *block)
{
	if (ch->job == JOB_PACKET_READ && ide_selected(ch) == d)
		finish(ch, SENSE_NO_MEDIUM);
	d->block = block;
	d->sectors = block ? block_sectors(block) : 0;
	d->tray_open = !block;
	d->unit_attention = block;
	d->media_event = block ? EVENT_NEW : EVENT_REMOVED;
}

void atapi_press_eject(struct ide_drive *d)
{
	d->media_event = EVENT_EJECT;
}

/* ---- commands ---- */

static void read_sectors(struct ide_channel *ch, u32 lba, u32 n, u8 layout)
{
	struct ide_drive *d = ide_selected(ch);
	u32 total = cd_sectors(d);

	if (lba > total || n > total - lba) {
		finish(ch, SENSE_BAD_ADDRESS);
		return;
	}
	ch->cd_layout = layout;
	ch->cd_sector = raw_bytes(layout);
	if (!n || !ch->cd_sector) {
		finish(ch, SENSE_NONE);
		return;
	}
	d->standby = false;
	ch->job = JOB_PACKET_READ;
	ch->lba = lba;
	ch->left = n;
	read_chunk(ch);
}

static void test_unit_ready(struct ide_channel *ch, const u8 *p)
{
	(void)p;
	finish(ch, SENSE_NONE);
}

static void request_sense(struct ide_channel *ch, const u8 *p)
{
	struct ide_drive *d = ide_selected(ch);
	u32 room = p[4];

	if (d->unit_attention && !d->sense_key) {
		set_sense(d, SENSE_MEDIUM_CHANGED);
		d->unit_attention = false;
	}
	memset(ch->buf, 0, 18);
	ch->buf[0] = 0x70; /* current error, fixed format */
	ch->buf[2] = d->sense_key;
	ch->buf[7] = 10;
	ch->buf[12] = d->asc;
	ch->buf[13] = d->ascq;
	set_sense(d, SENSE_NONE);
	reply(ch, 18, room);
}

static void put_padded(u8 *p, const char *text, size_t n)
{
	size_t len = strlen(text);

	memset(p, ' ', n);
	memcpy(p, text, MIN(len, n));
}

static void inquiry(struct ide_channel *ch, const u8 *p)
{
	u32 room = get16(p + 3);

	if (p[1] & 1) {
		finish(ch, SENSE_BAD_FIELD);
		return;
	}
	memset(ch->buf, 0, 36);
	ch->buf[0] = 0x05; /* CD-ROM */
	ch->buf[1] = 0x80; /* removable */
	ch->buf[3] = 0x21; /* ATAPI, response format 1 */
	ch->buf[4] = 31;
	put_padded(ch->buf + 8, "RINGER", 8);
	put_padded(ch->buf + 16, "CD-ROM", 16);
	put_padded(ch->buf + 32, RINGER_VERSION, 4);
	reply(ch, 36, room);
}

static void start_stop(struct ide_channel *ch, const u8 *p)
{
	struct ide_drive *d = ide_selected(ch);
	bool load_eject = p[4] & 2, start = p[4] & 1;

	if (load_eject && !start && !d->tray_open) {
		if (d->locked) {
			finish(ch, d->block ? SENSE_LOCKED : SENSE_NO_MEDIUM);
			return;
		}
		d->tray_open = true;
		d->media_event = EVENT_REMOVED;
	} else if (load_eject && start && d->tray_open) {
		d->tray_open = false;
		if (d->block) {
			d->media_event = EVENT_NEW;
			d->unit_attention = true;
		}
	}
	finish(ch, SENSE_NONE);
}

static void prevent_removal(struct ide_channel *ch, const u8 *p)
{
	ide_selected(ch)->locked = p[4] & 1;
	finish(ch, SENSE_NONE);
}

static void read_capacity(struct ide_channel *ch, const u8 *p)
{
	(void)p;
	put32(ch->buf, cd_sectors(ide_selected(ch)) - 1);
	put32(ch->buf + 4, CD_SECTOR);
	reply(ch, 8, 8);
}

static void read10(struct ide_channel *ch, const u8 *p)
{
	read_sectors(ch, get32(p + 2), get16(p + 7), RAW_USER);
}

static void read12(struct ide_channel *ch, const u8 *p)
{
	read_sectors(ch, get32(p + 2), get32(p + 6), RAW_USER);
}

static void read_cd(struct ide_channel *ch, const u8 *p)
{
	u8 type = p[1] >> 2 & 7, layout = p[9] & (RAW_SYNC | RAW_HEADER | RAW_USER | RAW_EDC);

	/* Any type or mode 1: nothing else is on the disc. No subchannels, no C2 errors. */
	if (type > 2 || type == 1 || (p[9] & 0x06) || (p[10] & 7)) {
		finish(ch, SENSE_BAD_FIELD);
		return;
	}
	read_sectors(ch, get32(p + 2), get32(p + 5) & 0xffffff, layout);
}

static void seek(struct ide_channel *ch, const u8 *p)
{
	finish(ch, get32(p + 2) < cd_sectors(ide_selected(ch)) ? SENSE_NONE : SENSE_BAD_ADDRESS);
}

static void put_toc_address(u8 *p, bool msf, u32 lba)
{
	if (msf) {
		p[0] = 0;
		put_msf(p + 1, lba);
	} else {
		put32(p, lba);
	}
}

static u8 *toc_track(u8 *p, u8 track, bool msf, u32 lba)
{
	p[0] = 0;
	p[1] = 0x14; /* position; a data track */
	p[2] = track;
	p[3] = 0;
	put_toc_address(p + 4, msf, lba);
	return p + 8;
}

/* One entry of the raw table of contents: session 1, its control, what POINT is, and a place. */
static u8 *toc_raw(u8 *p, u8 point, u8 minute, u8 second, u8 frame)
{
	const u8 entry[11] = {1, 0x14, 0, point, 0, 0, 0, 0, minute, second, frame};

	memcpy(p, entry, sizeof(entry));
	return p + sizeof(entry);
}

static void read_toc(struct ide_channel *ch, const u8 *p)
{
	u8 format = p[2] & 15 ? p[2] & 15 : p[9] >> 6, start = p[6], msf[3];
	bool in_msf = p[1] & 2;
	u32 room = get16(p + 7), total = cd_sectors(ide_selected(ch));
	u8 *at = ch->buf + 4;

	ch->buf[2] = ch->buf[3] = 1; /* first and last track or session */
	switch (format) {
	case 0:
		if (start > 1 && start != LEAD_OUT) {
			finish(ch, SENSE_BAD_FIELD);
			return;
		}
		if (start <= 1)
			at = toc_track(at, 1, in_msf, 0);
		at = toc_track(at, LEAD_OUT, in_msf, total);
		break;
	case 1:
		at = toc_track(at, 1, in_msf, 0);
		break;
	case 2:
		put_msf(msf, total);
		at = toc_raw(at, 0xa0, 1, 0, 0);
		at = toc_raw(at, 0xa1, 1, 0, 0);
		at = toc_raw(at, 0xa2, msf[0], msf[1], msf[2]);
		put_msf(msf, 0);
		at = toc_raw(at, 1, msf[0], msf[1], msf[2]);
		break;
	default:
		finish(ch, SENSE_BAD_FIELD);
		return;
	}
	put16(ch->buf, (u32)(at - ch->buf) - 2);
	reply(ch, (u32)(at - ch->buf), room);
}

static void read_subchannel(struct ide_channel *ch, const u8 *p)
{
	memset(ch->buf, 0, 4);
	ch->buf[1] = 0x15; /* no audio status */
	reply(ch, 4, get16(p + 7));
}

static void read_disc_information(struct ide_channel *ch, const u8 *p)
{
	memset(ch->buf, 0, 34);
	ch->buf[1] = 32;
	ch->buf[2] = 0x0e; /* complete, not erasable */
	ch->buf[3] = ch->buf[4] = ch->buf[5] = ch->buf[6] = 1;
	ch->buf[7] = 0x20; /* unrestricted use */
	reply(ch, 34, get16(p + 7));
}

static u8 *page_error_recovery(const struct ide_drive *d, u8 *p)
{
	(void)d;
	memset(p, 0, 8);
	p[0] = 0x01;
	p[1] = 6;
	p[3] = 5; /* retries */
	return p + 8;
}

static u8 *page_audio(const struct ide_drive *d, u8 *p)
{
	(void)d;
	memset(p, 0, 16);
	p[0] = 0x0e;
	p[1] = 14;
	p[2] = 4; /* immediate */
	p[8] = 1; /* channel 0 to port 0, at full volume, and so on */
	p[9] = 0xff;
	p[10] = 2;
	p[11] = 0xff;
	return p + 16;
}

static u8 *page_capabilities(const struct ide_drive *d, u8 *p)
{
	memset(p, 0, 20);
	p[0] = 0x2a;
	p[1] = 18;
	p[4] = 0x70;				 /* modes 2, multisession */
	p[6] = (u8)(0x29 | (d->locked ? 2 : 0)); /* a tray that can be locked and opened */
	put16(p + 8, 706);			 /* kB/s at most */
	put16(p + 10, 2);
	put16(p + 12, 512); /* KiB of buffer */
	put16(p + 14, 706);
	return p + 20;
}

static const struct {
	u8 code;
	u8 *(*put)(const struct ide_drive *d, u8 *p);
} pages[] = {{0x01, page_error_recovery}, {0x0e, page_audio}, {0x2a, page_capabilities}};

static void mode_sense(struct ide_channel *ch, const u8 *p)
{
	struct ide_drive *d = ide_selected(ch);
	u8 page = p[2] & 0x3f, control = p[2] >> 6, *at = ch->buf + 8;
	u32 room = get16(p + 7);

	/* Nothing is changeable by name, nothing can be saved. */
	if (control == 3) {
		finish(ch, 0x053900);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (page == pages[i].code || page == 0x3f)
			at = pages[i].put(d, at);
	if (at == ch->buf + 8) {
		finish(ch, SENSE_BAD_FIELD);
		return;
	}
	memset(ch->buf, 0, 8);
	put16(ch->buf, (u32)(at - ch->buf) - 2);
	ch->buf[2] = d->tray_open ? 0x71 : has_medium(d) ? 0x01 : 0x70; /* door open, a data disc of 12 cm, none */
	reply(ch, (u32)(at - ch->buf), room);
}

static void mode_select(struct ide_channel *ch, const u8 *p)
{
	u32 n = MIN(get16(p + 7), PIO_LIMIT);

	if (!n) {
		finish(ch, SENSE_NONE);
		return;
	}
	ch->dma = false;
	ch->job = JOB_PACKET_WRITE;
	ch->pos = 0;
	ch->end = n;
	offer(ch);
}

static u8 *feature(u8 *p, u16 code, u8 flags, const u8 *data, u8 n)
{
	put16(p, code);
	p[2] = flags;
	p[3] = n;
	memcpy(p + 4, data, n);
	return p + 4 + n;
}

static void get_configuration(struct ide_channel *ch, const u8 *p)
{
	bool medium = has_medium(ide_selected(ch));
	const struct {
		u16 code;
		u8 flags, n; /* flags: version << 2, persistent, current */
		u8 data[8];
	} features[] = {
		{0x0000, 0x03, 4, {0x00, 0x08, medium, 0x00}},		    /* profile: CD-ROM */
		{0x0001, 0x03, 4, {0x00, 0x00, 0x00, 0x02}},		    /* core: ATAPI */
		{0x0002, 0x03, 0, {0}},					    /* morphing: events can be polled for */
		{0x0003, 0x03, 4, {0x29, 0x00, 0x00, 0x00}},		    /* removable: a tray */
		{0x0010, medium, 8, {0, 0, CD_SECTOR >> 8, 0, 0, 1, 0, 0}}, /* random readable */
		{0x001e, medium, 0, {0}},				    /* CD read */
	};
	u8 which = p[1] & 3, *at = ch->buf + 8;
	u32 start = get16(p + 2), room = get16(p + 7);

	if (which == 3) {
		finish(ch, SENSE_BAD_FIELD);
		return;
	}
	memset(ch->buf, 0, 8);
	put16(ch->buf + 6, medium ? 0x0008 : 0);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		if (which == 2 ? features[i].code != start : features[i].code < start)
			continue;
		if (which == 1 && !(features[i].flags & 1))
			continue;
		at = feature(at, features[i].code, features[i].flags, features[i].data, features[i].n);
	}
	put32(ch->buf, (u32)(at - ch->buf) - 4);
	reply(ch, (u32)(at - ch->buf), room);
}

static void get_event_status(struct ide_channel *ch, const u8 *p)
{
	struct ide_drive *d = ide_selected(ch);
	u32 room = get16(p + 7);

	/* No queue of events that a command could wait for. */
	if (!(p[1] & 1)) {
		finish(ch, SENSE_BAD_FIELD);
		return;
	}
	memset(ch->buf, 0, 8);
	ch->buf[3] = 0x10; /* media events are what there is */
	if (!(p[4] & 0x10)) {
		ch->buf[1] = 2;
		ch->buf[2] = 0x80; /* none of the classes asked for */
		reply(ch, 4, room);
		return;
	}
	ch->buf[1] = 6;
	ch->buf[2] = 4;
	ch->buf[4] = d->media_event;
	ch->buf[5] = (u8)((d->tray_open ? 1 : 0) | (has_medium(d) ? 2 : 0));
	if (room > 4)
		d->media_event = EVENT_NONE;
	reply(ch, 8, room);
}

static void mechanism_status(struct ide_channel *ch, const u8 *p)
{
	memset(ch->buf, 0, 8);
	ch->buf[1] = ide_selected(ch)->tray_open ? 0x10 : 0;
	ch->buf[5] = 1; /* slots: none */
	reply(ch, 8, get16(p + 8));
}

static const struct packet_op {
	void (*fn)(struct ide_channel *ch, const u8 *packet);
	u8 flags;
} ops[256] = {
	[0x00] = {test_unit_ready, P_MEDIUM},
	[0x03] = {request_sense, P_ANYTIME},
	[0x12] = {inquiry, P_ANYTIME},
	[0x1b] = {start_stop, 0},
	[0x1e] = {prevent_removal, 0},
	[0x25] = {read_capacity, P_MEDIUM},
	[0x28] = {read10, P_MEDIUM},
	[0x2b] = {seek, P_MEDIUM},
	[0x42] = {read_subchannel, P_MEDIUM},
	[0x43] = {read_toc, P_MEDIUM},
	[0x46] = {get_configuration, P_ANYTIME},
	[0x4a] = {get_event_status, P_ANYTIME},
	[0x51] = {read_disc_information, P_MEDIUM},
	[0x55] = {mode_select, 0},
	[0x5a] = {mode_sense, 0},
	[0xa8] = {read12, P_MEDIUM},
	[0xbb] = {test_unit_ready, 0}, /* SET CD SPEED: as fast as it goes */
	[0xbd] = {mechanism_status, 0},
	[0xbe] = {read_cd, P_MEDIUM},
};

static void execute(struct ide_channel *ch)
{
	struct ide_drive *d = ide_selected(ch);
	u8 packet[ATAPI_PACKET];
	const struct packet_op *op;
	u32 limit = d->lba_mid[0] | (u32)d->lba_high[0] << 8;

	memcpy(packet, ch->buf, sizeof(packet));
	op = &ops[packet[0]];
	ch->dma = d->feature[0] & FEATURE_DMA;
	ch->block = limit & ~1u ? MIN(limit & ~1u, PIO_LIMIT) : PIO_LIMIT;
	if (packet[0] != 0x03)
		set_sense(d, SENSE_NONE);
	if (d->unit_attention && !(op->flags & P_ANYTIME)) {
		d->unit_attention = false;
		finish(ch, SENSE_MEDIUM_CHANGED);
	} else if (!op->fn) {
		finish(ch, SENSE_BAD_COMMAND);
	} else if ((op->flags & P_MEDIUM) && !has_medium(d)) {
		finish(ch, SENSE_NO_MEDIUM);
	} else {
		op->fn(ch, packet);
	}
}

void atapi_block_done(struct ide_channel *ch)
{
	if (ch->job == JOB_REPLY) {
		/* IDENTIFY PACKET DEVICE's */
		ata_block_done(ch);
	} else if (ch->job == JOB_PACKET) {
		execute(ch);
	} else if (ch->pos < ch->end) {
		offer(ch);
	} else if (ch->job == JOB_PACKET_READ && ch->left) {
		read_chunk(ch);
	} else {
		finish(ch, SENSE_NONE);
	}
}
