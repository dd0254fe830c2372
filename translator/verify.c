/*
 * The verifier's driver. From the places where a TU is entered it decodes every instruction that can be reached, cuts them into blocks, and
 * runs the blocks in an order in which each comes behind all that lead to it (there are no loops within a TU: a loop is an exit to the TU
 * itself, with a poll), so each is run once, on what is true on every way to it.
 *
 * A TU is entered at its head, at its body, and, by chained exits, at instructions in its middle: all of these are looked at with nothing
 * known but what is true at each entry.
 *
 * Invariant: a byte that is never reached is never looked at, and never executed: control goes only where the rules follow it.
 */
#include "translator/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"
#include "translator/verify_impl.h"

struct verifier *verifier_create(void)
{
	struct verifier *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &r->cs) != CS_ERR_OK) {
		free(r);
		return NULL;
	}
	cs_option(r->cs, CS_OPT_DETAIL, CS_OPT_ON);
	r->scratch = cs_malloc(r->cs);
	if (!r->scratch) {
		verifier_free(r);
		return NULL;
	}
	return r;
}

void verifier_free(struct verifier *r)
{
	if (!r)
		return;
	if (r->scratch)
		cs_free(r->scratch, 1);
	cs_close(&r->cs);
	free(r);
}

const char *verify_rule_name(enum verify_rule rule)
{
	static const char *const names[] = {[VERIFY_OK] = "ok",
#define X(name, text) [VERIFY_##name] = #name,
					    VERIFY_RULES(X)
#undef X
	};
	return names[rule];
}

const char *verify_rule_text(enum verify_rule rule)
{
	static const char *const texts[] = {[VERIFY_OK] = "",
#define X(name, text) [VERIFY_##name] = text,
					    VERIFY_RULES(X)
#undef X
	};
	return texts[rule];
}

/* ---- decoding ---- */

/* An offset in the TU, or not: then it is >= length. */
static u64 offset_of(const struct verifier *r, u64 address)
{
	return address - r->tu->head;
}

static u32 next_off(const struct vinsn *in)
{
	return (u32)in->off + in->length;
}

/* A block begins at `off`; new ones go to the work list. */
static enum verify_rule add_block(struct verifier *r, u64 off, u32 *work)
{
	if (off >= r->length)
		return VERIFY_END;
	if (r->block_at[off])
		return VERIFY_OK;
	if (r->blocks == V_MAX_BLOCKS)
		return VERIFY_LIMIT;
	r->block[r->blocks].off = (u16)off;
	r->block[r->blocks].known = false;
	r->block[r->blocks].colour = 0;
	r->work[(*work)++] = (u16)r->blocks;
	r->block_at[off] = (u16)++r->blocks;
	return VERIFY_OK;
}

/* JRCXZ's way to a cold stub: the last five bytes of the NOP `0F 1F 84 E9 disp32`, as `E9 rel32`. */
static bool is_jump_in_nop(const struct verifier *r, const struct vinsn *jump, const struct vinsn *nop)
{
	const u8 *p = r->code + nop->off;
	return jump->opcode == 0xe9 && jump->length == 5 && nop->length == 8 && jump->off == nop->off + 3 && p[0] == 0x0f && p[1] == 0x1f &&
	       p[2] == 0x84;
}

static enum verify_rule claim_bytes(struct verifier *r, u32 n)
{
	const struct vinsn *in = &r->insn[n];
	for (u32 b = in->off; b < next_off(in); b++) {
		if (r->covers[b]) {
			const struct vinsn *other = &r->insn[r->covers[b] - 1];
			if (!is_jump_in_nop(r, in, other) && !is_jump_in_nop(r, other, in))
				return VERIFY_OVERLAP;
		} else {
			r->covers[b] = (u16)(n + 1);
		}
	}
	r->starts[in->off] = (u16)(n + 1);
	return VERIFY_OK;
}

/* Where an instruction leads other than to the next: adds those blocks. *ends: it does not fall through. */
static enum verify_rule follow(struct verifier *r, const struct vinsn *in, u32 *work, bool *ends)
{
	*ends = false;
	if (!(in->effect & E_FLOW))
		return VERIFY_OK;
	bool direct = in->ops == 1 && in->op[0].type == VOP_IMM;
	if (in->id == X86_INS_CALL) {
		if (!direct || !verify_is_thunk(in->target, true))
			return VERIFY_TRANSFER;
		enum verify_rule rule = add_block(r, next_off(in), work);
		if (!rule && verify_returns_twice(in->target))
			rule = add_block(r, (u64)next_off(in) + 5, work);
		*ends = true;
		return rule;
	}
	*ends = true;
	if (in->id == X86_INS_JMP && (!direct || verify_is_thunk(in->target, false)))
		return VERIFY_OK;
	if (offset_of(r, in->target) >= r->length)
		return VERIFY_TRANSFER;
	enum verify_rule rule = add_block(r, offset_of(r, in->target), work);
	return rule || in->id == X86_INS_JMP ? rule : add_block(r, next_off(in), work);
}

static enum verify_rule decode_block(struct verifier *r, u32 off, u32 *work, u32 *where)
{
	bool ends = false;
	while (!ends) {
		*where = off;
		if (off >= r->length)
			return VERIFY_END;
		/* Into what is known already: two ways meet here. */
		if (r->starts[off])
			return add_block(r, off, work);
		if (r->insns == V_MAX_INSNS)
			return VERIFY_LIMIT;
		struct vinsn *in = &r->insn[r->insns++];
		in->off = (u16)off;
		enum verify_rule rule =
			verify_decode_memo(&r->memo, r->cs, r->scratch, r->code + off, r->length - off, r->tu->head + (u64)off, in);
		if (!rule)
			rule = claim_bytes(r, r->insns - 1);
		if (!rule)
			rule = follow(r, in, work, &ends);
		if (rule)
			return rule;
		off = next_off(in);
	}
	return VERIFY_OK;
}

/* The n'th instruction's place for chained exits to come in: an offset in the TU, or 0. */
static u32 join_of(const struct verifier *r, u32 n)
{
	return tu_insn(r->v->tc, r->tu, n)->join_off;
}

static enum verify_rule decode_all(struct verifier *r, u32 *where)
{
	u32 work = 0;
	*where = 0;
	enum verify_rule rule = add_block(r, 0, &work);
	if (!rule)
		rule = add_block(r, offset_of(r, r->tu->body), &work);
	for (u32 i = 1; i < r->tu->insn_count && !rule; i++)
		if (join_of(r, i))
			rule = add_block(r, join_of(r, i), &work);
	while (!rule && work) {
		u32 off = r->block[r->work[--work]].off;
		/* Known already as the middle of another: then it is only a place where that is cut. */
		if (!r->starts[off])
			rule = decode_block(r, off, &work, where);
	}
	return rule;
}

/* ---- order ---- */

/* The last instruction of a block. */
static const struct vinsn *block_last(const struct verifier *r, const struct vblock *b)
{
	const struct vinsn *in = &r->insn[r->starts[b->off] - 1];
	while (!(in->effect & E_FLOW) && !r->block_at[next_off(in)])
		in = &r->insn[r->starts[next_off(in)] - 1];
	return in;
}

/* Blocks that one leads to, by their ends: at most two. */
static unsigned successors(const struct verifier *r, const struct vinsn *last, u32 succ[2])
{
	unsigned n = 0;
	bool direct = last->ops == 1 && last->op[0].type == VOP_IMM;
	if (!(last->effect & E_FLOW)) {
		succ[n++] = next_off(last);
	} else if (last->id == X86_INS_CALL) {
		succ[n++] = next_off(last);
		if (verify_returns_twice(last->target))
			succ[n++] = next_off(last) + 5;
	} else if (direct && offset_of(r, last->target) < r->length) {
		succ[n++] = (u32)offset_of(r, last->target);
		if (last->id != X86_INS_JMP)
			succ[n++] = next_off(last);
	}
	return n;
}

enum { WHITE, GREY, BLACK };

/* Depth first from `root`; finished blocks go to r->order from its end. A way back to a block that is being visited is a loop. */
static enum verify_rule visit(struct verifier *r, u32 root, u32 *place, u32 *where)
{
	u32 depth = 0;
	if (r->block[root].colour != WHITE)
		return VERIFY_OK;
	r->work[depth++] = (u16)root;
	while (depth) {
		struct vblock *b = &r->block[r->work[depth - 1]];
		u32 succ[2], next = V_MAX_BLOCKS;
		const struct vinsn *last = block_last(r, b);
		unsigned n = successors(r, last, succ);
		b->colour = GREY;
		for (unsigned i = 0; i < n && next == V_MAX_BLOCKS; i++) {
			u32 to = r->block_at[succ[i]] - 1u;
			if (r->block[to].colour == WHITE)
				next = to;
			else if (r->block[to].colour == GREY) {
				*where = last->off;
				return VERIFY_LOOP;
			}
		}
		if (next != V_MAX_BLOCKS) {
			r->work[depth++] = (u16)next;
			continue;
		}
		b->colour = BLACK;
		r->order[--*place] = (u16)(b - r->block);
		depth--;
	}
	return VERIFY_OK;
}

/* ---- running ---- */

static enum verify_rule enter_block(struct verifier *r, u64 off, const struct vstate *s)
{
	struct vblock *b = &r->block[r->block_at[off] - 1];
	if (b->known)
		return vstate_join(&b->in, s, b->off);
	b->in = *s;
	b->known = true;
	return VERIFY_OK;
}

static enum verify_rule run_block(struct verifier *r, struct vblock *b, u32 *where)
{
	struct vstate s = b->in, branch;
	const struct vinsn *in = &r->insn[r->starts[b->off] - 1];
	for (;;) {
		*where = in->off;
		enum verify_rule rule = vstate_step(r, &s, in, &branch);
		if (rule)
			return rule;
		if (in->effect & E_FLOW || r->block_at[next_off(in)])
			break;
		in = &r->insn[r->starts[next_off(in)] - 1];
	}
	u32 succ[2];
	unsigned n = successors(r, in, succ);
	bool call = in->id == X86_INS_CALL, jump = !call && (in->effect & E_FLOW);
	enum verify_rule rule = VERIFY_OK;
	for (unsigned i = 0; i < n && !rule; i++)
		rule = enter_block(r, succ[i], (i == 0 && jump) || (i == 1 && call) ? &branch : &s);
	return rule;
}

static enum verify_rule run_all(struct verifier *r, u32 *where)
{
	u32 body = (u32)offset_of(r, r->tu->body), place = V_MAX_BLOCKS;
	enum verify_rule rule = visit(r, r->block_at[body] - 1u, &place, where);
	if (!rule)
		rule = visit(r, r->block_at[0] - 1u, &place, where);
	for (u32 i = 1; i < r->tu->insn_count && !rule; i++)
		if (join_of(r, i))
			rule = visit(r, r->block_at[join_of(r, i)] - 1u, &place, where);
	if (rule)
		return rule;
	struct vstate s;
	if (body) {
		vstate_entry(&s, true);
		enter_block(r, 0, &s);
	}
	/* Chained exits leave nothing in r8. */
	vstate_entry(&s, false);
	enter_block(r, body, &s);
	for (u32 i = 1; i < r->tu->insn_count; i++)
		if (join_of(r, i))
			enter_block(r, join_of(r, i), &s);
	for (; place < V_MAX_BLOCKS && !rule; place++)
		rule = run_block(r, &r->block[r->order[place]], where);
	return rule;
}

/* ---- the exits' records ---- */

/* The guest instruction that the code at `off` belongs to. */
static u32 guest_eip(const struct verifier *r, u32 off)
{
	const struct tu *tu = r->tu;
	u32 eip = tu->eip;
	for (u32 i = 0; i < tu->insn_count; i++) {
		const struct tu_insn *in = tu_insn(r->v->tc, tu, i);
		bool cold = off >= tu->cold - tu->head;
		if (cold ? in->cold_off && in->cold_off <= off : in->host_off <= off)
			eip = tu->eip + in->guest_off;
	}
	return eip;
}

static const struct vinsn *insn_at(const struct verifier *r, u64 off)
{
	return off < r->length && r->starts[off] ? &r->insn[r->starts[off] - 1] : NULL;
}

/* The branch whose rel32 field is at `site`: E9, or 0F 8x. */
static const struct vinsn *branch_of(const struct verifier *r, u64 site)
{
	for (unsigned before = 1; before <= 2; before++) {
		const struct vinsn *in = site >= before ? insn_at(r, site - before) : NULL;
		if (in && (in->effect & E_FLOW) && in->id != X86_INS_CALL && in->op[0].type == VOP_IMM && next_off(in) == site + 4 &&
		    in->opcode == (before == 1 ? 0xe9 : 0x0f))
			return in;
	}
	return NULL;
}

static enum verify_rule check_exit(const struct verifier *r, const struct tu_exit *x, u32 *where)
{
	u64 site = offset_of(r, x->site);
	*where = (u32)MIN(site, r->length - 1);
	const struct vinsn *branch = branch_of(r, site);
	if (!branch || branch->target != x->stub || x->target || tu_by_index(r->v->tc, x->tu) != r->tu ||
	    !insn_at(r, offset_of(r, x->stub)))
		return VERIFY_EXIT;
	if (!x->poll)
		return x->target_eip > guest_eip(r, branch->off) ? VERIFY_OK : VERIFY_POLL;
	const struct vinsn *poll = insn_at(r, offset_of(r, x->poll));
	/* The rules let nothing else load from where a register points than from a jump cache. */
	bool loads = poll && poll->id == X86_INS_MOV && poll->mem == 1 && poll->op[0].size == 4 && poll->base < 16 && poll->base != 14 &&
		     poll->index == V_NO_REG && !poll->prefixes;
	return loads && next_off(poll) == branch->off ? VERIFY_OK : VERIFY_POLL;
}

static enum verify_rule check_exits(const struct verifier *r, u32 *where)
{
	enum verify_rule rule = VERIFY_OK;
	for (u32 i = 0; i < r->tu->exit_count && !rule; i++)
		rule = check_exit(r, &r->v->tc->exits[r->tu->exits + i], where);
	return rule;
}

/* ---- */

static void describe(struct verifier *r, enum verify_rule rule, u32 off, struct verify_violation *why)
{
	const u8 *code = r->code + off;
	size_t left = off < r->length ? MIN(r->length - off, 15) : 0;
	u64 address = r->tu->head + (u64)off;
	*why = (struct verify_violation){.rule = rule, .eip = guest_eip(r, off), .host = (u32)address};
	memcpy(why->bytes, code, left);
	why->length = (u8)left;
	snprintf(why->text, sizeof(why->text), "(undefined)");
	if (left && cs_disasm_iter(r->cs, &code, &left, &address, r->scratch)) {
		why->length = (u8)r->scratch->size;
		snprintf(why->text, sizeof(why->text), "%.24s%s%.64s", r->scratch->mnemonic, *r->scratch->op_str ? " " : "",
			 r->scratch->op_str);
	}
}

bool verify_tu(struct vcpu *v, const struct tu *tu, u32 first_emu, struct verify_violation *why)
{
	struct verifier *r = v->verifier;
	u32 where = 0, length = tu->end - tu->head;
	enum verify_rule rule = VERIFY_OK;
	if (length > TU_MAX_HOST) {
		length = TU_MAX_HOST;
		rule = VERIFY_LIMIT;
	}
	r->v = v;
	r->tu = tu;
	r->code = (const u8 *)(u64)tu->head;
	r->length = length;
	r->first_emu = first_emu;
	r->insns = r->blocks = 0;
	memset(r->starts, 0, length * sizeof(*r->starts));
	memset(r->covers, 0, length * sizeof(*r->covers));
	memset(r->block_at, 0, length * sizeof(*r->block_at));
	if (!rule)
		rule = decode_all(r, &where);
	if (!rule)
		rule = run_all(r, &where);
	if (!rule)
		rule = check_exits(r, &where);
	if (rule)
		describe(r, rule, where, why);
	return !rule;
}

void verify_or_die(struct vcpu *v, const struct tu *tu, u32 first_emu)
{
	struct verify_violation why;
	char bytes[3 * 15 + 1] = "";
	if (verify_tu(v, tu, first_emu, &why))
		return;
	for (unsigned i = 0; i < why.length; i++)
		snprintf(bytes + 3 * i, sizeof(bytes) - 3 * i, " %02x", why.bytes[i]);
	fatal_bug("verify: %s (%s): EIP %08x, host %08x:%s: %s", verify_rule_text(why.rule), verify_rule_name(why.rule), why.eip, why.host,
		  bytes, why.text);
}
