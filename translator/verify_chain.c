/*
 * The verifier's part at chaining: what a patched branch leads to. Runs where the guest's FPU state may be in the host's registers, so it
 * is in a file of its own, which is built without SSE.
 */
#include "monitor/fpu.h"
#include "monitor/log.h"
#include "translator/verify.h"

static bool same_page(const struct tu *a, const struct tu *b)
{
	return (a->pa & ~(u64)PAGE_MASK) == (b->pa & ~(u64)PAGE_MASK);
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
	if (!x->target || x->target > tc->tu_count || x->tu >= tc->tu_count)
		return VERIFY_EXIT;
	const struct tu *from = &tc->tus[x->tu], *to = &tc->tus[x->target - 1];
	if (((from->flags | to->flags) & TU_DEAD) || ((from->flags | to->flags) & (TU_STRADDLES | TU_SINGLE)) || from->mode != to->mode ||
	    !same_page(from, to) || !entry_of(tc, to, x->target_eip) || x->site <= from->head || x->site > from->end - 4)
		return VERIFY_EXIT;
	const u8 *site = (const u8 *)(u64)x->site;
	bool branch = site[-1] == 0xe9 || (x->site > from->head + 1 && site[-2] == 0x0f && (site[-1] & 0xf0) == 0x80);
	u32 rel = site[0] | site[1] << 8 | site[2] << 16 | (u32)site[3] << 24;
	return branch && x->site + 4 + rel == entry_of(tc, to, x->target_eip) ? VERIFY_OK : VERIFY_TRANSFER;
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
