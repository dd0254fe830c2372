/* Terms of guilty instructions (see parole.h). A slot that another instruction takes leaves the first one guilty for good. */
#include "shadowpt/parole.h"

#include "cache/smc.h"
#include "cache/tc.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/window.h"

void parole_begin(struct vcpu *v, u64 insn_pa)
{
	struct parole *p = &v->parole;
	u32 i = (u32)(insn_pa ^ insn_pa >> 8) % PAROLE_SLOTS;
	u32 term = p->slot[i].insn_pa == insn_pa && p->slot[i].term ? MIN(2 * p->slot[i].term, PAROLE_MOST) : PAROLE_TERM;
	p->slot[i].insn_pa = insn_pa;
	p->slot[i].term = term;
	p->slot[i].until = v->stats.interrupts + term;
	if (!p->next || p->slot[i].until < p->next)
		p->next = p->slot[i].until;
}

/* It is translated anew when it is next run. */
static void drop_tus(struct vcpu *v, u64 insn_pa)
{
	u8 *host = ram_ptr(&v->vm->mem, insn_pa);
	if (!host)
		return;
	for (u32 link = smc_page(v, ram_page(&v->vm->mem, host))->tus, next; link; link = next) {
		struct tu *tu = tu_by_index(v->tc, (link >> 1) - 1);
		next = tu->page_next[link & 1];
		if (smc_overlaps(tu, insn_pa, 1))
			tu_drop(v, tu);
	}
}

void parole_tick(struct vcpu *v)
{
	struct parole *p = &v->parole;
	u64 now = v->stats.interrupts;
	if (likely(!p->next || now < p->next))
		return;
	p->next = 0;
	for (u32 i = 0; i < PAROLE_SLOTS; i++) {
		u64 until = p->slot[i].until;
		if (until > now) {
			if (!p->next || until < p->next)
				p->next = until;
		} else if (until) {
			p->slot[i].until = 0;
			trace_to(LOG_PAGE, "page: the instruction at pa %llx may run direct again\n",
				 (unsigned long long)p->slot[i].insn_pa);
			window_acquit(v, p->slot[i].insn_pa);
			drop_tus(v, p->slot[i].insn_pa);
			v->stats.acquitted++;
		}
	}
}
