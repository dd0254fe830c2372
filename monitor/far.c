/*
 * Far control transfers of protected mode: CALL, JMP and RET far, call gates, IRET, INT, SYSENTER and SYSEXIT (SDM Vol. 3A 5.8, Vol. 2
 * under each instruction). Those of real and virtual-8086 mode are in real.c, task switches in task.c.
 *
 * Every handler changes CS, so all return EMU_EXIT with v->eip at the target. Invariant: see segment.h, nothing is committed before the
 * last check and the last access that can fault.
 */
#include "monitor/segment.h"

/* Attributes that SYSENTER and SYSEXIT give CS and SS without reading a descriptor; the DPL is added. */
#define FLAT_CODE (SEG_TYPE_CODE | SEG_TYPE_R | SEG_TYPE_A | SEG_S | SEG_P | SEG_DB | SEG_G)
#define FLAT_DATA (SEG_TYPE_W | SEG_TYPE_A | SEG_S | SEG_P | SEG_DB | SEG_G)

static void check_eip(struct vcpu *v, const struct segment *cs, u32 eip)
{
	if (unlikely(eip > cs->limit))
		raise_error(v, EXC_GP, 0);
}

static void check_present(struct vcpu *v, u32 attr, u32 sel)
{
	if (unlikely(!(attr & SEG_P)))
		raise_error(v, EXC_NP, sel_error(sel, 0));
}

/* The last step of a transfer. cs: NULL if it is there already. */
static int enter_cs(struct vcpu *v, const struct segment *cs, u32 eip, u32 esp)
{
	if (cs)
		segment_commit(&v->seg[SEG_CS], cs);
	v->regs[REG_ESP] = esp;
	v->eip = eip;
	return EMU_EXIT;
}

/* ---- CALL and JMP ---- */

/* To a code segment whose privilege has been checked, in this ring. size: of the pushed return address; 0 for JMP. */
static int go_same(struct vcpu *v, u32 sel, const struct descriptor *d, u32 eip, unsigned size)
{
	bool loaded = segment_is_loaded(v, SEG_CS, (sel & ~SEL_RPL) | v->cpl, d);
	u32 items[2] = {v->next_eip, v->seg[SEG_CS].sel};
	u32 esp = v->regs[REG_ESP];
	struct segment cs;

	if (likely(loaded)) {
		check_eip(v, &v->seg[SEG_CS], eip);
	} else {
		cs = segment_from_descriptor((sel & ~SEL_RPL) | v->cpl, d);
		check_present(v, descriptor_attr(d), sel);
		check_eip(v, &cs, eip);
		descriptor_mark_accessed(v, d);
	}
	if (size)
		esp = stack_push(v, &v->seg[SEG_SS], esp, items, 2, size, acc_cpl(v), 0);
	return enter_cs(v, loaded ? NULL : &cs, eip, esp);
}

/* CALL through a gate into an inner ring: new stack from the TSS, parameters copied, SDM Vol. 3A 5.8.5. */
static int call_inner(struct vcpu *v, const struct descriptor *gate, u32 sel, const struct descriptor *d, unsigned size)
{
	u32 cpl = attr_dpl(descriptor_attr(d));
	struct segment cs = segment_from_descriptor((sel & ~SEL_RPL) | cpl, d);
	u32 eip = gate_offset(gate);
	u32 params = gate->hi & 0x1f;
	u32 items[STACK_ITEMS_MAX], esp;
	struct segment ss;

	check_present(v, descriptor_attr(d), sel);
	stack_from_tss(v, cpl, 0, &ss, &esp);
	items[0] = v->next_eip;
	items[1] = v->seg[SEG_CS].sel;
	if (params)
		stack_read(v, v->regs[REG_ESP], items + 2, params, size);
	items[2 + params] = v->regs[REG_ESP];
	items[3 + params] = v->seg[SEG_SS].sel;
	check_eip(v, &cs, eip);
	descriptor_mark_accessed(v, d);
	esp = stack_push(v, &ss, esp, items, 4 + params, size, 0, sel_error(ss.sel, 0));

	segment_commit(&v->seg[SEG_SS], &ss);
	cpl_set(v, cpl);
	return enter_cs(v, &cs, eip, esp);
}

/* The gate's own DPL, like that of a TSS, must not be below CPL or the selector's RPL. */
static void check_gate(struct vcpu *v, u32 attr, u32 sel)
{
	if (attr_dpl(attr) < v->cpl || attr_dpl(attr) < (sel & SEL_RPL))
		raise_error(v, EXC_GP, sel_error(sel, 0));
	check_present(v, attr, sel);
}

static int go_gate(struct vcpu *v, const struct descriptor *gate, bool call)
{
	unsigned size = gate->hi & 0x800 ? 4 : 2;
	u32 sel = gate_selector(gate);
	struct descriptor d;
	u32 attr, dpl;

	if (sel_is_null(sel))
		raise_error(v, EXC_GP, 0);
	descriptor_fetch(v, sel, EXC_GP, 0, &d);
	attr = descriptor_attr(&d);
	dpl = attr_dpl(attr);
	if (!attr_is_code(attr) || dpl > v->cpl)
		raise_error(v, EXC_GP, sel_error(sel, 0));
	if (dpl < v->cpl && !attr_is_conforming(attr)) {
		/* A JMP cannot change the privilege level. */
		if (!call)
			raise_error(v, EXC_GP, sel_error(sel, 0));
		return call_inner(v, gate, sel, &d, size);
	}
	return go_same(v, sel, &d, gate_offset(gate), call ? size : 0);
}

static int go_system(struct vcpu *v, u32 sel, const struct descriptor *d, bool call)
{
	u32 attr = descriptor_attr(d);

	switch (attr & SEG_TYPE) {
	case DESC_CALL16:
	case DESC_CALL32:
		check_gate(v, attr, sel);
		return go_gate(v, d, call);
	case DESC_TASK_GATE:
		check_gate(v, attr, sel);
		task_switch(v, gate_selector(d), call ? TASK_CALL : TASK_JMP, v->next_eip, vcpu_eflags(v), 0);
		return EMU_EXIT;
	case DESC_TSS16_AVAIL:
	case DESC_TSS32_AVAIL:
		check_gate(v, attr, sel);
		task_switch(v, sel, call ? TASK_CALL : TASK_JMP, v->next_eip, vcpu_eflags(v), 0);
		return EMU_EXIT;
	default:
		raise_error(v, EXC_GP, sel_error(sel, 0));
	}
}

static int go_far(struct vcpu *v, u32 sel, u32 off, unsigned opsize, bool call)
{
	struct descriptor d;
	u32 attr, dpl;
	bool allowed;

	sel &= 0xffff;
	if (is_8086(v))
		return real_go_far(v, sel, off, opsize, call);
	if (sel_is_null(sel))
		raise_error(v, EXC_GP, 0);
	descriptor_fetch(v, sel, EXC_GP, 0, &d);
	attr = descriptor_attr(&d);
	if (!(attr & SEG_S))
		return go_system(v, sel, &d, call);
	dpl = attr_dpl(attr);
	allowed = attr_is_conforming(attr) ? dpl <= v->cpl : dpl == v->cpl && (sel & SEL_RPL) <= v->cpl;
	if (!attr_is_code(attr) || !allowed)
		raise_error(v, EXC_GP, sel_error(sel, 0));
	return go_same(v, sel, &d, opsize == 2 ? off & 0xffff : off, call ? opsize : 0);
}

int emu_call_far_imm(struct vcpu *v, const struct emu_insn *i)
{
	return go_far(v, i->imm2, i->imm, i->opsize, true);
}

int emu_call_far_mem(struct vcpu *v, const struct emu_insn *i)
{
	u32 sel, off = far_pointer_read(v, i, &sel);

	return go_far(v, sel, off, i->opsize, true);
}

int emu_jmp_far_imm(struct vcpu *v, const struct emu_insn *i)
{
	return go_far(v, i->imm2, i->imm, i->opsize, false);
}

int emu_jmp_far_mem(struct vcpu *v, const struct emu_insn *i)
{
	u32 sel, off = far_pointer_read(v, i, &sel);

	return go_far(v, sel, off, i->opsize, false);
}

/* ---- RET and IRET ---- */

/* The code segment that RET or IRET goes back to: never a more privileged one. */
static void fetch_return_code(struct vcpu *v, u32 sel, struct descriptor *d)
{
	u32 rpl = sel & SEL_RPL;
	u32 attr, dpl;

	if (sel_is_null(sel))
		raise_error(v, EXC_GP, 0);
	descriptor_fetch(v, sel, EXC_GP, 0, d);
	if (likely(segment_is_loaded(v, SEG_CS, sel, d)))
		return;
	attr = descriptor_attr(d);
	dpl = attr_dpl(attr);
	if (!attr_is_code(attr) || rpl < v->cpl || (attr_is_conforming(attr) ? dpl > rpl : dpl != rpl))
		raise_error(v, EXC_GP, sel_error(sel, 0));
	check_present(v, attr, sel);
}

/* The stack segment of the outer ring `cpl`. */
static void fetch_return_stack(struct vcpu *v, u32 sel, u32 cpl, struct descriptor *d)
{
	u32 attr;

	if (sel_is_null(sel))
		raise_error(v, EXC_GP, 0);
	descriptor_fetch(v, sel, EXC_GP, 0, d);
	attr = descriptor_attr(d);
	if ((sel & SEL_RPL) != cpl || attr_dpl(attr) != cpl || !attr_is_writable_data(attr))
		raise_error(v, EXC_GP, sel_error(sel, 0));
	if (!(attr & SEG_P))
		raise_error(v, EXC_SS, sel_error(sel, 0));
}

/*
 * Back to an outer ring, with the stack at ss_sel:esp + release. Loads only SP when the outer stack is a 16-bit one: the upper half of ESP
 * stays, as on every processor (operating systems work around it).
 */
static int return_outer(struct vcpu *v, u32 cs_sel, const struct descriptor *code, u32 eip, u32 ss_sel, u32 esp, u32 release)
{
	u32 cpl = cs_sel & SEL_RPL;
	struct segment cs = segment_from_descriptor(cs_sel, code);
	struct segment ss;
	struct descriptor d;

	fetch_return_stack(v, ss_sel, cpl, &d);
	ss = segment_from_descriptor(ss_sel, &d);
	check_eip(v, &cs, eip);
	descriptor_mark_accessed(v, code);
	descriptor_mark_accessed(v, &d);

	segment_commit(&v->seg[SEG_SS], &ss);
	cpl_set(v, cpl);
	segment_null_for_outer(v, cpl);
	return enter_cs(v, &cs, eip, sp_merge(v->regs[REG_ESP], esp + release, segment_sp_mask(&ss)));
}

static int return_same(struct vcpu *v, u32 sel, const struct descriptor *d, u32 eip, u32 esp)
{
	bool loaded = segment_is_loaded(v, SEG_CS, sel, d);
	struct segment cs;

	esp = sp_merge(v->regs[REG_ESP], esp, segment_sp_mask(&v->seg[SEG_SS]));
	if (likely(loaded)) {
		check_eip(v, &v->seg[SEG_CS], eip);
		return enter_cs(v, NULL, eip, esp);
	}
	cs = segment_from_descriptor(sel, d);
	check_eip(v, &cs, eip);
	descriptor_mark_accessed(v, d);
	return enter_cs(v, &cs, eip, esp);
}

/* RET far, with i->imm bytes of parameters released from this stack and, on a return to an outer ring, from the caller's too. */
int emu_ret_far(struct vcpu *v, const struct emu_insn *i)
{
	u32 esp = v->regs[REG_ESP], release = i->imm & 0xffff;
	unsigned size = i->opsize;
	u32 code[2], stack[2], sel;
	struct descriptor d;

	if (is_8086(v))
		return real_ret_far(v, i);
	stack_read(v, esp, code, 2, size);
	sel = code[1] & 0xffff;
	fetch_return_code(v, sel, &d);
	if ((sel & SEL_RPL) == v->cpl)
		return return_same(v, sel, &d, code[0], esp + 2 * size + release);
	stack_read(v, esp + 2 * size + release, stack, 2, size);
	return return_outer(v, sel, &d, code[0], stack[1] & 0xffff, stack[0], release);
}

/* The flags after an IRET: the bits that this CPL and IOPL may change come from the image, SDM Vol. 2A "IRET". */
static u32 iret_flags(const struct vcpu *v, u32 image, unsigned size)
{
	u32 mask = EFLAGS_ARITH | EFLAGS_DF | EFLAGS_TF | EFLAGS_NT;

	if (size == 4)
		mask |= EFLAGS_RF | EFLAGS_AC | EFLAGS_ID;
	if (v->cpl <= vcpu_iopl(v))
		mask |= EFLAGS_IF;
	if (v->cpl == 0)
		mask |= EFLAGS_IOPL | (size == 4 ? EFLAGS_VIF | EFLAGS_VIP : 0);
	return (vcpu_eflags(v) & ~mask) | (image & mask);
}

/*
 * Reads the frame of an IRET: EIP, CS, EFLAGS, and ESP and SS behind them (items[3], items[4]) when they are sure to lie in the same page
 * of a flat stack, where reading them early cannot fault. Returns the number of items read.
 */
static unsigned iret_read_frame(struct vcpu *v, u32 *items, unsigned size)
{
	const struct segment *ss = &v->seg[SEG_SS];
	u32 esp = v->regs[REG_ESP];
	unsigned n = 3;

	if (size == 4 && v->cpl < 3 && ss->full_read && ss->attr & SEG_DB && ((ss->base + esp) & PAGE_MASK) <= PAGE_SIZE - 20)
		n = 5;
	stack_read(v, esp, items, n, size);
	return n;
}

/* IRET ends the blocking of NMIs even when it faults (SDM Vol. 3A 6.7.1). */
int emu_iret(struct vcpu *v, const struct emu_insn *i)
{
	unsigned size = i->opsize, n;
	u32 items[5], sel, flags;
	struct descriptor d;

	v->nmi_blocked = false;
	if (is_8086(v))
		return real_iret(v, i);
	if (v->sysflags & EFLAGS_NT)
		return task_return(v);
	n = iret_read_frame(v, items, size);
	sel = items[1] & 0xffff;
	if (size == 4 && v->cpl == 0 && items[2] & EFLAGS_VM)
		return real_iret_to_v86(v);
	fetch_return_code(v, sel, &d);
	flags = iret_flags(v, items[2], size);
	if ((sel & SEL_RPL) == v->cpl) {
		return_same(v, sel, &d, items[0], v->regs[REG_ESP] + 3 * size);
	} else {
		if (n == 3)
			stack_read(v, v->regs[REG_ESP] + 3 * size, items + 3, 2, size);
		return_outer(v, sel, &d, items[0], items[4] & 0xffff, items[3], 0);
	}
	vcpu_set_eflags(v, flags);
	return EMU_EXIT;
}

/* ---- software interrupts ---- */

static int software_interrupt(struct vcpu *v, int vector)
{
	interrupt_deliver(v, vector, INTR_SOFTWARE, v->next_eip, false, 0);
	v->no_step_trap = true;
	return EMU_EXIT;
}

int emu_int_n(struct vcpu *v, const struct emu_insn *i)
{
	if (is_v86(v) && real_v86_int(v, (int)(i->imm & 0xff)))
		return EMU_EXIT;
	return software_interrupt(v, (int)(i->imm & 0xff));
}

int emu_int3(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	return software_interrupt(v, EXC_BP);
}

int emu_into(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	if (v->hflags & EFLAGS_OF)
		return software_interrupt(v, EXC_OF);
	v->eip = v->next_eip;
	return EMU_EXIT;
}

/* INT1 (ICEBP) is delivered like a hardware #DB: the gate's DPL does not count, and DR6 stays. */
int emu_int1(struct vcpu *v, const struct emu_insn *i)
{
	(void)i;
	interrupt_deliver(v, EXC_DB, INTR_EXCEPTION, v->next_eip, false, 0);
	return EMU_EXIT;
}

/* ---- fast system calls: no descriptor is read, no stack is touched ---- */

static int enter_flat(struct vcpu *v, u32 cs_sel, u32 cpl, u32 eip, u32 esp)
{
	u32 dpl = cpl << SEG_DPL_SHIFT;

	v->seg[SEG_CS] = segment_make(cs_sel | cpl, 0, 0xffffffffu, FLAT_CODE | dpl);
	v->seg[SEG_SS] = segment_make((cs_sel + 8) | cpl, 0, 0xffffffffu, FLAT_DATA | dpl);
	cpl_set(v, cpl);
	v->regs[REG_ESP] = esp;
	v->eip = eip;
	return EMU_EXIT;
}

int emu_sysenter(struct vcpu *v, const struct emu_insn *i)
{
	u32 sel = v->sysenter_cs & 0xfffc;

	(void)i;
	if (!(v->cr0 & CR0_PE) || !sel)
		raise_error(v, EXC_GP, 0);
	v->sysflags &= ~(EFLAGS_VM | EFLAGS_IF | EFLAGS_RF);
	return enter_flat(v, sel, 0, v->sysenter_eip, v->sysenter_esp);
}

int emu_sysexit(struct vcpu *v, const struct emu_insn *i)
{
	u32 sel = v->sysenter_cs & 0xfffc;

	(void)i;
	if (!(v->cr0 & CR0_PE) || !sel || v->cpl != 0)
		raise_error(v, EXC_GP, 0);
	return enter_flat(v, sel + 16, 3, v->regs[REG_EDX], v->regs[REG_ECX]);
}
