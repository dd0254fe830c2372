/*
 * What the nanobenchmarks share: the loop that times a statement, and the report, `BENCH name cycles` with one decimal.
 *
 * Invariants: a figure is the best of several rounds, the cost of an empty loop taken off, so that a round that the host disturbed does not
 * count; cycles are those of the guest's TSC, whose frequency main.c measures against the 8254 and prints as `TSC kilohertz`, so that the
 * reader can compare machines whose TSCs differ. Each file leaves descriptor tables, page tables and interrupt controllers as it found
 * them.
 */
#ifndef GUESTOS_NANO_H
#define GUESTOS_NANO_H

#include "guestos/lib/lib.h"

enum { A = TW, USER_LOOPS = 10000 };

struct nano {
	u32 rounds;    /* of each row: 5, or 2 with "quick" on the command line */
	u32 loop_cost; /* of an empty loop, and of one in ring 3; tenths of a cycle for each repetition */
	u32 user_cost;
	u32 tsc_khz;
};
extern struct nano nano;

/* Prints a row: `best` cycles for n repetitions, of which each also paid `cost` tenths for the loop. */
void nano_report(const char *name, u64 best, u32 n, u32 cost);

/* Times code that ends with `int $0xf0` in ring 3; its operation is repeated USER_LOOPS times. A NULL name sets user_cost. */
void nano_user(const char *name, const void *code);

static inline void nano_gate(u32 vec, const void *handler, u8 dpl)
{
	idt[vec] = gate(KCS, ADDR(handler), 0xe, dpl);
}

/* Times `n` repetitions of a statement, which may use the number of the repetition, i. A NULL name sets loop_cost. */
#define BENCH(name, n, statement)                                                                                                          \
	do {                                                                                                                               \
		const char *name_ = (name);                                                                                                \
		u64 best_ = ~0ull;                                                                                                         \
		for (u32 round = 0; round < nano.rounds; round++) {                                                                        \
			u64 t_ = rdtsc();                                                                                                  \
			for (u32 i = 0; i < (n); i++) {                                                                                    \
				statement;                                                                                                 \
			}                                                                                                                  \
			t_ = rdtsc() - t_;                                                                                                 \
			best_ = t_ < best_ ? t_ : best_;                                                                                   \
		}                                                                                                                          \
		if (name_)                                                                                                                 \
			nano_report(name_, best_, (n), nano.loop_cost);                                                                    \
		else                                                                                                                       \
			nano.loop_cost = (u32)(best_ * 10 / (n));                                                                          \
	} while (0)

/* A loop of USER_LOOPS repetitions of an operation for nano_user(). The operation keeps ESI, and labels are 1 to 7. */
#define USER_LOOP(name, op) CODE(name, "mov $10000, %esi; 8: " op "\ndec %esi; jnz 8b")

void nano_sensitive(void); /* the seventeen sensitive instructions, in rings 0 and 3 */
void nano_events(void);	   /* interrupts, HLT, MMIO */
void nano_memory(void);	   /* address spaces, page tables, context switches */
void nano_code(void);	   /* strings, code that changes */

#endif
