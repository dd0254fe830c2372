/* See modes.h. Invariant: outside of real_run the machine is in the protected mode that the harness set up. */
#include "guestos/modes/modes.h"

extern u8 low_start[], low_stubs[], low_end[];
extern u32 low_data;
extern struct pseudo low_idt;
void low_go(void);

void ivt_limit(u16 limit)
{
	low_idt.limit = limit;
}

static void place(const void *code, u32 bytes)
{
	memcpy((void *)low(LOW), low_start, (size_t)(low_end - low_start));
	memset((void *)low(LOW_CODE), 0xcc, 0x10000);
	memcpy((void *)low(LOW_CODE), code, bytes);
	memset((void *)low(LOW_AREA), 0, 0x10000);
	memset((void *)low(LOW_STACK), 0, 0x10000);
	for (u32 n = 0; n < 256; n++)
		*(volatile u32 *)low(LOW_IVT + n * 4) = (LOW >> 4) << 16 | (u32)(low_stubs - low_start + n * 8);
	ivt_limit(0x3ff);
}

struct state at_real(const void *code, u32 bytes)
{
	struct state s = at_ring(NULL, 0);

	place(code, bytes);
	s.cs = LOW_CODE >> 4;
	s.ss = LOW_STACK >> 4;
	s.ds = s.es = s.fs = s.gs = LOW_AREA >> 4;
	s.esp = 0x8000;
	s.eflags = FL_ONE;
	return s;
}

struct state at_v86(const void *code, u32 bytes, u32 iopl)
{
	struct state s = at_real(code, bytes);

	if (paging_mode() != PG_OFF) {
		map(0, NULL, P_P | P_W | P_U);
		for (u32 page = LOW_CODE; page < LOW_STACK + 0x10000; page += 4096)
			map(page, (const void *)(uintptr_t)page, P_P | P_W | P_U);
	}
	s.eflags = FL_ONE | FL_VM | iopl << 12;
	return s;
}

static void run_with(struct state *s, u32 data)
{
	volatile struct state *low_state = (volatile struct state *)low(LOW_STATE);
	u32 cr0 = read_cr0();

	gdt_set(SEL_CODE16, desc(LOW, 0xffff, ACC_CODE, 0));
	gdt_set(SEL_DATA16, desc(0, 0xffff, ACC_DATA, 0));
	gdt_set(SEL_BIG, desc(0, 0xfffff, ACC_DATA, 8));
	low_data = data;
	s->vec = s->err = 0;
	*low_state = *s;
	asm volatile("cli");
	write_cr0(cr0 & ~CR0_PG);
	low_go();
	write_cr0(cr0);
	*s = *low_state;
	s->cs &= 0xffff;
	s->eip &= 0xffff;
	if (!no_irq)
		asm volatile("sti");
}

void real_run(struct state *s)
{
	run_with(s, SEL_DATA16);
}

void big_real_run(struct state *s)
{
	run_with(s, SEL_BIG);
}
