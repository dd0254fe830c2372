/*
 * The built-in profile (see profile.h).
 *
 * A timer sends the vCPU's thread SIGPROF; the handler looks at the interrupted RIP. In the translation cache it gives TU and instruction;
 * elsewhere the monitor is at work for the guest's instruction at v->eip, or the guest is halted.
 *
 * Invariants: counts are made on the vCPU's thread only, in two tables of fixed size, so nothing is allocated in a signal handler and no
 * guest makes them grow; what finds no slot is counted as lost. Other threads read them as they are. The cache's tables are consistent
 * whenever RIP lies in the cache. SIGPROF is blocked in the handlers of signal.c: such a sample comes behind them, at the instruction.
 */
#include "monitor/profile.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "cache/tc.h"
#include "monitor/log.h"
#include "monitor/symbols.h"
#include "monitor/vm.h"
#include "translator/mode.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define PERIOD_NS  1000000L
#define SLOTS	   16384u
#define PROBES	   16u
#define TOP	   20u
#define NAME_BYTES 80

enum count { IN_CODE, IN_MONITOR, SIGNALS, EXCEPTIONS, COUNTS };

struct slot {
	u64 pa;
	u32 linear, mode;
	bool used;
	u64 count[COUNTS];
};

struct profile {
	bool running, armed;
	timer_t timer;
	u64 samples, in_code, in_monitor, idle, lost;
	struct slot tus[SLOTS];	  /* by physical address, linear address and mode */
	struct slot insns[SLOTS]; /* by linear address and CPL */
};

/* ---- counting: the vCPU's thread, partly in a signal handler ---- */

static void count(struct profile *p, struct slot *table, u64 pa, u32 linear, u32 mode, enum count what)
{
	u64 h = (pa ^ (u64)linear << 17 ^ mode) * 0x9e3779b97f4a7c15ull;

	for (u32 i = 0; i < PROBES; i++) {
		struct slot *s = &table[((h >> 40) + i) % SLOTS];

		if (!s->used) {
			s->pa = pa;
			s->linear = linear;
			s->mode = mode;
			__atomic_store_n(&s->used, true, __ATOMIC_RELEASE);
		}
		if (s->pa == pa && s->linear == linear && s->mode == mode) {
			s->count[what]++;
			return;
		}
	}
	p->lost++;
}

static void count_host(struct vcpu *v, const struct tu *tu, u64 rip, enum count what)
{
	u32 base = v->seg[SEG_CS].base, eip = tu->eip + tu_insn(v->tc, tu, tu_insn_by_host(v->tc, tu, rip))->guest_off;

	count(v->profile, v->profile->tus, tu->pa, base + tu->eip, tu->mode, what);
	count(v->profile, v->profile->insns, 0, base + eip, tu->mode & MODE_CPL, what);
}

static void on_sample(int sig, siginfo_t *info, void *context)
{
	struct vcpu *v = info->si_value.sival_ptr;
	u64 rip = (u64)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	struct profile *p;
	struct tu *tu;

	(void)sig;
	/* Somebody else's kill -PROF says nothing of us. */
	if (info->si_code != SI_TIMER || !v || !(p = v->profile) || !p->running)
		return;
	p->samples++;
	tu = tu_by_host(v->tc, rip);
	if (tu) {
		p->in_code++;
		count_host(v, tu, rip, IN_CODE);
	} else if (v->halted) {
		p->idle++;
	} else {
		p->in_monitor++;
		count(p, p->insns, 0, v->seg[SEG_CS].base + v->eip, v->cpl, IN_MONITOR);
	}
}

void profile_signal(struct vcpu *v, const struct tu *tu, unsigned long rip)
{
	if (v->profile->running)
		count_host(v, tu, rip, SIGNALS);
}

void profile_exception(struct vcpu *v)
{
	if (v->profile->running)
		count(v->profile, v->profile->insns, 0, v->seg[SEG_CS].base + v->eip, v->cpl, EXCEPTIONS);
}

/* ---- starting and stopping ---- */

/* kick_lock held. */
static int arm(struct vcpu *v)
{
	struct profile *p = v->profile;
	struct sigaction sa = {.sa_sigaction = on_sample, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerspec period = {{0, PERIOD_NS}, {0, PERIOD_NS}};
	struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF, .sigev_value = {.sival_ptr = v}};

	e.sigev_notify_thread_id = v->tid;
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGPROF, &sa, NULL) < 0 || timer_create(CLOCK_MONOTONIC, &e, &p->timer) < 0)
		return -errno;
	p->armed = true;
	timer_settime(p->timer, 0, &period, NULL);
	return 0;
}

int profile_start(struct vm *vm)
{
	struct vcpu *v = vm->vcpu;
	struct profile *p;
	int err = 0;

	profile_stop(vm);
	pthread_mutex_lock(&v->kick_lock);
	p = v->profile;
	if (!p)
		p = calloc(1, sizeof(*p));
	else
		memset(p, 0, sizeof(*p));
	if (p) {
		p->running = true;
		v->profile = p;
		if (v->tid)
			err = arm(v);
		p->running = !err;
	}
	pthread_mutex_unlock(&v->kick_lock);
	return p ? err : -ENOMEM;
}

void profile_stop(struct vm *vm)
{
	struct vcpu *v = vm->vcpu;

	pthread_mutex_lock(&v->kick_lock);
	if (v->profile) {
		if (v->profile->armed)
			timer_delete(v->profile->timer);
		v->profile->armed = v->profile->running = false;
	}
	pthread_mutex_unlock(&v->kick_lock);
}

bool profile_is_on(const struct vm *vm)
{
	return vm->vcpu->profile && vm->vcpu->profile->running;
}

void profile_thread(struct vcpu *v)
{
	int err = 0;

	pthread_mutex_lock(&v->kick_lock);
	v->tid = (int)syscall(SYS_gettid);
	if (v->profile && v->profile->running && !v->profile->armed)
		err = arm(v);
	pthread_mutex_unlock(&v->kick_lock);
	if (err)
		fatal("-d profile: no timer: %s", strerror(-err));
}

void profile_free(struct vcpu *v)
{
	if (v->profile && v->profile->armed)
		timer_delete(v->profile->timer);
	free(v->profile);
	v->profile = NULL;
}

/* ---- printing ---- */

struct printer {
	profile_out *out;
	void *opaque;
};

__attribute__((format(printf, 2, 3))) static void print(const struct printer *o, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	o->out(o->opaque, text);
}

static u64 weight(const struct slot *s, bool faults)
{
	return faults ? s->count[SIGNALS] + s->count[EXCEPTIONS] : s->count[IN_CODE] + s->count[IN_MONITOR];
}

/* The heaviest slots, heaviest first; how many there are. */
static unsigned pick(const struct slot *table, bool faults, const struct slot *top[TOP])
{
	unsigned n = 0;

	for (u32 i = 0; i < SLOTS; i++) {
		const struct slot *s = &table[i];
		unsigned k;

		if (!__atomic_load_n(&s->used, __ATOMIC_ACQUIRE) || !weight(s, faults))
			continue;
		if (n == TOP && weight(top[n - 1], faults) >= weight(s, faults))
			continue;
		for (k = n < TOP ? n++ : n - 1; k && weight(top[k - 1], faults) < weight(s, faults); k--)
			top[k] = top[k - 1];
		top[k] = s;
	}
	return n;
}

static double percent(u64 part, u64 whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void print_top(struct vm *vm, const struct printer *o, const char *title, const struct slot *table, bool faults)
{
	const struct profile *p = vm->vcpu->profile;
	const struct slot *top[TOP];
	unsigned n = pick(table, faults, top);
	char name[NAME_BYTES];

	print(o, "%s\n", title);
	for (unsigned i = 0; i < n; i++) {
		const struct slot *s = top[i];

		symbols_name(vm, s->linear, s->mode & MODE_CPL, name, sizeof(name));
		if (faults)
			print(o, "  %10llu %10llu  %08x  %s\n", (unsigned long long)s->count[SIGNALS],
			      (unsigned long long)s->count[EXCEPTIONS], s->linear, name);
		else
			print(o, "  %7llu %5.1f%%  %08x  cpl %u%s  %s%s\n", (unsigned long long)weight(s, false),
			      percent(weight(s, false), p->samples), s->linear, s->mode & MODE_CPL,
			      table != p->tus	      ? ""
			      : s->mode & MODE_DIRECT ? " direct "
						      : " checked",
			      name, s->count[IN_MONITOR] * 2 > weight(s, false) ? "  (in the monitor)" : "");
	}
}

void profile_print(struct vm *vm, profile_out *out, void *opaque)
{
	const struct printer o = {out, opaque};
	const struct profile *p = vm->vcpu->profile;

	if (!p) {
		print(&o, "profile: none has been started\n");
		return;
	}
	print(&o, "profile: %llu samples, one a millisecond: %.1f%% in translated code, %.1f%% in the monitor, %.1f%% halted\n",
	      (unsigned long long)p->samples, percent(p->in_code, p->samples), percent(p->in_monitor, p->samples),
	      percent(p->idle, p->samples));
	if (p->lost)
		print(&o, "profile: %llu counts found no room\n", (unsigned long long)p->lost);
	print_top(vm, &o, "translation units by samples:", p->tus, false);
	print_top(vm, &o, "guest addresses by samples:", p->insns, false);
	print_top(vm, &o, "guest addresses by faults (host signals, exceptions):", p->insns, true);
}

static void to_file(void *opaque, const char *text)
{
	fputs(text, opaque);
}

void profile_log(struct vm *vm)
{
	FILE *f = log_file();

	flockfile(f);
	profile_print(vm, to_file, f);
	fflush(f);
	funlockfile(f);
}

void jit_info(struct vm *vm, profile_out *out, void *opaque)
{
	const struct printer o = {out, opaque};
	const struct stats *s = &vm->vcpu->stats;
	const struct tc *tc = vm->vcpu->tc;
	u32 exits = tc->exit_count, chained = 0;
	u64 host = s->host_bytes_hot + s->host_bytes_cold;

	for (u32 i = 0; i < exits; i++)
		chained += !!tc->exits[i].target;
	print(&o, "Translation buffer state:\n");
	print(&o, "gen code size       %llu/%llu\n", (unsigned long long)tc->used, (unsigned long long)tc->size);
	print(&o, "TU count            %u/%u\n", tc->tu_count, tc->tu_max);
	print(&o, "TU avg guest size   %llu bytes, %.1f instructions\n",
	      (unsigned long long)(s->tus_made ? s->guest_bytes / s->tus_made : 0),
	      s->tus_made ? (double)s->insns_translated / (double)s->tus_made : 0);
	print(&o, "TU avg host size    %llu bytes (expansion ratio: %.1f)\n", (unsigned long long)(s->tus_made ? host / s->tus_made : 0),
	      s->guest_bytes ? (double)host / (double)s->guest_bytes : 0);
	print(&o, "direct exit count   %u, chained %u (%.0f%%)\n", exits, chained, percent(chained, exits));
	print(&o, "jump caches         %s\n", tc_is_flat(tc) ? "flat" : "64 Ki entries");
	print(&o, "\nStatistics:\n");
	print(&o, "TUs made            %llu\n", (unsigned long long)s->tus_made);
	print(&o, "TU flush count      %llu\n", (unsigned long long)s->tc_flushes);
	print(&o, "TU invalidate count %llu\n", (unsigned long long)s->tus_dropped);
	print(&o, "TLB full flushes    %llu\n", (unsigned long long)s->tlb_flush_all);
	print(&o, "TLB partial flushes %llu\n", (unsigned long long)(s->tlb_flush_nonglobal + s->tlb_invlpg));
	print(&o, "translation time    %.3f s\n", (double)s->translate_ns / NS_PER_SEC);
	if (vm->vcpu->profile) {
		print(&o, "\n");
		profile_print(vm, out, opaque);
	}
}
