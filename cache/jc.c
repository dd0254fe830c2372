/* Jump caches (see jc.h). */
#include "cache/jc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cache/tc.h"

#define JC_BYTES (JC_ENTRIES * sizeof(u64))

static void clear(struct jump_cache *jc)
{
	u64 miss = (u64)thunk_exit_jc;
	if (jc->log_count > JC_LOG) {
		for (u32 i = 0; i < JC_ENTRIES; i++)
			jc->entry[i] = miss;
	} else {
		for (u32 i = 0; i < jc->log_count; i++)
			jc->entry[jc->log[i]] = miss;
	}
	jc->log_count = 0;
	jc->nonglobal = false;
	for (unsigned i = 0; i < ARRAY_SIZE(jc->pages); i++)
		jc->pages[i] = 0;
}

static bool create(struct jump_cache *jc)
{
	u64 *e = mmap(NULL, JC_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e == MAP_FAILED)
		return false;
	jc->entry = e;
	jc->log_count = JC_LOG + 1;
	clear(jc);
	return true;
}

int jc_init(struct vcpu *v)
{
	v->tc->jcs = calloc(JC_COUNT + 1, sizeof(struct jump_cache));
	if (!v->tc->jcs || !create(&v->tc->jcs[JC_COUNT]))
		return -ENOMEM;
	return 0;
}

void jc_free(struct vcpu *v)
{
	struct jump_cache *jcs = v->tc->jcs;
	for (int i = 0; jcs && i <= JC_COUNT; i++)
		if (jcs[i].entry)
			munmap(jcs[i].entry, JC_BYTES);
	free(jcs);
	v->tc->jcs = NULL;
}

u64 *jc_all_miss(struct vcpu *v)
{
	return v->tc->jcs[JC_COUNT].entry;
}

/* A mode without a cache takes the place of another, round robin; NULL only when the host has no memory left (then every transfer misses).
 */
struct jump_cache *jc_for_mode(struct vcpu *v, u32 mode)
{
	struct jump_cache *jcs = v->tc->jcs;
	for (int i = 0; i < JC_COUNT; i++)
		if (jcs[i].used && jcs[i].mode == mode)
			return &jcs[i];
	int victim = 0;
	while (victim < JC_COUNT && jcs[victim].used)
		victim++;
	if (victim == JC_COUNT)
		victim = (int)(v->tc->jc_clock++ % JC_COUNT);
	struct jump_cache *jc = &jcs[victim];
	if (jc->entry)
		clear(jc);
	else if (!create(jc))
		return NULL;
	jc->used = true;
	jc->mode = mode;
	return jc;
}

/* 4,096 bits of filter, indexed by a hash of the page number. */
static u32 page_hash(u32 page)
{
	return (page ^ page >> 12) & 0xfff;
}

void jc_enter(struct vcpu *v, struct jump_cache *jc, struct tu *tu, bool global)
{
	u16 slot = (u16)tu->eip;
	u32 linear = tu->eip + v->seg[SEG_CS].base, h = page_hash(linear >> PAGE_SHIFT);
	jc->entry[slot] = tu->head;
	if (jc->log_count < JC_LOG)
		jc->log[jc->log_count++] = slot;
	else
		jc->log_count = JC_LOG + 1;
	jc->nonglobal |= !global;
	jc->pages[h >> 6] |= 1ull << (h & 63);
	if (tu->flags & TU_STRADDLES) {
		h = page_hash((linear >> PAGE_SHIFT) + 1);
		jc->pages[h >> 6] |= 1ull << (h & 63);
	}
	v->stats.jc_fills++;
}

void jc_drop_tu(struct vcpu *v, struct tu *tu)
{
	for (int i = 0; i < JC_COUNT; i++) {
		struct jump_cache *jc = &v->tc->jcs[i];
		if (jc->used && jc->mode == tu->mode && jc->entry[(u16)tu->eip] == tu->head)
			jc->entry[(u16)tu->eip] = (u64)thunk_exit_jc;
	}
}

void jc_flush_all(struct vcpu *v)
{
	for (int i = 0; i < JC_COUNT; i++)
		if (v->tc->jcs[i].used)
			clear(&v->tc->jcs[i]);
	v->stats.jc_flushes++;
}

void jc_flush_nonglobal(struct vcpu *v)
{
	for (int i = 0; i < JC_COUNT; i++)
		if (v->tc->jcs[i].used && v->tc->jcs[i].nonglobal)
			clear(&v->tc->jcs[i]);
	v->stats.jc_flushes++;
}

void jc_flush_page(struct vcpu *v, u32 linear_page)
{
	u32 h = page_hash(linear_page);
	for (int i = 0; i < JC_COUNT; i++) {
		struct jump_cache *jc = &v->tc->jcs[i];
		if (jc->used && (jc->pages[h >> 6] >> (h & 63) & 1)) {
			clear(jc);
			v->stats.jc_flushes++;
		}
	}
}
