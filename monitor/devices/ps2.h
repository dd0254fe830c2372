/* A standard AT keyboard and a standard (three-byte, two-button) PS/2 mouse, as far as they talk without anybody touching them. */
#ifndef RINGER_PS2_H
#define RINGER_PS2_H

#include "monitor/types.h"

#define PS2_QUEUE 16

struct state;

/* What a device wants to send. A device that is not read loses what does not fit. */
struct ps2_queue {
	u8 count;
	u8 bytes[PS2_QUEUE];
};

struct ps2_keyboard {
	struct ps2_queue out;
	u8 pending; /* the command that waits for its argument; 0: none */
	u8 leds, set, rate, last;
	bool scanning;
};

struct ps2_mouse {
	struct ps2_queue out;
	u8 pending;
	u8 rate, resolution, last;
	bool scale2, remote, reporting, wrap;
};

/* Takes the next byte; false if there is none. */
bool ps2_pop(struct ps2_queue *q, u8 *byte);

/* The state after power-on, nothing queued. */
void ps2_keyboard_reset(struct ps2_keyboard *k);
void ps2_mouse_reset(struct ps2_mouse *m);
/* A byte from the host; the answers are queued. */
void ps2_keyboard_write(struct ps2_keyboard *k, u8 byte);
void ps2_mouse_write(struct ps2_mouse *m, u8 byte);

void ps2_keyboard_save(const struct ps2_keyboard *k, struct state *s);
void ps2_keyboard_load(struct ps2_keyboard *k, struct state *s);
void ps2_mouse_save(const struct ps2_mouse *m, struct state *s);
void ps2_mouse_load(struct ps2_mouse *m, struct state *s);

#endif
