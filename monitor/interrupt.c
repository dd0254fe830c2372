/*
 * Delivery of interrupts and exceptions through the IDT, SDM Vol. 3A 6.12 and Vol. 2A "INT n": interrupt and trap gates, 16 and 32 bits
 * wide, at the same level and into an inner ring, and out of virtual-8086 mode (SDM Vol. 3A 20.3.1); task gates. Real mode's table is
 * real.c's.
 *
 * Invariant: until the frame is on the handler's stack nothing in v has changed, so a fault on the way (which unwinds from here) finds the
 * state in which delivery began; but see task_switch. This is the path of every system call and timer tick: four 8-byte reads and one write
 * of the frame.
 */
#include "monitor/segment.h"
#include "monitor/trace.h"

/* Reads and checks the gate of a vector. ext: 0 for INT n, INT3 and INTO, else ERR_EXT. */
static void fetch_gate(struct vcpu *v, u32 vector, u32 ext, struct descriptor *gate)
{
	u32 error = vector << 3 | ERR_IDT | ext;
	u32 attr;
	u64 raw;

	if (unlikely(vector * 8 + 7 > v->idtr.limit))
		raise_error(v, EXC_GP, error);
	gate->linear = v->idtr.base + vector * 8;
	raw = system_read(v, gate->linear);
	gate->lo = (u32)raw;
	gate->hi = (u32)(raw >> 32);
	attr = descriptor_attr(gate);
	switch (attr & (SEG_S | SEG_TYPE)) {
	case DESC_INT16:
	case DESC_TRAP16:
	case DESC_INT32:
	case DESC_TRAP32:
	case DESC_TASK_GATE:
		break;
	default:
		raise_error(v, EXC_GP, error);
	}
	if (!ext && attr_dpl(attr) < v->cpl)
		raise_error(v, EXC_GP, error);
	if (!(attr & SEG_P))
		raise_error(v, EXC_NP, error);
}

/* Into the task behind a task gate, SDM Vol. 3A 6.12.2. */
static void deliver_to_task(struct vcpu *v, const struct descriptor *gate, u32 ext, u32 return_eip, u32 flags, bool has_error, u32 error)
{
	task_switch(v, gate_selector(gate), TASK_CALL, return_eip, flags, ext);
	if (has_error)
		task_push_error(v, error, ext);
}

/* The registers that lie behind SS in the frame from virtual-8086 mode, and become null. */
static const u8 v86_frame[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

static inline __attribute__((always_inline)) void deliver(struct vcpu *v, int vector, enum intr_kind kind, u32 return_eip, bool has_error,
							  u32 error_code)
{
	u32 ext = kind == INTR_SOFTWARE ? 0 : ERR_EXT;
	u32 flags = vcpu_eflags(v);
	u32 items[10], n = 0;
	u32 sel, attr, cpl, eip, esp;
	struct descriptor gate, d;
	struct segment cs, ss;
	bool v86 = is_v86(v);
	unsigned size;

	/* INT n has completed when it pushes: it leaves no RF for the handler's IRET to bring back. */
	if (kind == INTR_SOFTWARE)
		flags &= ~EFLAGS_RF;
	if (unlikely(!(v->cr0 & CR0_PE))) {
		real_interrupt(v, vector, return_eip, flags);
		return;
	}
	fetch_gate(v, (u32)vector & 0xff, ext, &gate);
	if (unlikely((gate.hi >> 8 & SEG_TYPE) == DESC_TASK_GATE)) {
		deliver_to_task(v, &gate, ext, return_eip, flags, has_error, error_code);
		return;
	}
	size = gate.hi & 0x800 ? 4 : 2;
	eip = gate_offset(&gate);
	sel = gate_selector(&gate);
	if (sel_is_null(sel))
		raise_error(v, EXC_GP, ext);
	descriptor_fetch(v, sel, EXC_GP, ext, &d);
	attr = descriptor_attr(&d);
	if (!attr_is_code(attr) || attr_dpl(attr) > v->cpl)
		raise_error(v, EXC_GP, sel_error(sel, ext));
	/* Virtual-8086 mode is left for ring 0 only. */
	if (v86 && (attr_is_conforming(attr) || attr_dpl(attr) != 0))
		raise_error(v, EXC_GP, sel_error(sel, ext));
	if (!(attr & SEG_P))
		raise_error(v, EXC_NP, sel_error(sel, ext));
	cpl = attr_is_conforming(attr) ? v->cpl : attr_dpl(attr);
	cs = segment_from_descriptor((sel & ~SEL_RPL) | cpl, &d);

	if (has_error)
		items[n++] = error_code;
	items[n++] = return_eip;
	items[n++] = v->seg[SEG_CS].sel;
	items[n++] = flags;

	if (cpl != v->cpl) {
		stack_from_tss(v, cpl, ext, &ss, &esp);
		items[n++] = v->regs[REG_ESP];
		items[n++] = v->seg[SEG_SS].sel;
		for (unsigned k = 0; v86 && k < ARRAY_SIZE(v86_frame); k++)
			items[n++] = v->seg[v86_frame[k]].sel;
		if (unlikely(eip > cs.limit))
			raise_error(v, EXC_GP, ext);
		descriptor_mark_accessed(v, &d);
		esp = stack_push(v, &ss, esp, items, n, size, 0, sel_error(ss.sel, ext));
		segment_commit(&v->seg[SEG_SS], &ss);
		for (unsigned k = 0; v86 && k < ARRAY_SIZE(v86_frame); k++)
			v->seg[v86_frame[k]] = segment_make(0, 0, 0, SEG_UNUSABLE);
		cpl_set(v, cpl);
	} else {
		if (unlikely(eip > cs.limit))
			raise_error(v, EXC_GP, ext);
		descriptor_mark_accessed(v, &d);
		esp = stack_push(v, &v->seg[SEG_SS], v->regs[REG_ESP], items, n, size, acc_cpl(v), ext);
	}

	segment_commit(&v->seg[SEG_CS], &cs);
	v->regs[REG_ESP] = esp;
	v->eip = eip;
	v->sysflags &= ~(EFLAGS_TF | EFLAGS_NT | EFLAGS_RF | EFLAGS_VM);
	if (!(gate.hi & 0x100)) /* an interrupt gate, not a trap gate */
		v->sysflags &= ~EFLAGS_IF;
	v->shadow = SHADOW_NONE;
}

/* Out of the way: a call in between costs the path of every system call a tenth. */
__attribute__((noinline, cold)) static void deliver_traced(struct vcpu *v, int vector, enum intr_kind kind, u32 return_eip, bool has_error,
							   u32 error_code)
{
	trace_interrupt(v, vector, (int)kind, has_error, error_code);
	deliver(v, vector, kind, return_eip, has_error, error_code);
	trace_interrupted(v);
}

void interrupt_deliver(struct vcpu *v, int vector, enum intr_kind kind, u32 return_eip, bool has_error, u32 error_code)
{
	if (log_on(LOG_INT)) {
		deliver_traced(v, vector, kind, return_eip, has_error, error_code);
		return;
	}
	deliver(v, vector, kind, return_eip, has_error, error_code);
}

bool exception_is_contributory(int vector)
{
	return vector == EXC_DE || (vector >= EXC_TS && vector <= EXC_GP);
}

bool exception_has_error_code(int vector)
{
	return vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC;
}
