/*
 * Jump caches: from a target EIP to the head of a TU, one cache per mode and base of CS. They are the instruction TLB as well: an indirect
 * transfer always goes through one, and it is flushed when the architecture requires the TLB to be.
 *
 * A cache is flat: an entry for each EIP there is, 16 GiB of address space of which only what was entered is ever populated. So a transfer
 * needs no verification. Where the host refuses so much address space (ulimit -v, strict overcommit), the index is the low 16 bits of EIP,
 * and the head of each TU verifies r8d.
 *
 * An entry is the host address of a head, less that of thunk_exit_jc: memory that was never written misses.
 */
#ifndef RINGER_JC_H
#define RINGER_JC_H

#include "monitor/vcpu.h"

#define JC_FLAT_ENTRIES	  (1ull << 32)
#define JC_HASHED_ENTRIES (1ull << 16)
#define JC_COUNT	  64
#define JC_LOG		  8192
/* Guest pages that a cache may hold entries of: each takes up to 16 KiB of the table. */
#define JC_MAX_PAGES 2048u

/* Address spaces that have caches of their own at a time: each is some MiB of the host's memory. */
#define JC_SPACES 8u
/* Looks of jc_for_mode, one for each turn of an address space at least, until one that is not used makes place for another. Until then
 * that one has to do with the cache of all others, which MOV CR3 empties. */
#define JC_SPACE_IDLE 256u
/* Guest pages of one address space's cache that are remembered; one with more is emptied at MOV CR3. */
#define JC_PAGES 512u

struct tu;

/*
 * The caches of direct user code are one for each address space, and MOV CR3 leaves them alone: when one is next used the pages that its
 * entries lie in are walked, and the entries of those dropped that are not mapped as they were. For a TLB might have filled itself just so.
 */
struct jump_cache {
	u32 *entry;
	u64 *touched; /* bitmap, by index >> PAGE_SHIFT: that part of the table may be populated */
	u32 touched_count;
	u32 mode, base; /* of CS */
	u32 space;	/* CR3 | 1, or 0: of all address spaces */
	u64 last;	/* tc->jc_uses when it was last asked for by name; where space is not 0 */
	u32 epoch;	/* tc->jc_epoch when its pages were looked at last; where space is not 0 */
	u32 page_count; /* above JC_PAGES: unknown */
	struct {
		u32 linear; /* page number */
		u64 pa;
	} page[JC_PAGES];
	bool used;
	/* Indexes that were entered since the last flush, [1] those of global pages; a count beyond JC_LOG: unknown. */
	struct {
		u32 count;
		u32 index[JC_LOG];
	} log[2];
};

/* Where jc_for_mode has found one lately, by jc_near_index. entry NULL: nothing here. */
#define JC_NEAR 64u
struct jc_near {
	u32 mode, base;
	u32 *entry;
	struct jump_cache *jc;
};
static inline u32 jc_near_index(u32 mode, u32 base)
{
	return (mode ^ mode >> 7 ^ mode >> 13 ^ base >> 4 ^ base >> 10) % JC_NEAR;
}

int jc_init(struct vcpu *v);
void jc_free(struct vcpu *v);
/* The cache of v->seg[SEG_CS].base and a mode; another one makes place if there must be. NULL: the host has no memory for a single one. */
struct jump_cache *jc_for_mode(struct vcpu *v, u32 mode);
/* What v->jc points to after a kick: every transfer leaves to the dispatcher, a flat one by a fault (see jc_is_all_miss). */
u32 *jc_all_miss(struct vcpu *v);
/* Whether a host address lies in the all-miss table, of which nothing is accessible if it is flat. */
bool jc_is_all_miss(const struct vcpu *v, u64 host);
/* The head that the cache has for eip, or 0. */
u64 jc_head(struct vcpu *v, const struct jump_cache *jc, u32 eip);
void jc_enter(struct vcpu *v, struct jump_cache *jc, struct tu *tu, bool global);
void jc_drop_tu(struct vcpu *v, struct tu *tu);
void jc_flush_all(struct vcpu *v);
void jc_flush_nonglobal(struct vcpu *v);
void jc_flush_page(struct vcpu *v, u32 linear_page);

#endif
