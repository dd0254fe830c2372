/*
 * Host code as text that is the same on every machine and in every build: thunks and fields of the vCPU by name, addresses in the
 * translation unit as offsets from its head.
 */
#ifndef GOLDEN_DISASM_H
#define GOLDEN_DISASM_H

#include <stdbool.h>
#include <stdio.h>

#include "cache/tc.h"

/*
 * Prints the host code from rx address `from` to `to`, which belongs to `tu`, a line for each instruction. Returns false, after a line that
 * says so, if there is an address of the vCPU's that has no name here, or bytes that are no instruction.
 */
bool disasm_host(FILE *f, struct vcpu *v, const struct tu *tu, u32 from, u32 to);
/* A guest instruction in Intel syntax; its relative targets are relative to its own address. */
void disasm_guest(char *text, size_t n, const u8 *code, u32 length, bool wide);

#endif
