/*
 * Decoding of guest instructions: Zydis, behind a memo of what it has said.
 *
 * An instruction is prefixes, opcode, ModRM and SIB, which say what it is, and behind them a displacement and immediates, which are
 * numbers. The memo has decoded instructions by the former (the key) and puts the numbers of the instruction in hand in: kernels say most
 * of what they say in a few hundred keys.
 *
 * Invariant: what decoder_decode gives is what Zydis would, to the byte (tests/unit/test_decode.c). An instruction is kept only if it has
 * the usual encoding, its length is that of its key and its numbers, and each number is an operand's value or nobody's.
 *
 * vCPU thread. Not for the verifier, nor for the disassembler.
 */
#ifndef RINGER_DECODE_H
#define RINGER_DECODE_H

#include <Zydis/Zydis.h>

#include "monitor/types.h"

#define DECODE_FORMS 2048 /* a power of two */
#define DECODE_OPS   6
#define DECODE_BYTES 15 /* of an instruction, at most */

/* A displacement or an immediate: where it is in the instruction, and which operand has it. */
struct decode_number {
	u8 offset, size; /* in bytes; 0: there is none */
	u8 operand;	 /* DECODE_OPS: nobody's */
	bool is_signed;
};

/* What is known of a key. */
struct decode_form {
	u64 key; /* 0: empty */
	struct decode_number disp, imm[2];
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[DECODE_OPS];
};

struct decoder {
	ZydisDecoder zydis[2]; /* for 16-bit code, for 32-bit code */
	u64 features;	       /* that they were made for, with bit 0 set */
	u64 misses;	       /* calls of Zydis */
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct decode_form form[DECODE_FORMS];
};

/* Readies a zeroed decoder for a CPU with these features (CPUF_*); costs nothing if it is so already. */
void decoder_set_features(struct decoder *d, u64 features);
/* Whether the instruction at `code`, of which `avail` bytes are there, is all there; also true of what is no instruction. */
bool decoder_fits(const struct decoder *d, bool wide, const u8 *code, u32 avail);
/*
 * Decodes the instruction at `code`, of which `avail` bytes are there. *ops gets its in->operand_count operands; they are d's, and good
 * until the next call. Returns what ZydisDecoderDecodeFull would.
 */
ZyanStatus decoder_decode(struct decoder *d, bool wide, const u8 *code, u32 avail, ZydisDecodedInstruction *in, ZydisDecodedOperand **ops);

#endif
