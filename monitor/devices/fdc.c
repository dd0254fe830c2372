/*
 * The 82077AA floppy controller: registers, drives, command and result phases, seeks, interrupts, saved state (Intel data sheet 290166).
 * Commands that move data are fdc_data.c's.
 *
 * Seeks, READ ID and the end of a reset take some time, as drivers expect that set a flag after the command and clear it in the interrupt;
 * the heads themselves are where they are told to be at once.
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/dma8237.h"
#include "monitor/devices/fdc_internal.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PORT_SRA  0x3f0
#define PORT_SRB  0x3f1
#define PORT_DOR  0x3f2
#define PORT_TDR  0x3f3
#define PORT_MSR  0x3f4 /* DSR when written */
#define PORT_FIFO 0x3f5
#define PORT_DIR  0x3f7 /* CCR when written */

enum { SRA_INT = 0x80, SRA_NO_DRIVE2 = 0x40, SRA_NO_TRACK0 = 0x10, SRA_NO_INDEX = 0x04, SRA_NO_WP = 0x02 };
enum { DOR_SELECT = 0x03, DOR_RUN = 0x04, DOR_DMA = 0x08, DOR_MOTORS = 0xf0 };
enum { MSR_BUSY = 0x10, MSR_NON_DMA = 0x20, MSR_TO_HOST = 0x40, MSR_READY = 0x80 };
enum { DSR_RATE = 0x03, DSR_RESET = 0x80 };
#define DIR_CHANGED   0x80
#define RATE_RESET    2	   /* 250 kbit/s */
#define SPECIFY_NDMA  0x01 /* of its second byte */
#define CONF_SEEK     0x40 /* implied seeks; of configure[0] */
#define CONF_NO_FIFO  0x20
#define CONF_NO_POLL  0x10
#define CONF_THR      0x0f
#define VERSION_82077 0x90
#define STEP_LIMIT    79      /* steps of RECALIBRATE */
#define SEEK_NS	      1000000 /* what a seek takes, or finding an address mark */
#define RESET_NS      100000

enum { ST3_PROTECTED = 0x40, ST3_READY = 0x20, ST3_TRACK0 = 0x10, ST3_TWO_SIDES = 0x08 };

static const struct fdc_format formats[] = {
	{40, 1, 8, 2, 1},  {40, 1, 9, 2, 1},  {40, 2, 8, 2, 1},	 {40, 2, 9, 2, 1},  {41, 2, 10, 2, 1}, {42, 2, 10, 2, 1},
	{80, 2, 9, 2, 3},  {80, 2, 10, 2, 3}, {82, 2, 10, 2, 3}, {83, 2, 10, 2, 3}, {80, 2, 15, 0, 2}, {80, 2, 18, 0, 4},
	{80, 2, 20, 0, 4}, {80, 2, 21, 0, 4}, {82, 2, 21, 0, 4}, {83, 2, 21, 0, 4}, {80, 2, 22, 0, 4}, {80, 2, 23, 0, 4},
	{80, 2, 24, 0, 4}, {80, 2, 36, 3, 5}, {80, 2, 39, 3, 5}, {80, 2, 40, 3, 5}, {80, 2, 44, 3, 5}, {80, 2, 48, 3, 5},
};
static const struct fdc_format format_1440 = {80, 2, 18, 0, 4}, format_2880 = {80, 2, 36, 3, 5};

static u32 format_sectors(const struct fdc_format *f)
{
	return (u32)f->tracks * f->heads * f->sectors;
}

bool fdc_takes(u64 sectors)
{
	struct fdc_format largest = formats[ARRAY_SIZE(formats) - 1];

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (sectors == format_sectors(&formats[i]))
			return true;
	return sectors <= format_sectors(&format_2880) && sectors < format_sectors(&largest);
}

/* An image that is cut off behind its last used sector is the beginning of a larger disk. */
static struct fdc_format format_of(u64 sectors)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (sectors == format_sectors(&formats[i]))
			return formats[i];
	return sectors <= format_sectors(&format_1440) ? format_1440 : format_2880;
}

/* ---- interrupts ---- */

static void update_irq(struct fdc *f)
{
	irq_set(&f->irq, f->interrupt && (f->dor & DOR_DMA));
}

void fdc_interrupt(struct fdc *f, bool on)
{
	f->interrupt = on;
	update_irq(f);
}

bool fdc_uses_dma(const struct fdc *f)
{
	return !(f->specify[1] & SPECIFY_NDMA);
}

bool fdc_implied_seek(const struct fdc *f)
{
	return f->configure[0] & CONF_SEEK;
}

/* ---- phases ---- */

static void command_phase(struct fdc *f)
{
	f->phase = PH_COMMAND;
	f->command_len = 0;
	f->result_len = f->result_pos = 0;
}

void fdc_result(struct fdc *f, u8 n, bool interrupt)
{
	f->phase = PH_RESULT;
	f->result_len = n;
	f->result_pos = 0;
	if (!n)
		command_phase(f);
	if (interrupt)
		fdc_interrupt(f, true);
}

void fdc_sector_result(struct fdc *f, u8 st0, u8 st1, u8 st2, const u8 chrn[4])
{
	f->result[0] = (u8)(st0 | (f->command[1] & 7));
	f->result[1] = st1;
	f->result[2] = st2;
	memcpy(f->result + 3, chrn, 4);
	fdc_result(f, 7, true);
}

/* ---- drives ---- */

bool fdc_step_to(struct fdc_drive *d, u8 track)
{
	u8 limit = (u8)MAX(d->format.tracks, 80) + 3;

	if (!d->present)
		return false;
	/* A step pulse resets the change line, if there is a disk. */
	if (d->block && track != d->track)
		d->changed = false;
	d->track = MIN(track, limit);
	return track <= limit;
}

static void start_timer(struct fdc *f, u64 ns)
{
	timer_mod(&f->timer, clock_ns(&f->vm->clock) + ns);
}

static void begin_seek(struct fdc *f, unsigned n, u8 status)
{
	f->seeking |= BIT(n);
	f->seek_status[n] = (u8)(ST0_SEEK_END | status | n);
	command_phase(f);
	start_timer(f, SEEK_NS);
}

static void end_reset(struct fdc *f)
{
	f->resetting = false;
	/* The drives are polled, and all four are found to have become ready (data sheet 4.0, 5.2.3). */
	for (unsigned i = 0; i < FDC_DRIVES; i++)
		f->seek_status[i] = (u8)(ST0_POLL | i);
	f->seek_ended = 15;
	fdc_interrupt(f, true);
}

static void end_read_id(struct fdc *f)
{
	struct fdc_drive *d = fdc_drive(f);
	u8 st1, head = f->command[1] >> 2 & 1, chrn[4] = {d->track, head, 1, FDC_SIZE_512};
	bool found = fdc_medium(f, &st1) && head < d->format.heads;

	f->reading_id = false;
	if (found)
		/* Some sector passes by: another one each time. */
		chrn[2] = (u8)(clock_ns(&f->vm->clock) / SEEK_NS % d->format.sectors + 1);
	fdc_sector_result(f, found ? 0 : ST0_ABNORMAL, found ? 0 : st1, 0, chrn);
}

static void fdc_timer(void *opaque)
{
	struct fdc *f = opaque;

	if (f->resetting)
		end_reset(f);
	if (f->seeking) {
		f->seek_ended |= f->seeking;
		f->seeking = 0;
		fdc_interrupt(f, true);
	}
	if (f->reading_id)
		end_read_id(f);
}

/* ---- commands without data ---- */

static void do_invalid(struct fdc *f, enum fdc_job job)
{
	(void)job;
	f->result[0] = ST0_INVALID;
	fdc_result(f, 1, false);
}

static void do_specify(struct fdc *f, enum fdc_job job)
{
	(void)job;
	memcpy(f->specify, f->command + 1, 2);
	command_phase(f);
}

static void do_sense_drive(struct fdc *f, enum fdc_job job)
{
	struct fdc_drive *d = fdc_drive(f);

	(void)job;
	f->result[0] = (u8)(ST3_READY | ST3_TWO_SIDES | (f->command[1] & 7));
	if (d->present && d->block && block_readonly(d->block))
		f->result[0] |= ST3_PROTECTED;
	if (d->present && !d->track)
		f->result[0] |= ST3_TRACK0;
	fdc_result(f, 1, false);
}

static void do_recalibrate(struct fdc *f, enum fdc_job job)
{
	struct fdc_drive *d = fdc_drive(f);
	unsigned n = f->command[1] & 3;
	bool reached = d->present && d->track <= STEP_LIMIT;

	(void)job;
	/* The head moves a step even if it is at track 0, for the change line's sake. */
	if (d->present && d->block)
		d->changed = false;
	if (d->present)
		d->track = d->track <= STEP_LIMIT ? 0 : (u8)(d->track - STEP_LIMIT);
	begin_seek(f, n, reached ? 0 : ST0_ABNORMAL | ST0_EQUIPMENT);
}

static void do_seek(struct fdc *f, enum fdc_job job)
{
	(void)job;
	fdc_step_to(fdc_drive(f), f->command[2]);
	begin_seek(f, f->command[1] & 3, f->command[1] & 4);
}

static void do_relative_seek(struct fdc *f, enum fdc_job job)
{
	struct fdc_drive *d = fdc_drive(f);
	int to = d->track + (f->command[0] & 0x40 ? f->command[2] : -f->command[2]);

	(void)job;
	fdc_step_to(d, (u8)MAX(MIN(to, 255), 0));
	begin_seek(f, f->command[1] & 3, to < 0 ? ST0_ABNORMAL | ST0_EQUIPMENT : 0);
}

static void do_sense_interrupt(struct fdc *f, enum fdc_job job)
{
	unsigned n;

	if (!f->seek_ended) {
		do_invalid(f, job);
		return;
	}
	n = (unsigned)__builtin_ctz(f->seek_ended);
	f->seek_ended &= (u8)~BIT(n);
	fdc_interrupt(f, false);
	f->result[0] = f->seek_status[n];
	f->result[1] = f->drive[n].track;
	/* Each seek interrupts; the four states after a reset do so once. */
	if (f->seek_ended && (f->seek_status[n] & ST0_POLL) != ST0_POLL)
		fdc_interrupt(f, true);
	fdc_result(f, 2, false);
}

static void do_read_id(struct fdc *f, enum fdc_job job)
{
	(void)job;
	f->phase = PH_BUSY;
	f->reading_id = true;
	start_timer(f, SEEK_NS);
}

static void do_configure(struct fdc *f, enum fdc_job job)
{
	(void)job;
	memcpy(f->configure, f->command + 2, 2);
	f->configure[0] &= CONF_SEEK | CONF_NO_FIFO | CONF_NO_POLL | CONF_THR;
	command_phase(f);
}

static void do_perpendicular(struct fdc *f, enum fdc_job job)
{
	u8 value = f->command[1];

	(void)job;
	/* The drives' bits are taken with OW only. */
	f->perpendicular = (u8)(value & 0x80 ? value & 0x3f : (f->perpendicular & 0x3c) | (value & 0x03));
	command_phase(f);
}

static void do_lock(struct fdc *f, enum fdc_job job)
{
	(void)job;
	f->locked = f->command[0] & 0x80;
	f->result[0] = f->locked ? 0x10 : 0;
	fdc_result(f, 1, false);
}

static void do_version(struct fdc *f, enum fdc_job job)
{
	(void)job;
	f->result[0] = VERSION_82077;
	fdc_result(f, 1, false);
}

static void do_dumpreg(struct fdc *f, enum fdc_job job)
{
	(void)job;
	for (unsigned i = 0; i < FDC_DRIVES; i++)
		f->result[i] = f->drive[i].track;
	memcpy(f->result + 4, f->specify, 2);
	f->result[6] = fdc_drive(f)->format.sectors;
	f->result[7] = (u8)((f->locked ? 0x80 : 0) | f->perpendicular);
	memcpy(f->result + 8, f->configure, 2);
	fdc_result(f, 10, false);
}

/* In order; the first whose masked byte fits counts. length: bytes of the command with its parameters. */
static const struct {
	u8 mask, value, length;
	void (*fn)(struct fdc *f, enum fdc_job job);
	enum fdc_job job;
} commands[] = {
	{0x1f, 0x06, 9, fdc_transfer, FJ_READ},
	{0x1f, 0x0c, 9, fdc_transfer, FJ_READ}, /* deleted data are data: an image does not tell */
	{0x3f, 0x05, 9, fdc_transfer, FJ_WRITE},
	{0x3f, 0x09, 9, fdc_transfer, FJ_WRITE},
	{0x9f, 0x02, 9, fdc_read_track, FJ_READ},
	{0x1f, 0x16, 9, fdc_transfer, FJ_VERIFY},
	{0x1f, 0x11, 9, fdc_transfer, FJ_SCAN},
	{0x1f, 0x19, 9, fdc_transfer, FJ_SCAN},
	{0x1f, 0x1d, 9, fdc_transfer, FJ_SCAN},
	{0xbf, 0x0d, 6, fdc_format_track, FJ_FORMAT},
	{0xbf, 0x0a, 2, do_read_id, FJ_NONE},
	{0xff, 0x07, 2, do_recalibrate, FJ_NONE},
	{0xff, 0x08, 1, do_sense_interrupt, FJ_NONE},
	{0xff, 0x03, 3, do_specify, FJ_NONE},
	{0xff, 0x04, 2, do_sense_drive, FJ_NONE},
	{0xff, 0x0f, 3, do_seek, FJ_NONE},
	{0xbf, 0x8f, 3, do_relative_seek, FJ_NONE},
	{0xff, 0x13, 4, do_configure, FJ_NONE},
	{0xff, 0x12, 2, do_perpendicular, FJ_NONE},
	{0x7f, 0x14, 1, do_lock, FJ_NONE},
	{0xff, 0x10, 1, do_version, FJ_NONE},
	{0xff, 0x0e, 1, do_dumpreg, FJ_NONE},
	{0x00, 0x00, 1, do_invalid, FJ_NONE},
};

static void take_command_byte(struct fdc *f, u8 value)
{
	size_t i = 0;

	f->command[f->command_len++] = value;
	while ((f->command[0] & commands[i].mask) != commands[i].value)
		i++;
	if (f->command_len == commands[i].length)
		commands[i].fn(f, commands[i].job);
}

/* ---- resets ---- */

static void soft_reset(struct fdc *f)
{
	fdc_settle(f, true);
	timer_del(&f->timer);
	dma8237_request(f->dma, FDC_DMA, false);
	f->seeking = f->seek_ended = 0;
	f->reading_id = f->resetting = false;
	f->job = FJ_NONE;
	f->pos = f->end = 0;
	memset(f->command, 0, sizeof(f->command));
	memset(f->result, 0, sizeof(f->result));
	command_phase(f);
	/* Implied seeks and polling go to their defaults in any case; LOCK keeps what concerns the FIFO. */
	f->configure[0] = f->locked ? f->configure[0] & (CONF_NO_FIFO | CONF_THR) : CONF_NO_FIFO;
	if (!f->locked)
		f->configure[1] = 0;
	f->perpendicular &= 0x3c;
	fdc_interrupt(f, false);
}

static void release_reset(struct fdc *f)
{
	f->resetting = true;
	start_timer(f, RESET_NS);
}

/* ---- registers ---- */

static u8 read_sra(const struct fdc *f)
{
	const struct fdc_drive *d = &f->drive[f->dor & DOR_SELECT];
	u8 value = SRA_NO_INDEX | SRA_NO_WP;

	if (f->interrupt)
		value |= SRA_INT;
	if (!f->drive[1].present)
		value |= SRA_NO_DRIVE2;
	if (!d->present || d->track)
		value |= SRA_NO_TRACK0;
	if (d->block && block_readonly(d->block))
		value &= (u8)~SRA_NO_WP;
	return value;
}

static u8 read_srb(const struct fdc *f)
{
	return (u8)(0xc0 | (f->dor & 1) << 5 | (f->dor >> 4 & 3));
}

static u8 read_msr(const struct fdc *f)
{
	u8 value = f->seeking;

	if (!(f->dor & DOR_RUN) || f->resetting)
		return 0;
	switch (f->phase) {
	case PH_COMMAND:
		return (u8)(value | MSR_READY | (f->command_len ? MSR_BUSY : 0));
	case PH_BUSY:
		return value | MSR_BUSY;
	case PH_RESULT:
		return value | MSR_BUSY | MSR_READY | MSR_TO_HOST;
	default:
		value |= MSR_BUSY;
		if (fdc_uses_dma(f))
			return value;
		return (u8)(value | MSR_NON_DMA | MSR_READY | (f->phase == PH_TO_HOST ? MSR_TO_HOST : 0));
	}
}

static u8 read_fifo(struct fdc *f)
{
	u8 value;

	if (f->phase == PH_TO_HOST && !fdc_uses_dma(f))
		return fdc_data_read(f);
	if (f->phase != PH_RESULT)
		return 0;
	value = f->result[f->result_pos++];
	/* The interrupt of a command that has a result goes with its first byte; that of a seek stays. */
	if (f->result_pos == 1 && !f->seek_ended)
		fdc_interrupt(f, false);
	if (f->result_pos == f->result_len)
		command_phase(f);
	return value;
}

static void write_fifo(struct fdc *f, u8 value)
{
	if (!(f->dor & DOR_RUN) || f->resetting)
		return;
	if (f->phase == PH_COMMAND)
		take_command_byte(f, value);
	else if (f->phase == PH_FROM_HOST && !fdc_uses_dma(f))
		fdc_data_write(f, value);
}

static u8 read_dir(const struct fdc *f)
{
	const struct fdc_drive *d = &f->drive[f->dor & DOR_SELECT];

	return !d->present || !d->block || d->changed ? DIR_CHANGED : 0;
}

static u32 fdc_read(void *opaque, u16 port, unsigned size)
{
	struct fdc *f = opaque;

	(void)size;
	switch (port) {
	case PORT_SRA:
		return read_sra(f);
	case PORT_SRB:
		return read_srb(f);
	case PORT_DOR:
		return f->dor;
	case PORT_TDR:
		return f->tdr;
	case PORT_MSR:
		return read_msr(f);
	case PORT_FIFO:
		return read_fifo(f);
	default:
		return read_dir(f);
	}
}

static void write_dor(struct fdc *f, u8 value)
{
	u8 old = f->dor;

	f->dor = value;
	if ((old & DOR_RUN) && !(value & DOR_RUN))
		soft_reset(f);
	else if (!(old & DOR_RUN) && (value & DOR_RUN))
		release_reset(f);
	update_irq(f);
}

static void fdc_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct fdc *f = opaque;

	(void)size;
	switch (port) {
	case PORT_DOR:
		write_dor(f, (u8)value);
		break;
	case PORT_TDR:
		f->tdr = value & 3;
		break;
	case PORT_MSR:
		f->rate = value & DSR_RATE;
		if ((value & DSR_RESET) && (f->dor & DOR_RUN)) {
			soft_reset(f);
			release_reset(f);
		}
		break;
	case PORT_FIFO:
		write_fifo(f, (u8)value);
		break;
	case PORT_DIR:
		f->rate = value & DSR_RATE;
		break;
	default:
		break;
	}
}

/* ---- the device ---- */

static void fdc_reset(void *opaque)
{
	struct fdc *f = opaque;

	f->locked = false;
	soft_reset(f);
	f->dor = DOR_RUN | DOR_DMA; /* as firmware leaves it */
	f->tdr = 0;
	f->rate = RATE_RESET;
	memset(f->specify, 0, sizeof(f->specify));
	f->configure[0] = CONF_NO_FIFO;
	f->perpendicular = 0;
	for (unsigned i = 0; i < FDC_DRIVES; i++) {
		f->drive[i].track = 0;
		f->drive[i].changed = true;
		f->seek_status[i] = 0;
	}
}

#define FDC_BYTES(X)                                                                                                                       \
	X(dor)                                                                                                                             \
	X(tdr)                                                                                                                             \
	X(rate)                                                                                                                            \
	X(specify[0])                                                                                                                      \
	X(specify[1])                                                                                                                      \
	X(configure[0])                                                                                                                    \
	X(configure[1])                                                                                                                    \
	X(perpendicular)                                                                                                                   \
	X(seeking)                                                                                                                         \
	X(seek_ended)                                                                                                                      \
	X(seek_status[0])                                                                                                                  \
	X(seek_status[1])                                                                                                                  \
	X(seek_status[2]) X(seek_status[3]) X(phase) X(command_len) X(result_len) X(result_pos) X(head) X(first) X(end_status)
#define FDC_FLAGS(X) X(locked) X(interrupt) X(reading_id) X(resetting) X(scan_low) X(scan_high)

static void fdc_save(void *opaque, struct state *s)
{
	struct fdc *f = opaque;

	fdc_settle(f, false);
	for (unsigned i = 0; i < FDC_DRIVES; i++) {
		state_put_u8(s, f->drive[i].present);
		state_put_u32(s, f->drive[i].block ? format_sectors(&f->drive[i].format) : 0);
		state_put_u8(s, f->drive[i].track);
		state_put_u8(s, f->drive[i].changed);
	}
#define X(n) state_put_u8(s, f->n);
	FDC_BYTES(X)
	FDC_FLAGS(X)
#undef X
	state_put(s, f->command, sizeof(f->command));
	state_put(s, f->result, sizeof(f->result));
	state_put_u8(s, (u8)f->job);
	state_put_u32(s, f->pos);
	state_put_u32(s, f->end);
	state_put_u64(s, f->timer.armed ? f->timer.deadline : 0);
	state_put(s, f->buf, f->end);
}

/* Whether the phase and the rest go together. */
static bool is_sound(const struct fdc *f)
{
	const struct fdc_drive *d = &f->drive[f->command[1] & 3];
	bool moving = f->phase == PH_TO_HOST || f->phase == PH_FROM_HOST;

	if (f->phase >= PH_COUNT || f->tdr > 3 || f->rate > 3 || f->seeking > 15 || f->seek_ended > 15 || f->command_len > FDC_MAX_CMD)
		return false;
	if (f->phase == PH_RESULT ? f->result_pos >= f->result_len || f->result_len > FDC_MAX_RES : f->result_pos || f->result_len)
		return false;
	if (f->phase == PH_BUSY && !f->reading_id)
		return false;
	if (f->reading_id && f->phase != PH_BUSY)
		return false;
	if (f->phase == PH_COMMAND && f->command_len) {
		size_t i = 0;

		while ((f->command[0] & commands[i].mask) != commands[i].value)
			i++;
		if (f->command_len >= commands[i].length)
			return false;
	}
	if (!moving)
		return f->job == FJ_NONE && !f->pos && !f->end;
	if (!d->present || !d->block || f->job == FJ_NONE || f->job == FJ_VERIFY || f->pos >= f->end || f->head > 1)
		return false;
	if ((f->job == FJ_READ) != (f->phase == PH_TO_HOST) || d->track >= d->format.tracks || f->head >= d->format.heads)
		return false;
	if (f->job == FJ_FORMAT)
		return f->end <= 4 * 255;
	return f->first && f->first <= d->format.sectors && f->end % BLOCK_SECTOR == 0 && (f->job != FJ_WRITE || !block_readonly(d->block));
}

static void fdc_load(void *opaque, struct state *s)
{
	struct fdc *f = opaque;
	struct fdc *n = malloc(sizeof(*n));
	u8 *buf = malloc(FDC_BUFFER);
	u64 deadline;

	fdc_settle(f, false);
	if (!n || !buf) {
		s->error = true;
		goto out;
	}
	*n = *f;
	for (unsigned i = 0; i < FDC_DRIVES; i++) {
		struct fdc_drive *d = &n->drive[i];

		if (state_get_bool(s) != d->present || state_get_u32(s) != (d->block ? format_sectors(&d->format) : 0))
			s->error = true;
		d->track = state_get_u8_max(s, 99);
		d->changed = state_get_bool(s);
	}
#define X(m) n->m = state_get_u8(s);
	FDC_BYTES(X)
#undef X
#define X(m) n->m = state_get_bool(s);
	FDC_FLAGS(X)
#undef X
	state_get(s, n->command, sizeof(n->command));
	state_get(s, n->result, sizeof(n->result));
	n->job = (enum fdc_job)state_get_u8_max(s, FJ_COUNT - 1);
	n->pos = state_get_u32(s);
	n->end = state_get_u32_max(s, FDC_BUFFER);
	deadline = state_get_u64_max(s, (u64)INT64_MAX);
	if (!is_sound(n) || (!deadline && (n->seeking || n->reading_id || n->resetting)))
		s->error = true;
	if (!s->error)
		state_get(s, buf, n->end);
	if (s->error)
		goto out;
	timer_del(&f->timer);
	n->timer = f->timer;
	memcpy(f->buf, buf, n->end);
	*f = *n;
	if (deadline)
		timer_mod(&f->timer, deadline);
	update_irq(f);
out:
	free(buf);
	free(n);
}

static void fdc_free(void *opaque)
{
	struct fdc *f = opaque;

	timer_del(&f->timer);
	for (unsigned i = 0; i < FDC_DRIVES; i++)
		block_close(f->drive[i].block);
	free(f->buf);
	free(f);
}

u8 fdc_drive_type(const struct fdc *f, int drive)
{
	return f->drive[drive & 3].present ? f->drive[drive & 3].format.type : 0;
}

bool fdc_view(const struct fdc *f, int drive, const struct block **block)
{
	*block = f->drive[drive & 1].block;
	return f->drive[drive & 1].present;
}

void fdc_change(struct fdc *f, int drive, struct block *block)
{
	struct fdc_drive *d = &f->drive[drive & 1];
	struct block *old = d->block;

	if (fdc_drive(f) == d) {
		fdc_settle(f, false);
		fdc_abort(f);
	}
	d->block = block;
	d->format = block ? format_of(block_sectors(block)) : format_2880;
	d->changed = true;
	block_close(old);
}

struct fdc *fdc_create(struct vm *vm, struct dma8237 *dma, struct irq irq, const struct fdc_drive_config drives[2])
{
	struct fdc *f = calloc(1, sizeof(*f));

	if (!f)
		fatal("out of memory");
	f->vm = vm;
	f->dma = dma;
	f->irq = irq;
	f->buf = calloc(1, FDC_BUFFER);
	if (!f->buf)
		fatal("out of memory");
	timer_init(&f->timer, vm, fdc_timer, f);
	for (unsigned i = 0; i < 2; i++) {
		f->drive[i].present = drives[i].present;
		f->drive[i].block = drives[i].block;
		f->drive[i].format = drives[i].block ? format_of(block_sectors(drives[i].block)) : format_2880;
	}
	dma8237_attach(dma, FDC_DMA, fdc_dma_ready, f);
	fdc_reset(f);
	trace_ports(vm, io_register(vm, &(struct port_range){PORT_SRA, PORT_FIFO, 1, fdc_read, fdc_write, f}), REGS_FDC);
	trace_ports(vm, io_register(vm, &(struct port_range){PORT_DIR, PORT_DIR, 1, fdc_read, fdc_write, f}), REGS_FDC);
	device_register(vm, &(struct device){"fdc", 1, f, fdc_reset, fdc_save, fdc_load, fdc_free});
	return f;
}
