/* Rows that enter the kernel and come back: system calls, the clock of the vDSO, signals, copying a file. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

#define CALLS	20000
#define SIGNALS 4000
#define FAULTS	1000
#define COPIES	8
#define BYTES	(1024 * 1024)

u32 row_int80(void)
{
	u32 i, ok = 0;
	long pid, self = getpid();

	for (i = 0; i < CALLS; i++) {
		asm volatile("int $0x80" : "=a"(pid) : "a"(SYS_getpid) : "memory");
		ok += pid == self;
	}
	return ok;
}

/* By the kernel's own choice of entry (SYSENTER where the CPU has it), through the C library. */
u32 row_vsyscall(void)
{
	u32 i, ok = 0;
	long self = getpid();

	for (i = 0; i < CALLS; i++)
		ok += syscall(SYS_getpid) == self;
	return ok;
}

u32 row_vdso_clock(void)
{
	struct timespec t, last = {0};
	u32 i, ok = 0;

	for (i = 0; i < CALLS; i++) {
		clock_gettime(CLOCK_MONOTONIC, &t);
		ok += t.tv_sec > last.tv_sec || (t.tv_sec == last.tv_sec && t.tv_nsec >= last.tv_nsec);
		last = t;
	}
	return ok;
}

static volatile u32 handled;
static char *guarded;

static void on_signal(int number)
{
	(void)number;
	handled++;
}

u32 row_signal(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	u32 i;
	pid_t self = getpid();

	sigaction(SIGUSR1, &action, NULL);
	handled = 0;
	for (i = 0; i < SIGNALS; i++)
		kill(self, SIGUSR1);
	return handled;
}

static void on_fault(int number)
{
	(void)number;
	handled++;
	mprotect(guarded, 4096, PROT_READ | PROT_WRITE);
}

/* A page fault that becomes a signal, whose handler gives the page its permissions: what garbage collectors do. */
u32 row_segv(void)
{
	struct sigaction action = {.sa_handler = on_fault};
	u32 i;

	if (!guarded) {
		guarded = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (guarded == MAP_FAILED)
			bench_fail("no memory");
		sigaction(SIGSEGV, &action, NULL);
	}
	handled = 0;
	for (i = 0; i < FAULTS; i++) {
		mprotect(guarded, 4096, PROT_NONE);
		*(volatile u32 *)guarded = i;
	}
	return handled;
}

u32 row_file_copy(void)
{
	static u8 buf[65536];
	const char *from = bench_file("big", BYTES);
	char to[256];
	u32 i, bytes = 0;
	ssize_t n;

	snprintf(to, sizeof(to), "%s/copy", bench_env.dir);
	for (i = 0; i < COPIES; i++) {
		int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		if (in < 0 || out < 0)
			bench_fail("cannot open the files");
		while ((n = read(in, buf, sizeof(buf))) > 0) {
			if (write(out, buf, (size_t)n) != n)
				bench_fail("cannot write a file");
			bytes += (u32)n;
		}
		close(in);
		close(out);
	}
	return bytes;
}
