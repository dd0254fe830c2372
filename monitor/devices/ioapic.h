/* The I/O APIC at FEC00000h: Intel 82093AA (data sheet 290566), 24 inputs. All functions: vm->lock held. */
#ifndef RINGER_IOAPIC_H
#define RINGER_IOAPIC_H

#include "monitor/io.h"

struct vm;
struct pic;
struct lapic;
struct ioapic;

#define IOAPIC_BASE   0xfec00000ull
#define IOAPIC_INPUTS 24

/* Registers it with vm, which owns it; its messages go to `lapic`. `pic` is the pair beside it. */
struct ioapic *ioapic_create(struct vm *vm, struct lapic *lapic, struct pic *pic);
/* ISA interrupt n, 0..15 without 2: leads to both controllers, to the same input but for the timer, which is on input 2 here. */
struct irq ioapic_isa_irq(struct ioapic *a, int n);
/* Input n, 0..23. A line is a level; edges are found here. */
struct irq ioapic_irq(struct ioapic *a, int n);
/* Whether nobody listens to the timer's interrupt; whether one waits to be taken, by way of either controller. */
bool ioapic_tick_masked(const struct ioapic *a);
bool ioapic_tick_waits(const struct ioapic *a);
/* A line for each input that is not masked. */
struct text;
void ioapic_print(const struct ioapic *a, struct text *out);

#endif
