/* The 8254 programmable interval timer of a PC (ports 40h-43h) and port 61h. Intel 8254 data sheet (231164). */
#ifndef RINGER_PIT_H
#define RINGER_PIT_H

#include "monitor/io.h"

#define PIT_HZ 1193182ull

struct pic;

/* Registers the timer with vm, which owns it. Channel 0 drives IRQ0 of pic, which must outlive it. */
void pit_create(struct vm *vm, struct pic *pic);

#endif
