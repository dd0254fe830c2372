/* The DMA controllers as the 8237A data sheet has them, with a PC's page registers. */
#include "monitor/devices/dma8237.h"
#include "tests/unit/device_harness.h"

static struct rig *rig;
static struct dma8237 *dma;
static u8 *ram;
static int readies;

static void setup(void)
{
	rig = rig_create();
	dma = dma8237_create(rig->vm);
	ram = rig->vm->mem.ram;
	readies = 0;
}

static void teardown(void)
{
	rig_free(rig);
}

/* Channel 0..3 */
static void program(unsigned channel, u8 mode, u32 addr, u16 count)
{
	static const u8 pages[4] = {0x87, 0x83, 0x81, 0x82};

	out8(rig, 0x0a, (u8)(4 | channel));
	out8(rig, 0x0c, 0);
	out8(rig, 0x0b, (u8)(mode | channel));
	out8(rig, (u16)(2 * channel), (u8)addr);
	out8(rig, (u16)(2 * channel), (u8)(addr >> 8));
	out8(rig, pages[channel], (u8)(addr >> 16));
	out8(rig, (u16)(2 * channel + 1), (u8)count);
	out8(rig, (u16)(2 * channel + 1), count >> 8);
	out8(rig, 0x0a, (u8)channel);
}

static u32 transfer(unsigned channel, u8 *buf, u32 n, bool *tc)
{
	u32 got;

	rig_lock(rig);
	got = dma8237_transfer(dma, channel, buf, n, tc);
	rig_unlock(rig);
	return got;
}

static u16 read16(u16 port)
{
	u8 low = in8(rig, port);

	return (u16)(low | in8(rig, port) << 8);
}

START_TEST(to_memory)
{
	u8 buf[600];
	bool tc;

	for (unsigned k = 0; k < sizeof(buf); k++)
		buf[k] = (u8)(k * 7 + 1);
	program(2, 0x44, 0x123f00, 511);
	ck_assert_uint_eq(transfer(2, buf, 100, &tc), 100);
	ck_assert(!tc);
	ck_assert_uint_eq(read16(4), 0x3f64);
	ck_assert_uint_eq(read16(5), 411);
	/* The address stays within its 64 KiB; the channel stops at its count. */
	ck_assert_uint_eq(transfer(2, buf + 100, 500, &tc), 412);
	ck_assert(tc);
	ck_assert_mem_eq(ram + 0x123f00, buf, 512);
	ck_assert_uint_eq(ram[0x123f00 + 512], 0);
	ck_assert_uint_eq(in8(rig, 0x08), 0x04);
	ck_assert_uint_eq(in8(rig, 0x08), 0x00);
	ck_assert_uint_eq(read16(5), 0xffff);
	/* And has masked itself. */
	ck_assert_uint_eq(in8(rig, 0x0f) & 4, 4);
	ck_assert_uint_eq(transfer(2, buf, 10, &tc), 0);
}
END_TEST

START_TEST(page_wraps)
{
	u8 buf[4] = {1, 2, 3, 4};
	bool tc;

	program(1, 0x44, 0x2fffe, 3);
	transfer(1, buf, 4, &tc);
	ck_assert(ram[0x2fffe] == 1 && ram[0x2ffff] == 2 && ram[0x20000] == 3 && ram[0x20001] == 4 && ram[0x30000] == 0);
}
END_TEST

START_TEST(modes)
{
	u8 buf[16] = {0};
	bool tc;

	for (unsigned k = 0; k < 16; k++)
		ram[0x5000 + k] = (u8)(0x40 + k);
	program(2, 0x48, 0x5000, 15);
	ck_assert_uint_eq(transfer(2, buf, 16, &tc), 16);
	ck_assert(tc && buf[0] == 0x40 && buf[15] == 0x4f);
	/* Downwards */
	program(2, 0x68, 0x500f, 3);
	transfer(2, buf, 16, &tc);
	ck_assert(tc && buf[0] == 0x4f && buf[3] == 0x4c && buf[4] == 0x44);
	/* Verify counts, and that is all. */
	memset(buf, 0x99, sizeof(buf));
	program(2, 0x40, 0x5000, 7);
	ck_assert_uint_eq(transfer(2, buf, 16, &tc), 8);
	ck_assert(tc && ram[0x5000] == 0x40 && buf[0] == 0x99);
	/* Reloading itself it goes on. */
	program(2, 0x54, 0x6000, 3);
	ck_assert_uint_eq(transfer(2, buf, 16, &tc), 4);
	ck_assert(tc);
	ck_assert_uint_eq(read16(5), 3);
	ck_assert_uint_eq(read16(4), 0x6000);
	ck_assert_uint_eq(transfer(2, buf, 2, &tc), 2);
	ck_assert(!tc);
	/* Memory that is not there */
	program(2, 0x44, 0xff0000, 15);
	ck_assert_uint_eq(transfer(2, buf, 16, &tc), 16);
}
END_TEST

/* Each channel has its own page register. */
START_TEST(pages)
{
	u8 byte;
	bool tc;

	for (unsigned n = 0; n < 4; n++)
		program(n, 0x44, 0x100000 * (n + 1) + 0x50000 + n, 0);
	for (unsigned n = 0; n < 4; n++) {
		byte = (u8)(0x80 + n);
		ck_assert_uint_eq(transfer(n, &byte, 1, &tc), 1);
		ck_assert_uint_eq(ram[0x100000 * (n + 1) + 0x50000 + n], 0x80 + n);
		/* It has masked itself, and no other. */
		ck_assert_uint_eq(in8(rig, 0x0f), 0xf0 | ((2u << n) - 1));
	}
}
END_TEST

START_TEST(words)
{
	u8 buf[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	bool tc;

	out8(rig, 0xd4, 5);
	out8(rig, 0xd8, 0);
	out8(rig, 0xd6, 0x45);
	out8(rig, 0xc4, 0x00);
	out8(rig, 0xc4, 0x80); /* word address 8000h: byte 10000h of the 128 KiB */
	out8(rig, 0x8b, 0x13); /* the lowest bit does not count */
	out8(rig, 0xc6, 3);
	out8(rig, 0xc6, 0);
	out8(rig, 0xd4, 1);
	ck_assert_uint_eq(transfer(5, buf, 8, &tc), 8);
	ck_assert(tc);
	ck_assert_mem_eq(ram + 0x130000, buf, 8);
	ck_assert_uint_eq(in8(rig, 0xd0), 0x02);
}
END_TEST

static void ready(void *opaque)
{
	(void)opaque;
	readies++;
}

START_TEST(masks)
{
	u8 buf[4];
	bool tc;

	dma8237_attach(dma, 2, ready, NULL);
	program(2, 0x44, 0x1000, 100);
	rig_lock(rig);
	dma8237_request(dma, 2, true);
	rig_unlock(rig);
	ck_assert_uint_eq(in8(rig, 0x08) & 0x40, 0x40);
	out8(rig, 0x0a, 6);
	readies = 0;
	out8(rig, 0x0a, 1);
	ck_assert_int_eq(readies, 0);
	ck_assert_uint_eq(transfer(2, buf, 4, &tc), 0);
	out8(rig, 0x0a, 2);
	ck_assert_int_eq(readies, 1);
	/* The controller off, and the cascade masked. */
	out8(rig, 0x08, 4);
	ck_assert_uint_eq(transfer(2, buf, 4, &tc), 0);
	out8(rig, 0x08, 0);
	out8(rig, 0xd4, 4);
	ck_assert_uint_eq(transfer(2, buf, 4, &tc), 0);
	out8(rig, 0xd4, 0);
	ck_assert_uint_eq(transfer(2, buf, 4, &tc), 4);
	/* Master clear masks all and resets the flip-flop. */
	out8(rig, 0x04, 0x11);
	out8(rig, 0x0d, 0);
	ck_assert_uint_eq(in8(rig, 0x0f), 0xff);
	out8(rig, 0x04, 0x34);
	out8(rig, 0x04, 0x12);
	ck_assert_uint_eq(read16(4), 0x1234);
	out8(rig, 0x0e, 0);
	ck_assert_uint_eq(in8(rig, 0x0f), 0xf0);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();

	dma8237_create(other->vm);
	for (unsigned n = 0; n < 4; n++)
		program(n, 0x54, 0x123456, 0x789a);
	out8(rig, 0x04, 0x11);
	/* Port 80h and the page registers that no channel uses hold what is written. */
	for (u16 p = 0x80; p <= 0x8f; p++)
		out8(rig, p, (u8)(p + 1));
	check_saved_state(rig, other, "dma8237");
	for (u16 p = 0x80; p <= 0x8f; p++)
		ck_assert_uint_eq(in8(other, p), p + 1);
	rig_free(other);
	poke_ports(rig, 0x00, 0x0f, 20000);
	poke_ports(rig, 0xc0, 0xdf, 20000);
}
END_TEST

Suite *dma8237_suite(void)
{
	Suite *s = suite_create("dma8237");
	TCase *t = tcase_create("dma8237");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, to_memory);
	tcase_add_test(t, page_wraps);
	tcase_add_test(t, modes);
	tcase_add_test(t, pages);
	tcase_add_test(t, words);
	tcase_add_test(t, masks);
	tcase_add_test(t, saved_state);
	suite_add_tcase(s, t);
	return s;
}
