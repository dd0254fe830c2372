/*
 * Hardware task switches, SDM Vol. 3A chapter 7: by JMP, CALL, interrupts and IRET, between 16- and 32-bit TSSs.
 *
 * A switch has three parts (SDM Vol. 3A 7.3). First everything is read, checked and probed that could fault in the old task; then, without
 * a fault, the old state is saved and the new one is loaded, selectors alone; then the descriptors of the new task's segments are loaded,
 * one by one, and what is wrong with them is raised in the new task: with its registers, at its first instruction. A segment register that
 * was not reached is unusable then, under its selector.
 *
 * Invariants: nothing is written, in v or in memory, before the last check of the first part; all accesses to TSSs and the GDT are
 * supervisor accesses.
 */
#include "monitor/priv.h"
#include "monitor/segment.h"

#define DR7_LOCAL 0x155u /* L0..L3 and LE are the old task's, SDM Vol. 3B 17.2.4 */
#define DR6_BT	  0x8000u
#define BUSY	  ((u32)(DESC_TSS32_BUSY ^ DESC_TSS32_AVAIL)) /* of both widths */

/* SDM Vol. 3A figures 7-2 and 7-10: offsets of what is saved and loaded, in memory order. */
struct tss_layout {
	u32 size; /* what a TSS must have */
	u32 item; /* bytes of a general register */
	u32 cr3;  /* 0: there is none */
	u32 eip;  /* EIP, EFLAGS, EAX ... EDI; then the segment registers, in Sreg order, each as wide as a general register */
	unsigned segments;
	u32 ldt, trap;
};
static const struct tss_layout tss16 = {0x2c, 2, 0, 0x0e, SEG_DS + 1, 0x2a, 0};
static const struct tss_layout tss32 = {0x68, 4, 0x1c, 0x20, SEG_GS + 1, 0x60, 0x64};
#define SAVED_BYTES_MAX ((2 + 8 + 6) * 4)

static const struct tss_layout *layout_of(const struct segment *tss)
{
	return (tss->attr & SEG_TYPE) >= DESC_TSS32_AVAIL ? &tss32 : &tss16;
}

/* Bytes from EIP to the last segment register. */
static u32 saved_bytes(const struct tss_layout *l)
{
	return (2 + 8 + l->segments) * l->item;
}

static void put_item(u8 *image, const struct tss_layout *l, unsigned n, u32 x)
{
	for (u32 k = 0; k < l->item; k++)
		image[n * l->item + k] = (u8)(x >> 8 * k);
}

static u32 get_item(const u8 *image, const struct tss_layout *l, unsigned n)
{
	u32 x = 0;

	for (u32 k = 0; k < l->item; k++)
		x |= (u32)image[n * l->item + k] << 8 * k;
	return x;
}

/* ---- the first part ---- */

/* The descriptor of the new TSS, with the checks of Vol. 2 under JMP, CALL, INT and IRET. */
static void fetch_tss(struct vcpu *v, u32 sel, enum task_source source, u32 ext, struct descriptor *d)
{
	int vector = source == TASK_IRET ? EXC_TS : EXC_GP;
	u32 attr, want = source == TASK_IRET ? BUSY : 0;

	if (sel_is_null(sel) || (sel & SEL_TI))
		raise_error(v, vector, sel_error(sel, ext));
	descriptor_fetch(v, sel, vector, ext, d);
	attr = descriptor_attr(d);
	if ((attr & SEG_S) || (attr & 7 & ~BUSY) != DESC_TSS16_AVAIL || (attr & BUSY) != want)
		raise_error(v, vector, sel_error(sel, ext));
	if (!(attr & SEG_P))
		raise_error(v, EXC_NP, sel_error(sel, ext));
}

static u32 access_byte(const struct vcpu *v, u32 sel)
{
	return v->gdtr.base + (sel & 0xfff8) + 5;
}

static void set_busy(struct vcpu *v, u32 sel, bool busy)
{
	u32 at = access_byte(v, sel), rights = (u32)lin_read(v, at, 1, 0);

	lin_write(v, at, busy ? rights | BUSY : rights & ~BUSY, 1, 0);
}

/* ---- the second part ---- */

static void save_state(struct vcpu *v, u32 eip, u32 flags)
{
	const struct segment *tr = &v->seg[SEG_TR];
	const struct tss_layout *l = layout_of(tr);
	u8 image[SAVED_BYTES_MAX];

	put_item(image, l, 0, eip);
	put_item(image, l, 1, flags);
	for (unsigned n = 0; n < 8; n++)
		put_item(image, l, 2 + n, v->regs[n]);
	for (unsigned n = 0; n < l->segments; n++)
		put_item(image, l, 10 + n, v->seg[n].sel);
	lin_write_buf(v, tr->base + l->eip, image, saved_bytes(l), 0);
}

/* General registers, flags and selectors; hidden parts come later. A 16-bit TSS has no FS and GS: they become null. */
static void load_state(struct vcpu *v, const u8 *image, const struct tss_layout *l, u32 ldt, bool nested)
{
	u32 flags = get_item(image, l, 1);

	v->eip = get_item(image, l, 0);
	vcpu_set_eflags(v, nested ? flags | EFLAGS_NT : flags);
	for (unsigned n = 0; n < 8; n++)
		v->regs[n] = get_item(image, l, 2 + n);
	for (unsigned n = 0; n <= SEG_GS; n++)
		v->seg[n] = segment_make(n < l->segments ? get_item(image, l, 10 + n) : 0, 0, 0, SEG_UNUSABLE);
	v->seg[SEG_LDTR] = segment_make(ldt, 0, 0, SEG_UNUSABLE);
	cpl_set(v, is_v86(v) ? 3 : v->seg[SEG_CS].sel & SEL_RPL);
}

/* ---- the third part: SDM Vol. 3A table 7-1 ---- */

static void load_ldt(struct vcpu *v, u32 ext)
{
	u32 sel = v->seg[SEG_LDTR].sel, attr;
	struct descriptor d;

	if (sel_is_null(sel))
		return;
	if (sel & SEL_TI)
		raise_error(v, EXC_TS, sel_error(sel, ext));
	descriptor_fetch(v, sel, EXC_TS, ext, &d);
	attr = descriptor_attr(&d);
	if ((attr & (SEG_S | SEG_TYPE)) != DESC_LDT || !(attr & SEG_P))
		raise_error(v, EXC_TS, sel_error(sel, ext));
	v->seg[SEG_LDTR] = segment_from_descriptor(sel, &d);
}

static void commit(struct vcpu *v, int n, u32 sel, const struct descriptor *d)
{
	descriptor_mark_accessed(v, d);
	v->seg[n] = segment_from_descriptor(sel, d);
}

static void load_cs(struct vcpu *v, u32 ext)
{
	u32 sel = v->seg[SEG_CS].sel, rpl = sel & SEL_RPL, attr;
	struct descriptor d;

	if (sel_is_null(sel))
		raise_error(v, EXC_TS, ext);
	descriptor_fetch(v, sel, EXC_TS, ext, &d);
	attr = descriptor_attr(&d);
	if (!attr_is_code(attr) || (attr_is_conforming(attr) ? attr_dpl(attr) > rpl : attr_dpl(attr) != rpl))
		raise_error(v, EXC_TS, sel_error(sel, ext));
	if (!(attr & SEG_P))
		raise_error(v, EXC_NP, sel_error(sel, ext));
	commit(v, SEG_CS, sel, &d);
}

static void load_ss(struct vcpu *v, u32 ext)
{
	u32 sel = v->seg[SEG_SS].sel, attr;
	struct descriptor d;

	if (sel_is_null(sel))
		raise_error(v, EXC_TS, ext);
	descriptor_fetch(v, sel, EXC_TS, ext, &d);
	attr = descriptor_attr(&d);
	if (!attr_is_writable_data(attr) || (sel & SEL_RPL) != v->cpl || attr_dpl(attr) != v->cpl)
		raise_error(v, EXC_TS, sel_error(sel, ext));
	if (!(attr & SEG_P))
		raise_error(v, EXC_SS, sel_error(sel, ext));
	commit(v, SEG_SS, sel, &d);
}

static void load_data(struct vcpu *v, int n, u32 ext)
{
	u32 sel = v->seg[n].sel, attr;
	struct descriptor d;

	if (sel_is_null(sel))
		return;
	descriptor_fetch(v, sel, EXC_TS, ext, &d);
	attr = descriptor_attr(&d);
	if (!attr_is_readable(attr))
		raise_error(v, EXC_TS, sel_error(sel, ext));
	if (!attr_is_conforming(attr) && (attr_dpl(attr) < (sel & SEL_RPL) || attr_dpl(attr) < v->cpl))
		raise_error(v, EXC_TS, sel_error(sel, ext));
	if (!(attr & SEG_P))
		raise_error(v, EXC_NP, sel_error(sel, ext));
	commit(v, n, sel, &d);
}

static void load_segments(struct vcpu *v, u32 ext)
{
	load_ldt(v, ext);
	if (is_v86(v)) {
		for (int n = 0; n <= SEG_GS; n++)
			v->seg[n] = segment_v86(v->seg[n].sel);
	} else {
		load_cs(v, ext);
		load_ss(v, ext);
		load_data(v, SEG_ES, ext);
		load_data(v, SEG_DS, ext);
		load_data(v, SEG_FS, ext);
		load_data(v, SEG_GS, ext);
	}
	if (v->eip > v->seg[SEG_CS].limit)
		raise_error(v, EXC_GP, ext);
}

/* ---- the switch ---- */

void task_switch(struct vcpu *v, u32 sel, enum task_source source, u32 eip, u32 flags, u32 ext)
{
	const struct segment *old = &v->seg[SEG_TR];
	const struct tss_layout *from = layout_of(old), *to;
	bool new_cr3, traps;
	u32 old_sel = old->sel, cr3 = 0, ldt;
	u8 image[SAVED_BYTES_MAX];
	struct descriptor d;
	struct segment tss;

	sel &= 0xffff;
	fetch_tss(v, sel, source, ext, &d);
	d.hi |= BUSY << 8;
	tss = segment_from_descriptor(sel, &d);
	to = layout_of(&tss);
	if (tss.limit < to->size - 1)
		raise_error(v, EXC_TS, sel_error(sel, ext));
	if (old->attr & SEG_UNUSABLE || old->limit < from->eip + saved_bytes(from) - 1)
		raise_error(v, EXC_TS, sel_error(old_sel, ext));

	lin_probe(v, tss.base, to->size, 0);
	ldt = (u32)lin_read(v, tss.base + to->ldt, 2, 0);
	traps = to->trap && lin_read(v, tss.base + to->trap, 1, 0) & 1;
	new_cr3 = to->cr3 && v->cr0 & CR0_PG;
	if (new_cr3) {
		cr3 = (u32)lin_read(v, tss.base + to->cr3, 4, 0);
		cr3_check(v, cr3);
	}
	lin_probe(v, old->base + from->eip, saved_bytes(from), ACC_WRITE);
	if (source != TASK_CALL)
		lin_probe(v, access_byte(v, old_sel), 1, ACC_WRITE);
	if (source != TASK_IRET)
		lin_probe(v, access_byte(v, sel), 1, ACC_WRITE);
	if (source == TASK_CALL)
		lin_probe(v, tss.base, 2, ACC_WRITE);

	/* A task that was never loaded has no descriptor: after a reset TR is usable, and null. */
	if (source != TASK_CALL && !sel_is_null(old_sel))
		set_busy(v, old_sel, false);
	save_state(v, eip, source == TASK_IRET ? flags & ~EFLAGS_NT : flags);
	/* Read only now: IRET may return to the task itself. */
	lin_read_buf(v, tss.base + to->eip, image, saved_bytes(to), 0);
	if (source != TASK_IRET)
		set_busy(v, sel, true);
	if (source == TASK_CALL)
		lin_write(v, tss.base, old_sel, 2, 0);

	v->seg[SEG_TR] = tss;
	v->cr0 |= CR0_TS;
	v->dr[7] &= ~DR7_LOCAL;
	v->shadow = SHADOW_NONE;
	v->no_step_trap = true; /* TF was the old task's */
	if (new_cr3)
		cr3_load(v, cr3);
	load_state(v, image, to, ldt, source == TASK_CALL);
	load_segments(v, ext);
	if (traps)
		v->pending_db |= DR6_BT;
}

int task_return(struct vcpu *v)
{
	const struct segment *tr = &v->seg[SEG_TR];

	if (tr->attr & SEG_UNUSABLE || tr->limit < 1)
		raise_error(v, EXC_TS, sel_error(tr->sel, 0));
	task_switch(v, (u32)lin_read(v, tr->base, 2, 0), TASK_IRET, v->next_eip, vcpu_eflags(v), 0);
	return EMU_EXIT;
}

void task_push_error(struct vcpu *v, u32 error, u32 ext)
{
	unsigned size = layout_of(&v->seg[SEG_TR])->item;

	v->regs[REG_ESP] = stack_push(v, &v->seg[SEG_SS], v->regs[REG_ESP], &error, 1, size, acc_cpl(v), ext);
}
