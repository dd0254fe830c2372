/*
 * The life of windows (see window.h): their address space, which one code uses, the mapping budget.
 */
#include "shadowpt/window_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "monitor/fpu.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/access.h"

/* Guards on both sides: string instructions walk either way. */
static bool create(struct vcpu *v, struct window *w)
{
	struct windows *ws = v->windows;
	u64 size = WINDOW_SIZE * 2 + WINDOW_GUARD * 2;
	if (ws->refused)
		return false;
	u8 *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		ws->refused = true;
		warn("no address space for %s window of 4 GiB (%s; see ulimit -v): %s", ws->reserved ? "another" : "a", strerror(errno),
		     ws->reserved ? "some code runs as with flavour=checked" : "running with flavour=checked");
		return false;
	}
	u8 *base = (u8 *)(((u64)p + WINDOW_GUARD + WINDOW_SIZE - 1) & ~(WINDOW_SIZE - 1));
	u8 *first = base - WINDOW_GUARD, *end = base + WINDOW_SIZE + WINDOW_GUARD;
	if (first > p)
		munmap(p, (size_t)(first - p));
	if (p + size > end)
		munmap(end, (size_t)(p + size - end));
	w->base = base;
	ws->reserved++;
	return true;
}

static bool same_space(const struct vcpu *v, const struct window *w)
{
	return w->used && w->cr3 == v->cr3 && w->pae == !!(v->cr4 & CR4_PAE);
}
void window_sync(struct vcpu *v)
{
	struct window *w = &v->windows->window[KERNEL_WINDOW];
	if (w->zap_count)
		window_flush_zaps(v, w);
}

void window_switch(struct vcpu *v)
{
	struct windows *ws = v->windows;
	v->user_window = NULL;
	if (v->vm->opt.flavour == FLAVOUR_CHECKED || !ws)
		return;
	window_sync(v);
	if (ws->window[KERNEL_WINDOW].used)
		window_switch_kernel(v, &ws->window[KERNEL_WINDOW]);
	for (u32 i = 0; i < ws->top; i++) {
		struct window *w = &ws->window[i];
		if (!same_space(v, w))
			continue;
		if (w->pae && memcmp(w->pdpte, v->pdpte, sizeof(w->pdpte)) != 0) {
			window_reset(v, w);
			memcpy(w->pdpte, v->pdpte, sizeof(w->pdpte));
		}
		v->user_window = w;
		return;
	}
}

void window_adopt(struct vcpu *v)
{
	struct windows *ws = v->windows;
	struct window *w = NULL;
	for (u32 i = 0; i < WINDOW_COUNT; i++) {
		struct window *c = &ws->window[i];
		if (!c->used) {
			if (c->base || create(v, c)) {
				w = c;
				break;
			}
			continue;
		}
		if (!w || c->last_use < w->last_use)
			w = c;
	}
	if (!w)
		return;
	if (w->used) {
		trace_to(LOG_PAGE, WINDOW_FMT "dropped, for cr3 %08x\n", WINDOW_ARGS(v, w), v->cr3);
		window_reset(v, w);
		v->stats.windows_evicted++;
	}
	w->used = true;
	w->cr3 = v->cr3;
	w->pae = v->cr4 & CR4_PAE;
	memcpy(w->pdpte, v->pdpte, sizeof(w->pdpte));
	w->zap_count = 0;
	policy_open(v, w);
	ws->top = MAX(ws->top, (u32)(w - ws->window) + 1);
	v->user_window = w;
	v->stats.windows_made++;
	trace_to(LOG_PAGE, WINDOW_FMT "made\n", WINDOW_ARGS(v, w));
}

/* The supervisor's window exists from the first need on. */
static struct window *kernel_window(struct vcpu *v)
{
	struct window *w = &v->windows->window[KERNEL_WINDOW];
	if (likely(w->used))
		return w;
	if (v->vm->opt.flavour == FLAVOUR_CHECKED || (v->windows->refused && !w->base) || policy_kernel_waits(v))
		return NULL;
	fpu_park(v);
	w->kernel = true;
	if (!w->base && !create(v, w))
		return NULL;
	w->live_count = 0;
	policy_open(v, w);
	window_switch_kernel(v, w);
	trace_to(LOG_PAGE, WINDOW_FMT "made\n", WINDOW_ARGS(v, w));
	return w->used ? w : NULL;
}

bool window_enter(struct vcpu *v)
{
	struct windows *ws = v->windows;
	struct window *w = v->cpl == 3 ? v->user_window : kernel_window(v);
	if (w && unlikely(w->account.balance < 0) && !policy_settle(v, w))
		w = NULL;
	v->window = w;
	if (!w)
		return false;
	v->window_base = (u64)w->base;
	if (unlikely(w->zap_count) && !w->kernel)
		window_flush_zaps(v, w);
	if (w->prefault && !w->kernel)
		window_prefault(v, w);
	w->last_use = ++ws->clock;
	if (ws->gs != w->base) {
		ws->gs = w->base;
		__asm__ volatile("wrgsbase %0" : : "r"(w->base));
	}
	return true;
}

void windows_flush(struct vcpu *v)
{
	struct windows *ws = v->windows;
	u32 paging =
		(v->cr0 & (CR0_PG | CR0_WP)) | (v->cr4 & (CR4_PSE | CR4_PAE)) | (v->efer & EFER_NXE ? 1u << 30 : 0) | v->vm->mem.a20_open;
	if (!ws)
		return;
	if (ws->paging != paging) {
		windows_drop(v);
		ws->paging = paging;
	}
	window_switch(v);
}

bool window_is_broke(const struct vcpu *v)
{
	return v->window->account.balance < 0 && v->vm->opt.flavour == FLAVOUR_AUTO;
}

bool window_contains(const struct vcpu *v, u64 host)
{
	return v->window && host - ((u64)v->window->base - WINDOW_GUARD) < WINDOW_SIZE + 2 * WINDOW_GUARD;
}

u64 window_offset(const struct vcpu *v, u64 host)
{
	return host - (u64)v->window->base;
}

void windows_drop(struct vcpu *v)
{
	struct windows *ws = v->windows;
	for (u32 i = 0; ws && i <= WINDOW_COUNT; i++) {
		struct window *w = &ws->window[i];
		if (!w->used)
			continue;
		trace_to(LOG_PAGE, WINDOW_FMT "dropped\n", WINDOW_ARGS(v, w));
		window_reset(v, w);
		window_release_roots(v, w);
		w->used = false;
	}
	v->window = v->user_window = NULL;
	if (ws) {
		ws->top = 0;
		policy_forget_regions(v);
	}
}

static u32 mapping_budget(const struct options *o)
{
	u32 max = 65530;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	if (f) {
		if (fscanf(f, "%u", &max) != 1)
			max = 65530;
		fclose(f);
	}
	if (o->max_maps && o->max_maps < max)
		max = o->max_maps;
	/* What the process has of its own, and that a count of ours may be behind by a split or two. */
	return max > 2000 ? (max - 1000) / 2 : max > 1200 ? (max - 600) / 2 : 200;
}

int windows_init(struct vcpu *v)
{
	struct windows *ws = calloc(1, sizeof(*ws));
	v->windows = ws;
	if (!ws)
		return -ENOMEM;
	ws->pool = calloc(POOL_REGIONS, sizeof(*ws->pool));
	if (!ws->pool)
		return -ENOMEM;
	for (u32 i = 0; i < POOL_REGIONS; i++)
		ws->pool[i].next_free = i + 1 < POOL_REGIONS ? i + 2 : 0;
	ws->free_region = 1;
	ws->budget = mapping_budget(&v->vm->opt);
	ws->span = REGION_PAGES;
	while (ws->span * 4 > ws->budget)
		ws->span /= 2;
	return 0;
}

void windows_free(struct vcpu *v)
{
	struct windows *ws = v->windows;
	if (!ws)
		return;
	for (u32 i = 0; i <= WINDOW_COUNT; i++)
		if (ws->window[i].base)
			munmap(ws->window[i].base - WINDOW_GUARD, WINDOW_SIZE + 2 * WINDOW_GUARD);
	free(ws->pool);
	free(ws);
	v->windows = NULL;
	v->window = NULL;
}
