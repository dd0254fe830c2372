/*
 * Runs one row by its name and prints its figure:
 *
 *   ringer-bench list                            names and kinds of all rows
 *   ringer-bench clock                           nanoseconds of CLOCK_MONOTONIC, for the comparison with the host's clock
 *   ringer-bench run ROW MILLISECONDS DIR SHELL  "BENCH kind row nanoseconds checksum repetitions median"
 *   ringer-bench nop                             ends at once: what the fork_exec row executes
 *
 * Invariants: a process runs one row, so no row sees another's memory, translations or predictions. The figure is the fastest repetition's;
 * the median is there to show where that is not the usual one.
 * A row that takes longer than LIMIT is ended by SIGALRM, and its children with it.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

#define LIMIT		30 /* seconds */
#define MIN_REPETITIONS 3
#define MAX_REPETITIONS 50

struct row {
	const char *name, *kind;
	u32 ops;
	u32 (*run)(void);
};

static const struct row rows[] = {
#define X(name, kind, ops) {#name, #kind, ops, row_##name},
#include "rows.inc"
#undef X
};

struct bench_env bench_env;

static u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* Two processes that hand control to each other are to do so on one CPU, as in a guest. */
static void stay_on_one_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int compare(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return (x > y) - (x < y);
}

static int run(const struct row *row, u64 budget)
{
	u64 start, begin, elapsed[MAX_REPETITIONS];
	u32 sum, n, first = 0;

	if (!strcmp(row->kind, "system"))
		stay_on_one_cpu();
	alarm(LIMIT);
	start = now();
	for (n = 0; n < MIN_REPETITIONS || (n < MAX_REPETITIONS && now() - start < budget); n++) {
		begin = now();
		sum = row->run();
		elapsed[n] = now() - begin;
		if (!n)
			first = sum;
		if (sum != first)
			bench_fail("two repetitions had different checksums");
	}
	qsort(elapsed, n, sizeof(*elapsed), compare);
	printf("BENCH %s %s %.1f %08x %u %.1f\n", row->kind, row->name, (double)elapsed[0] / row->ops, first, n,
	       (double)elapsed[n / 2] / row->ops);
	return 0;
}

int main(int argc, char **argv)
{
	u32 i;

	if (argc == 2 && !strcmp(argv[1], "nop"))
		return 0;
	if (argc == 2 && !strcmp(argv[1], "clock")) {
		printf("%llu\n", (unsigned long long)now());
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "list")) {
		for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
			printf("%s %s\n", rows[i].kind, rows[i].name);
		return 0;
	}
	if (argc == 6 && !strcmp(argv[1], "run")) {
		bench_env.dir = argv[4];
		bench_env.busybox = argv[5];
		for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
			if (!strcmp(argv[2], rows[i].name))
				return run(&rows[i], strtoull(argv[3], NULL, 10) * 1000000);
		bench_fail("there is no row of this name");
	}
	bench_fail("arguments are: list | clock | nop | run ROW MILLISECONDS DIR SHELL");
}
