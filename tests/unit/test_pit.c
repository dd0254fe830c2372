/* The 8254: modes, counts and latches against the clock, and what becomes of ticks that nobody took. */
#include <check.h>

#include "monitor/devices/pic.h"
#include "monitor/devices/pit.h"
#include "tests/unit/device_harness.h"

static struct rig *rig;
static struct pic *pic;
static struct wire intr;

static void init_pic(void)
{
	out8(rig, 0x20, 0x11);
	out8(rig, 0x21, 0x20);
	out8(rig, 0x21, 4);
	out8(rig, 0x21, 1);
	out8(rig, 0x21, 0);
}

static void setup(void)
{
	rig = rig_create();
	intr = (struct wire){0};
	pic = pic_create(rig->vm, wire_irq(&intr));
	rig_lock(rig);
	pit_create(rig->vm, pic);
	rig_unlock(rig);
	init_pic();
}

static void teardown(void)
{
	rig_free(rig);
}

static void program(int n, int mode, bool bcd, u16 count)
{
	out8(rig, 0x43, (u8)(n << 6 | 3 << 4 | mode << 1 | bcd));
	out8(rig, (u16)(0x40 + n), (u8)count);
	out8(rig, (u16)(0x40 + n), (u8)(count >> 8));
}

static u16 count_of(int n)
{
	out8(rig, 0x43, (u8)(n << 6));
	u8 low = in8(rig, (u16)(0x40 + n));

	return (u16)(low | in8(rig, (u16)(0x40 + n)) << 8);
}

static u8 status_of(int n)
{
	out8(rig, 0x43, (u8)(0xe0 | 2 << n));
	return in8(rig, (u16)(0x40 + n));
}

static bool out2(void)
{
	return in8(rig, 0x61) & 0x20;
}

static bool tick_waits(void)
{
	bool waits;

	rig_lock(rig);
	waits = pic_irq_pending(pic, 0);
	rig_unlock(rig);
	return waits;
}

static void take_tick(void)
{
	rig_lock(rig);
	pic_ack(pic);
	rig_unlock(rig);
	out8(rig, 0x20, 0x20);
}

/* Acknowledges every tick for `ns` of vm time, looking every `step`. */
static unsigned count_ticks(u64 ns, u64 step)
{
	u64 start = clock_ns(&rig->vm->clock);
	unsigned n = 0;

	do {
		if (tick_waits()) {
			take_tick();
			n++;
		}
		rig_advance(rig, step);
	} while (clock_ns(&rig->vm->clock) - start < ns);
	return n;
}

START_TEST(counts_are_time)
{
	program(2, 2, false, 0);
	out8(rig, 0x61, 1);
	rig_advance(rig, 10 * MS);
	u64 before = clock_ns(&rig->vm->clock);
	u16 a = count_of(2);
	rig_advance(rig, 20 * MS);
	u16 b = count_of(2);
	u64 ns = clock_ns(&rig->vm->clock) - before;
	u64 ticks = (u16)(a - b);

	/* Within what passes between the readings of the two clocks. */
	ck_assert_uint_le(ticks, ns * PIT_HZ / NS_PER_SEC + 1);
	ck_assert_uint_ge(ticks + 20 * PIT_HZ / 1000, ns * PIT_HZ / NS_PER_SEC);
}
END_TEST

START_TEST(mode0)
{
	out8(rig, 0x61, 1);
	program(2, 0, false, 60000); /* 50.3 ms */
	ck_assert(!out2());
	rig_advance(rig, 30 * MS);
	ck_assert(!out2());
	out8(rig, 0x61, 0); /* the gate holds the count */
	u16 held = count_of(2);
	rig_advance(rig, 100 * MS);
	ck_assert(!out2());
	ck_assert_uint_eq(count_of(2), held);
	out8(rig, 0x61, 1);
	rig_advance(rig, 30 * MS);
	ck_assert(out2());
	rig_advance(rig, 1 * MS);
	ck_assert_uint_gt(count_of(2), 0x4000); /* it goes on below 0 */
	out8(rig, 0x42, 1);			/* the first byte stops it and lowers OUT */
	ck_assert(!out2());
}
END_TEST

START_TEST(mode1)
{
	program(2, 1, false, 60000);
	ck_assert(out2());
	rig_advance(rig, 100 * MS);
	ck_assert(out2());
	ck_assert_uint_eq(status_of(2) & 0x40, 0x40);
	out8(rig, 0x61, 1);
	rig_advance(rig, 10 * MS);
	ck_assert(!out2());
	out8(rig, 0x61, 0);
	rig_advance(rig, 20 * MS);
	out8(rig, 0x61, 1); /* retriggered */
	rig_advance(rig, 40 * MS);
	ck_assert(!out2());
	rig_advance(rig, 20 * MS);
	ck_assert(out2());
}
END_TEST

START_TEST(mode3)
{
	program(2, 3, false, 50001); /* 41.9 ms: high for 25001 clocks, low for 25000 */
	ck_assert(out2());
	out8(rig, 0x61, 1);
	rig_advance(rig, 10 * MS);
	ck_assert(out2());
	ck_assert_uint_eq(count_of(2) & 1, 0);
	rig_advance(rig, 20 * MS);
	ck_assert(!out2());
	rig_advance(rig, 20 * MS);
	ck_assert(out2());
	rig_advance(rig, 20 * MS);
	ck_assert(!out2());
	out8(rig, 0x61, 0);
	ck_assert(out2());
}
END_TEST

START_TEST(modes_4_and_5)
{
	program(0, 4, false, 24000); /* 20.1 ms; the strobe ends one clock later */
	take_tick();
	rig_advance(rig, 15 * MS);
	ck_assert(!tick_waits());
	rig_advance(rig, 10 * MS);
	ck_assert(tick_waits());
	take_tick();
	rig_advance(rig, 500 * MS);
	ck_assert(!tick_waits());
	/* Another count starts it again, without a control word. */
	out8(rig, 0x40, 0xff);
	out8(rig, 0x40, 0x10);
	rig_advance(rig, 5 * MS);
	ck_assert(tick_waits());

	program(2, 5, false, 1000);
	ck_assert(out2());
	out8(rig, 0x61, 1);
	rig_advance(rig, 1 * MS);
	ck_assert(out2());
	ck_assert_uint_gt(count_of(2), 1000); /* past 0 */
}
END_TEST

START_TEST(reload_at_end_of_period)
{
	out8(rig, 0x61, 1);
	program(2, 2, false, 60000);
	rig_advance(rig, 10 * MS);
	out8(rig, 0x42, 0x64);
	out8(rig, 0x42, 0x00);
	ck_assert_uint_eq(status_of(2) & 0x40, 0x40);
	ck_assert_uint_gt(count_of(2), 100);
	rig_advance(rig, 50 * MS);
	ck_assert_uint_eq(status_of(2) & 0x40, 0);
	for (int i = 0; i < 50; i++) {
		u16 c = count_of(2);

		ck_assert(c >= 1 && c <= 100);
	}
}
END_TEST

START_TEST(bcd_and_latches)
{
	program(2, 4, true, 0x0000);
	out8(rig, 0x61, 1);
	rig_advance(rig, 1 * MS);
	u16 c = count_of(2);

	for (int i = 0; i < 16; i += 4)
		ck_assert_uint_le(c >> i & 15, 9);
	ck_assert_uint_lt(c, 0x9000);
	/* Latched once, it does not move; status comes before count. */
	out8(rig, 0x43, 0xc8);
	rig_advance(rig, 2 * MS);
	out8(rig, 0x43, 0x80);
	ck_assert_uint_eq(in8(rig, 0x42), 0x80 | 0x30 | 4 << 1 | 1);
	u8 low = in8(rig, 0x42);
	u16 latched = (u16)(low | in8(rig, 0x42) << 8);

	ck_assert_uint_gt(latched, count_of(2));

	/* One-byte access. */
	out8(rig, 0x43, 0x94);
	out8(rig, 0x42, 200);
	for (int i = 0; i < 50; i++)
		ck_assert_uint_le(in8(rig, 0x42), 200);
	out8(rig, 0x43, 0xa4);
	out8(rig, 0x42, 2);
	for (int i = 0; i < 50; i++)
		ck_assert_uint_le(in8(rig, 0x42), 2);
	ck_assert_uint_eq(in8(rig, 0x43), 0xff);
}
END_TEST

START_TEST(port61)
{
	out8(rig, 0x61, 0xff);
	ck_assert_uint_eq(in8(rig, 0x61) & 0xcf, 0x0f);
	int changes = 0;
	u8 last = in8(rig, 0x61) & 0x10;

	for (int i = 0; i < 20; i++) {
		rig_advance(rig, 15 * US);
		u8 now = in8(rig, 0x61) & 0x10;

		changes += now != last;
		last = now;
	}
	ck_assert_int_gt(changes, 0);
}
END_TEST

START_TEST(ticks_do_not_drift)
{
	program(0, 2, false, 11932); /* 100 Hz */
	unsigned n = count_ticks(2 * NS_PER_SEC, 1 * MS);

	ck_assert_uint_ge(n, 197);
	ck_assert_uint_le(n, 202);
}
END_TEST

START_TEST(missed_ticks_are_owed)
{
	program(0, 2, false, 11932);
	count_ticks(100 * MS, 1 * MS);
	/* Half a second away: 50 ticks, one of which waits in the PIC. */
	rig_advance(rig, 500 * MS);
	unsigned fast = count_ticks(200 * MS, 1 * MS);

	/* At most twice the rate, and more than the rate. */
	ck_assert_uint_le(fast, 43);
	ck_assert_uint_ge(fast, 28);
	unsigned rest = count_ticks(800 * MS, 1 * MS);

	ck_assert_uint_ge(fast + rest, 145);
	ck_assert_uint_le(fast + rest, 153);
}
END_TEST

START_TEST(old_debts_are_forgotten)
{
	program(0, 2, false, 11932);
	rig_advance(rig, 3600 * NS_PER_SEC);
	unsigned n = count_ticks(3 * NS_PER_SEC, 2 * MS);

	ck_assert_uint_ge(n, 380);
	ck_assert_uint_le(n, 406);
}
END_TEST

START_TEST(masked_ticks_are_lost)
{
	program(0, 2, false, 11932);
	out8(rig, 0x21, 1);
	for (int i = 0; i < 50; i++)
		rig_advance(rig, 10 * MS);
	out8(rig, 0x21, 0);
	unsigned n = count_ticks(100 * MS, 1 * MS);

	ck_assert_uint_le(n, 13);
}
END_TEST

/* Each digit, and each value that mode 3 counts: by twos, never 0. */
START_TEST(digits_and_halves)
{
	static const u16 counts[] = {0x1987, 0x0606, 0x4040, 0x9009};
	bool seen[11] = {0};

	out8(rig, 0x61, 0);
	for (unsigned k = 0; k < ARRAY_SIZE(counts); k++) {
		program(2, 0, true, counts[k]);
		ck_assert_uint_eq(count_of(2), counts[k]);
	}
	out8(rig, 0x61, 1);
	program(2, 3, false, 10);
	rig_advance(rig, 10 * US);
	for (int i = 0; i < 400; i++) {
		u16 n = count_of(2);

		ck_assert(n >= 2 && n <= 10 && n % 2 == 0);
		seen[n] = true;
		rig_advance(rig, 211);
	}
	for (unsigned n = 2; n <= 10; n += 2)
		ck_assert(seen[n]);
}
END_TEST

START_TEST(fastest_rate)
{
	/* A count of 1 must neither hang the event loop nor flood the guest. */
	program(0, 2, false, 1);
	unsigned n = count_ticks(5 * MS, 10 * US);

	ck_assert_uint_le(n, 270);
	program(0, 0, false, 1);
	rig_advance(rig, 1 * MS);
	ck_assert(tick_waits());
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct wire w = {0};
	struct pic *p = pic_create(other->vm, wire_irq(&w));

	rig_lock(other);
	pit_create(other->vm, p);
	rig_unlock(other);
	program(0, 2, false, 4000);
	program(2, 3, true, 0x1234);
	out8(rig, 0x61, 1);
	rig_advance(rig, 1 * MS);
	out8(rig, 0x42, 0x99); /* half a count */
	out8(rig, 0x43, 0x80);
	in8(rig, 0x42); /* half a latch */
	check_saved_state(rig, other, "pit");
	rig_free(other);
}
END_TEST

START_TEST(hostile)
{
	poke_ports(rig, 0x40, 0x43, 20000);
	poke_ports(rig, 0x61, 0x61, 1000);
}
END_TEST

Suite *pit_suite(void)
{
	Suite *s = suite_create("pit");
	TCase *t = tcase_create("pit");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, counts_are_time);
	tcase_add_test(t, mode0);
	tcase_add_test(t, mode1);
	tcase_add_test(t, mode3);
	tcase_add_test(t, modes_4_and_5);
	tcase_add_test(t, reload_at_end_of_period);
	tcase_add_test(t, bcd_and_latches);
	tcase_add_test(t, port61);
	tcase_add_test(t, ticks_do_not_drift);
	tcase_add_test(t, missed_ticks_are_owed);
	tcase_add_test(t, old_debts_are_forgotten);
	tcase_add_test(t, masked_ticks_are_lost);
	tcase_add_test(t, digits_and_halves);
	tcase_add_test(t, fastest_rate);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, hostile);
	suite_add_tcase(s, t);
	return s;
}
