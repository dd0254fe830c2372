/* The 8042 keyboard controller of a PC/AT (ports 60h and 64h), with an AT keyboard and a PS/2 mouse behind it. */
#ifndef RINGER_I8042_H
#define RINGER_I8042_H

#include "monitor/io.h"

/* Registers the controller with vm, which owns it. irq_kbd is IRQ1, irq_aux IRQ12. */
void i8042_create(struct vm *vm, struct irq irq_kbd, struct irq irq_aux);

#endif
