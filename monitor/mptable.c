/*
 * Builds the MP floating pointer and the configuration table.
 *
 * Invariants: both lie in [MPTABLE_BASE, + MPTABLE_SIZE) and add up to 0. What they say of interrupts is what the MADT says (acpi.c); those
 * of PCI functions are read from configuration space, where the loader has put them.
 */
#include "monitor/mptable.h"

#include <string.h>

#include "monitor/cpuid.h"
#include "monitor/devices/ioapic.h"
#include "monitor/devices/lapic.h"
#include "monitor/io.h"
#include "monitor/load_image.h"
#include "monitor/log.h"
#include "monitor/vcpu.h"

#define POINTER_SIZE   16u
#define HEADER_SIZE    44u
#define MAX_PROCESSOR  20u /* the longest entry */
#define REVISION       4   /* 1.4 */
#define LAPIC_VERSION  0x14
#define IOAPIC_VERSION 0x11
#define BUS_PCI	       0
#define BUS_ISA	       1
#define IRQ_CASCADE    2
#define IRQ_SCI	       9

enum { ENTRY_PROCESSOR, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_INTERRUPT, ENTRY_LOCAL };
enum { INT_VECTORED, INT_NMI, INT_SMI, INT_EXTINT };
/* Polarity and trigger mode, table 4-10; 0 is as the bus has it. */
#define FLAG_HIGH	0x1
#define FLAG_HIGH_LEVEL 0xd

#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc
#define PCI_IRQ	    0x3c /* line, pin */
#define PCI_HEADER  0x0c

struct table {
	u8 bytes[MPTABLE_SIZE];
	u32 used;
	u16 count;
};

static u8 *entry(struct table *t, u8 type, u32 size)
{
	u8 *p = t->bytes + t->used;

	if (t->used + size > sizeof(t->bytes))
		fatal("the MP table does not fit");
	t->used += size;
	t->count++;
	p[0] = type;
	return p;
}

static void interrupt(struct table *t, u8 entry_type, u8 type, u8 flags, u8 bus, u8 source, u8 dest, u8 input)
{
	u8 *p = entry(t, entry_type, 8);

	p[1] = type;
	p[2] = flags;
	p[4] = bus;
	p[5] = source;
	p[6] = dest;
	p[7] = input;
}

static void processor(struct table *t, struct vm *vm)
{
	u8 *p = entry(t, ENTRY_PROCESSOR, MAX_PROCESSOR);
	u32 regs[4] = {0};

	if (vm->vcpu)
		cpuid(vm->vcpu, 1, 0, regs);
	p[2] = LAPIC_VERSION;
	p[3] = 3; /* enabled, the one that boots */
	put32(p + 4, regs[0] & 0xfff);
	put32(p + 8, regs[3]);
}

static u32 config_read(struct vm *vm, unsigned devfn, unsigned reg)
{
	io_write(vm, PCI_ADDRESS, 1u << 31 | devfn << 8 | reg, 4);
	return io_read(vm, PCI_DATA, 4);
}

/* Returns the set of ISA interrupts that PCI functions have. */
static u16 pci_interrupts(struct table *t, struct vm *vm)
{
	u32 listed[32] = {0}; /* pins, by slot */
	u16 used = 0;

	for (unsigned devfn = 0; devfn < 256; devfn++) {
		unsigned slot = devfn >> 3, line, pin;

		if (config_read(vm, devfn, 0) == 0xffffffff) {
			devfn |= devfn & 7 ? 0 : 7;
			continue;
		}
		line = config_read(vm, devfn, PCI_IRQ) & 0xff;
		pin = config_read(vm, devfn, PCI_IRQ) >> 8 & 0xff;
		if (pin - 1 < 4 && line < 16 && !(listed[slot] & BIT(pin))) {
			listed[slot] |= BIT(pin);
			used |= BIT(line);
			interrupt(t, ENTRY_INTERRUPT, INT_VECTORED, FLAG_HIGH, BUS_PCI, (u8)(slot << 2 | (pin - 1)), 0, (u8)line);
		}
		if (!(devfn & 7) && !(config_read(vm, devfn, PCI_HEADER) >> 23 & 1))
			devfn |= 7;
	}
	io_write(vm, PCI_ADDRESS, 0, 4);
	return used;
}

static u8 checksum(const u8 *p, u32 size)
{
	u8 sum = 0;

	while (size--)
		sum += *p++;
	return -sum;
}

void mptable_build(struct vm *vm)
{
	struct table t = {.used = POINTER_SIZE + HEADER_SIZE};
	u8 *pointer = t.bytes, *header = t.bytes + POINTER_SIZE, *p;
	u16 used;

	if (!vm->lapic || !cpu_has_apic(&vm->opt))
		return;
	processor(&t, vm);
	p = entry(&t, ENTRY_BUS, 8);
	p[1] = BUS_PCI;
	memcpy(p + 2, "PCI   ", 6);
	p = entry(&t, ENTRY_BUS, 8);
	p[1] = BUS_ISA;
	memcpy(p + 2, "ISA   ", 6);
	p = entry(&t, ENTRY_IOAPIC, 8);
	p[2] = IOAPIC_VERSION;
	p[3] = 1;
	put32(p + 4, IOAPIC_BASE);
	used = pci_interrupts(&t, vm);
	for (u8 i = 0; i < 16; i++)
		if (i != IRQ_CASCADE && !(used & BIT(i)))
			interrupt(&t, ENTRY_INTERRUPT, INT_VECTORED, i == IRQ_SCI ? FLAG_HIGH_LEVEL : 0, BUS_ISA, i, 0,
				  i ? i : IRQ_CASCADE);
	interrupt(&t, ENTRY_LOCAL, INT_EXTINT, 0, BUS_ISA, 0, 0, 0);
	interrupt(&t, ENTRY_LOCAL, INT_NMI, 0, BUS_ISA, 0, 0xff, 1);

	memcpy(header, "PCMP", 4);
	put16(header + 4, t.used - POINTER_SIZE);
	header[6] = REVISION;
	memcpy(header + 8, "RINGER  ", 8);
	memcpy(header + 16, "RINGERPC    ", 12);
	put16(header + 34, t.count);
	put32(header + 36, LAPIC_BASE);
	header[7] = checksum(header, t.used - POINTER_SIZE);
	memcpy(pointer, "_MP_", 4);
	put32(pointer + 4, MPTABLE_BASE + POINTER_SIZE);
	pointer[8] = POINTER_SIZE / 16;
	pointer[9] = REVISION;
	pointer[10] = checksum(pointer, POINTER_SIZE);
	load_write(vm, MPTABLE_BASE, t.bytes, t.used);
}
