/*
 * N processes in a ring of pipes pass a token; whoever has it touches 16 pages of his own. One static i386 program for hosts and guests.
 *
 *	ring N MILLISECONDS	prints "RING N nanoseconds": of a switch from one process to the next, best lap of those that the time
 *allows
 *
 * Invariants: all processes run on one CPU, as in a guest; when the first one ends all others read the end of their pipe and end too.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGES = 16, MAX = 512, MIN_LAPS = 4 };

static unsigned long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000000u + (unsigned long long)t.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void touch(volatile char *pages)
{
	for (int i = 0; i < PAGES; i++)
		pages[i << 12]++;
}

static char *memory(void)
{
	char *p = mmap(NULL, PAGES << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	return p;
}

/* Passes on what comes until there is no more. */
static void member(int from, int to)
{
	char token, *pages = memory();

	while (read(from, &token, 1) == 1) {
		touch(pages);
		if (write(to, &token, 1) != 1)
			break;
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 0, first[2], from;
	unsigned long long budget = argc > 2 ? strtoull(argv[2], NULL, 10) * 1000000 : 0, best = ~0ull, begin, t;
	cpu_set_t set;
	char token = 0, *pages;

	if (n < 2 || n > MAX || !budget) {
		fprintf(stderr, "usage: ring N MILLISECONDS, N from 2 to %d\n", MAX);
		return 2;
	}
	CPU_ZERO(&set);
	CPU_SET((unsigned)(sched_getcpu() > 0 ? sched_getcpu() : 0), &set);
	sched_setaffinity(0, sizeof(set), &set);
	if (pipe(first))
		fail("pipe");
	from = first[0];
	for (int i = 1; i < n; i++) {
		int next[2];
		pid_t pid;

		if (pipe(next))
			fail("pipe");
		pid = fork();
		if (pid < 0)
			fail("fork");
		if (!pid) {
			/* Nobody keeps what is not his: the end of a pipe comes when its one writer is gone. */
			close(next[0]);
			close(first[1]);
			member(from, next[1]);
		}
		close(next[1]);
		close(from);
		from = next[0];
	}
	pages = memory();
	begin = now();
	for (int lap = 0; lap < MIN_LAPS || now() - begin < budget; lap++) {
		t = now();
		touch(pages);
		if (write(first[1], &token, 1) != 1 || read(from, &token, 1) != 1)
			fail("the ring is broken");
		t = now() - t;
		best = t < best ? t : best;
	}
	printf("RING %d %.1f\n", n, (double)best / n);
	fflush(stdout);
	close(first[1]);
	while (wait(NULL) > 0)
		;
	return 0;
}
