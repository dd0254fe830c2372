/*
 * Descriptors, candidate segments and stack frames: what segment loads, far transfers and interrupt delivery are built of.
 * For monitor/segment*.c, far.c, real.c, task.c, interrupt.c and the flag instructions of priv.c (and their test); everybody else uses the
 * functions in vcpu.h.
 *
 * How a transfer keeps "raise before committing": descriptors are fetched and checked into `struct segment` candidates on the C stack; then
 * their accessed bits are set; then the frame is pushed, checked as a whole before its first byte is written; only then do v->seg, v->cpl,
 * v->eip, ESP and EFLAGS change. An accessed bit that stays set when a later step raises is what the hardware does too. Accesses to the
 * GDT, LDT, IDT and TSS are supervisor accesses at every CPL (SDM Vol. 3A 4.6.1). All functions here: vCPU thread only.
 */
#ifndef RINGER_SEGMENT_H
#define RINGER_SEGMENT_H

#include "monitor/emulate.h"
#include "monitor/exception.h"
#include "monitor/vcpu.h"
#include "shadowpt/softmmu.h"

#define SEL_TI	4u
#define SEL_RPL 3u
/* Error-code bits beside the selector index, SDM Vol. 3A 6.13. */
#define ERR_EXT 1u
#define ERR_IDT 2u

/* An eight-byte descriptor or gate as it lies in memory. */
struct descriptor {
	u32 lo, hi;
	u32 linear; /* where it was read from, for the accessed and busy bits */
};

static inline bool sel_is_null(u32 sel)
{
	return (sel & 0xfffc) == 0;
}
static inline u32 sel_error(u32 sel, u32 ext)
{
	return (sel & 0xfffc) | ext;
}

/* Access rights in the layout of segment.attr (x86.h). */
static inline u32 descriptor_attr(const struct descriptor *d)
{
	return d->hi >> 8 & 0xf0ff;
}
static inline u32 attr_dpl(u32 attr)
{
	return (attr & SEG_DPL) >> SEG_DPL_SHIFT;
}
static inline bool attr_is_code(u32 attr)
{
	return (attr & (SEG_S | SEG_TYPE_CODE)) == (SEG_S | SEG_TYPE_CODE);
}
static inline bool attr_is_conforming(u32 attr)
{
	return (attr & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_C)) == (SEG_S | SEG_TYPE_CODE | SEG_TYPE_C);
}
static inline bool attr_is_writable_data(u32 attr)
{
	return (attr & (SEG_S | SEG_TYPE_CODE | SEG_TYPE_W)) == (SEG_S | SEG_TYPE_W);
}
/* Data, or code that may be read. */
static inline bool attr_is_readable(u32 attr)
{
	return (attr & SEG_S) && (attr & (SEG_TYPE_CODE | SEG_TYPE_R)) != SEG_TYPE_CODE;
}

static inline u64 descriptor_raw(const struct descriptor *d)
{
	return (u64)d->hi << 32 | d->lo;
}

static inline u32 gate_selector(const struct descriptor *d)
{
	return d->lo >> 16;
}
/* The entry point; 16 bits of it for 286 gates (the types without bit 3). */
static inline u32 gate_offset(const struct descriptor *d)
{
	u32 low = d->lo & 0xffff;

	return d->hi & 0x800 ? (d->hi & 0xffff0000u) | low : low;
}

/* Eight bytes of a descriptor table or TSS. May raise #PF. */
static inline u64 system_read(struct vcpu *v, u32 linear)
{
	const u64 *p = softmmu_at(v, linear, 8, ACC_READ);

	return likely(p) ? *p : lin_read(v, linear, 8, ACC_READ);
}
/* Reads the descriptor that sel names. False when sel lies outside its table or there is no LDT; may raise #PF. Null selectors are the
 * caller's. */
bool descriptor_lookup(struct vcpu *v, u32 sel, struct descriptor *d);
/* The same, but raises `vector` with the selector (and ext, 0 or ERR_EXT) as error code instead of returning false. */
void descriptor_fetch(struct vcpu *v, u32 sel, int vector, u32 ext, struct descriptor *d);
/* Sets the accessed bit in memory if it is clear. May raise #PF. */
void descriptor_mark_accessed(struct vcpu *v, const struct descriptor *d);

/* A segment register's contents, full_read/full_write worked out. No checks. */
static inline struct segment segment_make(u32 sel, u32 base, u32 limit, u32 attr)
{
	struct segment s = {.base = base, .limit = limit, .attr = attr, .sel = sel & 0xffff};

	if (limit >= 0xffff && (attr & (SEG_S | SEG_P | SEG_UNUSABLE)) == (SEG_S | SEG_P)) {
		if (attr & SEG_TYPE_CODE)
			s.low_read = !!(attr & SEG_TYPE_R);
		else if (!(attr & SEG_TYPE_E)) {
			s.low_read = 1;
			s.low_write = !!(attr & SEG_TYPE_W);
		}
	}
	if (limit == 0xffffffffu) {
		u32 flat = base ? 0 : SEG_FULL_FLAT;

		s.full_read = s.low_read ? flat | 1 : 0;
		s.full_write = s.low_write ? flat | 1 : 0;
	}
	return s;
}
/* What a load of the descriptor puts into the register: limit scaled, accessed bit set for code and data. No checks. */
static inline struct segment segment_from_descriptor(u32 sel, const struct descriptor *d)
{
	u32 base = d->lo >> 16 | (d->hi & 0xff) << 16 | (d->hi & 0xff000000u);
	u32 limit = (d->lo & 0xffff) | (d->hi & 0xf0000);
	u32 attr = descriptor_attr(d);

	if (attr & SEG_G)
		limit = limit << 12 | 0xfff;
	if (attr & SEG_S)
		attr |= SEG_TYPE_A;
	struct segment s = segment_make(sel, base, limit, attr);
	s.raw = descriptor_raw(d) | (u64)SEG_TYPE_A << 40;
	return s;
}
/*
 * *to = *from, a word at a time: a candidate has just been written so, and a copy by quadwords, which is what the compiler makes of an
 * assignment, waits until those stores have reached the cache.
 */
static inline void segment_commit(struct segment *to, const struct segment *from)
{
	u32 base = from->base, limit = from->limit, attr = from->attr, sel = from->sel;
	u32 full_read = from->full_read, full_write = from->full_write, low_read = from->low_read, low_write = from->low_write;

	__asm__("" : "+r"(base), "+r"(limit), "+r"(attr), "+r"(sel));
	__asm__("" : "+r"(full_read), "+r"(full_write), "+r"(low_read), "+r"(low_write));
	*to = (struct segment){base, limit, attr, sel, full_read, full_write, low_read, low_write, from->raw};
}
/*
 * Whether segment register n holds what this descriptor says, loaded by this selector. For CS it follows that a transfer to it within the
 * ring may be made: CS's RPL is CPL, and nothing else gets there.
 */
static inline bool segment_is_loaded(const struct vcpu *v, int n, u32 sel, const struct descriptor *d)
{
	return v->seg[n].sel == sel && v->seg[n].raw == descriptor_raw(d);
}
/* True when all of off .. off+size-1 may be read (or written: acc has ACC_WRITE) through s: SDM Vol. 3A 5.3 and 5.5. size > 0. */
bool segment_allows(const struct segment *s, u32 off, unsigned size, int acc);

/* The part of ESP that stack accesses through s use: SP or ESP. */
static inline u32 segment_sp_mask(const struct segment *s)
{
	return s->attr & SEG_DB ? 0xffffffffu : 0xffffu;
}
static inline u32 sp_merge(u32 esp, u32 sp, u32 mask)
{
	return (esp & ~mask) | (sp & mask);
}

/* Loads ES, SS, DS, FS or GS with all checks of MOV Sreg (SDM Vol. 3A 5.6, 5.7); raises, or commits as its last step. False: all was there
 * already. */
bool segment_load(struct vcpu *v, int n, u32 sel);
/* After a return to `cpl`: data-segment registers that the outer ring may not use become null (SDM Vol. 2B, RET). */
void segment_null_for_outer(struct vcpu *v, u32 cpl);

#define STACK_ITEMS_MAX 36 /* 31 parameters of a call gate, SS ESP CS EIP, and one to spare */

/*
 * Reads n items of size bytes (2 or 4) at the current stack's offset off and up, zero-extended, with the current CPL's privilege.
 * Wraps at 64 KiB on a 16-bit stack. Raises #SS(0), #PF.
 */
void stack_read(struct vcpu *v, u32 off, u32 *items, unsigned n, unsigned size);
/*
 * Pushes a frame of n items of size bytes (2 or 4) on the stack ss:esp; items[0] is the one with the lowest address (pushed last).
 * Nothing is written unless all can be. Returns the new ESP. acc: ACC_USER or 0. Raises #SS(error), #PF.
 */
u32 stack_push(struct vcpu *v, const struct segment *ss, u32 esp, const u32 *items, unsigned n, unsigned size, int acc, u32 error);
/*
 * Fetches and checks the stack of privilege level `cpl` out of the TSS (SDM Vol. 3A 5.8.5, 6.12.1), accessed bit set.
 * Raises #TS or #SS with the selector and ext as error code.
 */
void stack_from_tss(struct vcpu *v, u32 cpl, u32 ext, struct segment *ss, u32 *esp);

/* Reads the m16:16 or m16:32 operand of an instruction; returns the offset. */
u32 far_pointer_read(struct vcpu *v, const struct emu_insn *i, u32 *sel);

/* Real mode or virtual-8086 mode: selectors are paragraphs, and there are no descriptors. */
static inline bool is_8086(const struct vcpu *v)
{
	return unlikely(!(v->cr0 & CR0_PE) || (v->sysflags & EFLAGS_VM));
}
static inline bool is_v86(const struct vcpu *v)
{
	return unlikely(v->sysflags & EFLAGS_VM);
}

/* Of real and virtual-8086 mode's segments. */
#define PARAGRAPH_ATTR (SEG_P | SEG_S | SEG_TYPE_W | SEG_TYPE_A)

/* What a load of selector sel puts into a segment register in virtual-8086 mode, SDM Vol. 3A 20.2.1. */
static inline struct segment segment_v86(u32 sel)
{
	sel &= 0xffff;
	return segment_make(sel, sel << 4, 0xffff, PARAGRAPH_ATTR | SEG_DPL);
}
/* The same for register n in real or virtual-8086 mode. In real mode limit and rights stay, but CS becomes writable, as 8086 programs want
 * it. */
static inline struct segment segment_8086(const struct vcpu *v, int n, u32 sel)
{
	u32 limit = v->seg[n].limit, attr = v->seg[n].attr;

	if (is_v86(v))
		return segment_v86(sel);
	/* A register that protected mode has left null, or never a segment, is as after a reset. */
	if ((attr & (SEG_UNUSABLE | SEG_S | SEG_P)) != (SEG_S | SEG_P)) {
		limit = 0xffff;
		attr = PARAGRAPH_ATTR;
	}
	if (n == SEG_CS)
		attr = PARAGRAPH_ATTR | (attr & (SEG_DB | SEG_G));
	sel &= 0xffff;
	return segment_make(sel, sel << 4, limit, attr);
}

/* ---- real.c: far transfers and interrupts in real and virtual-8086 mode; v is in one of them unless said otherwise ---- */

/* JMP and CALL far. opsize: 2 or 4, of the operand and of what CALL pushes. Raises #GP(0), #SS(0), #PF. */
int real_go_far(struct vcpu *v, u32 sel, u32 off, unsigned opsize, bool call);
/* RET far, see emu_ret_far. */
int real_ret_far(struct vcpu *v, const struct emu_insn *i);
int real_iret(struct vcpu *v, const struct emu_insn *i);
/* IRET at CPL 0 of protected mode with EFLAGS.VM in its image: into virtual-8086 mode, SDM Vol. 3A 20.2.3. */
int real_iret_to_v86(struct vcpu *v);
/* Delivery of an interrupt or exception in real mode, SDM Vol. 3A 20.1.4. flags: the image. */
void real_interrupt(struct vcpu *v, int vector, u32 return_eip, u32 flags);
/*
 * INT n in virtual-8086 mode (not INT3, INTO), SDM Vol. 3A 20.3.3: true if CR4.VME and the redirection bitmap have sent it to the 8086
 * program's own handler; false if it is to go through the IDT. Raises #GP(0) where IOPL forbids that.
 */
bool real_v86_int(struct vcpu *v, int vector);
/*
 * EFLAGS after a 16-bit POPF or IRET in virtual-8086 mode with IOPL < 3 and CR4.VME: VIF stands for IF. Raises #GP(0) for TF, or for IF
 * when VIP is set.
 */
u32 real_vme_flags(struct vcpu *v, u32 image);

/* ---- task.c: hardware task switches, SDM Vol. 3A chapter 7 ---- */

enum task_source {
	TASK_JMP,
	TASK_CALL, /* also interrupts and exceptions: the new task is nested in the old one */
	TASK_IRET,
};
/*
 * Switches to the task whose TSS sel names. eip and flags go into the old task's TSS. ext: 0 or ERR_EXT, for error codes. The caller has
 * checked the privilege of the TSS or the gate.
 * Raises with v unchanged what SDM Vol. 3A table 7-1 has up to the switch; then, in the new task (v->eip and all registers are its own),
 * what is wrong with its segments.
 */
void task_switch(struct vcpu *v, u32 sel, enum task_source source, u32 eip, u32 flags, u32 ext);
/* IRET with NT: back to the task that the TSS's link names. */
int task_return(struct vcpu *v);
/* Behind a switch that an exception made: its error code goes onto the new task's stack, as wide as its TSS. */
void task_push_error(struct vcpu *v, u32 error, u32 ext);

static inline void cpl_set(struct vcpu *v, u32 cpl)
{
	v->stats.ring_crossings += v->cpl != cpl;
	v->cpl = cpl;
}

#endif
