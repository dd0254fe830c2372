/*
 * Making failures small: fewer instructions and prefixes, then a state and memory contents of which nothing can be left out.
 */
#ifndef DIFF_REDUCE_H
#define DIFF_REDUCE_H

#include "tests/diff/report.h"
#include "tests/diff/run.h"

struct reducer {
	const struct paths *paths;
	struct generator *gen;
	bool low;
};

/* A batch of n cases, to be filled in; of the pages' contents only what `keep` says is there, all if it is NULL. Exits on failure. */
struct batch *reduce_batch(const struct reducer *d, u32 n, const u8 *keep, int *fd);
/* Replaces each of n failures by the shortest part of its code that still fails. */
void reduce_code(const struct reducer *d, struct failure *f, u32 n);
/* Replaces one failure by one with the plainest registers, flags, FPU state and memory that still fails: some dozens of batches. */
void reduce_state(const struct reducer *d, struct failure *f);
/* The state that every part is reduced to if it does not matter. */
void reduce_plain(struct state32 *s);

#endif
