/*
 * The verifier's part at chaining: what a patched branch leads to. Runs where the guest's FPU state may be in the host's registers, so it
 * is in a file of its own, which is built without SSE.
 */
#include "monitor/fpu.h"
#include "monitor/log.h"
#include "translator/mode.h"
#include "translator/verify.h"

static bool same_page(const struct tu *a, const struct tu *b)
{
	return (a->pa & ~(u64)PAGE_MASK) == (b->pa & ~(u64)PAGE_MASK);
}

static u32 get_u32(const u8 *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (u32)p[3] << 24;
}

/* A link is where it will be found when its target's page is to be forgotten, in code where EIP is a linear address. */
static bool is_listed(const struct tc *tc, const struct tu_exit *x)
{
	u32 mode = tc->tus[x->tu].mode, me = (u32)(x - tc->exits) + 1, i = tc->link_bucket[(x->target_eip >> PAGE_SHIFT) % LINK_BUCKETS];
	while (i && i != me)
		i = tc->exits[i - 1].next_link;
	return i && (x->flags & EXIT_LISTED) && (mode & MODE_FLAT(SEG_CS)) && (mode & MODE_DIRECT);
}

/*
 * The stub of an exit that goes by the jump cache, the branch still leading to it: mov r8d, eip ; jmp thunk_jump, for good, or, of one to
 * another page, mov r9d, index + 1 ; jmp thunk_link.
 */
static enum verify_rule verify_stub(const struct tc *tc, const struct tu_exit *x)
{
	const struct tu *from = &tc->tus[x->tu];
	const u8 *stub = (const u8 *)(u64)x->stub, *site = (const u8 *)(u64)x->site;
	if ((from->flags & (TU_DEAD | TU_SINGLE)) || x->stub < from->cold || x->stub + 11 > from->end || x->site <= from->head ||
	    x->site > from->end - 4)
		return VERIFY_EXIT;
	u32 number = get_u32(stub + 2), to = x->stub + 11 + get_u32(stub + 7);
	bool diverted = stub[1] == 0xb8 && number == x->target_eip && to == (u32)tu_jump_thunk(tc);
	bool waits = stub[1] == 0xb9 && number == (u32)(x - tc->exits) + 1 && to == (u32)(u64)thunk_link && (x->flags & EXIT_CROSS);
	bool jumps = stub[0] == 0x41 && stub[6] == 0xe9 && (diverted || waits);
	return jumps && x->site + 4 + get_u32(site) == x->stub ? VERIFY_OK : VERIFY_TRANSFER;
}

/* Where `to` has the instruction at eip, at which the verifier has looked at it as at its body (verify.c); 0: nowhere. */
static u32 entry_of(const struct tc *tc, const struct tu *to, u32 eip)
{
	if (eip == to->eip)
		return to->body;
	for (u32 i = 1; i < to->insn_count; i++) {
		const struct tu_insn *in = &tc->insns[to->insns + i];
		if (eip == to->eip + in->guest_off && in->join_off)
			return to->head + in->join_off;
	}
	return 0;
}

enum verify_rule verify_chain(const struct vcpu *v, const struct tu_exit *x)
{
	const struct tc *tc = v->tc;
	if (x->target > tc->tu_count || x->tu >= tc->tu_count)
		return VERIFY_EXIT;
	if (!x->target)
		return verify_stub(tc, x);
	const struct tu *from = &tc->tus[x->tu], *to = &tc->tus[x->target - 1];
	u32 alone = x->flags & EXIT_CROSS ? TU_SINGLE : TU_STRADDLES | TU_SINGLE;
	if (((from->flags | to->flags) & TU_DEAD) || (from->flags & alone) || (to->flags & (TU_STRADDLES | TU_SINGLE)) ||
	    from->mode != to->mode || !(x->flags & EXIT_CROSS ? is_listed(tc, x) : same_page(from, to)) ||
	    !entry_of(tc, to, x->target_eip) || x->site <= from->head || x->site > from->end - 4)
		return VERIFY_EXIT;
	const u8 *site = (const u8 *)(u64)x->site;
	bool branch = site[-1] == 0xe9 || (x->site > from->head + 1 && site[-2] == 0x0f && (site[-1] & 0xf0) == 0x80);
	return branch && x->site + 4 + get_u32(site) == entry_of(tc, to, x->target_eip) ? VERIFY_OK : VERIFY_TRANSFER;
}

void verify_chain_or_die(struct vcpu *v, const struct tu_exit *x)
{
	enum verify_rule rule = verify_chain(v, x);
	if (rule == VERIFY_OK)
		return;
	const u8 *site = (const u8 *)(u64)x->site;
	fpu_save(v);
	fatal_bug("verify: %s (%s): chained exit to EIP %08x, host %08x: %02x %02x %02x %02x %02x", verify_rule_text(rule),
		  verify_rule_name(rule), x->target_eip, x->site - 1, site[-1], site[0], site[1], site[2], site[3]);
}
