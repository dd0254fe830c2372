/*
 * The command sets of an AT keyboard and a PS/2 mouse, and what keys and movement send.
 *
 * Invariants: a new command discards what the last one still had to say, so an answer always belongs to the last command; answers go before
 * keys and movement, and those wait while a command's argument is due. The code of a key is queued whole or not at all. At most one
 * movement packet is queued; it is made when the last one has been read, from what has added up.
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
/* What movement adds up to at most while nobody takes it. */
#define MOUSE_MOVE_MAX	4096
#define MOUSE_WHEEL_MAX 64

static void push(struct ps2_queue *q, u8 byte)
{
	if (q->count < PS2_QUEUE)
		q->bytes[q->count++] = byte;
}

static bool pop(struct ps2_queue *q, u8 *byte)
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

/* ---- keys ---- */

#define KEY_BYTES_MAX 8 /* Pause, the longest */

/* The controller's translation of set 2 to set 1; the keyboard itself needs it when it is told to speak set 1. */
static const u8 set1[0x85] = {
	0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, 0x65, 0x38, 0x2a,
	0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, 0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05,
	0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, 0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a,
	0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26,
	0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63,
	0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53,
	0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54,
};

u8 ps2_set1(u8 code)
{
	return code < sizeof(set1) ? set1[code] : code;
}

/* Set 3 gives keys that came after the first 84 codes of their own, and needs no prefix. */
static u8 set3(u16 code)
{
	static const struct {
		u16 set2;
		u8 set3;
	} others[] = {
		{0x05, 0x07},	{0x06, 0x0f},	{0x04, 0x17},	{0x0c, 0x1f},	{0x03, 0x27},	   {0x0b, 0x2f},      {0x83, 0x37},
		{0x0a, 0x3f},	{0x01, 0x47},	{0x09, 0x4f},	{0x78, 0x56},	{0x07, 0x5e},	   {0x76, 0x08},      {0x14, 0x11},
		{0x58, 0x14},	{0x11, 0x19},	{0x5d, 0x5c},	{0x7e, 0x5f},	{0x77, 0x76},	   {0x79, 0x7c},      {0x7b, 0x84},
		{0x7c, 0x7e},	{0x61, 0x13},	{0xe011, 0x39}, {0xe014, 0x58}, {PS2_PRINT, 0x57}, {PS2_PAUSE, 0x62}, {0xe070, 0x67},
		{0xe071, 0x64}, {0xe06b, 0x61}, {0xe06c, 0x6e}, {0xe069, 0x65}, {0xe075, 0x63},	   {0xe072, 0x60},    {0xe07d, 0x6f},
		{0xe07a, 0x6d}, {0xe074, 0x6a}, {0xe04a, 0x77}, {0xe05a, 0x79}, {0xe01f, 0x8b},	   {0xe027, 0x8c},    {0xe02f, 0x8d},
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (others[i].set2 == code)
			return others[i].set3;
	return (u8)code;
}

static unsigned put_code(u8 *out, u8 set, u8 code, bool down)
{
	if (set == 1) {
		out[0] = ps2_set1(code) | (down ? 0 : 0x80);
		return 1;
	}
	out[0] = 0xf0;
	out[down ? 0 : 1] = code;
	return down ? 1 : 2;
}

/* The bytes that a key's press or release is on the wire. */
static unsigned key_bytes(u8 set, u16 code, bool down, u8 *out)
{
	unsigned n = 0;

	if (set == 3)
		return put_code(out, 3, set3(code), down);
	if (code == PS2_PAUSE) {
		/* It makes and breaks at once, and says nothing when it is released. */
		for (unsigned release = 0; down && release < 2; release++) {
			out[n++] = 0xe1;
			n += put_code(out + n, set, 0x14, !release);
			n += put_code(out + n, set, 0x77, !release);
		}
		return n;
	}
	/* Print Screen comes in a shift of its own. */
	if (code == PS2_PRINT && down) {
		out[n++] = 0xe0;
		n += put_code(out + n, set, 0x12, true);
	}
	if (code & 0xff00)
		out[n++] = 0xe0;
	n += put_code(out + n, set, (u8)code, down);
	if (code == PS2_PRINT && !down) {
		out[n++] = 0xe0;
		n += put_code(out + n, set, 0x12, false);
	}
	return n;
}

static bool queue_key(struct ps2_keyboard *k, u16 code, bool down)
{
	u8 bytes[KEY_BYTES_MAX];
	unsigned n = key_bytes(k->set, code, down, bytes);

	if (k->keys.count + n > (down ? PS2_PRESSES : PS2_KEYS))
		return false;
	for (unsigned i = 0; i < n; i++)
		k->keys.bytes[(k->keys.first + k->keys.count++) % PS2_KEYS] = bytes[i];
	return true;
}

void ps2_keyboard_key(struct ps2_keyboard *k, u16 code, bool down)
{
	struct ps2_keys *q = &k->keys;

	if (!k->scanning || (down && q->owed_count))
		return;
	if ((q->owed_count || !queue_key(k, code, down)) && !down && q->owed_count < PS2_OWED)
		q->owed[q->owed_count++] = code;
}

bool ps2_keyboard_owes(const struct ps2_keyboard *k)
{
	return k->keys.owed_count && !k->keys.count;
}

void ps2_keyboard_pay(struct ps2_keyboard *k)
{
	struct ps2_keys *q = &k->keys;

	while (q->owed_count && queue_key(k, q->owed[0], false))
		memmove(q->owed, q->owed + 1, --q->owed_count * sizeof(q->owed[0]));
}

bool ps2_keyboard_ready(const struct ps2_keyboard *k)
{
	return !k->keys.count && !k->keys.owed_count;
}

bool ps2_keyboard_pop(struct ps2_keyboard *k, u8 *byte)
{
	if (pop(&k->out, byte))
		return true;
	if (!k->keys.count || k->pending)
		return false;
	*byte = k->keys.bytes[k->keys.first];
	k->keys.first = (k->keys.first + 1) % PS2_KEYS;
	k->keys.count--;
	return true;
}

static void forget_keys(struct ps2_keyboard *k)
{
	k->keys.count = k->keys.owed_count = 0;
}

static void keys_save(const struct ps2_keys *q, struct state *s)
{
	state_put_u8(s, (u8)q->count);
	for (unsigned i = 0; i < q->count; i++)
		state_put_u8(s, q->bytes[(q->first + i) % PS2_KEYS]);
	state_put_u8(s, q->owed_count);
	for (unsigned i = 0; i < q->owed_count; i++)
		state_put_u16(s, q->owed[i]);
}

static void keys_load(struct ps2_keys *q, struct state *s)
{
	q->first = 0;
	q->count = state_get_u8_max(s, PS2_KEYS);
	state_get(s, q->bytes, q->count);
	q->owed_count = state_get_u8_max(s, PS2_OWED);
	for (unsigned i = 0; i < q->owed_count; i++)
		q->owed[i] = state_get_u16(s);
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
		forget_keys(k);
		k->scanning = false;
		break;
	case CMD_DEFAULTS:
		keyboard_defaults(k);
		forget_keys(k);
		break;
	case KBD_ALL_FIRST ... KBD_ALL_LAST:
		break;
	case CMD_RESET:
		keyboard_defaults(k);
		forget_keys(k);
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
	keys_save(&k->keys, s);
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
	keys_load(&k->keys, s);
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

/* The knocks are sequences of sample rates: 200, 100, 80 asks for a wheel, 200, 200, 80 for five buttons as well. */
static void mouse_knock(struct ps2_mouse *m, u8 rate)
{
	if (rate == 80 && m->knock[0] == 200 && m->knock[1] == 100)
		m->id = 3;
	else if (rate == 80 && m->knock[0] == 200 && m->knock[1] == 200)
		m->id = 4;
	m->knock[0] = m->knock[1];
	m->knock[1] = rate;
}

static int take_movement(s32 *sum, int low, int high)
{
	int n = MIN(MAX(*sum, low), high);

	*sum -= n;
	return n;
}

/* Movement since the last packet: buttons, signs and overflow; x; y; the wheel. Bit 3 of the first byte is always 1. */
static void mouse_packet(struct ps2_mouse *m)
{
	int dx = take_movement(&m->dx, -256, 255), dy = take_movement(&m->dy, -256, 255), dz;

	push(&m->out, 0x08 | (m->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
	push(&m->out, (u8)dx);
	push(&m->out, (u8)dy);
	dz = take_movement(&m->dz, -8, 7);
	if (m->id == 3)
		push(&m->out, (u8)dz);
	else if (m->id == 4)
		push(&m->out, (dz & 15) | (m->buttons >> 3 & 3) << 4);
	m->changed = m->dx || m->dy || m->dz;
}

void ps2_mouse_move(struct ps2_mouse *m, int dx, int dy, int dz, u8 buttons)
{
	m->dx = MIN(MAX(m->dx + dx, -MOUSE_MOVE_MAX), MOUSE_MOVE_MAX);
	m->dy = MIN(MAX(m->dy + dy, -MOUSE_MOVE_MAX), MOUSE_MOVE_MAX);
	if (!m->id)
		dz = 0;
	m->dz = MIN(MAX(m->dz + dz, -MOUSE_WHEEL_MAX), MOUSE_WHEEL_MAX);
	m->changed = m->changed || dx || dy || dz || buttons != m->buttons;
	m->buttons = buttons & 0x1f;
}

bool ps2_mouse_pop(struct ps2_mouse *m, u8 *byte)
{
	if (!m->out.count && m->reporting && !m->remote && !m->wrap && !m->pending && m->changed)
		mouse_packet(m);
	return pop(&m->out, byte);
}

static void forget_movement(struct ps2_mouse *m)
{
	m->dx = m->dy = m->dz = 0;
	m->changed = false;
}

static void mouse_argument(struct ps2_mouse *m, u8 cmd, u8 arg)
{
	if (cmd == CMD_RATE) {
		m->rate = arg;
		mouse_knock(m, arg);
	} else if (arg <= 3)
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
		push(&m->out, (m->remote ? 0x40 : 0) | (m->reporting ? 0x20 : 0) | (m->scale2 ? 0x10 : 0) | (m->buttons & 1 ? 4 : 0) |
				      (m->buttons & 4 ? 2 : 0) | (m->buttons & 2 ? 1 : 0));
		push(&m->out, m->resolution);
		push(&m->out, m->rate);
		return;
	case MOUSE_STREAM:
		m->remote = false;
		return;
	case MOUSE_READ:
		mouse_packet(m);
		return;
	case MOUSE_WRAP:
	case MOUSE_UNWRAP:
		m->wrap = cmd == MOUSE_WRAP;
		return;
	case MOUSE_REMOTE:
		m->remote = true;
		return;
	case CMD_ID:
		push(&m->out, m->id);
		return;
	case CMD_ENABLE:
	case CMD_DISABLE:
		m->reporting = cmd == CMD_ENABLE;
		forget_movement(m);
		return;
	case CMD_DEFAULTS:
		mouse_defaults(m);
		forget_movement(m);
		return;
	case CMD_RESET:
		mouse_defaults(m);
		forget_movement(m);
		m->id = 0;
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
	state_put_u8(s, m->id);
	state_put(s, m->knock, sizeof(m->knock));
	state_put_u8(s, m->buttons);
	state_put_u8(s, m->changed);
	state_put_u32(s, (u32)m->dx);
	state_put_u32(s, (u32)m->dy);
	state_put_u32(s, (u32)m->dz);
}

static s32 get_movement(struct state *s, s32 max)
{
	s32 x = (s32)state_get_u32(s);

	if (x >= -max && x <= max)
		return x;
	s->error = true;
	return 0;
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
	m->id = state_get_u8_max(s, 4);
	state_get(s, m->knock, sizeof(m->knock));
	m->buttons = state_get_u8_max(s, 0x1f);
	m->changed = state_get_bool(s);
	m->dx = get_movement(s, MOUSE_MOVE_MAX);
	m->dy = get_movement(s, MOUSE_MOVE_MAX);
	m->dz = get_movement(s, MOUSE_WHEEL_MAX);
}
