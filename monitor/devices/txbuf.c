/*
 * The last bytes before a character back end whose own buffer is full.
 * Invariant: while bytes are held, the timer is armed, and no later byte overtakes them.
 */
#include "monitor/devices/txbuf.h"

#include <string.h>

#include "monitor/chardev.h"
#include "monitor/devices/checked_state.h"
#include "monitor/vm.h"

#define RETRY_NS 2000000

static void txbuf_arm(struct txbuf *t)
{
	if (t->len)
		timer_mod(&t->timer, clock_ns(&t->vm->clock) + RETRY_NS);
	else
		timer_del(&t->timer);
}

static void txbuf_flush(struct txbuf *t)
{
	u32 n = t->chr ? MIN(chardev_write(t->chr, t->buf, t->len), t->len) : t->len;

	t->len -= n;
	memmove(t->buf, t->buf + n, t->len);
	txbuf_arm(t);
	if (n && t->drained)
		t->drained(t->opaque);
}

static void txbuf_timer(void *opaque)
{
	txbuf_flush(opaque);
}

void txbuf_init(struct txbuf *t, struct vm *vm, struct chardev *chr, void (*drained)(void *opaque), void *opaque)
{
	t->vm = vm;
	t->chr = chr;
	t->drained = drained;
	t->opaque = opaque;
	t->len = 0;
	timer_init(&t->timer, vm, txbuf_timer, t);
}

bool txbuf_put(struct txbuf *t, u8 byte)
{
	if (!t->len && (!t->chr || chardev_write(t->chr, &byte, 1) == 1))
		return true;
	if (t->len == TXBUF_SIZE)
		return false;
	t->buf[t->len++] = byte;
	if (t->len == 1)
		txbuf_arm(t);
	return true;
}

void txbuf_save(struct txbuf *t, struct state *s)
{
	state_put_u32(s, t->len);
	state_put(s, t->buf, t->len);
}

void txbuf_load(struct txbuf *t, struct state *s)
{
	u32 len = state_get_u32_max(s, TXBUF_SIZE);
	u8 buf[TXBUF_SIZE];

	state_get(s, buf, len);
	if (s->error)
		return;
	memcpy(t->buf, buf, len);
	t->len = len;
	txbuf_arm(t);
}

void txbuf_fini(struct txbuf *t)
{
	t->drained = NULL;
	if (t->len)
		txbuf_flush(t);
	timer_del(&t->timer);
}
