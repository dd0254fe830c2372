/*
 * Loads that wear out memory management, each with its results verified: `stress WORK SECONDS SEED` ends with 0 if all was as it must be,
 * else says what was wrong and ends with 1. A 32-bit static program; it uses a few MiB.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096 };

static const char *work;
static time_t deadline;
static uint32_t seed;

static uint32_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static int more(void)
{
	return now() < deadline;
}

static void wrong(const char *what, unsigned long got, unsigned long want)
{
	printf("stress %s: %s: %#lx, not %#lx (errno %d)\n", work, what, got, want, errno);
	fflush(stdout);
	_exit(1);
}

static void same(const char *what, unsigned long got, unsigned long want)
{
	if (got != want)
		wrong(what, got, want);
}

static void *map(size_t bytes, int prot, int flags)
{
	void *p = mmap(NULL, bytes, prot, flags, -1, 0);

	if (p == MAP_FAILED)
		wrong("mmap", 0, bytes);
	return p;
}

static void reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		wrong("waitpid", 0, (unsigned long)pid);
	same("a child's status", (unsigned long)status, 0);
}

/* Each page's first and last word hold its tag. */
static void stamp(volatile uint32_t *page, uint32_t tag)
{
	page[0] = tag;
	page[PAGE / 4 - 1] = ~tag;
}

static void verify(const volatile uint32_t *page, uint32_t tag)
{
	same("first word of a page", page[0], tag);
	same("last word of a page", page[PAGE / 4 - 1], ~tag);
}

/* mmap, munmap, mprotect, mremap, madvise at random, on a table of areas whose contents are known. */
static void churn(void)
{
	enum { AREAS = 48, MAX = 24 };
	static struct {
		uint8_t *p;
		uint32_t pages, tag, writable;
	} a[AREAS];

	while (more())
		for (uint32_t k = 0; k < 200; k++) {
			uint32_t i = rnd() % AREAS;

			if (!a[i].p) {
				a[i].pages = 1 + rnd() % MAX;
				a[i].tag = rnd();
				a[i].writable = 1;
				a[i].p = map(a[i].pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
				for (uint32_t n = 0; n < a[i].pages; n++) {
					same("a fresh page", *(volatile uint32_t *)(a[i].p + n * PAGE), 0);
					stamp((uint32_t *)(a[i].p + n * PAGE), a[i].tag + n);
				}
				continue;
			}
			for (uint32_t n = 0; n < a[i].pages; n++)
				verify((uint32_t *)(a[i].p + n * PAGE), a[i].tag + n);
			switch (rnd() % 6) {
			case 0:
				munmap(a[i].p, a[i].pages * PAGE);
				a[i].p = NULL;
				break;
			case 1:
				a[i].writable = !a[i].writable;
				mprotect(a[i].p, a[i].pages * PAGE, a[i].writable ? PROT_READ | PROT_WRITE : PROT_READ);
				break;
			case 2: {
				uint32_t pages = 1 + rnd() % MAX;
				uint8_t *p = mremap(a[i].p, a[i].pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);

				if (p == MAP_FAILED)
					wrong("mremap", 0, pages);
				mprotect(p, pages * PAGE, PROT_READ | PROT_WRITE);
				a[i].writable = 1;
				for (uint32_t n = a[i].pages; n < pages; n++)
					stamp((uint32_t *)(p + n * PAGE), a[i].tag + n);
				a[i].p = p;
				a[i].pages = pages;
				break;
			}
			case 3: {
				/* Half of it goes. */
				uint32_t keep = (a[i].pages + 1) / 2;

				if (keep < a[i].pages)
					munmap(a[i].p + keep * PAGE, (a[i].pages - keep) * PAGE);
				a[i].pages = keep;
				break;
			}
			case 4:
				if (!a[i].writable)
					break;
				madvise(a[i].p, a[i].pages * PAGE, MADV_DONTNEED);
				for (uint32_t n = 0; n < a[i].pages; n++) {
					same("a page that was given up", *(volatile uint32_t *)(a[i].p + n * PAGE), 0);
					stamp((uint32_t *)(a[i].p + n * PAGE), a[i].tag + n);
				}
				break;
			default:
				if (!a[i].writable)
					break;
				a[i].tag = rnd();
				for (uint32_t n = 0; n < a[i].pages; n++)
					stamp((uint32_t *)(a[i].p + n * PAGE), a[i].tag + n);
			}
		}
}

/* Copy on write: children change half of what they inherit; nobody sees another's. */
static void forks(void)
{
	enum { PAGES = 48, CHILDREN = 12 };
	uint8_t *p = map(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);

	while (more()) {
		pid_t pid[CHILDREN];
		uint32_t tag = rnd();

		for (uint32_t n = 0; n < PAGES; n++)
			stamp((uint32_t *)(p + n * PAGE), tag + n);
		for (uint32_t c = 0; c < CHILDREN; c++) {
			pid[c] = fork();
			if (pid[c] < 0)
				wrong("fork", 0, c);
			if (pid[c])
				continue;
			for (uint32_t n = c & 1; n < PAGES; n += 2)
				stamp((uint32_t *)(p + n * PAGE), tag + 1000 * (c + 1) + n);
			if (c % 4 == 3) {
				pid_t grand = fork();

				if (!grand) {
					for (uint32_t n = 0; n < PAGES; n++)
						stamp((uint32_t *)(p + n * PAGE), n);
					_exit(0);
				}
				reap(grand);
			}
			for (uint32_t n = 0; n < PAGES; n++)
				verify((uint32_t *)(p + n * PAGE), (n & 1) == (c & 1) ? tag + 1000 * (c + 1) + n : tag + n);
			_exit(0);
		}
		for (uint32_t n = 0; n < PAGES; n += 3)
			stamp((uint32_t *)(p + n * PAGE), tag + n);
		for (uint32_t c = 0; c < CHILDREN; c++)
			reap(pid[c]);
		for (uint32_t n = 0; n < PAGES; n++)
			verify((uint32_t *)(p + n * PAGE), tag + n);
	}
}

/* Two hundred processes at once in a ring of pipes; a token goes round, each adds its number and touches its own memory. */
static void crowd(void)
{
	enum { PROCESSES = 200, ROUNDS = 3, PAGES = 4 };

	while (more()) {
		int first[2], in, out[2];
		pid_t pid[PROCESSES];
		uint32_t token = 0, want = 0;

		if (pipe(first))
			wrong("pipe", 0, 1);
		in = first[0];
		for (uint32_t i = 0; i < PROCESSES; i++) {
			if (pipe(out))
				wrong("pipe", 0, i);
			pid[i] = fork();
			if (pid[i] < 0)
				wrong("fork", 0, i);
			if (!pid[i]) {
				uint8_t *p = map(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);

				close(first[1]);
				for (uint32_t n = 0; n < PAGES; n++)
					stamp((uint32_t *)(p + n * PAGE), i * 16 + n);
				while (read(in, &token, 4) == 4) {
					for (uint32_t n = 0; n < PAGES; n++)
						verify((uint32_t *)(p + n * PAGE), i * 16 + n);
					token += i * i + 1;
					if (write(out[1], &token, 4) != 4)
						wrong("write", 0, i);
				}
				_exit(0);
			}
			close(in);
			close(out[1]);
			in = out[0];
		}
		for (uint32_t r = 0; r < ROUNDS; r++) {
			for (uint32_t i = 0; i < PROCESSES; i++)
				want += i * i + 1;
			if (write(first[1], &token, 4) != 4 || read(in, &token, 4) != 4)
				wrong("the ring", token, want);
			same("the token", token, want);
		}
		close(first[0]);
		close(first[1]);
		close(in);
		for (uint32_t i = 0; i < PROCESSES; i++)
			reap(pid[i]);
	}
}

static uint8_t *guarded;
static volatile uint32_t segvs, alarms;
static sigjmp_buf back;

static void on_segv(int sig, siginfo_t *info, void *context)
{
	uint8_t *page = (uint8_t *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1));

	(void)sig;
	(void)context;
	segvs++;
	if (page < guarded || page >= guarded + 64 * PAGE)
		siglongjmp(back, 1);
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
}

static void on_alarm(int sig)
{
	volatile uint32_t scratch[64];

	(void)sig;
	alarms++;
	for (uint32_t i = 0; i < 64; i++)
		scratch[i] = alarms;
	(void)scratch[0];
}

/* SIGSEGV handlers that make pages accessible or jump away, under a storm of timer signals. */
static void signals(void)
{
	struct sigaction sa = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct itimerval every = {{0, 2000}, {0, 2000}};
	volatile uint32_t rounds = 0;

	guarded = map(64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS);
	sigaction(SIGSEGV, &sa, NULL);
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &every, NULL);
	while (more()) {
		volatile uint32_t before;

		mprotect(guarded, 64 * PAGE, rounds & 1 ? PROT_READ : PROT_NONE);
		before = segvs;
		for (uint32_t n = 0; n < 64; n++)
			stamp((uint32_t *)(guarded + (n * 37 % 64) * PAGE), rounds + n);
		same("faults of 64 pages", segvs - before, 64);
		for (uint32_t n = 0; n < 64; n++)
			verify((uint32_t *)(guarded + (n * 37 % 64) * PAGE), rounds + n);
		before = segvs;
		if (!sigsetjmp(back, 1))
			*(volatile uint32_t *)(uintptr_t)(rounds & 1 ? 0x10 : 0xffffe000) = 1;
		same("faults of a wild pointer", segvs - before, 1);
		rounds++;
	}
	if (!alarms)
		wrong("timer signals", 0, 1);
}

/* Programs that start programs. */
static void execs(void)
{
	while (more()) {
		pid_t pid[8];

		for (uint32_t i = 0; i < 8; i++) {
			char depth[8];

			snprintf(depth, sizeof(depth), "%u", i % 3);
			pid[i] = fork();
			if (!pid[i]) {
				execl("/proc/self/exe", "stress", "exec-child", depth, "1", (char *)NULL);
				_exit(9);
			}
			if (pid[i] < 0)
				wrong("fork", 0, i);
		}
		for (uint32_t i = 0; i < 8; i++)
			reap(pid[i]);
	}
}

static void exec_child(uint32_t depth)
{
	static uint32_t zero[3 * PAGE / 4], one[PAGE / 4] = {1, 2, 3};

	for (uint32_t i = 0; i < sizeof(zero) / 4; i++)
		same("bss", zero[i], 0);
	same("data", one[0] + one[1] + one[2] + one[3], 6);
	memset(zero, 1, sizeof(zero));
	one[3] = 7;
	if (depth) {
		execl("/proc/self/exe", "stress", "exec-child", depth == 2 ? "1" : "0", "1", (char *)NULL);
		_exit(9);
	}
	_exit(0);
}

/* Code that is made, called, made anew; in one mapping and in two of the same memory. */
static void jit(void)
{
	char name[] = "/tmp/jit-XXXXXX";
	int fd = mkstemp(name);
	uint8_t *w, *x;

	if (fd < 0 || ftruncate(fd, 2 * PAGE))
		wrong("a file for code", 0, 1);
	unlink(name);
	w = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	x = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (w == MAP_FAILED || x == MAP_FAILED)
		wrong("mmap of code", 0, 1);
	while (more())
		for (uint32_t i = 0; i < 2000; i++) {
			uint32_t at = rnd() % (2 * PAGE - 6), value = rnd();

			w[at] = 0xb8;
			memcpy(w + at + 1, &value, 4);
			w[at + 5] = 0xc3;
			same("result of made code", ((uint32_t(*)(void))(uintptr_t)(x + at))(), value);
		}
}

/* Memory that is shared between processes, and a file that is mapped and written. */
static void shared(void)
{
	enum { PAGES = 32 };
	char name[] = "/tmp/shared-XXXXXX";
	int fd = mkstemp(name);
	volatile uint32_t *m = map(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS), *f;

	if (fd < 0 || ftruncate(fd, PAGES * PAGE))
		wrong("a file", 0, 1);
	unlink(name);
	f = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	while (more()) {
		uint32_t tag = rnd();
		pid_t pid = fork();

		if (!pid) {
			for (uint32_t n = 0; n < PAGES; n++) {
				stamp(m + n * PAGE / 4, tag + n);
				if (pwrite(fd, &tag, 4, (off_t)n * PAGE + 8) != 4)
					wrong("pwrite", 0, n);
			}
			_exit(0);
		}
		reap(pid);
		for (uint32_t n = 0; n < PAGES; n++) {
			uint32_t x;

			verify(m + n * PAGE / 4, tag + n);
			same("what was written to a mapped file", f[n * PAGE / 4 + 2], tag);
			f[n * PAGE / 4 + 3] = ~tag;
			if (pread(fd, &x, 4, (off_t)n * PAGE + 12) != 4)
				wrong("pread", 0, n);
			same("what was stored to a mapped file", x, ~tag);
		}
	}
}

/* FPU state across preemption by others that do the same. */
static void fpu(void)
{
	while (more()) {
		double x = 1, y = seed % 100 + 1, s = 0;
		uint32_t lanes[4] = {seed, seed + 1, seed + 2, seed + 3}, got[4];

		__asm__ volatile("movups %0, %%xmm7" : : "m"(lanes) : "xmm7");
		for (uint32_t i = 0; i < 200000; i++) {
			x = x * 1.0000001 + y / 3;
			s += x;
		}
		__asm__ volatile("movups %%xmm7, %0" : "=m"(got));
		for (uint32_t i = 0; i < 4; i++)
			same("a lane of XMM7", got[i], lanes[i]);
		static double first;
		static int known;
		if (!known)
			first = s;
		known = 1;
		if (memcmp(&first, &s, sizeof(s)) != 0)
			wrong("a sum of doubles", 0, 1);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} works[] = {{"churn", churn}, {"forks", forks}, {"crowd", crowd},   {"signals", signals},
		     {"execs", execs}, {"jit", jit},	 {"shared", shared}, {"fpu", fpu}};

	if (argc != 4) {
		fprintf(stderr, "usage: stress WORK SECONDS SEED\n");
		return 2;
	}
	work = argv[1];
	deadline = now() + atoi(argv[2]);
	seed = (uint32_t)strtoul(argv[3], NULL, 0) * 2654435761u | 1;
	if (strcmp(work, "exec-child") == 0)
		exec_child((uint32_t)atoi(argv[2]));
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
		if (strcmp(work, works[i].name) == 0) {
			works[i].fn();
			return 0;
		}
	return 2;
}
