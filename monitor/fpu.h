/* Where the guest's x87/MMX/SSE state is: in the host's registers (v->fpu_loaded) or in v->fx. vCPU thread only. */
#ifndef RINGER_FPU_H
#define RINGER_FPU_H

#include "monitor/vcpu.h"

/* The state after RESET or FNINIT, with MXCSR 1F80h (SDM Vol. 3A table 9-1). */
void fpu_reset(struct vcpu *v);
/* Out of line part of fpu_load. */
void fpu_restore(struct vcpu *v);
/* Before translated code runs. */
static inline void fpu_load(struct vcpu *v)
{
	if (unlikely(!v->fpu_loaded))
		fpu_restore(v);
}

#endif
