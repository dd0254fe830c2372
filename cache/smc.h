/*
 * Code in guest memory that changes: which RAM pages hold translated code, in 64-byte granules, and what happens on writes to them.
 *
 * Invariant: a page with a non-empty granule map, or with traces (it is a page table that a window depends on), is writable through no
 * softmmu table and no window, so that every write reaches smc_phys_write.
 */
#ifndef RINGER_SMC_H
#define RINGER_SMC_H

#include "monitor/vcpu.h"

struct tu;

#define WINDOW_WRITERS	 4
#define CODE_CHURN_LIMIT 4
#define CODE_CHURN_TICKS 32

/* One per RAM page. */
struct page_desc {
	u64 granules;			   /* bit g: bytes 64g..64g+63 belong to some TU */
	u32 tus;			   /* index + 1 of the first TU that has bytes on this page; chained by tu->page_next */
	u32 writer[2];			   /* linear page << 1 | table of write entries made for this page; stale ones are harmless */
	u8 writers : 4;			   /* how many of them are in use; 3: too many to remember */
	u8 code_churn : 4;		   /* how often in quick succession writes have dropped new code here, up to CODE_CHURN_LIMIT */
	u8 window_writers;		   /* as writers, for windows; WINDOW_WRITERS + 1: too many */
	u16 code_tick;			   /* when writes dropped code here last, in interrupts */
	u32 dropped;			   /* how many TUs there were then: those from this index on are new */
	u32 window_writer[WINDOW_WRITERS]; /* window number << 20 | linear page */
	u32 traces;			   /* shadowpt/window_map.c: index of the first use as a page table; 0 none */
};

/* The bytes [pa, pa + n) of guest-physical memory have been written: drops the TUs that were made from them. vCPU thread, or before it
 * runs. */
void smc_phys_write(struct vm *vm, u64 pa, size_t n);
/* The part of it that concerns translated code. */
void smc_code_write(struct vcpu *v, u64 pa, u32 n);
/* True if a TU (made from any of its bytes) overlaps [pa, pa + n). */
bool smc_overlaps(const struct tu *tu, u64 pa, size_t n);
/* Whether a RAM page (ram_page index) holds translated code. */
bool smc_has_code(struct vcpu *v, u32 page);
/* Marks a TU's bytes as code, write-protects their pages. */
void smc_add(struct vcpu *v, struct tu *tu);
/* Code here is rewritten again and again: each change of rights would cost more than the slow way of writing. */
bool smc_is_churned(const struct vcpu *v, const struct page_desc *d);
/* TUs of a page have been dropped: what of it is code still. */
void smc_recount(struct vcpu *v, u32 page);
struct page_desc *smc_page(struct vcpu *v, u32 page);

#endif
