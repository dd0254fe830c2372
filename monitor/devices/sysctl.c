/*
 * System control ports: port 92h and the reset register.
 * Invariant: the A20 gate's only state is vm->mem.a20_open, shared with the i8042; it is saved here.
 */
#include "monitor/devices/sysctl.h"

#include <stdlib.h>

#include "monitor/devices/checked_state.h"
#include "monitor/io.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PORT_92	   0x92
#define P92_RESET  0x01 /* 0 -> 1 resets */
#define P92_A20	   0x02
#define CF9_SYSTEM 0x02 /* hard reset: of the chipset's kept registers as well */
#define CF9_CPU	   0x04 /* 0 -> 1 resets */
#define CF9_FULL   0x08

struct sysctl {
	struct vm *vm;
	u8 port92; /* bits other than A20 */
	u8 cf9;
};

static u32 port92_read(void *opaque, u16 port, unsigned size)
{
	struct sysctl *c = opaque;

	(void)port;
	(void)size;
	return c->port92 | (c->vm->mem.a20_open ? P92_A20 : 0);
}

static void port92_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct sysctl *c = opaque;
	bool reset = (value & P92_RESET) && !(c->port92 & P92_RESET);

	(void)port;
	(void)size;
	c->port92 = value & ~P92_A20;
	vm_set_a20(c->vm, value & P92_A20);
	if (reset)
		vm_request_reset(c->vm);
}

u8 sysctl_reset_read(const struct sysctl *c)
{
	return c->cf9;
}

void sysctl_reset_write(struct sysctl *c, u8 value)
{
	bool reset = (value & CF9_CPU) && !(c->cf9 & CF9_CPU);

	c->cf9 = value & (CF9_SYSTEM | CF9_CPU | CF9_FULL);
	if (!reset)
		return;
	c->vm->hard_reset = value & CF9_SYSTEM;
	vm_request_reset(c->vm);
}

static void sysctl_reset(void *opaque)
{
	struct sysctl *c = opaque;

	c->port92 = c->cf9 = 0;
	/* Firmware opens the gate long before a kernel runs. */
	vm_set_a20(c->vm, true);
}

static void sysctl_save(void *opaque, struct state *s)
{
	struct sysctl *c = opaque;

	state_put_u8(s, c->vm->mem.a20_open);
	state_put_u8(s, c->port92);
	state_put_u8(s, c->cf9);
	state_put_u8(s, c->vm->hard_reset);
}

static void sysctl_load(void *opaque, struct state *s)
{
	struct sysctl *c = opaque;
	struct sysctl n = {.vm = c->vm};
	bool a20 = state_get_bool(s), hard_reset;

	n.port92 = state_get_u8(s);
	n.cf9 = state_get_u8(s);
	hard_reset = state_get_bool(s);
	if ((n.port92 & P92_A20) || (n.cf9 & ~(CF9_SYSTEM | CF9_CPU | CF9_FULL)))
		s->error = true;
	if (s->error)
		return;
	*c = n;
	c->vm->hard_reset = hard_reset;
	vm_set_a20(c->vm, a20);
}

static void sysctl_free(void *opaque)
{
	free(opaque);
}

struct sysctl *sysctl_create(struct vm *vm)
{
	struct sysctl *c = calloc(1, sizeof(*c));

	if (!c)
		fatal("out of memory");
	c->vm = vm;
	sysctl_reset(c);
	trace_ports(vm, io_register(vm, &(struct port_range){PORT_92, PORT_92, 1, port92_read, port92_write, c}), REGS_SYSCTL);
	device_register(vm, &(struct device){"sysctl", 2, c, sysctl_reset, sysctl_save, sysctl_load, sysctl_free});
	return c;
}
