/* Images: what is refused and how, locks between processes' open files, snapshots, order, errors of the host's as errors of the request. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "monitor/event.h"
#include "tests/unit/disk_harness.h"

static struct rig *rig;
static char dir[] = "/tmp/ringer-block-XXXXXX";
static int finished, last_error;

static void setup(void)
{
	rig = rig_create();
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	finished = 0;
}

static void teardown(void)
{
	char command[128];

	rig_free(rig);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void done(void *opaque, int err)
{
	(void)opaque;
	finished++;
	last_error = err;
}

static int transfer(struct block *b, enum block_op op, u64 offset, void *buf, u32 n)
{
	struct block_request r = {.op = op, .offset = offset, .bytes = n, .buf = buf, .done = done};
	int before = finished;

	rig_lock(rig);
	block_submit(b, &r);
	block_drain(b);
	rig_unlock(rig);
	ck_assert_int_eq(finished, before + 1);
	return last_error;
}

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static const char *make(const char *name, size_t bytes)
{
	int fd = open(path_of(name), O_CREAT | O_RDWR, 0600);

	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
	return path_of(name);
}

static void refused(const char *path, bool readonly, const char *why)
{
	struct block_config c = {path, readonly, false};
	char err[256] = "";

	ck_assert_ptr_null(block_open(rig->vm, &c, err, sizeof(err)));
	ck_assert_msg(strstr(err, why), "%s: '%s' instead of '%s'", path, err, why);
	ck_assert_ptr_null(strchr(err, '\n'));
}

START_TEST(refusals)
{
	refused(path_of("missing"), false, "No such file");
	refused(dir, false, "directory");
	refused(dir, true, "directory");
	refused(make("empty", 0), false, "empty");
	refused("/dev/null", false, "neither");
	ck_assert_int_eq(mkfifo(path_of("fifo"), 0600), 0);
	refused(path_of("fifo"), true, "neither");
}
END_TEST

START_TEST(locks)
{
	struct block_config writer = {make("disk", 4096), false, false}, reader = {writer.file, true, false};
	char err[256];
	struct block *a = block_open(rig->vm, &writer, err, sizeof(err)), *b;

	ck_assert_ptr_nonnull(a);
	refused(writer.file, false, "in use");
	refused(writer.file, true, "in use");
	block_close(a);
	a = block_open(rig->vm, &reader, err, sizeof(err));
	b = block_open(rig->vm, &reader, err, sizeof(err));
	ck_assert(a && b);
	refused(writer.file, false, "in use");
	block_close(a);
	refused(writer.file, false, "in use");
	block_close(b);
	a = block_open(rig->vm, &writer, err, sizeof(err));
	ck_assert_ptr_nonnull(a);
	block_close(a);
}
END_TEST

START_TEST(reads_and_writes)
{
	struct image i = image_create(64);
	struct block *b = image_open(rig, &i, false, false);
	u8 buf[4 * BLOCK_SECTOR], check[BLOCK_SECTOR];

	ck_assert_uint_eq(block_sectors(b), 64);
	ck_assert_int_eq(transfer(b, BLOCK_READ, 5 * BLOCK_SECTOR, buf, sizeof(buf)), 0);
	for (int k = 0; k < 4; k++)
		ck_assert(is_sector(buf + k * BLOCK_SECTOR, 5u + k));
	fill_sector(buf, 1000);
	ck_assert_int_eq(transfer(b, BLOCK_WRITE, 63 * BLOCK_SECTOR, buf, BLOCK_SECTOR), 0);
	ck_assert_int_eq(transfer(b, BLOCK_FLUSH, 0, NULL, 0), 0);
	image_read(&i, 63, check);
	ck_assert(is_sector(check, 1000));
	ck_assert_int_eq(transfer(b, BLOCK_READ, 64 * BLOCK_SECTOR, buf, BLOCK_SECTOR), -EINVAL);
	ck_assert_int_eq(transfer(b, BLOCK_WRITE, 63 * BLOCK_SECTOR, buf, 2 * BLOCK_SECTOR), -EINVAL);
	ck_assert_int_eq(transfer(b, BLOCK_READ, ~0ull - 100, buf, BLOCK_SECTOR), -EINVAL);
	block_close(b);
	close(i.fd);
}
END_TEST

/* Requests are carried out in the order in which they came, and all are done. */
START_TEST(order)
{
	struct image i = image_create(8);
	struct block *b = image_open(rig, &i, false, false);
	static struct block_request r[64];
	static u8 buf[64][BLOCK_SECTOR];
	u8 check[BLOCK_SECTOR];

	rig_lock(rig);
	for (unsigned k = 0; k < 64; k++) {
		fill_sector(buf[k], k);
		r[k] = (struct block_request){.op = BLOCK_WRITE, .bytes = BLOCK_SECTOR, .buf = buf[k], .done = done};
		block_submit(b, &r[k]);
	}
	block_drain(b);
	rig_unlock(rig);
	ck_assert_int_eq(finished, 64);
	image_read(&i, 0, check);
	ck_assert(is_sector(check, 63));
	block_close(b);
	close(i.fd);
}
END_TEST

START_TEST(readonly)
{
	struct image i = image_create(8);
	struct block *b = image_open(rig, &i, true, false);
	u8 buf[BLOCK_SECTOR] = {0};

	ck_assert(block_readonly(b));
	ck_assert_int_eq(transfer(b, BLOCK_WRITE, 0, buf, BLOCK_SECTOR), -EROFS);
	ck_assert_int_eq(transfer(b, BLOCK_READ, 0, buf, BLOCK_SECTOR), 0);
	ck_assert(is_sector(buf, 0));
	block_close(b);
	close(i.fd);
}
END_TEST

/* What is written is read back, also around the edges of clusters and beside what was there; the image stays as it is. */
START_TEST(snapshot)
{
	const u32 per_cluster = 65536 / BLOCK_SECTOR;
	struct image i = image_create(4 * per_cluster);
	struct block *b = image_open(rig, &i, false, true);
	static u8 buf[65536 * 3], check[BLOCK_SECTOR];

	for (u32 k = 0; k < per_cluster + 2; k++)
		fill_sector(buf + k * BLOCK_SECTOR, 5000 + k);
	ck_assert_int_eq(transfer(b, BLOCK_WRITE, (per_cluster - 1) * BLOCK_SECTOR, buf, (per_cluster + 2) * BLOCK_SECTOR), 0);
	ck_assert_int_eq(transfer(b, BLOCK_FLUSH, 0, NULL, 0), 0);
	memset(buf, 0, sizeof(buf));
	ck_assert_int_eq(transfer(b, BLOCK_READ, (per_cluster - 2) * BLOCK_SECTOR, buf, (per_cluster + 4) * BLOCK_SECTOR), 0);
	ck_assert(is_sector(buf, per_cluster - 2));
	for (u32 k = 0; k < per_cluster + 2; k++)
		ck_assert(is_sector(buf + (k + 1) * BLOCK_SECTOR, 5000 + k));
	ck_assert(is_sector(buf + (per_cluster + 3) * BLOCK_SECTOR, 2 * per_cluster + 1));
	for (u32 k = 0; k < 4 * per_cluster; k++) {
		image_read(&i, k, check);
		ck_assert(is_sector(check, k));
	}
	block_close(b);
	close(i.fd);
}
END_TEST

/* A last sector that is not whole. */
START_TEST(odd_size)
{
	struct block_config c = {make("odd", 1000), false, false};
	char err[256];
	struct block *b = block_open(rig->vm, &c, err, sizeof(err));
	u8 buf[2 * BLOCK_SECTOR];

	ck_assert_uint_eq(block_sectors(b), 2);
	memset(buf, 0xaa, sizeof(buf));
	ck_assert_int_eq(transfer(b, BLOCK_WRITE, 0, buf, BLOCK_SECTOR), 0);
	ck_assert_int_eq(transfer(b, BLOCK_READ, 0, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(buf[511], 0xaa);
	ck_assert_uint_eq(buf[512], 0);
	ck_assert_uint_eq(buf[1023], 0);
	ck_assert_int_eq(transfer(b, BLOCK_WRITE, 512, buf, BLOCK_SECTOR), 0);
	block_close(b);
}
END_TEST

/* The host can store no more: the request fails, nothing else does. */
START_TEST(full_host)
{
	struct block_config c = {make("full", 1 << 20), false, false};
	char err[256];
	struct block *b = block_open(rig->vm, &c, err, sizeof(err));
	struct rlimit old, small = {4096, 4096};
	u8 buf[BLOCK_SECTOR] = {1};

	getrlimit(RLIMIT_FSIZE, &old);
	small.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	int failed = transfer(b, BLOCK_WRITE, 8192, buf, BLOCK_SECTOR), worked = transfer(b, BLOCK_WRITE, 0, buf, BLOCK_SECTOR);
	setrlimit(RLIMIT_FSIZE, &old);
	ck_assert_int_eq(failed, -EFBIG);
	ck_assert_int_eq(worked, 0);
	block_close(b);
}
END_TEST

/* Under a virtual clock a request ends at a time that does not depend on the host. */
START_TEST(virtual_clock)
{
	struct image i = image_create(8);
	u8 buf[BLOCK_SECTOR];
	struct block_request r = {.op = BLOCK_READ, .bytes = BLOCK_SECTOR, .buf = buf, .done = done};

	rig->vm->opt.lockstep = 1;
	struct block *b = image_open(rig, &i, false, false);

	rig_lock(rig);
	block_submit(b, &r);
	rig_unlock(rig);
	rig_advance(rig, 100 * US);
	ck_assert_int_eq(finished, 0);
	rig_advance(rig, 101 * US);
	ck_assert_int_eq(finished, 1);
	ck_assert(is_sector(buf, 0));
	rig_lock(rig);
	block_close(b);
	rig_unlock(rig);
	close(i.fd);
}
END_TEST

START_TEST(geometry)
{
	struct chs g = block_chs(65536, NULL);
	u8 first[BLOCK_SECTOR] = {0};

	ck_assert(g.cylinders == 65 && g.heads == 16 && g.sectors == 63);
	g = block_chs(1ull << 32, NULL);
	ck_assert(g.cylinders == 16383 && g.heads == 16 && g.sectors == 63);
	g = block_chs(40, NULL);
	ck_assert(g.cylinders == 1 && g.heads == 1 && g.sectors == 63);
	/* A partition that ends at head 7, sector 17 of its cylinder. */
	first[510] = 0x55;
	first[511] = 0xaa;
	first[446 + 5] = 7;
	first[446 + 6] = 17;
	first[446 + 12] = 1;
	g = block_chs(8 * 17 * 100, first);
	ck_assert(g.cylinders == 100 && g.heads == 8 && g.sectors == 17);
	first[511] = 0;
	g = block_chs(8 * 17 * 100, first);
	ck_assert(g.heads == 16 && g.sectors == 63);
}
END_TEST

Suite *block_suite(void)
{
	Suite *s = suite_create("block");
	TCase *t = tcase_create("block");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, refusals);
	tcase_add_test(t, locks);
	tcase_add_test(t, reads_and_writes);
	tcase_add_test(t, order);
	tcase_add_test(t, readonly);
	tcase_add_test(t, snapshot);
	tcase_add_test(t, odd_size);
	tcase_add_test(t, full_host);
	tcase_add_test(t, virtual_clock);
	tcase_add_test(t, geometry);
	suite_add_tcase(s, t);
	return s;
}
