/*
 * Questions about decoded guest instructions, answered from insn_table.h: for the translator, the document, the reports and the tests.
 * Functions of their arguments alone; any thread.
 */
#ifndef RINGER_INSN_INFO_H
#define RINGER_INSN_INFO_H

#include <Zydis/Zydis.h>

#include "monitor/types.h"
#include "translator/insn_table.h"

enum insn_class {
#define X(n, name, meaning) INSN_##n,
	INSN_CLASSES(X)
#undef X
		INSN_CLASS_COUNT,
	INSN_DATA, /* in the table only: IDENTITY or MEMORY */
};

/* Forms of a mnemonic that insn_table.h tells apart. */
enum insn_form {
	INSN_FORM_PLAIN,
	INSN_FORM_SEGMENT, /* PUSH, POP */
	INSN_FORM_FROM_SEGMENT,
	INSN_FORM_TO_SEGMENT,
	INSN_FORM_FROM_CONTROL,
	INSN_FORM_TO_CONTROL,
	INSN_FORM_FROM_DEBUG,
	INSN_FORM_TO_DEBUG,
	INSN_FORM_TEST,
	INSN_FORM_FAR_POINTER, /* CALL, JMP with the target in the instruction */
	INSN_FORM_FAR,	       /* other far CALL, JMP; far RET */
	INSN_FORM_STRING,      /* MOVSD, CMPSD, which name SSE2 instructions as well */
};

struct insn_info {
	enum insn_class class;
	const char *handler;				/* the function that translates it (lower_*) or is called for it (emu_*) */
	u32 flags_read, flags_written, flags_undefined; /* EFLAGS bits; written: to a defined value, at least sometimes */
	u64 feature;					/* CPUF_* that it needs; 0: none, ~0: it is never offered */
};

enum insn_form insn_form(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops);
/* The CPUID features (CPUF_*) that an instruction needs: 0 none, ~0 it is never offered. */
u64 insn_feature(const ZydisDecodedInstruction *in);
/* Whether an instruction that is not in the table does to a deprivileged CPU what it does to a real one, by its category. */
bool insn_may_run(const ZydisDecodedInstruction *in);
/* All of it. */
void insn_info(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops, struct insn_info *info);
/* The row of SEVENTEEN that the instruction belongs to, or -1. */
int insn_seventeen(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops);
/* "memory-rewritten" */
const char *insn_class_name(enum insn_class class);

#endif
