/*
 * What costs how much as a load grows; one static i386 binary for the host and for guests (bench/scaling.py).
 *
 *	scale ring N HOPS    a token goes round N processes by pipes: "SCALE ring N nanoseconds-for-a-hop checksum"
 *	scale code KIB       KIB of functions made at run time, each called once, and once more: "SCALE code KIB first again checksum", the
 *times in nanoseconds for each KiB
 *
 * Invariants: all processes of a ring run on one CPU, as in a guest; the first round, in which they start, is not timed. A function is
 *written once, before the first call of any.
 */
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_RING      1024
#define FUNCTION_SIZE 256

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

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

/* Hands on what comes in, one more, until the pipe ends. Touches a page of its own each time. */
static _Noreturn void member(int in, int out)
{
	static volatile uint32_t own[1024];
	uint32_t token;

	while (read(in, &token, sizeof(token)) == sizeof(token)) {
		own[token % 1024]++;
		token++;
		if (write(out, &token, sizeof(token)) != sizeof(token))
			break;
	}
	_exit(0);
}

/* The first process is this one; the others lie between its two ends. */
static void ring(unsigned n, unsigned hops)
{
	int in, out, next[2], first[2];
	uint32_t token = 0;
	unsigned rounds = hops / n ? hops / n : 1;

	if (pipe(first))
		die("pipe");
	out = first[1];
	in = first[0];
	for (unsigned i = 1; i < n; i++) {
		if (pipe(next))
			die("pipe");
		switch (fork()) {
		case -1:
			die("fork");
		case 0:
			close(out);
			close(next[0]);
			member(in, next[1]);
		}
		close(in);
		close(next[1]);
		in = next[0];
	}
	uint64_t begin = 0;
	for (unsigned r = 0; r <= rounds; r++) {
		if (r == 1)
			begin = now();
		token++;
		if (write(out, &token, sizeof(token)) != sizeof(token) || read(in, &token, sizeof(token)) != sizeof(token))
			die("ring");
	}
	printf("SCALE ring %u %.1f %08x\n", n, (double)(now() - begin) / ((double)rounds * n), token);
	fflush(stdout);
	close(out);
	while (wait(NULL) > 0)
		;
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state;
}

static uint8_t *put32(uint8_t *p, uint32_t x)
{
	memcpy(p, &x, 4);
	return p + 4;
}

/* A `function`: loads, stores to the stack, arithmetic, branches, all different; ends within its 256
 * bytes. */
static void make_function(uint8_t *p, uint32_t *random)
{
	const uint8_t *end = p + FUNCTION_SIZE - 32;

	*p++ = 0x89, *p++ = 0xc1;			/* mov ecx, eax */
	*p++ = 0xb8, p = put32(p, next_random(random)); /* mov eax, imm32 */
	while (p < end) {
		uint32_t r = next_random(random) >> 8;
		switch (r & 3) {
		case 0: /* add eax, [ecx + disp8] */
			*p++ = 0x03, *p++ = 0x41, *p++ = (uint8_t)(r >> 4 & 0x7c);
			break;
		case 1: /* xor eax, imm32 */
			*p++ = 0x35, p = put32(p, r);
			break;
		case 2: /* mov [esp - 16], eax; imul edx, eax, imm32; add eax, edx */
			*p++ = 0x89, *p++ = 0x44, *p++ = 0x24, *p++ = 0xf0;
			*p++ = 0x69, *p++ = 0xd0, p = put32(p, r);
			*p++ = 0x01, *p++ = 0xd0;
			break;
		default: /* test al, imm8; je over: inc eax */
			*p++ = 0xa8, *p++ = (uint8_t)(1u << (r >> 4 & 7));
			*p++ = 0x74, *p++ = 0x01, *p++ = 0x40;
			break;
		}
	}
	*p++ = 0xc3;
	memset(p, 0x90, (size_t)(end + 32 - p));
}

typedef uint32_t __attribute__((regparm(1))) function(const uint32_t *);

static uint32_t call_all(const uint8_t *code, size_t size)
{
	static const uint32_t table[32] = {3, 1, 4, 1, 5, 9, 2, 6};
	uint32_t sum = 0;

	for (size_t at = 0; at < size; at += FUNCTION_SIZE) {
		function *f = (function *)(uintptr_t)(code + at);

		sum = sum * 31 + f(table);
	}
	return sum;
}

static void code(unsigned kib)
{
	size_t size = (size_t)kib << 10;
	uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t random = 1, sums[2];
	uint64_t times[3];

	if (p == MAP_FAILED)
		die("mmap");
	for (size_t at = 0; at < size; at += FUNCTION_SIZE)
		make_function(p + at, &random);
	for (int i = 0; i < 2; i++) {
		times[i] = now();
		sums[i] = call_all(p, size);
	}
	times[2] = now();
	if (sums[0] != sums[1]) {
		fprintf(stderr, "scale: the second calls came to another sum\n");
		exit(1);
	}
	printf("SCALE code %u %.1f %.1f %08x\n", kib, (double)(times[1] - times[0]) / kib, (double)(times[2] - times[1]) / kib, sums[0]);
}

int main(int argc, char **argv)
{
	stay_on_one_cpu();
	if (argc == 4 && strcmp(argv[1], "ring") == 0 && atoi(argv[2]) > 0 && atoi(argv[2]) <= MAX_RING)
		ring((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
	else if (argc == 3 && strcmp(argv[1], "code") == 0 && atoi(argv[2]) > 0)
		code((unsigned)atoi(argv[2]));
	else
		return 2;
	return 0;
}
