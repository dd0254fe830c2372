/* The 8254 programmable interval timer of a PC (ports 40h-43h) and port 61h. Intel 8254 data sheet (231164). */
#ifndef RINGER_PIT_H
#define RINGER_PIT_H

#include "monitor/io.h"

#define PIT_HZ 1193182ull

struct pic;
struct ioapic;
struct pit;

/* Registers the timer with vm, which owns it. Channel 0 drives IRQ0 of pic, which must outlive it. */
struct pit *pit_create(struct vm *vm, struct pic *pic);
/* The tick's line leads to an I/O APIC as well: through its ISA interrupt 0. Start-up. */
void pit_set_ioapic(struct pit *p, struct ioapic *a);
/* Whether another timer has the tick's line, as the HPET can: then this one leaves it alone, counts on, and owes no ticks. Lock held. */
void pit_set_replaced(struct pit *p, bool replaced);

#endif
