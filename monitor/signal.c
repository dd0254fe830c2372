/*
 * Host signals in translated code: SIGFPE (divide errors, unmasked x87 and SSE exceptions), SIGSEGV (windows, the all-miss jump cache; misaligned SSE
 * operands, #GP).
 *
 * Invariant: a signal is the guest's only if the interrupted RIP is in the TC; the host PC then gives TU and guest EIP, the interrupted
 * registers are the guest's. Any other signal is a bug of the monitor: it ends in a crash report.
 */
#include "monitor/signal.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "cache/jc.h"
#include "cache/tc.h"
#include "monitor/crash.h"
#include "monitor/exception.h"
#include "monitor/profile.h"
#include "monitor/vm.h"
#include "shadowpt/window.h"

static __thread struct vcpu *current;

/* The guest's registers out of the interrupted context, at an instruction that can fault. */
static void take_registers(struct vcpu *v, const greg_t *g, const struct tu_insn *in)
{
	v->regs[REG_EAX] = (u32)g[REG_RAX];
	v->regs[REG_ECX] = (u32)g[REG_RCX];
	v->regs[REG_EDX] = (u32)g[REG_RDX];
	v->regs[REG_EBX] = (u32)g[REG_RBX];
	v->regs[REG_ESP] = (u32)g[REG_R15] + (u32)(s32)in->esp_off;
	v->regs[REG_EBP] = (u32)g[REG_RBP];
	v->regs[REG_ESI] = (u32)g[REG_RSI];
	v->regs[REG_EDI] = (u32)g[REG_RDI];
	v->hflags = (u64)g[REG_EFL] & EFLAGS_HOST;
}

/* Where a signal's return goes when the guest has faulted: raises on the vCPU's own stack. */
static _Noreturn void deliver(struct vcpu *v)
{
	tc_unwind(v);
}

/* Abandons the guest's instruction: the dispatcher goes on at its start, after it has delivered v->pending if there is one. */
static void abandon(struct vcpu *v, greg_t *g, const struct tu_insn *in, struct tu *tu)
{
	take_registers(v, g, in);
	v->eip = tu->eip + in->guest_off;
	v->shadow = tu_insn_shadow(v->tc, tu, (u32)(in - tu_insn(v->tc, tu, 0)));
	g[REG_RIP] = (greg_t)deliver;
	g[REG_RDI] = (greg_t)v;
	g[REG_RSP] = (greg_t)(v->host_rsp - 8);
	g[REG_EFL] &= ~(greg_t)EFLAGS_DF;
}

static void fault(struct vcpu *v, greg_t *g, struct tu *tu, int vector, bool has_error, u32 error)
{
	const struct tu_insn *in = tu_insn(v->tc, tu, tu_insn_by_host(v->tc, tu, (u64)g[REG_RIP]));
	v->pending.vector = vector;
	v->pending.has_error = has_error;
	v->pending.error_code = error;
	abandon(v, g, in, tu);
}

/* A fault in the window: hidden (filled; the instruction is tried again), true (the guest's #PF), or a reason to translate the instruction
 * checked. */
static void window_hit(struct vcpu *v, greg_t *g, struct tu *tu, u64 offset)
{
	struct tu_insn *in = tu_insn(v->tc, tu, tu_insn_by_host(v->tc, tu, (u64)g[REG_RIP]));
	bool write = g[REG_ERR] & PFERR_W;
	u32 error;
	/* The read of a read-modify-write counts as a write. */
	for (int i = 0; i < 2; i++)
		if ((in->access[i] & ACCESS_READ) && (in->access[i] & ACCESS_WRITE))
			write = true;
	switch (window_fault(v, offset, write, &error)) {
	case WINDOW_FILLED:
		if (unlikely(window_is_broke(v))) {
			abandon(v, g, in, tu);
			v->insns--; /* it will be counted when it is tried again */
		}
		return;
	case WINDOW_TRUE_FAULT:
		v->cr2 = (u32)offset;
		v->stats.true_faults++;
		fault(v, g, tu, EXC_PF, true, error);
		if (window_blame(v, tu->pa + in->guest_off))
			tu_drop(v, tu);
		return;
	case WINDOW_GUILTY:
		window_convict(v, tu->pa + in->guest_off);
		abandon(v, g, in, tu);
		v->insns--; /* it will be counted when it is tried again */
		tu_drop(v, tu);
		return;
	}
}

/* A poll in front of a branch: go on through the dispatcher, at the branch or at its target. */
static bool poll_hit(struct vcpu *v, greg_t *g, struct tu *tu)
{
	for (u32 i = 0; i < tu->exit_count; i++) {
		struct tu_exit *x = &v->tc->exits[tu->exits + i];
		if (x->poll && x->poll == (u64)g[REG_RIP]) {
			g[REG_R8] = x->poll_eip;
			g[REG_RIP] = (greg_t)thunk_exit_jc;
			return true;
		}
	}
	return false;
}

/* A division that fails all the time is emulated from then on. */
static void divide_error(struct vcpu *v, greg_t *g, struct tu *tu)
{
	const struct tu_insn *in = tu_insn(v->tc, tu, tu_insn_by_host(v->tc, tu, (u64)g[REG_RIP]));

	fault(v, g, tu, EXC_DE, false, 0);
	if (window_blame(v, tu->pa + in->guest_off))
		tu_drop(v, tu);
}

/* x87 and SSE exceptions share SIGFPE: the trap number of the context tells #MF from #XM. Without CR4.OSXMMEXCPT an SSE exception is #UD.
 */
static int fpu_vector(const struct vcpu *v, const greg_t *g)
{
	if (g[REG_TRAPNO] == EXC_MF)
		return EXC_MF;
	return v->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD;
}

static void handler(int sig, siginfo_t *info, void *context)
{
	struct vcpu *v = current;
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	struct tu *tu = v ? tu_by_host(v->tc, (u64)g[REG_RIP]) : NULL;
	/* On the way between two TUs; what else happens there is a bug. */
	if (!tu && v && sig == SIGSEGV && info->si_code > 0 && info->si_code != SI_KERNEL && tc_is_jumping((u64)g[REG_RIP]) &&
	    jc_is_all_miss(v, (u64)info->si_addr)) {
		g[REG_RIP] = (greg_t)thunk_exit_jc;
		v->stats.signals++;
		return;
	}
	/* Nor is what another process sends the guest's, wherever it comes in. */
	if (!tu || info->si_code <= 0)
		crash_signal(sig, v, info, context);
	v->stats.signals++;
	if (unlikely(v->profile != NULL))
		profile_signal(v, tu, (unsigned long)g[REG_RIP]);
	switch (sig) {
	case SIGSEGV:
		if (info->si_code != SI_KERNEL && window_contains(v, (u64)info->si_addr)) {
			window_hit(v, g, tu, window_offset(v, (u64)info->si_addr));
			return;
		}
		if (info->si_code != SI_KERNEL && jc_is_all_miss(v, (u64)info->si_addr)) {
			v->stats.event_faults++;
			if (!poll_hit(v, g, tu))
				g[REG_RIP] = (greg_t)thunk_exit_jc;
			return;
		}
		/* The only other cause: a 16-byte operand that is not aligned (a general-protection exception has no address). */
		if (info->si_code == SI_KERNEL) {
			fault(v, g, tu, EXC_GP, true, 0);
			return;
		}
		break;
	case SIGFPE:
		if (g[REG_TRAPNO] == EXC_DE)
			divide_error(v, g, tu);
		else
			fault(v, g, tu, fpu_vector(v, g), false, 0);
		return;
	}
	crash_signal(sig, v, info, context);
}

struct vcpu *signal_vcpu(void)
{
	return current;
}

void signal_init(struct vcpu *v)
{
	static const int signals[] = {SIGSEGV, SIGFPE, SIGBUS, SIGILL};
	struct sigaction sa;
	current = v;
	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = handler;
	sa.sa_flags = SA_SIGINFO;
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGPROF);
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &sa, NULL);
	profile_thread(v);
}
