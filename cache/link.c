/*
 * Links: direct exits chained to TUs in other pages (see tc.h). What a page's translation is may change, so a link holds as long as an
 * entry of a jump cache would: it is cut when the architecture requires the TLB to forget the target's page, and made anew by the
 * dispatcher.
 *
 * Cutting costs what was made. Links to global pages are cut one page at a time. Of the others, which MOV CR3 cuts, none are made until two
 * interrupts have come without one: between the two their exits go through the jump cache, by thunk_link and v->link.
 *
 * Invariants
 *  - An exit that leads to a TU in another page is in the bucket of its target's page, once, until all buckets are emptied.
 *  - If that page is not global, the exit is in the log as well.
 */
#include "cache/jc.h"
#include "cache/tc.h"

/* The rel32 of a stub's jump, behind `mov r9d, index`. */
#define STUB_JUMP 7

static u32 *bucket(struct tc *tc, u32 page)
{
	return &tc->link_bucket[page % LINK_BUCKETS];
}

static bool is_cut(const struct tu_exit *x)
{
	return !(x->flags & EXIT_CROSS) || !x->target;
}

u64 link_idle_thunk(const struct tc *tc)
{
	return tc_is_flat(tc) ? (u64)thunk_jump_exit : (u64)thunk_jump_exit_hashed;
}

bool link_make(struct vcpu *v, struct tu_exit *x, struct tu *to, bool global)
{
	struct tc *tc = v->tc;
	u32 me = (u32)(x - tc->exits) + 1;
	tu_point(tc, x->stub + STUB_JUMP, (u32)(u64)thunk_link);
	if (!global && v->link != (u64)thunk_exit_chain)
		return false;
	x->flags &= (u8)~EXIT_LOCAL;
	if (!global) {
		x->flags |= EXIT_LOCAL;
		tc->link_log[tc->link_log_count++] = me;
		if (tc->link_log_count == LINK_LOG)
			v->link = link_idle_thunk(tc);
	}
	if (!(x->flags & EXIT_LISTED)) {
		u32 *list = bucket(tc, x->target_eip >> PAGE_SHIFT);
		x->flags |= EXIT_LISTED;
		x->next_link = *list;
		*list = me;
	}
	tu_chain(v, x, to);
	v->stats.links++;
	return true;
}

static void cut(struct vcpu *v, struct tu_exit *x)
{
	tu_unchain(v->tc, x);
	v->stats.links_cut++;
}

void link_cut_local(struct vcpu *v)
{
	struct tc *tc = v->tc;
	/* The newest first: they are at the heads of their targets' lists. */
	while (tc->link_log_count) {
		struct tu_exit *x = &tc->exits[tc->link_log[--tc->link_log_count] - 1];
		if (!is_cut(x) && (x->flags & EXIT_LOCAL))
			cut(v, x);
	}
	v->link = link_idle_thunk(tc);
	tc->link_quiet = false;
}

void link_cut_page(struct vcpu *v, u32 linear_page)
{
	struct tc *tc = v->tc;
	for (u32 i = *bucket(tc, linear_page), next; i; i = next) {
		struct tu_exit *x = &tc->exits[i - 1];
		next = x->next_link;
		if (!is_cut(x) && x->target_eip >> PAGE_SHIFT == linear_page)
			cut(v, x);
	}
}

void link_cut_all(struct vcpu *v)
{
	struct tc *tc = v->tc;
	for (u32 b = 0; b < LINK_BUCKETS; b++) {
		for (u32 i = tc->link_bucket[b]; i; i = tc->exits[i - 1].next_link) {
			struct tu_exit *x = &tc->exits[i - 1];
			if (!is_cut(x))
				cut(v, x);
			x->flags &= (u8)~EXIT_LISTED;
		}
		tc->link_bucket[b] = 0;
	}
	link_cut_local(v);
}

void link_reset(struct vcpu *v)
{
	struct tc *tc = v->tc;
	for (u32 b = 0; b < LINK_BUCKETS; b++)
		tc->link_bucket[b] = 0;
	tc->link_log_count = 0;
	v->exits = tc->exits;
	link_cut_local(v);
}

void link_tick(struct vcpu *v)
{
	struct tc *tc = v->tc;
	if (tc->link_quiet && tc->link_log_count < LINK_LOG)
		v->link = (u64)thunk_exit_chain;
	tc->link_quiet = true;
}
