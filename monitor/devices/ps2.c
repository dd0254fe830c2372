/*
 * The command sets of an AT keyboard and a PS/2 mouse. Both are passive: they answer, they never start.
 * Invariant: a new command discards what the last one still had to say, so an answer always belongs to the last command.
 */
#include "monitor/devices/ps2.h"

#include <string.h>

#include "monitor/devices/checked_state.h"

#define PS2_ACK	   0xfa
#define PS2_RESEND 0xfe
#define PS2_PASSED 0xaa /* self-test */

/* Commands to both. */
#define CMD_ID	     0xf2
#define CMD_RATE     0xf3
#define CMD_ENABLE   0xf4
#define CMD_DISABLE  0xf5
#define CMD_DEFAULTS 0xf6
#define CMD_RESEND   0xfe
#define CMD_RESET    0xff
/* To the keyboard. */
#define KBD_LEDS	 0xed
#define KBD_ECHO	 0xee
#define KBD_SET		 0xf0
#define KBD_ALL_FIRST	 0xf7 /* ..FAh: all keys typematic, make/break... */
#define KBD_ALL_LAST	 0xfa
#define KBD_KEY_FIRST	 0xfb /* ..FDh: the same for one key, which follows */
#define KBD_KEY_LAST	 0xfd
#define KBD_DEFAULT_RATE 0x2b
/* To the mouse. */
#define MOUSE_SCALE1	 0xe6
#define MOUSE_SCALE2	 0xe7
#define MOUSE_RESOLUTION 0xe8
#define MOUSE_STATUS	 0xe9
#define MOUSE_STREAM	 0xea
#define MOUSE_READ	 0xeb
#define MOUSE_UNWRAP	 0xec
#define MOUSE_WRAP	 0xee
#define MOUSE_REMOTE	 0xf0

static void push(struct ps2_queue *q, u8 byte)
{
	if (q->count < PS2_QUEUE)
		q->bytes[q->count++] = byte;
}

bool ps2_pop(struct ps2_queue *q, u8 *byte)
{
	if (!q->count)
		return false;
	*byte = q->bytes[0];
	q->count--;
	memmove(q->bytes, q->bytes + 1, q->count);
	return true;
}

static void queue_save(const struct ps2_queue *q, struct state *s)
{
	state_put_u8(s, q->count);
	state_put(s, q->bytes, q->count);
}

static void queue_load(struct ps2_queue *q, struct state *s)
{
	q->count = state_get_u8_max(s, PS2_QUEUE);
	state_get(s, q->bytes, q->count);
}

/* ---- keyboard ---- */

static void keyboard_defaults(struct ps2_keyboard *k)
{
	k->set = 2;
	k->rate = KBD_DEFAULT_RATE;
	k->leds = 0;
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
	memset(k, 0, sizeof(*k));
	keyboard_defaults(k);
}

static void keyboard_argument(struct ps2_keyboard *k, u8 cmd, u8 arg)
{
	switch (cmd) {
	case KBD_LEDS:
		k->leds = arg & 7;
		break;
	case CMD_RATE:
		k->rate = arg & 0x7f;
		break;
	case KBD_SET:
		if (arg > 3) {
			push(&k->out, PS2_RESEND);
			return;
		}
		push(&k->out, PS2_ACK);
		if (arg)
			k->set = arg;
		else
			push(&k->out, k->set);
		return;
	}
	push(&k->out, PS2_ACK);
}

static void keyboard_command(struct ps2_keyboard *k, u8 cmd)
{
	switch (cmd) {
	case KBD_ECHO:
		push(&k->out, KBD_ECHO);
		return;
	case CMD_RESEND:
		push(&k->out, k->last);
		return;
	case KBD_LEDS:
	case KBD_SET:
	case CMD_RATE:
	case KBD_KEY_FIRST ... KBD_KEY_LAST:
		k->pending = cmd;
		break;
	case CMD_ID:
		push(&k->out, PS2_ACK);
		push(&k->out, 0xab);
		push(&k->out, 0x83);
		return;
	case CMD_ENABLE:
		k->scanning = true;
		break;
	case CMD_DISABLE:
		keyboard_defaults(k);
		k->scanning = false;
		break;
	case CMD_DEFAULTS:
		keyboard_defaults(k);
		break;
	case KBD_ALL_FIRST ... KBD_ALL_LAST:
		break;
	case CMD_RESET:
		keyboard_defaults(k);
		k->scanning = true;
		push(&k->out, PS2_ACK);
		push(&k->out, PS2_PASSED);
		return;
	default:
		push(&k->out, PS2_RESEND);
		return;
	}
	push(&k->out, PS2_ACK);
}

void ps2_keyboard_write(struct ps2_keyboard *k, u8 byte)
{
	u8 cmd = k->pending;

	k->out.count = 0;
	k->pending = 0;
	/* A command in the place of an argument is a new command; arguments are below 80h, but for key codes such as 83h (F7). */
	if (cmd && byte < KBD_LEDS)
		keyboard_argument(k, cmd, byte);
	else
		keyboard_command(k, byte);
	if (k->out.count)
		k->last = k->out.bytes[k->out.count - 1];
}

void ps2_keyboard_save(const struct ps2_keyboard *k, struct state *s)
{
	queue_save(&k->out, s);
	state_put_u8(s, k->pending);
	state_put_u8(s, k->leds);
	state_put_u8(s, k->set);
	state_put_u8(s, k->rate);
	state_put_u8(s, k->last);
	state_put_u8(s, k->scanning);
}

void ps2_keyboard_load(struct ps2_keyboard *k, struct state *s)
{
	queue_load(&k->out, s);
	k->pending = state_get_u8(s);
	k->leds = state_get_u8_max(s, 7);
	k->set = state_get_u8_max(s, 3);
	k->rate = state_get_u8_max(s, 0x7f);
	k->last = state_get_u8(s);
	k->scanning = state_get_bool(s);
}

/* ---- mouse ---- */

static void mouse_defaults(struct ps2_mouse *m)
{
	m->rate = 100;
	m->resolution = 2;
	m->scale2 = m->remote = m->reporting = false;
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
	memset(m, 0, sizeof(*m));
	mouse_defaults(m);
}

static void mouse_argument(struct ps2_mouse *m, u8 cmd, u8 arg)
{
	if (cmd == CMD_RATE)
		m->rate = arg;
	else if (arg <= 3)
		m->resolution = arg;
	else {
		push(&m->out, PS2_RESEND);
		return;
	}
	push(&m->out, PS2_ACK);
}

static void mouse_command(struct ps2_mouse *m, u8 cmd)
{
	u8 byte = cmd;

	if (cmd == CMD_RESEND) {
		push(&m->out, m->last);
		return;
	}
	if (m->wrap && cmd != CMD_RESET && cmd != MOUSE_UNWRAP) {
		push(&m->out, byte);
		return;
	}
	push(&m->out, PS2_ACK);
	switch (cmd) {
	case MOUSE_SCALE1:
	case MOUSE_SCALE2:
		m->scale2 = cmd == MOUSE_SCALE2;
		return;
	case MOUSE_RESOLUTION:
	case CMD_RATE:
		m->pending = cmd;
		return;
	case MOUSE_STATUS:
		push(&m->out, (m->remote ? 0x40 : 0) | (m->reporting ? 0x20 : 0) | (m->scale2 ? 0x10 : 0));
		push(&m->out, m->resolution);
		push(&m->out, m->rate);
		return;
	case MOUSE_STREAM:
		m->remote = false;
		return;
	case MOUSE_READ: /* no buttons, no movement; bit 3 is always 1 */
		push(&m->out, 0x08);
		push(&m->out, 0);
		push(&m->out, 0);
		return;
	case MOUSE_WRAP:
	case MOUSE_UNWRAP:
		m->wrap = cmd == MOUSE_WRAP;
		return;
	case MOUSE_REMOTE:
		m->remote = true;
		return;
	case CMD_ID:
		push(&m->out, 0x00);
		return;
	case CMD_ENABLE:
	case CMD_DISABLE:
		m->reporting = cmd == CMD_ENABLE;
		return;
	case CMD_DEFAULTS:
		mouse_defaults(m);
		return;
	case CMD_RESET:
		mouse_defaults(m);
		m->wrap = false;
		push(&m->out, PS2_PASSED);
		push(&m->out, 0x00);
		return;
	}
	m->out.bytes[m->out.count - 1] = PS2_RESEND;
}

void ps2_mouse_write(struct ps2_mouse *m, u8 byte)
{
	u8 cmd = m->pending;

	m->out.count = 0;
	m->pending = 0;
	if (cmd)
		mouse_argument(m, cmd, byte);
	else
		mouse_command(m, byte);
	if (m->out.count)
		m->last = m->out.bytes[m->out.count - 1];
}

void ps2_mouse_save(const struct ps2_mouse *m, struct state *s)
{
	queue_save(&m->out, s);
	state_put_u8(s, m->pending);
	state_put_u8(s, m->rate);
	state_put_u8(s, m->resolution);
	state_put_u8(s, m->last);
	state_put_u8(s, m->scale2);
	state_put_u8(s, m->remote);
	state_put_u8(s, m->reporting);
	state_put_u8(s, m->wrap);
}

void ps2_mouse_load(struct ps2_mouse *m, struct state *s)
{
	queue_load(&m->out, s);
	m->pending = state_get_u8(s);
	m->rate = state_get_u8(s);
	m->resolution = state_get_u8_max(s, 3);
	m->last = state_get_u8(s);
	m->scale2 = state_get_bool(s);
	m->remote = state_get_bool(s);
	m->reporting = state_get_bool(s);
	m->wrap = state_get_bool(s);
}
