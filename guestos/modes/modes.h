/* What the tests of CPU modes share: code in low memory, real mode, virtual-8086 mode. */
#ifndef GUESTOS_MODES_H
#define GUESTOS_MODES_H

#include "guestos/conformance/test.h"
#include "guestos/modes/low.h"

enum { FL_VIF = 0x80000, FL_VIP = 0x100000, CR4_VME = 1, CR4_PVI = 2 };

/* 16-bit code: linked anywhere, run at the start of a segment (LOW_CODE), so it must not have absolute references to itself. */
#define CODE16(name, text) CODE(name, ".code16\n" text "\n.code32\n")
/* Offset of the place of interest. */
#define AT(name) ((u32)(name##_at - name))
/* IP behind the `int $0xf0` that ends it. */
#define END(name) ((u32)(name##_end - name) + 2)

static inline volatile u8 *low(u32 linear)
{
	asm("" : "+r"(linear)); /* the compiler takes address 0 for no address */
	return (volatile u8 *)(uintptr_t)linear;
}
static inline u32 low16(u32 linear)
{
	return *(volatile u16 *)low(linear);
}
static inline u32 low32(u32 linear)
{
	return *(volatile u32 *)low(linear);
}

/* Copies a CODE16 to LOW_CODE, clears the data segment and the stack; returns a state at its start in real mode. */
#define AT_REAL(name) at_real(name, END(name))
struct state at_real(const void *code, u32 bytes);
/* The same for virtual-8086 mode; its pages, and page 0, become the user's. */
#define AT_V86(name, iopl) at_v86(name, END(name), iopl)
struct state at_v86(const void *code, u32 bytes, u32 iopl);

/* Loads *s in real mode and runs it to the first interrupt or exception; the state there, without an error code, is in *s. */
void real_run(struct state *s);
/* As real_run, with 4 GiB limits in DS, ES, FS and GS. */
void big_real_run(struct state *s);
/* Limit of the interrupt vector table in real mode; reset by at_real. */
void ivt_limit(u16 limit);

#endif
