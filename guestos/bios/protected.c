/* What is done in protected mode, called from real mode by protected(); compiled with -m32. There is no IDT: an exception is a triple
 * fault. */
#include "guestos/bios/bios.h"

u32 framebuffer; /* its physical address */

/* Memory above 1 MiB, which real mode does not reach. 0 if it keeps what is written. */
u32 high_memory(void)
{
	volatile u32 *m = (u32 *)0x300000;
	u32 bad = 0;

	for (u32 i = 0; i < 1024; i++)
		m[i] = i * 0x9e3779b9;
	for (u32 i = 0; i < 1024; i++)
		bad += m[i] != i * 0x9e3779b9;
	return bad;
}

/* A picture of which the first pixels are read back by the bank in real mode; returns a sum over it. */
u32 linear_framebuffer(void)
{
	volatile u32 *fb = (u32 *)framebuffer;
	u32 sum = 0;

	for (u32 i = 0; i < 640 * 480; i++)
		fb[i] = i * 2654435761u;
	for (u32 i = 0; i < 640 * 480; i++)
		sum += fb[i];
	return sum;
}

/* Writes to the text screen, and scrolls it up as small kernels do. */
u32 text_screen(void)
{
	volatile u16 *cells = (u16 *)0xb8000;

	for (u32 i = 0; i < 80 * 25; i++)
		cells[i] = (u16)(0x1f00 | ('0' + i / 80 % 10));
	for (u32 i = 0; i < 80 * 24; i++)
		cells[i] = cells[i + 80];
	return cells[0];
}
