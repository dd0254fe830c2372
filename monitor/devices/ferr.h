/* The board's half of x87 errors with CR0.NE clear: FERR# is latched as IRQ13, port F0h clears the latch (SDM Vol. 1 D.2.1). */
#ifndef RINGER_FERR_H
#define RINGER_FERR_H

#include "monitor/io.h"

struct ferr;

/* Registers the latch with vm, which owns it. irq: line 13. Exits if out of memory. */
struct ferr *ferr_create(struct vm *vm, struct irq irq);
/* The CPU asserts FERR#. Lock held, vCPU thread. */
void ferr_assert(struct ferr *f);

#endif
