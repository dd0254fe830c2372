/*
 * The checked memory flavour: flat tables, one per privilege (supervisor, user), that play the part of an unbounded TLB.
 *
 * A table has a read half and a write half of 2^21 eight-byte entries each, two per linear page p:
 *   entry 2p      host address of the page's bytes minus its linear address (the "delta"), or 0: a miss
 *   entry 2p + 1  the same for an access that begins in page p and ends in page p + 1; always 0: such accesses are misses
 * so an access of n bytes at linear address a looks at entry (a >> 12) + ((a + n - 1) >> 12), which needs no flags and no tag check.
 *
 * Invariants
 *  - An entry is non-zero only if the guest's tables allowed that access when it was made, A (for the write half also D) was set in them,
 *    the page is RAM, holds no translated code (write half), and no watchpoint is on it.
 *  - Entries are dropped at every event where the architecture requires a TLB to drop them (SDM Vol. 3A 4.10.4); until then they may be
 * stale.
 *  - Every non-zero entry is in a log (global or non-global), so a flush costs what was filled.
 */
#ifndef RINGER_SOFTMMU_H
#define RINGER_SOFTMMU_H

#include "monitor/vcpu.h"
#include "shadowpt/access.h"

#define MMU_HALF_ENTRIES (1u << 21)
#define MMU_WRITE_OFFSET (MMU_HALF_ENTRIES * 8) /* bytes from the read half to the write half */
#define MMU_TABLE_BYTES	 (2ull * MMU_WRITE_OFFSET)
#define MMU_LOG_SIZE	 16384
#define BOUNCE_MAX	 512 /* the largest memory operand: FXSAVE */

enum { MMU_SUPERVISOR, MMU_USER, MMU_EMPTY, MMU_TABLES };

struct mmu_log {
	u32 n;
	u32 page[MMU_LOG_SIZE]; /* linear page << 1 | table */
};

/* An access that cannot go straight to RAM: the instruction runs on a buffer and the monitor commits it. */
struct bounce {
	u32 linear, size;
	u64 pa[2]; /* guest-physical of the first byte, and of the first byte in the second page */
	u32 first; /* bytes in the first page */
	u32 meta;  /* the TU and its instruction */
	u8 *buf;   /* as aligned within its page as the guest's operand */
};

/*
 * Where pages that are not RAM lie, by linear page, privilege and kind of access: they have no entry in the tables, and would be walked for
 * at every access otherwise. As stale as those at most.
 */
#define MMIO_TLB_SIZE 32
struct mmio_tlb {
	u32 tag[MMIO_TLB_SIZE]; /* 0: none */
	u64 page[MMIO_TLB_SIZE];
	bool used;
};

struct softmmu {
	u64 *table[MMU_TABLES]; /* MMU_EMPTY: all misses; used while alignment checks or watchpoints are on */
	u8 *bounce_pages[2];	/* two pages each */
	struct bounce bounce[2];
	struct mmu_log log[2]; /* [1]: global entries */
	struct mmio_tlb mmio;
	u8 large[1024]; /* 4 MiB regions with an entry that came from a large page */
};

/* Returns 0 or -errno (address space refused). */
int softmmu_init(struct vcpu *v);
void softmmu_free(struct vcpu *v);

/* True while every access must be looked at: alignment checks (SDM Vol. 3A 6.15, #AC) or data breakpoints. */
static inline bool softmmu_watches_all(const struct vcpu *v)
{
	return unlikely(access_checks_alignment(v) || access_has_watchpoints(v));
}
/* The table that translated code at v's CPL uses now. */
static inline u64 *softmmu_table(const struct vcpu *v)
{
	return v->mmu->table[softmmu_watches_all(v) ? MMU_EMPTY : v->cpl == 3 ? MMU_USER : MMU_SUPERVISOR];
}

/*
 * Guest RAM for an access of n bytes at `linear`, if the table has it and nothing is to be looked at: what translated code would do inline.
 * NULL: lin_read and its kin do it, or raise.
 */
static inline void *softmmu_at(const struct vcpu *v, u32 linear, u32 n, int acc)
{
	const u64 *t = v->mmu->table[acc & ACC_USER ? MMU_USER : MMU_SUPERVISOR];
	u64 delta = t[2 * (u64)(linear >> PAGE_SHIFT) + (acc & ACC_WRITE ? MMU_HALF_ENTRIES : 0)];

	if (unlikely(!delta || (linear & PAGE_MASK) + n > PAGE_SIZE || softmmu_watches_all(v)))
		return NULL;
	return (u8 *)(delta + linear);
}
/*
 * A host pointer to directly accessible guest RAM at `linear` and how many bytes are accessible there (up to the page's end), after all
 * page checks for `acc` (raises #PF). NULL when the access must go element by element through lin_read/lin_write: MMIO, translated code,
 * watched pages.
 */
u8 *softmmu_span(struct vcpu *v, u32 linear, int acc, u32 *bytes);

/* True if the page at `linear` is known not to be RAM: *pa is the address there. No check of what else may be wrong with the access. */
bool softmmu_mmio(const struct vcpu *v, u32 linear, int acc, u64 *pa);

/* Misses and commits of translated code; see softmmu.c. */
u64 softmmu_miss(struct vcpu *v, u32 linear, u32 meta, int slot, bool *bounced);
void softmmu_commit(struct vcpu *v, int slot);

/* A page has got translated code: writes to it must miss from now on. */
void softmmu_protect_page(struct vcpu *v, u32 page);

#endif
