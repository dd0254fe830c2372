/*
 * What the two files of the floppy controller share: fdc.c (registers, interrupts, commands without data, saved state) and fdc_data.c
 * (commands that move data). vm->lock held for everything; what touches guest memory is on the vCPU's thread.
 *
 * Invariants: pos <= end <= FDC_BUFFER, result_pos <= result_len <= sizeof(result), command_len <= sizeof(command), also in a loaded
 * state. While in_flight nobody touches buf.
 */
#ifndef RINGER_FDC_INTERNAL_H
#define RINGER_FDC_INTERNAL_H

#include "monitor/devices/fdc.h"
#include "monitor/event.h"

#define FDC_BUFFER   (64u << 10)
#define FDC_DRIVES   4
#define FDC_MAX_CMD  9
#define FDC_MAX_RES  10
#define FDC_DMA	     2
#define FDC_SIZE_512 2 /* N: the only sector size, 128 << N bytes */

enum { /* status register 0 */
       ST0_ABNORMAL = 0x40,
       ST0_INVALID = 0x80,
       ST0_POLL = 0xc0,
       ST0_SEEK_END = 0x20,
       ST0_EQUIPMENT = 0x10,
};
enum { /* status register 1 */
       ST1_NO_ADDRESS = 0x01,
       ST1_PROTECTED = 0x02,
       ST1_NO_DATA = 0x04,
       ST1_DATA_ERROR = 0x20,
       ST1_END = 0x80,
};
enum { /* status register 2 */
       ST2_SCAN_FAILED = 0x04,
       ST2_SCAN_HIT = 0x08,
       ST2_CYLINDER = 0x10,
       ST2_DATA_ERROR = 0x20,
};
enum { CMD_MT = 0x80 };

/* phase */
enum { PH_COMMAND, PH_BUSY, PH_TO_HOST, PH_FROM_HOST, PH_RESULT, PH_COUNT };

/* What the command under way does with its sectors. */
enum fdc_job { FJ_NONE, FJ_READ, FJ_WRITE, FJ_VERIFY, FJ_SCAN, FJ_FORMAT, FJ_COUNT };

struct fdc_format {
	u8 tracks, heads, sectors, rate; /* rate: as in DSR and CCR */
	u8 type;			 /* of drive, see fdc_drive_type */
};

struct fdc_drive {
	bool present;
	struct block *block;
	struct fdc_format format; /* of the disk in it; of an empty drive, the largest that it takes */
	u8 track;		  /* where the heads are */
	bool changed;		  /* the disk change line */
};

struct fdc {
	struct vm *vm;
	struct dma8237 *dma;
	struct irq irq;
	struct timer timer;
	struct fdc_drive drive[FDC_DRIVES];

	u8 dor, tdr, rate;
	u8 specify[2], configure[2], perpendicular; /* as written; configure: without the first byte, which is zero */
	bool locked;
	bool interrupt;

	/* Seeks and the like. Bits by drive. */
	u8 seeking, seek_ended;
	u8 seek_status[FDC_DRIVES]; /* ST0 for SENSE INTERRUPT STATUS */
	bool reading_id, resetting; /* what else the timer ends */

	u8 phase;
	u8 command[FDC_MAX_CMD], command_len;
	u8 result[FDC_MAX_RES], result_len, result_pos;

	enum fdc_job job;
	bool in_flight, dropped;
	u32 pos, end;		  /* bytes in buf that went to or came from the host, and in all */
	u8 head, first;		  /* of the first sector */
	u8 end_status;		  /* ST1 if the host has not stopped it before the last sector */
	bool scan_low, scan_high; /* of the sector compared at the moment */
	struct block_request request;
	u8 *buf;
};

static inline struct fdc_drive *fdc_drive(struct fdc *f)
{
	return &f->drive[f->command[1] & 3];
}

/* ---- fdc.c ---- */
void fdc_interrupt(struct fdc *f, bool on);
/* Goes to the result phase with n bytes in f->result; interrupts if asked to. */
void fdc_result(struct fdc *f, u8 n, bool interrupt);
/* The seven bytes of commands that deal with sectors. */
void fdc_sector_result(struct fdc *f, u8 st0, u8 st1, u8 st2, const u8 chrn[4]);
/* Moves the heads there; false if there is no such track. */
bool fdc_step_to(struct fdc_drive *d, u8 track);
bool fdc_implied_seek(const struct fdc *f);
bool fdc_uses_dma(const struct fdc *f);

/* ---- fdc_data.c ---- */
void fdc_transfer(struct fdc *f, enum fdc_job job);
void fdc_read_track(struct fdc *f, enum fdc_job job);
void fdc_format_track(struct fdc *f, enum fdc_job job);
/* One byte of the execution phase through the FIFO. */
u8 fdc_data_read(struct fdc *f);
void fdc_data_write(struct fdc *f, u8 value);
/* DMA channel 2 is ready. */
void fdc_dma_ready(void *opaque);
/* Waits for what is under way, or has it forgotten. */
void fdc_settle(struct fdc *f, bool drop);
/* A command that moves data ends as if there were no disk. */
void fdc_abort(struct fdc *f);
/* The disk in the drive, or ST1 and ST2 saying why it cannot be read now. */
bool fdc_medium(struct fdc *f, u8 *st1);

#endif
