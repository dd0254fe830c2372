/*
 * x87 errors with CR0.NE clear, as DOS and its successors had them: FERR# is IRQ13, the handler writes to port F0h (SDM Vol. 1 D.2.1).
 */
#include "guestos/conformance/test.h"

enum { V_FERR = V_IRQ0 + 13 };

static u32 taken, taken_eip, taken_status;
static int clears; /* whether the handler clears the exception */

static int ferr_hook(struct state *s)
{
	u16 status;

	taken++;
	taken_eip = s->eip;
	asm volatile("fnstsw %0" : "=a"(status));
	taken_status = status;
	outb(0xf0, 0);
	if (clears)
		asm volatile("fnclex");
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
	if (taken > 3) {
		asm volatile("fnclex");
		s->eflags &= ~(u32)FL_IF;
	}
	return 1;
}

static struct state ferr_run(const u8 *code, int ring, int clear)
{
	u32 cr0 = read_cr0();
	struct state s = at_ring(code, ring);

	taken = taken_eip = taken_status = 0;
	clears = clear;
	trap_hook[V_FERR] = ferr_hook;
	pic_mask((u16) ~(1u << 13 | 1u << 2));
	write_cr0(cr0 & ~(u32)CR0_NE);
	s.eflags |= FL_IF;
	run(&s);
	asm volatile("fninit");
	write_cr0(cr0);
	pic_mask(0xfffe);
	trap_hook[V_FERR] = NULL;
	return s;
}

#define DIVIDE "fninit; push $0x37b; fldcw (%esp); fldz; fld1; fdivp;"

CODE(f_wait, DIVIDE "nop; f_wait_at: fwait; fld1; mov $7, %edx; pop %ecx");
CODE(f_fld, DIVIDE "nop; f_fld_at: fld1; fstp %st(0); fnstsw %ax; mov $7, %edx; pop %ecx");
CODE(f_mmx, DIVIDE "nop; f_mmx_at: movd %eax, %mm0; emms; mov $7, %edx; pop %ecx");
CODE(f_none, DIVIDE "fnstsw %ax; fnclex; fwait; mov $7, %edx; pop %ecx");

TEST(ferr, "x87.an error with NE clear is IRQ13 before the next waiting instruction")
{
	static const struct {
		const char *name;
		const u8 *code, *at;
	} c[] = {{"fwait", f_wait, f_wait_at}, {"fld1", f_fld, f_fld_at}, {"movd", f_mmx, f_mmx_at}};

	if (qemu_skips("it ends in an assertion"))
		return;
	for (int ring = 0; ring <= 3; ring += 3)
		for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
			struct state s = ferr_run(c[i].code, ring, 1);

			if (!ended(&s, tag(c[i].name, ring)))
				continue;
			EQ(taken, 1, tag(c[i].name, ring));
			EQ(taken_eip, ADDR(c[i].at), "eip");
			EQ(taken_status & 0x84, 0x84, "status in the handler");
			EQ(s.edx, 7, "the code behind");
		}
}

TEST(ferr_none, "x87.no IRQ13 if nothing waits")
{
	struct state s;

	if (qemu_skips("it ends in an assertion"))
		return;
	s = ferr_run(f_none, 3, 1);
	if (!ended(&s, "fnclex"))
		return;
	EQ(taken, 0, "interrupts");
	EQ(s.eax & 0x84, 0x84, "status");
}

TEST(ignne, "x87.IGNNE# lets a pending error be ignored")
{
	struct state s;

	if (qemu_skips("it ends in an assertion"))
		return;
	s = ferr_run(f_fld, 0, 0);
	if (!ended(&s, "fld1 with IGNNE#"))
		return;
	EQ(taken, 1, "interrupts");
	EQ(s.eax & 0x84, 0x84, "the exception is pending still");
	EQ(s.edx, 7, "the code behind");
	/* It has gone with the exception: the next one is reported again. */
	s = ferr_run(f_wait, 0, 1);
	ended(&s, "fwait");
	EQ(taken, 1, "interrupts, the second time");
}
