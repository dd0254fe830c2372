/*
 * The host bridge. What it does here is decide by its PAM registers, for each of 13 areas between C0000h and FFFFFh, whether reads and
 * writes go to RAM or to the ROM beneath: so firmware copies itself into RAM, which is faster and can be written, and locks it afterwards.
 *
 * Invariants: the map of the areas follows from the PAM registers alone. They survive a reset of the processor: the BIOS in shadow RAM is
 * what finds out, by CMOS 0Fh, that a program only wanted out of protected mode. Nothing runs in system management mode, so the SMRAM
 * register is kept, with its lock, but opens nothing.
 */
#include "monitor/devices/i440fx.h"

#include <stdlib.h>

#include "monitor/devices/pci.h"
#include "monitor/log.h"
#include "monitor/memory.h"
#include "monitor/vm.h"

#define REG_SMRAM   0x72
#define PAM_REGS    7
#define PAM_READ    1
#define PAM_WRITE   2
#define SMRAM_RESET 0x02 /* the area is A0000h to BFFFFh, hardwired */
#define SMRAM_LOCK  0x10
#define SMRAM_OPEN  0x40
#define PAM_AREA    0x4000u
#define PAM_BIOS    0xf0000u /* the area of PAM0, 64 KiB */

struct i440fx {
	struct vm *vm;
	struct pci_device dev;
	u64 rom;
	u8 smram; /* as in config */
};

static void map_area(struct i440fx *h, u64 base, u64 size, u8 pam)
{
	u64 rom = h->rom + (base - I440FX_ROM);
	bool ram = base + size <= h->vm->mem.low_size;
	u64 read = pam & PAM_READ && ram ? base : rom, write = pam & PAM_WRITE && ram ? base : MEMORY_NOTHING;
	const struct memory *m = &h->vm->mem;
	unsigned page = (unsigned)((base - ISA_HOLE_BASE) >> PAGE_SHIFT);

	/* A change costs every translation. */
	if (m->isa[page].read != read || m->isa[page].write != write)
		memory_map_isa(h->vm, base, size, read, write);
}

static void map_pam(struct i440fx *h)
{
	const u8 *pam = h->dev.config + I440FX_PAM;

	map_area(h, PAM_BIOS, 4 * PAM_AREA, pam[0] >> 4);
	for (unsigned i = 0; i < 2 * (PAM_REGS - 1); i++)
		map_area(h, I440FX_ROM + i * PAM_AREA, PAM_AREA, pam[1 + i / 2] >> 4 * (i & 1));
}

static void i440fx_written(struct pci_device *d, unsigned reg, unsigned size)
{
	struct i440fx *h = d->opaque;

	if (reg < I440FX_PAM + PAM_REGS && reg + size > I440FX_PAM)
		map_pam(h);
	if (reg > REG_SMRAM || reg + size <= REG_SMRAM)
		return;
	/* Once locked it stays closed, and as it is, until the next reset. */
	if (h->smram & SMRAM_LOCK && size <= 4)
		d->config[REG_SMRAM] = h->smram;
	else if (d->config[REG_SMRAM] & SMRAM_LOCK)
		d->config[REG_SMRAM] &= ~SMRAM_OPEN;
	h->smram = d->config[REG_SMRAM];
}

static void i440fx_free(struct pci_device *d)
{
	free(d->opaque);
}

void i440fx_create(struct vm *vm, struct pci_bus *bus, u64 rom)
{
	struct i440fx *h = calloc(1, sizeof(*h));
	static const u8 config[] = {
		0x86, 0x80, 0x37, 0x12, /* vendor, device */
		0x06, 0x00, 0x00, 0x02, /* command: memory, bus master; status: medium DEVSEL# */
		0x02, 0x00, 0x00, 0x06, /* revision; class: host bridge */
	};

	if (!h)
		fatal("out of memory");
	h->vm = vm;
	h->rom = rom;
	h->smram = SMRAM_RESET;
	h->dev = (struct pci_device){
		.name = "i440fx",
		.opaque = h,
		.devfn = I440FX_DEVFN,
		.kept_reg = I440FX_PAM,
		.kept_size = PAM_REGS,
		.written = i440fx_written,
		.free = i440fx_free,
	};
	for (unsigned i = 0; i < sizeof(config); i++)
		h->dev.config[i] = config[i];
	h->dev.config[REG_SMRAM] = SMRAM_RESET;
	h->dev.writable[REG_SMRAM] = 0x78;
	h->dev.writable[I440FX_PAM] = 0x30;
	for (unsigned i = 1; i < PAM_REGS; i++)
		h->dev.writable[I440FX_PAM + i] = 0x33;
	pci_attach(bus, &h->dev);
	map_pam(h);
}
