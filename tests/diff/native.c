/*
 * Runs the cases of a batch (file descriptor 3, mapped shared) on the host's CPU, in 32-bit user mode, and writes their results.
 *
 * A case is entered by loading its whole state and jumping to its code; it ends in a signal, INT3's if in no other. The handler takes the
 * state out of the signal frame and returns to run_case.
 *
 * A case that does not end by itself (a sequence whose jumps made a loop) is ended by a timer and emptied, for the guest as well.
 *
 * The batch is mapped read-only and results go out by a system call, for a case may write anywhere in this process; only a program's own
 * image and stack are left for it to hit.
 *
 * Invariants: built for general registers only, and between a case's entry and exit no C library function is called, for the FPU state,
 * exceptions unmasked, is the case's.
 */
#include <asm/ldt.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/diff/collect.h"

#define BATCH_FD    3
#define FSAVE_SIZE  112 /* the FXSAVE image lies behind it in the signal frame */
#define STACK_BASE  0x5a5a0000u
#define STACK_SIZE  0x4000u
#define EFLAGS_AC   0x40000u
#define TICK_USEC   20000
#define TICKS_LIMIT 3u

/* Named by the assembly of run_case. */
struct entry {
	u32 regs[8];
	u32 eip, eflags;
	u32 saved_esp;
	u8 fx[512] __attribute__((aligned(16)));
} entry asm("entry") __attribute__((aligned(16), used));
extern const u8 case_over[] asm("case_over");

static int segments[3];	      /* this program's FS, GS and SS */
static struct result current; /* of the case that runs */
static int number;	      /* of that case */
static volatile u32 ticks;    /* of the timer since the case began */
static volatile u32 hung;
static volatile u32 running; /* a case, as opposed to this program */

static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	struct result *r = &current;

	(void)info;
	if (sig == SIGALRM && (++ticks < TICKS_LIMIT || (u32)g[REG_EIP] - CODE_BASE >= CODE_PAGES * 4096))
		return;
	if (!running) {
		fprintf(stderr, "native: signal %d at %08x, address %08lx, case %d\n", sig, (u32)g[REG_EIP], uc->uc_mcontext.cr2, number);
		_exit(3);
	}
	running = 0;
	hung = sig == SIGALRM;
	asm volatile("pushfl\n\tandl %0, (%%esp)\n\tpopfl" : : "i"(~EFLAGS_AC) : "memory", "cc");
	r->out.regs[0] = (u32)g[REG_EAX];
	r->out.regs[1] = (u32)g[REG_ECX];
	r->out.regs[2] = (u32)g[REG_EDX];
	r->out.regs[3] = (u32)g[REG_EBX];
	r->out.regs[4] = (u32)g[REG_ESP];
	r->out.regs[5] = (u32)g[REG_EBP];
	r->out.regs[6] = (u32)g[REG_ESI];
	r->out.regs[7] = (u32)g[REG_EDI];
	r->out.eip = (u32)g[REG_EIP];
	r->out.eflags = (u32)g[REG_EFL];
	r->vector = sig == SIGSYS ? VECTOR_SYSCALL : (u32)g[REG_TRAPNO];
	r->error = (u32)g[REG_ERR];
	r->cr2 = (u32)uc->uc_mcontext.cr2;
	copy_bytes(r->out.fx, (const u8 *)uc->uc_mcontext.fpregs + FSAVE_SIZE, FX_SIZE);
	g[REG_EIP] = (greg_t)(uintptr_t)case_over;
	g[REG_ESP] = (greg_t)entry.saved_esp;
	g[REG_EFL] = 0x202;
	/* A jump into the middle of an instruction may have found a POP DS there, or a POP SS. */
	g[REG_DS] = g[REG_ES] = g[REG_SS] = segments[2];
	g[REG_FS] = segments[0];
	g[REG_GS] = segments[1];
}

static void __attribute__((noinline)) run_code(void)
{
	asm volatile("pushal\n\t"
		     "movl %%esp, entry + 40\n\t"
		     "fxrstor entry + 48\n\t"
		     "movl %0, %%eax\n\t"
		     "movl %%eax, %%fs\n\t"
		     "movl %1, %%eax\n\t"
		     "movl %%eax, %%gs\n\t"
		     "pushl entry + 36\n\t"
		     "movl entry + 0, %%eax\n\t"
		     "movl entry + 4, %%ecx\n\t"
		     "movl entry + 8, %%edx\n\t"
		     "movl entry + 12, %%ebx\n\t"
		     "movl entry + 20, %%ebp\n\t"
		     "movl entry + 24, %%esi\n\t"
		     "movl entry + 28, %%edi\n\t"
		     "popfl\n\t"
		     "movl entry + 16, %%esp\n\t"
		     "jmp *entry + 32\n"
		     "case_over:\n\t"
		     "popal"
		     :
		     : "i"(SEL_FS), "i"(SEL_GS)
		     : "memory", "cc");
}
_Static_assert(offsetof(struct entry, eip) == 32 && offsetof(struct entry, saved_esp) == 40 && offsetof(struct entry, fx) == 48,
	       "run_code");

/* Puts the case's code there, or takes it away with what it may have made of the bytes behind it. */
static void place(const struct test_case *c, int there)
{
	for (u32 i = 0; i < PLACE_MAX; i++) {
		volatile u8 *p = (volatile u8 *)(uintptr_t)(c->in.eip + i);
		u8 now = there && i < c->length ? c->code[i] : 0xcc;

		if (c->in.eip + i - CODE_BASE < CODE_PAGES * 4096 && *p != now)
			*p = now;
	}
}

static void run_case(const struct batch *b, const struct test_case *c)
{
	copy_bytes(&entry, &c->in, offsetof(struct state32, fx));
	copy_bytes(entry.fx, c->in.fx, FX_SIZE);
	place(c, 1);
	__builtin_memset(&current, 0, sizeof(current));
	ticks = hung = 0;
	running = 1;
	run_code();
	collect_insn(&current);
	place(c, 0);
	collect_memory(b, &current);
	normalize(&current);
}

static void store(const struct batch *b, const void *place_in_batch, const void *data, size_t n)
{
	off_t at = (off_t)((const u8 *)place_in_batch - (const u8 *)b);

	if (pwrite(BATCH_FD, data, n, at) != (ssize_t)n)
		_exit(4);
}

static void run_and_store(struct batch *b, u32 i)
{
	struct test_case *c = &batch_cases(b)[i];
	u32 empty = 0;

	number = (int)i;
	run_case(b, c);
	if (hung) {
		store(b, &c->length, &empty, sizeof(empty));
		run_case(b, c);
	}
	store(b, &batch_results(b)[i], &current, sizeof(current));
}

static void map_at(u32 address, u32 size, int prot)
{
	void *p = (void *)(uintptr_t)address;

	if (mmap(p, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != p) {
		perror("native: mmap");
		exit(2);
	}
}

static void map_all(const struct batch *b)
{
	for (unsigned i = 0; i < PAGES; i++) {
		if (!b->low && page_address[i] < DATA)
			continue;
		map_at(page_address[i], 4096, PROT_READ | PROT_WRITE);
		memcpy((void *)(uintptr_t)page_address[i], b->pristine[i], 4096);
		if (i >= RW_PAGES)
			mprotect((void *)(uintptr_t)page_address[i], 4096, PROT_READ);
	}
	map_at(CODE_BASE, CODE_PAGES * 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	memset((void *)(uintptr_t)CODE_BASE, 0xcc, CODE_PAGES * 4096);
}

static void set_ldt(unsigned selector, u32 base, u32 limit, unsigned contents)
{
	struct user_desc d = {
		.entry_number = selector >> 3, .base_addr = base, .limit = limit, .seg_32bit = 1, .contents = contents, .useable = 1};

	if (syscall(SYS_modify_ldt, 1, &d, sizeof(d))) {
		perror("native: modify_ldt");
		exit(2);
	}
}

static void catch_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGTRAP, SIGALRM, SIGSYS};
	static u8 stack[65536] __attribute__((aligned(64)));
	stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction sa;

	sigaltstack(&alt, NULL);
	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = handler;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &sa, NULL);
}

/* A case that happens upon an INT 80h or a SYSENTER makes no system call. */
static void forbid_syscalls(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CODE_BASE, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, CODE_BASE + CODE_PAGES * 4096, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("native: seccomp");
		_exit(2);
	}
}

static u32 first_case, end_case;
static struct batch *batch;

static _Noreturn void __attribute__((used)) run_all(void)
{
	setitimer(ITIMER_REAL, &(struct itimerval){{0, TICK_USEC}, {0, TICK_USEC}}, NULL);
	for (u32 i = first_case; i < end_case; i++)
		run_and_store(batch, i);
	_exit(0);
}

/* The stack lies where small negative numbers point to, as cases like to: it moves to a place that they hardly ever hit. */
static _Noreturn void run_elsewhere(void)
{
	unsigned long from, to;
	char line[256];
	FILE *f = fopen("/proc/self/maps", "r");

	from = to = 0;
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "[stack]") && sscanf(line, "%lx-%lx", &from, &to) != 2)
			from = to = 0;
	if (f)
		fclose(f);
	map_at(STACK_BASE, STACK_SIZE, PROT_READ | PROT_WRITE);
	asm volatile("movl %0, %%esp\n\t"
		     "movl %1, %%eax\n\t" /* munmap */
		     "int $0x80\n\t"
		     "call run_all"
		     :
		     : "i"(STACK_BASE + STACK_SIZE - 16), "i"(SYS_munmap), "b"(from), "c"(to - from)
		     : "eax", "memory");
	__builtin_unreachable();
}

/* native [FIRST COUNT] */
int main(int argc, char **argv)
{
	struct stat st;

	if (fstat(BATCH_FD, &st) < 0) {
		perror("native: batch");
		return 2;
	}
	batch = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, BATCH_FD, 0);
	if (batch == MAP_FAILED || batch->magic != BATCH_MAGIC) {
		fprintf(stderr, "native: no batch\n");
		return 2;
	}
	end_case = batch->cases;
	if (argc == 3) {
		first_case = (u32)strtoul(argv[1], NULL, 0);
		end_case = first_case + (u32)strtoul(argv[2], NULL, 0);
	}
	asm("mov %%fs, %0\n\tmov %%gs, %1\n\tmov %%ss, %2" : "=r"(segments[0]), "=r"(segments[1]), "=r"(segments[2]));
	map_all(batch);
	set_ldt(SEL_FS, FS_BASE, FS_LIMIT, 0);
	set_ldt(SEL_GS, GS_BASE, GS_LIMIT, 1);
	catch_signals();
	forbid_syscalls();
	run_elsewhere();
}
