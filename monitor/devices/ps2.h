/*
 * A standard AT keyboard and a PS/2 mouse with three buttons and, for who asks by the usual knock, a wheel. Answers to commands and what
 * keys and movement cause are queued apart: a new command discards the answers of the last, and no keystroke.
 */
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

/*
 * Codes of keys. A kernel that reads more than 16 bytes before it has told a controller anything takes it for none; so here are 15, and one
 * in the controller. Presses beyond PS2_PRESSES bytes are lost, releases that find no room are owed until ps2_keyboard_pay.
 */
#define PS2_KEYS    15
#define PS2_PRESSES 11
#define PS2_OWED    8

struct ps2_keys {
	u16 first, count; /* a ring */
	u8 bytes[PS2_KEYS];
	u8 owed_count;
	u16 owed[PS2_OWED]; /* releases still to be queued; no press before them */
};

struct ps2_keyboard {
	struct ps2_queue out;
	struct ps2_keys keys;
	u8 pending; /* the command that waits for its argument; 0: none */
	u8 leds, set, rate, last;
	bool scanning;
};

struct ps2_mouse {
	struct ps2_queue out;
	u8 pending;
	u8 rate, resolution, last;
	bool scale2, remote, reporting, wrap;
	u8 id;	     /* 0, 3 with a wheel, 4 with a wheel and five buttons */
	u8 knock[2]; /* the last sample rates: part of the knock that asks for a wheel */
	u8 buttons;  /* bit 0 left, 1 right, 2 middle, 3 and 4 the others */
	bool changed;
	s32 dx, dy, dz; /* not yet reported; dy positive upwards, dz towards the user */
};

/* A key's code of set 2; extended: E0h precedes it. Pause and Print Screen are single codes here, and what they are on the wire. */
#define PS2_EXTENDED 0xe000
#define PS2_PAUSE    0xe177
#define PS2_PRINT    0xe07c

/* What a controller that translates makes of a code of set 2 (without F0h, which becomes bit 7). */
u8 ps2_set1(u8 code);
/* The next byte of answers, else of keys or movement. */
bool ps2_keyboard_pop(struct ps2_keyboard *k, u8 *byte);
bool ps2_mouse_pop(struct ps2_mouse *m, u8 *byte);
/* A key goes down (again, where it repeats) or up. A press for which there is no room is lost, as is all while the guest scans none. */
void ps2_keyboard_key(struct ps2_keyboard *k, u16 code, bool down);
/* Whether releases are owed and the guest has taken all else; queues those, a moment after the guest has seen that there was no more. */
bool ps2_keyboard_owes(const struct ps2_keyboard *k);
void ps2_keyboard_pay(struct ps2_keyboard *k);
/* Whether the guest has taken all keys, so that one with all its modifiers has room. */
bool ps2_keyboard_ready(const struct ps2_keyboard *k);
/* Movement (dy upwards, dz towards the user) and the buttons as they are now. What the guest is slow to take adds up, within bounds. */
void ps2_mouse_move(struct ps2_mouse *m, int dx, int dy, int dz, u8 buttons);

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
