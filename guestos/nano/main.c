/*
 * Nanobenchmarks: TSC cycles of single operations of a kernel, as `BENCH name cycles`. Each is the best of several rounds, the cost of an
 * empty loop taken off, so that a round disturbed by the host does not count.
 */
#include "guestos/lib/lib.h"

enum { ROUNDS = 5, A = TW };

static u32 loop_cost;

static void report(const char *name, u64 best, u32 n)
{
	u32 per = (u32)(best / n);

	print("BENCH %s %u\n", name, per > loop_cost ? per - loop_cost : 0);
}

/* Times `n` repetitions of a statement. */
#define BENCH(name, n, statement)                                                                                                          \
	do {                                                                                                                               \
		u64 best = ~0ull;                                                                                                          \
		for (u32 round = 0; round < ROUNDS; round++) {                                                                             \
			u64 t = rdtsc();                                                                                                   \
			for (u32 i = 0; i < (n); i++) {                                                                                    \
				statement;                                                                                                 \
			}                                                                                                                  \
			t = rdtsc() - t;                                                                                                   \
			best = t < best ? t : best;                                                                                        \
		}                                                                                                                          \
		if (name)                                                                                                                  \
			report(name, best, n);                                                                                             \
		else                                                                                                                       \
			loop_cost = (u32)(best / (n));                                                                                     \
	} while (0)

/* Handlers that return at once, without the trap framework. */
extern u8 nano_iret[], nano_skip2[], nano_skip_err2[], nano_fill[], nano_sysexit[], nano_fn[];
asm("nano_iret: iret\n"
    "nano_skip2: addl $2, (%esp); iret\n" /* behind a two-byte instruction */
    "nano_skip_err2: add $4, %esp; addl $2, (%esp); iret\n"
    "nano_fill: add $4, %esp; push %eax; mov nano_pte, %eax; orl $1, (%eax); pop %eax; iret\n"
    "nano_sysexit: sti; sysexit\n"
    "nano_fn: ret\n");
u32 *nano_pte;

CODE(user_int, "mov $10000, %esi; 1: int $0x80; dec %esi; jnz 1b");
CODE(user_sysenter, "mov $10000, %esi; 1: mov %esp, %ecx; mov $2f, %edx; sysenter; 2: dec %esi; jnz 1b");
CODE(user_work, "mov $10000, %esi; 1: call 2f; dec %esi; jnz 1b; jmp 3f; 2: ret; 3:");

static void user(const char *name, const void *code)
{
	u64 best = ~0ull;

	for (int i = 0; i < ROUNDS; i++) {
		struct state s = at_ring(code, 3);
		u64 t = rdtsc();

		run(&s);
		t = rdtsc() - t;
		best = t < best ? t : best;
		if (s.vec != V_END) {
			print("BENCH %s failed: trap %u at %x\n", name, s.vec, s.eip);
			return;
		}
	}
	report(name, best, 10000);
}

static void set_gate(u32 vec, const void *handler, u8 dpl)
{
	idt[vec] = gate(KCS, ADDR(handler), 0xe, dpl);
}

void kernel_main(const char *cmdline)
{
	u32 cr3;

	(void)cmdline;
	paging_set(PG_32);
	pic_mask(0xffff);
	cr3 = read_cr3();
	BENCH(NULL, 100000, asm volatile(""));
	BENCH("nop", 100000, asm volatile("nop"));
	BENCH("call_ret", 100000, asm volatile("call nano_fn"));
	BENCH("call_ret_indirect", 100000, asm volatile("call *%0" ::"r"(nano_fn)));
	BENCH("pushf_popf", 100000, asm volatile("pushf; popf" ::: "cc"));
	BENCH("cli_sti", 100000, asm volatile("cli; sti"));
	BENCH("rdtsc", 20000, (void)rdtsc());
	BENCH("cpuid", 2000, asm volatile("cpuid" ::"a"(0), "c"(0) : "ebx", "edx"));
	BENCH("in_pic", 5000, (void)inb(0x21));
	BENCH("in_unused_port", 5000, (void)inb(0xed));
	BENCH("out_post_port", 5000, outb(0x80, 0));
	BENCH("read_cr0", 20000, (void)read_cr0());
	BENCH("write_cr0", 5000, write_cr0(read_cr0()));
	BENCH("write_cr3", 5000, write_cr3(cr3));
	BENCH("clts", 20000, asm volatile("clts"));
	BENCH("lgdt", 5000, asm volatile("lgdt %0" ::"m"(gdtr)));
	BENCH("mov_ds", 20000, asm volatile("mov %0, %%ds" ::"r"(KDS)));
	BENCH("mov_from_ds", 100000, asm volatile("mov %%ds, %%eax" ::: "eax"));
	BENCH("lret", 20000, asm volatile("push %%cs; push $1f; lret; 1:" ::: "memory"));
	BENCH("iret", 20000, asm volatile("pushf; push %%cs; push $1f; iret; 1:" ::: "memory", "cc"));
	BENCH("wrmsr_sysenter_esp", 2000, wrmsr(0x175, 0));

	nano_pte = pte_ptr(A);
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

	set_gate(0x81, nano_iret, 3);
	BENCH("int_iret_ring0", 20000, asm volatile("int $0x81" ::: "memory"));
	set_gate(V_DE, nano_skip2, 0);
	BENCH("divide_error", 5000, asm volatile("div %0" ::"r"(0), "a"(1), "d"(0) : "cc"));
	set_gate(V_UD, nano_skip2, 0);
	BENCH("undefined_opcode", 5000, asm volatile("ud2"));
	set_gate(V_PF, nano_skip_err2, 0);
	*(volatile u32 *)nano_pte = 0;
	invlpg(A);
	BENCH("page_fault", 5000, asm volatile("mov (%0), %%eax" ::"r"(A) : "eax"));
	set_gate(V_PF, nano_fill, 0);
	BENCH("page_fault_and_fill", 5000, {
		*(volatile u32 *)nano_pte = (ADDR(scratch[0]) | P_W) & ~(u32)P_P;
		invlpg(A);
		*(volatile u32 *)A = 1;
	});
	idt_reset();

	user("user_call_ret", user_work);
	set_gate(V_SYS, nano_iret, 3);
	user("syscall_int80", user_int);
	if (cpuid_edx1() & 1u << 11) {
		wrmsr(0x174, KCS);
		wrmsr(0x175, ADDR(tss_stack_top));
		wrmsr(0x176, ADDR(nano_sysexit));
		user("syscall_sysenter", user_sysenter);
	}
	print("BENCH end 0\n");
	machine_exit(0);
}
