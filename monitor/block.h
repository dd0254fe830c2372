/*
 * Disk, CD-ROM and floppy images: raw files or host block devices, read and written beside the guest by one worker thread each.
 *
 * Unless said otherwise: vm->lock held. A request's buffer belongs to the worker from block_submit until `done` is called, on the vCPU's
 * thread; guest memory is none of the worker's business.
 */
#ifndef RINGER_BLOCK_H
#define RINGER_BLOCK_H

#include "monitor/types.h"

struct vm;
struct block;

#define BLOCK_SECTOR 512u

struct block_config {
	const char *file;
	bool readonly; /* the guest's writes fail */
	bool snapshot; /* they go to a temporary file that nobody sees */
};

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH };

/* The owner fills in op..opaque and keeps the whole in place until done is called. */
struct block_request {
	enum block_op op;
	u64 offset; /* in bytes */
	u32 bytes;
	void *buf;
	/* err: 0 or -errno. May submit again. vCPU thread, vm->lock held; or whoever drains. */
	void (*done)(void *opaque, int err);
	void *opaque;
	/* block.c's. */
	int err;
	struct block_request *next;
};

/*
 * Opens and locks an image; on a user's mistake returns NULL with one line in err. Start-up, with or without vm->lock. Under a virtual
 * clock (-accel bt,lockstep=) there is no thread: requests are carried out at once, and end after a fixed time.
 */
struct block *block_open(struct vm *vm, const struct block_config *c, char *err, size_t n);
/* Waits for what is under way; nothing ends any more. NULL: no-op. */
void block_close(struct block *b);
/* Size in sectors: a last sector that is not whole counts, and reads as if it were filled up with zeros. */
u64 block_sectors(const struct block *b);
bool block_readonly(const struct block *b);
/* The image's name, as it was opened by. */
const char *block_file(const struct block *b);
void block_submit(struct block *b, struct block_request *r);
/* Waits for all requests and has them done. What they reply with is written by the time it returns. */
void block_drain(struct block *b);

/* What a disk's size is divided into for guests that count cylinders. */
struct chs {
	u32 cylinders, heads, sectors; /* 1..16383, 16, 63: what ATA's IDENTIFY can say and a PC's BIOS expects */
};
/*
 * The geometry of a disk of so many sectors: that of its partition table if there is one that shows it, else 16 heads of 63 sectors. first
 * is the disk's first sector (512 bytes), or NULL. Any thread.
 */
struct chs block_chs(u64 sectors, const u8 *first);
/* Reads at once, for start-up: 0 or -errno. */
int block_read_now(struct block *b, u64 offset, void *buf, u32 bytes);

#endif
