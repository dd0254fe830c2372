/*
 * What the cases cover: forms of instructions; and whether the host agrees with what insn_table.h says about flags.
 */
#ifndef DIFF_COVER_H
#define DIFF_COVER_H

#include "tests/diff/gen.h"

struct cover;

struct cover *cover_new(void);
void cover_free(struct cover *c);
/* A case, and what the host made of it. */
void cover_case(struct cover *c, const struct generator *g, const struct test_case *t, const struct result *host);
/*
 * Prints a line for each mnemonic that was seen to change a flag of which the table does not say so, or, in many cases, never to change one
 * that the table says it writes. Returns their number.
 */
unsigned cover_report(const struct cover *c);
/* "insn BYTES native MNEMONIC" for each form, as `-d insn` has them. False with errno set. */
bool cover_write(const struct cover *c, const char *path);

#endif
