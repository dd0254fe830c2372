/*
 * The nanobenchmarks' native column: what a 32-bit user process of the host can do of guestos/nano, under the same names, `BENCH name
 * cycles` with one decimal, and the TSC's frequency as `TSC kilohertz`.
 *
 * Invariants: a figure is the best of several rounds less the cost of an empty loop. An operation that the host's kernel refuses (a signal)
 * is a NOTE and no row; one that it emulates or that traps to a hypervisor is a row all the same, for that is what it costs here.
 */
#include <signal.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

static u32 rounds = 5, loop_cost;
static sigjmp_buf refused;

static inline u64 rdtsc(void)
{
	u64 v;

	asm volatile("rdtsc" : "=A"(v));
	return v;
}

static void on_signal(int n)
{
	siglongjmp(refused, n);
}

static void report(const char *name, u64 best, u32 n)
{
	u32 per = (u32)(best * 10 / n);

	per = per > loop_cost ? per - loop_cost : 0;
	printf("BENCH %s %u.%u\n", name, per / 10, per % 10);
}

#define BENCH(name, n, statement)                                                                                                          \
	do {                                                                                                                               \
		const char *volatile name_ = (name);                                                                                       \
		volatile u64 best_ = ~0ull;                                                                                                \
		int signal_ = sigsetjmp(refused, 1);                                                                                       \
		if (signal_) {                                                                                                             \
			printf("NOTE native %s: signal %d\n", name_, signal_);                                                             \
			break;                                                                                                             \
		}                                                                                                                          \
		for (volatile u32 round_ = 0; round_ < rounds; round_++) {                                                                 \
			u64 t_ = rdtsc();                                                                                                  \
			for (u32 i = 0; i < (n); i++) {                                                                                    \
				statement;                                                                                                 \
			}                                                                                                                  \
			t_ = rdtsc() - t_;                                                                                                 \
			if (t_ < best_)                                                                                                    \
				best_ = t_;                                                                                                \
		}                                                                                                                          \
		if (name_)                                                                                                                 \
			report(name_, best_, (n));                                                                                         \
		else                                                                                                                       \
			loop_cost = (u32)(best_ * 10 / (n));                                                                               \
	} while (0)

extern u8 native_fn[];
asm(".pushsection .text\n"
    "native_fn: ret\n"
    ".popsection");

static u8 from[4096] __attribute__((aligned(4096))), to[4096] __attribute__((aligned(4096)));
static u8 mem[16] __attribute__((used));
static u32 counter;

static void measure_tsc(void)
{
	struct timespec a, b;
	u64 t0, t1;

	clock_gettime(CLOCK_MONOTONIC, &a);
	t0 = rdtsc();
	usleep(50000);
	t1 = rdtsc();
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("TSC %u\n", (u32)((t1 - t0) * 1000000 / (u64)((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec)));
}

static void sensitive(void)
{
	u32 cs, ds;

	asm("mov %%cs, %0; mov %%ds, %1" : "=r"(cs), "=r"(ds));
	BENCH("sgdt", 2000, asm volatile("sgdt mem" ::: "memory"));
	BENCH("sidt", 2000, asm volatile("sidt mem" ::: "memory"));
	BENCH("sldt", 2000, asm volatile("sldt %%eax" ::: "eax"));
	BENCH("smsw", 2000, asm volatile("smsw %%eax" ::: "eax"));
	BENCH("str", 2000, asm volatile("str %%eax" ::: "eax"));
	BENCH("pushf_pop", 20000, asm volatile("pushf; pop %%eax" ::: "eax"));
	BENCH("push_popf", 20000, asm volatile("push $2; popf" ::: "cc"));
	BENCH("lar", 20000, asm volatile("lar %0, %%eax" ::"r"(ds) : "eax", "cc"));
	BENCH("lsl", 20000, asm volatile("lsl %0, %%eax" ::"r"(ds) : "eax", "cc"));
	BENCH("verr", 20000, asm volatile("verr %w0" ::"r"(ds) : "cc"));
	BENCH("verw", 20000, asm volatile("verw %w0" ::"r"(ds) : "cc"));
	BENCH("push_seg_pop", 20000, asm volatile("push %%ds; pop %%eax" ::: "eax"));
	BENCH("push_pop_seg", 20000, asm volatile("push %0; pop %%es" ::"r"(ds)));
	BENCH("mov_from_seg", 20000, asm volatile("mov %%ds, %%eax" ::: "eax"));
	BENCH("mov_to_seg", 20000, asm volatile("mov %0, %%es" ::"r"(ds)));
	BENCH("mov_to_ss", 20000, asm volatile("mov %0, %%ss" ::"r"(ds)));
	{
		struct {
			u32 eip;
			uint16_t cs;
		} __attribute__((packed)) far;

		far.cs = (uint16_t)cs;
		asm volatile("movl $2f, %0" : "=m"(far.eip));
		BENCH("call_far_ret_far", 20000, asm volatile("lcall *%0; jmp 3f; 2: lret; 3:" ::"m"(far) : "memory"));
		asm volatile("movl $4f, %0" : "=m"(far.eip));
		BENCH("jmp_far", 20000, asm volatile("ljmp *%0; 4:" ::"m"(far) : "memory"));
	}
	BENCH("push_push_ret_far", 20000, asm volatile("push %0; push $5f; lret; 5:" ::"r"(cs) : "memory"));
}

static inline void copy(u32 n)
{
	u32 c = n / 4;
	void *d = to;
	const void *s = from;

	asm volatile("rep movsl" : "+c"(c), "+D"(d), "+S"(s)::"memory");
}

static inline void fill(u32 n)
{
	u32 c = n / 4;
	void *d = to;

	asm volatile("rep stosl" : "+c"(c), "+D"(d) : "a"(0) : "memory");
}

/* Linux's getpid, so the kernel's own part is in the figure. By the vDSO's entry (SYSENTER, or SYSCALL on AMD's processors) and by INT 80h.
 */
static void system_calls(void)
{
	u32 entry = (u32)getauxval(AT_SYSINFO), r;

	BENCH("syscall_int80", 5000, asm volatile("int $0x80" : "=a"(r) : "a"(SYS_getpid) : "memory"));
	if (entry)
		BENCH("syscall_sysenter", 5000, asm volatile("call *%1" : "=a"(r) : "r"(entry), "a"(SYS_getpid) : "memory"));
	else
		printf("NOTE native syscall_sysenter: the kernel gives no AT_SYSINFO\n");
}

static void code(void)
{
	u8 *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u32 r;

	if (p == MAP_FAILED) {
		printf("NOTE native code_rewrite: no writable and executable memory\n");
		return;
	}
	p[0] = 0xb8;
	p[5] = 0xc3;
	BENCH("code_call", 20000, asm volatile("call *%1" : "=a"(r) : "r"(p) : "memory"));
	BENCH("code_data_beside", 5000, {
		*(volatile u32 *)(p + 2048) = i;
		asm volatile("call *%1" : "=a"(r) : "r"(p) : "memory");
	});
	BENCH("code_rewrite_same", 2000, {
		*(volatile u32 *)(p + 1) = 7;
		asm volatile("call *%1" : "=a"(r) : "r"(p) : "memory");
	});
	BENCH("code_rewrite", 2000, {
		*(volatile u32 *)(p + 1) = i;
		asm volatile("call *%1" : "=a"(r) : "r"(p) : "memory");
	});
}

int main(int argc, char **argv)
{
	static u8 stack[65536];
	stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

	if (argc > 1 && !strcmp(argv[1], "quick"))
		rounds = 2;
	sigaltstack(&alt, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGILL, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	measure_tsc();
	BENCH(NULL, 100000, asm volatile(""));
	BENCH("nop", 100000, asm volatile("nop"));
	BENCH("call_ret", 100000, asm volatile("call native_fn"));
	BENCH("call_ret_indirect", 100000, asm volatile("call *%0" ::"r"(native_fn)));
	BENCH("pushf_popf", 100000, asm volatile("pushf; popf" ::: "cc"));
	BENCH("rdtsc", 20000, (void)rdtsc());
	BENCH("cpuid", 500, asm volatile("cpuid" ::"a"(0), "c"(0) : "ebx", "edx"));
	sensitive();
	system_calls();
	BENCH("rep_movsl_64_bytes", 20000, copy(64));
	BENCH("rep_movsl_4096_bytes", 5000, copy(4096));
	BENCH("rep_stosl_4096_bytes", 5000, fill(4096));
	BENCH("lock_add", 100000, asm volatile("lock addl $1, %0" : "+m"(counter)));
	code();
	printf("BENCH end 0\n");
	return 0;
}
