/*
 * Generating cases, see gen.h and making.h: which instruction forms there are, and the state that a case begins with. A case is one
 * instruction, or a short sequence whose instructions do not spoil each other's addresses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/diff/making.h"

const ZydisDecoder *gen_decoder(const struct generator *g)
{
	return &g->decoder;
}

unsigned gen_forms(const struct generator *g)
{
	return g->form_count;
}

/* --- what is tested --- */

static bool extension_offered(const ZydisDecodedInstruction *in)
{
	switch (in->meta.isa_ext) {
	case ZYDIS_ISA_EXT_BASE:
	case ZYDIS_ISA_EXT_X87:
	case ZYDIS_ISA_EXT_MMX:
	case ZYDIS_ISA_EXT_SSE:
	case ZYDIS_ISA_EXT_SSE2:
	case ZYDIS_ISA_EXT_SSE3:
	case ZYDIS_ISA_EXT_SSSE3:
	case ZYDIS_ISA_EXT_SSE4:
	case ZYDIS_ISA_EXT_AES:
	case ZYDIS_ISA_EXT_PCLMULQDQ:
	case ZYDIS_ISA_EXT_MOVBE:
	case ZYDIS_ISA_EXT_LZCNT:
	case ZYDIS_ISA_EXT_CLFSH:
	case ZYDIS_ISA_EXT_PAUSE:
	case ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH:
		return in->meta.isa_set != ZYDIS_ISA_SET_SSE4A;
	default:
		return false;
	}
}

bool gen_offers(const ZydisDecodedInstruction *in)
{
	return in->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && extension_offered(in);
}

static bool category_tested(const ZydisDecodedInstruction *in)
{
	if (in->mnemonic == ZYDIS_MNEMONIC_BOUND || in->mnemonic == ZYDIS_MNEMONIC_INTO)
		return true;
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
		return false;
	default:
		break;
	}
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDTSCP:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_SMSW:
	case ZYDIS_MNEMONIC_SLDT:
	case ZYDIS_MNEMONIC_STR:
	/* Whether they take a ModRM byte depends on the CPU model. */
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
		return false;
	default:
		return true;
	}
}

static bool has_prefix(const ZydisDecodedInstruction *in, u8 value)
{
	for (unsigned i = 0; i < in->raw.prefix_count; i++)
		if (in->raw.prefixes[i].value == value)
			return true;
	return false;
}

bool tested(const struct insn *i)
{
	const ZydisDecodedInstruction *in = &i->in;

	if (!gen_offers(in) || !category_tested(in))
		return false;
	/* PREFETCH with a register: #UD on AMD's CPUs, a NOP on Intel's. */
	if (in->opcode_map == ZYDIS_OPCODE_MAP_0F && in->opcode == 0x0d && in->raw.modrm.mod == 3)
		return false;
	/* REP BSF is TZCNT on the host, which the guest's CPU has not. */
	if (in->mnemonic == ZYDIS_MNEMONIC_BSF && has_prefix(in, 0xf3))
		return false;
	for (unsigned k = 0; k < in->operand_count; k++) {
		if (i->ops[k].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		switch (ZydisRegisterGetClass(i->ops[k].reg.value)) {
		case ZYDIS_REGCLASS_SEGMENT:
			if (i->ops[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
				return false;
			break;
		case ZYDIS_REGCLASS_CONTROL:
		case ZYDIS_REGCLASS_DEBUG:
		case ZYDIS_REGCLASS_TEST:
			return false;
		default:
			break;
		}
	}
	return true;
}

bool decode(const struct generator *g, struct insn *i, unsigned length)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&g->decoder, i->bytes, length, &i->in, i->ops));
}

static void add_form(void *opaque, const struct opcode_form *f, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops)
{
	struct generator *g = opaque;
	struct insn i = {.in = *in};

	memcpy(i.ops, ops, sizeof(i.ops));
	if (tested(&i) && g->form_count < MAX_FORMS)
		g->forms[g->form_count++] = (struct form){*f, (u16)in->mnemonic};
}

static int by_mnemonic(const void *a, const void *b)
{
	const struct form *x = a, *y = b;

	if (x->mnemonic != y->mnemonic)
		return (int)x->mnemonic - (int)y->mnemonic;
	return memcmp(&x->code, &y->code, sizeof(x->code));
}

static void sort_forms(struct generator *g)
{
	qsort(g->forms, g->form_count, sizeof(g->forms[0]), by_mnemonic);
	for (unsigned i = 0; i < g->form_count; i++)
		if ((!i || g->forms[i].mnemonic != g->forms[i - 1].mnemonic) && g->group_count < MAX_GROUPS)
			g->group[g->group_count++] = i;
	g->group[g->group_count] = g->form_count;
}

struct generator *gen_new(u64 seed, bool low)
{
	struct generator *g = calloc(1, sizeof(*g));

	if (!g) {
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	g->seed = seed;
	g->low = low;
	opcode_decoder(&g->decoder);
	opcode_forms(&g->decoder, add_form, g);
	sort_forms(g);
	values_fill_pages(seed, g->pages);
	return g;
}

void gen_free(struct generator *g)
{
	free(g);
}

void gen_pages(const struct generator *g, u8 (*pages)[4096])
{
	memcpy(pages, g->pages, sizeof(g->pages));
}

static void make_state(struct making *m)
{
	struct state32 *s = &m->c->in;

	for (unsigned i = 0; i < 8; i++)
		s->regs[i] = value_integer(&m->r);
	s->regs[4] = STACK + 0x1000 + (rand_below(&m->r, 0x200) - 0x100) * 4 + (rand_below(&m->r, 16) ? 0 : rand_below(&m->r, 4));
	if (rand_below(&m->r, 40) == 0)
		s->regs[4] = (rand_below(&m->r, 2) ? STACK : STACK + 0x2000) + rand_below(&m->r, 33) - 16;
	s->eflags = (rand_u32(&m->r) & 0x8d5) | 0x202;
	if (rand_below(&m->r, 5) == 0)
		s->eflags |= 0x400;
	if (rand_below(&m->r, 50) == 0)
		s->eflags |= 0x40000;
	s->eip = CODE_BASE + 0x100 + rand_below(&m->r, 0xc00);
	switch (rand_below(&m->r, 50)) {
	case 0: /* across the two pages */
		s->eip = CODE_BASE + 0x1000 - rand_below(&m->r, 24);
		break;
	case 1: /* off the end */
		s->eip = CODE_BASE + 0x2000 - 1 - rand_below(&m->r, 16);
		break;
	default:
		break;
	}
	values_fpu(&m->r, s->fx);
}

void gen_case(struct generator *g, u64 n, struct test_case *c)
{
	struct making m = {.g = g, .c = c};
	unsigned kind;

	memset(c, 0, sizeof(*c));
	rand_seed(&m.r, g->seed ^ (n + 1) * 0x9e3779b97f4a7c15ull);
	make_state(&m);
	kind = rand_below(&m.r, 16);
	if (kind < 8)
		append_insn(&m, any_form(&m));
	else if (kind < 10)
		append_odd(&m);
	else
		make_sequence(&m);
}
