/*
 * A page walk as the manual tells it (SDM Vol. 3A 4.3, 4.4, 4.6, 4.7), to compare Ringer's with: no speed, no state of its own, one level
 * after the other.
 *
 * Invariant: nothing here comes from shadowpt/. Physical memory that is not there reads as ones and swallows writes.
 */
#ifndef RINGER_FUZZ_REFWALK_H
#define RINGER_FUZZ_REFWALK_H

#include "monitor/vcpu.h"
#include "monitor/vm.h"

enum { REF_P = 1, REF_W = 2, REF_U = 4, REF_A = 0x20, REF_D = 0x40, REF_PS = 0x80, REF_G = 0x100 };
#define REF_XD	      (1ull << 63)
#define REF_PHYS_BITS 36

/* The machine that is walked. */
struct ref_machine {
	u8 *ram; /* low bytes at 0, then those at 4 GiB */
	u64 low, high;
	bool a20_open, pse36;
	u32 cr0, cr3, cr4;
	bool nxe;
	u64 pdpte[4];
};

struct ref_walk {
	int error; /* #PF error code, -1: allowed */
	u64 pa;
	bool mapped; /* present at all levels, no reserved bits: the fields below hold */
	bool may_read, may_write, may_execute;
	bool accessed, dirty; /* A at all levels, D in the leaf: before this access */
	bool user, global, large, paged;
	u64 pde, pde_pa, table_pa;
};

static inline u64 ref_a20(const struct ref_machine *m, u64 pa)
{
	return m->a20_open ? pa : pa & ~(1ull << 20);
}

static inline u8 *ref_byte(const struct ref_machine *m, u64 pa)
{
	/* The video memory's place is not RAM. */
	if (pa >= 0xa0000 && pa < 0xc0000)
		return NULL;
	if (pa < m->low)
		return m->ram + pa;
	if (pa >= 0x100000000ull && pa < 0x100000000ull + m->high)
		return m->ram + m->low + (pa - 0x100000000ull);
	return NULL;
}

static inline u64 ref_read(const struct ref_machine *m, u64 pa, unsigned size)
{
	u64 x = 0;

	for (unsigned k = 0; k < size; k++) {
		u8 *p = ref_byte(m, ref_a20(m, pa) + k);
		x |= (u64)(p ? *p : 0xff) << (8 * k);
	}
	return x;
}

static inline void ref_set(const struct ref_machine *m, u64 pa, u8 bits)
{
	u8 *p = ref_byte(m, ref_a20(m, pa));

	if (p)
		*p |= bits;
}

/* Bits that must be zero in an entry of this level and kind; tables 4-4 to 4-11. */
static inline u64 ref_reserved(const struct ref_machine *m, bool pae, bool directory, bool large)
{
	u64 rsvd = 0;

	if (!pae) {
		if (!directory || !large)
			return 0;
		for (int bit = 13; bit <= 21; bit++)
			if (!m->pse36 || bit > 13 + (REF_PHYS_BITS - 33))
				rsvd |= 1ull << bit;
		return rsvd;
	}
	for (int bit = REF_PHYS_BITS; bit <= 62; bit++)
		rsvd |= 1ull << bit;
	if (!m->nxe)
		rsvd |= REF_XD;
	if (directory && large)
		for (int bit = 13; bit <= 20; bit++)
			rsvd |= 1ull << bit;
	return rsvd;
}

static inline struct ref_walk ref_walk(const struct ref_machine *m, u32 linear, int acc, bool commit)
{
	struct ref_walk w = {.error = -1, .pa = linear};
	bool pae = m->cr4 & CR4_PAE, write = acc & ACC_WRITE, user = acc & ACC_USER, fetch = acc & ACC_EXEC;
	unsigned size = pae ? 8 : 4;
	/* Section 4.7: I/D only where XD can be. */
	u32 code = (write ? PFERR_W : 0) | (user ? PFERR_U : 0) | (fetch && pae && m->nxe ? PFERR_I : 0);
	u64 pte_pa = 0, pte, frame = pae ? 0xffffff000ull : 0xfffff000ull;

	if (!(m->cr0 & CR0_PG)) {
		w.mapped = w.may_read = w.may_write = w.may_execute = w.accessed = w.dirty = w.global = true;
		w.pa = ref_a20(m, linear);
		return w;
	}
	w.paged = true;
	if (pae) {
		u64 pdpte = m->pdpte[linear >> 30];

		if (!(pdpte & REF_P)) {
			w.error = (int)code;
			return w;
		}
		w.pde_pa = (pdpte & frame) + (linear >> 21 & 511) * 8;
	} else {
		w.pde_pa = (m->cr3 & frame) + (linear >> 22) * 4;
	}
	w.pde = ref_read(m, w.pde_pa, size);
	if (!(w.pde & REF_P)) {
		w.error = (int)code;
		return w;
	}
	w.large = (w.pde & REF_PS) && (pae || (m->cr4 & CR4_PSE));
	if (w.pde & ref_reserved(m, pae, true, w.large)) {
		w.error = (int)(code | PFERR_P | PFERR_RSVD);
		return w;
	}
	if (w.large) {
		pte = w.pde;
		if (pae)
			w.pa = (pte & frame & ~0x1fffffull) + (linear & 0x1fffff);
		else
			w.pa = (pte & 0xffc00000u) + ((pte >> 13 & 15) << 32) + (linear & 0x3fffff);
	} else {
		pte_pa = (w.pde & frame) + (pae ? (linear >> 12 & 511) * 8 : (linear >> 12 & 1023) * 4);
		pte = ref_read(m, pte_pa, size);
		if (!(pte & REF_P)) {
			w.error = (int)code;
			return w;
		}
		if (pte & ref_reserved(m, pae, false, false)) {
			w.error = (int)(code | PFERR_P | PFERR_RSVD);
			return w;
		}
		w.pa = (pte & frame) + (linear & 0xfff);
		w.table_pa = ref_a20(m, pte_pa) & ~0xfffull;
	}
	w.pde_pa = ref_a20(m, w.pde_pa);
	w.pa = ref_a20(m, w.pa);
	w.mapped = true;
	w.user = (w.pde & REF_U) && (pte & REF_U);
	w.may_read = w.user || !user;
	w.may_write = w.may_read && (((w.pde & REF_W) && (pte & REF_W)) || (!user && !(m->cr0 & CR0_WP)));
	w.may_execute = w.may_read && !(pae && m->nxe && ((w.pde | pte) & REF_XD));
	w.global = (pte & REF_G) && (m->cr4 & CR4_PGE);
	w.accessed = (w.pde & REF_A) && (pte & REF_A);
	w.dirty = pte & REF_D;
	if (!w.may_read || (write && !w.may_write) || (fetch && !w.may_execute)) {
		w.error = (int)(code | PFERR_P);
		return w;
	}
	if (commit) {
		ref_set(m, w.pde_pa, REF_A);
		ref_set(m, w.large ? w.pde_pa : pte_pa, write ? REF_A | REF_D : REF_A);
	}
	return w;
}

/* What the walk depends on, as the CPU has it now; over the machine's own RAM. */
static inline struct ref_machine ref_machine(const struct vcpu *v, bool pse36)
{
	const struct memory *mem = &v->vm->mem;
	struct ref_machine m = {
		mem->ram, mem->low_size, mem->ram_size - mem->low_size, mem->a20_open, pse36, v->cr0, v->cr3, v->cr4, v->efer & EFER_NXE,
		{0}};

	memcpy(m.pdpte, v->pdpte, sizeof(m.pdpte));
	return m;
}

#endif
