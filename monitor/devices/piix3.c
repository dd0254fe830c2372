/*
 * The PCI-ISA bridge: routes the four PCI interrupt lines to ISA interrupts, beside the ISA devices' own. The edge/level registers 4D0h
 * and 4D1h are pic.c's, the reset register CF9h sysctl.c's.
 *
 * Invariants: output n is high exactly while ISA line n is or a PIRQ that is high is routed to n, so that a PCI device and an ISA device
 * do not fight. A reset or a load drives no output: the controllers are reset, or keep their inputs, themselves.
 */
#include "monitor/devices/piix3.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/devices/checked_state.h"
#include "monitor/devices/pci.h"
#include "monitor/log.h"
#include "monitor/vm.h"

#define PIRQ_OFF   0x80
#define PIRQ_IRQ   0x0f
#define PIRQ_VALID 0xdef8u /* not to IRQ 0, 1, 2, 8, 13 */

struct piix3 {
	struct vm *vm;
	struct pci_device dev;
	struct irq out[16];
	u16 isa, levels; /* ISA lines; outputs */
	u8 pirq;
};

/* 0..255: the configuration header's and the board's registers with their values after reset, and what can be written. */
static const struct {
	u8 reg, value, writable;
} registers[] = {
	{0x4c, 0x4d, 0xff},								/* ISA I/O recovery */
	{0x4e, 0x03, 0xff},								/* X-bus chip selects */
	{0x4f, 0x00, 0x01}, {0x60, 0x80, 0x8f},						/* PIRQ routes */
	{0x61, 0x80, 0x8f}, {0x62, 0x80, 0x8f}, {0x63, 0x80, 0x8f}, {0x69, 0x02, 0xfe}, /* top of memory for ISA masters */
	{0x6a, 0x00, 0xff},								/* miscellaneous status */
	{0x6b, 0x00, 0xff}, {0x70, 0x80, 0xcf},						/* motherboard interrupt routing */
	{0x76, 0x0c, 0x8f},								/* motherboard DMA */
	{0x77, 0x0c, 0x8f}, {0x78, 0x02, 0xff},						/* programmable chip select */
	{0x79, 0x00, 0xff}, {0x80, 0x00, 0xff},						/* APIC base */
	{0x82, 0x00, 0x0f},								/* deterministic latency */
	{0xa0, 0x08, 0x1f},								/* SMI control */
	{0xa2, 0x00, 0xff}, {0xa3, 0x00, 0xff}, {0xa4, 0x00, 0xff}, {0xa5, 0x00, 0xff},
	{0xa6, 0x00, 0xff}, {0xa7, 0x00, 0xff}, {0xa8, 0x0f, 0xff},
};

static void update(struct piix3 *p)
{
	const u8 *route = p->dev.config + PIIX3_PIRQ;
	u16 levels = p->isa, changed;

	for (int i = 0; i < 4; i++)
		if (p->pirq & BIT(i) && !(route[i] & PIRQ_OFF))
			levels |= BIT(route[i] & PIRQ_IRQ) & PIRQ_VALID;
	changed = levels ^ p->levels;
	p->levels = levels;
	for (int n = 0; n < 16; n++)
		if (changed & BIT(n))
			irq_set(&p->out[n], levels >> n & 1);
}

static void set_pirq(void *opaque, int line, int level)
{
	struct piix3 *p = opaque;

	p->pirq = level ? p->pirq | BIT(line) : p->pirq & ~BIT(line);
	update(p);
}

static void set_isa(void *opaque, int line, int level)
{
	struct piix3 *p = opaque;

	p->isa = level ? p->isa | BIT(line) : p->isa & ~BIT(line);
	update(p);
}

struct irq piix3_irq(struct piix3 *p, int n)
{
	return (struct irq){set_isa, p, n & 15};
}

static void piix3_written(struct pci_device *d, unsigned reg, unsigned size)
{
	if (size <= 4 && reg < PIIX3_PIRQ + 4 && reg + size > PIIX3_PIRQ)
		update(d->opaque);
}

static void piix3_reset(void *opaque)
{
	struct piix3 *p = opaque;

	p->isa = p->levels = p->pirq = 0;
}

static void piix3_save(void *opaque, struct state *s)
{
	struct piix3 *p = opaque;

	state_put_u16(s, p->isa);
	state_put_u16(s, p->levels);
	state_put_u8(s, p->pirq);
}

static void piix3_load(void *opaque, struct state *s)
{
	struct piix3 *p = opaque;
	u16 isa = state_get_u16(s), levels = state_get_u16(s);
	u8 pirq = state_get_u8_max(s, 15);

	if ((isa | levels) & BIT(2))
		s->error = true;
	if (s->error)
		return;
	p->isa = isa;
	p->levels = levels;
	p->pirq = pirq;
}

static void piix3_free(void *opaque)
{
	free(opaque);
}

struct piix3 *piix3_create(struct vm *vm, struct pci_bus *bus, const struct irq out[16])
{
	struct piix3 *p = calloc(1, sizeof(*p));
	static const u8 config[] = {
		0x86, 0x80, 0x00, 0x70, /* vendor, device */
		0x07, 0x00, 0x00, 0x02, /* command: ports, memory, bus master; status: medium DEVSEL# */
		0x00, 0x00, 0x01, 0x06, /* revision; class: ISA bridge */
		0x00, 0x00, 0x80, 0x00, /* a device of several functions */
	};

	if (!p)
		fatal("out of memory");
	p->vm = vm;
	memcpy(p->out, out, sizeof(p->out));
	p->dev = (struct pci_device){.name = "piix3", .opaque = p, .devfn = PIIX3_DEVFN, .written = piix3_written};
	memcpy(p->dev.config, config, sizeof(config));
	for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
		p->dev.config[registers[i].reg] = registers[i].value;
		p->dev.writable[registers[i].reg] = registers[i].writable;
	}
	pci_attach(bus, &p->dev);
	pci_set_router(bus, set_pirq, p);
	device_register(vm, &(struct device){"piix3", 1, p, piix3_reset, piix3_save, piix3_load, piix3_free});
	return p;
}
