/*
 * The PC's board: creates the devices, runs the interrupt lines.
 *
 * Invariants: the interrupt controllers, the PCI bus and the PIIX3 are registered first, so that at a reset the devices drive their lines
 * into controllers that have been reset, and at a load they find its input levels as they were saved. Memory that a device maps is there
 * before vm->vcpu runs. Lines that two serial ports share are joined by an OR gate; on the ISA bus the two would fight.
 */
#include "monitor/machine.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/chardev.h"
#include "monitor/devices/acpi_pm.h"
#include "monitor/devices/checked_state.h"
#include "monitor/devices/debug.h"
#include "monitor/devices/ferr.h"
#include "monitor/devices/fw_cfg.h"
#include "monitor/devices/hpet.h"
#include "monitor/devices/i440fx.h"
#include "monitor/devices/i8042.h"
#include "monitor/devices/ioapic.h"
#include "monitor/devices/lapic.h"
#include "monitor/devices/lpt.h"
#include "monitor/devices/pci.h"
#include "monitor/devices/pic.h"
#include "monitor/devices/piix3.h"
#include "monitor/devices/piix4_pm.h"
#include "monitor/devices/pit.h"
#include "monitor/devices/rtc.h"
#include "monitor/devices/sysctl.h"
#include "monitor/devices/uart.h"
#include "monitor/devices/vga.h"
#include "monitor/display/display.h"
#include "monitor/firmware.h"
#include "monitor/log.h"
#include "monitor/storage.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

enum {
	IRQ_KEYBOARD = 1,
	IRQ_CASCADE = 2,
	IRQ_COM_EVEN = 3, /* COM2 and COM4 */
	IRQ_COM_ODD = 4,  /* COM1 and COM3 */
	IRQ_LPT1 = 7,
	IRQ_RTC = 8,
	IRQ_SCI = 9,
	IRQ_MOUSE = 12,
	IRQ_FERR = 13,
};

#define LPT1 0x378

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

/* The processor's pins. */
static void set_event(void *opaque, int event, int level)
{
	struct vm *vm = opaque;

	if (!vm->vcpu)
		return;
	if (level)
		vcpu_set_event(vm->vcpu, (u32)event);
	else
		vcpu_clear_event(vm->vcpu, (u32)event);
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
	struct irq inputs[16] = {0};
	struct sysctl *sysctl;
	struct ioapic *ioapic;
	struct pit *pit;
	struct irq rtc_irq;

	for (int i = 0; i < MAX_SERIALS; i++)
		if (machine_has_serial(vm, i))
			serial[i] = open_backend(vm, "serial", vm->opt.serial[i]);
	if (vm->opt.debugcon && strcmp(vm->opt.debugcon, "none") != 0)
		debugcon = open_backend(vm, "debugcon", vm->opt.debugcon);

	pthread_mutex_lock(&vm->lock);
	vm->lapic = lapic_create(vm, (struct irq){set_event, vm, EV_INTR}, (struct irq){set_event, vm, EV_NMI});
	vm->pic = pic_create(vm, lapic_lint0(vm->lapic));
	lapic_set_pic(vm->lapic, vm->pic);
	ioapic = ioapic_create(vm, vm->lapic, vm->pic);
	for (int i = 0; i < 16; i++)
		if (i != IRQ_CASCADE)
			inputs[i] = ioapic_isa_irq(ioapic, i);
	sysctl = sysctl_create(vm);
	vm->pci = pci_create(vm, sysctl);
	i440fx_create(vm, vm->pci, firmware_install(vm));
	vm->piix3 = piix3_create(vm, vm->pci, inputs);
	vm->ferr = ferr_create(vm, piix3_irq(vm->piix3, IRQ_FERR));
	pit = pit_create(vm, vm->pic);
	pit_set_ioapic(pit, ioapic);
	rtc_irq = piix3_irq(vm->piix3, IRQ_RTC);
	if (vm->opt.hpet)
		rtc_irq = hpet_rtc_irq(hpet_create(vm, ioapic, pit, rtc_irq));
	vm->rtc = rtc_create(vm, rtc_irq);
	vm->keyboard = i8042_create(vm, piix3_irq(vm->piix3, IRQ_KEYBOARD), piix3_irq(vm->piix3, IRQ_MOUSE));
	vm->acpi_pm = acpi_pm_create(vm, piix3_irq(vm->piix3, IRQ_SCI));
	piix4_pm_create(vm->pci, vm->acpi_pm);
	storage_create(vm);
	lpt_create(vm, LPT1, piix3_irq(vm->piix3, IRQ_LPT1));
	com[0] = or_gate_create(vm, "com-odd-irq", piix3_irq(vm->piix3, IRQ_COM_ODD));
	com[1] = or_gate_create(vm, "com-even-irq", piix3_irq(vm->piix3, IRQ_COM_EVEN));
	for (int i = 0; i < MAX_SERIALS; i++)
		if (serial[i])
			uart_create(vm, serial_ports[i].name, serial_ports[i].iobase, (struct irq){or_gate_set, com[i & 1], i >> 1},
				    serial[i]);
	if (debugcon)
		debugcon_create(vm, debugcon);
	if (vm->opt.debug_exit)
		debug_exit_create(vm);
	if (vm->opt.vga) {
		vm->vga = vga_create(vm);
		vga_attach_pci(vm->vga, vm->pci);
	}
	vm->fw_cfg = fw_cfg_create(vm);
	firmware_tell(vm);
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
	vm->lapic = NULL;
	vm->pci = NULL;
	vm->piix3 = NULL;
	vm->rtc = NULL;
	vm->fw_cfg = NULL;
	vm->keyboard = NULL;
	vm->port_count = 0;
	memset(vm->port_index, 0, sizeof(vm->port_index));
	memory_reset_map(&vm->mem);
	pthread_mutex_unlock(&vm->lock);
}
