/*
 * The TU index, chaining and dropping (see tc.h for the invariants).
 */
#include "cache/jc.h"
#include "cache/smc.h"
#include "cache/tc.h"
#include "monitor/vm.h"

static u32 hash(u64 pa, u32 eip, u32 mode)
{
	u64 h = (pa ^ (u64)mode << 20 ^ (u64)eip << 3) * 0x9e3779b97f4a7c15ull;
	return (u32)(h >> 49) & (TC_HASH_SIZE - 1);
}

struct tu *tu_lookup(struct tc *tc, u64 pa, u32 eip, u32 mode)
{
	for (u32 i = tc->hash[hash(pa, eip, mode)]; i; i = tc->tus[i - 1].hash_next) {
		struct tu *tu = &tc->tus[i - 1];
		if (tu->pa == pa && tu->eip == eip && tu->mode == mode)
			return tu;
	}
	return NULL;
}

void tu_publish(struct vcpu *v, struct tu *tu)
{
	u32 *slot = &v->tc->hash[hash(tu->pa, tu->eip, tu->mode)];
	tu->hash_next = *slot;
	*slot = tu_index(v->tc, tu) + 1;
	smc_add(v, tu);
}

/* Writes the rel32 of a branch through the writable view. */
void tu_point(struct tc *tc, u32 site, u32 to)
{
	*(u32 *)(tc->rw + (site - (u32)(u64)tc->rx)) = to - (site + 4);
}

u32 tu_entry(struct tc *tc, const struct tu *tu, u32 eip)
{
	u32 off = eip - tu->eip;
	if (!off)
		return tu->body;
	for (u32 i = 1; i < tu->insn_count; i++) {
		const struct tu_insn *in = tu_insn(tc, tu, i);
		if (in->guest_off == off)
			return in->join_off ? tu->head + in->join_off : 0;
	}
	return 0;
}

struct tu *tu_holding(struct vcpu *v, u64 pa, u32 eip, u32 mode)
{
	/* More TUs in a page than this are not worth looking at. */
	enum { LOOKS = 256 };
	struct tc *tc = v->tc;
	const struct page_desc *d = smc_page(v, ram_page(&v->vm->mem, ram_ptr(&v->vm->mem, pa)));
	if (!(d->granules >> ((pa & PAGE_MASK) >> 6) & 1))
		return NULL;
	u32 looks = LOOKS;
	for (u32 link = d->tus; link && looks; looks--) {
		struct tu *tu = tu_by_index(tc, (link >> 1) - 1);
		link = tu->page_next[link & 1];
		if (pa - tu->pa < tu->guest_len && pa - tu->pa == eip - tu->eip && tu->mode == mode && !(tu->flags & TU_STRADDLES) &&
		    tu_entry(tc, tu, eip))
			return tu;
	}
	return NULL;
}

void tu_chain(struct vcpu *v, struct tu_exit *x, struct tu *to)
{
	x->target = tu_index(v->tc, to) + 1;
	x->next_in = to->incoming;
	to->incoming = (u32)(x - v->tc->exits) + 1;
	tu_point(v->tc, x->site, tu_entry(v->tc, to, x->target_eip));
	v->stats.chains++;
}

u64 tu_jump_thunk(const struct tc *tc)
{
	return tc_is_flat(tc) ? (u64)thunk_jump : (u64)thunk_jump_hashed;
}

bool tc_is_jumping(u64 pc)
{
	return pc - (u64)thunk_jump_exit < (u64)thunk_jump_end - (u64)thunk_jump_exit;
}

/*
 *	mov  r9d, index ; jmp thunk_exit_chain
 * becomes
 *	mov  r8d, eip ; jmp thunk_jump
 */
void tu_divert(struct vcpu *v, struct tu_exit *x)
{
	struct tc *tc = v->tc;
	u8 *stub = tc->rw + (x->stub - (u32)(u64)tc->rx);
	stub[1] = 0xb8;
	__builtin_memcpy(stub + 2, &x->target_eip, 4);
	tu_point(tc, x->stub + 7, (u32)tu_jump_thunk(tc));
	v->stats.diversions++;
}

static void unlink_hash(struct tc *tc, struct tu *tu)
{
	u32 me = tu_index(tc, tu) + 1;
	for (u32 *p = &tc->hash[hash(tu->pa, tu->eip, tu->mode)]; *p; p = &tc->tus[*p - 1].hash_next) {
		if (*p == me) {
			*p = tu->hash_next;
			return;
		}
	}
}

static void unlink_page(struct vcpu *v, struct tu *tu, u32 which)
{
	u32 me = (tu_index(v->tc, tu) + 1) << 1 | which;
	u32 *p = &smc_page(v, tu->page[which])->tus;
	while (*p && *p != me)
		p = &tu_by_index(v->tc, (*p >> 1) - 1)->page_next[*p & 1];
	if (*p)
		*p = tu->page_next[which];
}

void tu_unchain(struct tc *tc, struct tu_exit *x)
{
	u32 me = (u32)(x - tc->exits) + 1;
	for (u32 *p = &tc->tus[x->target - 1].incoming; *p; p = &tc->exits[*p - 1].next_in) {
		if (*p == me) {
			*p = x->next_in;
			break;
		}
	}
	x->target = 0;
	tu_point(tc, x->site, x->stub);
}

void tu_drop(struct vcpu *v, struct tu *tu)
{
	struct tc *tc = v->tc;
	if (tu->flags & TU_DEAD)
		return;
	tu->flags |= TU_DEAD;
	unlink_hash(tc, tu);
	unlink_page(v, tu, 0);
	if (tu->flags & TU_STRADDLES)
		unlink_page(v, tu, 1);
	jc_drop_tu(v, tu);
	for (u32 i = tu->incoming; i;) {
		struct tu_exit *x = &tc->exits[i - 1];
		i = x->next_in;
		x->target = 0;
		tu_point(tc, x->site, x->stub);
	}
	tu->incoming = 0;
	/* Its own exits: it may still be running, and must not go on into code that has changed since. */
	for (u32 i = 0; i < tu->exit_count; i++) {
		struct tu_exit *x = &tc->exits[tu->exits + i];
		if (x->target)
			tu_unchain(tc, x);
	}
	v->stats.tus_dropped++;
}

/* The page of the linear view that pa means now, or another than any. */
static u32 page_now(const struct vcpu *v, u64 pa)
{
	const u8 *host = ram_ptr(&v->vm->mem, pa);
	return host ? ram_page(&v->vm->mem, host) : ~0u;
}

void tc_remap(struct vcpu *v)
{
	struct tc *tc = v->tc;
	for (u32 i = 0; i < tc->tu_count; i++) {
		struct tu *tu = &tc->tus[i];
		bool straddles = tu->flags & TU_STRADDLES;
		if ((tu->flags & TU_DEAD) || (page_now(v, tu->pa) == tu->page[0] && (!straddles || page_now(v, tu->pa2) == tu->page[1])))
			continue;
		tu_drop(v, tu);
		smc_recount(v, tu->page[0]);
		if (straddles)
			smc_recount(v, tu->page[1]);
	}
}

bool tc_contains(const struct tc *tc, u64 pc)
{
	return pc - (u64)tc->rx < tc->used;
}

struct tu *tu_by_host(struct tc *tc, u64 pc)
{
	u32 lo = 0, hi = tc->tu_count;
	if (!tc_contains(tc, pc))
		return NULL;
	while (lo < hi) {
		u32 mid = (lo + hi) / 2;
		if (tc->tus[mid].end <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < tc->tu_count && tc->tus[lo].head <= pc ? &tc->tus[lo] : NULL;
}

u32 tu_insn_by_host(struct tc *tc, const struct tu *tu, u64 pc)
{
	u32 off = (u32)(pc - tu->head), found = 0;
	for (u32 i = 0; i < tu->insn_count; i++) {
		const struct tu_insn *in = tu_insn(tc, tu, i);
		if (pc < tu->cold ? in->host_off <= off : in->cold_off && in->cold_off <= off)
			found = i;
	}
	return found;
}
