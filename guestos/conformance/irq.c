/*
 * Interrupts: shadows of STI and MOV SS, delivery into every kind of loop, HLT, state that survives a storm.
 */
#include "guestos/conformance/test.h"

static void (*outer_hook)(struct state *s);
static u32 taken, last_eip, last_eflags, last_cs;
static const u8 *leave_to; /* where the third interrupt sends the code */
static u32 leave_after;

static void counting(struct state *s)
{
	taken++;
	last_eip = s->eip;
	last_eflags = s->eflags;
	last_cs = s->cs;
	if (leave_to && taken >= leave_after) {
		s->eip = ADDR(leave_to);
		leave_to = NULL;
	}
	if (outer_hook)
		outer_hook(s);
}

static int begin(void)
{
	if (no_irq) {
		skip("noirq was given");
		return 0;
	}
	outer_hook = tick_hook;
	tick_hook = counting;
	taken = 0;
	leave_to = NULL;
	leave_after = 3;
	return 1;
}

static void end(void)
{
	tick_hook = outer_hook;
}

/* With IF clear: waits until IRQ 0 is requested. */
static void wait_pending(void)
{
	asm volatile("cli");
	for (u32 i = 0; i < 10000000; i++) {
		outb(0x20, 0x0a);
		if (inb(0x20) & 1)
			return;
	}
	fail("IRQ 0 never becomes pending");
}

CODE(sti_cli, "sti; cli; nop; nop");
CODE(sti_nop_cli, "sti; nop; sti_nop_cli_at: cli; nop");
CODE(sti_sti, "sti; sti; sti_sti_at: nop; cli");
CODE(sti_hlt, "sti; hlt; sti_hlt_at: cli");
CODE(popf_if, "pushf; orl $0x200, (%esp); popf; popf_if_at: nop; cli");
CODE(iret_if, "pushf; orl $0x200, (%esp); push %cs; push $iret_if_at; iret; iret_if_at: nop; cli");
CODE(sti_call, "sti; call 1f; 1: pop %eax; cli");
CODE(sti_ss, "mov %ss, %eax; sti; nop; sti_ss_at: mov %eax, %ss; cli; nop");

static void shadow(const char *name, const u8 *code, u32 want, const u8 *at)
{
	struct state s = at_ring(code, 0);

	s.eflags = FL_ONE;
	wait_pending();
	taken = 0;
	run(&s);
	/* The kernel's IF is clear since wait_pending: what was not taken is still pending. */
	EQ(taken, want, name);
	if (want && taken && at)
		EQ(last_eip, ADDR(at), name);
	ended(&s, name);
	asm volatile("sti");
}

TEST(sti, "irq.shadow of sti")
{
	if (!begin())
		return;
	for (int i = 0; i < 3; i++) {
		shadow("sti; cli", sti_cli, 0, NULL);
		shadow("sti; nop; cli", sti_nop_cli, 1, sti_nop_cli_at);
		shadow("sti; hlt", sti_hlt, 1, sti_hlt_at);
		shadow("popf", popf_if, 1, popf_if_at);
		shadow("iret", iret_if, 1, iret_if_at);
		shadow("sti; call", sti_call, 1, NULL);
		shadow("sti; sti", sti_sti, 1, sti_sti_at);
	}
	end();
}

/* With IOPL 3 ring 3 has IF in hand as well. */
TEST(sti3, "irq.shadow of sti in ring 3 with IOPL 3")
{
	static const struct {
		const char *name;
		const u8 *code, *at;
	} cases[] = {{"sti; cli", sti_cli, NULL},
		     {"sti; nop; cli", sti_nop_cli, sti_nop_cli_at},
		     {"popf", popf_if, popf_if_at},
		     {"sti; sti", sti_sti, sti_sti_at}};

	if (!begin())
		return;
	for (u32 i = 0; i < 3 * sizeof(cases) / sizeof(cases[0]); i++) {
		const u8 *at = cases[i / 3].at;
		struct state s = at_ring(cases[i / 3].code, 3);

		s.eflags = FL_ONE | FL_IOPL;
		wait_pending();
		taken = 0;
		run(&s);
		EQ(taken, at != NULL, cases[i / 3].name);
		if (at)
			EQ(last_eip, ADDR(at), cases[i / 3].name);
		ended(&s, cases[i / 3].name);
		EQ(s.eflags & (FL_IF | FL_IOPL), FL_IOPL, "IF and IOPL at the end");
		asm volatile("sti");
	}
	end();
}

/*
 * An interrupt of the local APIC's, sent by a store to memory, so that no instruction between it and the load of SS gives the processor a
 * reason to look. It may come in front of the load or behind the instruction at `at`, but not between. The APIC is left enabled: disabling
 * it would mask the 8259's line.
 */
enum { APIC_AT = TW + 0x10000, V_SELF = 0x40 };
CODE(ss_nop, "movl $0x40040, 0x10010300; mov %ebx, %ss; ss_nop_at: nop; nop; 9: jmp 9b");
CODE(ss_pop, "push %ebx; movl $0x40040, 0x10010300; pop %ss; ss_pop_at: nop; nop; 9: jmp 9b");
CODE(ss_jcc, "mov $2, %ecx; 1: movl $0x40040, 0x10010300; dec %ecx; mov %ebx, %ss; ss_jcc_at: jnz 1b; 9: jmp 9b");
CODE(ss_load, "movl $0x40040, 0x10010300; mov %ebx, %ss; ss_load_at: mov 0x10010020, %edx; nop; 9: jmp 9b");
CODE(ss_cli, "movl $0x40040, 0x10010300; mov %ebx, %ss; ss_cli_at: cli; nop; nop; sti; 9: jmp 9b");
/* The load of SS ends the page. */
CODE(ss_page, ".balign 4096; .skip 4084; ss_page_start: movl $0x40040, 0x10010300; mov %ebx, %ss; ss_page_at: nop; nop; 9: jmp 9b");
extern u8 ss_page_start[];

TEST(mov_ss, "irq.none comes between a load of SS and the next instruction")
{
	static const struct {
		const char *name;
		const u8 *code, *at;
	} cases[] = {{"mov; nop", ss_nop, ss_nop_at},	{"pop; nop", ss_pop, ss_pop_at}, {"mov; jnz", ss_jcc, ss_jcc_at},
		     {"mov; mov", ss_load, ss_load_at}, {"mov; cli", ss_cli, ss_cli_at}, {"at a page's end", ss_page_start, ss_page_at}};
	volatile u32 *apic = (volatile u32 *)APIC_AT;
	int mode = paging_mode();

	if (!begin())
		return;
	paging_set(PG_32);
	map(APIC_AT, (void *)(uintptr_t)0xfee00000, P_P | P_W | 0x10);
	asm volatile("cli");
	apic[0xf0 / 4] = 0x1ff;
	apic[0x350 / 4] = 0x700; /* LINT0: ExtINT */
	for (u32 i = 0; i < 3 * sizeof(cases) / sizeof(cases[0]); i++) {
		const char *name = cases[i / 3].name;
		struct state s = at_ring(cases[i / 3].code, 0);

		pic_mask(0xffff);
		s.ebx = s.ss = KDS;
		s.eflags = FL_ONE | FL_IF;
		run(&s);
		pic_mask(0xfffe);
		EQ(s.vec, V_SELF, name);
		apic[0xb0 / 4] = 0;
		if (s.eip == ADDR(cases[i / 3].at))
			fail("%s: interrupted at %x, right behind the load", name, s.eip);
	}
	unmap_window();
	paging_set(mode);
	asm volatile("sti");
	end();
}

CODE(rf_iret,
     "1: pushf; orl $0x10000, (%esp); push %cs; push $2f; iret; 2: mov $300000, %ecx; 3: dec %ecx; jnz 3b; jmp 1b; rf_iret_at: nop");

TEST(rf, "irq.RF lasts for one instruction behind IRET")
{
	if (!begin())
		return;
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(rf_iret, ring);

		s.eflags = FL_ONE | FL_IF;
		leave_to = rf_iret_at;
		leave_after = 5;
		taken = 0;
		run(&s);
		ended(&s, tag("iret", ring));
		/* At +15, right behind IRET, it is still set. */
		if ((last_eflags & 0x10000) && last_eip != ADDR(rf_iret) + 15)
			fail("RF in the image of an interrupt at +%x", last_eip - ADDR(rf_iret));
	}
	end();
}

CODE(loop_jmp, "1: jmp 1b");
CODE(loop_dec, "1: dec %eax; jmp 1b");
CODE(loop_jcc, "xor %eax, %eax; 1: test %eax, %eax; jz 1b");
CODE(loop_loop, "1: mov $2, %ecx; 2: loop 2b; jmp 1b");
CODE(loop_jecxz, "xor %ecx, %ecx; 1: jecxz 1b");
CODE(loop_ind, "mov $1f, %eax; 1: jmp *%eax");
CODE(loop_call, "1: call 2f; jmp 1b; 2: ret");
CODE(loop_callind, "mov $2f, %eax; 1: call *%eax; jmp 1b; 2: ret");
CODE(loop_ret, "1: push $1b; ret");
CODE(loop_mem, "1: incl (%ebx); jmp 1b");
CODE(loop_rep, "1: mov %ebx, %esi; mov %ebx, %edi; mov $1024, %ecx; rep movsb; jmp 1b");
CODE(loop_far, "1: push %cs; push $1b; lret");
CODE(loop_iret, "1: pushf; push %cs; push $1b; iret");
CODE(loop_cpuid, "1: xor %eax, %eax; cpuid; jmp 1b");
CODE(loop_pages, "1: jmp 2f; .skip 5000, 0x90; 2: jmp 1b");
CODE(leave_here, "nop");

static UDATA u8 area[2048];

static const struct {
	const char *name;
	const u8 *code;
} loops[] = {
	{"jmp .", loop_jmp},	 {"dec, jmp", loop_dec},     {"test, jz", loop_jcc},	       {"loop", loop_loop},
	{"jecxz", loop_jecxz},	 {"jmp *eax", loop_ind},     {"call, ret", loop_call},	       {"call *eax", loop_callind},
	{"push, ret", loop_ret}, {"inc mem, jmp", loop_mem}, {"rep movs", loop_rep},	       {"lret", loop_far},
	{"iret", loop_iret},	 {"cpuid", loop_cpuid},	     {"jmp across pages", loop_pages},
};

TEST(loops, "irq.delivered into endless loops")
{
	if (!begin())
		return;
	pit_hz(1000);
	for (u32 i = 0; i < sizeof(loops) / sizeof(loops[0]); i++)
		for (int ring = 0; ring <= 3; ring += 3) {
			int inside = 0;

			/* On a busy host a tick may be due before the loop has been reached. */
			for (int tries = 0; tries < 20 && !inside; tries++) {
				struct state s = at_ring(loops[i].code, ring);

				s.ebx = ADDR(area);
				taken = 0;
				leave_to = leave_here;
				run(&s);
				ended(&s, tag(loops[i].name, ring));
				inside = last_eip >= ADDR(loops[i].code) && last_eip <= ADDR(loops[i].code) + 6000;
			}
			if (!inside)
				fail("%s: interrupted at %x", tag(loops[i].name, ring), last_eip);
			EQ(last_cs, ring ? UCS : KCS, "cs image");
			EQ(last_eflags & FL_IF, FL_IF, "IF in the image");
		}
	pit_hz(HZ);
	end();
}

CODE(halt, "hlt; halt_at: nop");

TEST(hlt, "irq.hlt wakes up behind itself")
{
	u32 before;

	if (!begin())
		return;
	for (int i = 0; i < 5; i++) {
		struct state s = at_ring(halt, 0);

		before = taken;
		run(&s);
		ended(&s, "hlt");
		if (taken == before)
			fail("hlt ended without an interrupt");
	}
	before = ticks;
	for (int i = 0; i < 10; i++)
		asm volatile("hlt");
	if (ticks - before < 9 || ticks - before > 12)
		fail("10 hlts took %u ticks", ticks - before);
	end();
}

TEST(masked, "irq.none with IF clear, and the pending one afterwards")
{
	u32 before;
	u64 t;

	if (!begin())
		return;
	wait_pending();
	before = taken;
	t = rdtsc();
	while (rdtsc() - t < 50000000)
		;
	EQ(taken, before, "interrupts taken with IF clear");
	asm volatile("sti; nop; nop");
	if (taken == before)
		fail("the pending interrupt was not taken after sti");
	end();
}

CODE(mix, "1: add %edx, %eax; adc %ebx, %edx; rol $3, %ebx; sbb $7, %esi; imul $0x10dcd, %edi; setc %bl; push %eax; pushf; pop %ebp; and "
	  "$0xd5, %ebp;"
	  "xor %ebp, %edi; pop %ebp; xor %ebp, %esi; call 2f; loop 1b; jmp 3f; 2: lahf; xor %ah, %dl; ret; 3: nop");

TEST(storm, "irq.registers and flags survive a storm of interrupts")
{
	struct state s[4];

	if (!begin())
		return;
	for (int k = 0; k < 4; k++) {
		s[k] = at_ring(mix, k & 1 ? 3 : 0);
		s[k].eflags = FL_ONE | (k & 2 ? FL_IF : 0);
		s[k].ecx = 3000000;
		pit_hz(k & 2 ? 4000 : HZ);
		taken = 0;
		run(&s[k]);
		ended(&s[k], "mix");
		if (k & 2 && !taken)
			fail("no interrupt came");
		s[k].esp = 0;
		if (k)
			same_regs(&s[k], &s[0], k == 1 ? "ring 3" : k == 2 ? "ring 0 in the storm" : "ring 3 in the storm");
		EQ(s[k].eflags & FL_ARITH, s[0].eflags & FL_ARITH, "flags");
	}
	pit_hz(HZ);
	end();
}

CODE(rep_long, "rep movsb");

TEST(rep, "irq.rep movs is interrupted and goes on")
{
	if (!begin())
		return;
	pit_hz(4000);
	for (u32 i = 0; i < 200; i++) {
		static UDATA u8 big[2][65536];
		struct state s = at_ring(rep_long, 3);

		big[0][65535] = (u8)i;
		s.esi = ADDR(big[0]);
		s.edi = ADDR(big[1]);
		s.ecx = 65536;
		taken = 0;
		run(&s);
		if (!ended(&s, "rep movsb"))
			break;
		EQ(s.ecx, 0, "ecx");
		EQ(s.edi, ADDR(big[1]) + 65536, "edi");
		EQ(big[1][65535], (u8)i, "last byte");
	}
	pit_hz(HZ);
	end();
}
