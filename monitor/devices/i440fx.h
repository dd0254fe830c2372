/* The host bridge, function 00:00.0: Intel 82441FX (data sheet 290549). */
#ifndef RINGER_I440FX_H
#define RINGER_I440FX_H

#include "monitor/types.h"

struct vm;
struct pci_bus;

#define I440FX_DEVFN  0
#define I440FX_PAM    0x59 /* seven registers, to 5Fh */
#define I440FX_ROM    0xc0000ull
#define I440FX_ROM_SZ 0x40000u

/*
 * Puts it on the bus, which owns it. rom: board memory (memory_alloc), what the 256 KiB below 1 MiB read as where they are not shadowed by
 * RAM.
 */
void i440fx_create(struct vm *vm, struct pci_bus *bus, u64 rom);

#endif
