/*
 * The PCI bus: configuration mechanism 1, and what is the same in every function's header.
 *
 * Invariants
 *  - A function's configuration differs from what it is at reset only in bits that the guest may write, or that the bus itself keeps
 *    (interrupt status). A load that says otherwise is refused.
 *  - mapped[] of a BAR is what its map function was told last, and follows from configuration alone: base and command register.
 *  - The level of a line is the OR of the pins that lead to it, each while its function does not disable it (command bit 10).
 *  - The address register answers doubleword accesses only (PCI 3.2.2.3.2); smaller ones belong to whatever else lies at those ports.
 */
#include "monitor/devices/pci.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/sysctl.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PCI_ADDRESS   0xcf8
#define PCI_DATA      0xcfc
#define PORT_RESET    0xcf9
#define ADDR_ENABLE   0x80000000u
#define ADDR_BUS      0x00ff0000u
#define ADDR_DEVFN    0x0000ff00u
#define ADDR_REGISTER 0x000000fcu
#define ADDR_MASK     (ADDR_ENABLE | ADDR_BUS | ADDR_DEVFN | ADDR_REGISTER)

#define REG_COMMAND	 0x04
#define REG_STATUS	 0x06
#define REG_CACHE_LINE	 0x0c
#define REG_BAR		 0x10
#define REG_ROM		 0x30
#define REG_INT_LINE	 0x3c
#define REG_INT_PIN	 0x3d
#define COMMAND_IO	 0x0001
#define COMMAND_MEMORY	 0x0002
#define COMMAND_WRITABLE 0x0547 /* ports, memory, master, parity, SERR#, INTx disable */
#define COMMAND_NO_INTX	 0x0400
#define STATUS_INTX	 0x0008
#define STATUS_CLEAR	 0xf900
#define BAR_IO		 0x1
#define BAR_PREFETCH	 0x8
#define ROM_ENABLE	 0x1

#define MAX_FUNCTIONS 32
#define NOBODY	      0xff
#define ASSIGN_MEMORY 0xe0000000ull /* pci_assign's windows */
#define ASSIGN_END    0xfec00000ull
#define ASSIGN_PORTS  0xc000u

struct pci_bus {
	struct vm *vm;
	struct sysctl *sysctl;
	u32 address;
	struct pci_device *functions[MAX_FUNCTIONS];
	void (*free[MAX_FUNCTIONS])(struct pci_device *d); /* copied: those that are devices have gone before the bus does */
	unsigned count;
	u8 by_devfn[256]; /* index, or NOBODY */
	struct irq router;
	u8 lines; /* levels last told to it */
};

static u32 get(const struct pci_device *d, unsigned reg, unsigned size)
{
	u32 value = 0;

	for (unsigned i = 0; i < size && reg + i < sizeof(d->config); i++)
		value |= (u32)d->config[reg + i] << 8 * i;
	return value;
}

static unsigned bar_register(int bar)
{
	return bar == PCI_ROM_BAR ? REG_ROM : REG_BAR + 4 * (unsigned)bar;
}

/* The bits of a BAR that hold the address, and a ROM's enable. */
static u32 bar_mask(const struct pci_device *d, int bar)
{
	u32 size = d->bar[bar].size;

	if (!size)
		return 0;
	return ~(size - 1) | (bar == PCI_ROM_BAR ? ROM_ENABLE : 0);
}

/* The bits of register `reg` that the guest may write, without those that it clears. */
static u8 guest_mask(const struct pci_device *d, unsigned reg)
{
	u8 mask = d->writable[reg];

	switch (reg) {
	case REG_COMMAND:
		return mask | (u8)COMMAND_WRITABLE;
	case REG_COMMAND + 1:
		return mask | COMMAND_WRITABLE >> 8;
	case REG_CACHE_LINE:
	case REG_INT_LINE:
		return 0xff;
	}
	for (int i = 0; i <= PCI_ROM_BAR; i++)
		if (reg - bar_register(i) < 4)
			return mask | (u8)(bar_mask(d, i) >> 8 * (reg - bar_register(i)));
	return mask;
}

static u8 clear_mask(const struct pci_device *d, unsigned reg)
{
	return d->write_clear[reg] | (reg == REG_STATUS + 1 ? STATUS_CLEAR >> 8 : 0);
}

/* ---- base addresses ---- */

static u64 bar_base(const struct pci_device *d, int i)
{
	const struct pci_bar *b = &d->bar[i];
	u32 command = get(d, REG_COMMAND, 2), value = get(d, bar_register(i), 4);
	u64 base = value & ~(b->size - 1), last = base + b->size - 1;

	if (!b->size || !(command & (b->io ? COMMAND_IO : COMMAND_MEMORY)) || !base)
		return PCI_NOWHERE;
	if (i == PCI_ROM_BAR && !(value & ROM_ENABLE))
		return PCI_NOWHERE;
	/* All ones is how a BAR's size is asked for. */
	return last >= (b->io ? 0x10000u : 0xffffffffu) ? PCI_NOWHERE : base;
}

static void map_bars(struct pci_device *d)
{
	for (int i = 0; i <= PCI_ROM_BAR; i++) {
		u64 base = bar_base(d, i);

		if (base == d->mapped[i])
			continue;
		d->mapped[i] = base;
		if (d->bar[i].map)
			d->bar[i].map(d, i, base);
	}
}

/* ---- interrupts ---- */

static unsigned line_of(const struct pci_device *d)
{
	return (d->config[REG_INT_PIN] - 1u + (d->devfn >> 3) - 1u) & 3;
}

static void route(struct pci_bus *bus)
{
	u8 lines = 0, changed;

	for (unsigned i = 0; i < bus->count; i++) {
		const struct pci_device *d = bus->functions[i];

		if (d->irq_level && d->config[REG_INT_PIN] && !(get(d, REG_COMMAND, 2) & COMMAND_NO_INTX))
			lines |= BIT(line_of(d));
	}
	changed = lines ^ bus->lines;
	bus->lines = lines;
	for (int i = 0; i < 4; i++)
		if (changed & BIT(i) && bus->router.fn)
			bus->router.fn(bus->router.opaque, i, lines >> i & 1);
}

static void set_level(struct pci_device *d, int level)
{
	d->irq_level = level != 0;
	d->config[REG_STATUS] = (d->config[REG_STATUS] & ~STATUS_INTX) | (level && d->config[REG_INT_PIN] ? STATUS_INTX : 0);
}

void pci_set_irq(struct pci_device *d, int level)
{
	if (d->irq_level == (level != 0))
		return;
	set_level(d, level);
	route(d->bus);
}

void pci_set_router(struct pci_bus *bus, irq_fn *fn, void *opaque)
{
	bus->router = (struct irq){fn, opaque, 0};
}

/* ---- configuration accesses ---- */

static struct pci_device *selected(const struct pci_bus *bus)
{
	u8 i = bus->by_devfn[(bus->address & ADDR_DEVFN) >> 8];

	if (!(bus->address & ADDR_ENABLE) || (bus->address & ADDR_BUS) || i == NOBODY)
		return NULL;
	return bus->functions[i];
}

static void config_write(struct pci_device *d, unsigned reg, u32 value, unsigned size)
{
	for (unsigned i = 0; i < size; i++) {
		u8 mask = guest_mask(d, reg + i), byte = (u8)(value >> 8 * i), *p = &d->config[reg + i];

		*p = (*p & ~mask) | (byte & mask);
		*p &= ~(byte & clear_mask(d, reg + i));
	}
	map_bars(d);
	route(d->bus);
	if (d->written)
		d->written(d, reg, size);
}

static u32 address_read(void *opaque, u16 port, unsigned size)
{
	struct pci_bus *bus = opaque;

	if (size == 4)
		return bus->address;
	return size == 1 && port == PORT_RESET ? sysctl_reset_read(bus->sysctl) : 0xffffffff;
}

static void address_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct pci_bus *bus = opaque;

	if (size == 4)
		bus->address = value & ADDR_MASK;
	else if (size == 1 && port == PORT_RESET)
		sysctl_reset_write(bus->sysctl, (u8)value);
}

static u32 data_read(void *opaque, u16 port, unsigned size)
{
	struct pci_bus *bus = opaque;
	const struct pci_device *d = selected(bus);

	return d ? get(d, (bus->address & ADDR_REGISTER) + (port - PCI_DATA), size) : 0xffffffff;
}

static void data_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct pci_bus *bus = opaque;
	struct pci_device *d = selected(bus);

	if (d)
		config_write(d, (bus->address & ADDR_REGISTER) + (port - PCI_DATA), value, size);
}

/* ---- firmware's work ---- */

void pci_firmware_write(struct vm *vm, u8 devfn, unsigned reg, u32 value, unsigned size)
{
	io_write(vm, PCI_ADDRESS, ADDR_ENABLE | (u32)devfn << 8 | (reg & ADDR_REGISTER), 4);
	io_write(vm, (u16)(PCI_DATA + (reg & 3)), value, size);
}

void pci_assign(struct pci_bus *bus, const u8 irq_of_line[4])
{
	u64 memory = ASSIGN_MEMORY, ports = ASSIGN_PORTS;

	for (unsigned n = 0; n < bus->count; n++) {
		struct pci_device *d = bus->functions[n];
		u32 command = 0;

		for (int i = 0; i < PCI_BARS; i++) {
			const struct pci_bar *b = &d->bar[i];
			u64 *next = b->io ? &ports : &memory, at;

			if (!b->size)
				continue;
			at = (*next + b->size - 1) & ~(u64)(b->size - 1);
			if (at + b->size > (b->io ? 0x10000u : ASSIGN_END))
				continue;
			*next = at + b->size;
			command |= b->io ? COMMAND_IO : COMMAND_MEMORY;
			pci_firmware_write(bus->vm, d->devfn, bar_register(i), (u32)at, 4);
		}
		if (command)
			pci_firmware_write(bus->vm, d->devfn, REG_COMMAND, get(d, REG_COMMAND, 2) | command, 2);
		if (d->config[REG_INT_PIN])
			pci_firmware_write(bus->vm, d->devfn, REG_INT_LINE, irq_of_line[line_of(d)], 1);
	}
}

/* ---- life cycle ---- */

void pci_attach(struct pci_bus *bus, struct pci_device *d)
{
	if (bus->count == MAX_FUNCTIONS || bus->by_devfn[d->devfn] != NOBODY)
		fatal("%s: no place on the PCI bus", d->name);
	for (int i = 0; i <= PCI_ROM_BAR; i++) {
		const struct pci_bar *b = &d->bar[i];

		if (b->size & (b->size - 1) || (b->size && b->size < (b->io ? 4 : PAGE_SIZE)))
			fatal("%s: a base address of %u bytes", d->name, b->size);
		if (b->size && i != PCI_ROM_BAR)
			d->config[bar_register(i)] = b->io ? BAR_IO : b->prefetchable ? BAR_PREFETCH : 0;
		d->mapped[i] = PCI_NOWHERE;
	}
	d->bus = bus;
	d->irq_level = 0;
	memcpy(d->reset_config, d->config, sizeof(d->config));
	bus->by_devfn[d->devfn] = (u8)bus->count;
	bus->free[bus->count] = d->free;
	bus->functions[bus->count++] = d;
}

static void pci_reset(void *opaque)
{
	struct pci_bus *bus = opaque;

	bus->address = 0;
	bus->lines = 0;
	for (unsigned i = 0; i < bus->count; i++) {
		struct pci_device *d = bus->functions[i];

		d->irq_level = 0;
		for (unsigned reg = 0; reg < sizeof(d->config); reg++)
			if (bus->vm->hard_reset || reg - d->kept_reg >= d->kept_size)
				d->config[reg] = d->reset_config[reg];
		map_bars(d);
		if (d->written)
			d->written(d, 0, sizeof(d->config));
	}
}

static void pci_save(void *opaque, struct state *s)
{
	struct pci_bus *bus = opaque;

	state_put_u32(s, bus->address);
	state_put_u8(s, bus->lines);
	state_put_u8(s, (u8)bus->count);
	for (unsigned i = 0; i < bus->count; i++) {
		const struct pci_device *d = bus->functions[i];

		state_put_u8(s, d->devfn);
		state_put_u8(s, (u8)d->irq_level);
		state_put(s, d->config, sizeof(d->config));
	}
}

/* Whether the guest could have made this configuration out of that at reset. */
static bool plausible(const struct pci_device *d, const u8 *config, bool irq_level)
{
	for (unsigned reg = 0; reg < sizeof(d->config); reg++) {
		u8 mask = guest_mask(d, reg) | clear_mask(d, reg) | (reg == REG_STATUS ? STATUS_INTX : 0);

		if ((config[reg] ^ d->reset_config[reg]) & ~mask)
			return false;
	}
	return !(config[REG_STATUS] & STATUS_INTX) == !(irq_level && config[REG_INT_PIN]);
}

static void pci_load(void *opaque, struct state *s)
{
	struct pci_bus *bus = opaque;
	u32 address = state_get_u32(s);
	u8 lines = state_get_u8_max(s, 15), config[MAX_FUNCTIONS][256];
	bool level[MAX_FUNCTIONS];

	if ((address & ~ADDR_MASK) || state_get_u8(s) != bus->count)
		s->error = true;
	for (unsigned i = 0; i < bus->count; i++) {
		if (state_get_u8(s) != bus->functions[i]->devfn)
			s->error = true;
		level[i] = state_get_bool(s);
		state_get(s, config[i], sizeof(config[i]));
		if (!plausible(bus->functions[i], config[i], level[i]))
			s->error = true;
	}
	if (s->error)
		return;
	bus->address = address;
	bus->lines = lines;
	for (unsigned i = 0; i < bus->count; i++) {
		struct pci_device *d = bus->functions[i];

		d->irq_level = level[i];
		memcpy(d->config, config[i], sizeof(d->config));
		map_bars(d);
		if (d->written)
			d->written(d, 0, sizeof(d->config));
	}
}

static void pci_free(void *opaque)
{
	struct pci_bus *bus = opaque;

	for (unsigned i = 0; i < bus->count; i++)
		if (bus->free[i])
			bus->free[i](bus->functions[i]);
	free(bus);
}

struct pci_bus *pci_create(struct vm *vm, struct sysctl *sysctl)
{
	struct pci_bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		fatal("out of memory");
	bus->vm = vm;
	bus->sysctl = sysctl;
	memset(bus->by_devfn, NOBODY, sizeof(bus->by_devfn));
	trace_ports(vm, io_register(vm, &(struct port_range){PCI_ADDRESS, PCI_ADDRESS + 3, 4, address_read, address_write, bus}), REGS_PCI);
	trace_ports(vm, io_register(vm, &(struct port_range){PCI_DATA, PCI_DATA + 3, 4, data_read, data_write, bus}), REGS_PCI);
	device_register(vm, &(struct device){"pci", 1, bus, pci_reset, pci_save, pci_load, pci_free});
	return bus;
}

const struct pci_device *pci_function_at(const struct pci_bus *bus, unsigned devfn)
{
	u8 i = bus->by_devfn[devfn & 0xff];

	return i == NOBODY ? NULL : bus->functions[i];
}
