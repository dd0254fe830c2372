/*
 * Lowering of the string instructions: as themselves in a window, one element by one or two accesses elsewhere, by callout the rest.
 *
 * Invariant: ESI, EDI and EAX change behind the last access that can fault.
 */
#include "translator/emit.h"

/* Strings, by the opcode's bits 1..3: A4..A7, AA..AF. */
static emu_fn *string_handler(u8 opcode)
{
	static emu_fn *const handlers[8] = {NULL, NULL, emu_movs, emu_cmps, NULL, emu_stos, emu_lods, emu_scas};
	return handlers[opcode >> 1 & 7];
}

/* ESI's or EDI's offset, through its segment; the access is begun. */
static struct cold *begin_string(struct xlate *x, unsigned reg, unsigned seg, unsigned slot, u32 dir)
{
	bool wide = x->in.address_width == 32;
	if (wide)
		emit_mov(x, false, R8, reg);
	else
		emit_movzx16(x, R8, reg);
	emit_segment(x, seg, slot, x->in.operand_width / 8u, dir, !wide);
	return begin_access(x, slot);
}

/* reg += r11d * size, in the instruction's address size. */
static void emit_advance(struct xlate *x, unsigned reg, unsigned size)
{
	if (x->in.address_width == 32) {
		emit_lea32(x, reg, reg, R11, size, 0);
		return;
	}
	emit_lea32(x, R8, reg, R11, size, 0);
	emit_mov16(x, reg, R8);
}

/*
 * One element, where the host's own instruction cannot be had:
 *	(accesses)
 *	mov r11d, [r14 + step] ; lea esi, [rsi + r11 * size]
 */
static void emit_string(struct xlate *x, emu_fn *handler, unsigned seg)
{
	u32 size = x->in.operand_width / 8u;
	bool narrow = size == 2, src = handler == emu_movs || handler == emu_cmps || handler == emu_lods, dst = handler != emu_lods;
	u8 byte = size == 1 ? 0 : 1;
	unsigned reg = handler == emu_stos || handler == emu_scas || handler == emu_lods ? REG_EAX : R11;
	if (src) {
		struct cold *c = begin_string(x, REG_ESI, seg, 0, ACCESS_READ);
		if (reg == REG_EAX)
			emit_op_ref(x, narrow, 0, 0x8a | byte, reg);
		else if (size == 1)
			emit_op_ref(x, false, 0x0f, 0xb6, reg); /* movzx r11d, byte */
		else
			emit_load(x, reg, size);
		end_access(x, c);
	}
	if (dst) {
		bool write = handler == emu_movs || handler == emu_stos;
		struct cold *c = begin_string(x, REG_EDI, SEG_ES, 1, write ? ACCESS_WRITE : ACCESS_READ);
		emit_op_ref(x, narrow, 0, (write ? 0x88 : 0x3a) | byte, reg);
		end_access(x, c);
	}
	emit_load_v(x, R11, offsetof(struct vcpu, step));
	if (src)
		emit_advance(x, REG_ESI, size);
	if (dst)
		emit_advance(x, REG_EDI, size);
}

/*
 * In a window the host's own string instruction runs, on biased addresses:
 *	mov r11, [window_base] ; lea rsi, [r11 + rsi] ; lea rdi, [r11 + rdi]
 *	(rep) movs
 *	mov esi, esi ; mov edi, edi
 * A window is 4 GiB-aligned, so ESI and EDI are right at every moment, also when it faults half-way; guards on both sides end what would
 * leave it.
 */
void lower_string(struct xlate *x)
{
	emu_fn *handler = string_handler(x->in.opcode);
	bool src = handler == emu_movs || handler == emu_cmps || handler == emu_lods, dst = handler != emu_lods;
	bool write = handler == emu_movs || handler == emu_stos;
	u32 size = x->in.operand_width / 8u;
	unsigned seg = SEG_DS;
	for (unsigned i = 0; i < x->in.operand_count; i++)
		if (x->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && gpr_number(x->ops[i].mem.base) == REG_ESI)
			seg = seg_number(x->ops[i].mem.segment);
	bool rep = x->in.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
	bool flat = x->in.address_width == 32 && (!src || (seg <= SEG_DS && (x->mode & MODE_FLAT(seg)))) &&
		    (!dst || (x->mode & MODE_FLAT(SEG_ES)));
	if (x->mode & MODE_SINGLE || (rep && !(x->direct && flat))) {
		emit_callout(x, handler, false);
		return;
	}
	if (!x->direct || !flat) {
		emit_string(x, handler, seg);
		return;
	}
	if (src)
		cur_insn(x)->access[0] = (u16)(size | ACCESS_READ | seg << ACCESS_SEG_SHIFT);
	if (dst)
		cur_insn(x)->access[1] = (u16)(size | (write ? ACCESS_WRITE : ACCESS_READ) | SEG_ES << ACCESS_SEG_SHIFT);
	emit_op_mem(x, true, 0x8b, R11, R14, NO_REG, 1, offsetof(struct vcpu, window_base));
	if (src)
		emit_op_mem(x, true, 0x8d, REG_ESI, R11, REG_ESI, 1, 0);
	if (dst)
		emit_op_mem(x, true, 0x8d, REG_EDI, R11, REG_EDI, 1, 0);
	if (x->in.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		e1(x, 0xf3);
	else if (x->in.attributes & ZYDIS_ATTRIB_HAS_REPNE)
		e1(x, 0xf2);
	if (size == 2)
		e1(x, 0x66);
	e1(x, x->in.opcode);
	if (src)
		emit_mov(x, false, REG_ESI, REG_ESI);
	if (dst)
		emit_mov(x, false, REG_EDI, REG_EDI);
}
