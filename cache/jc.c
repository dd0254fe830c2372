/* Jump caches (see jc.h). */
#include "cache/jc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cache/tc.h"

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
	jc->touched_count = 0;
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
	for (u32 i = 0; i < JC_NEAR; i++)
		if (tc->jc_near[i].jc == jc)
			tc->jc_near[i] = (struct jc_near){0};
	return jc;
}

static struct jump_cache *remember(struct tc *tc, struct jump_cache *jc)
{
	tc->jc_near[jc_near_index(jc->mode, jc->base)] = (struct jc_near){jc->mode, jc->base, jc->entry, jc};
	return jc;
}

struct jump_cache *jc_for_mode(struct vcpu *v, u32 mode)
{
	struct tc *tc = v->tc;
	u32 base = v->seg[SEG_CS].base;
	const struct jc_near *near = &tc->jc_near[jc_near_index(mode, base)];
	if (likely(near->entry && near->mode == mode && near->base == base))
		return near->jc;
	for (u32 i = 0; i < JC_COUNT && tc->jcs[i].used; i++)
		if (tc->jcs[i].mode == mode && tc->jcs[i].base == base)
			return remember(tc, &tc->jcs[i]);
	struct jump_cache *jc = victim(tc);
	jc->used = true;
	jc->mode = mode;
	jc->base = base;
	return remember(tc, jc);
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
	v->stats.jc_flushes++;
}

void jc_flush_nonglobal(struct vcpu *v)
{
	for (int i = 0; i < JC_COUNT; i++) {
		struct jump_cache *jc = &v->tc->jcs[i];
		if (jc->log[0].count > JC_LOG)
			empty(v->tc, jc);
		else
			clear_log(jc, false);
	}
	v->stats.jc_flushes++;
}

void jc_flush_page(struct vcpu *v, u32 linear_page)
{
	/* A TU that straddles into the page begins at most 14 bytes before it. */
	const u32 before = 14;
	for (int i = 0; i < JC_COUNT && v->tc->jcs[i].used; i++) {
		struct jump_cache *jc = &v->tc->jcs[i];
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
}
