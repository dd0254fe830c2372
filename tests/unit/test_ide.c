/* IDE disks behind a PIIX3: registers, PIO and DMA commands as ATA/ATAPI-6 has them, the bus master with tables of every kind. */
#include "tests/unit/ide_harness.h"

#define SECTORS 70000u
enum { DATA_PORT = 0x1f0, ERROR, COUNT, LOW, MID, HIGH, SELECT, STATUS, CONTROL = 0x3f6 };

static struct block *disk;
static struct ide *ide;

static void plug(struct rig *r, struct block *b)
{
	const struct ide_drive_config drives[2][2] = {{{IDE_DISK, b}}};

	ide = ide_plug(r, drives);
}

static void setup(void)
{
	rig = rig_create();
	image = image_create(SECTORS);
	disk = image_open(rig, &image, false, false);
	memset(wire, 0, sizeof(wire));
	plug(rig, disk);
}

static u8 status(void)
{
	return in8(rig, CONTROL);
}

/* A command with a 28-bit address. */
static void command(u8 what, u32 lba, u8 count)
{
	out8(rig, COUNT, count);
	out8(rig, LOW, (u8)lba);
	out8(rig, MID, (u8)(lba >> 8));
	out8(rig, HIGH, (u8)(lba >> 16));
	out8(rig, SELECT, (u8)(0xe0 | lba >> 24));
	out8(rig, STATUS, what);
	settle(rig, disk);
}

static void command_ext(u8 what, u64 lba, u16 count)
{
	out8(rig, COUNT, count >> 8);
	out8(rig, COUNT, (u8)count);
	out8(rig, LOW, (u8)(lba >> 24));
	out8(rig, MID, (u8)(lba >> 32));
	out8(rig, HIGH, (u8)(lba >> 40));
	out8(rig, LOW, (u8)lba);
	out8(rig, MID, (u8)(lba >> 8));
	out8(rig, HIGH, (u8)(lba >> 16));
	out8(rig, SELECT, 0xe0);
	out8(rig, STATUS, what);
	settle(rig, disk);
}

static void read_data(u8 *p, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 2) {
		u32 w = io_read(rig->vm, DATA_PORT, 2);

		p[i] = (u8)w;
		p[i + 1] = (u8)(w >> 8);
	}
	settle(rig, disk);
}

static void write_data(const u8 *p, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i += 4) {
		u32 w;

		memcpy(&w, p + i, 4);
		io_write(rig->vm, DATA_PORT, w, 4);
	}
	settle(rig, disk);
}

static void ends_with(u8 st, u8 error)
{
	ck_assert_uint_eq(status(), st);
	ck_assert_uint_eq(in8(rig, ERROR), error);
	ck_assert(wire[0].level);
	in8(rig, STATUS);
	ck_assert(!wire[0].level);
}
#define OK	    ends_with(DRDY | DSC, 0)
#define ABORTED	    ends_with(DRDY | DSC | ERR, 0x04)
#define OUT_OF_DISK ends_with(DRDY | DSC | ERR, 0x10)

static u16 word(const u8 *p, unsigned n)
{
	return (u16)(p[2 * n] | p[2 * n + 1] << 8);
}

START_TEST(reset_state)
{
	ck_assert_uint_eq(status(), DRDY | DSC);
	ck_assert_uint_eq(in8(rig, ERROR), 1);
	ck_assert_uint_eq(in8(rig, COUNT), 1);
	ck_assert_uint_eq(in8(rig, LOW), 1);
	ck_assert_uint_eq(in8(rig, MID), 0);
	/* There is no second drive. */
	out8(rig, SELECT, 0xb0);
	ck_assert_uint_eq(status(), 0);
	out8(rig, STATUS, 0xec);
	ck_assert_uint_eq(status(), 0);
	out8(rig, SELECT, 0xa0);
	ck_assert_uint_eq(status(), DRDY | DSC);
	/* A software reset: busy as long as it is held. */
	command(0x20, 0, 1);
	out8(rig, CONTROL, 0x04);
	ck_assert_uint_eq(status(), BSY);
	out8(rig, CONTROL, 0x00);
	ck_assert_uint_eq(status(), DRDY | DSC);
	ck_assert(!wire[0].level);
	ck_assert_uint_eq(in8(rig, COUNT), 1);
	out8(rig, STATUS, 0x90);
	ck_assert_uint_eq(in8(rig, ERROR), 1);
	ck_assert(wire[0].level);
}
END_TEST

/* A drive that is held in reset takes no command, and has none when it is let go. */
START_TEST(commands_in_reset)
{
	static const u8 commands[] = {0xec, 0x20, 0xc8, 0x30, 0x90, 0xe7};
	struct state s;

	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
		in8(rig, STATUS);
		out8(rig, CONTROL, 0x04);
		command(commands[i], 0, 1);
		ck_assert_uint_eq(status(), BSY);
		ck_assert(!wire[0].level);
		out8(rig, CONTROL, 0x00);
		settle(rig, disk);
		ck_assert_uint_eq(status(), DRDY | DSC);
		ck_assert(!wire[0].level);
		ck_assert_uint_eq(io_read(rig->vm, DATA_PORT, 4), 0);
		rig_lock(rig);
		rig_save(rig, "ide", &s);
		ck_assert(rig_load(rig, "ide", &s));
		rig_unlock(rig);
		state_free(&s);
	}
}
END_TEST

START_TEST(identify)
{
	u8 id[512];
	struct chs g;

	command(0xec, 0, 0);
	ck_assert_uint_eq(status(), DRDY | DSC | DRQ);
	ck_assert(wire[0].level);
	read_data(id, 512);
	ck_assert_uint_eq(status(), DRDY | DSC);
	ck_assert_uint_eq(word(id, 0) & 0x8080, 0);
	ck_assert(ide_geometry(ide, 0, 0, &g) && !ide_geometry(ide, 0, 1, &g) && !ide_geometry(ide, 1, 0, &g));
	ide_geometry(ide, 0, 0, &g);
	ck_assert(word(id, 1) == g.cylinders && word(id, 3) == g.heads && word(id, 6) == g.sectors);
	ck_assert_uint_eq(word(id, 60) | (u32)word(id, 61) << 16, SECTORS);
	ck_assert_uint_eq(word(id, 100) | (u32)word(id, 101) << 16, SECTORS);
	ck_assert(!memcmp(id + 54, "IRGNREH RADDSI K", 16));
	ck_assert_uint_eq(word(id, 83) & 0x0400, 0x0400);
	command(0xa1, 0, 0);
	ABORTED;
}
END_TEST

/* All of the data, as ATA-6's table 27 has its words. */
START_TEST(identify_words)
{
	static const struct id_word words[] = {{0, 0x0040},  {47, 0x8010}, {48, 0x0001}, {49, 0x0b00}, {50, 0x4000}, {51, 0x0200},
					       {52, 0x0200}, {53, 0x0007}, {59, 0x0110}, {63, 0x0407}, {64, 0x0003}, {65, 120},
					       {66, 120},    {67, 120},	   {68, 120},	 {80, 0x007e}, {82, 0x4068}, {83, 0x7400},
					       {84, 0x4040}, {85, 0x4068}, {86, 0x3400}, {87, 0x4040}, {88, 0x003f}, {93, 0x6001}};
	static const u8 others[][2] = {{1, 1}, {3, 3}, {6, 6}, {10, 19}, {23, 46}, {54, 58}, {60, 61}, {100, 103}, {0, 0}};
	struct chs g;
	u8 id[512];

	command(0xec, 0, 0);
	read_data(id, 512);
	check_id(id, words, ARRAY_SIZE(words), others);
	check_id_text(id, 10, 10, "RG00001");
	check_id_text(id, 23, 4, RINGER_VERSION);
	check_id_text(id, 27, 20, "RINGER HARDDISK");
	ide_geometry(ide, 0, 0, &g);
	ck_assert(word(id, 54) == g.cylinders && word(id, 55) == g.heads && word(id, 56) == g.sectors);
	ck_assert_uint_eq(word(id, 57) | (u32)word(id, 58) << 16, g.cylinders * g.heads * g.sectors);
	ck_assert_uint_eq(word(id, 101) | word(id, 102) | word(id, 103), 1);
	/* What the guest sets shows. */
	static const struct {
		u8 feature, count;
		u8 word;
		u16 value;
	} sets[] = {{0x55, 0, 85, 0x4028},    {0xaa, 0, 85, 0x4068},	{0x82, 0, 85, 0x4048},
		    {0x02, 0, 85, 0x4068},    {0x03, 0x45, 88, 0x203f}, {0x03, 0x20, 63, 0x0107},
		    {0x03, 0x0c, 63, 0x0107}, {0x03, 0x01, 63, 0x0107}, {0x66, 0, 85, 0x4068}};

	for (unsigned k = 0; k < ARRAY_SIZE(sets); k++) {
		out8(rig, ERROR, sets[k].feature);
		command(0xef, 0, sets[k].count);
		OK;
		command(0xec, 0, 0);
		read_data(id, 512);
		ck_assert_uint_eq(word(id, sets[k].word), sets[k].value);
	}
	static const u8 bad[][2] = {{0x03, 0x02}, {0x03, 0x0d}, {0x03, 0x23}, {0x03, 0x46}, {0x03, 0x10}, {0x99, 0}};

	for (unsigned k = 0; k < ARRAY_SIZE(bad); k++) {
		out8(rig, ERROR, bad[k][0]);
		command(0xef, 0, bad[k][1]);
		ABORTED;
	}
}
END_TEST

START_TEST(power)
{
	/* STANDBY and SLEEP, in both codes; then what wakes it. */
	static const u8 asleep[] = {0x94, 0x96, 0x99, 0xe0, 0xe2, 0xe6}, awake[] = {0x95, 0x97, 0xe1, 0xe3};

	for (unsigned k = 0; k < ARRAY_SIZE(asleep); k++) {
		for (unsigned how = 0; how <= ARRAY_SIZE(awake); how++) {
			command(asleep[k], 0, 0);
			OK;
			command(0xe5, 0, 7);
			ck_assert_uint_eq(in8(rig, COUNT), 0x00);
			OK;
			command(how < ARRAY_SIZE(awake) ? awake[how] : 0x40, 0, 1);
			OK;
			command(0x98, 0, 7);
			ck_assert_uint_eq(in8(rig, COUNT), 0xff);
			OK;
		}
	}
}
END_TEST

/* Errors of the host's end the command, and the registers say where it was. */
START_TEST(io_errors)
{
	static const u8 reads[] = {0x20, 0x40, 0xc4};

	image_break(&image, O_WRONLY);
	for (unsigned k = 0; k < ARRAY_SIZE(reads); k++) {
		command(reads[k], 0x10345, 3);
		ends_with(DRDY | DSC | ERR, 0x40);
		ck_assert_uint_eq(in8(rig, LOW) | in8(rig, MID) << 8 | in8(rig, HIGH) << 16, 0x10345);
		ck_assert_uint_eq(in8(rig, SELECT) & 0x4f, 0x40);
		ck_assert_uint_eq(io_read(rig->vm, DATA_PORT, 2), 0);
	}
	command_ext(0x24, 0xabcd, 300);
	ends_with(DRDY | DSC | ERR, 0x40);
	ck_assert_uint_eq(in8(rig, LOW) | in8(rig, MID) << 8, 0xabcd);
	out8(rig, CONTROL, 0x80);
	ck_assert_uint_eq(in8(rig, LOW) | in8(rig, MID) | in8(rig, HIGH), 0);
	out8(rig, CONTROL, 0);
	/* By cylinder, head and sector */
	out8(rig, COUNT, 2);
	out8(rig, LOW, 9);
	out8(rig, MID, 3);
	out8(rig, HIGH, 0);
	out8(rig, SELECT, 0xa5);
	out8(rig, STATUS, 0x20);
	settle(rig, disk);
	ends_with(DRDY | DSC | ERR, 0x40);
	ck_assert(in8(rig, LOW) == 9 && in8(rig, MID) == 3 && in8(rig, HIGH) == 0 && in8(rig, SELECT) == 0xa5);
}
END_TEST

START_TEST(io_errors_of_writes)
{
	u8 buf[512] = {0};

	image_break(&image, O_RDONLY);
	command(0x30, 77, 2);
	write_data(buf, 512);
	/* Both sectors are one chunk. */
	write_data(buf, 512);
	ABORTED;
	ck_assert_uint_eq(in8(rig, LOW), 77);
}
END_TEST

/* Two drives on a channel: both hear, the selected one speaks. */
START_TEST(two_drives)
{
	struct rig *r = rig;
	struct image images[2] = {image_create(100), image_create(64)};
	struct block *old = disk, *first, *second;
	u8 id[512];

	rig = rig_create();
	first = image_open(rig, &images[0], false, false);
	second = image_open(rig, &images[1], false, false);
	const struct ide_drive_config drives[2][2] = {{{IDE_DISK, first}, {IDE_DISK, second}}};

	ide_plug(rig, drives);
	for (unsigned unit = 0; unit < 2; unit++) {
		disk = unit ? second : first;
		out8(rig, SELECT, (u8)(0xe0 | unit << 4));
		ck_assert_uint_eq(in8(rig, SELECT), 0xe0 | unit << 4);
		out8(rig, STATUS, 0xec);
		read_data(id, 512);
		check_id_text(id, 10, 10, unit ? "RG00002" : "RG00001");
		ck_assert_uint_eq(word(id, 60) | (u32)word(id, 61) << 16, unit ? 64 : 100);
		ck_assert(!wire[0].level || (in8(rig, STATUS), !wire[0].level));
	}
	/* Selecting the other one takes the interrupt's line, and gives the transfer up. */
	disk = first;
	command(0x20, 5, 1);
	ck_assert(wire[0].level);
	out8(rig, SELECT, 0xf0);
	ck_assert(!wire[0].level);
	ck_assert_uint_eq(status(), DRDY | DSC);
	out8(rig, SELECT, 0xe0);
	ck_assert_uint_eq(status(), DRDY | DSC);
	ck_assert_uint_eq(io_read(rig->vm, DATA_PORT, 2), 0);
	/* A reset selects the first. */
	out8(rig, SELECT, 0xf0);
	out8(rig, CONTROL, 4);
	ck_assert_uint_eq(status(), BSY);
	out8(rig, CONTROL, 0);
	ck_assert_uint_eq(in8(rig, SELECT) & 0x10, 0);
	out8(rig, SELECT, 0xf0);
	out8(rig, STATUS, 0x90);
	ck_assert_uint_eq(in8(rig, SELECT) & 0x10, 0);
	ck_assert(wire[0].level);
	rig_free(rig);
	rig = r;
	disk = old;
	close(images[0].fd);
	close(images[1].fd);
}
END_TEST

/* The function's header, and which of it can be written. */
START_TEST(configuration)
{
	static const struct {
		u8 reg;
		u32 value;
	} header[] = {{0x00, 0x70108086}, {0x08, 0x01018000}, {0x40, 0x80008000}, {0x44, 0}, {0x20, BM | 1}};

	for (unsigned k = 0; k < ARRAY_SIZE(header); k++) {
		io_write(rig->vm, 0xcf8, IDE_CONFIG | header[k].reg, 4);
		ck_assert_uint_eq(io_read(rig->vm, 0xcfc, 4), header[k].value);
	}
	io_write(rig->vm, 0xcf8, IDE_CONFIG | 4, 4);
	ck_assert_uint_eq(io_read(rig->vm, 0xcfc, 4) >> 16, 0x0280);
	/* Each bit of IDETIM by itself; only bit 15 decodes. */
	for (unsigned bit = 0; bit < 16; bit++) {
		ide_config(rig, 0x40, 1u << bit, 2);
		ck_assert_uint_eq(status(), bit == 15 ? DRDY | DSC : 0xff);
	}
}
END_TEST

START_TEST(pio_read)
{
	u8 buf[3 * 512];

	command(0x20, 1000, 3);
	unsigned rises = wire[0].rises;
	for (unsigned k = 0; k < 3; k++) {
		ck_assert_uint_eq(in8(rig, STATUS), DRDY | DSC | DRQ);
		ck_assert(!wire[0].level);
		read_data(buf + 512 * k, 512);
		ck_assert(wire[0].level == (k < 2));
	}
	ck_assert_uint_eq(wire[0].rises, rises + 2);
	ck_assert_uint_eq(status(), DRDY | DSC);
	for (unsigned k = 0; k < 3; k++)
		ck_assert(is_sector(buf + 512 * k, 1000 + k));
	/* Nothing more comes. */
	ck_assert_uint_eq(io_read(rig->vm, DATA_PORT, 2), 0);
	/* More than fits the buffer, and a count of 256. */
	command(0x20, 0, 0);
	for (unsigned k = 0; k < 256; k++) {
		ck_assert(status() & DRQ);
		read_data(buf, 512);
		ck_assert(is_sector(buf, k));
	}
	ck_assert(!(status() & DRQ));
	command_ext(0x24, 300, 300);
	for (unsigned k = 0; k < 300; k++) {
		read_data(buf, 512);
		ck_assert(is_sector(buf, 300 + k));
	}
	ck_assert(!(status() & DRQ));
	command_ext(0x24, SECTORS - 1, 2);
	OUT_OF_DISK;
	command(0x20, SECTORS, 1);
	OUT_OF_DISK;
	command_ext(0x24, 1ull << 40, 1);
	OUT_OF_DISK;
	command(0x40, 5, 200);
	OK;
	command(0x77, 5, 0);
	OK;
	command(0x10, 0, 0);
	OK;
}
END_TEST

START_TEST(cylinders)
{
	u8 buf[512];

	/* 10 heads of 20 sectors: cylinder 3, head 4, sector 5 */
	out8(rig, SELECT, 0xa0 | 9);
	out8(rig, COUNT, 20);
	out8(rig, STATUS, 0x91);
	OK;
	out8(rig, COUNT, 1);
	out8(rig, LOW, 5);
	out8(rig, MID, 3);
	out8(rig, HIGH, 0);
	out8(rig, SELECT, 0xa4);
	out8(rig, STATUS, 0x20);
	settle(rig, disk);
	read_data(buf, 512);
	ck_assert(is_sector(buf, (3 * 10 + 4) * 20 + 4));
	/* There is no sector 0 and no head 10. */
	out8(rig, LOW, 0);
	out8(rig, STATUS, 0x20);
	settle(rig, disk);
	in8(rig, STATUS);
	ck_assert_uint_eq(in8(rig, ERROR), 0x10);
	out8(rig, LOW, 1);
	out8(rig, SELECT, 0xaa);
	out8(rig, STATUS, 0x20);
	settle(rig, disk);
	ck_assert_uint_eq(in8(rig, ERROR), 0x10);
}
END_TEST

START_TEST(multiple)
{
	u8 buf[8 * 512];

	command(0xc6, 0, 3);
	ABORTED;
	command(0xc6, 0, 8);
	OK;
	command(0xc4, 40, 12);
	unsigned rises = wire[0].rises;
	in8(rig, STATUS);
	read_data(buf, 8 * 512);
	ck_assert_uint_eq(wire[0].rises, rises + 1);
	ck_assert(is_sector(buf, 40) && is_sector(buf + 7 * 512, 47));
	in8(rig, STATUS);
	read_data(buf, 4 * 512);
	ck_assert_uint_eq(wire[0].rises, rises + 1);
	ck_assert(is_sector(buf + 3 * 512, 51));
	ck_assert(!(status() & DRQ));
	command(0xc6, 0, 0);
	OK;
	command(0xc4, 40, 12);
	ABORTED;
}
END_TEST

START_TEST(pio_write)
{
	u8 buf[512], check[512];

	command(0x30, 500, 2);
	/* The first block is asked for without an interrupt. */
	ck_assert_uint_eq(status(), DRDY | DSC | DRQ);
	ck_assert(!wire[0].level);
	fill_sector(buf, 60000);
	write_data(buf, 512);
	ck_assert(wire[0].level && (in8(rig, STATUS) & DRQ));
	fill_sector(buf, 60001);
	write_data(buf, 512);
	OK;
	image_read(&image, 501, check);
	ck_assert(is_sector(check, 60001));
	image_read(&image, 502, check);
	ck_assert(is_sector(check, 502));
	command(0xe7, 0, 0);
	OK;
	command_ext(0xea, 0, 0);
	OK;
	/* Without the cache what is written is flushed as well: this must end, too. */
	out8(rig, ERROR, 0x82);
	command(0xef, 0, 0);
	OK;
	command(0x30, 7, 1);
	write_data(buf, 512);
	OK;
	/* A reset in the middle loses what is not there yet. */
	command(0x30, 600, 1);
	write_data(buf, 508);
	out8(rig, CONTROL, 4);
	out8(rig, CONTROL, 0);
	write_data(buf, 4);
	image_read(&image, 600, check);
	ck_assert(is_sector(check, 600));
}
END_TEST

START_TEST(protected_disk)
{
	struct rig *r = rig;
	struct image i = image_create(64);

	rig = rig_create();
	struct block *old = disk;
	disk = image_open(rig, &i, true, false);
	plug(rig, disk);
	command(0x30, 0, 1);
	ABORTED;
	command(0xca, 0, 1);
	ABORTED;
	rig_free(rig);
	rig = r;
	disk = old;
	close(i.fd);
}
END_TEST

START_TEST(settings)
{
	u8 id[512];

	out8(rig, ERROR, 0x03);
	command(0xef, 0, 0x21);
	OK;
	command(0xec, 0, 0);
	read_data(id, 512);
	ck_assert_uint_eq(word(id, 63), 0x0207);
	out8(rig, ERROR, 0x03);
	command(0xef, 0, 0x27);
	ABORTED;
	command(0xe5, 0, 0);
	ck_assert_uint_eq(in8(rig, COUNT), 0xff);
	command(0xe0, 0, 0);
	command(0xe5, 0, 0);
	ck_assert_uint_eq(in8(rig, COUNT), 0x00);
	in8(rig, STATUS);
	command(0xf8, 0, 0);
	ck_assert_uint_eq(in8(rig, LOW) | in8(rig, MID) << 8 | in8(rig, HIGH) << 16, SECTORS - 1);
	in8(rig, STATUS);
	command(0x00, 0, 0);
	ABORTED;
	command(0xb0, 0, 0);
	ABORTED;
	/* nIEN holds the line, not the interrupt. */
	out8(rig, CONTROL, 2);
	command(0xe7, 0, 0);
	ck_assert(!wire[0].level);
	out8(rig, CONTROL, 0);
	ck_assert(wire[0].level);
	/* HOB shows what was written before. */
	out8(rig, COUNT, 0x12);
	out8(rig, COUNT, 0x34);
	ck_assert_uint_eq(in8(rig, COUNT), 0x34);
	out8(rig, CONTROL, 0x80);
	ck_assert_uint_eq(in8(rig, COUNT), 0x12);
}
END_TEST

/* ---- bus master ---- */

static void dma(u8 what, u32 lba, u8 count, bool read)
{
	out8(rig, BM, 0);
	io_write(rig->vm, BM + 4, PRD, 4);
	out8(rig, BM + 2, 6);
	command(what, lba, count);
	out8(rig, BM, read ? 9 : 1);
	settle(rig, disk);
}

START_TEST(dma_read)
{
	/* An odd address and an odd count are even ones. */
	prd(0, DATA + 1, 0x201);
	prd(1, DATA + 0x5000, 0x80000400);
	dma(0xc8, 77, 3, true);
	ck_assert(ram_is_sector(DATA, 77) && ram_is_sector(DATA + 0x5000, 78) && ram_is_sector(DATA + 0x5200, 79));
	ck_assert_uint_eq(in8(rig, BM + 2) & 7, 4);
	ck_assert_uint_eq(in8(rig, BM), 9);
	OK;
	out8(rig, BM + 2, 4);
	ck_assert_uint_eq(in8(rig, BM + 2) & 7, 0);
	out8(rig, BM, 8);
	/* More table than data: active until it is stopped. */
	prd(0, DATA, 0x80000600);
	dma(0xc8, 5, 2, true);
	ck_assert_uint_eq(in8(rig, BM + 2) & 7, 5);
	OK;
	out8(rig, BM, 0);
	ck_assert_uint_eq(in8(rig, BM + 2) & 7, 4);
	/* Zero is 64 KiB, and several chunks go on in the table. */
	prd(0, DATA, 0);
	prd(1, DATA + 0x10000, 0);
	prd(2, DATA + 0x20000, 0x80000000 | 0x5800);
	out8(rig, BM + 2, 6);
	io_write(rig->vm, BM + 4, PRD, 4);
	command_ext(0x25, 100, 300);
	out8(rig, BM, 9);
	settle(rig, disk);
	for (u32 k = 0; k < 300; k++)
		ck_assert(ram_is_sector(DATA + k * 512, 100 + k));
	OK;
}
END_TEST

START_TEST(dma_write)
{
	u8 check[512];

	rig_lock(rig);
	for (u32 k = 0; k < 4; k++) {
		fill_sector(check, 50000 + k);
		phys_write(rig->vm, DATA + 512 * k, check, 512);
	}
	rig_unlock(rig);
	prd(0, DATA, 0x600);
	prd(1, DATA + 0x600, 0x80000200);
	dma(0xca, 4000, 4, false);
	OK;
	ck_assert_uint_eq(in8(rig, BM + 2) & 7, 4);
	for (u32 k = 0; k < 4; k++) {
		image_read(&image, 4000 + k, check);
		ck_assert(is_sector(check, 50000 + k));
	}
}
END_TEST

/* Tables that a correct guest does not make. */
START_TEST(dma_absurd)
{
	u8 check[512];

	/* Too short: the drive waits, and nothing else does. */
	prd(0, DATA, 0x80000200);
	dma(0xc8, 9, 2, true);
	ck_assert(ram_is_sector(DATA, 9));
	ck_assert_uint_eq(in8(rig, BM + 2) & 7, 0);
	ck_assert(!wire[0].level && (status() & DRQ));
	ck_assert_uint_eq(io_read(rig->vm, DATA_PORT, 2), 0);
	/* Started again it goes on. */
	out8(rig, BM, 0);
	prd(0, DATA + 0x200, 0x80000200);
	out8(rig, BM, 9);
	settle(rig, disk);
	ck_assert(ram_is_sector(DATA + 0x200, 10));
	OK;
	/* Outside of memory. */
	prd(0, 0xf0000000, 0x80000400);
	dma(0xc8, 9, 2, true);
	OK;
	dma(0xca, 9, 1, false);
	OK;
	image_read(&image, 9, check);
	ck_assert_uint_eq(check[0], 0xff);
	/* The table itself. */
	out8(rig, BM, 0);
	io_write(rig->vm, BM + 4, 0xf0000000, 4);
	command(0xc8, 9, 1);
	out8(rig, BM, 9);
	settle(rig, disk);
	ck_assert_uint_eq(in8(rig, BM + 2) & 3, 2);
	/* Over its own descriptors, and without an end. */
	out8(rig, BM, 0);
	for (unsigned k = 0; k < 512; k++)
		prd(k, PRD, 2);
	dma(0xc8, 0, 0, true);
	/* Not allowed to master. */
	out8(rig, BM, 0);
	prd(0, DATA, 0x80000200);
	ide_config(rig, 0x04, 1, 2);
	dma(0xc8, 0, 1, true);
	ck_assert_uint_eq(in8(rig, BM + 2) & 3, 2);
	ck_assert(!wire[0].level);
}
END_TEST

START_TEST(ports_follow_the_chipset)
{
	/* IDETIM: the channel's ports are not decoded. */
	ide_config(rig, 0x40, 0, 2);
	ck_assert_uint_eq(status(), 0xff);
	ck_assert_uint_eq(in8(rig, STATUS), 0xff);
	ide_config(rig, 0x40, 0x8000, 2);
	ck_assert_uint_eq(status(), DRDY | DSC);
	/* BAR 4 moves. */
	ide_config(rig, 0x20, 0xd000, 4);
	ck_assert_uint_eq(in8(rig, BM + 2), 0xff);
	io_write(rig->vm, 0xd004, 0x12345679, 4);
	ck_assert_uint_eq(io_read(rig->vm, 0xd004, 4), 0x12345678);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct image i = image_create(SECTORS);
	struct block *b = image_open(other, &i, false, false);
	u8 buf[512];

	plug(other, b);
	out8(rig, BM + 2, 0x60); /* the drives can do DMA: for the guest's own use */
	/* In the middle of the second sector. */
	command(0x20, 33, 2);
	read_data(buf, 512);
	read_data(buf, 100);
	check_saved_state(rig, other, "ide");
	struct rig *first = rig;
	rig = other;
	read_data(buf + 100, 412);
	rig = first;
	ck_assert(is_sector(buf, 34));
	rig_free(other);
	close(i.fd);
}
END_TEST

START_TEST(random_guest)
{
	prd(0, DATA, 0x80000200);
	io_write(rig->vm, BM + 4, PRD, 4);
	poke_ports(rig, DATA_PORT, STATUS, 30000);
	poke_ports(rig, BM, BM + 15, 3000);
	for (int i = 0; i < 20000; i++) {
		if (i % 3)
			poke_ports(rig, DATA_PORT, STATUS, 1);
		else if (i % 2)
			poke_ports(rig, CONTROL, CONTROL, 1);
		else
			poke_ports(rig, BM, BM + 15, 1);
	}
	settle(rig, disk);
}
END_TEST

Suite *ide_suite(void)
{
	Suite *s = suite_create("ide");
	TCase *t = tcase_create("ide");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, reset_state);
	tcase_add_test(t, commands_in_reset);
	tcase_add_test(t, identify);
	tcase_add_test(t, identify_words);
	tcase_add_test(t, power);
	tcase_add_test(t, io_errors);
	tcase_add_test(t, io_errors_of_writes);
	tcase_add_test(t, two_drives);
	tcase_add_test(t, configuration);
	tcase_add_test(t, pio_read);
	tcase_add_test(t, cylinders);
	tcase_add_test(t, multiple);
	tcase_add_test(t, pio_write);
	tcase_add_test(t, protected_disk);
	tcase_add_test(t, settings);
	tcase_add_test(t, dma_read);
	tcase_add_test(t, dma_write);
	tcase_add_test(t, dma_absurd);
	tcase_add_test(t, ports_follow_the_chipset);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, random_guest);
	suite_add_tcase(s, t);
	return s;
}
