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

#endif
