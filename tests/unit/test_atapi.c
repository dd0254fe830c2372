/* ATAPI CD-ROM drives: the packet protocol of ATA/ATAPI-6, and MMC-3's commands. */
#include "tests/unit/ide_harness.h"

#define CD_SECTORS 601u /* the image ends in the middle of the last one */
enum { DATA_PORT = 0x170, ERROR, COUNT, LOW, MID, HIGH, SELECT, STATUS, CONTROL = 0x376 };

static struct block *disc;
static u8 data[8192];

static void plug(struct rig *r, struct block *b)
{
	const struct ide_drive_config drives[2][2] = {{{IDE_NONE, NULL}}, {{IDE_CDROM, b}}};

	ide_plug(r, drives);
}

static void setup(void)
{
	rig = rig_create();
	image = image_create(CD_SECTORS * 4 - 2);
	disc = image_open(rig, &image, true, false);
	memset(wire, 0, sizeof(wire));
	plug(rig, disc);
}

static void wait_for(void)
{
	if (disc)
		settle(rig, disc);
}

static void send(const u8 packet[12], u16 limit, bool dma)
{
	out8(rig, SELECT, 0xa0);
	out8(rig, ERROR, dma);
	out8(rig, MID, (u8)limit);
	out8(rig, HIGH, limit >> 8);
	out8(rig, STATUS, 0xa0);
	ck_assert_uint_eq(in8(rig, STATUS), DRDY | DSC | DRQ);
	ck_assert_uint_eq(in8(rig, COUNT), 1); /* a command, to the drive */
	ck_assert(!wire[1].level);
	for (int i = 0; i < 12; i += 2)
		io_write(rig->vm, DATA_PORT, packet[i] | (u32)packet[i + 1] << 8, 2);
	wait_for();
}
#define PACKET(limit, ...) send((const u8[12]){__VA_ARGS__}, limit, false)

/* All that comes by PIO; how many bytes. Each block is announced, and no longer than the limit. */
static unsigned receive(unsigned limit)
{
	unsigned n = 0;

	memset(data, 0xee, sizeof(data));
	while (in8(rig, CONTROL) & DRQ) {
		unsigned size = in8(rig, MID) | in8(rig, HIGH) << 8;

		ck_assert(wire[1].level);
		in8(rig, STATUS);
		ck_assert_uint_eq(in8(rig, COUNT), 2);
		ck_assert(size && size <= limit);
		for (unsigned k = 0; k < size; k += 2) {
			u32 w = io_read(rig->vm, DATA_PORT, 2);

			if (n + k + 1 < sizeof(data)) {
				data[n + k] = (u8)w;
				data[n + k + 1] = (u8)(w >> 8);
			}
		}
		n += size;
		wait_for();
	}
	ck_assert_uint_eq(in8(rig, COUNT), 3);
	ck_assert(wire[1].level);
	in8(rig, STATUS);
	return n;
}

static void good(void)
{
	ck_assert(!(in8(rig, CONTROL) & ERR));
	ck_assert_uint_eq(receive(0), 0);
}

/* The command has failed, and the sense data say why. */
static void failed(u8 key, u8 asc)
{
	ck_assert_uint_eq(in8(rig, STATUS) & (ERR | DRQ), ERR);
	ck_assert_uint_eq(in8(rig, ERROR), key << 4 | 4);
	PACKET(64, 3, 0, 0, 0, 18);
	ck_assert_uint_eq(receive(64), 18);
	ck_assert_uint_eq(data[0], 0x70);
	ck_assert_uint_eq(data[2], key);
	ck_assert_uint_eq(data[12], asc);
}

static u32 get32(const u8 *p)
{
	return (u32)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

START_TEST(signature)
{
	out8(rig, SELECT, 0xa0);
	ck_assert_uint_eq(in8(rig, MID), 0x14);
	ck_assert_uint_eq(in8(rig, HIGH), 0xeb);
	/* IDENTIFY DEVICE is aborted and shows it again. */
	out8(rig, MID, 0);
	out8(rig, STATUS, 0xec);
	ck_assert_uint_eq(in8(rig, STATUS) & ERR, ERR);
	ck_assert_uint_eq(in8(rig, MID), 0x14);
	out8(rig, STATUS, 0xa1);
	ck_assert(in8(rig, STATUS) & DRQ);
	u32 first = io_read(rig->vm, DATA_PORT, 2);
	ck_assert_uint_eq(first, 0x85c0);
	/* DEVICE RESET in the middle, which disks do not have. */
	out8(rig, STATUS, 0x08);
	ck_assert_uint_eq(in8(rig, STATUS), 0);
	ck_assert_uint_eq(in8(rig, ERROR), 1);
	ck_assert_uint_eq(in8(rig, HIGH), 0xeb);
}
END_TEST

START_TEST(identify_words)
{
	static const struct id_word words[] = {{0, 0x85c0},  {48, 0x0001}, {49, 0x0b00}, {53, 0x0006}, {63, 0x0407},
					       {64, 0x0003}, {65, 120},	   {66, 120},	 {67, 120},    {68, 120},
					       {71, 30},     {72, 30},	   {80, 0x007e}, {82, 0x4218}, {83, 0x4000},
					       {84, 0x4000}, {85, 0x4218}, {87, 0x4000}, {88, 0x003f}, {93, 0x6001}};
	static const u8 others[][2] = {{10, 19}, {23, 46}, {0, 0}};

	out8(rig, SELECT, 0xa0);
	out8(rig, STATUS, 0xa1);
	for (unsigned k = 0; k < 512; k += 2) {
		u32 w = io_read(rig->vm, DATA_PORT, 2);

		data[k] = (u8)w;
		data[k + 1] = (u8)(w >> 8);
	}
	check_id(data, words, ARRAY_SIZE(words), others);
	check_id_text(data, 10, 10, "RG00003");
	check_id_text(data, 23, 4, RINGER_VERSION);
	check_id_text(data, 27, 20, "RINGER CD-ROM");
	/* Transfer modes; what only disks have is aborted. */
	out8(rig, ERROR, 3);
	out8(rig, COUNT, 0x44);
	out8(rig, STATUS, 0xef);
	ck_assert(!(in8(rig, STATUS) & ERR));
	for (u8 feature = 0x02; feature; feature = feature == 0x02 ? 0x82 : feature == 0x82 ? 0x55 : feature == 0x55 ? 0xaa : 0) {
		out8(rig, ERROR, feature);
		out8(rig, STATUS, 0xef);
		ck_assert(in8(rig, STATUS) & ERR);
	}
	out8(rig, STATUS, 0xa1);
	for (unsigned k = 0; k < 88; k++)
		io_read(rig->vm, DATA_PORT, 2);
	ck_assert_uint_eq(io_read(rig->vm, DATA_PORT, 2), 0x103f);
}
END_TEST

/* The answers in full, as MMC-3 and SPC-2 lay them out. */
START_TEST(answers)
{
	static const u8 inquiry[36] = "\x05\x80\x00\x21\x1f\0\0\0RINGER  CD-ROM          ";
	static const u8 page_1[16] = {0, 14, 1, 0, 0, 0, 0, 0, 1, 6, 0, 5},
			page_e[24] = {0, 22, 1, 0, 0, 0, 0, 0, 0x0e, 14, 4, 0, 0, 0, 0, 0, 1, 0xff, 2, 0xff};
	static const u8 page_2a[28] = {0, 26, 1, 0, 0, 0, 0, 0, 0x2a, 18, 0, 0, 0x70, 0, 0x29, 0, 2, 0xc2, 0, 2, 2, 0, 2, 0xc2};
	static const u8 toc_raw[48] = {0, 46, 1, 1,    1, 0x14, 0, 0xa0, 0, 0, 0, 0,  1, 0, 0,	  1, 0x14, 0, 0xa1, 0, 0, 0, 0, 1,
				       0, 0,  1, 0x14, 0, 0xa2, 0, 0,	 0, 0, 0, 10, 1, 1, 0x14, 0, 1,	   0, 0,    0, 0, 0, 2, 0};
	static const u8 information[34] = {0, 32, 0x0e, 1, 1, 1, 1, 0x20}, mechanism[8] = {0, 0, 0, 0, 0, 1}, subchannel[4] = {0, 0x15};
	static const struct {
		u8 packet[12];
		const u8 *answer;
		u8 n;
	} cases[] = {
		{{0x12, 0, 0, 0, 36}, inquiry, 32},
		{{0x5a, 0, 0x01, 0, 0, 0, 0, 1, 0}, page_1, 16},
		{{0x5a, 0, 0x0e, 0, 0, 0, 0, 1, 0}, page_e, 24},
		{{0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0}, page_2a, 28},
		{{0x43, 0, 2, 0, 0, 0, 0, 1, 0}, toc_raw, 48},
		{{0x51, 0, 0, 0, 0, 0, 0, 1, 0}, information, 34},
		{{0xbd, 0, 0, 0, 0, 0, 0, 0, 1, 0}, mechanism, 8},
		{{0x42, 0, 0, 0, 0, 0, 0, 1, 0}, subchannel, 4},
	};

	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		/* What the drive sent before must not show through. */
		PACKET(0xfffe, 0x28, 0, 0, 0, 0, 77, 0, 0, 2);
		receive(0xfffe);
		send(cases[k].packet, 0xfffe, false);
		ck_assert_uint_ge(receive(0xfffe), cases[k].n);
		for (unsigned at = 0; at < cases[k].n; at++)
			ck_assert_msg(data[at] == cases[k].answer[at], "command %02x: byte %u is %02x, not %02x", cases[k].packet[0], at,
				      data[at], cases[k].answer[at]);
	}
	/* All pages are those three. */
	PACKET(0xfffe, 0x5a, 0, 0x3f, 0, 0, 0, 0, 1, 0);
	ck_assert_uint_eq(receive(0xfffe), 8 + 8 + 16 + 20);
	ck_assert(!memcmp(data + 8, page_1 + 8, 8) && !memcmp(data + 16, page_e + 8, 16) && !memcmp(data + 32, page_2a + 8, 20));
	PACKET(0xfffe, 0x5a, 0, 0xc1, 0, 0, 0, 0, 1, 0);
	failed(5, 0x39);
	/* Vital product data there are none; EVPD is bit 0 of byte 1 alone. */
	PACKET(0xfffe, 0x12, 1, 0, 0, 36);
	failed(5, 0x24);
	PACKET(0xfffe, 0x12, 0, 1, 0, 36);
	ck_assert_uint_eq(receive(0xfffe), 36);
	/* MODE SELECT takes its parameters, and that is all. */
	PACKET(0xfffe, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 8);
	ck_assert(in8(rig, CONTROL) & DRQ);
	ck_assert_uint_eq(in8(rig, COUNT), 0);
	for (unsigned k = 0; k < 4; k++)
		io_write(rig->vm, DATA_PORT, 0, 2);
	good();
}
END_TEST

START_TEST(power)
{
	for (int how = 0; how < 3; how++) {
		out8(rig, SELECT, 0xa0);
		out8(rig, STATUS, 0xe0);
		in8(rig, STATUS);
		out8(rig, STATUS, 0xe5);
		ck_assert_uint_eq(in8(rig, COUNT), 0x00);
		/* Reading wakes it, and so does a reset. */
		if (how == 0) {
			PACKET(2048, 0x28, 0, 0, 0, 0, 10, 0, 0, 1);
			ck_assert_uint_eq(receive(2048), 2048);
		} else if (how == 1) {
			out8(rig, CONTROL, 4);
			out8(rig, CONTROL, 0);
		} else {
			out8(rig, STATUS, 0x08);
		}
		out8(rig, STATUS, 0xe5);
		ck_assert_uint_eq(in8(rig, COUNT), 0xff);
	}
}
END_TEST

/* An error of the host's */
START_TEST(read_errors)
{
	image_break(&image, O_WRONLY);
	PACKET(0xfffe, 0x28, 0, 0, 0, 0, 1, 0, 0, 1);
	failed(3, 0x11);
	PACKET(0xfffe, 0x00);
	good();
}
END_TEST

START_TEST(who_and_what)
{
	PACKET(0xfffe, 0x12, 0, 0, 0, 36);
	ck_assert_uint_eq(receive(0xfffe), 36);
	ck_assert(data[0] == 5 && data[1] == 0x80 && !memcmp(data + 16, "CD-ROM", 6));
	PACKET(0xfffe, 0x12, 0, 0, 0, 5);
	ck_assert_uint_eq(receive(0xfffe), 5);
	PACKET(8, 0x25);
	ck_assert_uint_eq(receive(8), 8);
	ck_assert_uint_eq(get32(data), CD_SECTORS - 1);
	ck_assert_uint_eq(get32(data + 4), 2048);
	PACKET(64, 0x00);
	good();
	PACKET(64, 0xff);
	failed(5, 0x20);
	/* The sense is told once. */
	PACKET(64, 3, 0, 0, 0, 18);
	receive(64);
	ck_assert_uint_eq(data[2], 0);
}
END_TEST

START_TEST(reading)
{
	/* Three sectors in blocks of at most 1000 bytes, from sector 10. */
	PACKET(1000, 0x28, 0, 0, 0, 0, 10, 0, 0, 3);
	ck_assert_uint_eq(receive(1000), 3 * 2048);
	for (unsigned k = 0; k < 12; k++)
		ck_assert(is_sector(data + 512 * k, 40 + k));
	PACKET(0, 0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 2);
	ck_assert_uint_eq(receive(0xfffe), 2 * 2048);
	ck_assert(is_sector(data + 512, 1));
	/* More than one chunk. */
	PACKET(0xfffe, 0x28, 0, 0, 0, 0, 0, 0, 0, 200);
	ck_assert_uint_eq(receive(0xfffe), 200 * 2048);
	/* The last sector is half there; beyond it is nothing. */
	PACKET(2048, 0x28, 0, 0, 0, 600 >> 8, 600 & 255, 0, 0, 1);
	ck_assert_uint_eq(receive(2048), 2048);
	ck_assert(is_sector(data + 512, 2401));
	ck_assert_uint_eq(data[1024], 0);
	PACKET(2048, 0x28, 0, 0, 0, 600 >> 8, 600 & 255, 0, 0, 2);
	failed(5, 0x21);
	PACKET(2048, 0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1);
	failed(5, 0x21);
	PACKET(2048, 0xa8, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff);
	failed(5, 0x21);
	PACKET(2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 0);
	good();
	PACKET(2048, 0x2b, 0, 0, 0, 1, 0);
	good();
}
END_TEST

START_TEST(raw_sectors)
{
	PACKET(0xfffe, 0xbe, 0, 0, 0, 0, 75, 0, 0, 2, 0xf8);
	ck_assert_uint_eq(receive(0xfffe), 2 * 2352);
	ck_assert(data[0] == 0 && data[1] == 0xff && data[11] == 0);
	/* Sector 75 is at 00:03:00. */
	ck_assert(data[12] == 0 && data[13] == 3 && data[14] == 0 && data[15] == 1);
	ck_assert(is_sector(data + 16, 300));
	ck_assert(data[2352 + 14] == 1 && is_sector(data + 2352 + 16, 304));
	PACKET(0xfffe, 0xbe, 0, 0, 0, 0, 75, 0, 0, 3, 0x20);
	ck_assert_uint_eq(receive(0xfffe), 3 * 4);
	ck_assert_uint_eq(data[10], 2);
	PACKET(0xfffe, 0xbe, 0, 0, 0, 0, 75, 0, 0, 1, 0x10);
	ck_assert_uint_eq(receive(0xfffe), 2048);
	PACKET(0xfffe, 0xbe, 0, 0, 0, 0, 75, 0, 0, 1, 0);
	good();
	PACKET(0xfffe, 0xbe, 4, 0, 0, 0, 75, 0, 0, 1, 0x10);
	failed(5, 0x24);
}
END_TEST

START_TEST(contents)
{
	PACKET(0xfffe, 0x43, 0, 0, 0, 0, 0, 0, 1, 0);
	ck_assert_uint_eq(receive(0xfffe), 20);
	ck_assert(data[1] == 18 && data[2] == 1 && data[6] == 1 && data[14] == 0xaa);
	ck_assert_uint_eq(get32(data + 16), CD_SECTORS);
	PACKET(0xfffe, 0x43, 2, 0, 0, 0, 0, 0xaa, 1, 0);
	ck_assert_uint_eq(receive(0xfffe), 12);
	/* 601 + 150 frames are 10 s and one frame. */
	ck_assert(data[9] == 0 && data[10] == 10 && data[11] == 1);
	PACKET(0xfffe, 0x43, 0, 0, 0, 0, 0, 2, 1, 0);
	failed(5, 0x24);
	PACKET(0xfffe, 0x5a, 0, 0x2a, 0, 0, 0, 0, 1, 0);
	ck_assert_uint_eq(receive(0xfffe), 28);
	ck_assert(data[1] == 26 && data[8] == 0x2a && data[9] == 18);
	PACKET(0xfffe, 0x5a, 0, 0x3e, 0, 0, 0, 0, 1, 0);
	failed(5, 0x24);
	PACKET(0xfffe, 0x46, 0, 0, 0, 0, 0, 0, 1, 0);
	unsigned n = receive(0xfffe);
	ck_assert_uint_eq(get32(data), n - 4);
	ck_assert_uint_eq(data[7], 8);
	PACKET(0xfffe, 0x46, 2, 0, 3, 0, 0, 0, 1, 0);
	ck_assert_uint_eq(receive(0xfffe), 16);
	PACKET(0xfffe, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8);
	ck_assert_uint_eq(receive(0xfffe), 8);
	PACKET(0xfffe, 0x51, 0, 0, 0, 0, 0, 0, 0, 34);
	ck_assert_uint_eq(receive(0xfffe), 34);
}
END_TEST

START_TEST(tray)
{
	PACKET(64, 0x1e, 0, 0, 0, 1);
	good();
	PACKET(64, 0x1b, 0, 0, 0, 2);
	failed(5, 0x53);
	PACKET(64, 0x1e, 0, 0, 0, 0);
	good();
	PACKET(64, 0x1b, 0, 0, 0, 2);
	good();
	PACKET(64, 0x00);
	failed(2, 0x3a);
	PACKET(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	ck_assert_uint_eq(receive(64), 8);
	ck_assert(data[4] == 3 && data[5] == 1);
	PACKET(64, 0x1b, 0, 0, 0, 3);
	good();
	/* The new disc is told of once, but INQUIRY is answered before. */
	PACKET(64, 0x12, 0, 0, 0, 36);
	ck_assert_uint_eq(receive(64), 36);
	PACKET(64, 0x00);
	failed(6, 0x28);
	PACKET(64, 0x00);
	good();
	PACKET(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	receive(64);
	ck_assert(data[4] == 2 && data[5] == 2);
	PACKET(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	receive(64);
	ck_assert_uint_eq(data[4], 0);
}
END_TEST

START_TEST(dma)
{
	const u8 read[12] = {0x28, 0, 0, 0, 0, 5, 0, 0, 100};

	prd(0, DATA, 0);
	prd(1, DATA + 0x10000, 0x80000000u);
	io_write(rig->vm, BM + 12, PRD, 4);
	send(read, 0, true);
	out8(rig, BM + 8, 9);
	wait_for();
	/* 200 KiB do not fit 128: the drive waits for more table. */
	ck_assert(in8(rig, CONTROL) & DRQ);
	out8(rig, BM + 8, 0);
	prd(0, DATA + 0x20000, 0x80000000u);
	ck_assert(!wire[1].level);
	out8(rig, BM + 8, 9);
	wait_for();
	ck_assert(in8(rig, CONTROL) & DRQ);
	prd(0, DATA + 0x30000, 0x80000000u | 100 * 2048 % 65536);
	out8(rig, BM + 8, 0);
	out8(rig, BM + 8, 9);
	wait_for();
	ck_assert_uint_eq(in8(rig, BM + 10) & 7, 4);
	good();
	for (u32 k = 0; k < 400; k++)
		ck_assert(ram_is_sector(DATA + k * 512, 20 + k));
}
END_TEST

START_TEST(no_disc)
{
	struct rig *r = rig;
	struct block *old = disc;

	rig = rig_create();
	disc = NULL;
	plug(rig, NULL);
	PACKET(64, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	failed(2, 0x3a);
	PACKET(64, 0x25);
	failed(2, 0x3a);
	PACKET(64, 0x12, 0, 0, 0, 36);
	ck_assert_uint_eq(receive(64), 36);
	rig_free(rig);
	rig = r;
	disc = old;
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct block *b = image_open(other, &image, true, false);

	plug(other, b);
	PACKET(512, 0x28, 0, 0, 0, 0, 10, 0, 0, 1);
	check_saved_state(rig, other, "ide");
	struct rig *first = rig;
	struct block *mine = disc;
	rig = other;
	disc = b;
	ck_assert_uint_eq(receive(512), 2048);
	ck_assert(is_sector(data + 512, 41));
	rig = first;
	disc = mine;
	rig_free(other);
}
END_TEST

START_TEST(random_guest)
{
	srandom(3);
	for (int i = 0; i < 3000; i++) {
		u8 packet[12];

		for (int k = 0; k < 12; k++)
			packet[k] = (u8)(random() % 3 ? 0 : random());
		packet[0] = (u8)random();
		out8(rig, SELECT, 0xa0);
		out8(rig, CONTROL, 0);
		settle(rig, disc);
		send(packet, (u16)random(), random() & 1);
		for (int k = random() % 3000; k > 0; k--)
			io_read(rig->vm, DATA_PORT, 1u << random() % 3);
		poke_ports(rig, DATA_PORT, SELECT, 3);
	}
	settle(rig, disc);
}
END_TEST

/* GET EVENT STATUS NOTIFICATION: what has happened to the disc, and bits: 1 the tray is open, 2 there is a disc. */
static u8 media_event(void)
{
	PACKET(64, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	ck_assert_uint_eq(receive(64), 8);
	return (u8)(data[4] << 4 | data[5]);
}

static void change_disc(struct block *b)
{
	rig_lock(rig);
	ide_change(device_find(rig->vm, "ide"), 1, 0, b);
	rig_unlock(rig);
	disc = b;
}

START_TEST(changed)
{
	struct image other = image_create(40);
	struct ide *ide = device_find(rig->vm, "ide");
	struct ide_drive_view view;

	/* Locked: somebody presses the button, and the guest is told. */
	PACKET(64, 0x1e, 0, 0, 0, 1);
	good();
	ide_view(ide, 1, 0, &view);
	ck_assert(view.locked && !view.tray_open && view.block == disc);
	ide_press_eject(ide, 1, 0);
	ck_assert_uint_eq(media_event(), 0x12);
	/* In the middle of a long read, with data in the buffer and more to be read. */
	PACKET(2048, 0x28, 0, 0, 0, 0, 0, 0, 0, 200);
	ck_assert(in8(rig, CONTROL) & DRQ);
	change_disc(NULL);
	failed(2, 0x3a);
	ide_view(ide, 1, 0, &view);
	ck_assert(view.tray_open && !view.block);
	PACKET(64, 0, 0);
	failed(2, 0x3a);
	ck_assert_uint_eq(media_event(), 0x31);
	PACKET(64, 0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	failed(2, 0x3a);
	/* Another one: the first command that it matters to is told, then it is there. */
	change_disc(image_open(rig, &other, true, false));
	ck_assert_uint_eq(media_event(), 0x22);
	PACKET(64, 0, 0);
	failed(6, 0x28);
	PACKET(64, 0, 0);
	good();
	PACKET(64, 0x25, 0);
	ck_assert_uint_eq(receive(64), 8);
	ck_assert_uint_eq(data[3], 9);
	PACKET(2048, 0x28, 0, 0, 0, 0, 9, 0, 0, 1);
	ck_assert_uint_eq(receive(2048), 2048);
	ck_assert(is_sector(data, 36));
	PACKET(2048, 0x28, 0, 0, 0, 0, 10, 0, 0, 1);
	failed(5, 0x21);
	/* At once, as by the console's change. */
	change_disc(image_open(rig, &image, true, false));
	PACKET(64, 0, 0);
	failed(6, 0x28);
	close(other.fd);
}
END_TEST

Suite *atapi_suite(void)
{
	Suite *s = suite_create("atapi");
	TCase *t = tcase_create("atapi");

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, signature);
	tcase_add_test(t, identify_words);
	tcase_add_test(t, answers);
	tcase_add_test(t, power);
	tcase_add_test(t, read_errors);
	tcase_add_test(t, who_and_what);
	tcase_add_test(t, reading);
	tcase_add_test(t, raw_sectors);
	tcase_add_test(t, contents);
	tcase_add_test(t, tray);
	tcase_add_test(t, changed);
	tcase_add_test(t, dma);
	tcase_add_test(t, no_disc);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, random_guest);
	suite_add_tcase(s, t);
	return s;
}
