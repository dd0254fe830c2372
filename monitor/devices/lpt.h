/* A parallel port with nothing plugged in. IEEE 1284's compatibility mode registers; the PC's at 378h. */
#ifndef RINGER_LPT_H
#define RINGER_LPT_H

#include "monitor/io.h"

/* Registers the port at iobase..iobase+2 with vm, which owns it. */
void lpt_create(struct vm *vm, u16 iobase, struct irq irq);

#endif
