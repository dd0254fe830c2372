/*
 * Instructions that read or load segment registers and descriptor tables: most of the seventeen of Robin & Irvine (USENIX Security 2000).
 *
 * Invariant: a handler raises before it commits. The segment state is baked into TUs, so a load of ES, SS or DS goes back to the
 * dispatcher; FS and GS are read from the vCPU by translated code, and a load of them goes on. LDTR, TR, GDTR and IDTR are looked up at
 * each use and never baked. UMIP is not offered: SGDT, SIDT, SLDT and STR answer at every CPL.
 */
#include "monitor/segment.h"

/* What is behind a load of segment register n. SS: the dispatcher sees to the interrupt shadow. */
static int loaded(struct vcpu *v, int n, bool changed)
{
	if (n != SEG_SS && (!changed || n == SEG_FS || n == SEG_GS))
		return EMU_NEXT;
	v->eip = v->next_eip;
	return EMU_EXIT;
}

static void require_cpl0(struct vcpu *v)
{
	if (v->cpl != 0)
		raise_error(v, EXC_GP, 0);
}

/* Instructions that only protected mode knows, SDM Vol. 3A 20.1.3 and 20.2.1. */
static void require_pe(struct vcpu *v)
{
	if (is_8086(v))
		raise_exception(v, EXC_UD);
}

static void set_zf(struct vcpu *v, bool on)
{
	if (on)
		v->hflags |= EFLAGS_ZF;
	else
		v->hflags &= ~(u64)EFLAGS_ZF;
}

/* Stores a selector: 16 bits to memory, zero-extended to the operand size into a register. */
static void store_selector(struct vcpu *v, const struct emu_insn *i, u32 sel)
{
	emu_rm_write(v, i, i->has_mem ? 2 : i->opsize, sel);
}

int emu_mov_from_seg(struct vcpu *v, const struct emu_insn *i)
{
	if (i->reg > SEG_GS)
		raise_exception(v, EXC_UD);
	store_selector(v, i, v->seg[i->reg].sel);
	return EMU_NEXT;
}

int emu_mov_to_seg(struct vcpu *v, const struct emu_insn *i)
{
	if (i->reg == SEG_CS || i->reg > SEG_GS)
		raise_exception(v, EXC_UD);
	bool changed = segment_load(v, i->reg, emu_rm_read(v, i, 2));
	if (i->reg == SEG_SS)
		v->shadow = SHADOW_MOV_SS;
	return loaded(v, i->reg, changed);
}

/* ESP moves by the width of the old SS, also for POP SS. */
int emu_pop_seg(struct vcpu *v, const struct emu_insn *i)
{
	u32 mask = i->stacksize == 2 ? 0xffff : 0xffffffffu;
	u32 esp = v->regs[REG_ESP];

	if (i->reg == SEG_CS || i->reg > SEG_GS)
		raise_exception(v, EXC_UD);
	bool changed = segment_load(v, i->reg, (u32)seg_read(v, SEG_SS, esp & mask, i->opsize));
	v->regs[REG_ESP] = sp_merge(esp, esp + i->opsize, mask);
	if (i->reg == SEG_SS)
		v->shadow = SHADOW_MOV_SS;
	return loaded(v, i->reg, changed);
}

/* LSS opens no interrupt shadow: it needs none, SS and ESP change at once. */
int emu_load_far_ptr(struct vcpu *v, const struct emu_insn *i)
{
	u32 sel, off = far_pointer_read(v, i, &sel);

	bool changed = segment_load(v, (int)i->imm2, sel);
	reg_set(v, i->reg, i->opsize, off);
	return loaded(v, (int)i->imm2, changed);
}

/*
 * The descriptor that the operand of LAR, LSL, VERR or VERW names, if this CPL and the selector's RPL may see it; system descriptors only
 * of the types in the bit set system_types.
 */
static bool visible_descriptor(struct vcpu *v, u32 sel, u32 system_types, struct descriptor *d)
{
	u32 attr;

	if (sel_is_null(sel) || !descriptor_lookup(v, sel, d))
		return false;
	attr = descriptor_attr(d);
	if (!(attr & SEG_S) && !(system_types & BIT(attr & SEG_TYPE)))
		return false;
	return attr_is_conforming(attr) || (attr_dpl(attr) >= v->cpl && attr_dpl(attr) >= (sel & SEL_RPL));
}

#define LSL_TYPES (BIT(DESC_TSS16_AVAIL) | BIT(DESC_LDT) | BIT(DESC_TSS16_BUSY) | BIT(DESC_TSS32_AVAIL) | BIT(DESC_TSS32_BUSY))
#define LAR_TYPES (LSL_TYPES | BIT(DESC_CALL16) | BIT(DESC_TASK_GATE) | BIT(DESC_CALL32))

/* Bits 16..19 of the result are undefined (SDM Vol. 2A); they are the descriptor's, as on current processors. */
int emu_lar(struct vcpu *v, const struct emu_insn *i)
{
	struct descriptor d;
	bool ok;

	require_pe(v);
	ok = visible_descriptor(v, emu_rm_read(v, i, 2), LAR_TYPES, &d);
	if (ok)
		reg_set(v, i->reg, i->opsize, d.hi & 0x00ffff00);
	set_zf(v, ok);
	return EMU_NEXT;
}

int emu_lsl(struct vcpu *v, const struct emu_insn *i)
{
	struct descriptor d;
	bool ok;

	require_pe(v);
	ok = visible_descriptor(v, emu_rm_read(v, i, 2), LSL_TYPES, &d);
	if (ok)
		reg_set(v, i->reg, i->opsize, segment_from_descriptor(0, &d).limit);
	set_zf(v, ok);
	return EMU_NEXT;
}

int emu_verr(struct vcpu *v, const struct emu_insn *i)
{
	struct descriptor d;

	require_pe(v);
	set_zf(v, visible_descriptor(v, emu_rm_read(v, i, 2), 0, &d) && attr_is_readable(descriptor_attr(&d)));
	return EMU_NEXT;
}

int emu_verw(struct vcpu *v, const struct emu_insn *i)
{
	struct descriptor d;

	require_pe(v);
	set_zf(v, visible_descriptor(v, emu_rm_read(v, i, 2), 0, &d) && attr_is_writable_data(descriptor_attr(&d)));
	return EMU_NEXT;
}

int emu_arpl(struct vcpu *v, const struct emu_insn *i)
{
	u32 sel, rpl = reg_get(v, i->reg, 2) & SEL_RPL;
	bool raise_rpl;

	require_pe(v);
	sel = emu_rm_read(v, i, 2);
	raise_rpl = (sel & SEL_RPL) < rpl;
	if (raise_rpl)
		emu_rm_write(v, i, 2, (sel & ~SEL_RPL) | rpl);
	set_zf(v, raise_rpl);
	return EMU_NEXT;
}

/* The descriptor of an LDT or TSS: it must lie in the GDT, be of one of the types in the set, and be present. */
static void fetch_system(struct vcpu *v, u32 sel, u32 types, struct descriptor *d)
{
	u32 attr;

	if (sel & SEL_TI)
		raise_error(v, EXC_GP, sel_error(sel, 0));
	descriptor_fetch(v, sel, EXC_GP, 0, d);
	attr = descriptor_attr(d);
	if (attr & SEG_S || !(types & BIT(attr & SEG_TYPE)))
		raise_error(v, EXC_GP, sel_error(sel, 0));
	if (!(attr & SEG_P))
		raise_error(v, EXC_NP, sel_error(sel, 0));
}

int emu_lldt(struct vcpu *v, const struct emu_insn *i)
{
	struct descriptor d;
	u32 sel;

	require_pe(v);
	require_cpl0(v);
	sel = emu_rm_read(v, i, 2);
	if (sel_is_null(sel)) {
		segment_set(v, SEG_LDTR, sel, 0, 0, SEG_UNUSABLE);
		return EMU_NEXT;
	}
	fetch_system(v, sel, BIT(DESC_LDT), &d);
	v->seg[SEG_LDTR] = segment_from_descriptor(sel, &d);
	return EMU_NEXT;
}

int emu_ltr(struct vcpu *v, const struct emu_insn *i)
{
	struct descriptor d;
	u32 sel;

	require_pe(v);
	require_cpl0(v);
	sel = emu_rm_read(v, i, 2);
	if (sel_is_null(sel))
		raise_error(v, EXC_GP, 0);
	fetch_system(v, sel, BIT(DESC_TSS16_AVAIL) | BIT(DESC_TSS32_AVAIL), &d);
	d.hi |= (u32)(DESC_TSS16_BUSY ^ DESC_TSS16_AVAIL) << 8;
	lin_write(v, d.linear + 5, d.hi >> 8 & 0xff, 1, 0);
	v->seg[SEG_TR] = segment_from_descriptor(sel, &d);
	return EMU_NEXT;
}

/* With a 16-bit operand size only 24 bits of the base count. */
static int load_table(struct vcpu *v, const struct emu_insn *i, struct table_register *t)
{
	u16 image[3];
	u32 linear;

	require_cpl0(v);
	linear = seg_linear(v, i->seg, emu_ea(v, i), sizeof(image), ACC_READ);
	lin_read_buf(v, linear, image, sizeof(image), acc_cpl(v));
	t->limit = image[0];
	t->base = image[1] | (u32)image[2] << 16;
	if (i->opsize == 2)
		t->base &= 0xffffff;
	return EMU_NEXT;
}

int emu_lgdt(struct vcpu *v, const struct emu_insn *i)
{
	return load_table(v, i, &v->gdtr);
}

int emu_lidt(struct vcpu *v, const struct emu_insn *i)
{
	return load_table(v, i, &v->idtr);
}
