/*
 * The 8259 pair and the 8254: IRQs at vectors 0x20 to 0x2f, all masked but the tick's, HZ ticks a second.
 */
#include "guestos/lib/lib.h"

volatile u32 ticks, uptime_us;
static u32 tick_us;
void (*tick_hook)(struct state *s);

static int tick(struct state *s)
{
	ticks++;
	uptime_us += tick_us;
	outb(0x20, 0x20);
	if (tick_hook)
		tick_hook(s);
	return 1;
}

void pic_mask(u16 mask)
{
	outb(0x21, (u8)mask);
	outb(0xa1, (u8)(mask >> 8));
}

void pit_hz(u32 hz)
{
	u32 n = 1193182 / hz;

	tick_us = 1000000 / hz;
	outb(0x43, 0x34);
	outb(0x40, (u8)n);
	outb(0x40, (u8)(n >> 8));
}

void timer_init(void)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, V_IRQ0);
	outb(0xa1, V_IRQ0 + 8);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	pit_hz(HZ);
	trap_hook[V_IRQ0] = tick;
	pic_mask(0xfffe);
}
