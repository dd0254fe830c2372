/*
 * Nanobenchmarks: TSC cycles of single operations of a kernel (see nano.h). The rows of Adams & Agesen (ASPLOS 2006) are call_ret,
 * in_post_port, syscall_sysenter, page_fault, divide_error and write_pte_in_use; bench/nano.py says what stands for their cr8wr. "quick" on
 * the command line takes two rounds of each instead of five.
 */
#include "guestos/nano/nano.h"

struct nano nano;

void nano_report(const char *name, u64 best, u32 n, u32 cost)
{
	u32 per = (u32)(best * 10 / n);

	per = per > cost ? per - cost : 0;
	print("BENCH %s %u.%u\n", name, per / 10, per % 10);
}

void nano_user(const char *name, const void *code)
{
	u64 best = ~0ull;

	for (u32 i = 0; i < nano.rounds; i++) {
		struct state s = at_ring(code, 3);
		u64 t = rdtsc();

		s.eflags &= ~(u32)FL_IF;
		run(&s);
		t = rdtsc() - t;
		best = t < best ? t : best;
		if (s.vec != V_END) {
			print("NOTE %s: trap %u at %x\n", name, s.vec, s.eip);
			return;
		}
	}
	if (name)
		nano_report(name, best, USER_LOOPS, nano.user_cost);
	else
		nano.user_cost = (u32)(best * 10 / USER_LOOPS);
}

/*
 * Counts the TSC over 2 ms of channel 2 of the 8254, which runs once and then raises its output, bit 5 of port 61h. The least of a few
 * tries: a host that does something else in between only adds.
 */
static void measure_tsc(void)
{
	enum { COUNT = 2386 }; /* 2 ms */
	u8 gate = inb(0x61) & 0xfc;
	u64 best = ~0ull;

	for (int n = 0; n < 25; n++) {
		u32 tries = 0;
		u64 t;

		outb(0x61, gate);
		outb(0x43, 0xb0); /* channel 2, both bytes, mode 0 */
		outb(0x42, (u8)COUNT);
		outb(0x42, COUNT >> 8);
		t = rdtsc();
		outb(0x61, gate | 1);
		while (!(inb(0x61) & 0x20) && tries++ < 100000000)
			;
		t = rdtsc() - t;
		best = t < best ? t : best;
	}
	outb(0x61, gate);
	nano.tsc_khz = (u32)(best / 2);
	print("TSC %u\n", nano.tsc_khz);
}

/* Handlers that return at once, without the trap framework. */
extern u8 nano_iret[], nano_skip2[], nano_skip_err2[], nano_fill[], nano_sysexit[], nano_fn[];
asm(".pushsection .text\n"
    ".globl nano_iret\n"
    "nano_iret: iret\n"
    "nano_skip2: addl $2, (%esp); iret\n" /* behind a two-byte instruction */
    "nano_skip_err2: add $4, %esp; addl $2, (%esp); iret\n"
    "nano_fill: add $4, %esp; push %eax; mov nano_pte, %eax; orl $1, (%eax); pop %eax; iret\n"
    "nano_sysexit: sti; sysexit\n"
    "nano_fn: ret\n"
    ".popsection");
u32 *nano_pte;

USER_LOOP(user_empty, "");
USER_LOOP(user_int, "int $0x80");
USER_LOOP(user_sysenter, "mov %esp, %ecx; mov $2f, %edx; sysenter; 2:");
USER_LOOP(user_call_ret, "call 2f; jmp 3f; 2: ret; 3:");

static void basics(void)
{
	u32 cr3 = read_cr3();

	BENCH("nop", 100000, asm volatile("nop"));
	BENCH("call_ret", 100000, asm volatile("call nano_fn"));
	BENCH("call_ret_indirect", 100000, asm volatile("call *%0" ::"r"(nano_fn)));
	BENCH("pushf_popf", 100000, asm volatile("pushf; popf" ::: "cc"));
	BENCH("cli_sti", 100000, asm volatile("cli; sti"));
	BENCH("rdtsc", 20000, (void)rdtsc());
	BENCH("cpuid", 2000, asm volatile("cpuid" ::"a"(0), "c"(0) : "ebx", "edx"));
	BENCH("in_pic", 5000, (void)inb(0x21));
	BENCH("in_post_port", 5000, (void)inb(0x80));
	BENCH("in_unused_port", 5000, (void)inb(0xed));
	BENCH("out_post_port", 5000, outb(0x80, 0));
	BENCH("read_cr0", 20000, (void)read_cr0());
	BENCH("write_cr0", 5000, write_cr0(read_cr0()));
	BENCH("write_cr3", 5000, write_cr3(cr3));
	BENCH("clts", 20000, asm volatile("clts"));
	BENCH("lgdt", 5000, asm volatile("lgdt %0" ::"m"(gdtr)));
	BENCH("iret", 20000, asm volatile("pushf; push %%cs; push $1f; iret; 1:" ::: "memory", "cc"));
	BENCH("wrmsr_sysenter_esp", 2000, wrmsr(0x175, 0));
}

static void faults(void)
{
	nano_gate(0x81, nano_iret, 3);
	BENCH("int_iret_ring0", 20000, asm volatile("int $0x81" ::: "memory"));
	nano_gate(V_DE, nano_skip2, 0);
	BENCH("divide_error", 5000, asm volatile("div %0" ::"r"(0), "a"(1), "d"(0) : "cc"));
	nano_gate(V_UD, nano_skip2, 0);
	BENCH("undefined_opcode", 5000, asm volatile("ud2"));
	nano_gate(V_PF, nano_skip_err2, 0);
	*(volatile u32 *)nano_pte = 0;
	invlpg(A);
	BENCH("page_fault", 5000, asm volatile("mov (%0), %%eax" ::"r"(A) : "eax"));
	nano_gate(V_PF, nano_fill, 0);
	BENCH("page_fault_and_fill", 5000, {
		*(volatile u32 *)nano_pte = (ADDR(scratch[0]) | P_W) & ~(u32)P_P;
		invlpg(A);
		*(volatile u32 *)A = 1;
	});
	idt_reset();
}

static void tables(void)
{
	enum { B = A + 0x8000 };
	volatile u32 *pte = pte_ptr(B);

	BENCH("write_pte_same", 20000, *(volatile u32 *)nano_pte = ADDR(scratch[0]) | P_P | P_W);
	BENCH("write_pte_invlpg", 5000, {
		*(volatile u32 *)nano_pte = ADDR(scratch[i & 1]) | P_P | P_W;
		invlpg(A);
	});
	BENCH("write_pte_invlpg_touch", 5000, {
		*(volatile u32 *)nano_pte = ADDR(scratch[i & 1]) | P_P | P_W;
		invlpg(A);
		*(volatile u32 *)A = i;
	});
	BENCH("invlpg", 5000, invlpg(A));

	/* This page is in use: a monitor that shadows page tables has to see writes to its entry. */
	map(B, scratch[2], P_P | P_W);
	*(volatile u32 *)B = 1;
	BENCH("write_pte_in_use", 20000, *pte = ADDR(scratch[2]) | P_P | P_W | P_A | P_D);
	*(volatile u32 *)B = 1;
	BENCH("write_pte_in_use_other", 20000, *pte = ADDR(scratch[2 + (i & 1)]) | P_P | P_W | P_A | P_D);
	map(B, NULL, 0);
}

static void system_calls(void)
{
	nano_user(NULL, user_empty);
	nano_user("user_call_ret", user_call_ret);
	nano_gate(V_SYS, nano_iret, 3);
	nano_user("syscall_int80", user_int);
	idt_reset();
	if (cpuid_edx1() & 1u << 11) {
		wrmsr(0x174, KCS);
		wrmsr(0x175, ADDR(tss_stack_top));
		wrmsr(0x176, ADDR(nano_sysexit));
		nano_user("syscall_sysenter", user_sysenter);
	}
}

void kernel_main(const char *cmdline)
{
	nano.rounds = strstr(cmdline, "quick") ? 2 : 5;
	paging_set(PG_32);
	pic_mask(0xffff);
	nano_pte = pte_ptr(A);
	measure_tsc();
	BENCH(NULL, 100000, asm volatile(""));
	basics();
	tables();
	faults();
	system_calls();
	nano_sensitive();
	nano_memory();
	nano_code();
	nano_events();
	print("BENCH end 0\n");
	machine_exit(0);
}
