/*
 * Differences that are none of Ringer's, or known and documented: what the host's CPU has and the guest's has not.
 */
#ifndef DIFF_KNOWN_H
#define DIFF_KNOWN_H

#include "tests/diff/report.h"

bool failure_is_known(const struct generator *g, const struct failure *f);

#endif
