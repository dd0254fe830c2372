/* The 16550A: both directions through a socket, FIFO and its interrupts, loopback, and a peer that does not read. */
#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "monitor/chardev.h"
#include "monitor/devices/uart.h"
#include "tests/unit/device_harness.h"

#define BASE 0x3f8
#define THR  (BASE + 0)
#define IER  (BASE + 1)
#define IIR  (BASE + 2)
#define LCR  (BASE + 3)
#define MCR  (BASE + 4)
#define LSR  (BASE + 5)
#define MSR  (BASE + 6)
#define SCR  (BASE + 7)

static struct rig *rig;
static struct wire irq4;
static int peer;

static void settle(void)
{
	rig_advance(rig, 2 * MS);
}

static void setup(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char spec[200], err[200];

	rig = rig_create();
	irq4 = (struct wire){0};
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/tmp/ringer-uart-%d", (int)getpid());
	snprintf(spec, sizeof(spec), "unix:%s,server=on,wait=off", addr.sun_path);
	struct chardev *chr = chardev_open(rig->vm, spec, err, sizeof(err));

	ck_assert_msg(chr != NULL, "%s", err);
	rig_lock(rig);
	uart_create(rig->vm, "com1", BASE, wire_irq(&irq4), chr);
	rig_unlock(rig);
	peer = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(peer, (struct sockaddr *)&addr, sizeof(addr)), 0);
	for (int i = 0; i < 5; i++)
		settle();
}

static void teardown(void)
{
	close(peer);
	rig_free(rig);
}

static void send_peer(const char *text)
{
	ck_assert_int_eq(write(peer, text, strlen(text)), (ssize_t)strlen(text));
}

static bool wait_lsr(u8 bits)
{
	for (int i = 0; i < 2000; i++) {
		if ((in8(rig, LSR) & bits) == bits)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

static bool wait_irq(void)
{
	for (int i = 0; i < 2000 && !irq4.level; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	return irq4.level;
}

START_TEST(registers)
{
	ck_assert_uint_eq(in8(rig, LSR), 0x60);
	ck_assert_uint_eq(in8(rig, IIR), 0x01);
	ck_assert_uint_eq(in8(rig, MSR), 0xb0);
	out8(rig, SCR, 0x5a);
	ck_assert_uint_eq(in8(rig, SCR), 0x5a);
	out8(rig, IER, 0xff);
	ck_assert_uint_eq(in8(rig, IER), 0x0f);
	out8(rig, IER, 0);
	out8(rig, LCR, 0x83);
	out8(rig, THR, 0x34);
	out8(rig, IER, 0x12);
	ck_assert_uint_eq(in8(rig, THR), 0x34);
	ck_assert_uint_eq(in8(rig, IER), 0x12);
	out8(rig, LCR, 0x03);
	ck_assert_uint_eq(in8(rig, IER), 0);
	out8(rig, IIR, 0xc1);
	ck_assert_uint_eq(in8(rig, IIR), 0xc1);
	out8(rig, IIR, 0xc0);
	ck_assert_uint_eq(in8(rig, IIR), 0x01);
	out8(rig, MCR, 0xff);
	ck_assert_uint_eq(in8(rig, MCR), 0x1f);
}
END_TEST

START_TEST(transmit)
{
	static const char text[] = "Booting\n$ ";
	char got[sizeof(text)] = {0};
	size_t n = 0;

	for (const char *p = text; *p; p++) {
		ck_assert_uint_eq(in8(rig, LSR) & 0x60, 0x60);
		out8(rig, THR, (u8)*p);
	}
	while (n < sizeof(text) - 1) {
		struct pollfd p = {peer, POLLIN, 0};

		settle();
		ck_assert_int_eq(poll(&p, 1, 2000), 1);
		ssize_t k = read(peer, got + n, sizeof(text) - 1 - n);

		ck_assert_int_gt(k, 0);
		n += (size_t)k;
	}
	ck_assert_str_eq(got, text);
}
END_TEST

START_TEST(receive_polled)
{
	send_peer("ab");
	ck_assert(wait_lsr(0x01)); /* no FIFO: one at a time, none lost */
	ck_assert_uint_eq(in8(rig, THR), 'a');
	ck_assert(wait_lsr(0x01));
	ck_assert_uint_eq(in8(rig, THR), 'b');
	settle();
	ck_assert_uint_eq(in8(rig, LSR), 0x60);
}
END_TEST

START_TEST(receive_fifo)
{
	out8(rig, IIR, 0x87); /* trigger at 8 */
	out8(rig, IER, 0x01);
	send_peer("0123456789abcdefXY");
	ck_assert_uint_eq(in8(rig, MCR), 0); /* OUT2 is no gate */
	ck_assert(wait_irq());
	ck_assert_uint_eq(in8(rig, IIR), 0xc4);
	char got[19] = {0};

	for (int i = 0; i < 18; i++) {
		ck_assert(wait_lsr(0x01));
		got[i] = (char)in8(rig, THR);
	}
	ck_assert_str_eq(got, "0123456789abcdefXY");
	ck_assert_uint_eq(in8(rig, LSR), 0x60);
	ck_assert_int_eq(irq4.level, 0);
	/* Fewer than the trigger level: after a while they are announced all the same. */
	send_peer("z");
	ck_assert(wait_lsr(0x01));
	rig_advance(rig, 30 * MS);
	ck_assert(wait_irq());
	ck_assert_uint_eq(in8(rig, IIR), 0xcc);
	ck_assert_uint_eq(in8(rig, THR), 'z');
	ck_assert_uint_eq(in8(rig, IIR), 0xc1);
	ck_assert_int_eq(irq4.level, 0);
}
END_TEST

START_TEST(thr_interrupt)
{
	out8(rig, MCR, 0x08);
	out8(rig, IER, 0x02);
	ck_assert_int_eq(irq4.level, 1);
	ck_assert_uint_eq(in8(rig, IIR), 0x02);
	ck_assert_int_eq(irq4.level, 0); /* reading IIR was the acknowledge */
	ck_assert_uint_eq(in8(rig, IIR), 0x01);
	unsigned before = irq4.rises;

	out8(rig, THR, 'x');
	ck_assert_uint_eq(irq4.rises, before + 1);
	out8(rig, THR, 'y'); /* every byte has its edge, also without a look at IIR */
	ck_assert_uint_eq(irq4.rises, before + 2);
	out8(rig, IER, 0x00);
	ck_assert_int_eq(irq4.level, 0);
	out8(rig, IER, 0x02);
	ck_assert_int_eq(irq4.level, 1);
}
END_TEST

START_TEST(loopback)
{
	out8(rig, IIR, 0xc7);
	out8(rig, MCR, 0x1f);
	ck_assert_uint_eq(in8(rig, MSR) & 0xf0, 0xf0);
	out8(rig, MCR, 0x10);
	ck_assert_uint_eq(in8(rig, MSR), 0x0f); /* all fell: four deltas */
	ck_assert_uint_eq(in8(rig, MSR), 0x00);
	for (int i = 0; i < 16; i++)
		out8(rig, THR, (u8)('A' + i));
	ck_assert_uint_eq(in8(rig, LSR), 0x61);
	out8(rig, THR, '!');
	out8(rig, IER, 0x0f);
	out8(rig, MCR, 0x18);
	ck_assert_uint_eq(in8(rig, IIR), 0xc6); /* overrun first, then data, then THR, then the modem lines */
	ck_assert_uint_eq(in8(rig, LSR), 0x63);
	ck_assert_uint_eq(in8(rig, IIR), 0xc4);
	for (int i = 0; i < 16; i++)
		ck_assert_uint_eq(in8(rig, THR), 'A' + i);
	ck_assert_uint_eq(in8(rig, IIR), 0xc2);
	ck_assert_uint_eq(in8(rig, IIR), 0xc0);
	ck_assert_uint_eq(in8(rig, MSR), 0x88);
	ck_assert_uint_eq(in8(rig, IIR), 0xc1);
	ck_assert_int_eq(irq4.level, 0);
}
END_TEST

START_TEST(peer_does_not_read)
{
	unsigned long sent = 0, got = 0;
	char buf[4096];
	ssize_t k;

	out8(rig, MCR, 0x08);
	out8(rig, IER, 0x02);
	in8(rig, IIR);
	while (sent < 4 << 20 && (in8(rig, LSR) & 0x20)) {
		for (int i = 0; i < 16; i++)
			out8(rig, THR, (u8)(sent + i));
		sent += 16;
	}
	ck_assert_uint_lt(sent, 4 << 20); /* the transmitter did stop */
	in8(rig, IIR);
	ck_assert_int_eq(irq4.level, 0);
	while (got < sent) {
		struct pollfd p = {peer, POLLIN, 0};

		settle();
		ck_assert_int_eq(poll(&p, 1, 2000), 1);
		k = read(peer, buf, sizeof(buf));
		ck_assert_int_gt(k, 0);
		for (ssize_t i = 0; i < k; i++)
			ck_assert_uint_eq((u8)buf[i], (u8)(got + (unsigned long)i));
		got += (unsigned long)k;
	}
	ck_assert(wait_irq());
	ck_assert_uint_eq(in8(rig, LSR), 0x60);
	ck_assert_uint_eq(in8(rig, IIR), 0x02);
}
END_TEST

START_TEST(saved_state)
{
	struct rig *other = rig_create();
	struct wire w = {0};

	rig_lock(other);
	uart_create(other->vm, "com1", BASE, wire_irq(&w), NULL);
	rig_unlock(other);
	out8(rig, IIR, 0x41);
	out8(rig, IER, 0x03);
	send_peer("abc");
	ck_assert(wait_lsr(0x01));
	rig_advance(rig, 30 * MS);
	out8(rig, MCR, 0x0b);
	check_saved_state(rig, other, "com1");
	ck_assert_int_eq(w.level, 1);
	rig_free(other);
}
END_TEST

START_TEST(hostile)
{
	send_peer("some input that arrives at odd moments, more than a FIFO");
	poke_ports(rig, BASE, BASE + 7, 20000);
}
END_TEST

Suite *uart_suite(void)
{
	Suite *s = suite_create("uart");
	TCase *t = tcase_create("uart");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, registers);
	tcase_add_test(t, transmit);
	tcase_add_test(t, receive_polled);
	tcase_add_test(t, receive_fifo);
	tcase_add_test(t, thr_interrupt);
	tcase_add_test(t, loopback);
	tcase_add_test(t, peer_does_not_read);
	tcase_add_test(t, saved_state);
	tcase_add_test(t, hostile);
	suite_add_tcase(s, t);
	return s;
}
