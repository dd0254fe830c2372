/*
 * Known differences, see known.h. A rule looks at the whole difference: anything beside what it describes is a failure.
 */
#include "tests/diff/known.h"

#include <string.h>

#define EFLAGS_ARITH 0x8d5u
#define EFLAGS_NT    0x4000u
#define EXC_DB	     1
#define EXC_UD	     6
#define EXC_SS	     12
#define EXC_GP	     13
#define EXC_PF	     14
#define EXC_AC	     17
#define PF_FETCH     0x10u
#define IMAGE_MAX    512u

/* The instruction that ended the case. */
static bool last_insn(const struct generator *g, const struct result *r, ZydisDecodedInstruction *in, ZydisDecodedOperand *ops)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(g), r->insn, sizeof(r->insn), in, ops));
}

static bool has_mnemonic(const struct generator *g, const struct test_case *c, const ZydisMnemonic *list, unsigned n)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	for (u32 at = 0; at < c->length; at += in.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(g), c->code + at, c->length - at, &in, ops)))
			return false;
		for (unsigned i = 0; i < n; i++)
			if (in.mnemonic == list[i])
				return true;
	}
	return false;
}

static bool same_state(const struct failure *f)
{
	return !memcmp(&f->want.out, &f->got.out, sizeof(f->want.out)) && f->want.vector == f->got.vector &&
	       f->want.error == f->got.error && f->want.cr2 == f->got.cr2;
}

/* What FXSAVE, FNSAVE and FNSTENV write holds the pointers to the last x87 instruction, selectors included, and MXCSR_MASK. */
static bool is_image_only(const struct generator *g, const struct failure *f)
{
	static const ZydisMnemonic images[] = {ZYDIS_MNEMONIC_FXSAVE, ZYDIS_MNEMONIC_FNSAVE, ZYDIS_MNEMONIC_FNSTENV};

	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	bool first_only =
		ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(g), f->c.code, f->c.length, &in, ops)) && in.length == f->c.length;

	/* What comes behind may have read it. */
	return (same_state(f) || !first_only) && has_mnemonic(g, &f->c, images, sizeof(images) / sizeof(images[0]));
}

/* A repeated comparison that faults in the middle: the flags are those from before by the manual (Vol. 2B, REP); the host's are the last
 * comparison's. */
static bool is_interrupted_compare(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct failure x = *f;

	if (f->want.vector != EXC_PF || !last_insn(g, &f->want, &in, ops) || in.meta.category != ZYDIS_CATEGORY_STRINGOP)
		return false;
	if (!(in.attributes & (ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)))
		return false;
	x.want.out.eflags &= ~EFLAGS_ARITH;
	x.got.out.eflags &= ~EFLAGS_ARITH;
	return same_state(&x) && f->want.changed == f->got.changed && f->want.hash == f->got.hash;
}

/* Alignment checks of operands of 16 bytes and more, and of the place that ENTER probes, depend on the CPU model (SDM Vol. 3A table 6-7
 * ends at 8 bytes and tables of the system's). */
static bool is_wide_alignment(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (f->want.vector != EXC_AC || !last_insn(g, &f->want, &in, ops))
		return false;
	for (unsigned i = 0; i < in.operand_count; i++)
		if (in.mnemonic == ZYDIS_MNEMONIC_ENTER ||
		    (ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && ops[i].size >= 128 && in.meta.isa_ext != ZYDIS_ISA_EXT_BASE))
			return true;
	return false;
}

/* Which part of a large operand is touched first, and so is in CR2, is the CPU's affair: images, PUSHA, POPA, ENTER, MASKMOV. */
static bool is_other_part(const struct generator *g, const struct failure *f)
{
	static const ZydisMnemonic large[] = {
		ZYDIS_MNEMONIC_FXSAVE, ZYDIS_MNEMONIC_FXRSTOR,	ZYDIS_MNEMONIC_FNSAVE,	   ZYDIS_MNEMONIC_FRSTOR, ZYDIS_MNEMONIC_FNSTENV,
		ZYDIS_MNEMONIC_FLDENV, ZYDIS_MNEMONIC_PUSHA,	ZYDIS_MNEMONIC_PUSHAD,	   ZYDIS_MNEMONIC_POPA,	  ZYDIS_MNEMONIC_POPAD,
		ZYDIS_MNEMONIC_ENTER,  ZYDIS_MNEMONIC_MASKMOVQ, ZYDIS_MNEMONIC_MASKMOVDQU,
	};
	struct failure x = *f;

	if (f->want.vector != EXC_PF || f->want.cr2 - f->got.cr2 + IMAGE_MAX > 2 * IMAGE_MAX)
		return false;
	x.got.cr2 = x.want.cr2;
	x.got.error = x.want.error;
	return f->want.vector == f->got.vector && same_state(&x) && has_mnemonic(g, &f->c, large, sizeof(large) / sizeof(large[0]));
}

/* Far returns and IRET: the host's CPU reads the outer stack's part of the frame before, or even though, the inner one's is refused. */
static bool is_far_frame(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	return (f->want.vector == EXC_PF || f->want.vector == EXC_AC) &&
	       (f->got.vector == EXC_PF || f->got.vector == EXC_GP || f->got.vector == EXC_AC) && f->want.out.eip == f->got.out.eip &&
	       last_insn(g, &f->want, &in, ops) &&
	       (in.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || in.mnemonic == ZYDIS_MNEMONIC_IRET || in.mnemonic == ZYDIS_MNEMONIC_IRETD);
}

/* INT1 is a trap (SDM Vol. 2A, INT n): EIP is behind it. The hypervisor that this host's CPU is under reports the instruction itself. */
static bool is_int1(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	return f->want.vector == EXC_DB && f->got.vector == EXC_DB && f->got.out.eip != f->want.out.eip &&
	       last_insn(g, &f->want, &in, ops) && in.mnemonic == ZYDIS_MNEMONIC_INT1 && f->got.out.eip == f->want.out.eip + in.length;
}

/* The guest's CPU has not got it; random bytes are what makes such instructions. */
static bool is_not_offered(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!last_insn(g, &f->got, &in, ops))
		return false;
	/* SYSENTER: undefined on AMD's CPUs in the host's kernel's mode. */
	if (f->want.vector == EXC_UD && f->got.vector == EXC_GP)
		return in.mnemonic == ZYDIS_MNEMONIC_SYSENTER;
	if (f->got.vector != EXC_UD)
		return false;
	return !gen_offers(&in) || in.meta.category == ZYDIS_CATEGORY_SYSRET || in.meta.category == ZYDIS_CATEGORY_SYSCALL;
}

/* An access that wraps at 4 GiB in a segment of 4 GiB may or may not violate the limit (SDM Vol. 3A 5.3). */
static bool is_wrap(const struct failure *f)
{
	return (f->want.vector == EXC_SS || f->want.vector == EXC_GP) &&
	       ((f->got.vector == EXC_PF && f->got.cr2 + IMAGE_MAX < 2 * IMAGE_MAX) || f->got.vector == EXC_AC);
}

/* The host's POPA changes registers before a fault, Ringer's does not; it is restartable either way. ESP says where to. */
static bool is_partial_popa(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct failure x = *f;

	if (f->want.vector != f->got.vector || !last_insn(g, &f->want, &in, ops))
		return false;
	if (in.mnemonic != ZYDIS_MNEMONIC_POPA && in.mnemonic != ZYDIS_MNEMONIC_POPAD)
		return false;
	for (unsigned i = 0; i < 8; i++)
		if (i != 4)
			x.got.out.regs[i] = x.want.out.regs[i];
	x.got.cr2 = x.want.cr2;
	return same_state(&x);
}

/* The host's MASKMOVQ enters the MMX state before it faults. */
static bool is_early_mmx(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct failure x = *f;

	if (f->want.vector != f->got.vector || !last_insn(g, &f->want, &in, ops) || in.mnemonic != ZYDIS_MNEMONIC_MASKMOVQ)
		return false;
	memcpy(x.got.out.fx, x.want.out.fx, FX_SIZE);
	/* As in is_other_part. */
	x.got.cr2 = x.want.cr2;
	x.got.error = x.want.error;
	return same_state(&x);
}

/* Whether MASKMOV faults for a byte that it does not store is the CPU's affair (SDM Vol. 2A, MASKMOVDQU): the host's does. */
static bool is_unselected_byte(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	return (f->want.vector == EXC_PF || f->want.vector == EXC_GP || f->want.vector == EXC_SS) && last_insn(g, &f->want, &in, ops) &&
	       (in.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ || in.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU) &&
	       (f->got.vector != f->want.vector || f->got.out.eip != f->want.out.eip);
}

/* How many bytes of an undefined instruction are fetched, and so whether the next page must be there, is the CPU's affair. */
static bool is_fetch_of_undefined(const struct failure *f)
{
	return f->want.vector == EXC_PF && f->got.vector == EXC_UD && (f->want.error & PF_FETCH) && !(f->want.cr2 & 0xfff) &&
	       f->want.out.eip == f->got.out.eip && f->want.cr2 - f->want.out.eip < 15;
}

/*
 * REP MOVS with 16-bit addresses to an overlapping place less than an element ahead: the host moves more than an element at a time (the
 * same instruction with 32-bit addresses does not, nor does either of them by the manual).
 */
static bool is_overlapping_move(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!same_state(f))
		return false;
	for (u32 at = 0; at < f->c.length; at += in.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(g), f->c.code + at, f->c.length - at, &in, ops)))
			return false;
		if (in.meta.category == ZYDIS_CATEGORY_STRINGOP && (in.opcode & 0xfe) == 0xa4 && in.address_width == 16 &&
		    (in.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPNE)))
			return true;
	}
	return false;
}

/* Wild addresses where the native runner's own memory lies. */
static bool is_host_memory(const struct failure *f)
{
	u32 at = f->got.cr2;

	return f->got.vector == EXC_PF && (at >= 0xf0000000u || (at >= 0x08000000u && at < 0x0c000000u)) &&
	       (f->want.cr2 != at || f->want.out.eip != f->got.out.eip || f->want.error != f->got.error);
}

/* IRET with NT set: #GP(0) in the host's kernel's mode, a task switch in the guest's (SDM Vol. 2A, IRET), which has nothing to return to.
 */
static bool is_task_return(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	return f->want.vector == EXC_GP && (f->want.out.eflags & EFLAGS_NT) && last_insn(g, &f->want, &in, ops) &&
	       (in.mnemonic == ZYDIS_MNEMONIC_IRET || in.mnemonic == ZYDIS_MNEMONIC_IRETD);
}

/* The order of the faults that decoding finds, too long and undefined, is the CPU's affair (SDM Vol. 3A table 6-2). */
static bool is_long_undefined(const struct failure *f)
{
	return f->want.vector == EXC_GP && !f->want.error && f->got.vector == EXC_UD && f->want.out.eip == f->got.out.eip &&
	       strchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", f->want.insn[0]) && f->want.insn[0];
}

/* The guest's gates, of vectors that no case means to use. */
static bool is_gate(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	return f->want.vector == EXC_GP && (f->want.error & 2) && last_insn(g, &f->want, &in, ops) && in.mnemonic == ZYDIS_MNEMONIC_INT;
}

/* MXCSR bit 17 of AMD's CPUs (misaligned SSE), which the guest's has not. */
static bool is_mxcsr_mm(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	return f->got.vector == EXC_GP && last_insn(g, &f->got, &in, ops) &&
	       (in.mnemonic == ZYDIS_MNEMONIC_LDMXCSR || in.mnemonic == ZYDIS_MNEMONIC_FXRSTOR) && (f->want.out.fx[26] & 2);
}

/* CPUID, RDTSC, SLDT, SGDT and their kin tell what machine they are on. No case means to have them: a jump into an instruction finds them.
 */
static bool tells_the_machine(const struct failure *f)
{
	for (u32 i = 0; i + 1 < f->c.length; i++)
		if (f->c.code[i] == 0x0f && (f->c.code[i + 1] <= 1 || f->c.code[i + 1] == 0x31 || f->c.code[i + 1] == 0xa2))
			return true;
	return false;
}

static bool has_prefix(const ZydisDecodedInstruction *in, u8 value)
{
	for (unsigned i = 0; i < in->raw.prefix_count; i++)
		if (in->raw.prefixes[i].value == value)
			return true;
	return false;
}

/* F2 and F3 are reserved there (SDM Vol. 2A 2.1.1): the host's CPU takes F2 E1 for LOOPNE and F3 E0 for LOOPE. */
static bool is_loop_with_rep(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	for (u32 at = 0; at < f->c.length; at++) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(g), f->c.code + at, f->c.length - at, &in, ops)))
			continue;
		if ((in.mnemonic == ZYDIS_MNEMONIC_LOOPNE && has_prefix(&in, 0xf3)) ||
		    (in.mnemonic == ZYDIS_MNEMONIC_LOOPE && has_prefix(&in, 0xf2)))
			return true;
	}
	return false;
}

/* A repeated store that overwrites itself: the host's CPU goes on with it until it is interrupted, Ringer runs what it has become. */
static bool overwrites_itself(const struct generator *g, const struct failure *f)
{
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	u32 at = f->want.out.eip - f->c.in.eip;

	if (f->want.vector != EXC_PF || at >= f->c.length ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(gen_decoder(g), f->c.code + at, f->c.length - at, &in, ops)))
		return false;
	return in.meta.category == ZYDIS_CATEGORY_STRINGOP && memcmp(f->want.insn, f->c.code + at, in.length) != 0;
}

bool failure_is_known(const struct generator *g, const struct failure *f)
{
	if (is_task_return(g, f))
		return true;
	if (f->died)
		return false;
	return f->want.vector == VECTOR_SYSCALL || is_image_only(g, f) || is_interrupted_compare(g, f) || is_wide_alignment(g, f) ||
	       is_other_part(g, f) || is_partial_popa(g, f) || is_early_mmx(g, f) || is_wrap(f) || tells_the_machine(f) ||
	       is_loop_with_rep(g, f) || overwrites_itself(g, f) || is_far_frame(g, f) || is_int1(g, f) || is_not_offered(g, f) ||
	       is_long_undefined(f) || is_gate(g, f) || is_mxcsr_mm(g, f) || is_fetch_of_undefined(f) || is_overlapping_move(g, f) ||
	       is_unselected_byte(g, f) || is_host_memory(f);
}
