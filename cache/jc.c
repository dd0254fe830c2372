/* Jump caches (see jc.h). */
#include "cache/jc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cache/tc.h"
#include "shadowpt/walk.h"
#include "translator/mode.h"

static u64 table_bytes(const struct tc *tc)
{
	return tc->jc_entries * sizeof(u32);
}

static u64 bitmap_bytes(const struct tc *tc)
{
	return tc->jc_entries / PAGE_SIZE / 8;
}

static u32 index_of(const struct tc *tc, u32 eip)
{
	return eip & (u32)(tc->jc_entries - 1);
}

static bool is_touched(const struct jump_cache *jc, u32 index)
{
	return jc->touched[index >> PAGE_SHIFT >> 6] >> (index >> PAGE_SHIFT & 63) & 1;
}

static u32 encode(u64 head)
{
	return (u32)(head - (u64)thunk_exit_jc);
}

/* Gives all memory back. */
static void empty(const struct tc *tc, struct jump_cache *jc)
{
	madvise(jc->entry, table_bytes(tc), MADV_DONTNEED);
	madvise(jc->touched, bitmap_bytes(tc), MADV_DONTNEED);
	jc->touched_count = jc->page_count = 0;
	jc->log[0].count = jc->log[1].count = 0;
}

static void clear_log(struct jump_cache *jc, bool global)
{
	for (u32 i = 0; i < jc->log[global].count; i++)
		jc->entry[jc->log[global].index[i]] = 0;
	jc->log[global].count = 0;
}

static void clear(const struct tc *tc, struct jump_cache *jc)
{
	if (jc->log[0].count > JC_LOG || jc->log[1].count > JC_LOG) {
		empty(tc, jc);
		return;
	}
	clear_log(jc, false);
	clear_log(jc, true);
	jc->page_count = 0;
}

/* Without libc's memset, which may use SSE registers. */
static void zero(u32 *p, u64 n)
{
	__asm__ volatile("rep stosl" : "+D"(p), "+c"(n) : "a"(0) : "memory");
}

static void *map(u64 size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	/* A huge page would be mostly holes. */
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

static bool create(const struct tc *tc, struct jump_cache *jc)
{
	jc->entry = map(table_bytes(tc), PROT_READ | PROT_WRITE);
	jc->touched = jc->entry ? map(MAX(bitmap_bytes(tc), sizeof(u64)), PROT_READ | PROT_WRITE) : NULL;
	if (jc->touched)
		return true;
	if (jc->entry)
		munmap(jc->entry, table_bytes(tc));
	jc->entry = NULL;
	return false;
}

int jc_init(struct vcpu *v)
{
	struct tc *tc = v->tc;
	tc->jcs = calloc(JC_COUNT, sizeof(struct jump_cache));
	if (!tc->jcs)
		return -ENOMEM;
	tc->jc_entries = JC_FLAT_ENTRIES;
	tc->jc_all_miss = map(table_bytes(tc), PROT_NONE);
	if (tc->jc_all_miss && create(tc, &tc->jcs[0]))
		return 0;
	if (tc->jc_all_miss)
		munmap(tc->jc_all_miss, table_bytes(tc));
	tc->jc_entries = JC_HASHED_ENTRIES;
	tc->jc_all_miss = map(table_bytes(tc), PROT_NONE);
	return tc->jc_all_miss && create(tc, &tc->jcs[0]) ? 0 : -ENOMEM;
}

void jc_free(struct vcpu *v)
{
	struct tc *tc = v->tc;
	for (int i = 0; tc->jcs && i < JC_COUNT; i++) {
		if (!tc->jcs[i].entry)
			continue;
		munmap(tc->jcs[i].entry, table_bytes(tc));
		munmap(tc->jcs[i].touched, MAX(bitmap_bytes(tc), sizeof(u64)));
	}
	if (tc->jc_all_miss)
		munmap(tc->jc_all_miss, table_bytes(tc));
	free(tc->jcs);
	tc->jcs = NULL;
	tc->jc_all_miss = NULL;
}

u32 *jc_all_miss(struct vcpu *v)
{
	return v->tc->jc_all_miss;
}

bool jc_is_all_miss(const struct vcpu *v, u64 host)
{
	return host - (u64)v->tc->jc_all_miss < table_bytes(v->tc);
}

static void forget(struct tc *tc, const struct jump_cache *jc)
{
	for (u32 i = 0; i < JC_NEAR; i++)
		if (tc->jc_near[i].jc == jc)
			tc->jc_near[i] = (struct jc_near){0};
}

/* Of the address spaces' caches, if there are as many as may be, the one that was used least recently; else NULL. */
static struct jump_cache *oldest_space(struct tc *tc)
{
	struct jump_cache *oldest = NULL;
	u32 count = 0;
	for (u32 i = 0; i < JC_COUNT && tc->jcs[i].used; i++) {
		struct jump_cache *jc = &tc->jcs[i];
		if (!jc->space)
			continue;
		count++;
		if (!oldest || jc->last < oldest->last)
			oldest = jc;
	}
	return count < JC_SPACES ? NULL : oldest;
}

/* One that is not in use, or, round robin, one of another mode. */
static struct jump_cache *victim(struct tc *tc)
{
	for (int i = 0; i < JC_COUNT; i++) {
		struct jump_cache *jc = &tc->jcs[i];
		if (!jc->used && (jc->entry || create(tc, jc)))
			return jc;
		/* The host gives no more: those that there are must do. */
		if (!jc->used)
			break;
	}
	u32 count = 0;
	while (count < JC_COUNT && tc->jcs[count].used)
		count++;
	struct jump_cache *jc = &tc->jcs[tc->jc_clock++ % count];
	clear(tc, jc);
	forget(tc, jc);
	return jc;
}

/* own: another address space may have another one. */
static struct jump_cache *remember(struct tc *tc, struct jump_cache *jc, bool own)
{
	u32 i = jc_near_index(jc->mode, jc->base);
	tc->jc_near[i] = (struct jc_near){jc->mode, jc->base, jc->entry, jc};
	tc->jc_near_spaces = (tc->jc_near_spaces & ~(1ull << i)) | (u64)own << i;
	return jc;
}

/* Drops what begins in a page, or straddles into it: that begins at most 14 bytes before it. */
static void drop_page(struct vcpu *v, struct jump_cache *jc, u32 linear_page)
{
	const u32 before = 14;
	u32 eip = (linear_page << PAGE_SHIFT) - jc->base - before;
	for (u32 n = PAGE_SIZE + before, run; n; n -= run, eip += run) {
		u32 index = index_of(v->tc, eip);
		run = MIN(n, PAGE_SIZE - (index & PAGE_MASK));
		if (!is_touched(jc, index))
			continue;
		zero(&jc->entry[index], run);
		v->stats.jc_flushes++;
	}
}

/* Entries of an address space's cache are about to lie in this page, which is at pa. */
static void note_page(struct vcpu *v, struct jump_cache *jc, u32 linear, u64 pa)
{
	pa &= ~(u64)PAGE_MASK;
	for (u32 i = 0; i < jc->page_count && i < JC_PAGES; i++) {
		if (jc->page[i].linear != linear)
			continue;
		if (jc->page[i].pa != pa)
			drop_page(v, jc, linear);
		jc->page[i].pa = pa;
		return;
	}
	if (jc->page_count < JC_PAGES) {
		jc->page[jc->page_count].linear = linear;
		jc->page[jc->page_count].pa = pa;
	}
	if (jc->page_count <= JC_PAGES)
		jc->page_count++;
}

/* CR3 has been loaded since the cache was used: keeps the entries of pages that are mapped as they were. */
static void look_again(struct vcpu *v, struct jump_cache *jc)
{
	jc->epoch = v->tc->jc_epoch;
	if (jc->page_count > JC_PAGES) {
		empty(v->tc, jc);
		return;
	}
	for (u32 i = 0; i < jc->page_count;) {
		u64 pa;
		if (walk_fetched(v, jc->page[i].linear << PAGE_SHIFT, &pa) && (pa & ~(u64)PAGE_MASK) == jc->page[i].pa) {
			i++;
			continue;
		}
		drop_page(v, jc, jc->page[i].linear);
		jc->page[i] = jc->page[--jc->page_count];
	}
	v->stats.jc_kept++;
}

/* Direct user code of flat segments, whose EIPs are linear addresses. */
static u32 space_of(const struct vcpu *v, u32 mode, u32 base)
{
	bool own = (mode & MODE_CPL) == 3 && (mode & MODE_DIRECT) && !base && (v->cr0 & CR0_PG) && tc_is_flat(v->tc);
	return own ? v->cr3 | 1 : 0;
}

static struct jump_cache *find(struct vcpu *v, u32 mode, u32 base, u32 space)
{
	struct tc *tc = v->tc;
	for (u32 i = 0; i < JC_COUNT && tc->jcs[i].used; i++) {
		struct jump_cache *jc = &tc->jcs[i];
		if (jc->mode != mode || jc->base != base || jc->space != space)
			continue;
		if (space && jc->epoch != tc->jc_epoch)
			look_again(v, jc);
		jc->last = tc->jc_uses;
		return jc;
	}
	return NULL;
}

struct jump_cache *jc_for_mode(struct vcpu *v, u32 mode)
{
	struct tc *tc = v->tc;
	u32 base = v->seg[SEG_CS].base;
	const struct jc_near *near = &tc->jc_near[jc_near_index(mode, base)];
	if (likely(near->entry && near->mode == mode && near->base == base))
		return near->jc;
	u32 space = space_of(v, mode, base);
	bool own = space;
	tc->jc_uses++;
	struct jump_cache *jc = find(v, mode, base, space), *place = NULL;
	if (!jc && own && (place = oldest_space(tc)) != NULL && tc->jc_uses - place->last < JC_SPACE_IDLE) {
		/* All are in use: to take one would be to take it from whoever comes again soon, and so on round. */
		place = NULL;
		space = 0;
		jc = find(v, mode, base, 0);
	}
	if (jc)
		return remember(tc, jc, own);
	if (place) {
		/* Its memory goes back. */
		empty(tc, place);
		forget(tc, place);
	}
	jc = place ? place : victim(tc);
	jc->used = true;
	jc->last = tc->jc_uses;
	jc->mode = mode;
	jc->base = base;
	jc->space = space;
	jc->epoch = tc->jc_epoch;
	return remember(tc, jc, own);
}

u64 jc_head(struct vcpu *v, const struct jump_cache *jc, u32 eip)
{
	u32 index = index_of(v->tc, eip);
	/* A look does not populate the table. */
	if (!is_touched(jc, index) || !jc->entry[index])
		return 0;
	return (u64)thunk_exit_jc + jc->entry[index];
}

void jc_enter(struct vcpu *v, struct jump_cache *jc, struct tu *tu, bool global)
{
	u32 index = index_of(v->tc, tu->eip);
	if (!is_touched(jc, index)) {
		if (jc->touched_count == JC_MAX_PAGES)
			empty(v->tc, jc);
		jc->touched[index >> PAGE_SHIFT >> 6] |= 1ull << (index >> PAGE_SHIFT & 63);
		jc->touched_count++;
	}
	/* Behind whatever empties it. */
	if (jc->space) {
		note_page(v, jc, tu->eip >> PAGE_SHIFT, tu->pa);
		if (tu->flags & TU_STRADDLES)
			note_page(v, jc, (tu->eip >> PAGE_SHIFT) + 1, tu->pa2);
	}
	jc->entry[index] = encode(tu->head);
	if (jc->log[global].count < JC_LOG)
		jc->log[global].index[jc->log[global].count++] = index;
	else
		jc->log[global].count = JC_LOG + 1;
	v->stats.jc_fills++;
}

void jc_drop_tu(struct vcpu *v, struct tu *tu)
{
	u32 index = index_of(v->tc, tu->eip);
	for (int i = 0; i < JC_COUNT; i++) {
		struct jump_cache *jc = &v->tc->jcs[i];
		if (jc->used && jc->mode == tu->mode && is_touched(jc, index) && jc->entry[index] == encode(tu->head))
			jc->entry[index] = 0;
	}
}

void jc_flush_all(struct vcpu *v)
{
	for (int i = 0; i < JC_COUNT; i++)
		if (v->tc->jcs[i].used)
			clear(v->tc, &v->tc->jcs[i]);
	link_cut_all(v);
	v->stats.jc_flushes++;
}

/* Those of address spaces are looked at when they are next used, by jc_for_mode: next_head must not find them before. */
void jc_flush_nonglobal(struct vcpu *v)
{
	struct tc *tc = v->tc;
	tc->jc_epoch++;
	for (u64 set = tc->jc_near_spaces; set; set &= set - 1)
		tc->jc_near[__builtin_ctzll(set)] = (struct jc_near){0};
	tc->jc_near_spaces = 0;
	for (int i = 0; i < JC_COUNT; i++) {
		struct jump_cache *jc = &tc->jcs[i];
		if (jc->space)
			continue;
		if (jc->log[0].count > JC_LOG)
			empty(tc, jc);
		else
			clear_log(jc, false);
	}
	link_cut_local(v);
	v->stats.jc_flushes++;
}

void jc_flush_page(struct vcpu *v, u32 linear_page)
{
	link_cut_page(v, linear_page);
	for (int i = 0; i < JC_COUNT && v->tc->jcs[i].used; i++)
		drop_page(v, &v->tc->jcs[i], linear_page);
}
