/* The floppy controller as the 82077AA data sheet has it: phases, results, seeks, the change line, DMA and non-DMA transfers. */
#include "monitor/devices/dma8237.h"
#include "monitor/devices/fdc.h"
#include "tests/unit/disk_harness.h"

#define SECTORS 2880u
#define BUFFER	0x20000u
enum { SRA = 0x3f0, DOR = 0x3f2, MSR = 0x3f4, FIFO = 0x3f5, DIR = 0x3f7 };

static struct rig *rig;
static struct image image;
static struct block *disk;
static struct wire wire;
static struct fdc *fdc;
static u8 result[16];

static struct fdc *plug(struct rig *r, struct block *b)
{
	const struct fdc_drive_config drives[2] = {{true, b}};

	return fdc_create(r->vm, dma8237_create(r->vm), wire_irq(&wire), drives);
}

static void setup(void)
{
	rig = rig_create();
	image = image_create(SECTORS);
	disk = image_open(rig, &image, false, false);
	memset(&wire, 0, sizeof(wire));
	fdc = plug(rig, disk);
	out8(rig, DIR, 0); /* 500 kbit/s */
	out8(rig, DOR, 0x1c);
}

static void teardown(void)
{
	rig_free(rig);
	close(image.fd);
}

static void put(unsigned n, const u8 *bytes)
{
	for (unsigned k = 0; k < n; k++) {
		ck_assert_uint_eq(in8(rig, MSR) & 0xc0, 0x80);
		out8(rig, FIFO, bytes[k]);
	}
	settle(rig, disk);
}
#define SEND(...) put(sizeof((const u8[]){__VA_ARGS__}), (const u8[]){__VA_ARGS__})

static void get(unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		ck_assert_uint_eq(in8(rig, MSR) & 0xd0, 0xd0);
		result[k] = in8(rig, FIFO);
	}
	ck_assert_uint_eq(in8(rig, MSR) & 0xd0, 0x80);
}

/* A data command has ended with an interrupt and these bytes. */
static void ended(u8 st0, u8 st1, u8 st2, u8 c, u8 h, u8 r)
{
	const u8 expect[7] = {st0, st1, st2, c, h, r, 2};

	ck_assert(wire.level);
	get(7);
	ck_assert(!wire.level);
	for (int k = 0; k < 7; k++)
		ck_assert_msg(result[k] == expect[k], "result byte %d is %02x, not %02x", k, result[k], expect[k]);
}

static void sense(u8 st0, u8 track)
{
	ck_assert(wire.level);
	SEND(8);
	get(2);
	ck_assert_uint_eq(result[0], st0);
	ck_assert_uint_eq(result[1], track);
}

/* The same where another command's interrupt may have gone already. */
static void sense_any(u8 st0)
{
	SEND(8);
	get(2);
	ck_assert_uint_eq(result[0], st0);
}

static void seek(u8 track)
{
	SEND(0x0f, 0, track);
	ck_assert(!wire.level);
	ck_assert_uint_eq(in8(rig, MSR) & 0x0f, 1);
	rig_advance(rig, 5 * MS);
	sense(0x20, track);
	ck_assert(!wire.level);
}

/* Channel 2 from BUFFER on: mode 44h from the drive, 48h to it. */
static void dma(u8 mode, u32 bytes)
{
	out8(rig, 0x0a, 6);
	out8(rig, 0x0c, 0);
	out8(rig, 0x0b, mode | 2);
	out8(rig, 0x04, (u8)BUFFER);
	out8(rig, 0x04, (u8)(BUFFER >> 8));
	out8(rig, 0x81, BUFFER >> 16);
	out8(rig, 0x05, (u8)(bytes - 1));
	out8(rig, 0x05, (u8)((bytes - 1) >> 8));
	out8(rig, 0x0a, 2);
}

static u8 *buffer(u32 sector)
{
	return rig->vm->mem.ram + BUFFER + sector * 512;
}

START_TEST(reset)
{
	out8(rig, DOR, 0x18);
	ck_assert_uint_eq(in8(rig, MSR), 0);
	out8(rig, DOR, 0x1c);
	ck_assert(!wire.level);
	rig_advance(rig, MS);
	for (u8 k = 0; k < 4; k++) {
		if (!k)
			ck_assert(wire.level);
		SEND(8);
		get(2);
		ck_assert_uint_eq(result[0], 0xc0 | k);
		ck_assert(!wire.level);
	}
	SEND(8);
	get(1);
	ck_assert_uint_eq(result[0], 0x80);
	SEND(0x10);
	get(1);
	ck_assert_uint_eq(result[0], 0x90);
	/* The interrupt's gate. */
	out8(rig, DOR, 0x14);
	SEND(7, 0);
	rig_advance(rig, 5 * MS);
	ck_assert(!wire.level);
	out8(rig, DOR, 0x1c);
	sense(0x20, 0);
	/* By the data rate select register */
	out8(rig, MSR, 0x80);
	rig_advance(rig, MS);
	sense(0xc0, 0);
}
END_TEST

START_TEST(seeks)
{
	ck_assert_uint_eq(in8(rig, DIR), 0x80); /* changed, until the heads move */
	SEND(4, 0);
	get(1);
	ck_assert_uint_eq(result[0], 0x38);
	seek(5);
	ck_assert_uint_eq(in8(rig, DIR), 0);
	SEND(4, 0);
	get(1);
	ck_assert_uint_eq(result[0], 0x28);
	SEND(7, 0);
	rig_advance(rig, 5 * MS);
	sense(0x20, 0);
	/* No drive B: there is no track 0 to be found. */
	SEND(7, 1);
	rig_advance(rig, 5 * MS);
	sense(0x71, 0);
	/* Two at once */
	SEND(0x0f, 0, 3);
	SEND(7, 1);
	rig_advance(rig, 5 * MS);
	sense(0x20, 3);
	sense(0x71, 0);
	SEND(0xcf, 0, 4);
	rig_advance(rig, 5 * MS);
	sense(0x20, 7);
	ck_assert_uint_eq(fdc_drive_type(fdc, 0), 4);
	ck_assert_uint_eq(fdc_drive_type(fdc, 1), 0);
}
END_TEST

START_TEST(dma_read)
{
	seek(2);
	/* Three sectors, stopped by the DMA controller. */
	dma(0x44, 3 * 512);
	SEND(0xe6, 0, 2, 0, 4, 2, 18, 0x1b, 0xff);
	ended(0, 0, 0, 2, 0, 7);
	for (u32 k = 0; k < 3; k++)
		ck_assert(is_sector(buffer(k), 2 * 36 + 3 + k));
	/* Over to the other side */
	dma(0x44, 4 * 512);
	SEND(0xe6, 0, 2, 0, 17, 2, 18, 0x1b, 0xff);
	ended(0, 0, 0, 2, 1, 3);
	ck_assert(is_sector(buffer(3), 2 * 36 + 19));
	/* To the end of the cylinder, and of a side without multi-track */
	dma(0x44, 512);
	SEND(0xe6, 4, 2, 1, 18, 2, 18, 0x1b, 0xff);
	ended(4, 0, 0, 3, 0, 1);
	dma(0x44, 512);
	SEND(0x66, 0, 2, 0, 18, 2, 18, 0x1b, 0xff);
	ended(0, 0, 0, 3, 0, 1);
	/* Nobody stops it. */
	dma(0x44, 8192);
	SEND(0x66, 0, 2, 0, 17, 2, 18, 0x1b, 0xff);
	ended(0x40, 0x80, 0, 3, 0, 1);
	/* Part of a sector */
	dma(0x44, 100);
	memset(buffer(0), 0, 512);
	SEND(0x66, 0, 2, 0, 1, 2, 18, 0x1b, 0xff);
	ended(0, 0, 0, 2, 0, 2);
	ck_assert_uint_eq(*(buffer(0) + 99), pattern(72, 99));
	ck_assert_uint_eq(*(buffer(0) + 100), 0);
	/* The channel is unmasked later. */
	dma(0x44, 512);
	out8(rig, 0x0a, 6);
	SEND(0x66, 0, 2, 0, 1, 2, 18, 0x1b, 0xff);
	ck_assert(!wire.level);
	ck_assert_uint_eq(in8(rig, MSR) & 0xf0, 0x10);
	out8(rig, 0x0a, 2);
	ended(0, 0, 0, 2, 0, 2);
}
END_TEST

START_TEST(errors)
{
	seek(2);
	dma(0x44, 512);
	/* Another cylinder than the heads are on, no such sector, size, rate, side beyond */
	SEND(0x66, 0, 3, 0, 1, 2, 18, 0x1b, 0xff);
	ended(0x40, 0x04, 0x10, 3, 0, 1);
	SEND(0x66, 0, 2, 0, 19, 2, 36, 0x1b, 0xff);
	ended(0x40, 0x04, 0, 2, 0, 19);
	out8(rig, DIR, 2);
	SEND(0x66, 0, 2, 0, 1, 2, 18, 0x1b, 0xff);
	ended(0x40, 0x01, 0, 2, 0, 1);
	out8(rig, DIR, 0);
	SEND(0x66, 1, 2, 0, 1, 2, 18, 0x1b, 0xff);
	ended(0x41, 0x01, 0, 2, 0, 1);
	SEND(0x1f);
	get(1);
	ck_assert_uint_eq(result[0], 0x80);
	/* With implied seeks the heads go there by themselves. */
	SEND(0x13, 0, 0x40, 0);
	SEND(0x66, 0, 3, 0, 1, 2, 18, 0x1b, 0xff);
	ended(0, 0, 0, 3, 0, 2);
	ck_assert(is_sector(buffer(0), 3 * 36));
}
END_TEST

START_TEST(dma_write)
{
	u8 check[512];

	seek(1);
	fill_sector(buffer(0), 9000);
	fill_sector(buffer(1), 9001);
	dma(0x48, 2 * 512);
	SEND(0xc5, 4, 1, 1, 3, 2, 18, 0x1b, 0xff);
	settle(rig, disk);
	ended(4, 0, 0, 1, 1, 5);
	image_read(&image, 36 + 18 + 3, check);
	ck_assert(is_sector(check, 9001));
	image_read(&image, 36 + 18 + 4, check);
	ck_assert(is_sector(check, 36 + 18 + 4));
	/* What is missing of the last sector is zeros. */
	dma(0x48, 10);
	SEND(0xc5, 0, 1, 0, 1, 2, 18, 0x1b, 0xff);
	ended(0, 0, 0, 1, 0, 2);
	image_read(&image, 36, check);
	ck_assert(check[9] == pattern(9000, 9) && check[10] == 0 && check[511] == 0);
	/* FORMAT: a track of F6h */
	for (u8 k = 0; k < 18; k++)
		memcpy(buffer(0) + 4 * k, (const u8[]){1, 0, (u8)(k * 7 % 18 + 1), 2}, 4);
	dma(0x48, 72);
	SEND(0x4d, 0, 2, 18, 0x54, 0xf6);
	ck_assert(wire.level);
	get(7);
	ck_assert(result[0] == 0 && result[1] == 0);
	image_read(&image, 36, check);
	ck_assert(check[0] == 0xf6 && check[511] == 0xf6);
	image_read(&image, 53, check);
	ck_assert_uint_eq(check[100], 0xf6);
	image_read(&image, 54, check);
	ck_assert(is_sector(check, 54));
	/* Verify needs no DMA; SCAN finds. */
	SEND(0x76, 0x84, 1, 1, 1, 2, 18, 0x1b, 2);
	ck_assert(wire.level);
	get(7);
	ck_assert(result[0] == 0x04 && result[1] == 0 && result[5] == 3);
}
END_TEST

START_TEST(scan)
{
	seek(0);
	dma(0x48, 5 * 512);
	for (int k = 0; k < 5; k++)
		fill_sector(buffer(k), 4);
	/* R = 3, 4 and 5 are compared with what is at R = 5. */
	SEND(0x51, 0, 0, 0, 3, 2, 18, 0x1b, 1);
	ck_assert(wire.level);
	get(7);
	ck_assert_uint_eq(result[2], 0x08);
	ck_assert_uint_eq(result[5], 6);
	dma(0x48, 2 * 512);
	SEND(0x51, 0, 0, 0, 1, 2, 2, 0x1b, 1);
	ck_assert(wire.level);
	get(7);
	ck_assert_uint_eq(result[2], 0x04);
}
END_TEST

START_TEST(without_dma)
{
	u8 got[512], check[512];

	SEND(3, 0xaf, 0x03);
	seek(0);
	SEND(0x66, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
	for (int k = 0; k < 512; k++) {
		ck_assert_uint_eq(in8(rig, MSR) & 0xf0, 0xf0);
		ck_assert(wire.level);
		got[k] = in8(rig, FIFO);
	}
	ck_assert(is_sector(got, 17));
	ended(0x40, 0x80, 0, 1, 0, 1);
	SEND(0x45, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
	fill_sector(check, 7777);
	for (int k = 0; k < 512; k++) {
		ck_assert_uint_eq(in8(rig, MSR) & 0xf0, 0xb0);
		out8(rig, FIFO, check[k]);
	}
	settle(rig, disk);
	ended(0x40, 0x80, 0, 1, 0, 1);
	image_read(&image, 17, got);
	ck_assert(is_sector(got, 7777));
}
END_TEST

START_TEST(settings)
{
	SEND(3, 0xdf, 0x02);
	SEND(0x13, 0, 0x58, 7);
	SEND(0x94);
	get(1);
	ck_assert_uint_eq(result[0], 0x10);
	SEND(0x12, 0x84);
	SEND(0x0e);
	get(10);
	ck_assert(result[4] == 0xdf && result[5] == 0x02 && result[7] == 0x84 && result[8] == 0x58 && result[9] == 7);
	/* Locked: a reset keeps the FIFO's settings. */
	out8(rig, MSR, 0x80);
	rig_advance(rig, MS);
	for (int k = 0; k < 4; k++) {
		SEND(8);
		get(2);
	}
	SEND(0x0e);
	get(10);
	ck_assert(result[8] == 0x08 && result[9] == 7);
	SEND(0x14);
	get(1);
	ck_assert_uint_eq(result[0], 0);
	/* READ ID takes its time. */
	SEND(0x4a, 0);
	ck_assert_uint_eq(in8(rig, MSR) & 0xf0, 0x10);
	rig_advance(rig, 5 * MS);
	ck_assert(wire.level);
	get(7);
	ck_assert(result[0] == 0 && result[3] == 0 && result[5] >= 1 && result[5] <= 18 && result[6] == 2);
}
END_TEST

START_TEST(status_registers)
{
	/* SRA: no second drive, no index, not protected; track 0 low-active; the interrupt. SRB: motors and select as in DOR. */
	ck_assert_uint_eq(in8(rig, SRA), 0x46);
	seek(5);
	ck_assert_uint_eq(in8(rig, SRA), 0x56);
	SEND(7, 0);
	rig_advance(rig, 5 * MS);
	ck_assert_uint_eq(in8(rig, SRA), 0xc6);
	sense(0x20, 0);
	for (unsigned dor = 0; dor < 0x40; dor++) {
		out8(rig, DOR, (u8)(dor | 0x0c));
		ck_assert_uint_eq(in8(rig, DOR), dor | 0x0c);
		ck_assert_uint_eq(in8(rig, SRA + 1), 0xc0 | (dor & 1) << 5 | (dor >> 4));
		ck_assert_uint_eq(in8(rig, DIR), dor & 3 ? 0x80 : 0);
	}
}
END_TEST

/* In reset, and until it has ended, nothing is a command. */
START_TEST(deaf_in_reset)
{
	out8(rig, DOR, 0x18);
	out8(rig, FIFO, 0x0f);
	out8(rig, DOR, 0x1c);
	ck_assert_uint_eq(in8(rig, MSR), 0);
	out8(rig, FIFO, 0x0f);
	rig_advance(rig, MS);
	for (int k = 0; k < 4; k++) {
		SEND(8);
		get(2);
	}
	SEND(0x10);
	get(1);
	ck_assert_uint_eq(result[0], 0x90);
}
END_TEST

/* A command that is cut short by a reset, at each of its bytes and while its request is with the worker, leaves nothing behind. */
START_TEST(cut_short)
{
	static const u8 read[9] = {0xe6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff};

	for (unsigned n = 1; n <= 9; n++) {
		memset(buffer(0), 0, 512);
		dma(0x44, 512);
		for (unsigned k = 0; k < n; k++)
			out8(rig, FIFO, read[k]);
		out8(rig, DOR, 0x18);
		ck_assert_uint_eq(in8(rig, 0x08) & 0x40, 0);
		out8(rig, DOR, 0x1c);
		settle(rig, disk);
		rig_advance(rig, MS);
		ck_assert_uint_eq(in8(rig, MSR), 0x80);
		for (u8 k = 0; k < 4; k++)
			sense_any(0xc0 | k);
		ck_assert(!wire.level);
		ck_assert_uint_eq(*(buffer(0) + 9), 0);
	}
	SEND(0x66, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
	ended(0, 0, 0, 0, 0, 2);
	ck_assert(is_sector(buffer(0), 0));
}
END_TEST

START_TEST(io_errors)
{
	image_break(&image, O_WRONLY);
	dma(0x44, 512);
	SEND(0x66, 0, 0, 0, 3, 2, 18, 0x1b, 0xff);
	ck_assert_uint_eq(in8(rig, 0x08) & 0x40, 0);
	ended(0x40, 0x20, 0x20, 0, 0, 3);
	/* The drive asks for DMA as long as it waits, and no longer. */
	dma(0x48, 512);
	out8(rig, 0x0a, 6);
	SEND(0x45, 0, 0, 0, 3, 2, 18, 0x1b, 0xff);
	ck_assert_uint_eq(in8(rig, 0x08) & 0x40, 0x40);
	out8(rig, 0x0a, 2);
	settle(rig, disk);
	ck_assert_uint_eq(in8(rig, 0x08) & 0x40, 0);
	ck_assert(wire.level);
	get(7);
}
END_TEST

START_TEST(bad_formats)
{
	u8 sector[512];

	out8(rig, DIR, 2);
	SEND(0x4d, 0, 2, 18, 0x54, 0xf6);
	ck_assert(wire.level);
	get(7);
	ck_assert(result[0] == 0x40 && result[1] == 0x01);
	out8(rig, DIR, 0);
	/* Other sizes, no sectors at all, identifiers that are not the track's, and half a one. */
	static const u8 ids[][4] = {{1, 0, 1, 2}, {0, 1, 1, 2}, {0, 0, 0, 2}, {0, 0, 19, 2}, {0, 0, 1, 3}};

	SEND(0x4d, 0, 3, 18, 0x54, 0xf6);
	get(7);
	ck_assert(result[0] == 0x40 && result[1] == 0x04);
	SEND(0x4d, 0, 2, 0, 0x54, 0xf6);
	get(7);
	ck_assert(result[0] == 0x40 && result[1] == 0x04);
	for (unsigned k = 0; k <= ARRAY_SIZE(ids); k++) {
		memcpy(buffer(0), ids[k % ARRAY_SIZE(ids)], 4);
		dma(0x48, k < ARRAY_SIZE(ids) ? 4 : 3);
		SEND(0x4d, 0, 2, 18, 0x54, 0xf6);
		get(7);
		ck_assert(result[0] == 0x40 && result[1] == 0x04);
	}
	image_read(&image, 0, sector);
	ck_assert(is_sector(sector, 0));
}
END_TEST

START_TEST(formats)
{
	static const struct {
		unsigned kib;
		u8 type;
	} cases[] = {{160, 1}, {360, 1}, {720, 3}, {1200, 2}, {1440, 4}, {2880, 5}, {1680, 4}, {100, 4}, {2000, 5}};

	ck_assert(!fdc_takes(20000) && !fdc_takes(7681));
	for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
		struct rig *r = rig_create();
		struct image i = image_create(cases[k].kib * 2);

		ck_assert(fdc_takes(cases[k].kib * 2));
		ck_assert_uint_eq(fdc_drive_type(plug(r, image_open(r, &i, false, false)), 0), cases[k].type);
		rig_free(r);
		close(i.fd);
	}
}
END_TEST

/* An image that ends early reads as zeros behind its end, and cannot be written there. */
START_TEST(short_image)
{
	struct rig *r = rig;
	struct block *old = disk;
	struct image i = image_create(3);

	rig = rig_create();
	disk = image_open(rig, &i, false, false);
	plug(rig, disk);
	out8(rig, DIR, 0);
	memset(buffer(0), 1, 2048);
	dma(0x44, 2048);
	SEND(0xe6, 0, 0, 0, 2, 2, 18, 0x1b, 0xff);
	ended(0, 0, 0, 0, 0, 6);
	ck_assert(is_sector(buffer(0), 1) && is_sector(buffer(1), 2));
	ck_assert(*buffer(2) == 0 && *(buffer(3) + 511) == 0);
	dma(0x48, 512);
	SEND(0xc5, 0, 0, 0, 4, 2, 18, 0x1b, 0xff);
	ended(0x40, 0x20, 0x20, 0, 0, 4);
	rig_free(rig);
	rig = r;
	disk = old;
	close(i.fd);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct image i = image_create(SECTORS);

	plug(other, image_open(other, &i, false, false));
	SEND(3, 0xaf, 0x03);
	seek(0);
	SEND(0x66, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
	for (int k = 0; k < 100; k++)
		in8(rig, FIFO);
	check_saved_state(rig, other, "fdc");
	ck_assert_uint_eq(in8(other, FIFO), pattern(17, 100));
	rig_free(other);
	close(i.fd);
}
END_TEST

START_TEST(random_guest)
{
	srandom(5);
	for (int i = 0; i < 20000; i++) {
		if (i % 100 == 0)
			dma((u8)(random() & 0x3c), 1 + (u32)random() % 65536);
		if (random() % 8)
			out8(rig, FIFO, (u8)(random() % 2 ? random() % 32 : random()));
		else
			poke_ports(rig, SRA, 0x3f7, 2);
		if (i % 50 == 0)
			out8(rig, DOR, 0x0c);
		settle(rig, disk);
	}
}
END_TEST

Suite *fdc_suite(void)
{
	Suite *s = suite_create("fdc");
	TCase *t = tcase_create("fdc");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, reset);
	tcase_add_test(t, seeks);
	tcase_add_test(t, dma_read);
	tcase_add_test(t, errors);
	tcase_add_test(t, dma_write);
	tcase_add_test(t, scan);
	tcase_add_test(t, without_dma);
	tcase_add_test(t, settings);
	tcase_add_test(t, status_registers);
	tcase_add_test(t, deaf_in_reset);
	tcase_add_test(t, cut_short);
	tcase_add_test(t, io_errors);
	tcase_add_test(t, bad_formats);
	tcase_add_test(t, formats);
	tcase_add_test(t, short_image);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, random_guest);
	suite_add_tcase(s, t);
	return s;
}
