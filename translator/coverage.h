/*
 * Which forms of guest instructions are executed, for `-d insn`: each translated instruction begins with a store that marks its form.
 * Nothing of it is there when the category is off.
 */
#ifndef RINGER_COVERAGE_H
#define RINGER_COVERAGE_H

#include <stdio.h>

#include "translator/opcodes.h"

struct vcpu;
struct xlate;

#define COVERAGE_MARKS (OPCODE_KEYS * 2) /* bytes: by form, at CPL 0..2 and at CPL 3 */

/* Room for the marks, below 2 GiB; 0 or -ENOMEM. Start-up; coverage_free releases it. */
int coverage_init(struct vcpu *v);
void coverage_free(struct vcpu *v);
/* The mark of the instruction in hand; clobbers nothing, no flags either. vCPU thread. */
void emit_mark(struct xlate *x);
/* "insn BYTES kernel MNEMONIC" or "insn BYTES user MNEMONIC" for each form that was executed at CPL 0..2 or 3. The machine is stopped. */
void coverage_print(const struct vcpu *v, FILE *f);

#endif
