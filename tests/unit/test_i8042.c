/* The keyboard controller: its commands, both devices' probes as kernels do them, the interrupts, reset and A20. */
#include <check.h>

#include "monitor/devices/i8042.h"
#include "monitor/devices/ps2.h"
#include "tests/unit/device_harness.h"

#define STATUS 0x64
#define DATA   0x60

static struct rig *rig;
static struct wire irq1, irq12;
static struct i8042 *kbc;

static void setup(void)
{
	rig = rig_create();
	irq1 = irq12 = (struct wire){0};
	rig->vm->mem.a20_open = true;
	rig_lock(rig);
	kbc = i8042_create(rig->vm, wire_irq(&irq1), wire_irq(&irq12));
	rig_unlock(rig);
}

static void teardown(void)
{
	rig_free(rig);
}

/* The next byte, which must come from the keyboard's side (aux false) or the mouse's. -1: there is none. */
static int take(bool aux)
{
	u8 status = in8(rig, STATUS);

	if (!(status & 1))
		return -1;
	ck_assert_int_eq((status & 0x20) != 0, aux);
	return in8(rig, DATA);
}

static int command(u8 cmd)
{
	out8(rig, STATUS, cmd);
	return take(false);
}

static void set_ccb(u8 value)
{
	out8(rig, STATUS, 0x60);
	out8(rig, DATA, value);
}

static void expect_keyboard(u8 byte, const u8 *answer, int n)
{
	out8(rig, DATA, byte);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(take(false), answer[i]);
	ck_assert_int_eq(take(false), -1);
}

static void expect_mouse(u8 byte, const u8 *answer, int n)
{
	out8(rig, STATUS, 0xd4);
	out8(rig, DATA, byte);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(take(true), answer[i]);
	ck_assert_int_eq(take(true), -1);
}

#define KBD(byte, ...)                                                                                                                     \
	do {                                                                                                                               \
		const u8 answer[] = {__VA_ARGS__};                                                                                         \
		expect_keyboard(byte, answer, (int)sizeof(answer));                                                                        \
	} while (0)
#define MOUSE(byte, ...)                                                                                                                   \
	do {                                                                                                                               \
		const u8 answer[] = {__VA_ARGS__};                                                                                         \
		expect_mouse(byte, answer, (int)sizeof(answer));                                                                           \
	} while (0)

static void key(u16 code, bool down)
{
	rig_lock(rig);
	i8042_key(kbc, code, down);
	rig_unlock(rig);
}

static void move(int dx, int dy, int dz, u8 buttons)
{
	rig_lock(rig);
	i8042_mouse(kbc, dx, dy, dz, buttons);
	rig_unlock(rig);
}

START_TEST(controller)
{
	ck_assert_int_eq(take(false), -1);
	ck_assert_int_eq(command(0xaa), 0x55);
	ck_assert_uint_eq(in8(rig, STATUS), 0x1c);
	ck_assert_int_eq(command(0xab), 0);
	ck_assert_int_eq(command(0xa9), 0);
	ck_assert_int_eq(command(0xc0), 0x80);
	set_ccb(0x74);
	ck_assert_int_eq(command(0x20), 0x74);
	ck_assert_int_eq(command(0xa8), -1);
	ck_assert_int_eq(command(0x20), 0x54);
	command(0xae);
	ck_assert_int_eq(command(0x20), 0x44);
	command(0xad);
	command(0xa7);
	ck_assert_int_eq(command(0x20), 0x74);
	/* The AUX loop. */
	out8(rig, STATUS, 0xd3);
	out8(rig, DATA, 0xa5);
	ck_assert_int_eq(take(true), 0xa5);
	out8(rig, STATUS, 0xd2);
	out8(rig, DATA, 0x5a);
	ck_assert_int_eq(take(false), 0x5a);
	/* Its own memory. */
	out8(rig, STATUS, 0x71);
	out8(rig, DATA, 0x99);
	ck_assert_int_eq(command(0x31), 0x99);
}
END_TEST

/* Every key of a US keyboard, set 2 on the wire and set 1 behind the controller. */
START_TEST(translation)
{
	static const u8 keys[][2] = {
		{0x76, 0x01}, {0x05, 0x3b}, {0x06, 0x3c}, {0x04, 0x3d}, {0x0c, 0x3e}, {0x03, 0x3f}, {0x0b, 0x40}, {0x83, 0x41},
		{0x0a, 0x42}, {0x01, 0x43}, {0x09, 0x44}, {0x78, 0x57}, {0x07, 0x58}, {0x0e, 0x29}, {0x16, 0x02}, {0x1e, 0x03},
		{0x26, 0x04}, {0x25, 0x05}, {0x2e, 0x06}, {0x36, 0x07}, {0x3d, 0x08}, {0x3e, 0x09}, {0x46, 0x0a}, {0x45, 0x0b},
		{0x4e, 0x0c}, {0x55, 0x0d}, {0x66, 0x0e}, {0x0d, 0x0f}, {0x15, 0x10}, {0x1d, 0x11}, {0x24, 0x12}, {0x2d, 0x13},
		{0x2c, 0x14}, {0x35, 0x15}, {0x3c, 0x16}, {0x43, 0x17}, {0x44, 0x18}, {0x4d, 0x19}, {0x54, 0x1a}, {0x5b, 0x1b},
		{0x5a, 0x1c}, {0x14, 0x1d}, {0x1c, 0x1e}, {0x1b, 0x1f}, {0x23, 0x20}, {0x2b, 0x21}, {0x34, 0x22}, {0x33, 0x23},
		{0x3b, 0x24}, {0x42, 0x25}, {0x4b, 0x26}, {0x4c, 0x27}, {0x52, 0x28}, {0x12, 0x2a}, {0x5d, 0x2b}, {0x1a, 0x2c},
		{0x22, 0x2d}, {0x21, 0x2e}, {0x2a, 0x2f}, {0x32, 0x30}, {0x31, 0x31}, {0x3a, 0x32}, {0x41, 0x33}, {0x49, 0x34},
		{0x4a, 0x35}, {0x59, 0x36}, {0x7c, 0x37}, {0x11, 0x38}, {0x29, 0x39}, {0x58, 0x3a}, {0x77, 0x45}, {0x7e, 0x46},
		{0x6c, 0x47}, {0x75, 0x48}, {0x7d, 0x49}, {0x7b, 0x4a}, {0x6b, 0x4b}, {0x73, 0x4c}, {0x74, 0x4d}, {0x79, 0x4e},
		{0x69, 0x4f}, {0x72, 0x50}, {0x7a, 0x51}, {0x70, 0x52}, {0x71, 0x53}, {0x84, 0x54}, {0x61, 0x56}, {0x00, 0xff},
		{0xaa, 0xaa}, {0xfa, 0xfa},
	};

	for (unsigned k = 0; k < ARRAY_SIZE(keys); k++)
		ck_assert_msg(ps2_set1(keys[k][0]) == keys[k][1], "%02x becomes %02x", keys[k][0], ps2_set1(keys[k][0]));
}
END_TEST

START_TEST(keyboard)
{
	set_ccb(0x04);
	KBD(0xff, 0xfa, 0xaa);
	KBD(0xf2, 0xfa, 0xab, 0x83);
	KBD(0xed, 0xfa);
	KBD(0x07, 0xfa);
	KBD(0xee, 0xee);
	KBD(0xf0, 0xfa);
	KBD(0x00, 0xfa, 0x02);
	KBD(0xf0, 0xfa);
	KBD(0x03, 0xfa);
	KBD(0xf0, 0xfa);
	KBD(0x00, 0xfa, 0x03);
	KBD(0xf3, 0xfa);
	KBD(0x00, 0xfa);
	KBD(0xf4, 0xfa);
	KBD(0xf5, 0xfa);
	KBD(0xf6, 0xfa);
	KBD(0xfe, 0xfa);
	KBD(0x11, 0xfe);
	/* A command cuts another's argument short. */
	KBD(0xed, 0xfa);
	KBD(0xf2, 0xfa, 0xab, 0x83);
	/* Translated, its identity reads as AT set 2's does on a PC. */
	set_ccb(0x44);
	KBD(0xf2, 0xfa, 0xab, 0x41);
}
END_TEST

START_TEST(mouse)
{
	set_ccb(0x44);
	MOUSE(0xff, 0xfa, 0xaa, 0x00);
	MOUSE(0xf2, 0xfa, 0x00);
	MOUSE(0xe8, 0xfa);
	MOUSE(0x03, 0xfa);
	MOUSE(0xf3, 0xfa);
	MOUSE(200, 0xfa);
	MOUSE(0xe7, 0xfa);
	MOUSE(0xf4, 0xfa);
	MOUSE(0xe9, 0xfa, 0x30, 0x03, 200);
	MOUSE(0xeb, 0xfa, 0x08, 0x00, 0x00);
	MOUSE(0xee, 0xfa);
	MOUSE(0xf2, 0xf2);
	MOUSE(0xec, 0xfa);
	/* The knocks for a wheel, and for two more buttons. */
	MOUSE(0xf3, 0xfa);
	MOUSE(200, 0xfa);
	MOUSE(0xf3, 0xfa);
	MOUSE(100, 0xfa);
	MOUSE(0xf3, 0xfa);
	MOUSE(80, 0xfa);
	MOUSE(0xf2, 0xfa, 0x03);
	MOUSE(0xf3, 0xfa);
	MOUSE(200, 0xfa);
	MOUSE(0xf3, 0xfa);
	MOUSE(200, 0xfa);
	MOUSE(0xf3, 0xfa);
	MOUSE(80, 0xfa);
	MOUSE(0xf2, 0xfa, 0x04);
	MOUSE(0xff, 0xfa, 0xaa, 0x00);
	MOUSE(0xf2, 0xfa, 0x00);
	MOUSE(0xf6, 0xfa);
	MOUSE(0xe9, 0xfa, 0x00, 0x02, 100);
	MOUSE(0xe1, 0xfe);
}
END_TEST

START_TEST(interrupts)
{
	set_ccb(0x47);
	out8(rig, DATA, 0xf2);
	ck_assert_uint_eq(irq1.rises, 1);
	in8(rig, DATA);
	ck_assert_uint_eq(irq1.rises, 2); /* an edge for every byte */
	in8(rig, DATA);
	in8(rig, DATA);
	ck_assert_uint_eq(irq1.rises, 3);
	ck_assert_int_eq(irq1.level, 0);
	out8(rig, STATUS, 0xd3);
	out8(rig, DATA, 0x77);
	ck_assert_int_eq(irq12.level, 1);
	set_ccb(0x45);
	ck_assert_int_eq(irq12.level, 0);
	ck_assert_int_eq(take(true), 0x77);
	ck_assert_uint_eq(irq1.rises, 3);
}
END_TEST

START_TEST(disabled_ports_hold_their_bytes)
{
	set_ccb(0x04);
	out8(rig, DATA, 0xf2);
	out8(rig, STATUS, 0xad);
	ck_assert_int_eq(take(false), 0xfa); /* was in the output buffer */
	ck_assert_int_eq(take(false), -1);
	ck_assert_int_eq(command(0x20), 0x14); /* controller answers come all the same */
	out8(rig, STATUS, 0xae);
	ck_assert_int_eq(take(false), 0xab);
	ck_assert_int_eq(take(false), 0x83);
}
END_TEST

START_TEST(a20_and_reset)
{
	out8(rig, STATUS, 0xd1);
	out8(rig, DATA, 0xdd);
	ck_assert(!rig->vm->mem.a20_open);
	ck_assert_int_eq(command(0xd0) & 3, 1);
	out8(rig, STATUS, 0xdf);
	ck_assert(rig->vm->mem.a20_open);
	out8(rig, STATUS, 0xdd);
	ck_assert(!rig->vm->mem.a20_open);
	rig->vm->opt.no_reboot = true;
	out8(rig, STATUS, 0xff);
	ck_assert_int_eq(rig->vm->exit_reason, VM_RUNNING);
	out8(rig, STATUS, 0xfe);
	ck_assert_int_eq(rig->vm->exit_reason, VM_REBOOT);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct wire w = {0};

	rig_lock(other);
	i8042_create(other->vm, wire_irq(&w), wire_irq(&w));
	rig_unlock(other);
	set_ccb(0x47);
	out8(rig, DATA, 0xf2);
	out8(rig, STATUS, 0xd4);
	out8(rig, DATA, 0xe9);
	out8(rig, STATUS, 0x20);
	out8(rig, STATUS, 0xd4);
	key(0x1c, true);
	key(0xe075, false);
	move(700, -700, 9, 2);
	check_saved_state(rig, other, "i8042");
	rig_free(other);
}
END_TEST

static void expect_bytes(bool aux, const u8 *bytes, int n)
{
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(take(aux), bytes[i]);
	ck_assert_int_eq(take(aux), -1);
}

#define KEYS(...)                                                                                                                          \
	do {                                                                                                                               \
		const u8 bytes[] = {__VA_ARGS__};                                                                                          \
		expect_bytes(false, bytes, (int)sizeof(bytes));                                                                            \
	} while (0)
#define PACKETS(...)                                                                                                                       \
	do {                                                                                                                               \
		const u8 bytes[] = {__VA_ARGS__};                                                                                          \
		expect_bytes(true, bytes, (int)sizeof(bytes));                                                                             \
	} while (0)

START_TEST(keys)
{
	/* As a BIOS leaves it: translated to set 1. */
	set_ccb(0x45);
	key(0x1c, true);
	ck_assert_uint_eq(irq1.rises, 1);
	key(0x1c, false);
	key(0xe075, true);
	key(0xe075, false);
	KEYS(0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8);
	key(0x83, true); /* F7 */
	KEYS(0x41);
	key(PS2_PAUSE, true);
	key(PS2_PAUSE, false);
	KEYS(0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
	key(PS2_PRINT, true);
	key(PS2_PRINT, false);
	KEYS(0xe0, 0x2a, 0xe0, 0x37, 0xe0, 0xb7, 0xe0, 0xaa);
	/* As they are: set 2. */
	set_ccb(0x05);
	key(0x1c, true);
	key(0x1c, false);
	key(0xe075, false);
	KEYS(0x1c, 0xf0, 0x1c, 0xe0, 0xf0, 0x75);
	/* The keyboard's own sets 1 and 3. */
	KBD(0xf0, 0xfa);
	KBD(0x01, 0xfa);
	key(0xe075, true);
	key(0xe075, false);
	KEYS(0xe0, 0x48, 0xe0, 0xc8);
	KBD(0xf0, 0xfa);
	KBD(0x03, 0xfa);
	key(0xe075, true);
	key(0xe075, false);
	key(0x1c, true);
	KEYS(0x63, 0xf0, 0x63, 0x1c);
	/* Nobody scans the keys. */
	KBD(0xf5, 0xfa);
	key(0x1c, true);
	ck_assert_int_eq(take(false), -1);
}
END_TEST

START_TEST(keys_wait_for_answers)
{
	set_ccb(0x45);
	key(0x1c, true);
	key(0x32, true);
	ck_assert_int_eq(take(false), 0x1e);
	/* The second is in the output buffer already; others wait until the lamps are set, and none is lost. */
	key(0x21, true);
	out8(rig, DATA, 0xed);
	ck_assert_int_eq(take(false), 0x30);
	ck_assert_int_eq(take(false), 0xfa);
	ck_assert_int_eq(take(false), -1);
	out8(rig, DATA, 0x02);
	KEYS(0xfa, 0x2e);
}
END_TEST

START_TEST(keys_are_bounded)
{
	unsigned makes = 0, breaks = 0, n = 0;
	int byte;

	set_ccb(0x45);
	ck_assert(i8042_key_ready(kbc));
	for (u16 i = 0; i < 1000; i++)
		key(0x1c, true);
	/* Releases come all the same, in their order, and no press before them. */
	for (u16 i = 0; i < 6; i++)
		key(0x1c + i, false);
	key(0x15, true);
	ck_assert(!i8042_key_ready(kbc));
	while ((byte = take(false)) >= 0) {
		makes += byte == 0x1e;
		breaks += byte >= 0x80;
		n++;
	}
	ck_assert_uint_le(n, 16);
	/* The rest comes when the guest has seen that there was no more. */
	rig_advance(rig, 5 * MS);
	for (; (byte = take(false)) >= 0; breaks++)
		ck_assert_int_ge(byte, 0x80);
	/* Linux finds no controller where it can read more than 16 bytes before it has told anything. */
	ck_assert_uint_ge(makes, 10);
	ck_assert_uint_le(makes, 12);
	ck_assert_uint_eq(breaks, 6);
	ck_assert(i8042_key_ready(kbc));
}
END_TEST

START_TEST(movement)
{
	set_ccb(0x47);
	move(5, 5, 0, 0);
	ck_assert_int_eq(take(true), -1); /* not before it is told to report */
	MOUSE(0xf4, 0xfa);
	move(3, -2, 0, 1);
	ck_assert_uint_ge(irq12.rises, 1);
	/* While that packet is being read the rest adds up. */
	move(10, 0, 0, 1);
	move(300, 0, 0, 4);
	PACKETS(0x29, 3, 0xfe, 0x0c, 255, 0, 0x0c, 55, 0);
	move(0, 0, 3, 4); /* there is no wheel */
	ck_assert_int_eq(take(true), -1);
	MOUSE(0xf3, 0xfa);
	MOUSE(200, 0xfa);
	MOUSE(0xf3, 0xfa);
	MOUSE(100, 0xfa);
	MOUSE(0xf3, 0xfa);
	MOUSE(80, 0xfa);
	move(-1, 1, -1, 0);
	PACKETS(0x18, 0xff, 1, 0xff);
	/* What nobody reads is bounded. */
	for (int i = 0; i < 1000; i++)
		move(-1000, 1000, 100, 0);
	for (int i = 0; take(true) >= 0; i++)
		ck_assert_int_lt(i, 4 * 40);
	/* On demand. */
	MOUSE(0xf0, 0xfa);
	move(1, 2, 0, 2);
	ck_assert_int_eq(take(true), -1);
	MOUSE(0xeb, 0xfa, 0x0a, 1, 2, 0);
}
END_TEST

START_TEST(hostile)
{
	poke_ports(rig, DATA, STATUS, 30000);
}
END_TEST

Suite *i8042_suite(void)
{
	Suite *s = suite_create("i8042");
	TCase *t = tcase_create("i8042");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, controller);
	tcase_add_test(t, translation);
	tcase_add_test(t, keyboard);
	tcase_add_test(t, mouse);
	tcase_add_test(t, interrupts);
	tcase_add_test(t, disabled_ports_hold_their_bytes);
	tcase_add_test(t, a20_and_reset);
	tcase_add_test(t, keys);
	tcase_add_test(t, keys_wait_for_answers);
	tcase_add_test(t, keys_are_bounded);
	tcase_add_test(t, movement);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, hostile);
	suite_add_tcase(s, t);
	return s;
}
