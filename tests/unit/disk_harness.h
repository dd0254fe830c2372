/*
 * What the tests of drives and controllers share: images whose every sector tells its number, in files without a name, and time for the
 * worker. There is no vCPU here: what is finished is done by block_drain.
 */
#ifndef RINGER_DISK_HARNESS_H
#define RINGER_DISK_HARNESS_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/block.h"
#include "tests/unit/device_harness.h"

struct image {
	int fd;
	char path[64];
};

/* Byte k of sector n. */
static inline u8 pattern(u64 n, unsigned k)
{
	return (u8)(k & 1 ? n >> 8 : n) ^ (u8)(k >> 1);
}

static inline bool is_sector(const u8 *p, u64 n)
{
	for (unsigned k = 0; k < BLOCK_SECTOR; k++)
		if (p[k] != pattern(n, k))
			return false;
	return true;
}

static inline void fill_sector(u8 *p, u64 n)
{
	for (unsigned k = 0; k < BLOCK_SECTOR; k++)
		p[k] = pattern(n, k);
}

static inline struct image image_create(u64 sectors)
{
	struct image i = {.fd = open("/tmp", O_TMPFILE | O_RDWR, 0600)};
	u8 sector[BLOCK_SECTOR];

	ck_assert_int_ge(i.fd, 0);
	snprintf(i.path, sizeof(i.path), "/proc/self/fd/%d", i.fd);
	for (u64 n = 0; n < MIN(sectors, 8192u); n++) {
		fill_sector(sector, n);
		ck_assert(write(i.fd, sector, sizeof(sector)) == (ssize_t)sizeof(sector));
	}
	ck_assert_int_eq(ftruncate(i.fd, (off_t)(sectors * BLOCK_SECTOR)), 0);
	return i;
}

/*
 * From now on the host fails: flags O_WRONLY, and what opened the image cannot read it any more; O_RDONLY, and it cannot write. The test's
 * own descriptor goes on working.
 */
static inline void image_break(const struct image *i, int flags)
{
	int broken = open("/dev/null", flags);
	struct stat mine, other;

	ck_assert(broken >= 0 && fstat(i->fd, &mine) == 0);
	for (int fd = 0; fd < 1024; fd++)
		if (fd != i->fd && fstat(fd, &other) == 0 && other.st_ino == mine.st_ino && other.st_dev == mine.st_dev)
			ck_assert_int_eq(dup2(broken, fd), fd);
	close(broken);
}

static inline void image_read(const struct image *i, u64 sector, u8 *buf)
{
	ck_assert(pread(i->fd, buf, BLOCK_SECTOR, (off_t)(sector * BLOCK_SECTOR)) == (ssize_t)BLOCK_SECTOR);
}

static inline struct block *image_open(struct rig *r, const struct image *i, bool readonly, bool snapshot)
{
	struct block_config c = {i->path, readonly, snapshot};
	char err[256];
	struct block *b = block_open(r->vm, &c, err, sizeof(err));

	ck_assert_msg(b, "%s", err);
	return b;
}

static inline void settle(struct rig *r, struct block *b)
{
	rig_lock(r);
	block_drain(b);
	rig_unlock(r);
}

#endif
