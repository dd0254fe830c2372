/*
 * A reduced case as options of the driver's command line, and back.
 *
 *	--code HEX			the instructions
 *	--state NAME=HEX,...		registers (eax .. edi, eip, eflags) that are not plain
 *	--fx OFFSET=HEX,...		bytes of the FXSAVE image that are not plain
 *	--keep ADDRESS+LENGTH,...	(hexadecimal) what of the memory contents of the seed is there; the rest is 0
 */
#ifndef DIFF_REPLAY_H
#define DIFF_REPLAY_H

#include "tests/diff/report.h"

/* Prints the command that runs the failing case alone. */
void replay_print(const struct failure *f, u64 seed, const char *accel);
/* Each false if the text is malformed. replay_code begins a case: the state plain, nothing kept. */
bool replay_code(struct failure *f, const char *text);
bool replay_state(struct failure *f, const char *text);
bool replay_fx(struct failure *f, const char *text);
bool replay_keep(struct failure *f, const char *text);

#endif
