/*
 * Whether windows pay (see window.h): which address spaces are hot enough for one, which lose theirs again, and which instructions are
 * better not direct.
 */
#include "monitor/fpu.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/window_state.h"

/* ---- guilt ---- */

/*
 * A page that the kernel maps to use it once (fixmaps, temporary mappings) costs a signal and two system calls each time: beyond a few
 * times the instructions that go there are guilty.
 */
static u8 *churn(const struct vcpu *v, u32 page)
{
	return &v->windows->churn[(page ^ page >> 12) % CHURN_SLOTS];
}

bool policy_churns(const struct vcpu *v, u32 page)
{
	return *churn(v, page) > CHURN_LIMIT;
}

void policy_zapped(struct vcpu *v, u32 page)
{
	if (!policy_churns(v, page))
		++*churn(v, page);
}

static u64 *guilty_slot(const struct vcpu *v, u64 pa)
{
	return &v->windows->guilty[(pa ^ pa >> 13) & (GUILTY_SLOTS - 1)];
}

void window_convict(struct vcpu *v, u64 insn_pa)
{
	*guilty_slot(v, insn_pa) = insn_pa + 1;
	trace_to(LOG_PAGE, "page: the instruction at pa %llx runs checked from now on\n", (unsigned long long)insn_pa);
	v->stats.guilty++;
}

bool window_blame(struct vcpu *v, u64 insn_pa)
{
	struct blame *b = &v->windows->blame[(insn_pa ^ insn_pa >> 8) % BLAME_SLOTS];
	if (b->insn_pa != insn_pa || b->tick != v->stats.interrupts)
		*b = (struct blame){.insn_pa = insn_pa, .tick = v->stats.interrupts};
	if (++b->count < BLAME_LIMIT)
		return false;
	window_convict(v, insn_pa);
	return true;
}

bool window_is_guilty(struct vcpu *v, u64 insn_pa)
{
	return *guilty_slot(v, insn_pa) == insn_pa + 1;
}

/* ---- heat ---- */

void policy_begin(struct vcpu *v, struct window *w)
{
	w->activity = 0;
	/* The first fills are forgiven. */
	w->since = clock_ns(&v->vm->clock) + JUDGE_NS;
}

static struct heat *heat(struct vcpu *v)
{
	struct heat *h = &v->windows->heat[(v->cr3 >> PAGE_SHIFT ^ v->cr3 >> 5) % HEAT_SLOTS];
	if (h->cr3 != v->cr3)
		*h = (struct heat){.cr3 = v->cr3};
	return h;
}

/* An address space that changes its mappings all the time is better off checked: a fill or a zap costs about ACTIVITY_NS, a quarter of its
 * time is too much. */
static void judge(struct vcpu *v, struct window *w)
{
	u64 now = clock_ns(&v->vm->clock), passed = now - w->since;
	if (now < w->since + JUDGE_NS)
		return;
	bool busy = (u64)w->activity * ACTIVITY_NS * 4 > passed;
	w->activity = 0;
	w->since = now;
	if (!busy || v->vm->opt.flavour != FLAVOUR_AUTO)
		return;
	trace_to(LOG_PAGE, WINDOW_FMT "given up, its address space changes too fast\n", WINDOW_ARGS(v, w));
	window_reset(v, w);
	w->used = false;
	v->user_window = NULL;
	heat(v)->not_before = now + COOL_NS;
	v->stats.windows_demoted++;
}

void window_tick(struct vcpu *v)
{
	struct windows *ws = v->windows;
	if (v->vm->opt.flavour == FLAVOUR_CHECKED || !(v->cr0 & CR0_PG))
		return;
	/* A program that has just been started faults its pages in, and many end before they have them all: that is not heat. */
	u64 faults = v->stats.exceptions - ws->exceptions;
	ws->exceptions = v->stats.exceptions;
	if (v->user_window) {
		judge(v, v->user_window);
		return;
	}
	if (v->cpl != 3 || (ws->refused && ws->reserved == !!ws->window[KERNEL_WINDOW].base))
		return;
	struct heat *h = heat(v);
	if (v->vm->opt.flavour == FLAVOUR_AUTO && faults > CALM_FAULTS) {
		h->ticks = 0;
		return;
	}
	if (v->vm->opt.flavour == FLAVOUR_AUTO && (++h->ticks < HEAT_TICKS || clock_ns(&v->vm->clock) < h->not_before))
		return;
	h->ticks = 0;
	fpu_park(v);
	window_adopt(v);
}
