/*
 * Model-specific registers, SDM Vol. 4. One table says which exist, for which CPU models, and what may be written to them.
 * vCPU thread; general registers only, except on the way to a log message.
 */
#ifndef RINGER_MSR_H
#define RINGER_MSR_H

#include "monitor/types.h"

struct vcpu;

/* Read or write an MSR. False: #GP(0) is due (no such MSR in this model, reserved bits); nothing has changed. Not for outside the vCPU
 * thread. */
bool msr_read(struct vcpu *v, u32 index, u64 *value);
bool msr_write(struct vcpu *v, u32 index, u64 value);
/*
 * The MSRs' values at a reset (SDM Vol. 3A table 9-1), and in the MTRRs what firmware leaves behind: RAM write-back, video memory and
 * the PCI hole uncached. v->model is set. Called by vcpu_reset.
 */
void msr_reset(struct vcpu *v);
/* A performance counter as RDPMC sees it (40 or 48 bits); false: no such counter. Counters hold what was written: nothing is counted. */
bool msr_rdpmc(struct vcpu *v, u32 counter, u64 *value);
/* Whether a page-attribute value is a legal image of IA32_PAT (SDM Vol. 3A 11.12.2). */
bool msr_pat_valid(u64 pat);

#endif
