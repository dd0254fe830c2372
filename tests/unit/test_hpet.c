/* The HPET: the main counter, matches, periods, lines with and without legacy replacement. IA-PC HPET specification 1.0a. */
#include <check.h>

#include "monitor/devices/hpet.h"
#include "monitor/devices/ioapic.h"
#include "monitor/devices/lapic.h"
#include "monitor/devices/pic.h"
#include "monitor/devices/pit.h"
#include "tests/unit/device_harness.h"

enum { CAPS = 0x00, CONFIG = 0x10, STATUS = 0x20, COUNTER = 0xf0, ENABLE = 1, LEGACY = 2 };
enum { T_LEVEL = 2, T_ENABLE = 4, T_PERIODIC = 8, T_SET = 0x40, T_32 = 0x100, T_ROUTE2 = 2 << 9 };
#define CONF(n)	  (0x100 + 0x20 * (n))
#define COMP(n)	  (0x108 + 0x20 * (n))
#define TICKS(ns) ((ns) / HPET_TICK_NS)

static struct rig *rig;
static struct wire isa8, intr_pin, nmi_pin;
static struct lapic *lapic;
static struct hpet *hpet;

static void build(struct rig *r)
{
	struct pic *pic;
	struct pit *pit;
	struct ioapic *ioapic;

	lapic = lapic_create(r->vm, wire_irq(&intr_pin), wire_irq(&nmi_pin));
	pic = pic_create(r->vm, lapic_lint0(lapic));
	lapic_set_pic(lapic, pic);
	ioapic = ioapic_create(r->vm, lapic, pic);
	pit = pit_create(r->vm, pic);
	pit_set_ioapic(pit, ioapic);
	hpet = hpet_create(r->vm, ioapic, pit, wire_irq(&isa8));
}

static u32 in(unsigned reg)
{
	return mmio_read(rig->vm, HPET_BASE + reg, 4);
}

static void out(unsigned reg, u32 value)
{
	mmio_write(rig->vm, HPET_BASE + reg, value, 4);
}

/* Input 2 of the I/O APIC: the tick's. */
static void route(u32 low)
{
	mmio_write(rig->vm, IOAPIC_BASE, 0x10 + 2 * 2, 4);
	mmio_write(rig->vm, IOAPIC_BASE + 0x10, low, 4);
}

static void setup(void)
{
	rig = rig_create();
	isa8 = intr_pin = nmi_pin = (struct wire){0};
	build(rig);
	mmio_write(rig->vm, LAPIC_BASE + 0xf0, 0x1ff, 4);
	mmio_write(rig->vm, LAPIC_BASE + 0x350, 0x10000, 4);
	route(0x42);
}

static void teardown(void)
{
	rig_free(rig);
}

/* Takes an interrupt and ends it; its vector or -1. */
static int take(void)
{
	int vector;

	rig_lock(rig);
	vector = lapic_ack(lapic);
	rig_unlock(rig);
	if (vector >= 0)
		mmio_write(rig->vm, LAPIC_BASE + 0xb0, 0, 4);
	return vector;
}

static void rtc(int level)
{
	struct irq irq = hpet_rtc_irq(hpet);

	rig_lock(rig);
	irq_set(&irq, level);
	rig_unlock(rig);
}

START_TEST(after_reset)
{
	ck_assert_uint_eq(in(CAPS), 0x8086a201);
	ck_assert_uint_eq(in(CAPS + 4), 10000000);
	ck_assert_uint_eq(in(CONFIG), 0);
	for (int n = 0; n < 3; n++) {
		ck_assert_uint_eq(in(CONF(n)), 0x30);
		ck_assert_uint_eq(in(CONF(n) + 4), 4);
		ck_assert_uint_eq(in(COMP(n)), 0xffffffff);
		ck_assert_uint_eq(in(COMP(n) + 4), 0xffffffff);
	}
	ck_assert_uint_eq(in(CONF(3)), 0);
	ck_assert_uint_eq(mmio_read(rig->vm, HPET_BASE + 3, 1), 0x80);
	out(CAPS, 0);
	ck_assert_uint_eq(in(CAPS), 0x8086a201);
}
END_TEST

START_TEST(counter)
{
	rig_advance(rig, 5 * MS);
	ck_assert_uint_eq(in(COUNTER), 0);
	out(COUNTER, 0xffffffff);
	out(COUNTER + 4, 7);
	out(CONFIG, ENABLE);
	rig_advance(rig, 10);
	ck_assert_uint_eq(in(COUNTER), 0);
	ck_assert_uint_eq(in(COUNTER + 4), 8);
	rig_advance(rig, MS);
	ck_assert_uint_eq(in(COUNTER), TICKS(MS));
	out(COUNTER, 1); /* it runs */
	ck_assert_uint_eq(in(COUNTER), TICKS(MS));
	out(CONFIG, 0);
	rig_advance(rig, MS);
	ck_assert_uint_eq(in(COUNTER), TICKS(MS));
	out(CONFIG, ENABLE);
	rig_advance(rig, MS);
	ck_assert_uint_eq(in(COUNTER), TICKS(2 * MS));
}
END_TEST

START_TEST(one_shot)
{
	out(CONFIG, ENABLE | LEGACY);
	out(CONF(0), T_ENABLE | T_32);
	ck_assert_uint_eq(in(COMP(0) + 4), 0);
	out(COMP(0), TICKS(3 * MS));
	rig_advance(rig, 3 * MS - 10);
	ck_assert_int_eq(take(), -1);
	rig_advance(rig, 10);
	ck_assert_int_eq(take(), 0x42);
	ck_assert_uint_eq(in(STATUS), 0);
	rig_advance(rig, 100 * MS);
	ck_assert_int_eq(take(), -1);
	/* 32 bits come around, even after a comparator that was late. */
	out(COMP(0), in(COUNTER)-1);
	rig_advance(rig, 42000 * MS);
	ck_assert_int_eq(take(), -1);
	rig_advance(rig, 950 * MS);
	ck_assert_int_eq(take(), 0x42);
	/* What the counter is at now has been reached. */
	out(COMP(0), in(COUNTER));
	rig_advance(rig, 0);
	ck_assert_int_eq(take(), 0x42);
	out(COMP(0), in(COUNTER) + 100);
	out(CONF(0), 0);
	rig_advance(rig, MS);
	ck_assert_int_eq(take(), -1);
}
END_TEST

START_TEST(one_shot_64)
{
	out(COUNTER, 0xffffff00);
	out(CONFIG, ENABLE | LEGACY);
	out(CONF(0), T_ENABLE);
	out(COMP(0), 0x100);
	out(COMP(0) + 4, 1);
	rig_advance(rig, 0x1ff * 10);
	ck_assert_int_eq(take(), -1);
	rig_advance(rig, 10);
	ck_assert_int_eq(take(), 0x42);
	out(COMP(0), 0);
	rig_advance(rig, 100000 * MS);
	ck_assert_int_eq(take(), -1);
}
END_TEST

START_TEST(periodic)
{
	out(CONFIG, ENABLE | LEGACY);
	out(CONF(0), T_ENABLE | T_PERIODIC | T_SET | T_32);
	out(COMP(0), TICKS(5 * MS));
	ck_assert_uint_eq(in(CONF(0)), T_ENABLE | T_PERIODIC | T_32 | 0x30);
	out(COMP(0), TICKS(2 * MS)); /* only the period now */
	ck_assert_uint_eq(in(COMP(0)), TICKS(5 * MS));
	rig_advance(rig, 5 * MS);
	ck_assert_int_eq(take(), 0x42);
	ck_assert_uint_eq(in(COMP(0)), TICKS(7 * MS));
	for (int i = 0; i < 5; i++) {
		rig_advance(rig, 2 * MS - 10);
		ck_assert_int_eq(take(), -1);
		rig_advance(rig, 10);
		ck_assert_int_eq(take(), 0x42);
	}
	/* Missed ones are merged. */
	rig_advance(rig, 11 * MS);
	ck_assert_int_eq(take(), 0x42);
	ck_assert_int_eq(take(), -1);
	ck_assert_uint_eq(in(COMP(0)), TICKS(27 * MS));
	rig_advance(rig, MS);
	ck_assert_int_eq(take(), 0x42);
	rig_advance(rig, MS);
	/* One write with VAL_SET_CNF is both; so short a period is merged. */
	out(CONF(0), T_ENABLE | T_PERIODIC | T_SET | T_32);
	out(COMP(0), in(COUNTER) + 1);
	out(COMP(0), 1);
	rig_advance(rig, 100);
	ck_assert_int_eq(take(), 0x42);
	rig_advance(rig, 10000);
	ck_assert_int_eq(take(), -1);
	rig_advance(rig, 10000);
	ck_assert_int_eq(take(), 0x42);
	/* Without a period: once. */
	out(CONF(0), T_ENABLE | T_PERIODIC | T_SET | T_32);
	out(COMP(0), in(COUNTER) + 10);
	out(COMP(0), 0);
	rig_advance(rig, MS);
	ck_assert_int_eq(take(), 0x42);
	rig_advance(rig, MS);
	ck_assert_int_eq(take(), -1);
}
END_TEST

START_TEST(level)
{
	route(0x8042 | 0x10000);
	out(CONF(2), T_ENABLE | T_LEVEL | T_ROUTE2);
	ck_assert_uint_eq(in(CONF(2)), T_ENABLE | T_LEVEL | T_ROUTE2 | 0x30);
	out(CONF(2), T_ENABLE | T_LEVEL | 5 << 9); /* there is no such route */
	ck_assert_uint_eq(in(CONF(2)), T_ENABLE | T_LEVEL | T_ROUTE2 | 0x30);
	out(COMP(2), TICKS(MS));
	out(COMP(2) + 4, 0);
	/* The 8254 holds this input as well: it is to be low. */
	out8(rig, 0x43, 0x30);
	out(CONFIG, ENABLE);
	route(0x8042);
	rig_advance(rig, MS);
	ck_assert_uint_eq(in(STATUS), 4);
	ck_assert_int_eq(take(), 0x42);
	ck_assert_int_eq(take(), 0x42); /* still */
	out(STATUS, 3);
	ck_assert_uint_eq(in(STATUS), 4);
	out(STATUS, 4);
	ck_assert_uint_eq(in(STATUS), 0);
	take();
	ck_assert_int_eq(take(), -1);
	/* Without its interrupt enabled the status says it all the same. */
	out(CONF(2), T_LEVEL | T_ROUTE2);
	out(COMP(2), in(COUNTER) + 10);
	rig_advance(rig, MS);
	ck_assert_int_eq(take(), -1);
	ck_assert_uint_eq(in(STATUS), 4);
	out(CONF(2), T_ENABLE | T_LEVEL | T_ROUTE2);
	ck_assert_int_eq(take(), 0x42);
	out(CONFIG, 0); /* none of them interrupts */
	take();
	ck_assert_int_eq(take(), -1);
	out(CONF(2), T_ENABLE | T_ROUTE2);
	ck_assert_uint_eq(in(STATUS), 0);
}
END_TEST

/* Timer 0 has the 8254's line, timer 1 the clock's; both come back. */
START_TEST(legacy_replacement)
{
	rig_advance(rig, 60 * MS);
	ck_assert_int_eq(take(), 0x42); /* 18.2 Hz */
	rtc(1);
	ck_assert_int_eq(isa8.level, 1);
	out(CONFIG, ENABLE | LEGACY);
	ck_assert_int_eq(isa8.level, 0);
	take();
	rig_advance(rig, 200 * MS);
	ck_assert_int_eq(take(), -1);
	rtc(0);
	rtc(1);
	ck_assert_int_eq(isa8.level, 0);
	isa8.rises = 0;
	out(CONF(1), T_ENABLE | T_32);
	out(COMP(1), in(COUNTER) + TICKS(MS));
	rig_advance(rig, MS);
	ck_assert_uint_eq(isa8.rises, 1);
	out(COMP(1), in(COUNTER) + TICKS(MS));
	rig_advance(rig, MS);
	ck_assert_uint_eq(isa8.rises, 2);
	out(CONFIG, LEGACY); /* halted: it still has the lines */
	rig_advance(rig, 200 * MS);
	ck_assert_int_eq(take(), -1);
	ck_assert_int_eq(isa8.level, 0);
	out(CONFIG, 0);
	ck_assert_int_eq(isa8.level, 1);
	take();
	rig_advance(rig, 60 * MS);
	ck_assert_int_eq(take(), 0x42);
	ck_assert_int_eq(take(), -1); /* none is owed */
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	int vector;

	out(CONFIG, ENABLE | LEGACY);
	out(CONF(0), T_ENABLE | T_PERIODIC | T_SET | T_32);
	out(COMP(0), TICKS(2 * MS));
	out(CONF(1), T_LEVEL);
	out(COMP(1), TICKS(MS));
	out(COMP(1) + 4, 0);
	rtc(1);
	rig_advance(rig, MS);
	build(other);
	rig_lock(other);
	other->vm->clock.offset_ns = rig->vm->clock.offset_ns;
	rig_unlock(other);
	check_saved_state(rig, other, "pit");
	check_saved_state(rig, other, "hpet");
	rig_lock(other);
	other->vm->clock.offset_ns = rig->vm->clock.offset_ns;
	rig_unlock(other);
	mmio_write(other->vm, LAPIC_BASE + 0xf0, 0x1ff, 4);
	mmio_write(other->vm, IOAPIC_BASE, 0x14, 4);
	mmio_write(other->vm, IOAPIC_BASE + 0x10, 0x43, 4);
	rig_advance(other, MS);
	ck_assert_uint_eq(mmio_read(other->vm, HPET_BASE + COUNTER, 4), TICKS(2 * MS));
	ck_assert_uint_eq(mmio_read(other->vm, HPET_BASE + STATUS, 4), 2);
	rig_lock(other);
	vector = lapic_ack(lapic);
	rig_unlock(other);
	ck_assert_int_eq(vector, 0x43);
	rig_free(other);
}
END_TEST

START_TEST(hostile)
{
	srandom(7);
	for (int i = 0; i < 200000; i++) {
		static const u16 regs[] = {CONFIG,	STATUS,	 COUNTER, COUNTER + 4, CONF(0), COMP(0),
					   COMP(0) + 4, CONF(1), COMP(1), CONF(2),     COMP(2), 0x170};
		u64 at = HPET_BASE + (random() % 8 ? regs[(size_t)random() % ARRAY_SIZE(regs)] : (u64)random() % HPET_SIZE);
		unsigned size = random() % 8 ? 4 : 1u << random() % 2;

		if (at + size > HPET_BASE + HPET_SIZE)
			continue;
		if (random() & 3)
			mmio_write(rig->vm, at, random() & 1 ? (u32)random() : (u32)random() & 0x57f, size);
		else
			mmio_read(rig->vm, at, size);
		if (i % 64 == 0)
			take();
		if (i % 2000 == 0)
			rig_advance(rig, (u64)random() % (20 * MS));
	}
}
END_TEST

Suite *hpet_suite(void)
{
	Suite *s = suite_create("hpet");
	TCase *t = tcase_create("hpet");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, after_reset);
	tcase_add_test(t, counter);
	tcase_add_test(t, one_shot);
	tcase_add_test(t, one_shot_64);
	tcase_add_test(t, periodic);
	tcase_add_test(t, level);
	tcase_add_test(t, legacy_replacement);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, hostile);
	suite_add_tcase(s, t);
	return s;
}
