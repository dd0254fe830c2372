/* The pair of 8259A interrupt controllers of a PC: ports 20h, A0h and the edge/level registers 4D0h. Intel 8259A data sheet (231468). */
#ifndef RINGER_PIC_H
#define RINGER_PIC_H

#include "monitor/io.h"

struct pic;

/* Registers the pair with vm, which owns it from now on. intr_out is the INTR pin: called with vm->lock held, only when its level changes.
 */
struct pic *pic_create(struct vm *vm, struct irq intr_out);
/* The interrupt acknowledge cycle: returns the vector, a spurious IRQ7's if nothing asks any more. Lock held, vCPU thread. */
int pic_ack(struct pic *p);
/* Input line n, 0..15 without 2 (the cascade). A line is a level; edges are found here. */
struct irq pic_irq(struct pic *p, int n);
/* Whether line n (0..15) waits to be acknowledged; an edge now would be merged with the one that waits. Lock held. */
bool pic_irq_pending(const struct pic *p, int n);
/* Whether line n (0..15) is masked, the cascade included. Lock held. */
bool pic_irq_masked(const struct pic *p, int n);
/* How often line n (0..15) has risen since the start. Lock held. */
u64 pic_irq_count(const struct pic *p, int n);
/* A line for each chip, in QEMU's words. Lock held. */
struct text;
void pic_print(const struct pic *p, struct text *out);

#endif
