/*
 * The PCI bus: configuration space of its devices, base addresses, interrupt pins (PCI Local Bus specification 2.1, chapters 3 and 6).
 * There is one bus; a device function has a number devfn = device * 8 + function. All functions below: vm->lock held, vCPU thread or
 * start-up, but for pci_set_irq (any thread with vm->lock).
 */
#ifndef RINGER_PCI_H
#define RINGER_PCI_H

#include "monitor/io.h"

struct vm;
struct sysctl;
struct pci_bus;
struct pci_device;

#define PCI_DEVFN(device, function) ((device) << 3 | (function))
#define PCI_BARS		    6
#define PCI_ROM_BAR		    6 /* the expansion ROM's, register 30h */
#define PCI_NOWHERE		    (~0ull)

/*
 * A base address register: decodes `size` bytes (a power of two: at least 4 of ports, 4 KiB of memory; 0: there is none). map is called
 * when what the guest has programmed takes effect or ceases to: the base, or PCI_NOWHERE while decoding is off (command register) or the
 * address is unusable.
 */
struct pci_bar {
	u32 size;
	bool io, prefetchable;
	void (*map)(struct pci_device *d, int bar, u64 base);
};

/* A function on the bus. The owner fills it in before pci_attach, keeps it, in place, as long as the machine lives, and may read config. */
struct pci_device {
	const char *name; /* unique */
	void *opaque;
	u8 devfn;
	u8 config[256];		/* at reset; the bus keeps command, status, BARs and interrupt line itself */
	u8 writable[256];	/* bits beyond those that the guest may write */
	u8 write_clear[256];	/* bits that writing 1 clears */
	u8 kept_reg, kept_size; /* registers that only a hard reset clears */
	struct pci_bar bar[PCI_BARS + 1];
	/* Behind a write to configuration space of `size` bytes at `reg`; (0, 256) behind a reset or a load. May be NULL. */
	void (*written)(struct pci_device *d, unsigned reg, unsigned size);
	/* For a function that is no struct device itself: the bus frees it; may be NULL. */
	void (*free)(struct pci_device *d);
	/* The bus's own. */
	struct pci_bus *bus;
	u8 reset_config[256];
	u64 mapped[PCI_BARS + 1]; /* PCI_NOWHERE, or where map was told */
	int irq_level;
};

/*
 * The bus with configuration mechanism 1 (ports CF8h and CFCh), registered with vm, which owns it. Byte accesses to port CF9h go to
 * sysctl's reset register.
 */
struct pci_bus *pci_create(struct vm *vm, struct sysctl *sysctl);
/* Where the interrupt pins lead: lines 0 to 3 are the PIRQs A to D of the board, on which slots are rotated: pin p of slot s is line p + s
 * - 1 modulo 4. Start-up only. */
void pci_set_router(struct pci_bus *bus, irq_fn *fn, void *opaque);
/*
 * What firmware does, for a machine that starts without it: writes to configuration space; gives the memory and port BARs of all functions
 * addresses in [0xe0000000, 0xfec00000) and from port C000h on, and tells interrupt lines (by line 0 to 3). vCPU thread, without the lock.
 */
void pci_firmware_write(struct vm *vm, u8 devfn, unsigned reg, u32 value, unsigned size);
void pci_assign(struct pci_bus *bus, const u8 irq_of_line[4]);

/* Puts a function on the bus; start-up only. Fatal() if the place is taken. The bus saves, loads and resets configuration spaces. */
void pci_attach(struct pci_bus *bus, struct pci_device *d);
/*
 * Sets the level of the function's interrupt pin (config[3Dh]: 1 is INTA#), routed by the chipset. Not from a load function: the bus saves
 * the levels.
 */
void pci_set_irq(struct pci_device *d, int level);
/* The function there, or NULL. Any thread with vm->lock. */
const struct pci_device *pci_function_at(const struct pci_bus *bus, unsigned devfn);

#endif
