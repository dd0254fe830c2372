/*
 * The rules: what each instruction may do, given what is known of the registers (abstract interpretation along the paths of one TU).
 *
 * Invariants of translated code, assumed where a TU is entered and proven where it is left:
 *  - RAX RCX RDX RBX RBP RSI RDI R15 hold 32 bits of the guest's, zero-extended; nothing derived from a host address;
 *  - R12, R13, R14, the segment bases and what lies on the host's stack are the monitor's;
 *  - R8..R11 hold nothing (but R8 EIP at a head).
 * Of a register with a host value (enum kind) nothing but the next step of its idiom may be made; so no such value reaches the guest.
 */
#include <stddef.h>

#include "shadowpt/softmmu.h"
#include "shadowpt/window.h"
#include "translator/coverage.h"
#include "translator/verify_impl.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

/* ---- tables ---- */

enum { READ = 1, WRITE = 2, MASK = 4, SHIFT = 8, FACTOR = 16 }; /* MASK: by PEXT and PDEP; SHIFT: by SHRX; FACTOR: by MULX */

struct field {
	u16 offset, size;
	u8 how;
	u8 kind; /* what a read yields */
};

#define FIELD(m, how, kind)                                                                                                                \
	{                                                                                                                                  \
		offsetof(struct vcpu, m), sizeof(((struct vcpu *)0)->m), how, kind                                                         \
	}
#define SEGMENT(n, how)                                                                                                                    \
	FIELD(seg[n].base, how, K_U32), FIELD(seg[n].sel, how, K_U32), FIELD(seg[n].full_read, READ, K_U32),                               \
		FIELD(seg[n].full_write, READ, K_U32), FIELD(seg[n].low_read, READ | SHIFT, K_U32),                                        \
		FIELD(seg[n].low_write, READ | SHIFT, K_U32)

/* The fields of struct vcpu that translated code may touch; writes of sysflags have a rule of their own. */
static const struct field fields[] = {
	FIELD(sysflags, READ | WRITE, K_SYS),
	FIELD(events, READ, K_U32),
	FIELD(fpu_dp, WRITE, K_U32),
	FIELD(jc, READ, K_JC),
	FIELD(window_base, READ, K_WINDOW),
	FIELD(stats.jc_transfers, READ | WRITE, K_COUNTER),
	FIELD(insns, READ | WRITE, K_COUNTER),
	FIELD(mask_no_if, MASK, K_U32),
	FIELD(mask_host, MASK, K_U32),
	FIELD(mask31, MASK, K_U32),
	FIELD(mask15, MASK, K_U32),
	FIELD(tsc_line.base, READ, K_TIME),
	FIELD(tsc_line.scale, FACTOR, K_TIME),
	FIELD(tsc_line.offset, READ, K_TIME),
	FIELD(tsc_line.shift, READ, K_U32),
	{offsetof(struct vcpu, tsc_aux), 4, READ, K_U32}, /* its low half */
	FIELD(step, READ | WRITE, K_U32),
	FIELD(gdtr.base, READ, K_U32),
	FIELD(gdtr.limit, READ, K_U32),
	FIELD(idtr.base, READ, K_U32),
	FIELD(idtr.limit, READ, K_U32),
	FIELD(seg[SEG_LDTR].sel, READ, K_U32),
	FIELD(seg[SEG_TR].sel, READ, K_U32),
	FIELD(cr0, READ, K_U32),
	FIELD(cr2, READ, K_U32),
	FIELD(cr3, READ, K_U32),
	FIELD(cr4, READ, K_U32),
	SEGMENT(SEG_ES, READ | WRITE),
	SEGMENT(SEG_CS, READ),
	SEGMENT(SEG_SS, READ),
	SEGMENT(SEG_DS, READ | WRITE),
	SEGMENT(SEG_FS, READ | WRITE),
	SEGMENT(SEG_GS, READ | WRITE),
};

enum thunk_args {
	A_EIP,	  /* r8d: an EIP */
	A_HEAD,	  /* the same, and r10: the guest's ECX */
	A_CHAIN,  /* r9d: exit + 1 */
	A_MISS,	  /* r8: linear, r9d: meta */
	A_WRITE,  /* the same; returns twice */
	A_COMMIT, /* nothing */
	A_SEG,	  /* r8: offset, r9d: meta */
	A_EMU,	  /* r8d: emu_insn, r9d: meta */
};

static const struct thunk {
	void (*at)(void);
	bool call;
	u8 args, slot;
} thunks[] = {
	{thunk_exit_jc, false, A_EIP, 0},      {thunk_exit_chain, false, A_CHAIN, 0}, {thunk_head_miss, false, A_HEAD, 0},
	{thunk_sti_exit, false, A_EIP, 0},     {thunk_miss0, true, A_MISS, 0},	      {thunk_miss1, true, A_MISS, 1},
	{thunk_miss_write0, true, A_WRITE, 0}, {thunk_miss_write1, true, A_WRITE, 1}, {thunk_commit0, true, A_COMMIT, 0},
	{thunk_commit1, true, A_COMMIT, 1},    {thunk_seg0, true, A_SEG, 0},	      {thunk_seg1, true, A_SEG, 1},
	{thunk_callout, true, A_EMU, 0},
};

static const struct thunk *find_thunk(u64 address, bool call)
{
	for (unsigned i = 0; i < ARRAY_SIZE(thunks); i++)
		if ((u64)thunks[i].at == address && thunks[i].call == call)
			return &thunks[i];
	return NULL;
}

bool verify_is_thunk(u64 address, bool call)
{
	return find_thunk(address, call) != NULL;
}

bool verify_returns_twice(u64 address)
{
	const struct thunk *t = find_thunk(address, true);
	return t && t->args == A_WRITE;
}

/* ---- registers and values ---- */

static bool is_guest(unsigned r)
{
	return r <= RDI ? r != RSP : r == R15;
}
static bool is_scratch(unsigned r)
{
	return r >= R8 && r <= R11;
}
/* Where host values may be: RCX is what JRCXZ tests. */
static bool is_glue(unsigned r)
{
	return is_scratch(r) || r == RCX;
}
static bool is_usable(unsigned r)
{
	return is_guest(r) || is_scratch(r);
}

/* The name of what register r gets at `off`; `joined`: where paths meet. */
static u32 make_id(u32 off, unsigned r, bool joined)
{
	return (off + 1) << 5 | (joined ? 16 : 0) | r;
}
static struct value u32_value(u32 id)
{
	return (struct value){.kind = K_U32, .bits = ~0u, .id = id};
}
static void set_u32(struct vstate *s, unsigned r, const struct vinsn *in)
{
	s->r[r] = u32_value(make_id(in->off, r, false));
}
static bool u32_in(const struct vstate *s, unsigned r)
{
	return r < 16 && is_usable(r) && value_is_u32(&s->r[r]);
}
/* The name of a value as an address; pages and indexes carry that of the address which they were made from. */
static u32 identity(const struct value *x)
{
	return x->kind == K_U32 || x->kind >= K_SYS ? x->id : 0;
}
/* The bits that a value can have. */
static u32 bits_of(const struct value *x)
{
	return x->kind == K_U32 ? x->bits : ~0u;
}

static bool same(const struct value *a, const struct value *b)
{
	return a->kind == b->kind && a->exact == b->exact && a->write == b->write && a->size == b->size && a->bits == b->bits &&
	       a->id == b->id;
}

static struct value join(const struct value *a, const struct value *b, u32 id)
{
	if (same(a, b))
		return *a;
	if (!value_is_u32(a) || !value_is_u32(b))
		return (struct value){.kind = K_TOP};
	struct value x = u32_value(a->kind == K_U32 && b->kind == K_U32 && a->id == b->id ? a->id : id);
	x.bits = bits_of(a) | bits_of(b);
	return x;
}

enum verify_rule vstate_join(struct vstate *into, const struct vstate *from, u32 off)
{
	for (unsigned r = 0; r < 16; r++)
		into->r[r] = join(&into->r[r], &from->r[r], make_id(off, r, true));
	if (into->depth != from->depth || (into->depth && !same(&into->pushed, &from->pushed)))
		return VERIFY_STACK;
	return into->bounced != from->bounced ? VERIFY_COMMIT : VERIFY_OK;
}

void vstate_entry(struct vstate *s, bool at_head)
{
	*s = (struct vstate){0};
	for (unsigned r = 0; r < 16; r++)
		if (is_guest(r) || (r == R8 && at_head))
			s->r[r] = u32_value(r + 1);
}

/* Between the guest's code and the monitor's: nothing of the host in the guest's registers, nothing half done. */
static enum verify_rule check_boundary(const struct vstate *s)
{
	if (s->depth)
		return VERIFY_STACK;
	for (unsigned r = 0; r < 16; r++)
		if (is_guest(r) && !value_is_u32(&s->r[r]))
			return VERIFY_HOST_VALUE;
	return VERIFY_OK;
}

/* ---- memory ---- */

/* Of 32 bits; or of a register that is and a small displacement, or of a positive one alone: then a guard catches what is too much. */
static bool is_window(const struct vinsn *in)
{
	if (!(in->prefixes & P_GS))
		return false;
	if (in->prefixes & P_ADDR32)
		return true;
	if (in->index != V_NO_REG)
		return false;
	return in->base == V_NO_REG ? in->disp >= 0 : in->base < 16 && in->disp >= -WINDOW_REACH && in->disp <= WINDOW_REACH;
}

static const struct field *find_field(const struct vinsn *in, unsigned how)
{
	if (in->base != R14 || in->index != V_NO_REG || (in->prefixes & (P_GS | P_ADDR32)))
		return NULL;
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].offset == in->disp && fields[i].size == in->op[in->mem].size && (fields[i].how & how))
			return &fields[i];
	return NULL;
}

static bool address_is_guest(const struct vstate *s, const struct vinsn *in)
{
	return (in->base == V_NO_REG || u32_in(s, in->base)) && (in->index == V_NO_REG || u32_in(s, in->index));
}

/* The operand of a guest instruction: in the window, or where a look-up said. */
static enum verify_rule check_access(const struct verifier *r, const struct vstate *s, const struct vinsn *in, bool write)
{
	if (in->prefixes & (P_GS | P_ADDR32)) {
		if (!is_window(in))
			return VERIFY_MEMORY;
		if (!(r->tu->mode & MODE_DIRECT))
			return VERIFY_WINDOW;
		return address_is_guest(s, in) ? VERIFY_OK : VERIFY_HOST_VALUE;
	}
	if (in->base == R14)
		return VERIFY_VCPU;
	if (in->base >= 16 || in->index >= 16 || in->scale != 1 || in->disp < 0)
		return VERIFY_MEMORY;
	unsigned delta = in->base, offset = in->index;
	if (s->r[offset].kind == K_DELTA_HIT) {
		delta = in->index;
		offset = in->base;
	}
	const struct value *d = &s->r[delta], *o = &s->r[offset];
	if (!is_scratch(delta) || d->kind != K_DELTA_HIT || !is_scratch(offset) || !value_is_u32(o))
		return VERIFY_MEMORY;
	if (!d->id || d->id != identity(o) || in->disp + in->op[in->mem].size > d->size || (write && !d->write))
		return VERIFY_LOOKUP;
	return VERIFY_OK;
}

/* ---- ordinary instructions ---- */

static enum verify_rule check_gpr(const struct vstate *s, const struct vop *op, bool read)
{
	if (!is_usable(op->reg))
		return VERIFY_REGISTER;
	if (op->size == 8)
		return VERIFY_WIDTH;
	return read && !value_is_u32(&s->r[op->reg]) ? VERIFY_HOST_VALUE : VERIFY_OK;
}

/* Reads operands and writes them as in->effect and `extra` say; the results are any 32 bits. */
static enum verify_rule step_ordinary(const struct verifier *r, struct vstate *s, const struct vinsn *in, unsigned extra)
{
	unsigned effect = in->effect | extra;
	if (effect & E_WIDE)
		effect = in->ops == 1 ? (effect & ~E_W0) | E_AX | E_DX : effect;
	for (unsigned i = 0; i < in->ops; i++) {
		bool write = (i == 0 && (effect & E_W0)) || (i == 1 && (effect & E_W1));
		enum verify_rule rule = VERIFY_OK;
		if (in->op[i].type == VOP_GPR)
			rule = check_gpr(s, &in->op[i], !(i == 0 && (effect & E_ONLY) && in->op[i].size == 4));
		else if (in->op[i].type == VOP_MEM && in->id != X86_INS_NOP)
			rule = check_access(r, s, in, write);
		if (rule)
			return rule;
	}
	/* A prefix without an operand to apply to. */
	if (in->mem == V_NO_REG && (in->prefixes & (P_GS | P_ADDR32 | P_LOCK)))
		return VERIFY_PREFIX;
	for (unsigned i = 0; i < 2; i++)
		if (in->op[i].type == VOP_GPR && (effect & (i ? E_W1 : E_W0)))
			set_u32(s, in->op[i].reg, in);
	static const struct {
		u16 effect, reg;
	} implicit[] = {{E_AX, RAX}, {E_CX, RCX}, {E_DX, RDX}};
	for (unsigned i = 0; i < ARRAY_SIZE(implicit); i++) {
		if (!(effect & implicit[i].effect))
			continue;
		if (!value_is_u32(&s->r[implicit[i].reg]))
			return VERIFY_HOST_VALUE;
		set_u32(s, implicit[i].reg, in);
	}
	return VERIFY_OK;
}

/* ---- glue ---- */

/* mov r64, r64: between RCX and the scratch registers; any value. */
static enum verify_rule step_copy(struct vstate *s, const struct vinsn *in)
{
	if (in->op[0].size != 8 || !is_glue(in->op[0].reg) || !is_glue(in->op[1].reg))
		return VERIFY_WIDTH;
	s->r[in->op[0].reg] = s->r[in->op[1].reg];
	return VERIFY_OK;
}

static enum verify_rule step_mov_register(const struct verifier *r, struct vstate *s, const struct vinsn *in)
{
	const struct vop *to = &in->op[0], *from = &in->op[1];
	if (to->size == 8)
		return step_copy(s, in);
	/* What is left of a string's address: its low half is the guest's, for windows are 4 GiB-aligned. */
	if (to->size == 4 && to->reg == from->reg && (to->reg == RSI || to->reg == RDI) &&
	    (s->r[to->reg].kind == K_STRING || s->r[to->reg].kind == K_STRING_END)) {
		set_u32(s, to->reg, in);
		return VERIFY_OK;
	}
	if (to->size == 4 && s->r[from->reg].kind == K_TIME && is_usable(to->reg)) {
		set_u32(s, to->reg, in);
		return VERIFY_OK;
	}
	struct value copied = s->r[from->reg];
	enum verify_rule rule = step_ordinary(r, s, in, E_W0 | E_ONLY);
	if (!rule && to->size == 4 && copied.kind == K_U32)
		s->r[to->reg].bits = copied.bits;
	return rule;
}

/* mov r64, [r13 + index * 8]: the delta of a page. */
static enum verify_rule step_table_read(struct vstate *s, const struct vinsn *in)
{
	const struct vop *to = &in->op[0];
	if (in->index >= 16 || s->r[in->index].kind != K_INDEX || in->scale != 8 || (in->disp && in->disp != MMU_WRITE_OFFSET) ||
	    (in->prefixes & (P_GS | P_ADDR32)) || to->size != 8 || !is_glue(to->reg))
		return VERIFY_TABLE;
	struct value index = s->r[in->index];
	s->r[to->reg] = (struct value){.kind = K_DELTA, .id = index.id, .size = index.size, .write = in->disp != 0};
	return VERIFY_OK;
}

/* mov r32, [r10 + r8*4]: the entry of EIP; or of its low 16 bits. Or mov r32, [r10], to see whether there are entries: a poll. */
static enum verify_rule step_jump_cache(const struct verifier *r, struct vstate *s, const struct vinsn *in)
{
	const struct vop *to = &in->op[0];
	if (in->index == V_NO_REG && !in->disp && !in->prefixes && to->size == 4 && is_scratch(to->reg)) {
		s->r[to->reg] = (struct value){.kind = K_TOP};
		return VERIFY_OK;
	}
	if (in->index >= 16 || in->scale != 4 || in->disp || in->prefixes || to->size != 4 || !is_scratch(to->reg))
		return VERIFY_TABLE;
	const struct value *index = &s->r[in->index];
	u32 id = tc_is_flat(r->v->tc) ? identity(index) : index->kind == K_LOW16 ? index->id : 0;
	if (!id || id != identity(&s->r[R8]))
		return VERIFY_TABLE;
	s->r[to->reg] = (struct value){.kind = K_JC_ENTRY, .id = id};
	return VERIFY_OK;
}

/* CR0 is SMSW's as well. */
static bool is_control_register(const struct field *f)
{
	return f->offset > offsetof(struct vcpu, cr0) && f->offset <= offsetof(struct vcpu, cr4);
}

static enum verify_rule step_mov_load(const struct verifier *r, struct vstate *s, const struct vinsn *in)
{
	const struct vop *to = &in->op[0];
	if (in->base == R13)
		return step_table_read(s, in);
	if (in->base == R14) {
		const struct field *f = find_field(in, READ);
		if (!f || in->prefixes || to->size != f->size || (is_control_register(f) && (r->tu->mode & MODE_CPL)))
			return VERIFY_VCPU;
		if (!is_glue(to->reg) && !(to->size == 4 && is_usable(to->reg)))
			return VERIFY_REGISTER;
		s->r[to->reg] = u32_value(make_id(in->off, to->reg, false));
		s->r[to->reg].kind = f->kind;
		if (f->kind == K_COUNTER)
			s->r[to->reg].id = f->offset;
		return VERIFY_OK;
	}
	if (in->base < 16 && s->r[in->base].kind == K_JC)
		return step_jump_cache(r, s, in);
	return step_ordinary(r, s, in, E_W0 | E_ONLY);
}

/* Only where CPL does not exceed IOPL, and only to switch IF. */
static bool may_switch_if(const struct verifier *r)
{
	return !(r->tu->mode & MODE_CPL) || (r->tu->mode & MODE_IOPL3);
}

static enum verify_rule check_sysflags(const struct verifier *r, const struct value *x)
{
	if (!may_switch_if(r) || (x->kind != K_SYS_NO_IF && x->kind != K_SYS_IF))
		return VERIFY_FLAGS;
	return VERIFY_OK;
}

static bool is_segment_field(const struct field *f)
{
	return f->offset >= offsetof(struct vcpu, seg) && f->offset < offsetof(struct vcpu, seg) + sizeof(((struct vcpu *)0)->seg);
}

/* A selector or base may be stored where a selector is a paragraph: limits and rights stay. */
static enum verify_rule check_paragraph(const struct verifier *r, const struct value *x, const struct field *f)
{
	bool sel = (f->offset - offsetof(struct vcpu, seg)) % sizeof(struct segment) == offsetof(struct segment, sel);

	if (!(r->tu->mode & (MODE_REAL | MODE_V86)))
		return VERIFY_VCPU;
	return value_is_u32(x) && (!sel || !(bits_of(x) & ~0xffffu)) ? VERIFY_OK : VERIFY_HOST_VALUE;
}

/* mov byte [mark], 1: counts nothing but that it was there (-d insn). */
static bool is_mark(const struct verifier *r, const struct vinsn *in)
{
	u64 marks = (u64)r->v->marks;
	return marks && in->base == V_NO_REG && in->index == V_NO_REG && !in->prefixes && in->op[0].size == 1 &&
	       in->op[1].type == VOP_IMM && in->op[1].imm == 1 && (u64)in->disp >= marks && (u64)in->disp < marks + COVERAGE_MARKS;
}

static enum verify_rule step_mov_store(const struct verifier *r, struct vstate *s, const struct vinsn *in)
{
	const struct vop *from = &in->op[1];
	if (is_mark(r, in))
		return VERIFY_OK;
	if (in->base != R14 || (in->prefixes & (P_GS | P_ADDR32)))
		return step_ordinary(r, s, in, E_W0);
	const struct field *f = find_field(in, WRITE);
	if (!f || from->type != VOP_GPR || from->size != f->size || (in->prefixes & P_LOCK) || !is_usable(from->reg))
		return VERIFY_VCPU;
	const struct value *x = &s->r[from->reg];
	if (f->kind == K_SYS)
		return check_sysflags(r, x);
	if (is_segment_field(f))
		return check_paragraph(r, x, f);
	if (f->kind == K_COUNTER)
		return x->kind == K_COUNTED && x->id == f->offset ? VERIFY_OK : VERIFY_HOST_VALUE;
	return value_is_u32(x) ? VERIFY_OK : VERIFY_HOST_VALUE;
}

static enum verify_rule step_mov(const struct verifier *r, struct vstate *s, const struct vinsn *in)
{
	if (in->ops != 2)
		return VERIFY_UNLISTED;
	if (in->mem == 0)
		return step_mov_store(r, s, in);
	if (in->mem == 1)
		return step_mov_load(r, s, in);
	if (in->op[1].type == VOP_GPR)
		return step_mov_register(r, s, in);
	enum verify_rule rule = step_ordinary(r, s, in, E_W0 | E_ONLY);
	if (!rule && in->op[0].size == 4) {
		struct value *x = &s->r[in->op[0].reg];
		x->exact = true;
		x->bits = (u32)in->op[1].imm;
	}
	return rule;
}

/* lea r32: an address of the guest's, or the last step of an index or of sysflags. */
static enum verify_rule step_lea32(struct vstate *s, const struct vinsn *in)
{
	unsigned to = in->op[0].reg;
	if (!is_usable(to))
		return VERIFY_REGISTER;
	if (!address_is_guest(s, in))
		return VERIFY_HOST_VALUE;
	struct value x = u32_value(make_id(in->off, to, false));
	const struct value *a = in->base < 16 ? &s->r[in->base] : NULL, *b = in->index < 16 ? &s->r[in->index] : NULL;
	if (a && b && in->scale == 1 && !in->disp && a->id == b->id && a->id) {
		if (a->kind == K_PAGE && b->kind == K_PAGE)
			x = (struct value){.kind = K_INDEX, .id = a->id, .size = 1};
		else if (a->kind == K_LASTPAGE && b->kind == K_PAGE)
			x = (struct value){.kind = K_INDEX, .id = a->id, .size = a->size};
		else if (a->kind == K_PAGE && b->kind == K_LASTPAGE)
			x = (struct value){.kind = K_INDEX, .id = a->id, .size = b->size};
	} else if (a && !b && a->kind == K_SYS_NO_IF && in->disp == EFLAGS_IF) {
		x.kind = K_SYS_IF;
	}
	s->r[to] = x;
	return VERIFY_OK;
}

/* 64 bits of time are in scratch registers, and in RDX for MULX. */
static bool holds_time(unsigned r)
{
	return is_scratch(r) || r == RDX;
}
static bool is_time(const struct vstate *s, unsigned r)
{
	return r < 16 && (u32_in(s, r) || (holds_time(r) && s->r[r].kind == K_TIME));
}
static void set_time(struct vstate *s, unsigned r)
{
	s->r[r] = (struct value){.kind = K_TIME};
}

/* rdtsc */
static enum verify_rule step_rdtsc(struct vstate *s, const struct vinsn *in)
{
	if (in->prefixes || in->rex)
		return VERIFY_PREFIX;
	set_u32(s, RAX, in);
	set_u32(s, RDX, in);
	return VERIFY_OK;
}

/* rorx r64, r64, 32 */
static enum verify_rule step_rorx64(struct vstate *s, const struct vinsn *in)
{
	const struct vop *to = &in->op[0], *from = &in->op[1];
	if (in->ops != 3 || from->type != VOP_GPR || !holds_time(to->reg) || !is_time(s, from->reg))
		return VERIFY_WIDTH;
	set_time(s, to->reg);
	return VERIFY_OK;
}

/* mulx r64, r64, [scale] */
static enum verify_rule step_mulx(struct vstate *s, const struct vinsn *in)
{
	if (in->ops != 3 || in->mem != 2 || !find_field(in, FACTOR))
		return VERIFY_VCPU;
	if (in->op[0].size != 8 || !is_scratch(in->op[0].reg) || !is_scratch(in->op[1].reg) || !is_time(s, RDX))
		return VERIFY_WIDTH;
	set_time(s, in->op[0].reg);
	set_time(s, in->op[1].reg);
	return VERIFY_OK;
}

static enum verify_rule step_lea64(const struct verifier *r, struct vstate *s, const struct vinsn *in)
{
	unsigned to = in->op[0].reg;
	struct value x = {0};
	if (in->base >= 16)
		return VERIFY_WIDTH;
	const struct value *a = &s->r[in->base];
	if (in->index == V_NO_REG && is_scratch(to)) {
		if (value_is_u32(a) && is_scratch(in->base) && in->disp >= 0 && in->disp < BOUNCE_MAX)
			x = (struct value){.kind = K_LAST, .id = identity(a), .size = (u16)(in->disp + 1)};
		else if (a->kind == K_COUNTER && in->disp == 1)
			x = (struct value){.kind = K_COUNTED, .id = a->id};
	} else if (a->kind == K_JC_ENTRY && in->index == R12 && in->scale == 1 && !in->disp && is_scratch(to)) {
		x = (struct value){.kind = K_JC_TARGET, .id = a->id};
	} else if (a->kind == K_WINDOW && in->index == to && (to == RSI || to == RDI) && u32_in(s, to) && in->scale == 1 && !in->disp) {
		if (!(r->tu->mode & MODE_DIRECT))
			return VERIFY_WINDOW;
		x.kind = K_STRING;
	} else if (holds_time(to) && is_time(s, in->base) && is_time(s, in->index) && in->scale == 1 && !in->disp) {
		x.kind = K_TIME;
	}
	if (x.kind == K_TOP)
		return VERIFY_WIDTH;
	s->r[to] = x;
	return VERIFY_OK;
}

static enum verify_rule step_lea(const struct verifier *r, struct vstate *s, const struct vinsn *in)
{
	if (in->prefixes || in->mem != 1)
		return VERIFY_PREFIX;
	return in->op[0].size == 8 ? step_lea64(r, s, in) : step_lea32(s, in);
}

/* shrx by r12: to a page number. Or of a field of the vCPU, by anything. */
static enum verify_rule step_shrx(struct vstate *s, const struct vinsn *in)
{
	const struct vop *to = &in->op[0], *from = &in->op[1], *count = &in->op[2];
	if (in->mem == 1) {
		if (!find_field(in, SHIFT) || in->ops != 3 || count->type != VOP_GPR)
			return VERIFY_VCPU;
		if (to->size != 4 || !is_usable(to->reg) || !u32_in(s, count->reg))
			return VERIFY_REGISTER;
		set_u32(s, to->reg, in);
		return VERIFY_OK;
	}
	struct value x = s->r[from->reg];
	if (in->ops == 3 && x.kind == K_TIME && to->reg == RCX && to->size == 8 && count->type == VOP_GPR && u32_in(s, count->reg)) {
		set_time(s, to->reg);
		return VERIFY_OK;
	}
	if (in->ops != 3 || in->mem != V_NO_REG || count->type != VOP_GPR || count->reg != R12 || !is_scratch(to->reg))
		return VERIFY_REGISTER;
	if (to->size == 4 && u32_in(s, from->reg))
		s->r[to->reg] = (struct value){.kind = K_PAGE, .id = identity(&x)};
	else if (to->size == 8 && x.kind == K_LAST)
		s->r[to->reg] = (struct value){.kind = K_LASTPAGE, .id = x.id, .size = x.size};
	else
		return VERIFY_TABLE;
	return VERIFY_OK;
}

/* pext, pdep: of the guest's 32 bits by a mask in the vCPU. */
static enum verify_rule step_pack(struct vstate *s, const struct vinsn *in)
{
	const struct vop *to = &in->op[0], *from = &in->op[1];
	const struct field *f = in->mem == 2 ? find_field(in, MASK) : NULL;
	bool pdep = in->id == X86_INS_PDEP;
	if (!f || in->ops != 3)
		return VERIFY_VCPU;
	if (to->size != 4 || !is_usable(to->reg) || !is_usable(from->reg))
		return VERIFY_REGISTER;
	struct value old = s->r[from->reg];
	bool host_flags = old.kind == K_FLAGS && !pdep && f->offset == offsetof(struct vcpu, mask_host);
	if (!value_is_u32(&old) && !host_flags)
		return VERIFY_HOST_VALUE;
	set_u32(s, to->reg, in);
	if (f->offset == offsetof(struct vcpu, mask_no_if)) {
		if (old.kind == K_SYS && !pdep)
			s->r[to->reg].kind = K_SYS_PACKED;
		else if (old.kind == K_SYS_PACKED && pdep)
			s->r[to->reg].kind = K_SYS_NO_IF;
	}
	return VERIFY_OK;
}

/* pushfq ; pop r64, and push r64 ; popfq */
static enum verify_rule step_stack(struct vstate *s, const struct vinsn *in)
{
	bool reg = in->id == X86_INS_PUSH || in->id == X86_INS_POP;
	if (in->prefixes || (reg && (in->op[0].type != VOP_GPR || in->op[0].size != 8 || !is_scratch(in->op[0].reg))))
		return VERIFY_STACK;
	bool push = in->id == X86_INS_PUSH || in->id == X86_INS_PUSHFQ;
	if (s->depth != !push)
		return VERIFY_STACK;
	s->depth = push;
	switch (in->id) {
	case X86_INS_PUSHFQ:
		s->pushed = (struct value){.kind = K_FLAGS};
		return VERIFY_OK;
	case X86_INS_PUSH:
		s->pushed = s->r[in->op[0].reg];
		return VERIFY_OK;
	case X86_INS_POP:
		s->r[in->op[0].reg] = s->pushed;
		return VERIFY_OK;
	default:
		return s->pushed.kind == K_U32 && !(s->pushed.bits & ~EFLAGS_HOST) ? VERIFY_OK : VERIFY_FLAGS;
	}
}

/* The host's own string instructions, on addresses in the window. A5 and A7 are also what Capstone calls SSE2's MOVSD and CMPSD. */
static enum verify_rule step_string(const struct verifier *r, struct vstate *s, const struct vinsn *in)
{
	unsigned op = in->opcode & ~1u;
	bool src = op == 0xa4 || op == 0xa6 || op == 0xac, dst = op != 0xac;
	if (op < 0xa4 || op > 0xae || op == 0xa8)
		return VERIFY_UNLISTED;
	if (in->prefixes & (P_GS | P_ADDR32 | P_LOCK) || in->rex)
		return VERIFY_PREFIX;
	if (!(r->tu->mode & MODE_DIRECT))
		return VERIFY_WINDOW;
	if ((src && s->r[RSI].kind != K_STRING) || (dst && s->r[RDI].kind != K_STRING))
		return VERIFY_STRING;
	if (!value_is_u32(&s->r[RCX]) || !value_is_u32(&s->r[RAX]))
		return VERIFY_HOST_VALUE;
	if (src)
		s->r[RSI] = (struct value){.kind = K_STRING_END};
	if (dst)
		s->r[RDI] = (struct value){.kind = K_STRING_END};
	if (in->prefixes & (P_REP | P_REPNE))
		set_u32(s, RCX, in);
	if (op == 0xac)
		set_u32(s, RAX, in);
	return VERIFY_OK;
}

static enum verify_rule step_glue(const struct verifier *r, struct vstate *s, const struct vinsn *in)
{
	switch (in->id) {
	case X86_INS_MOV:
		return step_mov(r, s, in);
	case X86_INS_LEA:
		return step_lea(r, s, in);
	case X86_INS_SHRX:
		return step_shrx(s, in);
	case X86_INS_RDTSC:
		return step_rdtsc(s, in);
	case X86_INS_MULX:
		return step_mulx(s, in);
	case X86_INS_PEXT:
	case X86_INS_PDEP:
		return step_pack(s, in);
	case X86_INS_PUSH:
	case X86_INS_POP:
	case X86_INS_PUSHFQ:
	case X86_INS_POPFQ:
		return step_stack(s, in);
	case X86_INS_MOVSD:
	case X86_INS_CMPSD:
		return in->opcode == 0x0f ? step_ordinary(r, s, in, 0) : step_string(r, s, in);
	default:
		return step_string(r, s, in);
	}
}

/* ---- transfers ---- */

/* r9d: the number of this TU, and of one of its instructions. The instruction's, or NULL. */
static const struct tu_insn *meta_insn(const struct verifier *r, const struct vstate *s)
{
	const struct value *m = &s->r[R9];
	struct tc *tc = r->v->tc;
	if (m->kind != K_U32 || !m->exact || m->bits >> 8 != tu_index(tc, r->tu) || (m->bits & 0xff) >= r->tu->insn_count)
		return NULL;
	return tu_insn(tc, r->tu, m->bits & 0xff);
}

static bool owns_exit(const struct verifier *r, const struct value *x)
{
	return x->kind == K_U32 && x->exact && x->bits - 1 - r->tu->exits < r->tu->exit_count;
}

static bool owns_emu(const struct verifier *r, const struct value *x)
{
	return x->kind == K_U32 && x->exact && x->bits >= r->first_emu && x->bits < r->v->tc->emu_count;
}

/* What C leaves: the callee-saved registers, those that the thunk saves, the guest's from the vCPU. */
static void after_call(struct vstate *s, const struct vinsn *in, bool all)
{
	static const u8 reloaded[] = {RAX, RCX, RDX, RSI, RDI};
	for (unsigned i = 0; i < ARRAY_SIZE(reloaded); i++)
		set_u32(s, reloaded[i], in);
	if (all) {
		set_u32(s, RBX, in);
		set_u32(s, RBP, in);
		set_u32(s, R15, in);
	}
	s->r[R9] = (struct value){.kind = K_TOP};
	/* Host addresses that were looked up before may be stale. */
	for (unsigned r = R8; r <= R11; r++)
		if (!value_is_u32(&s->r[r]))
			s->r[r] = (struct value){.kind = K_TOP};
}

static enum verify_rule step_call(struct verifier *r, struct vstate *s, const struct vinsn *in, struct vstate *twice)
{
	const struct thunk *t = find_thunk(in->target, true);
	if (!t)
		return VERIFY_TRANSFER;
	enum verify_rule rule = check_boundary(s);
	if (rule)
		return rule;
	if (t->args == A_COMMIT) {
		if (s->bounced != t->slot + 1)
			return VERIFY_COMMIT;
		s->bounced = 0;
		after_call(s, in, true);
		return VERIFY_OK;
	}
	const struct tu_insn *insn = meta_insn(r, s);
	if (s->bounced)
		return VERIFY_COMMIT;
	if (!insn || !value_is_u32(&s->r[R8]))
		return VERIFY_THUNK;
	if (t->args == A_EMU) {
		if (!owns_emu(r, &s->r[R8]))
			return VERIFY_THUNK;
		after_call(s, in, true);
		for (unsigned i = R8; i <= R11; i++)
			s->r[i] = (struct value){.kind = K_TOP};
		return VERIFY_OK;
	}
	u32 access = insn->access[t->slot];
	if (!ACCESS_SIZE(access) || ACCESS_SIZE(access) > BOUNCE_MAX || !(access & (ACCESS_READ | ACCESS_WRITE)))
		return VERIFY_THUNK;
	after_call(s, in, false);
	if (t->args == A_SEG) {
		set_u32(s, R8, in);
		return VERIFY_OK;
	}
	bool write = access & ACCESS_WRITE;
	if (write != (t->args == A_WRITE))
		return VERIFY_THUNK;
	s->r[R9] = (struct value){.kind = K_DELTA_HIT, .id = identity(&s->r[R8]), .size = (u16)ACCESS_SIZE(access), .write = write};
	if (t->args == A_WRITE) {
		*twice = *s;
		twice->bounced = t->slot + 1;
	}
	return VERIFY_OK;
}

static enum verify_rule step_leave(const struct verifier *r, const struct vstate *s, const struct thunk *t)
{
	enum verify_rule rule = check_boundary(s);
	if (rule)
		return rule;
	if (s->bounced)
		return VERIFY_COMMIT;
	if (t->args == A_CHAIN)
		return owns_exit(r, &s->r[R9]) ? VERIFY_OK : VERIFY_THUNK;
	if (!value_is_u32(&s->r[R8]) || (t->args == A_HEAD && !value_is_u32(&s->r[R10])))
		return VERIFY_THUNK;
	return VERIFY_OK;
}

/* jmp r9, at the end of the jump cache's idiom. */
static enum verify_rule step_indirect(const struct vstate *s, const struct vinsn *in)
{
	const struct vop *op = &in->op[0];
	if (in->id != X86_INS_JMP || op->type != VOP_GPR || op->size != 8 || s->r[op->reg].kind != K_JC_TARGET)
		return VERIFY_TRANSFER;
	enum verify_rule rule = check_boundary(s);
	if (rule)
		return rule;
	if (s->bounced)
		return VERIFY_COMMIT;
	return identity(&s->r[R8]) == s->r[op->reg].id ? VERIFY_OK : VERIFY_THUNK;
}

static enum verify_rule step_flow(struct verifier *r, struct vstate *s, const struct vinsn *in, struct vstate *branch)
{
	if (in->ops != 1 || in->op[0].type != VOP_IMM)
		return step_indirect(s, in);
	if (in->id == X86_INS_CALL)
		return step_call(r, s, in, branch);
	const struct thunk *t = find_thunk(in->target, false);
	if (t)
		return in->id == X86_INS_JMP ? step_leave(r, s, t) : VERIFY_TRANSFER;
	/* 67 E2 (E1, E0), and 67 E3: on ECX. Without the prefix LOOP would count in RCX. */
	bool loop = in->opcode >= 0xe0 && in->opcode <= 0xe2;
	if (loop && !(in->prefixes & P_ADDR32))
		return VERIFY_WIDTH;
	if ((loop || in->id == X86_INS_JECXZ) && !value_is_u32(&s->r[RCX]))
		return VERIFY_HOST_VALUE;
	if (loop)
		set_u32(s, RCX, in);
	*branch = *s;
	if (in->id == X86_INS_JRCXZ && s->r[RCX].kind == K_DELTA) {
		struct value tested = s->r[RCX];
		for (unsigned i = 0; i < 16; i++)
			if (same(&s->r[i], &tested))
				s->r[i].kind = K_DELTA_HIT;
	}
	return VERIFY_OK;
}

/* movaps xmm, [r14 + 1]: never aligned, so it never reads. */
static bool is_alignment_fault(const struct vinsn *in)
{
	return in->id == X86_INS_MOVAPS && in->mem == 1 && in->base == R14 && in->index == V_NO_REG && in->disp == 1 && !in->prefixes;
}

/* xor [r14 + sysflags], r32: switches IF. */
static bool is_sysflags_xor(const struct vinsn *in)
{
	return in->id == X86_INS_XOR && in->mem == 0 && in->base == R14 && in->disp == offsetof(struct vcpu, sysflags) &&
	       find_field(in, WRITE);
}

enum verify_rule vstate_step(struct verifier *r, struct vstate *s, const struct vinsn *in, struct vstate *branch)
{
	if (in->effect & E_FLOW)
		return step_flow(r, s, in, branch);
	if (in->effect & E_GLUE)
		return step_glue(r, s, in);
	if (is_alignment_fault(in))
		return VERIFY_OK;
	if (in->id == X86_INS_RORX && in->op[0].size == 8)
		return step_rorx64(s, in);
	if (is_sysflags_xor(in)) {
		const struct vop *from = &in->op[1];
		bool only_if = from->type == VOP_GPR && from->size == 4 && u32_in(s, from->reg) && s->r[from->reg].kind == K_U32 &&
			       !(s->r[from->reg].bits & ~EFLAGS_IF);
		return only_if && may_switch_if(r) ? VERIFY_OK : VERIFY_FLAGS;
	}
	/* AND with a constant bounds what is left. */
	bool bounds =
		in->id == X86_INS_AND && in->ops == 2 && in->op[0].type == VOP_GPR && in->op[0].size == 4 && in->op[1].type == VOP_IMM;
	u32 bits = bounds ? bits_of(&s->r[in->op[0].reg]) & (u32)in->op[1].imm : 0;
	bool low16 = in->id == X86_INS_MOVZX && in->op[0].reg == R9 && in->op[1].type == VOP_GPR && in->op[1].reg == R8 &&
		     in->op[1].size == 2 && in->op[0].size == 4;
	enum verify_rule rule = step_ordinary(r, s, in, 0);
	if (rule)
		return rule;
	if (bounds)
		s->r[in->op[0].reg].bits = bits;
	else if (low16)
		s->r[R9] = (struct value){.kind = K_LOW16, .id = identity(&s->r[R8])};
	else if (in->id == X86_INS_MOVZX && in->op[0].size == 4 && s->r[in->op[0].reg].kind == K_U32)
		s->r[in->op[0].reg].bits = in->op[1].size == 1 ? 0xff : 0xffff;
	return VERIFY_OK;
}
