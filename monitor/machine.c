/*
 * The PC's board: creates the devices, runs the interrupt lines.
 *
 * Invariants: the PIC is registered first, so that at a reset the devices drive their lines into a PIC that has been reset, and at a load
 * they find its input levels as they were saved. Lines that two serial ports share are joined by an OR gate; on the ISA bus the two would
 * fight.
 */
#include "monitor/machine.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/chardev.h"
#include "monitor/devices/acpi_pm.h"
#include "monitor/devices/checked_state.h"
#include "monitor/devices/debug.h"
#include "monitor/devices/ferr.h"
#include "monitor/devices/i8042.h"
#include "monitor/devices/pci_host.h"
#include "monitor/devices/pic.h"
#include "monitor/devices/pit.h"
#include "monitor/devices/rtc.h"
#include "monitor/devices/sysctl.h"
#include "monitor/devices/uart.h"
#include "monitor/devices/vga.h"
#include "monitor/display/display.h"
#include "monitor/log.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

enum {
	IRQ_KEYBOARD = 1,
	IRQ_COM_EVEN = 3, /* COM2 and COM4 */
	IRQ_COM_ODD = 4,  /* COM1 and COM3 */
	IRQ_RTC = 8,
	IRQ_SCI = 9,
	IRQ_MOUSE = 12,
	IRQ_FERR = 13,
};

static const struct {
	const char *name;
	u16 iobase;
} serial_ports[MAX_SERIALS] = {{"com1", 0x3f8}, {"com2", 0x2f8}, {"com3", 0x3e8}, {"com4", 0x2e8}};

struct or_gate {
	struct irq out;
	u8 levels; /* a bit for each input */
};

static void or_gate_set(void *opaque, int line, int level)
{
	struct or_gate *g = opaque;

	g->levels = level ? g->levels | BIT(line) : g->levels & ~BIT(line);
	irq_set(&g->out, g->levels != 0);
}

static void or_gate_reset(void *opaque)
{
	struct or_gate *g = opaque;

	g->levels = 0;
	irq_set(&g->out, 0);
}

static void or_gate_save(void *opaque, struct state *s)
{
	struct or_gate *g = opaque;

	state_put_u8(s, g->levels);
}

static void or_gate_load(void *opaque, struct state *s)
{
	struct or_gate *g = opaque;
	u8 levels = state_get_u8_max(s, 3);

	if (!s->error)
		g->levels = levels;
}

static void or_gate_free(void *opaque)
{
	free(opaque);
}

static struct or_gate *or_gate_create(struct vm *vm, const char *name, struct irq out)
{
	struct or_gate *g = calloc(1, sizeof(*g));

	if (!g)
		fatal("out of memory");
	g->out = out;
	device_register(vm, &(struct device){name, 1, g, or_gate_reset, or_gate_save, or_gate_load, or_gate_free});
	return g;
}

/* The PIC's INTR pin. */
static void set_intr(void *opaque, int line, int level)
{
	struct vm *vm = opaque;

	(void)line;
	if (!vm->vcpu)
		return;
	if (level)
		vcpu_set_event(vm->vcpu, EV_INTR);
	else
		vcpu_clear_event(vm->vcpu, EV_INTR);
}

bool machine_has_serial(const struct vm *vm, int n)
{
	return (unsigned)n < vm->opt.serial_count && vm->opt.serial[n] && strcmp(vm->opt.serial[n], "none") != 0;
}

static struct chardev *open_backend(struct vm *vm, const char *option, const char *spec)
{
	char err[256];
	struct chardev *c = chardev_open(vm, spec, err, sizeof(err));

	if (!c)
		fatal("-%s %s: %s", option, spec, err);
	return c;
}

void machine_init(struct vm *vm)
{
	struct chardev *serial[MAX_SERIALS] = {0}, *debugcon = NULL;
	struct or_gate *com[2];

	for (int i = 0; i < MAX_SERIALS; i++)
		if (machine_has_serial(vm, i))
			serial[i] = open_backend(vm, "serial", vm->opt.serial[i]);
	if (vm->opt.debugcon && strcmp(vm->opt.debugcon, "none") != 0)
		debugcon = open_backend(vm, "debugcon", vm->opt.debugcon);

	pthread_mutex_lock(&vm->lock);
	vm->pic = pic_create(vm, (struct irq){set_intr, vm, 0});
	vm->ferr = ferr_create(vm, pic_irq(vm->pic, IRQ_FERR));
	pit_create(vm, vm->pic);
	rtc_create(vm, pic_irq(vm->pic, IRQ_RTC));
	vm->keyboard = i8042_create(vm, pic_irq(vm->pic, IRQ_KEYBOARD), pic_irq(vm->pic, IRQ_MOUSE));
	pci_host_create(vm, sysctl_create(vm));
	acpi_pm_create(vm, pic_irq(vm->pic, IRQ_SCI));
	com[0] = or_gate_create(vm, "com-odd-irq", pic_irq(vm->pic, IRQ_COM_ODD));
	com[1] = or_gate_create(vm, "com-even-irq", pic_irq(vm->pic, IRQ_COM_EVEN));
	for (int i = 0; i < MAX_SERIALS; i++)
		if (serial[i])
			uart_create(vm, serial_ports[i].name, serial_ports[i].iobase, (struct irq){or_gate_set, com[i & 1], i >> 1},
				    serial[i]);
	if (debugcon)
		debugcon_create(vm, debugcon);
	if (vm->opt.debug_exit)
		debug_exit_create(vm);
	if (vm->opt.vga)
		vm->vga = vga_create(vm);
	pthread_mutex_unlock(&vm->lock);
	display_open(vm);
}

void machine_free(struct vm *vm)
{
	display_close(vm);
	pthread_mutex_lock(&vm->lock);
	while (vm->device_count) {
		struct device *d = &vm->devices[--vm->device_count];

		if (d->free)
			d->free(d->opaque);
	}
	vm->pic = NULL;
	vm->ferr = NULL;
	vm->keyboard = NULL;
	vm->port_count = 0;
	memset(vm->port_index, 0, sizeof(vm->port_index));
	memory_reset_map(&vm->mem);
	pthread_mutex_unlock(&vm->lock);
}
