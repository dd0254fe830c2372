/*
 * The local APIC of the one processor, in xAPIC mode (SDM Vol. 3A chapter 10): the place where interrupts of the 8259 pair, of the I/O APIC
 * and of its own timer meet, and from which the processor takes them. All functions: vm->lock held.
 */
#ifndef RINGER_LAPIC_H
#define RINGER_LAPIC_H

#include "monitor/io.h"

struct vm;
struct pic;
struct lapic;

#define LAPIC_BASE	    0xfee00000ull
#define LAPIC_BASE_ENABLE   0x800u
#define LAPIC_BASE_WRITABLE 0xffffff800ull /* IA32_APIC_BASE: base, global enable */

/* How a message is to be delivered: ICR and redirection entries, SDM Vol. 3A 10.6.1. */
enum { APIC_FIXED, APIC_LOWEST, APIC_SMI, APIC_NMI = 4, APIC_INIT, APIC_STARTUP, APIC_EXTINT };

/*
 * Registers it with vm, which owns it. intr_out and nmi_out are the processor's pins: the first called only when its level changes, the
 * other for each NMI.
 */
struct lapic *lapic_create(struct vm *vm, struct irq intr_out, struct irq nmi_out);
/* INIT: all registers as behind a reset but for the base address and the ID (SDM Vol. 3A 10.4.7.3); the pins are as they are. Lock held. */
void lapic_init(struct lapic *l);
/* The LINT0 pin: what the 8259 pair's INTR drives. */
struct irq lapic_lint0(struct lapic *l);
/*
 * A pulse at the LINT1 pin, where the board's NMI arrives: what comes of it is LINT1's entry's business, or while the APIC is off (base
 * address register) an NMI.
 */
void lapic_nmi(struct lapic *l);
/* Where ExtINT interrupts get their vector. Start-up. */
void lapic_set_pic(struct lapic *l, struct pic *pic);
/* Who is told of the end of level-triggered interrupts. Start-up. */
void lapic_set_eoi(struct lapic *l, void (*fn)(void *opaque, u8 vector), void *opaque);
/* The processor takes an interrupt: its vector, or -1 if there is none (any more). vCPU thread. */
int lapic_ack(struct lapic *l);
/* A message to destination `dest`, as the I/O APIC sends them. */
void lapic_message(struct lapic *l, u8 dest, bool logical, u8 mode, u8 vector, bool level);
/* Whether a vector waits to be taken. */
bool lapic_waits(const struct lapic *l, u8 vector);
/* Whether INTR of the 8259 pair gets through to the processor. */
bool lapic_takes_pic(const struct lapic *l);
/* IA32_APIC_BASE was written: base and global enable. vCPU thread. */
void lapic_set_base(struct lapic *l, u64 value);
/* IA32_TSC_DEADLINE, SDM Vol. 3A 10.5.4.1. */
u64 lapic_tsc_deadline(const struct lapic *l);
void lapic_set_tsc_deadline(struct lapic *l, u64 tsc);

#endif
