/*
 * Bytes on their way from a device to a character back end that has had no room for them. The guest never waits for the host: a slow
 * peer is tried again by timer. All functions with vm->lock held.
 */
#ifndef RINGER_TXBUF_H
#define RINGER_TXBUF_H

#include "monitor/event.h"
#include "monitor/types.h"

#define TXBUF_SIZE 32u

struct chardev;
struct state;

struct txbuf {
	struct vm *vm;
	struct chardev *chr;
	struct timer timer;
	u32 len;
	u8 buf[TXBUF_SIZE];
	void (*drained)(void *opaque); /* some bytes have left; may be NULL */
	void *opaque;
};

/* Embedded in its owner. chr may be NULL: bytes vanish. */
void txbuf_init(struct txbuf *t, struct vm *vm, struct chardev *chr, void (*drained)(void *opaque), void *opaque);
/* False, and the byte is lost, if the buffer is full. */
bool txbuf_put(struct txbuf *t, u8 byte);
static inline u32 txbuf_room(const struct txbuf *t)
{
	return TXBUF_SIZE - t->len;
}
/* What the back end has not taken yet. A load from a stream with an error, whoever found it, changes nothing. */
void txbuf_save(struct txbuf *t, struct state *s);
void txbuf_load(struct txbuf *t, struct state *s);
/* The last attempt; the rest is dropped. Before the back end is closed. */
void txbuf_fini(struct txbuf *t);

#endif
