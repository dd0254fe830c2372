/*
 * What the shadow-paging tests share: a pool of physical pages, page tables made by hand, address spaces, and accesses from a ring that
 * either work or fault exactly.
 *
 * Invariant: a test takes its pages from the pool at page 0 anew; nothing outlives a test but the pages' contents.
 */
#ifndef GUESTOS_SHADOW_H
#define GUESTOS_SHADOW_H

#include "guestos/conformance/test.h"

enum {
	POOL = 0x800000, /* physical, and identity-mapped for ring 0 */
	POOL_PAGES = 2048,
	HIGH = 0x2000000, /* physical memory that no identity map reaches: 32 MiB to 48 MiB */
	RW = P_P | P_W,
	RWU = P_P | P_W | P_U,
	RU = P_P | P_U,
	A = TW,
	B = TW + 0x1000,
	C = TW + 0x2000,
	D = TW + 0x3000,
	R1 = 0x20000000, /* linear regions of 4 MiB that have no page table yet */
	R2 = 0x20400000,
	SPACE = 0x30000000, /* what address spaces have of their own */
};

/* Who accesses: user code, the kernel its own page, the kernel a user's page. */
struct who {
	const char *name;
	int ring;
	u64 u; /* P_U or 0 */
};
extern const struct who everybody[3];
#define FOR_EVERYBODY(w) for (const struct who *w = everybody; w < everybody + 3; w++)

static inline volatile u32 *at(u32 lin)
{
	return (volatile u32 *)(uintptr_t)lin;
}

/* A page of the pool. */
static inline u8 *page(u32 n)
{
	return (u8 *)(uintptr_t)(POOL + (n % POOL_PAGES) * 4096);
}

static inline int pae(void)
{
	return paging_mode() == PG_PAE;
}

/* Entries of a page table or directory by hand; no flush. */
static inline u64 entry(const void *table, u32 i)
{
	return pae() ? ((const volatile u64 *)table)[i] : ((const volatile u32 *)table)[i];
}
static inline void set_entry(void *table, u32 i, u64 e)
{
	if (pae()) {
		volatile u32 *p = (volatile u32 *)table + 2 * i;

		p[0] = 0;
		p[1] = (u32)(e >> 32);
		p[0] = (u32)e;
	} else {
		((volatile u32 *)table)[i] = (u32)e;
	}
}
static inline u32 entry_size(void)
{
	return pae() ? 8 : 4;
}
static inline u32 entries(void)
{
	return pae() ? 512 : 1024;
}
static inline u32 index_of(u32 lin)
{
	return lin >> 12 & (entries() - 1);
}

/* An empty page table in page `pt` for the linear address. Flushes. */
void install(u32 lin, void *pt);
/* The first word of each of the pool's pages [0, n) is MARK + its number. */
enum { MARK = 0x5ead0000 };
void mark_pages(u32 n);

/* An address space: the current one, but with a directory of its own below 1 GiB, made from pool pages n and n + 1. */
struct space {
	u32 cr3;
	void *dir;
};
struct space make_space(u32 n);
void set_space_pde(const struct space *s, u32 lin, u64 e);

/* Runs code with EBX = lin and EAX = eax. */
struct state touch(int ring, const u8 *code, u32 lin, u32 eax);
/* These fail the test if things go otherwise. */
void reads(const struct who *w, u32 lin, u32 want, const char *what);
void writes(const struct who *w, u32 lin, u32 value, const char *what);
/* error without the U bit, which the ring gives. */
void read_faults(const struct who *w, u32 lin, u32 error, const char *what);
void write_faults(const struct who *w, u32 lin, u32 error, const char *what);
void faults_at(const struct state *s, u32 lin, u32 error, const void *eip, const char *what);
void flush(u32 lin, u32 how); /* even: INVLPG; odd: CR3 load */
/* Calls a C function in a ring; its result. */
u32 call_in(int ring, void *fn, u32 a, u32 b, u32 c);
/* Pseudo-random numbers, the same in every run. */
u32 next_random(u32 *seed);

extern u8 u_read[], u_write[], u_done[];

#endif
