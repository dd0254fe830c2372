/*
 * Memory operands in the checked flavour, and the re-emission of ordinary instructions (IDENT) for 64-bit mode.
 *
 * An access of n bytes is, flag-free and branch-free but for the miss:
 *
 *	lea   r8d, [ea]			; offset; + segment base unless the segment is flat
 *	lea   r9, [r8 + n - 1]
 *	shrx  r9, r9, r12		; page of the last byte
 *	shrx  r10d, r8d, r12d		; page of the first
 *	lea   r9d, [r9 + r10]		; 2p, or 2p + 1 if it crosses into the next page
 *	mov   r10, rcx
 *	mov   rcx, [r13 + r9*8]		; (+ MMU_WRITE_OFFSET) the delta, 0 for a miss
 *	jrcxz 1f			; JRCXZ reaches 127 bytes, the cold stub is farther: so it lands in the middle of
 *	nop   [rcx + rbp*8 + disp32]	; ... this NOP, whose SIB byte and displacement are `1: jmp cold` (E9 rel32)
 *	mov   r9, rcx
 *	mov   rcx, r10
 *	op    ..., [r9 + r8]
 *
 * The guest's state is untouched until `op`, so every fault is precise.
 */
#include "shadowpt/softmmu.h"
#include "shadowpt/window.h"
#include "translator/emit.h"

unsigned gpr_number(ZydisRegister r)
{
	if (is_gpr32(r))
		return (unsigned)(r - ZYDIS_REGISTER_EAX);
	return is_gpr16(r) ? (unsigned)(r - ZYDIS_REGISTER_AX) : (unsigned)ZydisRegisterGetId(r);
}

unsigned seg_number(ZydisRegister r)
{
	switch (r) {
	case ZYDIS_REGISTER_ES:
		return SEG_ES;
	case ZYDIS_REGISTER_CS:
		return SEG_CS;
	case ZYDIS_REGISTER_SS:
		return SEG_SS;
	case ZYDIS_REGISTER_FS:
		return SEG_FS;
	case ZYDIS_REGISTER_GS:
		return SEG_GS;
	default:
		return SEG_DS;
	}
}

const ZydisDecodedOperand *explicit_mem(const struct xlate *x)
{
	for (unsigned i = 0; i < x->in.operand_count; i++) {
		const ZydisDecodedOperand *op = &x->ops[i];
		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			return op;
	}
	return NULL;
}

/* A branch on rcx == 0 to a cold stub (see above); rcx was saved in r10. */
static u32 emit_jrcxz_cold(struct xlate *x)
{
	EB(x, 0xe3, 0x03, 0x0f, 0x1f, 0x84, 0xe9);
	e4(x, 0);
	return here(x) - 4;
}

bool is_flat(const struct xlate *x, unsigned seg, u32 dir)
{
	return seg <= SEG_DS && (x->mode & MODE_FLAT(seg)) && !(seg == SEG_CS && (dir & ACCESS_WRITE));
}

/* x87 and MMX instructions that report a pending x87 exception. */
static bool waits_for_x87(const struct xlate *x)
{
	if (x->in.meta.isa_ext == ZYDIS_ISA_EXT_BASE)
		return false;
	switch (x->in.mnemonic) {
	case ZYDIS_MNEMONIC_FNSTCW:
	case ZYDIS_MNEMONIC_FNSTSW:
		return false;
	default:
		break;
	}
	for (unsigned i = 0; i < x->in.operand_count; i++)
		if (x->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && is_mmx(x->ops[i].reg.value))
			return true;
	return is_x87(&x->in);
}

/*
 * rcx = 0 if a check is needed; it was saved in r10. low: r8d is not above FFFFh, so that 64 KiB of a segment will do, unless the access
 * runs past them:
 *	lea   r9d, [r8 + size - 1]
 *	rorx  r9d, r9d, 16		; its low five bits: 1 past FFFFh, else 0
 *	shrx  ecx, [r14 + low_read], r9d
 */
static void emit_segment_word(struct xlate *x, size_t segment, u32 size, u32 dir, bool low)
{
	size_t full = dir & ACCESS_WRITE ? offsetof(struct segment, full_write) : offsetof(struct segment, full_read);
	if (low)
		full = dir & ACCESS_WRITE ? offsetof(struct segment, low_write) : offsetof(struct segment, low_read);
	if (low && size > 1) {
		emit_lea32(x, R9, R8, NO_REG, 1, (s32)size - 1);
		EB(x, 0xc4, 0x43, 0x7b, 0xf0, 0xc9, 0x10); /* rorx r9d, r9d, 16 */
	}
	EB(x, 0x49, 0x89, 0xca); /* mov r10, rcx */
	if (low && size > 1) {
		EB(x, 0xc4, 0xc2, 0x33, 0xf7); /* shrx ecx, [r14 + ...], r9d */
		emit_mem(x, RCX, R14, NO_REG, 1, (s32)(segment + full));
	} else {
		emit_load_v(x, RCX, segment + full);
	}
}

void emit_segment(struct xlate *x, unsigned seg, unsigned slot, u32 size, u32 dir, bool low)
{
	cur_insn(x)->access[slot] = (u16)(size | dir | seg << ACCESS_SEG_SHIFT);
	x->ref = (struct ref){true, R8, NO_REG, 1, 0};
	if (is_flat(x, seg, dir))
		return;
	size_t s = offsetof(struct vcpu, seg) + seg * sizeof(struct segment);
	emit_segment_word(x, s, size, dir, low);
	struct cold *c = new_cold(x, COLD_SEG);
	c->slot = (u8)slot;
	c->waits = waits_for_x87(x);
	c->site = emit_jrcxz_cold(x);
	EB(x, 0x4c, 0x89, 0xd1); /* mov rcx, r10 */
	emit_load_v(x, R9, s + offsetof(struct segment, base));
	emit_lea32(x, R8, R8, R9, 1, 0);
	c->op_end = here(x);
}

void emit_linear(struct xlate *x, const ZydisDecodedOperand *op, unsigned slot, u32 size, u32 dir)
{
	unsigned base = op->mem.base != ZYDIS_REGISTER_NONE ? host_reg(gpr_number(op->mem.base)) : NO_REG;
	unsigned index = op->mem.index != ZYDIS_REGISTER_NONE ? host_reg(gpr_number(op->mem.index)) : NO_REG;
	unsigned scale = op->mem.scale ? op->mem.scale : 1, seg = seg_number(op->mem.segment);
	s32 disp = (op->mem.disp.has_displacement ? (s32)op->mem.disp.value : 0) + (base == R15 ? x->esp_off : 0);
	bool wide = x->in.address_width == 32;
	if (x->direct && wide && is_flat(x, seg, dir)) {
		cur_insn(x)->access[slot] = (u16)(size | dir | seg << ACCESS_SEG_SHIFT);
		x->ref = (struct ref){true, (u8)base, (u8)index, (u8)scale, disp};
		return;
	}
	if (base == NO_REG && index == NO_REG) {
		emit_mov_imm(x, R8, wide ? (u32)disp : (u32)disp & 0xffff);
	} else {
		emit_lea32(x, R8, base, index, scale, disp);
		if (!wide)
			emit_movzx16(x, R8, R8);
	}
	emit_segment(x, seg, slot, size, dir, !wide);
}

void emit_stack_linear(struct xlate *x, unsigned reg, s32 n, unsigned slot, u32 size, u32 dir)
{
	if (reg == R15)
		n += x->esp_off;
	if (x->direct && (x->mode & MODE_SS32) && is_flat(x, SEG_SS, dir)) {
		cur_insn(x)->access[slot] = (u16)(size | dir | SEG_SS << ACCESS_SEG_SHIFT);
		x->ref = (struct ref){true, (u8)reg, NO_REG, 1, n};
		return;
	}
	emit_lea32(x, R8, reg, NO_REG, 1, n);
	if (!(x->mode & MODE_SS32))
		emit_movzx16(x, R8, R8);
	emit_segment(x, SEG_SS, slot, size, dir, !(x->mode & MODE_SS32));
}

struct cold *begin_access(struct xlate *x, unsigned slot)
{
	u32 info = cur_insn(x)->access[slot], n = ACCESS_SIZE(info);
	bool write = info & ACCESS_WRITE;
	if (x->direct)
		return NULL;
	x->ref = (struct ref){false, R9, R8, 1, 0};
	if (n == 1) {
		EB(x, 0xc4, 0x42, 0x1b, 0xf7, 0xc8); /* shrx r9d, r8d, r12d */
		EB(x, 0x47, 0x8d, 0x0c, 0x09);	     /* lea r9d, [r9 + r9] */
	} else {
		emit_op_mem(x, true, 0x8d, R9, R8, NO_REG, 1, (s32)n - 1);
		EB(x, 0xc4, 0x42, 0x9b, 0xf7, 0xc9); /* shrx r9, r9, r12 */
		EB(x, 0xc4, 0x42, 0x1b, 0xf7, 0xd0); /* shrx r10d, r8d, r12d */
		EB(x, 0x47, 0x8d, 0x0c, 0x11);	     /* lea r9d, [r9 + r10] */
	}
	EB(x, 0x49, 0x89, 0xca); /* mov r10, rcx */
	if (write) {
		EB(x, 0x4b, 0x8b, 0x8c, 0xcd); /* mov rcx, [r13 + r9*8 + disp32] */
		e4(x, MMU_WRITE_OFFSET);
	} else {
		EB(x, 0x4b, 0x8b, 0x4c, 0xcd, 0x00); /* mov rcx, [r13 + r9*8] */
	}
	struct cold *c = new_cold(x, write ? COLD_WRITE : COLD_READ);
	c->slot = (u8)slot;
	c->site = emit_jrcxz_cold(x);
	EB(x, 0x49, 0x89, 0xc9); /* mov r9, rcx */
	EB(x, 0x4c, 0x89, 0xd1); /* mov rcx, r10 */
	c->op_start = here(x);
	return c;
}

void end_access(struct xlate *x, struct cold *c)
{
	if (c)
		c->op_end = here(x);
}

/* What the guest's registers hold is zero-extended; a displacement is sign-extended. */
static bool may_leave_window(const struct ref *ref)
{
	if (ref->index != NO_REG)
		return true;
	return ref->base == NO_REG ? ref->disp < 0 : ref->disp < -WINDOW_REACH || ref->disp > WINDOW_REACH;
}

static void emit_window_prefix(struct xlate *x)
{
	if (!x->ref.window)
		return;
	e1(x, 0x65);
	if (may_leave_window(&x->ref))
		e1(x, 0x67);
}

static unsigned ref_rex(const struct xlate *x, unsigned reg)
{
	return rex_bits(reg, x->ref.base, x->ref.index);
}

static void emit_ref(struct xlate *x, unsigned reg)
{
	emit_mem(x, reg, x->ref.base, x->ref.index, x->ref.scale, x->ref.disp);
}

void emit_op_ref(struct xlate *x, bool p66, u8 map, u8 opcode, unsigned reg)
{
	unsigned rex = ref_rex(x, reg);
	emit_window_prefix(x);
	if (p66)
		e1(x, 0x66);
	if (rex)
		e1(x, 0x40 | rex);
	if (map)
		e1(x, map);
	e1(x, opcode);
	emit_ref(x, reg);
}

void emit_load(struct xlate *x, unsigned reg, unsigned size)
{
	if (size == 2)
		emit_op_ref(x, false, 0x0f, 0xb7, reg);
	else
		emit_op_ref(x, false, 0, 0x8b, reg);
}

/* Everything about the guest's encoding that survives into the host's. */
struct encoding {
	bool lock, osz;
	u8 mandatory; /* f2, f3 or 0 */
	u8 rex;
	u8 modrm;
	u8 opcode;
	unsigned high;			/* AH..BH operand: register number 4..7, else 0 */
	bool high_written, high_in_reg; /* is it written; is it ModRM.reg (else ModRM.rm) */
};

static void analyse(const struct xlate *x, bool mem, struct encoding *e)
{
	const ZydisDecodedInstruction *in = &x->in;
	e->lock = in->attributes & ZYDIS_ATTRIB_HAS_LOCK;
	e->opcode = in->opcode;
	e->modrm = (u8)(in->raw.modrm.mod << 6 | in->raw.modrm.reg << 3 | in->raw.modrm.rm);
	bool word = false;
	for (unsigned i = 0; i < in->operand_count; i++) {
		const ZydisDecodedOperand *op = &x->ops[i];
		/* FLAGS, of which there are 16 bits in 16-bit code, is no operand that 66 is for: it would make COMISS a COMISD. */
		word |= op->size == 16 && !(op->type == ZYDIS_OPERAND_TYPE_REGISTER && is_flags(op->reg.value));
		if (op->type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		if (is_gpr8(op->reg.value) && op->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			if (op->reg.value >= ZYDIS_REGISTER_AH && op->reg.value <= ZYDIS_REGISTER_BH) {
				e->high = (unsigned)(op->reg.value - ZYDIS_REGISTER_AH) + 4;
				e->high_in_reg = op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_REG;
				e->high_written |= (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
			}
			continue;
		}
		if (op->reg.value != ZYDIS_REGISTER_ESP && op->reg.value != ZYDIS_REGISTER_SP)
			continue;
		/* The guest's ESP is r15. */
		switch (op->encoding) {
		case ZYDIS_OPERAND_ENCODING_MODRM_REG:
			e->rex |= 0x44;
			e->modrm |= 7 << 3;
			break;
		case ZYDIS_OPERAND_ENCODING_MODRM_RM:
			e->rex |= 0x41;
			e->modrm |= 7;
			break;
		case ZYDIS_OPERAND_ENCODING_OPCODE:
			e->rex |= 0x41;
			e->opcode |= 7;
			break;
		default:
			break;
		}
	}
	bool mandatory66 = false;
	for (unsigned i = 0; i < in->raw.prefix_count; i++) {
		if (in->raw.prefixes[i].type != ZYDIS_PREFIX_TYPE_MANDATORY)
			continue;
		if (in->raw.prefixes[i].value == 0x66)
			mandatory66 = true;
		else
			e->mandatory = in->raw.prefixes[i].value;
	}
	e->osz = mandatory66 || (in->operand_width == 16 && word);
	if (mem && ref_rex(x, 0))
		e->rex |= 0x40 | ref_rex(x, 0);
}

static void emit_encoding(struct xlate *x, const struct encoding *e, bool mem)
{
	if (mem)
		emit_window_prefix(x);
	if (e->lock)
		e1(x, 0xf0);
	if (e->osz)
		e1(x, 0x66);
	if (e->mandatory)
		e1(x, e->mandatory);
	if (e->rex)
		e1(x, e->rex);
	switch (x->in.opcode_map) {
	case ZYDIS_OPCODE_MAP_0F:
		e1(x, 0x0f);
		break;
	case ZYDIS_OPCODE_MAP_0F38:
		e1(x, 0x0f);
		e1(x, 0x38);
		break;
	case ZYDIS_OPCODE_MAP_0F3A:
		e1(x, 0x0f);
		e1(x, 0x3a);
		break;
	default:
		break;
	}
	e1(x, e->opcode);
	if (x->in.attributes & ZYDIS_ATTRIB_HAS_MODRM) {
		if (mem)
			emit_ref(x, e->modrm >> 3);
		else
			e1(x, e->modrm);
	}
	for (unsigned i = 0; i < 2; i++)
		for (unsigned k = 0; k < x->in.raw.imm[i].size / 8; k++)
			e1(x, x->bytes[x->in.raw.imm[i].offset + k]);
}

void emit_ident(struct xlate *x, bool mem)
{
	struct encoding e = {0};
	analyse(x, mem, &e);
	/* 40..4F (INC, DEC) are REX prefixes in 64-bit mode; 82 does not exist there. */
	if (x->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (x->in.opcode & 0xf0) == 0x40) {
		unsigned r = host_reg(x->in.opcode & 7);
		if (x->in.operand_width == 16)
			e1(x, 0x66);
		if (r >= 8)
			e1(x, 0x41);
		e1(x, 0xff);
		e1(x, 0xc0 | (x->in.opcode & 8) | (r & 7));
		return;
	}
	if (x->in.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && x->in.opcode == 0x82)
		e.opcode = 0x80;
	if (!e.high || !e.rex) {
		emit_encoding(x, &e, mem);
		return;
	}
	/*
	 * AH CH DH BH do not exist beside a REX prefix: r11b stands for one. The guest's register changes behind the instruction, which may
	 * fault: rorx r11d, low, 8 ; op with r11b ; (if it is written) xchg low8, high8 ; mov low8, r11b ; xchg low8, high8
	 */
	unsigned low = e.high - 4;
	u32 swap = 0xc0 | e.high << 3 | low;
	EB(x, 0xc4, 0x63, 0x7b, 0xf0);
	e1(x, 0xd8 | low);
	e1(x, 8);
	if (e.high_in_reg) {
		e.rex |= 0x44;
		e.modrm = (u8)((e.modrm & ~0x38) | 3 << 3);
	} else {
		e.rex |= 0x41;
		e.modrm = (u8)((e.modrm & ~7) | 3);
	}
	emit_encoding(x, &e, mem);
	if (!e.high_written)
		return;
	e1(x, 0x86);
	e1(x, swap);
	EB(x, 0x44, 0x88);
	e1(x, 0xd8 | low);
	e1(x, 0x86);
	e1(x, swap);
}

static bool is_bit_string(const struct xlate *x)
{
	switch (x->in.mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		return x->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER;
	default:
		return false;
	}
}

/*
 * BT and friends with a register bit offset reach beyond their operand (SDM Vol. 2A 3.1.1.9, figure 3-2):
 *	mov   r10d, 5 ; sarx r9d, reg, r10d ; lea r8d, [r8 + r9*4]	(16 bits: movsx r9d, reg16; 4; *2)
 *	pext  r11d, reg, [mask31]
 *	op    [r9 + r8], r11d
 */
static void lower_bit_string(struct xlate *x, const ZydisDecodedOperand *mem, u32 dir)
{
	bool wide = x->in.operand_width == 32;
	unsigned reg = host_reg(gpr_number(x->ops[1].reg.value));
	unsigned base = mem->mem.base != ZYDIS_REGISTER_NONE ? host_reg(gpr_number(mem->mem.base)) : NO_REG;
	unsigned index = mem->mem.index != ZYDIS_REGISTER_NONE ? host_reg(gpr_number(mem->mem.index)) : NO_REG;
	s32 disp = mem->mem.disp.has_displacement ? (s32)mem->mem.disp.value : 0;
	emit_lea32(x, R8, base, index, mem->mem.scale ? mem->mem.scale : 1, disp);
	emit_mov_imm(x, R10, wide ? 5 : 4);
	unsigned src = reg;
	if (!wide) {
		/* movsx r9d, reg16 */
		e1(x, 0x40 | rex_bits(R9, reg, NO_REG));
		e1(x, 0x0f);
		e1(x, 0xbf);
		e1(x, 0xc0 | (R9 & 7) << 3 | (reg & 7));
		src = R9;
	}
	/* sarx r9d, src, r10d: VEX.LZ.F3.0F38.W0 F7 /r */
	e1(x, 0xc4);
	e1(x, 0x42 | (src >= 8 ? 0 : 0x20));
	e1(x, (~R10 & 15) << 3 | 2);
	e1(x, 0xf7);
	e1(x, 0xc0 | (R9 & 7) << 3 | (src & 7));
	emit_lea32(x, R8, R8, R9, wide ? 4 : 2, 0);
	if (x->in.address_width == 16)
		emit_movzx16(x, R8, R8);
	emit_segment(x, seg_number(mem->mem.segment), 0, wide ? 4 : 2, dir, x->in.address_width == 16);
	emit_pext_v(x, false, R11, reg, wide ? offsetof(struct vcpu, mask31) : offsetof(struct vcpu, mask15));
	struct cold *c = begin_access(x, 0);
	if (x->in.attributes & ZYDIS_ATTRIB_HAS_LOCK)
		e1(x, 0xf0);
	emit_op_ref(x, !wide, 0x0f, x->in.opcode, R11);
	end_access(x, c);
}

/* x87 instructions but the control ones leave their operand's address in FDP (SDM Vol. 1 8.1.8); kept as a linear address. */
static bool records_data_pointer(const struct xlate *x)
{
	switch (x->in.mnemonic) {
	case ZYDIS_MNEMONIC_FLDCW:
	case ZYDIS_MNEMONIC_FNSTCW:
	case ZYDIS_MNEMONIC_FNSTSW:
		return false;
	default:
		return is_x87(&x->in);
	}
}

/* Of the 16-byte operands all but these must be aligned (SDM Vol. 1 10.4.1.1). */
static bool needs_alignment(const struct xlate *x, const ZydisDecodedOperand *mem)
{
	switch (x->in.mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return false;
	default:
		return mem->size == 128;
	}
}

void lower_generic(struct xlate *x)
{
	const ZydisDecodedOperand *mem = explicit_mem(x);
	if (!mem || mem->mem.type != ZYDIS_MEMOP_TYPE_MEM) {
		emit_ident(x, false);
		return;
	}
	u32 dir = (mem->actions & ZYDIS_OPERAND_ACTION_MASK_READ ? ACCESS_READ : 0) |
		  (mem->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE ? ACCESS_WRITE : 0);
	/* A conditional write (CMPXCHG) writes the old value back otherwise. */
	if (mem->actions & ZYDIS_OPERAND_ACTION_CONDWRITE)
		dir |= ACCESS_READ;
	/* An x87 store does not happen if it raises an unmasked exception: a bounce buffer must have the old value. */
	if (is_x87(&x->in))
		dir |= ACCESS_READ;
	if (is_bit_string(x)) {
		lower_bit_string(x, mem, dir);
		return;
	}
	emit_linear(x, mem, 0, mem->size / 8, dir);
	struct cold *c = begin_access(x, 0);
	if (c) {
		c->waits = waits_for_x87(x);
		c->aligned = needs_alignment(x, mem);
	}
	emit_ident(x, true);
	end_access(x, c);
	if (records_data_pointer(x)) {
		if (x->ref.window)
			emit_lea32(x, R8, x->ref.base, x->ref.index, x->ref.scale, x->ref.disp);
		emit_store_v(x, R8, offsetof(struct vcpu, fpu_dp));
	}
}
