/*
 * What there is to know about a guest instruction, see insn_info.h.
 *
 * Invariant: class and handler are those of the translator, for both are made from the same rows of insn_table.h.
 */
#include "translator/insn_info.h"

#include "monitor/cpuid.h"

static const char *const class_names[INSN_CLASS_COUNT] = {
#define X(n, name, meaning) [INSN_##n] = name,
	INSN_CLASSES(X)
#undef X
};

const char *insn_class_name(enum insn_class class)
{
	return class_names[class];
}

/* ---- features ---- */

static bool is_fcomi(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_FCOMI || m == ZYDIS_MNEMONIC_FCOMIP || m == ZYDIS_MNEMONIC_FUCOMI || m == ZYDIS_MNEMONIC_FUCOMIP;
}

u64 insn_feature(const ZydisDecodedInstruction *in)
{
	switch (in->meta.isa_ext) {
	case ZYDIS_ISA_EXT_BASE:
		if (in->meta.isa_set == ZYDIS_ISA_SET_CMOV)
			return CPUF_CMOV;
		switch (in->mnemonic) {
		case ZYDIS_MNEMONIC_CMPXCHG8B:
			return CPUF_CX8;
		case ZYDIS_MNEMONIC_SYSENTER:
		case ZYDIS_MNEMONIC_SYSEXIT:
			return CPUF_SEP;
		case ZYDIS_MNEMONIC_RDTSC:
			return CPUF_TSC;
		case ZYDIS_MNEMONIC_RDMSR:
		case ZYDIS_MNEMONIC_WRMSR:
			return CPUF_MSR;
		default:
			return 0;
		}
	case ZYDIS_ISA_EXT_PAUSE:
		return 0;
	case ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH:
		return 0;
	case ZYDIS_ISA_EXT_X87:
		/* FCMOVcc, FCOMI and FUCOMI need both (SDM Vol. 2A, FCMOVcc). */
		return in->meta.isa_set == ZYDIS_ISA_SET_FCMOV || is_fcomi(in->mnemonic) ? CPUF_FPU | CPUF_CMOV : CPUF_FPU;
	case ZYDIS_ISA_EXT_MMX:
		return CPUF_MMX;
	case ZYDIS_ISA_EXT_SSE:
		/* FXSAVE and FXRSTOR are older than SSE: a Pentium II has them. */
		return in->meta.isa_set == ZYDIS_ISA_SET_FXSAVE ? CPUF_FXSR : CPUF_SSE;
	case ZYDIS_ISA_EXT_SSE2:
		return CPUF_SSE2;
	case ZYDIS_ISA_EXT_SSE3:
		return CPUF_SSE3;
	case ZYDIS_ISA_EXT_SSSE3:
		return CPUF_SSSE3;
	case ZYDIS_ISA_EXT_SSE4:
		return in->meta.isa_set == ZYDIS_ISA_SET_POPCNT	 ? CPUF_POPCNT
		       : in->meta.isa_set == ZYDIS_ISA_SET_SSE42 ? CPUF_SSE42
								 : CPUF_SSE41;
	case ZYDIS_ISA_EXT_AES:
		return CPUF_AES;
	case ZYDIS_ISA_EXT_PCLMULQDQ:
		return CPUF_PCLMUL;
	case ZYDIS_ISA_EXT_MOVBE:
		return CPUF_MOVBE;
	case ZYDIS_ISA_EXT_LZCNT:
		return CPUF_LZCNT;
	case ZYDIS_ISA_EXT_RDRAND:
		return CPUF_RDRAND;
	case ZYDIS_ISA_EXT_RDTSCP:
		return CPUF_RDTSCP;
	case ZYDIS_ISA_EXT_CLFSH:
		return CPUF_CLFLUSH;
	default:
		return ~0ull;
	}
}

bool insn_may_run(const ZydisDecodedInstruction *in)
{
	if (in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		return false;
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_AES:
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_BITBYTE:
	case ZYDIS_CATEGORY_BLEND:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_FCMOV:
	case ZYDIS_CATEGORY_FLAGOP:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_LOGICAL_FP:
	case ZYDIS_CATEGORY_LZCNT:
	case ZYDIS_CATEGORY_MISC:
	case ZYDIS_CATEGORY_MMX:
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_PCLMULQDQ:
	case ZYDIS_CATEGORY_RDRAND:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_SEMAPHORE:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_SSE:
	case ZYDIS_CATEGORY_STTNI:
	case ZYDIS_CATEGORY_X87_ALU:
		return true;
	default:
		return false;
	}
}

/* ---- the table ---- */

struct row {
	const char *handler; /* NULL: not in the table */
	enum insn_class class;
};

#define LOWER(m, c, f)	  [ZYDIS_MNEMONIC_##m] = {"lower_" #f, INSN_##c},
#define EMULATE(m, c, h)  [ZYDIS_MNEMONIC_##m] = {"emu_" #h, INSN_##c},
#define TRANSFER(m, c, h) EMULATE(m, c, h)
static const struct row table[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {INSNS(LOWER, EMULATE, TRANSFER)};
#undef LOWER
#undef EMULATE

#define LOWER(m, k, c, f)   {ZYDIS_MNEMONIC_##m, INSN_FORM_##k, {"lower_" #f, INSN_##c}},
#define EMULATE(m, k, c, h) {ZYDIS_MNEMONIC_##m, INSN_FORM_##k, {"emu_" #h, INSN_##c}},
#undef TRANSFER
#define TRANSFER(m, k, c, h) EMULATE(m, k, c, h)
static const struct {
	ZydisMnemonic mnemonic;
	enum insn_form form;
	struct row row;
} forms[] = {INSN_FORMS(LOWER, EMULATE, TRANSFER)};
#undef LOWER
#undef EMULATE
#undef TRANSFER

static enum insn_form mov_form(const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < 2; i++) {
		if (ops[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		switch (ZydisRegisterGetClass(ops[i].reg.value)) {
		case ZYDIS_REGCLASS_SEGMENT:
			return i ? INSN_FORM_FROM_SEGMENT : INSN_FORM_TO_SEGMENT;
		case ZYDIS_REGCLASS_CONTROL:
			return i ? INSN_FORM_FROM_CONTROL : INSN_FORM_TO_CONTROL;
		case ZYDIS_REGCLASS_DEBUG:
			return i ? INSN_FORM_FROM_DEBUG : INSN_FORM_TO_DEBUG;
		case ZYDIS_REGCLASS_TEST:
			return INSN_FORM_TEST;
		default:
			break;
		}
	}
	return INSN_FORM_PLAIN;
}

enum insn_form insn_form(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return mov_form(ops);
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
		return ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(ops[0].reg.value) == ZYDIS_REGCLASS_SEGMENT
			       ? INSN_FORM_SEGMENT
			       : INSN_FORM_PLAIN;
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_RET:
		if (in->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
			return INSN_FORM_PLAIN;
		return ops[0].type == ZYDIS_OPERAND_TYPE_POINTER ? INSN_FORM_FAR_POINTER : INSN_FORM_FAR;
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_CMPSD:
		return in->meta.category == ZYDIS_CATEGORY_STRINGOP ? INSN_FORM_STRING : INSN_FORM_PLAIN;
	default:
		return INSN_FORM_PLAIN;
	}
}

static struct row find_row(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	static const struct row undefined = {"emu_ud", INSN_UNDEFINED}, ident = {"lower_generic", INSN_DATA};
	enum insn_form form = insn_form(in, ops);

	if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || insn_feature(in) == ~0ull)
		return undefined;
	for (size_t i = 0; form && i < ARRAY_SIZE(forms); i++)
		if (forms[i].mnemonic == in->mnemonic && forms[i].form == form)
			return forms[i].row;
	if (table[in->mnemonic].handler)
		return table[in->mnemonic];
	return insn_may_run(in) ? ident : undefined;
}

static bool accesses_memory(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	for (unsigned i = 0; i < in->operand_count; i++)
		if (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && ops[i].mem.type == ZYDIS_MEMOP_TYPE_MEM)
			return true;
	return false;
}

/* ---- flags ---- */

/* clang-format off */
static const struct {
	ZydisMnemonic mnemonic;
	enum insn_form form;
	u32 read, written, undefined;
} flag_fixes[] = {
#define X(m, k, r, w, u) {ZYDIS_MNEMONIC_##m, INSN_FORM_##k, r, w, u},
	INSN_FLAGS(X)
#undef X
};
/* clang-format on */

static void find_flags(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops, struct insn_info *info)
{
	const ZydisAccessedFlags *f = in->cpu_flags;

	info->flags_read = f ? f->tested : 0;
	info->flags_written = f ? f->modified | f->set_0 | f->set_1 : 0;
	info->flags_undefined = f ? f->undefined : 0;
	for (size_t i = 0; i < ARRAY_SIZE(flag_fixes); i++) {
		if (flag_fixes[i].mnemonic != in->mnemonic || flag_fixes[i].form != insn_form(in, ops))
			continue;
		info->flags_read = flag_fixes[i].read;
		info->flags_written = flag_fixes[i].written;
		info->flags_undefined = flag_fixes[i].undefined;
	}
}

void insn_info(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops, struct insn_info *info)
{
	struct row row = find_row(in, ops);

	*info = (struct insn_info){.class = row.class, .handler = row.handler, .feature = insn_feature(in)};
	if (info->class == INSN_DATA)
		info->class = accesses_memory(in, ops) ? INSN_MEMORY : INSN_IDENTITY;
	if (info->class != INSN_UNDEFINED)
		find_flags(in, ops, info);
}

int insn_seventeen(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	static const struct {
		ZydisMnemonic mnemonics[2];
	} rows[] = {
#define X(name, m, other, category, silent, ringer) {{ZYDIS_MNEMONIC_##m, ZYDIS_MNEMONIC_##other}},
		SEVENTEEN(X)
#undef X
	};
	struct insn_info info;

	insn_info(in, ops, &info);
	if (info.class != INSN_SENSITIVE)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].mnemonics[0] == in->mnemonic || rows[i].mnemonics[1] == in->mnemonic)
			return (int)i;
	return -1;
}
