/* The MC146818: time in all its formats, setting it, the three interrupts, and what the CMOS RAM tells of the machine. */
#include <check.h>

#include "monitor/devices/rtc.h"
#include "tests/unit/device_harness.h"

#define NOON 1700049599 /* 2023-11-15 11:59:59 UTC, a Wednesday */

static struct rig *rig;
static struct wire irq8;
static struct rtc *rtc;

static u8 reg(u8 n)
{
	out8(rig, 0x70, n);
	return in8(rig, 0x71);
}

static void set_reg(u8 n, u8 v)
{
	out8(rig, 0x70, n);
	out8(rig, 0x71, v);
}

static s64 wall(void)
{
	s64 sec;
	u32 nsec;

	clock_wall(&rig->vm->clock, &sec, &nsec);
	return sec;
}

/* Sets RTC time to `sec`, early within the second so that the test has nearly a second of peace. */
static void set_wall(s64 sec)
{
	s64 now;
	u32 nsec;

	do
		clock_wall(&rig->vm->clock, &now, &nsec);
	while (nsec > 300 * MS);
	rig->vm->clock.rtc_offset_sec += sec - now;
}

static void setup(void)
{
	rig = rig_create();
	/* Seconds are the host's, so time must pass with them. */
	clock_start(&rig->vm->clock);
	irq8 = (struct wire){0};
	rig_lock(rig);
	rtc = rtc_create(rig->vm, wire_irq(&irq8));
	rig_unlock(rig);
}

static void teardown(void)
{
	rig_free(rig);
}

START_TEST(formats)
{
	static const u8 regs[] = {0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x32};
	static const struct {
		u8 b;
		s64 at;
		u8 expect[8];
	} cases[] = {
		{0x02, NOON, {0x59, 0x59, 0x11, 4, 0x15, 0x11, 0x23, 0x20}},
		{0x06, NOON, {59, 59, 11, 4, 15, 11, 23, 20}},
		{0x00, NOON, {0x59, 0x59, 0x11, 4, 0x15, 0x11, 0x23, 0x20}},
		{0x00, NOON + 1, {0x00, 0x00, 0x92, 4, 0x15, 0x11, 0x23, 0x20}},
		{0x04, NOON + 1, {0, 0, 0x8c, 4, 15, 11, 23, 20}},
		{0x00, NOON + 1 + 43200, {0x00, 0x00, 0x12, 5, 0x16, 0x11, 0x23, 0x20}},
		{0x02, 951782400, {0x00, 0x00, 0x00, 3, 0x29, 0x02, 0x00, 0x20}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		set_reg(0x0b, cases[i].b);
		set_wall(cases[i].at);
		for (size_t k = 0; k < ARRAY_SIZE(regs); k++)
			ck_assert_msg(reg(regs[k]) == cases[i].expect[k], "case %zu, register %#x: %#x", i, regs[k], reg(regs[k]));
	}
}
END_TEST

/* The second century byte is the first; the equipment byte has a coprocessor and a mouse. */
START_TEST(for_firmware)
{
	ck_assert_uint_eq(reg(0x37), reg(0x32));
	set_reg(0x37, 0x19);
	ck_assert_uint_eq(reg(0x32), 0x19);
	ck_assert_uint_eq(reg(0x37), 0x19);
	ck_assert_uint_eq(reg(0x14), 0x06);
}
END_TEST

START_TEST(setting)
{
	static const u8 values[][2] = {{0x00, 0x30}, {0x02, 0x45}, {0x04, 0x23}, {0x07, 0x31},
				       {0x08, 0x12}, {0x09, 0x99}, {0x32, 0x19}, {0x06, 6}};

	set_reg(0x0b, 0x82);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		set_reg(values[i][0], values[i][1]);
	ck_assert_uint_eq(reg(0x00), 0x30);
	ck_assert_uint_eq(reg(0x0a) & 0x80, 0);
	set_reg(0x0b, 0x02);
	ck_assert_int_le(wall() - 946683930, 1); /* 1999-12-31 23:45:30 */
	ck_assert_int_ge(wall() - 946683930, 0);
	ck_assert_uint_eq(reg(0x06), 6);
	ck_assert_uint_eq(reg(0x32), 0x19);
	/* Without SET as well, a field at a time. */
	set_wall(NOON);
	set_reg(0x09, 0x24);
	ck_assert_uint_eq(reg(0x09), 0x24);
	ck_assert_uint_eq(reg(0x08), 0x11);
	/* Afternoon on a 12-hour clock, and midnight, which is hour 12 of the morning. */
	set_reg(0x0b, 0x00);
	set_wall(NOON);
	set_reg(0x04, 0x83);
	ck_assert_int_eq(wall() / 3600 % 24, 15);
	ck_assert_uint_eq(reg(0x04), 0x83);
	set_reg(0x04, 0x12);
	ck_assert_int_eq(wall() / 3600 % 24, 0);
	set_reg(0x0b, 0x02);
	ck_assert_uint_eq(reg(0x04), 0x00);
	/* SET without a change leaves the time alone. */
	set_wall(NOON);
	s64 offset = rig->vm->clock.rtc_offset_sec;
	set_reg(0x0b, 0x82);
	set_reg(0x0b, 0x02);
	ck_assert_int_eq(rig->vm->clock.rtc_offset_sec, offset);
}
END_TEST

START_TEST(update_in_progress)
{
	bool seen = false, clear = false;

	/* UIP is up for the last 2.2 ms of every second, and the time does not change under it. */
	for (int i = 0; i < 3000 && !(seen && clear); i++) {
		s64 sec;
		u32 nsec;

		clock_wall(&rig->vm->clock, &sec, &nsec);
		if (reg(0x0a) & 0x80) {
			seen = true;
			ck_assert_uint_ge(nsec, 997 * MS);
		} else {
			clear = true;
		}
		nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
	}
	ck_assert(seen && clear);
}
END_TEST

START_TEST(periodic)
{
	set_reg(0x0a, 0x26); /* 1024 Hz */
	reg(0x0c);
	rig_advance(rig, 10 * MS);
	ck_assert_uint_eq(irq8.rises, 0);
	ck_assert_uint_eq(reg(0x0c) & 0xc0, 0x40); /* the flag is set without the interrupt */
	set_reg(0x0b, 0x42);
	reg(0x0c);
	rig_advance(rig, 1 * MS);
	ck_assert_int_eq(irq8.level, 1);
	ck_assert_uint_eq(reg(0x0c) & 0xc0, 0xc0);
	unsigned taken = 0;

	for (int i = 0; i < 1000; i++) {
		rig_advance(rig, 100 * US);
		if (irq8.level) {
			reg(0x0c);
			taken++;
		}
	}
	ck_assert_uint_ge(taken, 100);
	set_reg(0x0b, 0x02);
	reg(0x0c);
	ck_assert_int_eq(irq8.level, 0);
}
END_TEST

/* Wall time is the host's: an alarm or update cannot be pushed, only waited for. */
static bool wait_irq(int ms)
{
	for (int i = 0; i < ms && !irq8.level; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return irq8.level;
}

START_TEST(update_ended)
{
	reg(0x0c);
	set_reg(0x0b, 0x12);
	ck_assert(wait_irq(1500));
	s64 sec;
	u32 nsec;

	clock_wall(&rig->vm->clock, &sec, &nsec);
	ck_assert_uint_le(nsec, 200 * MS);
	ck_assert_uint_eq(reg(0x0c) & 0x90, 0x90);
	ck_assert_int_eq(irq8.level, 0);
	/* SET takes the enable away. */
	set_reg(0x0b, 0x92);
	ck_assert_uint_eq(reg(0x0b), 0x82);
}
END_TEST

START_TEST(alarm)
{
	set_reg(0x0b, 0x02);
	set_wall(NOON);
	set_reg(0x01, 0x00);
	set_reg(0x03, 0x00);
	set_reg(0x05, 0x12);
	reg(0x0c);
	set_reg(0x0b, 0x22);
	ck_assert_int_eq(irq8.level, 0);
	ck_assert(wait_irq(1500));
	ck_assert_uint_eq(reg(0x0c) & 0xa0, 0xa0);
	ck_assert_int_eq(wall(), NOON + 1);
	/* Any second, any minute, any hour. */
	set_reg(0x01, 0xc0);
	set_reg(0x03, 0xff);
	set_reg(0x05, 0xc5);
	ck_assert(wait_irq(1500));
	reg(0x0c);
	/* A time that does not exist. */
	set_reg(0x01, 0x77);
	reg(0x0c);
	ck_assert(!wait_irq(1200));
}
END_TEST

/* An alarm that is never met is found to be so at once, whatever its other registers let through. */
START_TEST(impossible_alarms)
{
	static const u8 alarms[][3] = {{0x7f, 0xc0, 0xc0}, {0xc0, 0x60, 0xc0}, {0xc0, 0xc0, 0x24}, {0x00, 0x0a, 0x23}, {0x59, 0x59, 0xa3}};
	struct timespec t[2];

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t[0]);
	set_reg(0x0b, 0x22);
	for (unsigned i = 0; i < ARRAY_SIZE(alarms); i++) {
		for (u8 r = 0; r < 3; r++)
			set_reg(1 + 2 * r, alarms[i][r]);
		for (int k = 0; k < 3000; k++)
			reg(0x0c);
		ck_assert_uint_eq(reg(0x0c) & 0x20, 0);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t[1]);
	/* Trying every second of a day would take some of them. */
	ck_assert_int_lt((t[1].tv_sec - t[0].tv_sec) * 1000 + (t[1].tv_nsec - t[0].tv_nsec) / 1000000, 250);
}
END_TEST

START_TEST(cmos)
{
	ck_assert_uint_eq(reg(0x15) | reg(0x16) << 8, 640);
	ck_assert_uint_eq(reg(0x17) | reg(0x18) << 8, 63 << 10);
	ck_assert_uint_eq(reg(0x30) | reg(0x31) << 8, 63 << 10);
	ck_assert_uint_eq(reg(0x34) | reg(0x35) << 8, 48 << 4);
	ck_assert_uint_eq(reg(0x5b) | reg(0x5c) | reg(0x5d), 0);
	unsigned sum = 0;

	for (u8 i = 0x10; i < 0x2e; i++)
		sum += reg(i);
	ck_assert_uint_eq(reg(0x2e) << 8 | reg(0x2f), sum);
	/* What firmware adds counts, too. */
	rig_lock(rig);
	rtc_set_cmos(rtc, 0x2d, 0x5a);
	rig_unlock(rig);
	ck_assert_uint_eq(reg(0x2e) << 8 | reg(0x2f), sum + 0x5a);
	ck_assert_uint_eq(reg(0x0d), 0x80);
	set_reg(0x0d, 0);
	ck_assert_uint_eq(reg(0x0d), 0x80);
	set_reg(0x8f, 0xa5); /* the NMI mask bit is not part of the index */
	ck_assert_uint_eq(reg(0x0f), 0xa5);
	/* A reset keeps it all but the interrupts. */
	set_reg(0x0b, 0x72);
	rig_lock(rig);
	vm_reset_devices(rig->vm);
	rig_unlock(rig);
	ck_assert_uint_eq(reg(0x0f), 0xa5);
	ck_assert_uint_eq(reg(0x0b), 0x02);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct wire w = {0};

	rig_lock(other);
	rtc_create(other->vm, wire_irq(&w));
	rig_unlock(other);
	set_wall(NOON);
	set_reg(0x05, 0x99);
	set_reg(0x50, 0x12);
	set_reg(0x0b, 0x52);
	check_saved_state(rig, other, "rtc");
	ck_assert_int_eq(other->vm->clock.rtc_offset_sec, rig->vm->clock.rtc_offset_sec);
	set_reg(0x0b, 0x82);
	set_reg(0x04, 0x17);
	check_saved_state(rig, other, "rtc");
	rig_free(other);
}
END_TEST

START_TEST(hostile)
{
	poke_ports(rig, 0x70, 0x71, 20000);
}
END_TEST

Suite *rtc_suite(void)
{
	Suite *s = suite_create("rtc");
	TCase *t = tcase_create("rtc");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, formats);
	tcase_add_test(t, setting);
	tcase_add_test(t, for_firmware);
	tcase_add_test(t, update_in_progress);
	tcase_add_test(t, periodic);
	tcase_add_test(t, update_ended);
	tcase_add_test(t, alarm);
	tcase_add_test(t, impossible_alarms);
	tcase_add_test(t, cmos);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, hostile);
	suite_add_tcase(s, t);
	return s;
}
