/*
 * Debug console and debug exit, compatible with QEMU's. Neither keeps guest-visible state.
 * Invariant: the guest never waits: what the console's back end has no room for even after txbuf.h's is dropped.
 */
#include "monitor/devices/debug.h"

#include <stdlib.h>

#include "monitor/chardev.h"
#include "monitor/devices/txbuf.h"
#include "monitor/io.h"
#include "monitor/log.h"
#include "monitor/vm.h"

#define DEBUGCON_MAGIC 0xe9

struct debugcon {
	struct chardev *chr;
	struct txbuf tx;
};

static u32 debugcon_read(void *opaque, u16 port, unsigned size)
{
	(void)opaque;
	(void)port;
	(void)size;
	return DEBUGCON_MAGIC;
}

static void debugcon_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct debugcon *d = opaque;

	(void)port;
	(void)size;
	txbuf_put(&d->tx, value);
}

static void debugcon_save(void *opaque, struct state *s)
{
	struct debugcon *d = opaque;

	txbuf_save(&d->tx, s);
}

static void debugcon_load(void *opaque, struct state *s)
{
	struct debugcon *d = opaque;

	txbuf_load(&d->tx, s);
}

static void debugcon_free(void *opaque)
{
	struct debugcon *d = opaque;

	txbuf_fini(&d->tx);
	chardev_close(d->chr);
	free(d);
}

void debugcon_create(struct vm *vm, struct chardev *chr)
{
	struct debugcon *d = calloc(1, sizeof(*d));

	if (!d)
		fatal("out of memory");
	d->chr = chr;
	txbuf_init(&d->tx, vm, chr, NULL, NULL);
	io_register(vm, &(struct port_range){vm->opt.debugcon_iobase, vm->opt.debugcon_iobase, 1, debugcon_read, debugcon_write, d});
	device_register(vm, &(struct device){"debugcon", 1, d, NULL, debugcon_save, debugcon_load, debugcon_free});
}

static u32 debug_exit_read(void *opaque, u16 port, unsigned size)
{
	(void)opaque;
	(void)port;
	(void)size;
	return 0;
}

static void debug_exit_write(void *opaque, u16 port, u32 value, unsigned size)
{
	(void)port;
	(void)size;
	vm_request_exit(opaque, VM_DEBUG_EXIT, (int)(value << 1 | 1));
}

void debug_exit_create(struct vm *vm)
{
	u32 first = vm->opt.debug_exit_iobase, last = first + vm->opt.debug_exit_iosize - 1;

	io_register(vm, &(struct port_range){first, last, 4, debug_exit_read, debug_exit_write, vm});
}
