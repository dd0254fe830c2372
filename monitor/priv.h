/* What other instructions than MOV CR need of the control registers. vCPU thread only. */
#ifndef RINGER_PRIV_H
#define RINGER_PRIV_H

#include "monitor/vcpu.h"

/* Raises what a load of CR3 would, #GP(0) for the PDPTEs of PAE paging (SDM Vol. 3A 4.4.1), and changes nothing. */
void cr3_check(struct vcpu *v, u32 x);
/* Loads CR3; raises as cr3_check does, before it changes anything. */
void cr3_load(struct vcpu *v, u32 x);

#endif
