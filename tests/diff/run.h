/*
 * Running batches on both sides. A batch lives in an anonymous file that all three programs map or load.
 */
#ifndef DIFF_RUN_H
#define DIFF_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/diff/case.h"

struct paths {
	const char *runner; /* Ringer */
	const char *accel;  /* its -accel option */
	const char *native, *guest;
	const char *dir; /* for the files in between */
};

struct mismatch {
	u32 index; /* of the case */
	bool died; /* the runner ended or hung in it: there is no result */
	struct result got;
};

struct outcome {
	struct mismatch *list; /* the caller frees it */
	u32 count;
	u32 uncounted; /* mismatches beyond what the guest reports */
	u32 pointer_mismatches;
	u32 deaths; /* of the runner */
};

/* Room for a batch of n cases, pages and cases to be filled in. Exits on failure. */
struct batch *batch_new(u32 n, int *fd);
void batch_free(struct batch *b, int fd);
/* Runs the batch on the host's CPU, then in the guest. Exits if the native side fails, which is no fault of Ringer's. */
struct outcome batch_run(const struct paths *p, struct batch *b, int fd);

#endif
