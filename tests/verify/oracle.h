/*
 * What the mutation test takes for a broken rule: the opinion of a second disassembler (Zydis) on one instruction that was changed, from
 * the text of the rules, without the verifier's code or tables.
 */
#ifndef VERIFY_ORACLE_H
#define VERIFY_ORACLE_H

#include "cache/tc.h"
#include "monitor/vcpu.h"

struct host_insn {
	u16 off; /* from the TU's head */
	u8 length;
	/* For the mutations that aim at something */
	bool window; /* has a memory operand with 65 */
	bool narrow; /* that has 67 as well */
	bool vcpu;   /* [r14 + disp] */
	bool table;  /* [r13 + r9*8 + disp] */
	bool direct; /* [r9 + r8] */
	bool writes; /* its memory operand */
	u8 size;     /* of it */
	u8 disp_offset, disp_size, modrm_offset;
	bool branch; /* rel32, or rel8 */
	bool call;
	u8 rel_offset, rel_size;
};

/* The instructions of a TU that can be reached from its head and body, in the order of discovery. Returns how many, at most max. */
unsigned oracle_reach(const struct vcpu *v, const struct tu *tu, struct host_insn *list, unsigned max);
/* True if the bytes at p, which stand where `was` stood, are certain to break a rule. */
bool oracle_violates(const struct vcpu *v, const struct tu *tu, const struct host_insn *was, const u8 *p, unsigned avail);

#endif
