/* Self-modifying and cross-modifying code (see smc.h). */
#include "cache/smc.h"

#include "cache/tc.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/window.h"

struct page_desc *smc_page(struct vcpu *v, u32 page)
{
	return &v->tc->pages[page];
}

bool smc_has_code(struct vcpu *v, u32 page)
{
	return v->tc->pages[page].granules != 0;
}

/* Bytes of the TU in its first page. */
static u32 first_len(const struct tu *tu)
{
	return tu->flags & TU_STRADDLES ? PAGE_SIZE - ((u32)tu->pa & PAGE_MASK) : tu->guest_len;
}

bool smc_overlaps(const struct tu *tu, u64 pa, size_t n)
{
	u32 first = first_len(tu);
	if (pa < tu->pa + first && tu->pa < pa + n)
		return true;
	return (tu->flags & TU_STRADDLES) && pa < tu->pa2 + (tu->guest_len - first) && tu->pa2 < pa + n;
}

static u64 granule_mask(u32 offset, size_t n)
{
	u32 a = offset >> 6, b = (u32)(offset + n - 1) >> 6;
	return (~0ull >> (63 - (b - a))) << a;
}

static void add_page(struct vcpu *v, struct tu *tu, u64 pa, u32 n, int which)
{
	u32 page = ram_page(&v->vm->mem, ram_ptr(&v->vm->mem, pa));
	struct page_desc *d = &v->tc->pages[page];
	if (!d->granules) {
		softmmu_protect_page(v, page);
		trace_to(LOG_SMC, "smc: pa %llx has code now, and is write-protected\n", (unsigned long long)pa & ~(u64)PAGE_MASK);
	}
	d->granules |= granule_mask(pa & PAGE_MASK, n);
	tu->page[which] = page;
	tu->page_next[which] = d->tus;
	d->tus = (tu_index(v->tc, tu) + 1) << 1 | (u32)which;
}

void smc_add(struct vcpu *v, struct tu *tu)
{
	u32 first = first_len(tu);
	add_page(v, tu, tu->pa, first, 0);
	if (tu->flags & TU_STRADDLES)
		add_page(v, tu, tu->pa2, tu->guest_len - first, 1);
}

static bool is_recent(const struct vcpu *v, const struct page_desc *d)
{
	return (u16)(v->stats.interrupts - d->code_tick) < CODE_CHURN_TICKS;
}

bool smc_is_churned(const struct vcpu *v, const struct page_desc *d)
{
	return d->code_churn == CODE_CHURN_LIMIT && is_recent(v, d);
}

/* A page that is cleared bit by bit loses its old code many times, and that is no churn. */
static void note_churn(struct vcpu *v, struct page_desc *d, bool new)
{
	if (!is_recent(v, d))
		d->code_churn = 0;
	if (new && d->code_churn < CODE_CHURN_LIMIT)
		d->code_churn++;
	d->code_tick = (u16)v->stats.interrupts;
	d->dropped = v->tc->tu_count;
}

/* So that data beside former code is data again. */
void smc_recount(struct vcpu *v, u32 page)
{
	struct page_desc *d = &v->tc->pages[page];
	d->granules = 0;
	for (u32 link = d->tus; link;) {
		struct tu *tu = tu_by_index(v->tc, (link >> 1) - 1);
		u32 first = first_len(tu);
		if (link & 1)
			d->granules |= granule_mask(tu->pa2 & PAGE_MASK, tu->guest_len - first);
		else
			d->granules |= granule_mask(tu->pa & PAGE_MASK, first);
		link = tu->page_next[link & 1];
	}
}

void smc_code_write(struct vcpu *v, u64 pa, u32 n)
{
	u8 *host = ram_ptr(&v->vm->mem, pa);
	if (!host)
		return;
	struct page_desc *d = &v->tc->pages[ram_page(&v->vm->mem, host)];
	if (likely(!d->granules))
		return;
	v->stats.smc_writes++;
	if (!(d->granules & granule_mask(pa & PAGE_MASK, n))) {
		trace_to(LOG_SMC, "smc: write to pa %llx+%u, beside code (eip %08x)\n", (unsigned long long)pa, n, v->eip);
		return;
	}
	bool dropped = false, new = false;
	for (u32 link = d->tus, next; link; link = next) {
		struct tu *tu = tu_by_index(v->tc, (link >> 1) - 1);
		next = tu->page_next[link & 1];
		if (!smc_overlaps(tu, pa, n))
			continue;
		/* A TU on both pages of a write may be `next` of itself only through the other page's list: tu_drop unlinks it from both.
		 */
		trace_to(LOG_SMC, "smc: write to pa %llx+%u drops TU %08x mode %x host %08x (eip %08x)\n", (unsigned long long)pa, n,
			 tu->eip, tu->mode, tu->head, v->eip);
		tu_drop(v, tu);
		dropped = true;
		new |= tu_index(v->tc, tu) >= d->dropped;
	}
	if (!dropped)
		return;
	v->stats.smc_drops++;
	note_churn(v, d, new);
	smc_recount(v, ram_page(&v->vm->mem, host));
}

void smc_phys_write(struct vm *vm, u64 pa, size_t n)
{
	struct vcpu *v = vm->vcpu;
	if (unlikely(!v))
		return;
	while (n) {
		u32 here = (u32)MIN(n, PAGE_SIZE - (pa & PAGE_MASK));
		smc_code_write(v, pa, here);
		window_table_write(v, pa, here);
		pa += here;
		n -= here;
	}
}
