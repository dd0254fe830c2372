/*
 * The case generator: every user-mode instruction form that Zydis knows and the guest's CPU has, with operands made for it.
 * Invariant: case n of seed s depends on s, n and the memory contents alone (which depend on s), never on the cases before it.
 */
#ifndef DIFF_GEN_H
#define DIFF_GEN_H

#include <Zydis/Zydis.h>
#include <stdbool.h>

#include "tests/diff/case.h"

struct generator;

/* `low`: whether cases may use the pages for 16-bit addresses. Exits if out of memory. */
struct generator *gen_new(u64 seed, bool low);
void gen_free(struct generator *g);
/* The contents of the pages that all cases begin with. */
void gen_pages(const struct generator *g, u8 (*pages)[4096]);
void gen_case(struct generator *g, u64 number, struct test_case *c);
unsigned gen_forms(const struct generator *g);
/* Whether the guest's CPU has it. */
bool gen_offers(const ZydisDecodedInstruction *in);
const ZydisDecoder *gen_decoder(const struct generator *g);

#endif
