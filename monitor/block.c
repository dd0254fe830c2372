/*
 * Raw images behind the disk controllers.
 *
 * Invariants: requests of one drive are carried out one after the other, in order, so a flush covers every write that was submitted before
 * it. After a flush has been reported as done, what was written is in the host's stable storage (fdatasync). Only the worker touches the
 * files while the machine runs. b->lock is taken inside vm->lock, never around it; the worker holds neither while it works.
 *
 * Locks are byte ranges of the open file description, laid out as QEMU lays them out (block/file-posix: permissions at 100, what others may
 * not have at 200), so that the two respect one another: one writer, or any number of readers.
 *
 * A snapshot is a temporary file without a name, as large as the image and full of holes, and a bit for each cluster that is in it.
 */
#include "monitor/block.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/event.h"
#include "monitor/log.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

#define CLUSTER_SHIFT	16
#define CLUSTER		(1u << CLUSTER_SHIFT)
#define MAX_BYTES	(1ull << 57) /* 2^48 sectors, LBA48's all */
#define VIRTUAL_LATENCY 200000	     /* ns: what a request takes under a virtual clock */

/* Bits of the lock protocol. */
enum { PERM_READ = BIT(0), PERM_WRITE = BIT(1), PERM_RESIZE = BIT(3) };
#define LOCK_USED   100
#define LOCK_DENIED 200
#define LOCK_BITS   4

struct block {
	struct vm *vm;
	char *file;
	int fd, overlay; /* overlay: the snapshot, or -1 */
	bool readonly, synchronous;
	u64 bytes, sectors;
	u64 *in_overlay; /* a bit for each cluster */
	u8 *cluster;	 /* one, the worker's own */

	struct vcpu_work work;
	struct timer timer; /* synchronous: until the requests in `finished` are done */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	/* With lock: */
	struct block_request *queue, **queue_end, *finished, **finished_end;
	bool busy, quit;
};

/* ---- files ---- */

/* Bytes beyond the file's end are zeros. */
static int read_fully(int fd, u8 *buf, u32 n, u64 offset)
{
	while (n) {
		ssize_t got = pread(fd, buf, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got) {
			memset(buf, 0, n);
			return 0;
		}
		buf += got;
		offset += (u64)got;
		n -= (u32)got;
	}
	return 0;
}

static int write_fully(int fd, const u8 *buf, u32 n, u64 offset)
{
	while (n) {
		ssize_t put = pwrite(fd, buf, n, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -ENOSPC;
		buf += put;
		offset += (u64)put;
		n -= (u32)put;
	}
	return 0;
}

static bool cluster_is_new(const struct block *b, u64 c)
{
	return b->in_overlay[c / 64] >> c % 64 & 1;
}

/* One cluster, or a part of it. */
static int snapshot_read(struct block *b, u8 *buf, u32 n, u64 offset)
{
	return read_fully(cluster_is_new(b, offset >> CLUSTER_SHIFT) ? b->overlay : b->fd, buf, n, offset);
}

static int snapshot_write(struct block *b, u8 *buf, u32 n, u64 offset)
{
	u64 c = offset >> CLUSTER_SHIFT, start = c << CLUSTER_SHIFT;
	int err;

	if (cluster_is_new(b, c))
		return write_fully(b->overlay, buf, n, offset);
	if (n < CLUSTER) {
		err = read_fully(b->fd, b->cluster, CLUSTER, start);
		if (err)
			return err;
	}
	memcpy(b->cluster + (offset - start), buf, n);
	err = write_fully(b->overlay, b->cluster, CLUSTER, start);
	if (!err)
		b->in_overlay[c / 64] |= 1ull << c % 64;
	return err;
}

static int by_cluster(struct block *b, struct block_request *r, int (*piece)(struct block *b, u8 *buf, u32 n, u64 offset))
{
	u32 n;

	for (u32 at = 0; at < r->bytes; at += n) {
		u64 offset = r->offset + at;
		int err;

		n = MIN(r->bytes - at, CLUSTER - (u32)(offset & (CLUSTER - 1)));
		err = piece(b, (u8 *)r->buf + at, n, offset);
		if (err)
			return err;
	}
	return 0;
}

static int carry_out(struct block *b, struct block_request *r)
{
	u64 end = b->sectors * BLOCK_SECTOR;

	if (r->offset > end || r->bytes > end - r->offset)
		return -EINVAL;
	switch (r->op) {
	case BLOCK_READ:
		return b->overlay < 0 ? read_fully(b->fd, r->buf, r->bytes, r->offset) : by_cluster(b, r, snapshot_read);
	case BLOCK_WRITE:
		if (b->readonly)
			return -EROFS;
		return b->overlay < 0 ? write_fully(b->fd, r->buf, r->bytes, r->offset) : by_cluster(b, r, snapshot_write);
	case BLOCK_FLUSH:
		return b->overlay < 0 && !b->readonly && fdatasync(b->fd) < 0 ? -errno : 0;
	}
	return -EINVAL;
}

/* ---- the worker ---- */

static void append(struct block_request ***end, struct block_request *r)
{
	r->next = NULL;
	**end = r;
	*end = &r->next;
}

static void *worker(void *opaque)
{
	struct block *b = opaque;

	pthread_mutex_lock(&b->lock);
	for (;;) {
		struct block_request *r = b->queue;

		if (!r) {
			b->busy = false;
			pthread_cond_broadcast(&b->idle);
			if (b->quit)
				break;
			pthread_cond_wait(&b->wake, &b->lock);
			continue;
		}
		b->queue = r->next;
		if (!b->queue)
			b->queue_end = &b->queue;
		b->busy = true;
		pthread_mutex_unlock(&b->lock);
		r->err = carry_out(b, r);
		pthread_mutex_lock(&b->lock);
		append(&b->finished_end, r);
		if (b->vm->vcpu)
			vcpu_post(b->vm->vcpu, &b->work);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* The worker takes no signals: the program's are the main thread's, and handlers of faults know the vCPU's thread only. */
static int start_worker(struct block *b)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&b->thread, NULL, worker, b);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

static struct block_request *take_finished(struct block *b)
{
	struct block_request *r;

	pthread_mutex_lock(&b->lock);
	r = b->finished;
	if (r) {
		b->finished = r->next;
		if (!b->finished)
			b->finished_end = &b->finished;
	}
	pthread_mutex_unlock(&b->lock);
	return r;
}

static unsigned count_finished(struct block *b)
{
	unsigned n = 0;

	pthread_mutex_lock(&b->lock);
	for (const struct block_request *r = b->finished; r; r = r->next)
		n++;
	pthread_mutex_unlock(&b->lock);
	return n;
}

/*
 * Has finished requests done; vcpu_work, timer and block_drain come here. What these submit is for another time, even if it is finished by
 * then: else a long command would be done in one go.
 */
static void finish(void *opaque)
{
	struct block *b = opaque;
	struct block_request *r;

	for (unsigned n = count_finished(b); n && (r = take_finished(b)); n--)
		r->done(r->opaque, r->err);
}

void block_submit(struct block *b, struct block_request *r)
{
	pthread_mutex_lock(&b->lock);
	if (b->synchronous) {
		r->err = carry_out(b, r);
		append(&b->finished_end, r);
	} else {
		append(&b->queue_end, r);
		pthread_cond_signal(&b->wake);
	}
	pthread_mutex_unlock(&b->lock);
	if (b->synchronous)
		timer_mod(&b->timer, clock_ns(&b->vm->clock) + VIRTUAL_LATENCY);
}

static bool pending(struct block *b)
{
	bool any;

	pthread_mutex_lock(&b->lock);
	while (b->queue || b->busy)
		pthread_cond_wait(&b->idle, &b->lock);
	any = b->finished;
	pthread_mutex_unlock(&b->lock);
	return any;
}

void block_drain(struct block *b)
{
	while (pending(b))
		finish(b);
	if (b->synchronous)
		timer_del(&b->timer);
}

int block_read_now(struct block *b, u64 offset, void *buf, u32 bytes)
{
	return read_fully(b->fd, buf, bytes, offset);
}

/* ---- opening ---- */

/* False if somebody else has the image in a way that does not go with this. Where the file system knows no locks, all is well. */
static bool lock_image(int fd, u32 used, u32 denied)
{
	for (int i = 0; i < LOCK_BITS; i++) {
		struct flock l = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};

		l.l_start = LOCK_USED + i;
		if ((used & BIT(i)) && fcntl(fd, F_OFD_SETLK, &l) < 0)
			return errno != EAGAIN && errno != EACCES;
		l.l_start = LOCK_DENIED + i;
		if ((denied & BIT(i)) && fcntl(fd, F_OFD_SETLK, &l) < 0)
			return errno != EAGAIN && errno != EACCES;
	}
	for (int i = 0; i < LOCK_BITS; i++) {
		struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

		l.l_start = LOCK_USED + i;
		if ((denied & BIT(i)) && fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK)
			return false;
		l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_DENIED + i, .l_len = 1};
		if ((used & BIT(i)) && fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK)
			return false;
	}
	return true;
}

/* The size of what was opened; false with a line in err. */
static bool measure(int fd, u64 *bytes, char *err, size_t n)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		snprintf(err, n, "%s", strerror(errno));
		return false;
	}
	*bytes = (u64)st.st_size;
	if (S_ISDIR(st.st_mode))
		snprintf(err, n, "it is a directory, not a disk image");
	else if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, bytes) < 0)
		snprintf(err, n, "its size is unknown: %s", strerror(errno));
	else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		snprintf(err, n, "it is neither a file nor a block device");
	else if (!*bytes)
		snprintf(err, n, "the image is empty");
	else if (*bytes > MAX_BYTES)
		snprintf(err, n, "the image is larger than a disk can be");
	else
		return true;
	return false;
}

static int open_overlay(u64 bytes)
{
	const char *dir = getenv("TMPDIR");
	char path[PATH_MAX];
	int fd;

	if (!dir || !*dir)
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		if (snprintf(path, sizeof(path), "%s/ringer-snapshot-XXXXXX", dir) >= (int)sizeof(path))
			return -ENAMETOOLONG;
		fd = mkostemp(path, O_CLOEXEC);
		if (fd < 0)
			return -errno;
		unlink(path);
	}
	if (ftruncate(fd, (off_t)bytes) < 0) {
		int e = errno;

		close(fd);
		return -e;
	}
	return fd;
}

static bool prepare_snapshot(struct block *b, char *err, size_t n)
{
	u64 clusters = (b->sectors * BLOCK_SECTOR + CLUSTER - 1) >> CLUSTER_SHIFT;

	b->overlay = open_overlay(clusters << CLUSTER_SHIFT);
	if (b->overlay < 0) {
		snprintf(err, n, "cannot make a temporary file for the snapshot: %s", strerror(-b->overlay));
		return false;
	}
	b->in_overlay = calloc((size_t)(clusters + 63) / 64, sizeof(u64));
	b->cluster = malloc(CLUSTER);
	if (!b->in_overlay || !b->cluster) {
		snprintf(err, n, "there is not enough memory for a snapshot of this size");
		return false;
	}
	return true;
}

static void discard(struct block *b)
{
	if (b->fd >= 0)
		close(b->fd);
	if (b->overlay >= 0)
		close(b->overlay);
	free(b->in_overlay);
	free(b->cluster);
	free(b->file);
	free(b);
}

static bool open_image(struct block *b, const struct block_config *c, char *err, size_t n)
{
	bool write = !c->readonly && !c->snapshot;

	/* O_NONBLOCK: a FIFO must not hang the start; it means nothing to files. */
	b->fd = open(c->file, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (b->fd < 0) {
		int e = errno;

		snprintf(err, n, "%s%s", e == EISDIR ? "it is a directory, not a disk image" : strerror(e),
			 write && (e == EACCES || e == EROFS || e == EPERM) ? " (readonly=on or snapshot=on needs no write permission)"
									    : "");
		return false;
	}
	if (!measure(b->fd, &b->bytes, err, n))
		return false;
	if (!lock_image(b->fd, write ? PERM_READ | PERM_WRITE | PERM_RESIZE : PERM_READ, PERM_WRITE | PERM_RESIZE)) {
		snprintf(err, n, "the image is in use by another process%s", write ? "" : " that writes to it");
		return false;
	}
	b->sectors = (b->bytes + BLOCK_SECTOR - 1) / BLOCK_SECTOR;
	if (b->bytes % BLOCK_SECTOR)
		warn("%s: its size is not a multiple of %u bytes: the last sector is filled up with zeros", c->file, BLOCK_SECTOR);
	return !c->snapshot || prepare_snapshot(b, err, n);
}

struct block *block_open(struct vm *vm, const struct block_config *c, char *err, size_t n)
{
	struct block *b = calloc(1, sizeof(*b));
	int e;

	if (!b)
		fatal("out of memory");
	b->vm = vm;
	b->fd = b->overlay = -1;
	b->file = strdup(c->file);
	if (!b->file)
		fatal("out of memory");
	b->readonly = c->readonly;
	b->work = (struct vcpu_work){.fn = finish, .opaque = b};
	b->synchronous = vm->opt.lockstep;
	b->queue_end = &b->queue;
	b->finished_end = &b->finished;
	if (!open_image(b, c, err, n)) {
		discard(b);
		return NULL;
	}
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->wake, NULL);
	pthread_cond_init(&b->idle, NULL);
	timer_init(&b->timer, vm, finish, b);
	e = b->synchronous ? 0 : start_worker(b);
	if (e) {
		snprintf(err, n, "cannot start its thread: %s", strerror(e));
		discard(b);
		return NULL;
	}
	return b;
}

void block_close(struct block *b)
{
	if (!b)
		return;
	if (b->synchronous) {
		timer_del(&b->timer);
	} else {
		pthread_mutex_lock(&b->lock);
		b->quit = true;
		pthread_cond_signal(&b->wake);
		pthread_mutex_unlock(&b->lock);
		pthread_join(b->thread, NULL);
	}
	pthread_cond_destroy(&b->idle);
	pthread_cond_destroy(&b->wake);
	pthread_mutex_destroy(&b->lock);
	discard(b);
}

u64 block_sectors(const struct block *b)
{
	return b->sectors;
}

const char *block_file(const struct block *b)
{
	return b->file;
}

bool block_readonly(const struct block *b)
{
	return b->readonly;
}

/* ---- geometry ---- */

/* A partition table shows the geometry it was made with: partitions end at a cylinder's end. Heads and sectors, or false. */
static bool geometry_of_table(const u8 *first, u64 sectors, struct chs *g)
{
	if (first[510] != 0x55 || first[511] != 0xaa)
		return false;
	for (int i = 0; i < 4; i++) {
		const u8 *p = first + 446 + 16 * i;
		u32 count = p[12] | p[13] << 8 | p[14] << 16 | (u32)p[15] << 24;
		u32 heads = p[5] + 1u, per_track = p[6] & 0x3f;
		u64 cylinders;

		if (!count || heads == 1 || !per_track || heads > 16)
			continue;
		cylinders = sectors / ((u64)heads * per_track);
		if (cylinders < 1 || cylinders > 16383)
			continue;
		*g = (struct chs){(u32)cylinders, heads, per_track};
		return true;
	}
	return false;
}

struct chs block_chs(u64 sectors, const u8 *first)
{
	struct chs g = {0, 16, 63};

	if (first && geometry_of_table(first, sectors, &g))
		return g;
	g.cylinders = (u32)MIN(sectors / (16 * 63), 16383);
	if (g.cylinders < 1) {
		/* Smaller than a cylinder: fewer heads. */
		g.cylinders = 1;
		g.heads = (u32)MAX(MIN(sectors / 63, 16), 1);
	}
	return g;
}
