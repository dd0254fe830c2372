/* info pic, irq, pci, mtree, qtree, block, chardev. Invariant: registers are looked at, never read as the guest would read them. */
#include <string.h>

#include "monitor/block.h"
#include "monitor/chardev.h"
#include "monitor/console_internal.h"
#include "monitor/devices/ioapic.h"
#include "monitor/devices/pci.h"
#include "monitor/devices/pic.h"
#include "monitor/storage.h"
#include "monitor/vm.h"

static void info_pic(struct console_call *c)
{
	const struct ioapic *ioapic = device_find(c->vm, "ioapic");

	if (!console_end(c))
		return;
	if (c->vm->pic)
		pic_print(c->vm->pic, &c->out);
	if (ioapic)
		ioapic_print(ioapic, &c->out);
}

static void info_irq(struct console_call *c)
{
	if (!console_end(c) || !c->vm->pic)
		return;
	console_printf(c, "IRQ statistics for pic:\n");
	for (int i = 0; i < 16; i++) {
		u64 n = pic_irq_count(c->vm->pic, i);

		if (n)
			console_printf(c, "%2d: %llu\n", i, (unsigned long long)n);
	}
}

/* ---- info pci: QEMU's layout ---- */

static const struct {
	u16 class;
	const char *name;
} pci_classes[] = {
	{0x0100, "SCSI controller"}, {0x0101, "IDE controller"},   {0x0106, "SATA controller"}, {0x0200, "Ethernet controller"},
	{0x0300, "VGA controller"},  {0x0401, "Audio controller"}, {0x0600, "Host bridge"},	{0x0601, "ISA bridge"},
	{0x0604, "PCI bridge"},	     {0x0680, "Bridge"},	   {0x0c03, "USB controller"},	{0x0c05, "SMBus"},
};

static u32 config(const struct pci_device *d, unsigned reg, unsigned size)
{
	u32 value = 0;

	for (unsigned i = 0; i < size; i++)
		value |= (u32)d->config[reg + i] << 8 * i;
	return value;
}

static void show_bar(struct console_call *c, const struct pci_device *d, int i)
{
	const struct pci_bar *b = &d->bar[i];
	u64 base = d->mapped[i];

	if (!b->size)
		return;
	if (b->io)
		console_printf(c, "      BAR%d: I/O at 0x%04llx [0x%04llx].\n", i, (unsigned long long)base,
			       (unsigned long long)(base + b->size - 1));
	else
		console_printf(c, "      BAR%d: 32 bit%s memory at 0x%08llx [0x%08llx].\n", i, b->prefetchable ? " prefetchable" : "",
			       (unsigned long long)base, (unsigned long long)(base + b->size - 1));
}

static void info_pci(struct console_call *c)
{
	if (!console_end(c) || !c->vm->pci)
		return;
	for (unsigned devfn = 0; devfn < 256; devfn++) {
		const struct pci_device *d = pci_function_at(c->vm->pci, devfn);
		const char *name = NULL;

		if (!d)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(pci_classes); i++)
			if (pci_classes[i].class == config(d, 0x0a, 2))
				name = pci_classes[i].name;
		console_printf(c, "  Bus  0, device %3u, function %u:\n    ", devfn >> 3, devfn & 7);
		if (name)
			console_printf(c, "%s", name);
		else
			console_printf(c, "Class %04d", config(d, 0x0a, 2));
		console_printf(c, ": PCI device %04x:%04x\n", config(d, 0, 2), config(d, 2, 2));
		if (config(d, 0x2c, 2))
			console_printf(c, "      PCI subsystem %04x:%04x\n", config(d, 0x2c, 2), config(d, 0x2e, 2));
		if (d->config[0x3d])
			console_printf(c, "      IRQ %u, pin %c\n", d->config[0x3c], 'A' + d->config[0x3d] - 1);
		for (int i = 0; i <= PCI_ROM_BAR; i++)
			show_bar(c, d, i);
		console_printf(c, "      id \"%s\"\n", d->name);
	}
}

/* ---- info mtree, info qtree ---- */

static const char *owner(const struct vm *vm, const void *opaque)
{
	for (unsigned i = 0; i < vm->device_count; i++)
		if (vm->devices[i].opaque == opaque)
			return vm->devices[i].name;
	return "i/o";
}

static void show_area(struct console_call *c, u64 base, u64 size, const char *kind, const char *name)
{
	console_printf(c, "  %016llx-%016llx (prio 0, %s): %s\n", (unsigned long long)base, (unsigned long long)(base + size - 1), kind,
		       name);
}

/* What the pages of the ISA hole read from, in runs. */
static void show_isa(struct console_call *c)
{
	const struct memory *m = &c->vm->mem;
	unsigned n;

	for (unsigned i = 0; i < ISA_HOLE_PAGES; i += n) {
		u64 base = ISA_HOLE_BASE + i * (u64)PAGE_SIZE, read = m->isa[i].read, write = m->isa[i].write;
		u64 step = read == MEMORY_NOTHING ? 0 : PAGE_SIZE, write_step = write == MEMORY_NOTHING ? 0 : PAGE_SIZE;

		for (n = 1;
		     i + n < ISA_HOLE_PAGES && m->isa[i + n].read == read + n * step && m->isa[i + n].write == write + n * write_step; n++)
			;
		if (read == MEMORY_NOTHING)
			continue;
		show_area(c, base, n * (u64)PAGE_SIZE, write == read ? "ram" : "rom", read < m->ram_size ? "pc.ram" : "pc.rom");
	}
}

static void info_mtree(struct console_call *c)
{
	const struct vm *vm = c->vm;
	const struct memory *m = &vm->mem;

	if (!console_end(c))
		return;
	console_printf(c, "address-space: memory\n");
	show_area(c, 0, MIN(m->low_size, ISA_HOLE_BASE), "ram", "pc.ram");
	show_isa(c);
	if (m->low_size > ISA_HOLE_END)
		show_area(c, ISA_HOLE_END, m->low_size - ISA_HOLE_END, "ram", "pc.ram");
	for (unsigned i = 0; i < MAX_BOARD_MAPS; i++)
		if (m->board[i].size)
			show_area(c, m->board[i].base, m->board[i].size, m->board[i].writable ? "ram" : "rom", "board memory");
	for (unsigned i = 0; i < m->mmio_count; i++)
		if (m->mmio[i].base != MEMORY_NOTHING)
			show_area(c, m->mmio[i].base, m->mmio[i].size, "i/o", owner(vm, m->mmio[i].opaque));
	if (m->ram_size > m->low_size)
		show_area(c, RAM_HIGH_BASE, m->ram_size - m->low_size, "ram", "pc.ram");
	console_printf(c, "\naddress-space: I/O\n");
	for (unsigned i = 0; i < vm->port_count; i++)
		if (!vm->port_nowhere[i])
			show_area(c, vm->ports[i].first, vm->ports[i].last - vm->ports[i].first + 1u, "i/o",
				  owner(vm, vm->ports[i].opaque));
}

static void info_qtree(struct console_call *c)
{
	const struct vm *vm = c->vm;

	if (!console_end(c))
		return;
	console_printf(c, "bus: main-system-bus\n  type System\n");
	for (unsigned i = 0; i < vm->device_count; i++) {
		console_printf(c, "  dev: %s, id \"\"\n", vm->devices[i].name);
		for (unsigned k = 0; k < vm->port_count; k++)
			if (vm->ports[k].opaque == vm->devices[i].opaque && !vm->port_nowhere[k])
				console_printf(c, "    i/o %04x/%04x\n", vm->ports[k].first, vm->ports[k].last - vm->ports[k].first + 1u);
		for (unsigned k = 0; k < vm->mem.mmio_count; k++)
			if (vm->mem.mmio[k].opaque == vm->devices[i].opaque && vm->mem.mmio[k].base != MEMORY_NOTHING)
				console_printf(c, "    mmio %016llx/%016llx\n", (unsigned long long)vm->mem.mmio[k].base,
					       (unsigned long long)vm->mem.mmio[k].size);
	}
	if (!vm->pci)
		return;
	console_printf(c, "  bus: pci.0\n    type PCI\n");
	for (unsigned devfn = 0; devfn < 256; devfn++) {
		const struct pci_device *d = pci_function_at(vm->pci, devfn);

		if (d)
			console_printf(c, "    dev: %s, id \"\"\n      addr = %02x.%u\n", d->name, devfn >> 3, devfn & 7);
	}
}

/* ---- info block, info chardev ---- */

static void info_block(struct console_call *c)
{
	struct storage_drive d;

	if (!console_end(c))
		return;
	for (unsigned i = 0; storage_drive(c->vm, i, &d); i++) {
		if (i)
			console_printf(c, "\n");
		if (d.block)
			console_printf(c, "%s: %s (raw%s)\n", d.name, block_file(d.block), block_readonly(d.block) ? ", read-only" : "");
		else
			console_printf(c, "%s: [not inserted]\n", d.name);
		console_printf(c, "    Attached to:      %s\n", d.floppy ? "fdc" : "ide");
		if (d.removable)
			console_printf(c, "    Removable device: %slocked, tray %s\n", d.locked ? "" : "not ",
				       d.tray_open ? "open" : "closed");
	}
}

static void info_chardev(struct console_call *c)
{
	if (console_end(c))
		chardev_print_all(c->vm, &c->out);
}

const struct console_cmd console_device_info[] = {
	{"info pic", "", "show the interrupt controllers", CONSOLE_ON_VCPU, info_pic, NULL},
	{"info irq", "", "show how often interrupt lines have risen", CONSOLE_ON_VCPU, info_irq, NULL},
	{"info pci", "", "show the PCI bus", CONSOLE_ON_VCPU, info_pci, NULL},
	{"info mtree", "", "show the memory map and the ports", CONSOLE_ON_VCPU, info_mtree, NULL},
	{"info qtree", "", "show the devices", CONSOLE_ON_VCPU, info_qtree, NULL},
	{"info block", "", "show drives and their images", 0, info_block, NULL},
	{"info chardev", "", "show character back ends", 0, info_chardev, NULL},
	{0},
};
