/*
 * Whether windows pay (see policy.h): which address spaces are hot enough for one, which lose theirs again, and which instructions are
 * better not direct.
 */
#include "shadowpt/policy.h"

#include <string.h>
#include <time.h>

#include "monitor/fpu.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/window_state.h"

/* How often the host is asked for processor time, at most. */
#define ASK_NS 50000ull

static u64 now(const struct vcpu *v)
{
	return clock_ns(&v->vm->clock);
}

/* ---- guilt ---- */

/* Zaps far apart are no habit. Who has been found guilty stays so. */
static void decay(struct vcpu *v)
{
	struct windows *ws = v->windows;
	u64 t = now(v);
	if (t - ws->decayed < CHURN_NS)
		return;
	ws->decayed = t;
	for (u32 i = 0; i < CHURN_SLOTS; i++)
		if (ws->churn[i] <= CHURN_LIMIT)
			ws->churn[i] /= 2;
	for (u32 i = 0; i < REGION_COUNT; i++)
		if (ws->differs[i] <= CHURN_LIMIT)
			ws->differs[i] /= 2;
}

/*
 * A page that the kernel maps to use it once (fixmaps, temporary mappings) costs a signal and two system calls each time: beyond a few
 * times the instructions that go there are guilty.
 */
static u8 *churn(const struct vcpu *v, u32 page)
{
	return &v->windows->churn[(page ^ page >> 12) % CHURN_SLOTS];
}

bool policy_avoids(const struct vcpu *v, u32 page)
{
	return *churn(v, page) > CHURN_LIMIT || v->windows->differs[page / REGION_PAGES] > CHURN_LIMIT;
}

void policy_page_zapped(struct vcpu *v, u32 page)
{
	decay(v);
	if (*churn(v, page) <= CHURN_LIMIT)
		++*churn(v, page);
}

/*
 * The same for regions, as those that a kernel maps its current process's tables or stacks in. Without any of them the window is good for
 * all address spaces.
 */
void policy_region_differs(struct vcpu *v, u32 number)
{
	u8 *n = &v->windows->differs[number];
	decay(v);
	if (*n > CHURN_LIMIT)
		return;
	if (++*n > CHURN_LIMIT) {
		v->stats.regions_avoided++;
		trace_to(LOG_PAGE, "page: %08x to %08x is left out of the supervisor's window: address spaces differ there\n",
			 number << REGION_SHIFT, (number << REGION_SHIFT) + (1u << REGION_SHIFT) - 1);
	}
}

void policy_forget_regions(struct vcpu *v)
{
	memset(v->windows->differs, 0, sizeof(v->windows->differs));
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
	parole_begin(v, insn_pa);
	if (v->window)
		account_pay(&v->window->account, COST_GUILT);
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

void window_acquit(struct vcpu *v, u64 insn_pa)
{
	if (*guilty_slot(v, insn_pa) == insn_pa + 1)
		*guilty_slot(v, insn_pa) = 0;
}

bool window_is_guilty(struct vcpu *v, u64 insn_pa)
{
	return *guilty_slot(v, insn_pa) == insn_pa + 1;
}

/* ---- accounts ---- */

static struct heat *heat(struct vcpu *v)
{
	struct heat *h = &v->windows->heat[(v->cr3 >> PAGE_SHIFT ^ v->cr3 >> 5) % HEAT_SLOTS];
	if (h->cr3 != v->cr3)
		*h = (struct heat){.cr3 = v->cr3};
	return h;
}

/*
 * Processor time since the last time that somebody asked, taken for that of what runs now. A busy host's clock goes on while others run.
 * Under lockstep nothing may depend on the host.
 */
static u64 sample(struct vcpu *v)
{
	struct windows *ws = v->windows;
	struct timespec ts = {0};
	u64 t = now(v), passed;
	/* The host is asked for it by a system call: not for each of many interrupts in a row, whose time is counted with the next. */
	if (t - ws->asked < ASK_NS)
		return 0;
	ws->asked = t;
	if (likely(!v->lockstep) && clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) == 0)
		t = (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
	passed = t - ws->sampled;
	ws->sampled = t;
	return passed;
}

void policy_open(struct vcpu *v, struct window *w)
{
	account_open(&w->account, now(v), w->kernel ? ACCOUNT_KERNEL : ACCOUNT_USER);
	w->next = 0;
	w->stride = AROUND;
}

bool policy_settle(struct vcpu *v, struct window *w)
{
	struct windows *ws = v->windows;
	struct retry *r = w->kernel ? &ws->kernel_retry : &heat(v)->retry;
	if (v->vm->opt.flavour != FLAVOUR_AUTO) {
		w->account.balance = w->account.most;
		return true;
	}
	account_earn(&w->account, sample(v));
	if (w->account.balance >= 0)
		return true;
	retry_later(r, &w->account, now(v));
	trace_to(LOG_PAGE, WINDOW_FMT "given up for %u ms: it does not pay\n", WINDOW_ARGS(v, w), (u32)(r->wait / 1000000));
	window_reset(v, w);
	window_release_roots(v, w);
	w->used = false;
	if (w->kernel)
		ws->kernel_waits = true;
	else
		v->user_window = NULL;
	v->stats.windows_demoted++;
	return false;
}

bool policy_kernel_waits(struct vcpu *v)
{
	struct windows *ws = v->windows;
	/* Interrupts may be off for good: now and then this looks at the clock itself. */
	if (ws->kernel_waits && ++ws->kernel_polls % KERNEL_POLLS == 0)
		ws->kernel_waits = now(v) < ws->kernel_retry.not_before;
	return ws->kernel_waits;
}

void window_sleep(struct vcpu *v)
{
	if (v->vm->opt.flavour != FLAVOUR_AUTO)
		return;
	u64 ran = sample(v);
	/* A user's code ran before the kernel found nothing more to do: who of them how long is not known. */
	if (v->window)
		account_earn(&v->window->account, ran);
	if (v->user_window && v->user_window != v->window)
		account_earn(&v->user_window->account, ran);
}

/*
 * A window is worth what maps its pages if that is no more than the share of the time that its code has run already, which it would have
 * earned. What it costs is looked up once that might be so, and again when that has been earned.
 */
static bool can_afford(const struct vcpu *v, struct heat *h)
{
	u64 earned = h->ran / ACCOUNT_SHARE + h->brought * COST_INSN;
	if (!earned || earned < h->price || now(v) < h->retry.not_before)
		return false;
	h->price = window_price(v);
	return earned >= h->price;
}

/* The price is the window's own, for it would have been earned. */
static void promote(struct vcpu *v, struct heat *h)
{
	fpu_park(v);
	window_adopt(v);
	if (v->vm->opt.flavour != FLAVOUR_AUTO || !v->user_window)
		return;
	s64 begin = v->user_window->account.balance;
	v->user_window->account.balance += (s64)h->price;
	window_hand_over(v, v->user_window, begin);
	h->ran = h->price = h->brought = 0;
}

static bool can_have_one(const struct vcpu *v)
{
	const struct windows *ws = v->windows;
	return !v->user_window && v->cpl == 3 && !(ws->refused && ws->reserved == !!ws->window[KERNEL_WINDOW].base);
}

void window_translated(struct vcpu *v, u32 insns)
{
	if (v->vm->opt.flavour != FLAVOUR_AUTO || !(v->cr0 & CR0_PG) || !can_have_one(v))
		return;
	struct heat *h = heat(v);
	h->brought += insns;
	if (h->brought <= NEW_INSNS || !can_afford(v, h))
		return;
	promote(v, h);
	v->stats.windows_early += !!v->user_window;
}

void window_tick(struct vcpu *v)
{
	struct windows *ws = v->windows;
	bool automatic = v->vm->opt.flavour == FLAVOUR_AUTO;
	if (v->vm->opt.flavour == FLAVOUR_CHECKED)
		return;
	u64 ran = automatic ? sample(v) : 0;
	if (v->window)
		account_earn(&v->window->account, ran);
	if (ws->kernel_waits)
		ws->kernel_waits = now(v) < ws->kernel_retry.not_before;
	if (!(v->cr0 & CR0_PG))
		return;
	/* A program that has just been started faults its pages in, or touches what others have left, and many end before they have been
	 * everywhere: that is not heat. */
	u64 all = v->stats.exceptions + v->stats.entries_marked, news = all - ws->news;
	ws->news = all;
	if (!can_have_one(v))
		return;
	struct heat *h = heat(v);
	h->brought = 0;
	h->ran = news > CALM_NEWS ? 0 : h->ran + ran;
	if (automatic && !can_afford(v, h))
		return;
	promote(v, h);
}
