/*
 * The guest page-table walk: two-level tables with 4 MB pages (PSE, PSE-36) and PAE with 2 MB pages and NX.
 *
 * Invariants: reserved bits are checked at every level before permissions; A is set at every level only when the whole walk is allowed;
 * D only in the leaf and only for writes. Entries are updated with a compare-and-swap so that a device's or another CPU's change is not
 * lost.
 */
#include "shadowpt/walk.h"

#include "cache/smc.h"
#include "monitor/cpuid.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define PTE_P  0x001u
#define PTE_W  0x002u
#define PTE_U  0x004u
#define PTE_A  0x020u
#define PTE_D  0x040u
#define PTE_PS 0x080u
#define PTE_G  0x100u
#define PTE_NX (1ull << 63)

#define PHYS_BITS CPU_PHYS_BITS
#define PAE_RSVD  (((1ull << 63) - 1) & ~((1ull << PHYS_BITS) - 1))

/* One entry on the way: where it lies and what it held. */
struct level {
	u8 *host;
	u64 pa;
	u64 value;
};

static u64 a20(const struct vcpu *v, u64 pa)
{
	return likely(v->vm->mem.a20_open) ? pa : pa & ~(1ull << 20);
}

static void fetch(struct vcpu *v, struct level *l, u64 pa, bool wide)
{
	l->pa = a20(v, pa);
	l->host = ram_ptr(&v->vm->mem, l->pa);
	if (!l->host)
		l->value = wide ? ~0ull : 0xffffffffu;
	else if (wide)
		l->value = __atomic_load_n((u64 *)l->host, __ATOMIC_RELAXED);
	else
		l->value = __atomic_load_n((u32 *)l->host, __ATOMIC_RELAXED);
}

/* Sets bits in an entry; false if somebody changed it meanwhile (the walk starts again). A and D are in the low byte. */
static bool set_bits(struct vcpu *v, struct level *l, u32 bits)
{
	if ((l->value & bits) == bits || !l->host || !memory_is_writable(&v->vm->mem, l->pa))
		return true;
	u32 old = (u32)l->value;
	if (!__atomic_compare_exchange_n((u32 *)l->host, &old, old | bits, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	v->stats.entries_marked++;
	/* Windows need not know of A and D bits that the CPU itself sets. */
	smc_code_write(v, l->pa, 1);
	return true;
}

static int fault(int acc, u32 code, bool nx_matters)
{
	if (acc & ACC_WRITE)
		code |= PFERR_W;
	if (acc & ACC_USER)
		code |= PFERR_U;
	if ((acc & ACC_EXEC) && nx_matters)
		code |= PFERR_I;
	return (int)code;
}

/* An entry changed under the walk. */
#define WALK_AGAIN (-2)

/*
 * The end of a walk whose entries are all present and free of reserved bits: rights, then A and D, then what it says beyond the address.
 * pte is NULL for a large page; nxe: EFER.NXE counts, no_exec: some entry says so. Returns -1, a #PF error code, or WALK_AGAIN.
 */
static int finish(struct vcpu *v, int acc, struct walk *w, bool commit, struct level *pde, struct level *pte, bool nxe, bool no_exec)
{
	struct level *leaf = pte ? pte : pde;
	u64 rights = pde->value & leaf->value;
	bool write = acc & ACC_WRITE, user = acc & ACC_USER, may_write = (rights & PTE_W) || (!user && !(v->cr0 & CR0_WP));
	if (commit) {
		if ((user && !(rights & PTE_U)) || (write && !may_write) || ((acc & ACC_EXEC) && no_exec))
			return fault(acc, PFERR_P, nxe);
		if ((pte && !set_bits(v, pde, PTE_A)) || !set_bits(v, leaf, write ? PTE_A | PTE_D : PTE_A))
			return WALK_AGAIN;
	}
	w->writable = may_write && (write || (leaf->value & PTE_D));
	w->global = (leaf->value & PTE_G) && (v->cr4 & CR4_PGE);
	w->user = rights & PTE_U;
	w->paged = true;
	w->large = !pte;
	w->accessed = pde->value & leaf->value & PTE_A;
	w->no_exec = no_exec;
	w->pde = pde->value;
	w->pde_pa = pde->pa;
	w->table_pa = pte ? pte->pa & ~(u64)PAGE_MASK : 0;
	return -1;
}

static int walk_legacy(struct vcpu *v, u32 lin, int acc, struct walk *w, bool commit)
{
	struct level pde, pte;
	fetch(v, &pde, (v->cr3 & 0xfffff000u) + (lin >> 22) * 4, false);
	if (!(pde.value & PTE_P))
		return fault(acc, 0, false);
	bool large = (pde.value & PTE_PS) && (v->cr4 & CR4_PSE);
	if (large) {
		/* PSE-36: bits 13..16 are address bits 32..35; those above, up to 21, are reserved (SDM Vol. 3A table 4-4). Without PSE-36
		 * all are. */
		if (pde.value & (v->features & CPUF_PSE36 ? 0x3e0000u : 0x3fe000u))
			return fault(acc, PFERR_P | PFERR_RSVD, false);
		w->pa = (pde.value & 0xffc00000u) | ((pde.value >> 13 & 0xf) << 32) | (lin & 0x3fffffu);
	} else {
		fetch(v, &pte, (pde.value & 0xfffff000u) + (lin >> 12 & 0x3ff) * 4, false);
		if (!(pte.value & PTE_P))
			return fault(acc, 0, false);
		w->pa = (pte.value & 0xfffff000u) | (lin & PAGE_MASK);
	}
	return finish(v, acc, w, commit, &pde, large ? NULL : &pte, false, false);
}

static int walk_pae(struct vcpu *v, u32 lin, int acc, struct walk *w, bool commit)
{
	struct level pde, pte;
	bool nxe = v->efer & EFER_NXE;
	u64 rsvd = PAE_RSVD | (nxe ? 0 : PTE_NX);
	u64 pdpte = v->pdpte[lin >> 30];
	if (!(pdpte & PTE_P))
		return fault(acc, 0, nxe);
	fetch(v, &pde, (pdpte & 0xffffff000ull) + (lin >> 21 & 0x1ff) * 8, true);
	if (!(pde.value & PTE_P))
		return fault(acc, 0, nxe);
	bool large = pde.value & PTE_PS;
	if (pde.value & (rsvd | (large ? 0x1fe000u : 0)))
		return fault(acc, PFERR_P | PFERR_RSVD, nxe);
	bool nx = pde.value & PTE_NX;
	if (large) {
		w->pa = (pde.value & 0xfffe00000ull) | (lin & 0x1fffffu);
	} else {
		fetch(v, &pte, (pde.value & 0xffffff000ull) + (lin >> 12 & 0x1ff) * 8, true);
		if (!(pte.value & PTE_P))
			return fault(acc, 0, nxe);
		if (pte.value & rsvd)
			return fault(acc, PFERR_P | PFERR_RSVD, nxe);
		nx |= !!(pte.value & PTE_NX);
		w->pa = (pte.value & 0xffffff000ull) | (lin & PAGE_MASK);
	}
	return finish(v, acc, w, commit, &pde, large ? NULL : &pte, nxe, nxe && nx);
}

static int walk_any(struct vcpu *v, u32 linear, int acc, struct walk *w, bool commit)
{
	int err = -1;
	if (!(v->cr0 & CR0_PG)) {
		w->pa = linear;
		w->writable = w->global = true;
		w->large = w->user = w->paged = false;
		w->pde = w->pde_pa = w->table_pa = 0;
	} else {
		do
			err = v->cr4 & CR4_PAE ? walk_pae(v, linear, acc, w, commit) : walk_legacy(v, linear, acc, w, commit);
		while (err == WALK_AGAIN);
	}
	w->pa = a20(v, w->pa);
	/* Writes to ROM are the monitor's business. */
	if (err < 0)
		w->writable = w->writable && memory_is_writable(&v->vm->mem, w->pa);
	else if (commit && log_on(LOG_MMU))
		trace_walk(v, linear, acc, (u32)err);
	return err;
}

int walk_translate(struct vcpu *v, u32 linear, int acc, struct walk *w)
{
	return walk_any(v, linear, acc, w, true);
}

bool walk_peek(struct vcpu *v, u32 linear, u64 *pa)
{
	struct walk w = {0};
	bool mapped = walk_any(v, linear, ACC_READ, &w, false) < 0;
	*pa = w.pa;
	return mapped;
}

bool walk_fetched(struct vcpu *v, u32 linear, u64 *pa)
{
	struct walk w = {0};
	bool mapped = walk_any(v, linear, ACC_EXEC | ACC_USER, &w, false) < 0;
	*pa = w.pa;
	return mapped && w.user && w.accessed && !w.no_exec;
}
