/* The PCI-ISA bridge, function 00:01.0: Intel 82371SB, PIIX3 (data sheet 290550). All interrupt lines of the board meet in it. */
#ifndef RINGER_PIIX3_H
#define RINGER_PIIX3_H

#include "monitor/io.h"

struct vm;
struct pci_bus;
struct piix3;

#define PIIX3_DEVFN 0x08
#define PIIX3_PIRQ  0x60 /* four registers: where PIRQ A to D go */

/* Puts it on the bus, whose pins it routes; vm owns it. out[n] is input n of the interrupt controllers (there is no 2). */
struct piix3 *piix3_create(struct vm *vm, struct pci_bus *bus, const struct irq out[16]);
/* Interrupt line n (0..15) of an ISA device; whoever has it drives it alone. */
struct irq piix3_irq(struct piix3 *p, int n);

#endif
