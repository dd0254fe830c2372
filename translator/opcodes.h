/*
 * Opcode forms: what tells one guest instruction's encoding from another's, without registers, addresses and immediates. For the tests and
 * reports that want to have seen all of them. Functions of their arguments alone; any thread.
 */
#ifndef RINGER_OPCODES_H
#define RINGER_OPCODES_H

#include <Zydis/Zydis.h>
#include <stdio.h>

#include "monitor/types.h"

struct opcode_form {
	u8 map;	   /* 0: one-byte, 1: 0F, 2: 0F38, 3: 0F3A */
	u8 prefix; /* 0, 66, F2, F3: mandatory, operand size or REP */
	u8 opcode;
	u8 modrm; /* mod 3 or 0, reg, rm; 0 if there is none */
	bool has_modrm, memory;
	bool fixed_rm; /* rm is a part of the opcode */
};

typedef void opcode_form_fn(void *opaque, const struct opcode_form *f, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops);

/* The decoder for 32-bit code with what the guest's CPU never offers switched off. */
void opcode_decoder(ZydisDecoder *d);
/* Calls fn for every form that d decodes, VEX and the like excepted. ModRM.reg counts also where it only names a register. */
void opcode_forms(const ZydisDecoder *d, opcode_form_fn *fn, void *opaque);
/* The opcode, behind the prefix: 1 to 3 bytes at p. Returns their number. */
unsigned opcode_put(u8 *p, const struct opcode_form *f);

/*
 * A number below OPCODE_KEYS for the form of a decoded instruction: prefix, map, opcode and the parts of ModRM that select it, where
 * registers are none. In 16-bit code (`wide` false) the prefix 66 means what its absence means in 32-bit code, as far as it means anything.
 */
#define OPCODE_KEYS (1u << 20)
u32 opcode_key(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops, bool wide);
/* The instruction of a key, with EAX or [EBX] for operands: up to 6 bytes at p; returns their number. */
unsigned opcode_of_key(u32 key, u8 *p);
/* "insn BYTES WHO MNEMONIC", a line of a coverage file. */
void opcode_print(FILE *f, const ZydisDecoder *d, u32 key, const char *who);

#endif
