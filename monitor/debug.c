/*
 * Breakpoints, watchpoints and single steps (see debug.h).
 *
 * Invariants: no TU that may be entered holds a breakpoint of d->active behind its first byte or begins with one, single-instruction TUs
 * aside, before which the dispatcher looks. No flat table and no window gives an access of a kind that d->active watches on a page. What
 * the debugger changes comes into force in debug_resume, and costs only if it differs from what is in force: debuggers take everything out
 * at each stop and put it back.
 */
#include "monitor/debug.h"

#include <string.h>

#include "cache/tc.h"
#include "monitor/vm.h"
#include "shadowpt/walk.h"
#include "shadowpt/window.h"
#include "translator/mode.h"

/* ---- what is wanted ---- */

static int compare(const struct debug_break *b, u32 linear, u32 kind)
{
	if (b->linear != linear)
		return b->linear < linear ? -1 : 1;
	return (int)b->kind - (int)kind;
}

/* Where a breakpoint is, or belongs. */
static u32 place(const struct debug_set *s, u32 linear, u32 kind)
{
	u32 lo = 0, hi = s->break_count;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (compare(&s->breaks[mid], linear, kind) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_at(const struct debug_set *s, u32 i, u32 linear, u32 kind)
{
	return i < s->break_count && compare(&s->breaks[i], linear, kind) == 0;
}

bool debug_set_break(struct debug *d, u32 linear, enum debug_break_kind kind)
{
	struct debug_set *s = &d->wanted;
	u32 i = place(s, linear, kind);

	if (is_at(s, i, linear, kind))
		return true;
	if (s->break_count == DEBUG_MAX_BREAKS)
		return false;
	memmove(&s->breaks[i + 1], &s->breaks[i], (s->break_count - i) * sizeof(s->breaks[0]));
	s->breaks[i] = (struct debug_break){linear, kind};
	s->break_count++;
	return true;
}

void debug_clear_break(struct debug *d, u32 linear, enum debug_break_kind kind)
{
	struct debug_set *s = &d->wanted;
	u32 i = place(s, linear, kind);

	if (!is_at(s, i, linear, kind))
		return;
	s->break_count--;
	memmove(&s->breaks[i], &s->breaks[i + 1], (s->break_count - i) * sizeof(s->breaks[0]));
}

static u32 find_watch(const struct debug_set *s, u32 linear, u32 len, u32 kind)
{
	u32 i = 0;

	while (i < s->watch_count && (s->watches[i].linear != linear || s->watches[i].len != len || s->watches[i].kind != kind))
		i++;
	return i;
}

bool debug_set_watch(struct debug *d, u32 linear, u32 len, u32 kind)
{
	struct debug_set *s = &d->wanted;

	if (!len || len > DEBUG_MAX_LEN)
		return false;
	if (find_watch(s, linear, len, kind) < s->watch_count)
		return true;
	if (s->watch_count == DEBUG_MAX_WATCHES)
		return false;
	s->watches[s->watch_count++] = (struct debug_watch){linear, len, kind};
	return true;
}

void debug_clear_watch(struct debug *d, u32 linear, u32 len, u32 kind)
{
	struct debug_set *s = &d->wanted;
	u32 i = find_watch(s, linear, len, kind);

	if (i == s->watch_count)
		return;
	s->watch_count--;
	memmove(&s->watches[i], &s->watches[i + 1], (s->watch_count - i) * sizeof(s->watches[0]));
}

/* ---- what is in force ---- */

static void fill_filter(struct debug *d)
{
	memset(d->filter, 0, sizeof(d->filter));
	for (u32 i = 0; i < d->active.break_count; i++) {
		u32 n = d->active.breaks[i].linear & PAGE_MASK;

		d->filter[n >> 6] |= 1ull << (n & 63);
	}
}

/* Whether a TU was made with regard to the address, or would have been: it begins with it, holds it, or ends in front of it. */
static bool concerns(const struct tu *tu, u32 linear)
{
	if (tu->mode & MODE_FLAT(SEG_CS))
		return linear - tu->eip <= tu->guest_len;
	return ((linear - (u32)tu->pa) & PAGE_MASK) <= tu->guest_len;
}

static bool is_in(const struct debug_set *s, const struct debug_break *b)
{
	return is_at(s, place(s, b->linear, b->kind), b->linear, b->kind);
}

/* The TUs that concern what one set has and the other has not. */
static void drop_difference(struct vcpu *v, const struct debug_set *a, const struct debug_set *b)
{
	for (u32 i = 0; i < a->break_count; i++) {
		if (is_in(b, &a->breaks[i]))
			continue;
		for (u32 n = 0; n < v->tc->tu_count; n++) {
			struct tu *tu = tu_by_index(v->tc, n);

			if (!(tu->flags & (TU_DEAD | TU_SINGLE)) && concerns(tu, a->breaks[i].linear))
				tu_drop(v, tu);
		}
	}
}

static void apply(struct vcpu *v)
{
	struct debug *d = v->debug;
	struct debug_set *now = &d->active, *want = &d->wanted;
	bool watches = now->watch_count != want->watch_count ||
		       memcmp(now->watches, want->watches, now->watch_count * sizeof(now->watches[0])) != 0;
	bool breaks =
		now->break_count != want->break_count || memcmp(now->breaks, want->breaks, now->break_count * sizeof(now->breaks[0])) != 0;

	if (breaks) {
		drop_difference(v, now, want);
		drop_difference(v, want, now);
		now->break_count = want->break_count;
		memcpy(now->breaks, want->breaks, sizeof(now->breaks));
		fill_filter(d);
	}
	if (watches) {
		now->watch_count = want->watch_count;
		memcpy(now->watches, want->watches, sizeof(now->watches));
		windows_drop(v);
		mmu_flush_all(v);
	}
}

static u32 linear_eip(const struct vcpu *v)
{
	return v->seg[SEG_CS].base + v->eip;
}

void debug_attach(struct vcpu *v, struct debug *d)
{
	v->debug = d;
	d->stands = true;
	d->at = linear_eip(v);
}

void debug_detach(struct vcpu *v)
{
	struct debug *d = v->debug;

	if (!d)
		return;
	d->wanted.break_count = d->wanted.watch_count = 0;
	apply(v);
	v->pending_db &= ~DB_DEBUGGER;
	v->debug = NULL;
}

void debug_resume(struct vcpu *v, unsigned flags)
{
	struct debug *d = v->debug;

	apply(v);
	d->due = false;
	d->hold_interrupts = true;
	d->step = DEBUG_RUN;
	if (flags & DEBUG_ONE) {
		d->step = DEBUG_STEP;
		d->hold_interrupts = flags & DEBUG_NOIRQ;
		v->halted = false;
	} else if (d->stands && d->at == linear_eip(v) && !v->halted) {
		d->step = DEBUG_STEP_OVER;
	}
	d->stands = false;
}

void debug_moved(struct vcpu *v)
{
	v->debug->stands = false;
	v->shadow = SHADOW_NONE;
	v->halted = v->missed = false;
	v->single_once = false;
}

/* ---- memory ---- */

static bool locate(struct vcpu *v, u64 address, bool physical, u64 *pa)
{
	*pa = address;
	return physical || walk_peek(v, (u32)address, pa);
}

u32 debug_read(struct vcpu *v, u64 address, bool physical, void *buf, u32 n)
{
	u32 done = 0;

	while (done < n) {
		u64 pa;
		u32 here = MIN(n - done, PAGE_SIZE - (u32)((address + done) & PAGE_MASK));
		const u8 *p = locate(v, address + done, physical, &pa) ? ram_ptr(&v->vm->mem, pa) : NULL;

		if (!p)
			break;
		memcpy((u8 *)buf + done, p, here);
		done += here;
	}
	return done;
}

u32 debug_write(struct vcpu *v, u64 address, bool physical, const void *buf, u32 n)
{
	u32 done = 0;

	while (done < n) {
		u64 pa;
		u32 here = MIN(n - done, PAGE_SIZE - (u32)((address + done) & PAGE_MASK));

		if (!locate(v, address + done, physical, &pa) || !ram_ptr(&v->vm->mem, pa) || !memory_is_writable(&v->vm->mem, pa))
			break;
		phys_write(v->vm, pa, (const u8 *)buf + done, here);
		done += here;
	}
	return done;
}

/* ---- while it runs: no libc, the guest's FPU state may be live ---- */

static bool in_filter(const struct debug *d, u32 linear)
{
	u32 n = linear & PAGE_MASK;

	return d->filter[n >> 6] >> (n & 63) & 1;
}

bool debug_ends_tu(const struct vcpu *v, u32 eip, bool flat)
{
	const struct debug *d = v->debug;
	u32 linear = v->seg[SEG_CS].base + eip, i;

	if (likely(!in_filter(d, linear)) || !flat)
		return in_filter(d, linear);
	i = place(&d->active, linear, 0);
	return i < d->active.break_count && d->active.breaks[i].linear == linear;
}

bool debug_breaks(struct vcpu *v)
{
	struct debug *d = v->debug;
	u32 linear = linear_eip(v), i;

	if (likely(!in_filter(d, linear)) || d->step != DEBUG_RUN)
		return false;
	i = place(&d->active, linear, 0);
	if (i == d->active.break_count || d->active.breaks[i].linear != linear)
		return false;
	d->at_break = d->active.breaks[i];
	d->cause = DEBUG_AT_BREAK;
	debug_stop(v);
	return true;
}

void debug_executed(struct vcpu *v)
{
	struct debug *d = v->debug;

	if (d->step == DEBUG_STEP && !d->due) {
		d->due = true;
		d->cause = DEBUG_STEPPED;
	}
	d->step = DEBUG_RUN;
}

void debug_watched(struct vcpu *v)
{
	struct debug *d = v->debug;

	d->due = true;
	d->cause = DEBUG_AT_WATCH;
	d->at_watch = d->hit;
}

void debug_stop(struct vcpu *v)
{
	struct debug *d = v->debug;

	d->due = false;
	d->step = DEBUG_RUN;
	d->stands = true;
	d->at = linear_eip(v);
	fpu_save(v);
	pthread_mutex_lock(&v->vm->lock);
	vm_stop(v->vm, RUNSTATE_DEBUG);
	pthread_mutex_unlock(&v->vm->lock);
}

bool debug_touches(struct vcpu *v, u32 linear, u32 n, u32 kind)
{
	struct debug *d = v->debug;

	for (u32 i = 0; i < d->active.watch_count; i++) {
		const struct debug_watch *w = &d->active.watches[i];

		/* Modulo 2^32: one begins within the other. */
		if (!(w->kind & kind) || (linear - w->linear >= w->len && w->linear - linear >= n))
			continue;
		if (!(v->pending_db & DB_DEBUGGER))
			d->hit = *w;
		v->pending_db |= DB_DEBUGGER;
		return true;
	}
	return false;
}

u32 debug_page_watched(const struct vcpu *v, u32 page)
{
	const struct debug *d = v->debug;
	u32 kinds = 0, start = page << PAGE_SHIFT;

	for (u32 i = 0; i < d->active.watch_count; i++) {
		const struct debug_watch *w = &d->active.watches[i];

		if (start - w->linear < w->len || w->linear - start < PAGE_SIZE)
			kinds |= w->kind;
	}
	return kinds;
}
