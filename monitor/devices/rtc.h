/* The MC146818 real-time clock and CMOS RAM of a PC: ports 70h and 71h. */
#ifndef RINGER_RTC_H
#define RINGER_RTC_H

#include "monitor/io.h"

/* Registers the clock with vm, which owns it; fills the CMOS fields that tell the memory size from vm->mem. irq is IRQ8. */
void rtc_create(struct vm *vm, struct irq irq);

#endif
