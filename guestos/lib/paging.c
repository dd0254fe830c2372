/*
 * Page tables, two-level and PAE: an identity map of the first 16 MiB and the test window at TW.
 *
 * Invariant: the identity map is never changed by tests (but for their own scratch PDEs, undone before they end), so that traps always
 * work.
 */
#include "guestos/lib/lib.h"

u8 scratch[SCRATCH][4096] __attribute__((aligned(4096)));
extern u8 __user_start[], __user_end[];

enum { ID_PAGES = 4096 };

static u32 dir32[1024] __attribute__((aligned(4096)));
static u32 id32[ID_PAGES] __attribute__((aligned(4096)));
static u32 tw32[1024] __attribute__((aligned(4096)));
static u64 pdpt[4] __attribute__((aligned(32)));
static u64 dir64[4][512] __attribute__((aligned(4096)));
static u64 id64[ID_PAGES] __attribute__((aligned(4096)));
static u64 tw64[512] __attribute__((aligned(4096)));
static enum paging mode_now;

enum paging paging_mode(void)
{
	return mode_now;
}

static u32 id_entry(u32 page)
{
	u32 addr = page << 12;

	return addr | P_P | P_W | (addr >= ADDR(__user_start) && addr < ADDR(__user_end) ? P_U : 0);
}

static void build32(void)
{
	memset(dir32, 0, sizeof(dir32));
	memset(tw32, 0, sizeof(tw32));
	for (u32 i = 0; i < ID_PAGES; i++)
		id32[i] = id_entry(i);
	for (u32 i = 0; i < ID_PAGES / 1024; i++)
		dir32[i] = ADDR(&id32[i * 1024]) | P_P | P_W | P_U;
	dir32[TW >> 22] = ADDR(tw32) | P_P | P_W | P_U;
}

static void build64(void)
{
	memset(dir64, 0, sizeof(dir64));
	memset(tw64, 0, sizeof(tw64));
	for (u32 i = 0; i < 4; i++)
		pdpt[i] = ADDR(dir64[i]) | P_P;
	for (u32 i = 0; i < ID_PAGES; i++)
		id64[i] = id_entry(i);
	for (u32 i = 0; i < ID_PAGES / 512; i++)
		dir64[0][i] = ADDR(&id64[i * 512]) | P_P | P_W | P_U;
	dir64[TW >> 30][TW >> 21 & 511] = ADDR(tw64) | P_P | P_W | P_U;
}

void paging_set(enum paging mode)
{
	u32 r[4];

	write_cr0(read_cr0() & ~CR0_PG);
	write_cr4(read_cr4() & ~(u32)(CR4_PSE | CR4_PAE | CR4_PGE));
	cpuid(0x80000000, 0, r);
	if (r[0] >= 0x80000001) {
		cpuid(0x80000001, 0, r);
		if (r[3] & 1u << 20)
			wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ull);
	}
	mode_now = mode;
	if (mode == PG_OFF)
		return;
	if (mode == PG_PAE) {
		build64();
		write_cr4(read_cr4() | CR4_PAE);
		write_cr3(ADDR(pdpt));
	} else {
		build32();
		write_cr3(ADDR(dir32));
	}
	write_cr0(read_cr0() | CR0_PG);
}

void *pte_ptr(u32 lin)
{
	u32 page = lin >> 12;

	if (mode_now == PG_PAE)
		return page < ID_PAGES ? &id64[page] : &tw64[(lin - TW) >> 12 & 511];
	return page < ID_PAGES ? &id32[page] : &tw32[(lin - TW) >> 12 & 1023];
}

static void *pde_ptr(u32 lin)
{
	return mode_now == PG_PAE ? (void *)&dir64[lin >> 30][lin >> 21 & 511] : (void *)&dir32[lin >> 22];
}

static u64 get(void *p)
{
	return mode_now == PG_PAE ? *(volatile u64 *)p : *(volatile u32 *)p;
}

static void set(void *p, u64 e)
{
	if (mode_now == PG_PAE) {
		((volatile u32 *)p)[0] = 0;
		((volatile u32 *)p)[1] = (u32)(e >> 32);
		((volatile u32 *)p)[0] = (u32)e;
	} else {
		*(volatile u32 *)p = (u32)e;
	}
}

u64 pte_get(u32 lin)
{
	return get(pte_ptr(lin));
}

void pte_set(u32 lin, u64 e)
{
	set(pte_ptr(lin), e);
}

u64 pde_get(u32 lin)
{
	return get(pde_ptr(lin));
}

void pde_set(u32 lin, u64 e)
{
	set(pde_ptr(lin), e);
}

void map(u32 lin, const void *phys, u64 flags)
{
	pte_set(lin, ADDR(phys) | flags);
	invlpg(lin);
}

void unmap_window(void)
{
	for (u32 i = 0; i < TW_PAGES; i++)
		pte_set(TW + (i << 12), 0);
	write_cr3(read_cr3());
}
