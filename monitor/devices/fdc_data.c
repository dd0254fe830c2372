/*
 * Floppy commands that move data: READ, WRITE, VERIFY, SCAN, READ TRACK, FORMAT (82077AA data sheet, 5.1).
 *
 * A command's sectors, up to both sides of a cylinder, are consecutive in the image: they are read before or written after the execution
 * phase in one request.
 */
#include <string.h>

#include "monitor/devices/dma8237.h"
#include "monitor/devices/fdc_internal.h"

#define SECTOR BLOCK_SECTOR
enum { P_DRIVE = 1, P_C, P_H, P_R, P_N, P_EOT, P_GPL, P_DTL };
enum { FP_N = 2, FP_SECTORS, FP_GPL, FP_FILL }; /* FORMAT TRACK's */
#define VERIFY_COUNTED 0x80			/* in P_DRIVE: P_DTL is a number of sectors */
enum { SCAN_EQUAL = 0x11, SCAN_LOW = 0x19, SCAN_HIGH = 0x1d };

static u32 first_sector(const struct fdc *f, const struct fdc_drive *d)
{
	return ((u32)d->track * d->format.heads + f->head) * d->format.sectors + f->first - 1;
}

/* ---- the end ---- */

/* Where the command would have gone on, after n sectors (data sheet table 6-5), at terminal count. */
static void next_address(const struct fdc *f, u32 n, u8 chrn[4])
{
	u8 eot = f->command[P_EOT];
	u32 last = f->first + (n ? n : 1) - 1; /* may run on to the other side */
	bool second = false;

	memcpy(chrn, f->command + P_C, 4);
	if (f->job == FJ_FORMAT)
		return;
	if (last > eot && (f->command[0] & CMD_MT)) {
		last -= eot;
		second = true;
		chrn[1] ^= 1;
	}
	if (last < eot) {
		chrn[2] = (u8)(last + 1);
		return;
	}
	chrn[2] = 1;
	if ((f->command[0] & CMD_MT) && !second && !f->head) {
		chrn[1] ^= 1;
		return;
	}
	chrn[0]++;
	if (f->command[0] & CMD_MT)
		chrn[1] ^= 1;
}

static void end(struct fdc *f, u8 st1, u8 st2)
{
	u32 n = (f->pos + SECTOR - 1) / SECTOR;
	u8 chrn[4];

	dma8237_request(f->dma, FDC_DMA, false);
	next_address(f, f->job == FJ_VERIFY ? f->end / SECTOR : n, chrn);
	f->job = FJ_NONE;
	f->pos = f->end = 0;
	fdc_sector_result(f, st1 ? ST0_ABNORMAL : 0, st1, st2, chrn);
}

static void fail(struct fdc *f, u8 st1, u8 st2)
{
	f->job = FJ_NONE;
	f->pos = f->end = 0;
	dma8237_request(f->dma, FDC_DMA, false);
	fdc_sector_result(f, ST0_ABNORMAL, st1, st2, f->command + P_C);
}

void fdc_abort(struct fdc *f)
{
	if (f->job != FJ_NONE)
		fail(f, ST1_NO_ADDRESS, 0);
}

/* ---- the image ---- */

static void request_done(void *opaque, int err);

/* Sectors that the image lacks read as zeros, and cannot be written. */
static void request(struct fdc *f, enum block_op op, u32 first, u32 bytes)
{
	struct block *b = fdc_drive(f)->block;
	u64 offset = (u64)first * SECTOR, size = block_sectors(b) * SECTOR;
	u32 n = offset >= size ? 0 : (u32)MIN(bytes, size - offset);

	f->phase = PH_BUSY;
	if (op == BLOCK_READ)
		memset(f->buf, 0, bytes);
	else
		n = bytes;
	if (!n)
		offset = 0;
	f->in_flight = true;
	f->request = (struct block_request){
		.op = op,
		.offset = offset,
		.bytes = n,
		.buf = f->buf,
		.done = request_done,
		.opaque = f,
	};
	block_submit(b, &f->request);
}

void fdc_settle(struct fdc *f, bool drop)
{
	f->dropped = drop;
	while (f->in_flight)
		block_drain(f->drive[f->command[1] & 3].block);
	f->dropped = false;
}

/* ---- the execution phase ---- */

/* All bytes have been moved, or the host has had enough (terminal count). */
static void all_moved(struct fdc *f, bool tc)
{
	u32 whole = (f->pos + SECTOR - 1) / SECTOR * SECTOR;

	if (tc)
		f->end_status = 0;
	dma8237_request(f->dma, FDC_DMA, false);
	switch (f->job) {
	case FJ_WRITE:
		memset(f->buf + f->pos, 0, whole - f->pos);
		f->pos = whole;
		request(f, BLOCK_WRITE, first_sector(f, fdc_drive(f)), whole);
		return;
	case FJ_FORMAT: {
		u32 low = 256, high = 0;

		/* Each sector's C, H, R and N: an image can hold none but those that belong on the track. */
		for (u32 i = 0; i + 4 <= f->pos; i += 4) {
			const u8 *id = f->buf + i;

			if (id[0] != fdc_drive(f)->track || id[1] != f->head || !id[2] || id[2] > fdc_drive(f)->format.sectors ||
			    id[3] != FDC_SIZE_512) {
				fail(f, ST1_NO_DATA, 0);
				return;
			}
			low = MIN(low, id[2]);
			high = MAX(high, id[2]);
		}
		if (!high) {
			fail(f, ST1_NO_DATA, 0);
			return;
		}
		f->first = (u8)low;
		f->end_status = 0;
		memset(f->buf, f->command[FP_FILL], (high - low + 1) * SECTOR);
		request(f, BLOCK_WRITE, first_sector(f, fdc_drive(f)), (high - low + 1) * SECTOR);
		return;
	}
	case FJ_SCAN:
		end(f, f->end_status == ST1_END ? 0 : f->end_status, ST2_SCAN_FAILED);
		return;
	default:
		end(f, f->end_status, 0);
		return;
	}
}

static bool to_host(const struct fdc *f)
{
	return f->job == FJ_READ;
}

static void begin_moving(struct fdc *f)
{
	f->phase = to_host(f) ? PH_TO_HOST : PH_FROM_HOST;
	if (!fdc_uses_dma(f)) {
		fdc_interrupt(f, true);
		return;
	}
	dma8237_request(f->dma, FDC_DMA, true);
	fdc_dma_ready(f);
}

static bool scan_met(const struct fdc *f)
{
	switch (f->command[0] & 0x1f) {
	case SCAN_EQUAL:
		return !f->scan_low && !f->scan_high;
	case SCAN_LOW:
		return !f->scan_high;
	default:
		return !f->scan_low;
	}
}

/* Compares one byte of the host's with the disk's; true at a sector's end that ends the command. FFh is like any byte. */
static bool scan_byte(struct fdc *f, u8 host)
{
	u8 disk = f->buf[f->pos++];

	if (disk != 0xff && host != 0xff && !f->scan_low && !f->scan_high) {
		f->scan_low = disk < host;
		f->scan_high = disk > host;
	}
	if (f->pos % SECTOR)
		return false;
	if (scan_met(f)) {
		bool equal = !f->scan_low && !f->scan_high;

		end(f, 0, equal ? ST2_SCAN_HIT : 0);
		return true;
	}
	f->scan_low = f->scan_high = false;
	return false;
}

static void scan_by_dma(struct fdc *f)
{
	u8 host[SECTOR];
	bool tc = false;

	while (f->pos < f->end && !tc) {
		u32 n;

		memset(host, 0xff, sizeof(host));
		n = dma8237_transfer(f->dma, FDC_DMA, host, MIN(f->end - f->pos, SECTOR - f->pos % SECTOR), &tc);
		if (!n)
			return;
		for (u32 i = 0; i < n; i++)
			if (scan_byte(f, host[i]))
				return;
	}
	all_moved(f, tc);
}

void fdc_dma_ready(void *opaque)
{
	struct fdc *f = opaque;
	bool tc;

	if ((f->phase != PH_TO_HOST && f->phase != PH_FROM_HOST) || !fdc_uses_dma(f))
		return;
	if (f->job == FJ_SCAN) {
		scan_by_dma(f);
		return;
	}
	f->pos += dma8237_transfer(f->dma, FDC_DMA, f->buf + f->pos, f->end - f->pos, &tc);
	if (tc || f->pos == f->end)
		all_moved(f, tc);
}

/* Without DMA each byte is asked for by an interrupt, and nobody tells when it is enough: a command ends at its last sector. */
u8 fdc_data_read(struct fdc *f)
{
	u8 value = f->buf[f->pos++];

	fdc_interrupt(f, false);
	if (f->pos == f->end)
		all_moved(f, false);
	else
		fdc_interrupt(f, true);
	return value;
}

void fdc_data_write(struct fdc *f, u8 value)
{
	fdc_interrupt(f, false);
	if (f->job == FJ_SCAN) {
		if (scan_byte(f, value))
			return;
	} else {
		f->buf[f->pos++] = value;
	}
	if (f->pos == f->end)
		all_moved(f, false);
	else
		fdc_interrupt(f, true);
}

static void request_done(void *opaque, int err)
{
	struct fdc *f = opaque;

	f->in_flight = false;
	if (f->dropped)
		return;
	if (err)
		fail(f, ST1_DATA_ERROR, ST2_DATA_ERROR);
	else if (f->job == FJ_READ || f->job == FJ_SCAN)
		begin_moving(f);
	else
		end(f, f->end_status, 0);
}

/* ---- the beginning ---- */

bool fdc_medium(struct fdc *f, u8 *st1)
{
	struct fdc_drive *d = fdc_drive(f);

	/* No disk, no sector; at another rate the controller sees no address marks. */
	*st1 = ST1_NO_ADDRESS;
	return d->present && d->block && f->rate == d->format.rate && d->track < d->format.tracks;
}

/* Finds the first sector and how many follow it. False: the command has ended. */
static bool locate(struct fdc *f, u8 first, u8 eot)
{
	struct fdc_drive *d = fdc_drive(f);
	const struct fdc_format *g = &d->format;
	const u8 *p = f->command;
	u32 n, in_track;
	u8 st1;

	f->head = p[P_DRIVE] >> 2 & 1;
	f->first = first;
	if (fdc_implied_seek(f) && !fdc_step_to(d, p[P_C])) {
		fail(f, ST1_NO_DATA, 0);
		return false;
	}
	if (!fdc_medium(f, &st1) || f->head >= g->heads) {
		fail(f, ST1_NO_ADDRESS, 0);
		return false;
	}
	if (p[P_C] != d->track || p[P_H] != f->head || p[P_N] != FDC_SIZE_512 || !first || first > g->sectors || first > eot) {
		fail(f, ST1_NO_DATA, p[P_C] != d->track ? ST2_CYLINDER : 0);
		return false;
	}
	in_track = MIN(eot, g->sectors);
	n = in_track - first + 1;
	f->end_status = ST1_END;
	if (eot > g->sectors)
		f->end_status = ST1_NO_DATA;
	else if ((p[0] & CMD_MT) && !f->head && g->heads > 1 && eot == g->sectors)
		n += g->sectors;
	f->end = MIN(n * SECTOR, FDC_BUFFER);
	f->pos = 0;
	return true;
}

void fdc_transfer(struct fdc *f, enum fdc_job job)
{
	struct fdc_drive *d = fdc_drive(f);
	const u8 *p = f->command;

	f->job = job;
	f->scan_low = f->scan_high = false;
	if (!locate(f, p[P_R], p[P_EOT]))
		return;
	if (job == FJ_VERIFY) {
		if ((p[P_DRIVE] & VERIFY_COUNTED) && p[P_DTL])
			f->end = MIN(f->end, p[P_DTL] * SECTOR);
		if (f->end_status == ST1_END)
			f->end_status = 0;
	}
	if (job != FJ_WRITE) {
		request(f, BLOCK_READ, first_sector(f, d), f->end);
		return;
	}
	if (block_readonly(d->block)) {
		fail(f, ST1_PROTECTED, 0);
		return;
	}
	memset(f->buf, 0, f->end);
	begin_moving(f);
}

/* From the first sector of the track on, whatever R is. */
void fdc_read_track(struct fdc *f, enum fdc_job job)
{
	f->job = job;
	if (locate(f, 1, f->command[P_EOT]))
		request(f, BLOCK_READ, first_sector(f, fdc_drive(f)), f->end);
}

void fdc_format_track(struct fdc *f, enum fdc_job job)
{
	struct fdc_drive *d = fdc_drive(f);
	u8 st1;

	f->job = job;
	f->head = f->command[P_DRIVE] >> 2 & 1;
	f->first = 1;
	f->pos = 0;
	if (!fdc_medium(f, &st1) || f->head >= d->format.heads) {
		fail(f, ST1_NO_ADDRESS, 0);
	} else if (block_readonly(d->block)) {
		fail(f, ST1_PROTECTED, 0);
	} else if (f->command[FP_N] != FDC_SIZE_512 || !f->command[FP_SECTORS]) {
		fail(f, ST1_NO_DATA, 0);
	} else {
		f->end = f->command[FP_SECTORS] * 4u;
		memset(f->buf, 0, f->end);
		begin_moving(f);
	}
}
