/*
 * Segmentation, SDM Vol. 3A chapters 3 and 5, and 20 for real and virtual-8086 mode: descriptors, hidden parts of the segment registers,
 * limit and type checks, data-segment loads, and the stack frames that far transfers and interrupts push and pop.
 *
 * Invariants: v->seg[] changes only by whole-register assignment, so full_read/full_write always agree with the rest; every function that
 * can raise does so before it changes v (setting an accessed bit in guest memory is the exception that the architecture makes too).
 */
#include "monitor/segment.h"

#include "shadowpt/access.h"

bool descriptor_lookup(struct vcpu *v, u32 sel, struct descriptor *d)
{
	u32 base, limit;
	u64 raw;

	if (sel & SEL_TI) {
		const struct segment *ldt = &v->seg[SEG_LDTR];

		if (ldt->attr & SEG_UNUSABLE)
			return false;
		base = ldt->base;
		limit = ldt->limit;
	} else {
		base = v->gdtr.base;
		limit = v->gdtr.limit;
	}
	if (((sel & 0xffff) | 7) > limit)
		return false;
	d->linear = base + (sel & 0xfff8);
	raw = system_read(v, d->linear);
	d->lo = (u32)raw;
	d->hi = (u32)(raw >> 32);
	return true;
}

void descriptor_fetch(struct vcpu *v, u32 sel, int vector, u32 ext, struct descriptor *d)
{
	if (unlikely(!descriptor_lookup(v, sel, d)))
		raise_error(v, vector, sel_error(sel, ext));
}

void descriptor_mark_accessed(struct vcpu *v, const struct descriptor *d)
{
	u32 rights = d->hi >> 8 & 0xff;

	if (unlikely(!(rights & SEG_TYPE_A)))
		lin_write(v, d->linear + 5, rights | SEG_TYPE_A, 1, 0);
}

void segment_set(struct vcpu *v, int n, u32 sel, u32 base, u32 limit, u32 attr)
{
	v->seg[n] = segment_make(sel, base, limit, attr);
}

bool segment_allows(const struct segment *s, u32 off, unsigned size, int acc)
{
	u64 last = (u64)off + size - 1;

	/* Accesses that wrap at 4 GiB in a 4 GiB segment may or may not fault (SDM Vol. 3A 5.3): here they do not, as in translated code.
	 */
	if (acc & ACC_WRITE ? s->full_write : s->full_read)
		return true;
	if ((s->attr & (SEG_UNUSABLE | SEG_P)) != SEG_P)
		return false;
	if (acc & ACC_WRITE ? !attr_is_writable_data(s->attr) : !attr_is_readable(s->attr))
		return false;
	if (!(s->attr & SEG_TYPE_CODE) && (s->attr & SEG_TYPE_E))
		return off > s->limit && last <= segment_sp_mask(s);
	return last <= s->limit;
}

u32 seg_linear(struct vcpu *v, int n, u32 off, unsigned size, int acc)
{
	const struct segment *s = &v->seg[n];

	if (unlikely(!segment_allows(s, off, size, acc)))
		raise_error(v, n == SEG_SS ? EXC_SS : EXC_GP, 0);
	return s->base + off;
}

static void load_ss(struct vcpu *v, u32 sel)
{
	struct descriptor d;
	u32 attr;

	if (sel_is_null(sel))
		raise_error(v, EXC_GP, 0);
	descriptor_fetch(v, sel, EXC_GP, 0, &d);
	attr = descriptor_attr(&d);
	if ((sel & SEL_RPL) != v->cpl || attr_dpl(attr) != v->cpl || !attr_is_writable_data(attr))
		raise_error(v, EXC_GP, sel_error(sel, 0));
	if (segment_is_loaded(v, SEG_SS, sel, &d))
		return;
	if (!(attr & SEG_P))
		raise_error(v, EXC_SS, sel_error(sel, 0));
	descriptor_mark_accessed(v, &d);
	v->seg[SEG_SS] = segment_from_descriptor(sel, &d);
}

/*
 * Most loads of a flat kernel bring what is there: the same selector, the same descriptor in memory, accessed, a privilege that may use it.
 */
static bool is_loaded(const struct vcpu *v, int n, u32 sel, const struct descriptor *d)
{
	return segment_is_loaded(v, n, sel, d) && attr_dpl(v->seg[n].attr) >= v->cpl;
}

bool segment_load(struct vcpu *v, int n, u32 sel)
{
	struct descriptor d;
	u32 attr;

	sel &= 0xffff;
	if (is_8086(v)) {
		v->seg[n] = segment_8086(v, n, sel);
		return true;
	}
	if (n == SEG_SS) {
		load_ss(v, sel);
		return true;
	}
	if (sel_is_null(sel)) {
		v->seg[n] = segment_make(sel, 0, 0, SEG_UNUSABLE);
		return true;
	}
	descriptor_fetch(v, sel, EXC_GP, 0, &d);
	if (is_loaded(v, n, sel, &d))
		return false;
	attr = descriptor_attr(&d);
	if (!attr_is_readable(attr))
		raise_error(v, EXC_GP, sel_error(sel, 0));
	if (!attr_is_conforming(attr) && (attr_dpl(attr) < (sel & SEL_RPL) || attr_dpl(attr) < v->cpl))
		raise_error(v, EXC_GP, sel_error(sel, 0));
	if (!(attr & SEG_P))
		raise_error(v, EXC_NP, sel_error(sel, 0));
	descriptor_mark_accessed(v, &d);
	v->seg[n] = segment_from_descriptor(sel, &d);
	return true;
}

void segment_null_for_outer(struct vcpu *v, u32 cpl)
{
	static const u8 data_registers[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	for (unsigned k = 0; k < ARRAY_SIZE(data_registers); k++) {
		struct segment *s = &v->seg[data_registers[k]];

		if (s->attr & SEG_UNUSABLE || attr_is_conforming(s->attr) || attr_dpl(s->attr) >= cpl)
			continue;
		*s = segment_make(0, 0, 0, SEG_UNUSABLE);
	}
}

/*
 * A frame is accessed as a whole unless it wraps at the top of its stack (64 KiB or 4 GiB), or the alignment of its items is checked: that
 * of each, not the frame's.
 */
static bool item_by_item(const struct vcpu *v, u32 off, unsigned bytes, u32 mask)
{
	return (u64)off + bytes - 1 > mask || access_checks_alignment(v);
}

/*
 * Guest RAM for a frame that can be accessed at once: it does not wrap, the segment lets all of it through, the flat table has it. Else
 * NULL.
 */
static void *frame_at(const struct vcpu *v, const struct segment *ss, u32 off, u32 bytes, u32 mask, int acc, u32 full, u32 low)
{
	u32 last = off + bytes - 1;

	if (unlikely(last < off || last > mask || !(last > 0xffff ? full : low)))
		return NULL;
	return softmmu_at(v, ss->base + off, bytes, acc);
}

void stack_read(struct vcpu *v, u32 off, u32 *items, unsigned n, unsigned size)
{
	const struct segment *ss = &v->seg[SEG_SS];
	u32 mask = segment_sp_mask(ss);
	u16 narrow[STACK_ITEMS_MAX];

	const void *p;

	off &= mask;
	p = frame_at(v, ss, off, n * size, mask, acc_cpl(v), ss->full_read, ss->low_read);
	if (likely(p)) {
		/* By items, as they were pushed: the stores are forwarded. */
		for (unsigned k = 0; k < n; k++)
			items[k] = size == 4 ? ((const volatile u32 *)p)[k] : ((const volatile u16 *)p)[k];
		return;
	}
	if (unlikely(item_by_item(v, off, n * size, mask))) {
		for (unsigned k = 0; k < n; k++)
			items[k] = (u32)seg_read(v, SEG_SS, (off + k * size) & mask, size);
		return;
	}
	if (size == 4) {
		lin_read_buf(v, seg_linear(v, SEG_SS, off, n * 4, ACC_READ), items, n * 4, acc_cpl(v));
		return;
	}
	lin_read_buf(v, seg_linear(v, SEG_SS, off, n * 2, ACC_READ), narrow, n * 2, acc_cpl(v));
	for (unsigned k = 0; k < n; k++)
		items[k] = narrow[k];
}

/* The rare frame: every item is checked, then every item is written. */
static void push_items(struct vcpu *v, const struct segment *ss, u32 off, const u32 *items, unsigned n, unsigned size, int acc, u32 error)
{
	u32 mask = segment_sp_mask(ss);

	for (unsigned k = 0; k < n; k++) {
		u32 at = (off + k * size) & mask;

		if (!segment_allows(ss, at, size, ACC_WRITE))
			raise_error(v, EXC_SS, error);
		lin_probe(v, ss->base + at, size, acc | ACC_WRITE);
	}
	for (unsigned k = 0; k < n; k++)
		lin_write(v, ss->base + ((off + k * size) & mask), items[k], size, acc);
}

u32 stack_push(struct vcpu *v, const struct segment *ss, u32 esp, const u32 *items, unsigned n, unsigned size, int acc, u32 error)
{
	u32 mask = segment_sp_mask(ss);
	u32 off = (esp - n * size) & mask;
	u16 narrow[STACK_ITEMS_MAX];

	void *p = frame_at(v, ss, off, n * size, mask, acc | ACC_WRITE, ss->full_write, ss->low_write);

	if (likely(p)) {
		for (unsigned k = 0; k < n; k++) {
			if (size == 4)
				((volatile u32 *)p)[k] = items[k];
			else
				((volatile u16 *)p)[k] = (u16)items[k];
		}
		return sp_merge(esp, off, mask);
	}
	if (unlikely(item_by_item(v, off, n * size, mask))) {
		push_items(v, ss, off, items, n, size, acc, error);
		return sp_merge(esp, off, mask);
	}
	if (unlikely(!segment_allows(ss, off, n * size, ACC_WRITE)))
		raise_error(v, EXC_SS, error);
	if (size == 4) {
		lin_write_buf(v, ss->base + off, items, n * 4, acc);
	} else {
		for (unsigned k = 0; k < n; k++)
			narrow[k] = (u16)items[k];
		lin_write_buf(v, ss->base + off, narrow, n * 2, acc);
	}
	return sp_merge(esp, off, mask);
}

/* SS:ESP of a privilege level as the TSS holds them, SDM Vol. 3A 7.2.1 and 7.6. */
static u32 tss_read_stack(struct vcpu *v, u32 cpl, u32 ext, u32 *esp)
{
	const struct segment *tr = &v->seg[SEG_TR];
	bool wide = (tr->attr & SEG_TYPE) >= DESC_TSS32_AVAIL;
	u32 off = wide ? 4 + cpl * 8 : 2 + cpl * 4;
	u32 last = off + (wide ? 5 : 3);
	u32 linear = tr->base + off;
	u64 x;

	if (tr->attr & SEG_UNUSABLE || last > tr->limit)
		raise_error(v, EXC_TS, sel_error(tr->sel, ext));
	if (!wide) {
		x = lin_read(v, linear, 4, 0);
		*esp = x & 0xffff;
		return x >> 16 & 0xffff;
	}
	if (unlikely((linear & PAGE_MASK) > PAGE_SIZE - 8)) {
		*esp = (u32)lin_read(v, linear, 4, 0);
		return (u32)lin_read(v, linear + 4, 2, 0);
	}
	x = system_read(v, linear);
	*esp = (u32)x;
	return x >> 32 & 0xffff;
}

void stack_from_tss(struct vcpu *v, u32 cpl, u32 ext, struct segment *ss, u32 *esp)
{
	struct descriptor d;
	u32 sel = tss_read_stack(v, cpl, ext, esp);
	u32 attr;

	if (sel_is_null(sel))
		raise_error(v, EXC_TS, ext);
	descriptor_fetch(v, sel, EXC_TS, ext, &d);
	attr = descriptor_attr(&d);
	if ((sel & SEL_RPL) != cpl || attr_dpl(attr) != cpl || !attr_is_writable_data(attr))
		raise_error(v, EXC_TS, sel_error(sel, ext));
	if (!(attr & SEG_P))
		raise_error(v, EXC_SS, sel_error(sel, ext));
	descriptor_mark_accessed(v, &d);
	*ss = segment_from_descriptor(sel, &d);
}

u32 far_pointer_read(struct vcpu *v, const struct emu_insn *i, u32 *sel)
{
	u8 p[6];
	u32 linear = seg_linear(v, i->seg, emu_ea(v, i), i->opsize + 2u, ACC_READ);

	lin_read_buf(v, linear, p, i->opsize + 2u, acc_cpl(v));
	*sel = p[i->opsize] | (u32)p[i->opsize + 1] << 8;
	if (i->opsize == 2)
		return p[0] | (u32)p[1] << 8;
	return p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}
