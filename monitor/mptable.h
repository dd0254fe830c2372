/* The tables by which a kernel without ACPI finds the APICs. Intel MultiProcessor Specification 1.4, chapter 4. */
#ifndef RINGER_MPTABLE_H
#define RINGER_MPTABLE_H

struct vm;

/* Guest-physical, within the area of BIOS memory that is searched, and reserved in the guest's memory map. */
#define MPTABLE_BASE 0xf0000u
#define MPTABLE_SIZE 0x800u

/*
 * Writes them into guest RAM, for a CPU that has a local APIC. By the loaders, at every (re)start, behind the PCI functions' interrupt
 * lines and before the vCPU runs; without vm->lock. Firmware makes its own.
 */
void mptable_build(struct vm *vm);

#endif
