/*
 * What a conformance test is made of. A test is a TEST() body that calls run() and compares; it passes unless a comparison fails.
 * Every test leaves descriptor tables, control registers and hooks as it found them; the harness restores page tables and the IDT.
 */
#ifndef GUESTOS_TEST_H
#define GUESTOS_TEST_H

#include "guestos/lib/lib.h"

/* In which paging modes a test runs. IN_DEFAULT: once, in the mode that the command line chose (two-level unless paging=off or pae). */
enum { IN_DEFAULT = 0, IN_OFF = 1 << PG_OFF, IN_32 = 1 << PG_32, IN_PAE = 1 << PG_PAE };

struct test {
	const char *name;
	void (*fn)(void);
	u32 modes;
};

#define TEST_IN(id, title, modes)                                                                                                          \
	static void test_##id(void);                                                                                                       \
	static const struct test entry_##id __attribute__((section(".tests"), used, aligned(4))) = {title, test_##id, modes};              \
	static void test_##id(void)
#define TEST(id, title)	   TEST_IN(id, title, IN_DEFAULT)
#define TEST_PG(id, title) TEST_IN(id, title, IN_32 | IN_PAE)

void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Under QEMU alone: reports the test as skipped because TCG departs from the manual, and returns 1. */
int qemu_skips(const char *why);

/* Compares two 32-bit values. */
void eq(u32 got, u32 want, const char *what);
#define EQ(got, want, what) eq((u32)(got), (u32)(want), what)

/* The run ended by int $0xf0; returns whether it did. */
int ended(const struct state *s, const char *what);
/* The run ended by this trap with this error code at this EIP (NULL: anywhere). */
int trapped(const struct state *s, u32 vec, u32 err, const void *eip, const char *what);
/* General registers are those of want. */
void same_regs(const struct state *got, const struct state *want, const char *what);
/* Runs code in the ring with default state. */
struct state go(const void *code, int ring);
/* "ring 3 name" into a static buffer, for messages. */
const char *tag(const char *name, int ring);

#endif
