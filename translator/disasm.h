/*
 * Code as text: host code with what is in it by name (thunks, fields of the vCPU), and addresses in the translation unit as
 * offsets from its head, so that the text is the same on every machine and in every build; and guest code. For -d out_asm
 * (translator/listing.c) and the golden tests.
 */
#ifndef RINGER_DISASM_H
#define RINGER_DISASM_H

#include <stdbool.h>
#include <stdio.h>

#include "cache/tc.h"

#define DISASM_MAX 160

/*
 * The host instruction at rx address `at`, which belongs to `tu` and does not go beyond `to`. Returns its length: 0, with *ok false, if
 * these bytes are no instruction. A jump into a NOP that hides another one (operand.c) counts as one, with the target that it comes to.
 * *ok is set to false if there is an address of the vCPU's that has no name here, else left alone.
 */
u32 disasm_host_insn(struct vcpu *v, const struct tu *tu, u32 at, u32 to, char text[DISASM_MAX], bool *ok);
/*
 * Prints the host code from rx address `from` to `to`, a line for each instruction, callouts with their handlers. Returns false, after a
 * line that says so, if an instruction was not ok.
 */
bool disasm_host(FILE *f, struct vcpu *v, const struct tu *tu, u32 from, u32 to);
/* "emu_cpuid", of an entry in the cache's table. */
const char *disasm_handler(const struct vcpu *v, u32 emu);
/* The target of the jump into a NOP at host address p, or 0: there is none. */
u32 disasm_nop_target(const u8 *p, u32 left);
/* A guest instruction in Intel syntax; its relative targets are relative to its own address. */
void disasm_guest(char *text, size_t n, const u8 *code, u32 length, bool wide);
/* The same at an address, which its targets are computed from. Returns its length, or 0 if it is undefined. */
u32 disasm_guest_at(char *text, size_t n, const u8 *code, u32 length, bool wide, u32 eip);

#endif
