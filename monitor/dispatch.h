/*
 * What the dispatcher and a callout that ends its TU (callout.c) both do on the way into translated code. vCPU thread.
 */
#ifndef RINGER_DISPATCH_H
#define RINGER_DISPATCH_H

#include "monitor/vm.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/window.h"
#include "translator/mode.h"

/* Code whose privilege and address space have a window runs direct, unless every access must be looked at. */
static inline void choose_flavour(struct vcpu *v)
{
	if (v->cpl == 3 && v->vm->opt.flavour == FLAVOUR_DIRECT && !v->user_window)
		window_tick(v);
	if (v->table != v->mmu->table[MMU_EMPTY] && window_enter(v))
		v->mode |= MODE_DIRECT;
}

/* What the vCPU could act upon now; the rest waits for IF. */
static inline u32 due_events(const struct vcpu *v)
{
	return EV_STOP | EV_RESET | EV_STATS | EV_WORK | EV_PAUSE | EV_TLB | EV_MAP | (v->nmi_blocked ? 0 : EV_NMI) |
	       (v->sysflags & EFLAGS_IF ? EV_INTR : 0);
}

/* What has instructions run one at a time, but for a debugger; non-zero if there is anything. */
static inline u32 wants_single(const struct vcpu *v)
{
	/* With breakpoints on, each instruction is looked at before it runs, and data traps come at once behind it. */
	return v->shadow | (v->sysflags & EFLAGS_TF) | v->single_once | v->ignne | (v->dr[7] & 0xff);
}

#endif
