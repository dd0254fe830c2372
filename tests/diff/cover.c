/*
 * Coverage and flags, see cover.h. Flags are judged by cases of one instruction that ended behind it.
 */
#include "tests/diff/cover.h"

#include <stdio.h>
#include <stdlib.h>

#include "translator/insn_info.h"
#include "translator/opcodes.h"

#define FLAGS  0xcd5u /* CF PF AF ZF SF DF OF */
#define EXC_BP 3
/* So many cases change every flag that they can change. */
#define ENOUGH 2000

struct cover {
	u8 forms[OPCODE_KEYS];
	struct {
		u32 cases, changed, written, unexpected;
	} flags[ZYDIS_MNEMONIC_MAX_VALUE + 1];
};

struct cover *cover_new(void)
{
	struct cover *c = calloc(1, sizeof(*c));

	if (!c) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return c;
}

void cover_free(struct cover *c)
{
	free(c);
}

static void judge_flags(struct cover *c, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops, u32 before, u32 after)
{
	struct insn_info info;
	u32 changed = (before ^ after) & FLAGS;

	insn_info(in, ops, &info);
	c->flags[in->mnemonic].cases++;
	c->flags[in->mnemonic].changed |= changed;
	c->flags[in->mnemonic].written |= info.flags_written & FLAGS;
	c->flags[in->mnemonic].unexpected |= changed & ~(info.flags_written | info.flags_undefined);
}

void cover_case(struct cover *c, const struct generator *g, const struct test_case *t, const struct result *host)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	for (u32 at = 0; at < t->length; at += in.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(g), t->code + at, t->length - at, &in, ops)))
			return;
		c->forms[opcode_key(&in, ops, true)] = 1;
		if (in.length == t->length && host->vector == EXC_BP && host->out.eip - t->in.eip - in.length <= 1)
			judge_flags(c, &in, ops, t->in.eflags, host->out.eflags);
	}
}

unsigned cover_report(const struct cover *c)
{
	unsigned wrong = 0;

	for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
		u32 never = c->flags[m].cases >= ENOUGH ? c->flags[m].written & ~c->flags[m].changed : 0;

		if (!never && !c->flags[m].unexpected)
			continue;
		printf("FAILED flags of %s, %u cases: changed %#x, of which insn_table.h does not tell; never changed %#x, of which it "
		       "does\n",
		       ZydisMnemonicGetString((ZydisMnemonic)m), c->flags[m].cases, c->flags[m].unexpected, never);
		wrong++;
	}
	return wrong;
}

bool cover_write(const struct cover *c, const char *path)
{
	FILE *f = fopen(path, "w");
	ZydisDecoder d;

	if (!f)
		return false;
	opcode_decoder(&d);
	for (u32 key = 0; key < OPCODE_KEYS; key++)
		if (c->forms[key])
			opcode_print(f, &d, key, "native");
	return fclose(f) == 0;
}
