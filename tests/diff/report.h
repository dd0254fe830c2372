/*
 * Failures, as text and by mnemonic.
 */
#ifndef DIFF_REPORT_H
#define DIFF_REPORT_H

#include "tests/diff/gen.h"

/* Memory contents are left out in units of GRANULE bytes: bit n of keep[] stands for the n-th of a batch's pages. */
#define GRANULE	   16u
#define KEEP_BYTES (PAGES * 4096 / GRANULE / 8)

struct failure {
	struct test_case c; /* reduced */
	struct result want, got;
	u64 number; /* of the case it was reduced from */
	bool died;
	u8 keep[KEEP_BYTES];
};

#define EXAMPLES 2
struct tally {
	u64 tested[ZYDIS_MNEMONIC_MAX_VALUE + 1]; /* cases that have it as their first instruction */
	u64 failed[ZYDIS_MNEMONIC_MAX_VALUE + 1];
	struct failure *example[ZYDIS_MNEMONIC_MAX_VALUE + 1][EXAMPLES];
};

void tally_case(struct tally *t, const struct generator *g, const struct test_case *c);
void tally_failure(struct tally *t, const struct generator *g, const struct failure *f);
/* Calls f for each example. */
void tally_examples(struct tally *t, void (*f)(void *p, struct failure *x), void *p);
/* Failures by mnemonic with examples, then a SUMMARY line that counts mnemonics. Frees the examples. */
void report_tally(struct tally *t, const struct generator *g, u64 seed, const char *accel, bool verbose);
void report_failure(const struct generator *g, const struct failure *f);
/* The case's code and initial state. */
void report_state(const struct generator *g, const struct failure *f);

#endif
