/*
 * The addresses of memory operands, see making.h.
 */
#include <string.h>

#include "tests/diff/making.h"

static u32 *reg(struct making *m, unsigned n)
{
	return &m->c->in.regs[n];
}

bool is_free(const struct making *m, unsigned n)
{
	return !((m->pinned | m->written) & 1u << n);
}

bool pin(struct making *m, unsigned n, u32 value)
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

unsigned reg_number(ZydisRegister r)
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
	int base = op->mem.base == ZYDIS_REGISTER_NONE ? -1 : (int)reg_number(op->mem.base);
	int index = op->mem.index == ZYDIS_REGISTER_NONE ? -1 : (int)reg_number(op->mem.index);

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
	unsigned base = reg_number(op->mem.base);

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

static u32 segment_base(ZydisRegister segment)
{
	return segment == ZYDIS_REGISTER_FS ? FS_BASE : segment == ZYDIS_REGISTER_GS ? GS_BASE : 0;
}

bool solve_operands(struct making *m, struct insn *i)
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
			if (!solve_implicit(m, i, op, t - segment_base(op->mem.segment)))
				return false;
			continue;
		}
		if (is_bit_string(i) && i->in.operand_width == 32) {
			unsigned n = reg_number(i->ops[1].reg.value);
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
		t -= segment_base(op->mem.segment);
		if (!solve(m, i, op, t))
			return false;
	}
	return true;
}
