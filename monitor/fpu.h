/* Where the guest's x87/MMX/SSE state is: in the host's registers (v->fpu_loaded) or in v->fx. vCPU thread only. */
#ifndef RINGER_FPU_H
#define RINGER_FPU_H

#include "monitor/vcpu.h"

/* The state after RESET or FNINIT, with MXCSR 1F80h (SDM Vol. 3A table 9-1). */
void fpu_reset(struct vcpu *v);
/* Out of line part of fpu_load. */
void fpu_restore(struct vcpu *v);
/*
 * The guest's FIP and FOP (SDM Vol. 1 8.1.8). The host records the host address of the last x87 instruction; it lies in the TC and gives
 * the guest's EIP. (AMD's CPUs lose it at a context switch of the host's unless an exception is pending: then it may read 0.) fpu_save
 * takes it down in v->fpu_ip and v->fpu_op; what goes back to the host has FIP 0, which stands for "as in v->fpu_ip". FDP (v->fpu_dp) is
 * kept by translated code. FCS and FDS read as 0 after an instruction, as CPUID.7.EBX[13] announces.
 */
/* Brings v->fpu_ip and v->fpu_op up to date; the FPU stays where it is. */
void fpu_track_live(struct vcpu *v);
/* Masks all x87 exceptions for one instruction, so that a pending one is not reported; and puts back what they hid, if anything. */
void fpu_hide_errors(struct vcpu *v);
void fpu_show_errors(struct vcpu *v);
/* Before translated code runs. */
static inline void fpu_load(struct vcpu *v)
{
	if (unlikely(!v->fpu_loaded))
		fpu_restore(v);
}

#endif
