/*
 * Generating cases, see gen.h. A case is one instruction, or a short sequence whose instructions do not spoil each other's addresses.
 *
 * An instruction is made from a form (prefix, opcode map, opcode, the parts of ModRM that select it) by filling in the rest at random; then
 * the registers or the displacement of its memory operands are solved for a target address in the case's memory. A register that
 * takes part in an address is pinned: its initial value is settled, and an instruction before must not have written it.
 */
#include "tests/diff/gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/diff/rand.h"
#include "translator/opcodes.h"

struct form {
	struct opcode_form code;
	u16 mnemonic;
};

#define MAX_FORMS  16384
#define MAX_GROUPS 1024

struct generator {
	u64 seed;
	bool low;
	ZydisDecoder decoder;
	struct form forms[MAX_FORMS];
	unsigned form_count;
	/* Forms are sorted by mnemonic: where each mnemonic's begin, and the end. */
	unsigned group[MAX_GROUPS + 1], group_count;
	u8 pages[PAGES][4096];
};

/* The case in the making. */
struct making {
	struct generator *g;
	struct rand r;
	struct test_case *c;
	u32 pinned, written; /* bit n: register n */
};

struct insn {
	u8 bytes[24];
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

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

static bool tested(const struct insn *i)
{
	const ZydisDecodedInstruction *in = &i->in;

	if (in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !extension_offered(in) || !category_tested(in))
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

static bool decode(const struct generator *g, struct insn *i, unsigned length)
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

/* --- addresses --- */

static u32 *reg(struct making *m, unsigned n)
{
	return &m->c->in.regs[n];
}

static bool is_free(const struct making *m, unsigned n)
{
	return !((m->pinned | m->written) & 1u << n);
}

/* Settles the initial value of a register; false if it is settled already, or written by an instruction before. */
static bool pin(struct making *m, unsigned n, u32 value)
{
	if (m->written & 1u << n)
		return false;
	if (m->pinned & 1u << n)
		return *reg(m, n) == value;
	*reg(m, n) = value;
	m->pinned |= 1u << n;
	return true;
}

/* An address for an operand of `size` bytes. */
static u32 target(struct making *m, u32 size, bool wide)
{
	u32 base = wide ? DATA + 0x1000 : LOW, pages = wide ? 3 : 2, end = base + pages * 4096, p = rand_below(&m->r, 100);
	u32 align = size >= 16 && rand_below(&m->r, 10) < 8 ? 16 : 1;

	if (p < 78)
		return base + (rand_below(&m->r, pages * 4096 - size - 64) & ~(align - 1));
	if (p < 88) /* across a boundary between two pages */
		return base + 4096 - (align == 16 ? 16 : rand_below(&m->r, size + 2));
	if (p < 91) /* from the writable pages into the read-only one */
		return end - rand_below(&m->r, size + 1);
	if (p < 94)
		return end + (rand_below(&m->r, 4096 - size) & ~(align - 1));
	if (p < 97) /* off the end of what is mapped */
		return end + 4096 - rand_below(&m->r, size + 1);
	if (p < 99) /* off its start */
		return base - rand_below(&m->r, size + 1);
	return end + 4096 + rand_below(&m->r, 4096);
}

/* Well-formed images for the instructions that load them: the last 2 KiB of the second page have one each (values.c). */
static u32 image_target(struct making *m, const ZydisDecodedInstruction *in, u32 otherwise)
{
	u32 n = rand_below(&m->r, 4);

	if (rand_below(&m->r, 4) == 0)
		return otherwise;
	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_FXRSTOR:
		return DATA + 0x2000 + VALUES_FX + 512 * (n & 1);
	case ZYDIS_MNEMONIC_FRSTOR:
	case ZYDIS_MNEMONIC_FLDENV:
		return DATA + 0x2000 + VALUES_FSAVE + 112 * n;
	case ZYDIS_MNEMONIC_LDMXCSR:
		return DATA + 0x2000 + VALUES_MXCSR + 4 * n;
	default:
		return otherwise;
	}
}

static unsigned number(ZydisRegister r)
{
	return (unsigned)ZydisRegisterGetId(r);
}

static void patch(struct insn *i, u32 disp)
{
	for (unsigned k = 0; k < i->in.raw.disp.size / 8u; k++)
		i->bytes[i->in.raw.disp.offset + k] = (u8)(disp >> 8 * k);
}

static bool settle(struct making *m, unsigned n)
{
	if (m->written & 1u << n)
		return false;
	m->pinned |= 1u << n;
	return true;
}

/* Makes the ModRM operand's address t (or near it). */
static bool solve(struct making *m, struct insn *i, const ZydisDecodedOperand *op, u32 t)
{
	bool wide = i->in.address_width == 32;
	u32 mask = wide ? 0xffffffff : 0xffff, scale = op->mem.scale ? op->mem.scale : 1, disp = (u32)op->mem.disp.value;
	int base = op->mem.base == ZYDIS_REGISTER_NONE ? -1 : (int)number(op->mem.base);
	int index = op->mem.index == ZYDIS_REGISTER_NONE ? -1 : (int)number(op->mem.index);

	if (i->in.raw.disp.size == i->in.address_width) {
		if ((base >= 0 && !settle(m, (unsigned)base)) || (index >= 0 && !settle(m, (unsigned)index)))
			return false;
		u32 sum = (base >= 0 ? *reg(m, (unsigned)base) : 0) + (index >= 0 ? *reg(m, (unsigned)index) * scale : 0);
		patch(i, t - sum);
		return true;
	}
	if (base < 0)
		return false;
	if (index == base) {
		u32 factor = scale + 1;
		return wide && is_free(m, (unsigned)base) && pin(m, (unsigned)base, (t - disp) / factor);
	}
	if (index >= 0 && !settle(m, (unsigned)index))
		return false;
	u32 value = t - disp - (index >= 0 ? *reg(m, (unsigned)index) * scale : 0);
	if (!is_free(m, (unsigned)base)) {
		/* Settled already: good enough if it leads to somewhere in the same pages. */
		return !(m->written & 1u << base) && ((*reg(m, (unsigned)base) - value) & mask) + 0x1000 < 0x2000;
	}
	if (!wide)
		value = (value & 0xffff) | (rand_u32(&m->r) & 0xffff0000);
	return pin(m, (unsigned)base, value);
}

static bool is_bit_string(const struct insn *i)
{
	switch (i->in.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return i->ops[0].type == ZYDIS_OPERAND_TYPE_MEMORY && i->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
	default:
		return false;
	}
}

/* A memory operand whose address is a register by definition: strings, MASKMOV, XLAT, LEAVE and ENTER. */
static bool solve_implicit(struct making *m, const struct insn *i, const ZydisDecodedOperand *op, u32 t)
{
	unsigned base = number(op->mem.base);

	if (base == 4)
		return !(m->written & 1u << 4);
	if (i->in.mnemonic == ZYDIS_MNEMONIC_LEAVE || i->in.mnemonic == ZYDIS_MNEMONIC_ENTER)
		t = STACK + 0x1000 + rand_below(&m->r, 0x800) * (rand_below(&m->r, 8) ? 1 : 3);
	if (i->in.address_width == 16)
		t = (t & 0xffff) | (rand_u32(&m->r) & 0xffff0000);
	return is_free(m, base) && pin(m, base, t);
}

/* Gives the registers that an instruction compares with memory the memory's value now and then. */
static void make_equal(struct making *m, const struct insn *i, u32 t)
{
	const u8 *p = NULL;
	u32 words[2];

	if (rand_below(&m->r, 5) < 3 || (m->written & 5))
		return;
	for (unsigned k = 0; k < PAGES; k++)
		if (t - page_address[k] < 4096 - 8)
			p = &m->g->pages[k][t - page_address[k]];
	if (!p)
		return;
	memcpy(words, p, 8);
	if (i->in.mnemonic == ZYDIS_MNEMONIC_CMPXCHG && is_free(m, 0))
		pin(m, 0, words[0]);
	if (i->in.mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B && is_free(m, 0) && is_free(m, 2)) {
		pin(m, 0, words[0]);
		pin(m, 2, words[1]);
	}
}

static bool solve_operands(struct making *m, struct insn *i)
{
	bool repeated = i->in.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);

	if (i->in.meta.category == ZYDIS_CATEGORY_STRINGOP && repeated) {
		u32 count = rand_below(&m->r, 8) ? rand_below(&m->r, 40) : rand_below(&m->r, 3000);

		if (i->in.address_width == 16)
			count |= rand_u32(&m->r) & 0xffff0000;
		if (!is_free(m, 1) || !pin(m, 1, count))
			return false;
	}
	for (unsigned k = 0; k < i->in.operand_count; k++) {
		const ZydisDecodedOperand *op = &i->ops[k];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.type != ZYDIS_MEMOP_TYPE_MEM)
			continue;
		u32 size = op->size ? op->size / 8u : 1, t = target(m, size > 512 ? 512 : size, i->in.address_width == 32);
		if (op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM && op->encoding != ZYDIS_OPERAND_ENCODING_DISP16_32_64) {
			if (!solve_implicit(m, i, op, t))
				return false;
			continue;
		}
		if (is_bit_string(i) && i->in.operand_width == 32) {
			unsigned n = number(i->ops[1].reg.value);
			u32 bits = rand_below(&m->r, 0x10000) - 0x8000;

			if (!is_free(m, n) || !pin(m, n, bits))
				return false;
			t = DATA + 0x2000 + rand_below(&m->r, 0x1000);
			if (i->in.address_width == 16)
				t = LOW + 0x800 + rand_below(&m->r, 0x1000);
		}
		if (i->in.address_width == 32)
			t = image_target(m, &i->in, t);
		make_equal(m, i, t);
		if (!solve(m, i, op, t))
			return false;
	}
	return true;
}

/* --- instructions --- */

static void note_written(struct making *m, const struct insn *i)
{
	for (unsigned k = 0; k < i->in.operand_count; k++) {
		const ZydisDecodedOperand *op = &i->ops[k];

		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		switch (ZydisRegisterGetClass(op->reg.value)) {
		case ZYDIS_REGCLASS_GPR8:
			m->written |= 1u << ((op->reg.value - ZYDIS_REGISTER_AL) & 3);
			break;
		case ZYDIS_REGCLASS_GPR16:
		case ZYDIS_REGCLASS_GPR32:
			/* Pushes and pops leave ESP where it is useful. */
			if (number(op->reg.value) != 4 || op->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)
				m->written |= 1u << number(op->reg.value);
			break;
		default:
			break;
		}
	}
	if (i->in.mnemonic == ZYDIS_MNEMONIC_POPAD || i->in.mnemonic == ZYDIS_MNEMONIC_POPA)
		m->written |= 0xef;
	if (i->in.mnemonic == ZYDIS_MNEMONIC_LEAVE || i->in.mnemonic == ZYDIS_MNEMONIC_ENTER)
		m->written |= 0x30;
}

static unsigned put_prefixes(struct making *m, const struct form *f, u8 *p)
{
	static const u8 segments[] = {0x3e, 0x26, 0x36, 0x2e};
	unsigned n = 0;

	if (rand_below(&m->r, 12) == 0)
		p[n++] = segments[rand_below(&m->r, 4)];
	if (m->g->low && rand_below(&m->r, 12) == 0)
		p[n++] = 0x67;
	if (f->code.memory && rand_below(&m->r, 6) == 0)
		p[n++] = 0xf0;
	if (rand_below(&m->r, 40) == 0)
		p[n++] = rand_below(&m->r, 2) ? 0xf2 : 0xf3;
	if (f->code.prefix)
		p[n++] = f->code.prefix;
	return n;
}

static unsigned put_operands(struct making *m, const struct form *f, u8 *p)
{
	unsigned n = 0;
	u32 immediates[2] = {value_integer(&m->r), value_integer(&m->r)};

	if (f->code.has_modrm) {
		if (!f->code.memory)
			p[n++] = f->code.fixed_rm ? f->code.modrm : (u8)(f->code.modrm | rand_below(&m->r, 8));
		else
			p[n++] = (u8)((f->code.modrm & 0x38) | rand_below(&m->r, 3) << 6 | rand_below(&m->r, 8));
		if (f->code.memory) {
			/* What is not a SIB byte counts as displacement or immediate. */
			u32 sib = rand_u32(&m->r);

			p[n++] = (u8)sib;
		}
	}
	memcpy(p + n, immediates, 8);
	return n + 8;
}

static bool make_insn(struct making *m, const struct form *f, struct insn *i)
{
	u32 pinned = m->pinned, regs[8];

	memcpy(regs, m->c->in.regs, sizeof(regs));
	for (unsigned tries = 0; tries < 20; tries++) {
		memset(i, 0, sizeof(*i));
		unsigned n = put_prefixes(m, f, i->bytes);
		n += opcode_put(i->bytes + n, &f->code);
		n += put_operands(m, f, i->bytes + n);
		if (decode(m->g, i, n > 15 ? 15 : n) && tested(i) && solve_operands(m, i) && decode(m->g, i, 15)) {
			note_written(m, i);
			return true;
		}
		m->pinned = pinned;
		memcpy(m->c->in.regs, regs, sizeof(regs));
	}
	return false;
}

static const struct form *any_form(struct making *m)
{
	const struct generator *g = m->g;
	u32 n;

	if (rand_below(&m->r, 2))
		return &g->forms[rand_below(&m->r, g->form_count)];
	/* All mnemonics alike, be they of one form or of hundreds. */
	n = rand_below(&m->r, g->group_count);
	return &g->forms[g->group[n] + rand_below(&m->r, g->group[n + 1] - g->group[n])];
}

static void append(struct test_case *c, const u8 *bytes, unsigned n)
{
	if (c->length + n > CODE_MAX)
		return;
	memcpy(c->code + c->length, bytes, n);
	c->length += n;
}

static void append_insn(struct making *m, const struct form *f)
{
	struct insn i;

	if (make_insn(m, f, &i))
		append(m->c, i.bytes, i.in.length);
}

/* In front of the instructions that a branch skips: its displacement is set once they are there. */
static void append_branch(struct making *m)
{
	struct test_case *c = m->c;
	u8 op[6] = {0};
	unsigned n, near = rand_below(&m->r, 10), start;

	if (near < 4) {
		op[0] = (u8)(0x70 | rand_below(&m->r, 16));
		n = 2;
	} else if (near < 7) {
		op[0] = 0x0f;
		op[1] = (u8)(0x80 | rand_below(&m->r, 16));
		n = 6;
	} else {
		/* LOOPNE, LOOPE, LOOP, JECXZ */
		op[0] = (u8)(0xe0 | rand_below(&m->r, 4));
		n = 2;
		if (!(m->pinned & 2) && !(m->written & 2) && rand_below(&m->r, 2))
			pin(m, 1, rand_below(&m->r, 3));
		m->written |= 2;
	}
	append(c, op, n);
	start = c->length;
	append_insn(m, any_form(m));
	if (start <= CODE_MAX - 16 && start >= n)
		c->code[start - (n == 2 ? 1 : 4)] = (u8)(c->length - start);
}

/* A backward loop of one instruction. */
static void append_loop(struct making *m)
{
	struct test_case *c = m->c;
	unsigned start = c->length;
	u8 op[2] = {(u8)(0xe0 | rand_below(&m->r, 3))};
	u32 written;

	if (!is_free(m, 1))
		return;
	pin(m, 1, 1 + rand_below(&m->r, 5));
	written = m->written;
	append_insn(m, any_form(m));
	if ((m->written & ~written & 2) || c->length > CODE_MAX - 16)
		return;
	op[1] = (u8)(start - c->length - 2);
	append(c, op, 2);
	m->written |= 2;
}

static void append_u32(struct test_case *c, u8 op, u32 x)
{
	u8 bytes[5] = {op, (u8)x, (u8)(x >> 8), (u8)(x >> 16), (u8)(x >> 24)};

	append(c, bytes, 5);
}

/* Calls, returns and indirect jumps, all to the place right behind them or a little farther. */
static void append_transfer(struct making *m)
{
	struct test_case *c = m->c;
	unsigned kind = rand_below(&m->r, 6), n = rand_below(&m->r, 8);
	u32 here = c->in.eip + c->length, skip = rand_below(&m->r, 3);
	static const u8 fill[3] = {0x90, 0x40, 0xf9};

	if (m->written & 0x10 || c->length > CODE_MAX - 24)
		return;
	switch (kind) {
	case 0: /* call +skip */
		append_u32(c, 0xe8, skip);
		break;
	case 1: /* push ; ret */
		append_u32(c, 0x68, here + 6 + skip);
		append(c, (const u8[]){0xc3}, 1);
		break;
	case 2: /* push ; ret n */
		append_u32(c, 0x68, here + 8 + skip);
		append(c, (const u8[]){0xc2, (u8)(n * 4), 0}, 3);
		break;
	case 3: /* mov reg, target ; jmp/call reg */
		append_u32(c, (u8)(0xb8 | n), here + 7 + skip);
		append(c, (const u8[]){0xff, (u8)((rand_below(&m->r, 2) ? 0xe0 : 0xd0) | n)}, 2);
		m->written |= 1u << n;
		break;
	case 4: /* push ; jmp/call [esp] */
		append_u32(c, 0x68, here + 8 + skip);
		append(c, (const u8[]){0xff, rand_below(&m->r, 2) ? 0x24 : 0x14, 0x24}, 3);
		break;
	default: /* jmp */
		append_u32(c, 0xe9, skip);
		break;
	}
	append(c, fill, skip);
	if (skip > 1)
		m->written |= 1;
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
	unsigned count;

	memset(c, 0, sizeof(*c));
	rand_seed(&m.r, g->seed ^ (n + 1) * 0x9e3779b97f4a7c15ull);
	make_state(&m);
	if (rand_below(&m.r, 4)) {
		append_insn(&m, any_form(&m));
		return;
	}
	count = 2 + rand_below(&m.r, 7);
	for (unsigned k = 0; k < count; k++) {
		switch (rand_below(&m.r, 8)) {
		case 0:
		case 1:
			append_branch(&m);
			break;
		case 2:
			append_loop(&m);
			break;
		case 3:
			append_transfer(&m);
			break;
		default:
			append_insn(&m, any_form(&m));
			break;
		}
	}
}
