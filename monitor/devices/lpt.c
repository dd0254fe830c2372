/*
 * The parallel port: data and control registers hold what is written, the status register says that there is no printer (its lines float
 * high). Nothing ever acknowledges, so it never interrupts; the line is held low.
 */
#include "monitor/devices/lpt.h"

#include <stdlib.h>

#include "monitor/devices/checked_state.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

enum { REG_DATA, REG_STATUS, REG_CONTROL, REG_LAST = REG_CONTROL };
#define STATUS_NOBODY	0x7f /* busy (inverted) low; error, select, paper out, acknowledge high */
#define CONTROL_BITS	0x3f
#define CONTROL_FLOAT	0xc0
#define CONTROL_RESET	0x0c /* select in, not initializing */
#define CONTROL_REVERSE 0x20 /* the data lines are inputs */

struct lpt {
	u16 iobase;
	struct irq irq;
	u8 data, control;
};

static u32 lpt_read(void *opaque, u16 port, unsigned size)
{
	struct lpt *p = opaque;

	(void)size;
	switch (port - p->iobase) {
	case REG_DATA:
		return p->control & CONTROL_REVERSE ? 0xff : p->data;
	case REG_STATUS:
		return STATUS_NOBODY;
	default:
		return CONTROL_FLOAT | p->control;
	}
}

static void lpt_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct lpt *p = opaque;

	(void)size;
	if (port - p->iobase == REG_DATA)
		p->data = (u8)value;
	else if (port - p->iobase == REG_CONTROL)
		p->control = value & CONTROL_BITS;
}

static void lpt_reset(void *opaque)
{
	struct lpt *p = opaque;

	p->data = 0;
	p->control = CONTROL_RESET;
	irq_set(&p->irq, 0);
}

static void lpt_save(void *opaque, struct state *s)
{
	struct lpt *p = opaque;

	state_put_u8(s, p->data);
	state_put_u8(s, p->control);
}

static void lpt_load(void *opaque, struct state *s)
{
	struct lpt *p = opaque;
	u8 data = state_get_u8(s), control = state_get_u8_max(s, CONTROL_BITS);

	if (s->error)
		return;
	p->data = data;
	p->control = control;
}

static void lpt_free(void *opaque)
{
	free(opaque);
}

void lpt_create(struct vm *vm, u16 iobase, struct irq irq)
{
	struct lpt *p = calloc(1, sizeof(*p));

	if (!p)
		fatal("out of memory");
	p->iobase = iobase;
	p->irq = irq;
	lpt_reset(p);
	trace_ports(vm, io_register(vm, &(struct port_range){iobase, iobase + REG_LAST, 1, lpt_read, lpt_write, p}), REGS_LPT);
	device_register(vm, &(struct device){"lpt1", 1, p, lpt_reset, lpt_save, lpt_load, lpt_free});
}
