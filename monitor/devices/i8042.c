/*
 * The 8042 controller: reset, the A20 gate, and the way of the keyboard's and the mouse's bytes (ps2.c). Displays type and point by
 * i8042_key and i8042_mouse.
 *
 * Invariants: a byte is in the output buffer (`full`), or every source that may deliver has none. The controller's own answers come first,
 * then the keyboard, then the mouse. An interrupt line is high exactly while a byte of its device is in the output buffer and its interrupt
 * is enabled.
 */
#include "monitor/devices/i8042.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/ps2.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define I8042_DATA    0x60
#define I8042_COMMAND 0x64

#define STATUS_OBF 0x01
#define STATUS_SYS 0x04
#define STATUS_CMD 0x08 /* the last write went to port 64h */
#define STATUS_KEY 0x10 /* the keyboard is not locked */
#define STATUS_AUX 0x20 /* the byte is the mouse's */

#define CCB_KBD_INT 0x01
#define CCB_AUX_INT 0x02
#define CCB_SYS	    0x04
#define CCB_KBD_OFF 0x10
#define CCB_AUX_OFF 0x20
#define CCB_XLATE   0x40

#define CMD_READ_RAM	  0x20 /* ..3Fh; byte 0 is the command byte */
#define CMD_WRITE_RAM	  0x60 /* ..7Fh */
#define CMD_AUX_OFF	  0xa7
#define CMD_AUX_ON	  0xa8
#define CMD_AUX_TEST	  0xa9
#define CMD_SELF_TEST	  0xaa
#define CMD_KBD_TEST	  0xab
#define CMD_KBD_OFF	  0xad
#define CMD_KBD_ON	  0xae
#define CMD_READ_IN	  0xc0
#define CMD_READ_OUT	  0xd0
#define CMD_WRITE_OUT	  0xd1
#define CMD_WRITE_KBD_OBF 0xd2
#define CMD_WRITE_AUX_OBF 0xd3
#define CMD_WRITE_AUX	  0xd4
#define CMD_A20_OFF	  0xdd
#define CMD_A20_ON	  0xdf
#define CMD_PULSE	  0xf0 /* ..FFh: pulses the output lines whose bit is 0 */

#define OUT_RESET   0x01 /* low: reset */
#define OUT_A20	    0x02
#define OUT_KBD_OBF 0x10
#define OUT_AUX_OBF 0x20
#define IN_UNLOCKED 0x80

#define ANSWERS	      4
#define OWED_DELAY_NS 2000000ull

struct answer {
	u8 byte, aux;
};

struct i8042 {
	struct vm *vm;
	struct irq irq_kbd, irq_aux;
	u8 ram[32]; /* [0]: the command byte */
	u8 pending; /* the command that waits for its byte at port 60h; 0: none */
	bool last_cmd;
	bool full, aux; /* the output buffer */
	bool breaking;	/* translation has met a break prefix, and its code is due */
	u8 byte;
	struct answer answers[ANSWERS]; /* the controller's own */
	u8 answer_count;
	struct timer owed; /* armed while the keyboard owes releases (ps2.h) */
	struct ps2_keyboard kbd;
	struct ps2_mouse mouse;
};

static void i8042_set_output(struct i8042 *c, u8 byte, bool aux)
{
	c->full = true;
	c->byte = byte;
	c->aux = aux;
}

static void i8042_update(struct i8042 *c)
{
	u8 ccb = c->ram[0], byte;

	if (!c->full && c->answer_count) {
		i8042_set_output(c, c->answers[0].byte, c->answers[0].aux);
		c->answer_count--;
		memmove(c->answers, c->answers + 1, c->answer_count * sizeof(c->answers[0]));
	}
	while (!c->full && !(ccb & CCB_KBD_OFF) && ps2_keyboard_pop(&c->kbd, &byte)) {
		/* Translated, the break prefix becomes bit 7 of the code that follows it. */
		if ((ccb & CCB_XLATE) && byte == 0xf0) {
			c->breaking = true;
			continue;
		}
		i8042_set_output(c, ccb & CCB_XLATE ? ps2_set1(byte) | (c->breaking ? 0x80 : 0) : byte, false);
		c->breaking = false;
	}
	if (!c->full && !(ccb & CCB_AUX_OFF) && ps2_mouse_pop(&c->mouse, &byte))
		i8042_set_output(c, byte, true);
	if (ps2_keyboard_owes(&c->kbd) && !c->owed.armed)
		timer_mod(&c->owed, clock_ns(&c->vm->clock) + OWED_DELAY_NS);
	irq_set(&c->irq_kbd, c->full && !c->aux && (ccb & CCB_KBD_INT));
	irq_set(&c->irq_aux, c->full && c->aux && (ccb & CCB_AUX_INT));
}

static void i8042_pay(void *opaque)
{
	struct i8042 *c = opaque;

	ps2_keyboard_pay(&c->kbd);
	i8042_update(c);
}

/* An answer of the controller; a guest that never reads loses those that do not fit. */
static void i8042_answer(struct i8042 *c, u8 byte, bool aux)
{
	if (c->answer_count < ANSWERS)
		c->answers[c->answer_count++] = (struct answer){byte, aux};
}

static void i8042_write_output_port(struct i8042 *c, u8 value)
{
	vm_set_a20(c->vm, value & OUT_A20);
	if (!(value & OUT_RESET))
		vm_request_reset(c->vm);
}

static u8 i8042_output_port(const struct i8042 *c)
{
	return 0xc0 | OUT_RESET | (c->vm->mem.a20_open ? OUT_A20 : 0) | (c->full && !c->aux ? OUT_KBD_OBF : 0) |
	       (c->full && c->aux ? OUT_AUX_OBF : 0);
}

static void i8042_command(struct i8042 *c, u8 cmd)
{
	c->pending = 0;
	switch (cmd) {
	case CMD_READ_RAM ... CMD_READ_RAM + 31:
		i8042_answer(c, c->ram[cmd - CMD_READ_RAM], false);
		return;
	case CMD_WRITE_RAM ... CMD_WRITE_RAM + 31:
	case CMD_WRITE_OUT:
	case CMD_WRITE_KBD_OBF:
	case CMD_WRITE_AUX_OBF:
	case CMD_WRITE_AUX:
		c->pending = cmd;
		return;
	case CMD_AUX_OFF:
		c->ram[0] |= CCB_AUX_OFF;
		return;
	case CMD_AUX_ON:
		c->ram[0] &= ~CCB_AUX_OFF;
		return;
	case CMD_SELF_TEST:
		c->ram[0] |= CCB_SYS;
		i8042_answer(c, 0x55, false);
		return;
	case CMD_AUX_TEST:
	case CMD_KBD_TEST:
		i8042_answer(c, 0x00, false);
		return;
	case CMD_KBD_OFF:
		c->ram[0] |= CCB_KBD_OFF;
		return;
	case CMD_KBD_ON:
		c->ram[0] &= ~CCB_KBD_OFF;
		return;
	case CMD_READ_IN:
		i8042_answer(c, IN_UNLOCKED, false);
		return;
	case CMD_READ_OUT:
		i8042_answer(c, i8042_output_port(c), false);
		return;
	case CMD_A20_OFF:
	case CMD_A20_ON:
		vm_set_a20(c->vm, cmd == CMD_A20_ON);
		return;
	case CMD_PULSE ... 0xff:
		if (!(cmd & OUT_RESET))
			vm_request_reset(c->vm);
		return;
	}
	log_to(LOG_GUEST_ERRORS, "i8042: unknown command %#x", cmd);
}

static void i8042_data(struct i8042 *c, u8 value)
{
	u8 cmd = c->pending;

	c->pending = 0;
	switch (cmd) {
	case 0:
		/* The controller opens the clock line to send. */
		c->ram[0] &= ~CCB_KBD_OFF;
		ps2_keyboard_write(&c->kbd, value);
		return;
	case CMD_WRITE_OUT:
		i8042_write_output_port(c, value);
		return;
	case CMD_WRITE_KBD_OBF:
		i8042_answer(c, value, false);
		return;
	case CMD_WRITE_AUX_OBF:
		i8042_answer(c, value, true);
		return;
	case CMD_WRITE_AUX:
		c->ram[0] &= ~CCB_AUX_OFF;
		ps2_mouse_write(&c->mouse, value);
		return;
	}
	c->ram[(cmd - CMD_WRITE_RAM) & 31] = value;
}

static void i8042_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct i8042 *c = opaque;

	(void)size;
	c->last_cmd = port == I8042_COMMAND;
	if (c->last_cmd)
		i8042_command(c, value);
	else
		i8042_data(c, value);
	i8042_update(c);
}

static u32 i8042_read_data(void *opaque, u16 port, unsigned size)
{
	struct i8042 *c = opaque;
	u8 byte = c->byte;

	(void)port;
	(void)size;
	if (c->full) {
		/* The line falls before the next byte raises it again: every byte has its edge. */
		c->full = false;
		irq_set(&c->irq_kbd, 0);
		irq_set(&c->irq_aux, 0);
		i8042_update(c);
	}
	return byte;
}

static u32 i8042_read_status(void *opaque, u16 port, unsigned size)
{
	struct i8042 *c = opaque;

	(void)port;
	(void)size;
	return STATUS_KEY | (c->full ? STATUS_OBF : 0) | (c->full && c->aux ? STATUS_AUX : 0) | (c->ram[0] & CCB_SYS ? STATUS_SYS : 0) |
	       (c->last_cmd ? STATUS_CMD : 0);
}

/* As PC firmware leaves it: tested, keyboard on and translated, mouse off. */
static void i8042_reset(void *opaque)
{
	struct i8042 *c = opaque;

	memset(c->ram, 0, sizeof(c->ram));
	c->ram[0] = CCB_XLATE | CCB_AUX_OFF | CCB_SYS | CCB_KBD_INT;
	c->pending = 0;
	c->last_cmd = c->full = c->aux = c->breaking = false;
	c->byte = 0;
	c->answer_count = 0;
	timer_del(&c->owed);
	ps2_keyboard_reset(&c->kbd);
	c->kbd.scanning = true;
	ps2_mouse_reset(&c->mouse);
	i8042_update(c);
}

static void i8042_save(void *opaque, struct state *s)
{
	struct i8042 *c = opaque;

	state_put(s, c->ram, sizeof(c->ram));
	state_put_u8(s, c->pending);
	state_put_u8(s, c->last_cmd);
	state_put_u8(s, c->full);
	state_put_u8(s, c->aux);
	state_put_u8(s, c->breaking);
	state_put_u8(s, c->byte);
	state_put_u8(s, c->answer_count);
	for (unsigned i = 0; i < c->answer_count; i++) {
		state_put_u8(s, c->answers[i].byte);
		state_put_u8(s, c->answers[i].aux);
	}
	state_put_u8(s, c->owed.armed);
	state_put_u64(s, c->owed.armed ? c->owed.deadline : 0);
	ps2_keyboard_save(&c->kbd, s);
	ps2_mouse_save(&c->mouse, s);
}

static bool takes_byte(u8 cmd)
{
	return cmd == 0 || (cmd >= CMD_WRITE_RAM && cmd < CMD_WRITE_RAM + 32) || (cmd >= CMD_WRITE_OUT && cmd <= CMD_WRITE_AUX);
}

static void i8042_load(void *opaque, struct state *s)
{
	struct i8042 *c = opaque;
	struct i8042 n = {.vm = c->vm, .irq_kbd = c->irq_kbd, .irq_aux = c->irq_aux};
	u64 deadline;
	bool armed;

	state_get(s, n.ram, sizeof(n.ram));
	n.pending = state_get_u8(s);
	n.last_cmd = state_get_bool(s);
	n.full = state_get_bool(s);
	n.aux = state_get_bool(s);
	n.breaking = state_get_bool(s);
	n.byte = state_get_u8(s);
	n.answer_count = state_get_u8_max(s, ANSWERS);
	for (unsigned i = 0; i < n.answer_count; i++) {
		n.answers[i].byte = state_get_u8(s);
		n.answers[i].aux = state_get_bool(s);
	}
	armed = state_get_bool(s);
	deadline = state_get_u64_max(s, armed ? UINT64_MAX / 2 : 0);
	ps2_keyboard_load(&n.kbd, s);
	ps2_mouse_load(&n.mouse, s);
	if (!takes_byte(n.pending))
		s->error = true;
	if (s->error)
		return;
	timer_del(&c->owed);
	n.owed = c->owed;
	*c = n;
	if (armed)
		timer_mod(&c->owed, deadline);
	i8042_update(c);
}

static void i8042_free(void *opaque)
{
	struct i8042 *c = opaque;

	timer_del(&c->owed);
	free(c);
}

void i8042_key(struct i8042 *c, u16 code, bool down)
{
	ps2_keyboard_key(&c->kbd, code, down);
	i8042_update(c);
}

bool i8042_key_ready(const struct i8042 *c)
{
	return ps2_keyboard_ready(&c->kbd);
}

void i8042_mouse(struct i8042 *c, int dx, int dy, int dz, u8 buttons)
{
	ps2_mouse_move(&c->mouse, dx, dy, dz, buttons);
	i8042_update(c);
}

struct i8042 *i8042_create(struct vm *vm, struct irq irq_kbd, struct irq irq_aux)
{
	struct i8042 *c = calloc(1, sizeof(*c));

	if (!c)
		fatal("out of memory");
	c->vm = vm;
	c->irq_kbd = irq_kbd;
	c->irq_aux = irq_aux;
	timer_init(&c->owed, vm, i8042_pay, c);
	i8042_reset(c);
	trace_ports(vm, io_register(vm, &(struct port_range){I8042_DATA, I8042_DATA, 1, i8042_read_data, i8042_write, c}), REGS_I8042);
	trace_ports(vm, io_register(vm, &(struct port_range){I8042_COMMAND, I8042_COMMAND, 1, i8042_read_status, i8042_write, c}),
		    REGS_I8042);
	device_register(vm, &(struct device){"i8042", 2, c, i8042_reset, i8042_save, i8042_load, i8042_free});
	return c;
}
