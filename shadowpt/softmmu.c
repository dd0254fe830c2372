/*
 * Filling and flushing the flat tables of the checked flavour, and the misses of translated code (see softmmu.h for the invariants).
 */
#include "shadowpt/softmmu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cache/jc.h"
#include "cache/smc.h"
#include "cache/tc.h"
#include "monitor/debug.h"
#include "monitor/exception.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/access.h"
#include "shadowpt/walk.h"
#include "shadowpt/window.h"

int softmmu_init(struct vcpu *v)
{
	struct softmmu *m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	v->mmu = m;
	for (int i = 0; i < MMU_TABLES; i++) {
		m->table[i] = mmap(NULL, MMU_TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (m->table[i] == MAP_FAILED) {
			m->table[i] = NULL;
			softmmu_free(v);
			return -ENOMEM;
		}
		/* Sparse by nature: a huge page of it would be 2 MiB for a handful of entries. */
		madvise(m->table[i], MMU_TABLE_BYTES, MADV_NOHUGEPAGE);
	}
	u8 *b = mmap(NULL, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b == MAP_FAILED) {
		softmmu_free(v);
		return -ENOMEM;
	}
	m->bounce_pages[0] = b;
	m->bounce_pages[1] = b + 2 * PAGE_SIZE;
	return 0;
}

void softmmu_free(struct vcpu *v)
{
	struct softmmu *m = v->mmu;
	if (!m)
		return;
	for (int i = 0; i < MMU_TABLES; i++)
		if (m->table[i])
			munmap(m->table[i], MMU_TABLE_BYTES);
	if (m->bounce_pages[0])
		munmap(m->bounce_pages[0], 4 * PAGE_SIZE);
	free(m);
	v->mmu = NULL;
}

static void drop_entry(struct softmmu *m, u32 which)
{
	u64 *t = m->table[which & 1] + 2 * (u64)(which >> 1);
	t[0] = 0;
	t[MMU_HALF_ENTRIES] = 0;
}

static void drop_log(struct softmmu *m, int global)
{
	struct mmu_log *l = &m->log[global];
	for (u32 i = 0; i < l->n; i++)
		drop_entry(m, l->page[i]);
	l->n = 0;
}

static u32 mmio_tag(u32 linear, int acc)
{
	return 1u << 31 | linear >> PAGE_SHIFT << 2 | !!(acc & ACC_USER) << 1 | !!(acc & ACC_WRITE);
}

static u32 mmio_slot(u32 tag)
{
	return (tag >> 2 ^ tag << 4) % MMIO_TLB_SIZE;
}

static void note_mmio(struct softmmu *m, u32 linear, int acc, u64 pa)
{
	u32 tag = mmio_tag(linear, acc), slot = mmio_slot(tag);
	m->mmio.tag[slot] = tag;
	m->mmio.page[slot] = pa & ~(u64)PAGE_MASK;
	m->mmio.used = true;
}

bool softmmu_mmio(const struct vcpu *v, u32 linear, int acc, u64 *pa)
{
	const struct mmio_tlb *t = &v->mmu->mmio;
	u32 tag = mmio_tag(linear, acc), slot = mmio_slot(tag);
	if (t->tag[slot] != tag)
		return false;
	*pa = t->page[slot] | (linear & PAGE_MASK);
	return true;
}

static void drop_mmio(struct softmmu *m)
{
	if (!m->mmio.used)
		return;
	for (u32 i = 0; i < MMIO_TLB_SIZE; i++)
		m->mmio.tag[i] = 0;
	m->mmio.used = false;
}

static void drop_all(struct softmmu *m)
{
	drop_log(m, 0);
	drop_log(m, 1);
	drop_mmio(m);
	memset(m->large, 0, sizeof(m->large));
}

static void log_entry(struct softmmu *m, u32 which, bool global)
{
	struct mmu_log *l = &m->log[global];
	/* Dropping entries early is always allowed. */
	if (l->n == MMU_LOG_SIZE)
		drop_log(m, global);
	l->page[l->n++] = which;
}

static void remember_writer(struct page_desc *d, u32 which)
{
	for (unsigned i = 0; i < d->writers && i < 2; i++)
		if (d->writer[i] == which)
			return;
	if (d->writers < 2)
		d->writer[d->writers] = which;
	if (d->writers < 3)
		d->writers++;
}

/*
 * Enters the translation of `linear` for the privilege of `acc`, if the page may be accessed directly. `w` comes from a walk for `acc`.
 * Returns the delta, or 0 if this access cannot be direct.
 */
static u64 fill(struct vcpu *v, u32 linear, int acc, const struct walk *w)
{
	struct softmmu *m = v->mmu;
	u8 *host = ram_ptr(&v->vm->mem, w->pa);
	if (unlikely(!host)) {
		note_mmio(m, linear, acc, w->pa);
		return 0;
	}
	u32 page = linear >> PAGE_SHIFT, set = acc & ACC_USER ? MMU_USER : MMU_SUPERVISOR, which = page << 1 | set;
	u32 watched = debug_watched_kinds(v, page);
	if (unlikely(watched & DEBUG_READS))
		return 0;
	u64 delta = (u64)host - linear;
	struct page_desc *d = smc_page(v, ram_page(&v->vm->mem, host));
	u64 *t = m->table[set] + 2 * (u64)page;
	/* Logging may drop entries, so it comes before they are made. */
	log_entry(m, which, w->global);
	if (w->large)
		m->large[linear >> 22] = 1;
	t[0] = delta;
	if (w->writable && !d->granules && !d->traces && !watched) {
		remember_writer(d, which);
		t[MMU_HALF_ENTRIES] = delta;
	} else if (acc & ACC_WRITE) {
		return 0;
	}
	v->stats.tlb_fills++;
	trace_to(LOG_PAGE, "page: %s table: %08x -> pa %llx %s%s\n", set == MMU_USER ? "user" : "supervisor", page << PAGE_SHIFT,
		 (unsigned long long)w->pa & ~(u64)PAGE_MASK, t[MMU_HALF_ENTRIES] ? "rw" : "r", w->global ? " global" : "");
	return delta;
}

void softmmu_protect_page(struct vcpu *v, u32 page)
{
	struct softmmu *m = v->mmu;
	struct page_desc *d = smc_page(v, page);
	if (d->writers == 3)
		drop_all(m);
	for (unsigned i = 0; i < d->writers && i < 2; i++)
		(m->table[d->writer[i] & 1] + 2 * (u64)(d->writer[i] >> 1))[MMU_HALF_ENTRIES] = 0;
	d->writers = 0;
	window_protect_page(v, d);
}

u8 *softmmu_span(struct vcpu *v, u32 linear, int acc, u32 *bytes)
{
	u64 delta = 0;
	*bytes = PAGE_SIZE - (linear & PAGE_MASK);
	if (softmmu_watches_all(v))
		return NULL;
	u64 *t = v->mmu->table[acc & ACC_USER ? MMU_USER : MMU_SUPERVISOR] + 2 * (u64)(linear >> PAGE_SHIFT);
	delta = t[acc & ACC_WRITE ? MMU_HALF_ENTRIES : 0];
	if (unlikely(!delta)) {
		struct walk w;
		u64 pa;
		if (softmmu_mmio(v, linear, acc, &pa))
			return NULL;
		int err = walk_translate(v, linear, acc, &w);
		if (err >= 0)
			raise_pf(v, linear, (u32)err);
		delta = fill(v, linear, acc, &w);
		if (!delta)
			return NULL;
	}
	return (u8 *)(delta + linear);
}

/*
 * A miss of translated code (from thunk_miss): the access of instruction `meta`, number `slot` of its accesses, at `linear`.
 * Returns the delta through which the instruction may run. *bounced tells whether it runs on a buffer, to be committed by softmmu_commit.
 * Raises #PF and friends with v->eip at the instruction.
 */
u64 softmmu_miss(struct vcpu *v, u32 linear, u32 meta, int slot, bool *bounced)
{
	struct softmmu *m = v->mmu;
	struct tu *tu = tu_by_index(v->tc, meta >> 8);
	const struct tu_insn *in = tu_insn(v->tc, tu, meta & 0xff);
	u32 info = in->access[slot], n = ACCESS_SIZE(info);
	int acc = (info & ACCESS_WRITE ? ACC_WRITE : ACC_READ) | acc_cpl(v);
	struct bounce *b = &m->bounce[slot];

	v->eip = tu->eip + in->guest_off;
	*bounced = false;
	if (softmmu_watches_all(v))
		access_check(v, linear, n, acc);

	u32 in_page = PAGE_SIZE - (linear & PAGE_MASK);
	if (n <= in_page && softmmu_mmio(v, linear, acc, &b->pa[0])) {
		b->first = n;
	} else {
		struct walk w[2];
		int err = walk_translate(v, linear, acc, &w[0]);
		if (err >= 0)
			raise_pf(v, linear, (u32)err);
		b->first = n;
		if (n <= in_page) {
			u64 delta = softmmu_watches_all(v) ? 0 : fill(v, linear, acc, &w[0]);
			if (delta)
				return delta;
		} else {
			b->first = in_page;
			err = walk_translate(v, linear + in_page, acc, &w[1]);
			if (err >= 0)
				raise_pf(v, linear + in_page, (u32)err);
			b->pa[1] = w[1].pa;
		}
		b->pa[0] = w[0].pa;
	}
	/* What is watched is touched by an instruction that runs alone, so that the machine stops behind it. */
	if (unlikely(v->debug != NULL) &&
	    debug_touches(v, linear, n, (info & ACCESS_WRITE ? DEBUG_WRITES : 0) | (info & ACCESS_READ ? DEBUG_READS : 0)) &&
	    !(tu->flags & TU_SINGLE)) {
		v->single_once = true;
		v->shadow = tu_insn_shadow(v->tc, tu, meta & 0xff);
		v->insns--;
		tc_unwind(v);
	}
	b->linear = linear;
	b->size = n;
	b->meta = meta;
	b->buf = m->bounce_pages[slot] + (linear & PAGE_MASK);
	*bounced = true;

	if (acc & ACC_WRITE) {
		v->stats.slow_writes++;
		/* An instruction that changes its own TU behind itself must be the last one that runs of it. */
		if (!(tu->flags & TU_SINGLE) && (meta & 0xff) + 1 < tu->insn_count &&
		    (smc_overlaps(tu, b->pa[0], b->first) || (n > b->first && smc_overlaps(tu, b->pa[1], n - b->first)))) {
			v->single_once = true;
			v->shadow = tu_insn_shadow(v->tc, tu, meta & 0xff);
			v->insns--; /* it will be counted when it is tried again */
			tc_unwind(v);
		}
	} else {
		v->stats.slow_reads++;
	}
	if (info & ACCESS_READ) {
		access_phys_read(v, b->pa[0], b->buf, b->first);
		if (n > b->first)
			access_phys_read(v, b->pa[1], b->buf + b->first, n - b->first);
	}
	return (u64)b->buf - linear;
}

/* Writes back what an instruction left in the bounce buffer. */
void softmmu_commit(struct vcpu *v, int slot)
{
	struct bounce *b = &v->mmu->bounce[slot];
	access_phys_write(v, b->pa[0], b->buf, b->first);
	if (b->size > b->first)
		access_phys_write(v, b->pa[1], b->buf + b->first, b->size - b->first);
}

void mmu_flush_all(struct vcpu *v)
{
	v->stats.tlb_flush_all++;
	trace_to(LOG_MMU, "mmu: everything is flushed (cr0 %08x cr3 %08x cr4 %08x)\n", v->cr0, v->cr3, v->cr4);
	drop_all(v->mmu);
	jc_flush_all(v);
	windows_flush(v);
}

void mmu_flush_nonglobal(struct vcpu *v)
{
	v->stats.tlb_flush_nonglobal++;
	trace_to(LOG_MMU, "mmu: what is not global is flushed\n");
	drop_log(v->mmu, 0);
	drop_mmio(v->mmu);
	jc_flush_nonglobal(v);
	window_switch(v);
}

void mmu_invlpg(struct vcpu *v, u32 linear)
{
	v->stats.tlb_invlpg++;
	trace_to(LOG_MMU, "mmu: INVLPG %08x (eip %08x)\n", linear, v->eip);
	window_sync(v);
	u32 page = linear >> PAGE_SHIFT;
	/* INVLPG of any address in a large page drops all of it (SDM Vol. 3A 4.10.4.1). */
	if (v->mmu->large[linear >> 22]) {
		drop_all(v->mmu);
		jc_flush_all(v);
		return;
	}
	drop_entry(v->mmu, page << 1 | MMU_SUPERVISOR);
	drop_entry(v->mmu, page << 1 | MMU_USER);
	drop_mmio(v->mmu);
	jc_flush_page(v, page);
}
