/* The 8259A pair: initialisation, priorities, every way to end an interrupt, level and edge, spurious requests, polling. */
#include <check.h>

#include "monitor/devices/pic.h"
#include "tests/unit/device_harness.h"

static struct rig *rig;
static struct pic *pic;
static struct wire intr;

static void init_pair(u8 icw1, u8 icw4)
{
	static const u16 base[2] = {0x20, 0xa0};

	for (int i = 0; i < 2; i++) {
		out8(rig, base[i], icw1);
		out8(rig, base[i] + 1, i ? 0x28 : 0x20);
		out8(rig, base[i] + 1, i ? 2 : 4);
		out8(rig, base[i] + 1, icw4);
		out8(rig, base[i] + 1, 0);
	}
}

static void setup(void)
{
	rig = rig_create();
	intr = (struct wire){0};
	pic = pic_create(rig->vm, wire_irq(&intr));
	init_pair(0x11, 0x01);
}

static void teardown(void)
{
	rig_free(rig);
}

static void line(int n, int level)
{
	struct irq irq = pic_irq(pic, n);

	irq_set(&irq, level);
}

static void pulse(int n)
{
	line(n, 1);
	line(n, 0);
}

START_TEST(vectors)
{
	for (int n = 0; n < 16; n++) {
		if (n == 2)
			continue;
		pulse(n);
		ck_assert_int_eq(intr.level, 1);
		ck_assert_int_eq(pic_ack(pic), 0x20 + n);
		ck_assert_int_eq(intr.level, 0);
		if (n >= 8)
			out8(rig, 0xa0, 0x20);
		out8(rig, 0x20, 0x20);
	}
}
END_TEST

START_TEST(priorities_nest)
{
	pulse(5);
	ck_assert_int_eq(pic_ack(pic), 0x25);
	pulse(6);
	ck_assert_int_eq(intr.level, 0);
	pulse(10);
	ck_assert_int_eq(intr.level, 1);
	ck_assert_int_eq(pic_ack(pic), 0x2a);
	/* A second, more urgent request of the slave waits for the master's EOI, and is not lost. */
	pulse(8);
	ck_assert_int_eq(intr.level, 0);
	out8(rig, 0xa0, 0x20);
	out8(rig, 0x20, 0x20);
	ck_assert_int_eq(intr.level, 1);
	ck_assert_int_eq(pic_ack(pic), 0x28);
	out8(rig, 0xa0, 0x20);
	out8(rig, 0x20, 0x20);
	ck_assert_int_eq(intr.level, 0);
	out8(rig, 0x20, 0x65);
	ck_assert_int_eq(pic_ack(pic), 0x26);
}
END_TEST

START_TEST(special_fully_nested)
{
	init_pair(0x11, 0x11);
	pulse(10);
	ck_assert_int_eq(pic_ack(pic), 0x2a);
	pulse(11);
	ck_assert_int_eq(intr.level, 0);
	pulse(9);
	ck_assert_int_eq(intr.level, 1);
	ck_assert_int_eq(pic_ack(pic), 0x29);
}
END_TEST

START_TEST(masks)
{
	out8(rig, 0x21, 0x10);
	ck_assert_uint_eq(in8(rig, 0x21), 0x10);
	line(4, 1);
	ck_assert_int_eq(intr.level, 0);
	ck_assert(pic_irq_masked(pic, 4) && pic_irq_pending(pic, 4));
	out8(rig, 0x21, 0);
	ck_assert_int_eq(intr.level, 1);
	ck_assert_int_eq(pic_ack(pic), 0x24);
	ck_assert(!pic_irq_pending(pic, 4));
	out8(rig, 0x21, 0x04);
	ck_assert(pic_irq_masked(pic, 12));
	pulse(12);
	ck_assert_int_eq(intr.level, 0);
}
END_TEST

START_TEST(special_mask)
{
	pulse(3);
	ck_assert_int_eq(pic_ack(pic), 0x23);
	out8(rig, 0x21, 0x08);
	pulse(6);
	ck_assert_int_eq(intr.level, 0);
	out8(rig, 0x20, 0x68);
	ck_assert_int_eq(intr.level, 1);
	ck_assert_int_eq(pic_ack(pic), 0x26);
	/* The hidden service is not what a non-specific EOI ends. */
	out8(rig, 0x20, 0x20);
	out8(rig, 0x20, 0x0b);
	ck_assert_uint_eq(in8(rig, 0x20), 0x08);
	out8(rig, 0x20, 0x48);
}
END_TEST

START_TEST(rotation)
{
	pulse(4);
	ck_assert_int_eq(pic_ack(pic), 0x24);
	out8(rig, 0x20, 0xa0); /* rotate on non-specific EOI: 4 is the lowest now, 5 the highest */
	pulse(4);
	pulse(0);
	pulse(5);
	ck_assert_int_eq(pic_ack(pic), 0x25);
	out8(rig, 0x20, 0xe5); /* rotate on specific EOI */
	ck_assert_int_eq(pic_ack(pic), 0x20);
	out8(rig, 0x20, 0x60);
	out8(rig, 0x20, 0xc3); /* set priority: 4 is the highest */
	pulse(3);
	ck_assert_int_eq(pic_ack(pic), 0x24);
	out8(rig, 0x20, 0x64);
	ck_assert_int_eq(pic_ack(pic), 0x23);
}
END_TEST

START_TEST(auto_eoi)
{
	init_pair(0x11, 0x03);
	out8(rig, 0x20, 0x80);
	pulse(1);
	ck_assert_int_eq(pic_ack(pic), 0x21);
	out8(rig, 0x20, 0x0b);
	ck_assert_uint_eq(in8(rig, 0x20), 0);
	pulse(1);
	pulse(7);
	ck_assert_int_eq(pic_ack(pic), 0x27);
	ck_assert_int_eq(pic_ack(pic), 0x21);
}
END_TEST

START_TEST(edge_and_level)
{
	line(4, 1);
	ck_assert_int_eq(pic_ack(pic), 0x24);
	out8(rig, 0x20, 0x20);
	line(4, 1);
	ck_assert_int_eq(intr.level, 0); /* no new edge */
	line(4, 0);
	line(4, 1);
	ck_assert_int_eq(intr.level, 1);
	pic_ack(pic);
	out8(rig, 0x20, 0x20);

	out8(rig, 0x4d0, 0xff);
	out8(rig, 0x4d1, 0xff);
	ck_assert_uint_eq(in8(rig, 0x4d0), 0xf8);
	ck_assert_uint_eq(in8(rig, 0x4d1), 0xde);
	out8(rig, 0x4d0, 0);
	out8(rig, 0x4d1, 0x02);
	line(9, 1);
	ck_assert_int_eq(pic_ack(pic), 0x29);
	out8(rig, 0xa0, 0x20);
	out8(rig, 0x20, 0x20);
	ck_assert_int_eq(intr.level, 1); /* still asserted */
	line(9, 0);
	ck_assert_int_eq(intr.level, 0);
}
END_TEST

START_TEST(spurious)
{
	out8(rig, 0x4d1, 0x02);
	line(9, 1);
	line(9, 0);
	ck_assert_int_eq(pic_ack(pic), 0x27);
	out8(rig, 0x20, 0x0b);
	ck_assert_uint_eq(in8(rig, 0x20), 0); /* no ISR bit: how a kernel tells */
	/* An edge that a mask hides between INTR and the acknowledge. */
	pulse(3);
	out8(rig, 0x21, 0xff);
	ck_assert_int_eq(pic_ack(pic), 0x27);
}
END_TEST

START_TEST(poll_command)
{
	pulse(6);
	out8(rig, 0x20, 0x0c);
	ck_assert_uint_eq(in8(rig, 0x20), 0x86);
	ck_assert_int_eq(intr.level, 0);
	out8(rig, 0x20, 0x0c);
	ck_assert_uint_eq(in8(rig, 0x20), 0);
	out8(rig, 0x20, 0x0b);
	ck_assert_uint_eq(in8(rig, 0x20), 0x40);
	out8(rig, 0x20, 0x0a);
	ck_assert_uint_eq(in8(rig, 0x20), 0);
}
END_TEST

START_TEST(initialisation)
{
	line(4, 1);
	out8(rig, 0x20, 0x13); /* single, with ICW4 */
	ck_assert_int_eq(intr.level, 0);
	out8(rig, 0x21, 0x47);
	out8(rig, 0x21, 0x01);
	out8(rig, 0x21, 0xfe);
	ck_assert_uint_eq(in8(rig, 0x21), 0xfe);
	pulse(0);
	ck_assert_int_eq(pic_ack(pic), 0x40);
	out8(rig, 0x20, 0x20);
	out8(rig, 0x21, 0x00);
	ck_assert_int_eq(intr.level, 0); /* the line has been high all the time: no edge */
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct wire w = {0};

	pic_create(other->vm, wire_irq(&w));
	line(4, 1);
	pulse(11);
	pic_ack(pic);
	pulse(1);
	out8(rig, 0x4d1, 0x02);
	check_saved_state(rig, other, "pic");
	ck_assert_int_eq(w.level, 1);
	rig_free(other);
}
END_TEST

/* As a reset leaves it: inputs 0 to 2 open, 0 first, the vectors of a PC's BIOS. */
START_TEST(after_reset)
{
	struct rig *other = rig_create();
	struct wire w = {0};
	struct pic *p = pic_create(other->vm, wire_irq(&w));

	for (int n = 15; n >= 0; n--) {
		struct irq irq = pic_irq(p, n);

		if (n != 2)
			irq_set(&irq, 1);
	}
	ck_assert_int_eq(pic_ack(p), 0x08);
	out8(other, 0x20, 0x20);
	ck_assert_int_eq(pic_ack(p), 0x09);
	out8(other, 0x20, 0x20);
	out8(other, 0xa1, 0);
	ck_assert_int_eq(pic_ack(p), 0x70);
	ck_assert_uint_eq(in8(other, 0x21), 0xf8);
	rig_free(other);
}
END_TEST

/* An input that becomes level-triggered follows its line at once; one that becomes edge-triggered has seen no edge. */
START_TEST(trigger_changes)
{
	line(5, 1);
	ck_assert_int_eq(pic_ack(pic), 0x25);
	out8(rig, 0x20, 0x20);
	ck_assert_int_eq(intr.level, 0);
	out8(rig, 0x4d0, 0x20);
	ck_assert_int_eq(intr.level, 1);
	out8(rig, 0x4d0, 0x00);
	ck_assert_int_eq(intr.level, 0);
	out8(rig, 0x4d0, 0x20);
	line(5, 0);
	ck_assert_int_eq(intr.level, 0);
}
END_TEST

START_TEST(hostile)
{
	poke_ports(rig, 0x20, 0x21, 5000);
	poke_ports(rig, 0xa0, 0xa1, 5000);
	poke_ports(rig, 0x4d0, 0x4d1, 1000);
	for (int i = 0; i < 1000; i++) {
		line(i & 15, i & 16);
		pic_ack(pic);
	}
}
END_TEST

Suite *pic_suite(void)
{
	Suite *s = suite_create("pic");
	TCase *t = tcase_create("pic");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, vectors);
	tcase_add_test(t, priorities_nest);
	tcase_add_test(t, special_fully_nested);
	tcase_add_test(t, masks);
	tcase_add_test(t, special_mask);
	tcase_add_test(t, rotation);
	tcase_add_test(t, auto_eoi);
	tcase_add_test(t, edge_and_level);
	tcase_add_test(t, spurious);
	tcase_add_test(t, poll_command);
	tcase_add_test(t, initialisation);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, after_reset);
	tcase_add_test(t, trigger_changes);
	tcase_add_test(t, hostile);
	suite_add_tcase(s, t);
	return s;
}
