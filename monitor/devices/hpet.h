/*
 * The high-precision event timers at FED00000h: IA-PC HPET specification 1.0a, as QEMU's `pc` has them (three timers, 100 MHz). All
 * functions: vm->lock held.
 */
#ifndef RINGER_HPET_H
#define RINGER_HPET_H

#include "monitor/io.h"

struct vm;
struct ioapic;
struct pit;
struct hpet;

#define HPET_BASE     0xfed00000ull
#define HPET_SIZE     0x400u
#define HPET_BLOCK_ID 0x8086a201u /* the low half of the capabilities: legacy replacement, 64 bits, three timers, revision 1 */
#define HPET_TICK_NS  10u
#define HPET_MIN_TICK 2000u /* of a periodic timer: shorter ones lose interrupts */

/*
 * Registers them with vm, which owns them. Under legacy replacement timer 0 drives ISA interrupt 0 of `ioapic` in place of `pit`, and timer
 * 1 `isa8` in place of what hpet_rtc_irq is told. Start-up; both must outlive it.
 */
struct hpet *hpet_create(struct vm *vm, struct ioapic *ioapic, struct pit *pit, struct irq isa8);
/* Where the real-time clock's interrupt goes. */
struct irq hpet_rtc_irq(struct hpet *h);

#endif
