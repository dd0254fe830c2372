/*
 * sendkey: keys by QEMU's names, pressed together and released after a while.
 *
 * Invariants: chords are typed one after the other, by a timer on vm time, each when the guest has taken the one before, or has taken
 * nothing for half a second; chords wait while the machine is stopped. What waits is bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "monitor/console_internal.h"
#include "monitor/devices/i8042.h"
#include "monitor/devices/ps2.h"
#include "monitor/vm.h"

#define HOLD_MS	    100
#define HOLD_MAX_MS 60000
#define RETRY_NS    2000000ull
#define TRIES	    250

/* Codes are set 2's, as in ps2.h. */
static const struct {
	const char *name;
	u16 code;
} keys[] = {
	{"shift", 0x12},
	{"shift_r", 0x59},
	{"alt", 0x11},
	{"alt_r", 0xe011},
	{"ctrl", 0x14},
	{"ctrl_r", 0xe014},
	{"menu", 0xe02f},
	{"compose", 0xe02f},
	{"meta_l", 0xe01f},
	{"meta_r", 0xe027},
	{"esc", 0x76},
	{"1", 0x16},
	{"2", 0x1e},
	{"3", 0x26},
	{"4", 0x25},
	{"5", 0x2e},
	{"6", 0x36},
	{"7", 0x3d},
	{"8", 0x3e},
	{"9", 0x46},
	{"0", 0x45},
	{"minus", 0x4e},
	{"equal", 0x55},
	{"backspace", 0x66},
	{"tab", 0x0d},
	{"q", 0x15},
	{"w", 0x1d},
	{"e", 0x24},
	{"r", 0x2d},
	{"t", 0x2c},
	{"y", 0x35},
	{"u", 0x3c},
	{"i", 0x43},
	{"o", 0x44},
	{"p", 0x4d},
	{"bracket_left", 0x54},
	{"bracket_right", 0x5b},
	{"ret", 0x5a},
	{"a", 0x1c},
	{"s", 0x1b},
	{"d", 0x23},
	{"f", 0x2b},
	{"g", 0x34},
	{"h", 0x33},
	{"j", 0x3b},
	{"k", 0x42},
	{"l", 0x4b},
	{"semicolon", 0x4c},
	{"apostrophe", 0x52},
	{"grave_accent", 0x0e},
	{"backslash", 0x5d},
	{"z", 0x1a},
	{"x", 0x22},
	{"c", 0x21},
	{"v", 0x2a},
	{"b", 0x32},
	{"n", 0x31},
	{"m", 0x3a},
	{"comma", 0x41},
	{"dot", 0x49},
	{"slash", 0x4a},
	{"asterisk", 0x7c},
	{"spc", 0x29},
	{"caps_lock", 0x58},
	{"f1", 0x05},
	{"f2", 0x06},
	{"f3", 0x04},
	{"f4", 0x0c},
	{"f5", 0x03},
	{"f6", 0x0b},
	{"f7", 0x83},
	{"f8", 0x0a},
	{"f9", 0x01},
	{"f10", 0x09},
	{"f11", 0x78},
	{"f12", 0x07},
	{"num_lock", 0x77},
	{"scroll_lock", 0x7e},
	{"kp_divide", 0xe04a},
	{"kp_multiply", 0x7c},
	{"kp_subtract", 0x7b},
	{"kp_add", 0x79},
	{"kp_enter", 0xe05a},
	{"kp_decimal", 0x71},
	{"sysrq", PS2_PRINT},
	{"print", PS2_PRINT},
	{"pause", PS2_PAUSE},
	{"kp_0", 0x70},
	{"kp_1", 0x69},
	{"kp_2", 0x72},
	{"kp_3", 0x7a},
	{"kp_4", 0x6b},
	{"kp_5", 0x73},
	{"kp_6", 0x74},
	{"kp_7", 0x6c},
	{"kp_8", 0x75},
	{"kp_9", 0x7d},
	{"less", 0x61},
	{"home", 0xe06c},
	{"pgup", 0xe07d},
	{"pgdn", 0xe07a},
	{"end", 0xe069},
	{"left", 0xe06b},
	{"up", 0xe075},
	{"down", 0xe072},
	{"right", 0xe074},
	{"insert", 0xe070},
	{"delete", 0xe071},
};

/* ---- typing ---- */

static void again(struct console *con, struct vm *vm, u64 ns)
{
	timer_mod(&con->key_timer, clock_ns(&vm->clock) + ns);
}

static void on_timer(void *opaque)
{
	struct vm *vm = opaque;
	struct console *con = vm->console;
	const struct chord *k = &con->chords[con->chord_first];

	if (con->chord_down) {
		for (unsigned i = k->count; i-- > 0;)
			i8042_key(vm->keyboard, k->keys[i], false);
		con->chord_down = false;
		con->chord_first = (con->chord_first + 1) % CHORDS;
		if (--con->chord_count)
			again(con, vm, RETRY_NS);
		return;
	}
	if (!i8042_key_ready(vm->keyboard) && con->chord_tries++ < TRIES) {
		again(con, vm, RETRY_NS);
		return;
	}
	con->chord_tries = 0;
	for (unsigned i = 0; i < k->count; i++)
		i8042_key(vm->keyboard, k->keys[i], true);
	con->chord_down = true;
	again(con, vm, k->hold_ms * 1000000ull);
}

/* ---- the command ---- */

static u16 key_code(const char *s, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (strlen(keys[i].name) == n && memcmp(keys[i].name, s, n) == 0)
			return keys[i].code;
	return 0;
}

static bool parse_chord(struct console_call *c, const char *s, struct chord *k)
{
	k->count = 0;
	for (;;) {
		size_t n = strcspn(s, "-");
		u16 code = n == 1 && *s == '<' ? key_code("less", 4) : key_code(s, n);

		if (!code) {
			console_printf(c, "invalid parameter: %.*s\n", (int)n, s);
			return false;
		}
		if (k->count == CHORD_KEYS) {
			console_printf(c, "sendkey: at most %d keys at a time\n", CHORD_KEYS);
			return false;
		}
		k->keys[k->count++] = code;
		if (!s[n])
			return true;
		s += n + 1;
	}
}

static void cmd_sendkey(struct console_call *c)
{
	struct console *con = console_of(c->vm);
	s64 hold = HOLD_MS;
	struct chord k;
	char names[256];

	if (!console_word(c, "keys", names, sizeof(names)) || !parse_chord(c, names, &k))
		return;
	if (console_more(c) && !console_number(c, "hold_time", &hold))
		return;
	if (!console_end(c))
		return;
	if (hold < 1 || hold > HOLD_MAX_MS) {
		console_printf(c, "sendkey: hold_time must be between 1 and %d ms\n", HOLD_MAX_MS);
		return;
	}
	if (con->chord_count == CHORDS) {
		console_printf(c, "sendkey: %d keys wait already for the guest to take them\n", CHORDS);
		return;
	}
	k.hold_ms = (u32)hold;
	con->chords[(con->chord_first + con->chord_count++) % CHORDS] = k;
	if (con->chord_count > 1)
		return;
	if (!con->key_timer.vm)
		timer_init(&con->key_timer, c->vm, on_timer, c->vm);
	again(con, c->vm, 0);
}

const struct console_cmd console_key_commands[] = {
	{"sendkey", "KEY[-KEY...] [HOLD_MS]", "press keys together, as ctrl-alt-f1, and release them", 0, cmd_sendkey, NULL},
	{0},
};
