/* Where the guest's x87/MMX/SSE state is: in the host's registers (v->fpu_loaded) or in v->fx. vCPU thread only. */
#ifndef RINGER_FPU_H
#define RINGER_FPU_H

#include "monitor/vcpu.h"

/* The state after RESET or FNINIT, with MXCSR 1F80h (SDM Vol. 3A table 9-1). */
void fpu_reset(struct vcpu *v);
/* Out of line part of fpu_load. */
void fpu_restore(struct vcpu *v);
/*
 * The guest's FIP and FOP (SDM Vol. 1 8.1.8). The host records the host address of the last x87 instruction; as long as that lies in the TC it gives the
 * guest's EIP. State that is loaded from a guest's image goes in with FIP 0: then v->fpu_ip and the rest hold what the image said. FDP is
 * kept by translated code. FCS and FDS read as 0 after an instruction, as CPUID.7.EBX[13] announces.
 * fpu_track: host_fip out of an image just made. fpu_track_live: from the registers.
 */
void fpu_track(struct vcpu *v, u32 host_fip);
void fpu_track_live(struct vcpu *v);
/* Before translated code runs. */
static inline void fpu_load(struct vcpu *v)
{
	if (unlikely(!v->fpu_loaded))
		fpu_restore(v);
}

#endif
