/*
 * The generator's inside: a case in the making, shared by gen.c (forms), operands.c (addresses), make.c (instructions) and sequence.c.
 *
 * An instruction is made from a form (prefix, opcode map, opcode, the parts of ModRM that select it) by filling in the rest at random; then
 * the registers or the displacement of its memory operands are solved for a target address in the case's memory. A register that
 * takes part in an address is pinned: its initial value is settled, and an instruction before must not have written it.
 */
#ifndef DIFF_MAKING_H
#define DIFF_MAKING_H

#include "tests/diff/gen.h"
#include "tests/diff/rand.h"
#include "translator/opcodes.h"

struct form {
	struct opcode_form code;
	u16 mnemonic;
};

#define MAX_FORMS  16384
#define MAX_GROUPS 1024

struct generator {
	u64 seed;
	bool low;
	ZydisDecoder decoder;
	struct form forms[MAX_FORMS];
	unsigned form_count;
	/* Forms are sorted by mnemonic: where each mnemonic's begin, and the end. */
	unsigned group[MAX_GROUPS + 1], group_count;
	u8 pages[PAGES][4096];
};

/* The case in the making. */
struct making {
	struct generator *g;
	struct rand r;
	struct test_case *c;
	u32 pinned, written; /* bit n: register n */
};

struct insn {
	u8 bytes[24];
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

/* gen.c */
bool decode(const struct generator *g, struct insn *i, unsigned length);
/* Whether an instruction, as decoded, is one whose result the host's can be compared with. */
bool tested(const struct insn *i);

/* operands.c */
bool is_free(const struct making *m, unsigned n);
/* Settles the initial value of a register; false if it is settled already, or written by an instruction before. */
bool pin(struct making *m, unsigned n, u32 value);
unsigned reg_number(ZydisRegister r);
/* Makes the addresses of all memory operands lead to the case's memory; false if they cannot. */
bool solve_operands(struct making *m, struct insn *i);

/* make.c */
const struct form *any_form(struct making *m);
void append(struct test_case *c, const u8 *bytes, unsigned n);
/* Appends one instruction of the form; nothing if none can be made. */
void append_insn(struct making *m, const struct form *f);
/* Appends one with prefixes that are redundant, contradictory, illegal or too many, or one that is no instruction at all. */
void append_odd(struct making *m);

/* sequence.c */
void make_sequence(struct making *m);

#endif
