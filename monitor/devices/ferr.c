/*
 * FERR#, IGNNE# and port F0h, as on the AT's board and every PC since (SDM Vol. 1 D.2.1): an unmasked x87 exception sets a latch that is
 * IRQ13. The handler's write to port F0h clears it and asserts IGNNE#, with which the CPU executes x87 instructions although the exception
 * is still pending; IGNNE# goes away with the exception.
 *
 * Invariant: v->ignne is IGNNE#. It is set here, by the vCPU's own OUT, and cleared by the dispatcher.
 */
#include "monitor/devices/ferr.h"

#include <stdlib.h>

#include "monitor/devices/checked_state.h"
#include "monitor/log.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

#define PORT_F0 0xf0

struct ferr {
	struct vm *vm;
	struct irq irq;
	bool latch;
};

static void set_latch(struct ferr *f, bool on)
{
	if (f->latch == on)
		return;
	f->latch = on;
	irq_set(&f->irq, on);
}

void ferr_assert(struct ferr *f)
{
	set_latch(f, true);
}

static void port_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct ferr *f = opaque;

	(void)port;
	(void)value;
	(void)size;
	if (!f->latch)
		return;
	set_latch(f, false);
	if (f->vm->vcpu)
		f->vm->vcpu->ignne = true;
}

static u32 port_read(void *opaque, u16 port, unsigned size)
{
	(void)opaque;
	(void)port;
	(void)size;
	return 0xff;
}

static void ferr_reset(void *opaque)
{
	set_latch(opaque, false);
}

static void ferr_save(void *opaque, struct state *s)
{
	struct ferr *f = opaque;

	state_put_u8(s, f->latch);
	state_put_u8(s, f->vm->vcpu && f->vm->vcpu->ignne);
}

static void ferr_load(void *opaque, struct state *s)
{
	struct ferr *f = opaque;
	bool latch = state_get_bool(s), ignne = state_get_bool(s);

	if (ignne && !f->vm->vcpu)
		s->error = true;
	if (s->error)
		return;
	/* The line's level is part of the PIC's own state. */
	f->latch = latch;
	if (f->vm->vcpu)
		f->vm->vcpu->ignne = ignne;
}

static void ferr_free(void *opaque)
{
	free(opaque);
}

struct ferr *ferr_create(struct vm *vm, struct irq irq)
{
	struct ferr *f = calloc(1, sizeof(*f));

	if (!f)
		fatal("out of memory");
	f->vm = vm;
	f->irq = irq;
	io_register(vm, &(struct port_range){PORT_F0, PORT_F0, 1, port_read, port_write, f});
	device_register(vm, &(struct device){"ferr", 1, f, ferr_reset, ferr_save, ferr_load, ferr_free});
	return f;
}
