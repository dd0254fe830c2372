/* The MC146818 real-time clock and CMOS RAM of a PC: ports 70h and 71h. */
#ifndef RINGER_RTC_H
#define RINGER_RTC_H

#include "monitor/io.h"

struct rtc;

/* Registers the clock with vm, which owns it; fills the CMOS fields that tell the memory size from vm->mem. irq is IRQ8. */
struct rtc *rtc_create(struct vm *vm, struct irq irq);
/* CMOS RAM as firmware finds it, behind the clock's registers (reg 10h..7Fh); keeps the checksum of 10h..2Dh. Start-up, or lock held. */
void rtc_set_cmos(struct rtc *r, u8 reg, u8 value);
u8 rtc_get_cmos(const struct rtc *r, u8 reg);

#endif
