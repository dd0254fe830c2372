/* Memory accesses made by the monitor on behalf of an instruction, beyond lin_read and lin_write of vcpu.h. vCPU thread only. */
#ifndef RINGER_ACCESS_H
#define RINGER_ACCESS_H

#include "monitor/vcpu.h"

/* EFLAGS.AC and CR0.AM are set and CPL is 3 (SDM Vol. 3A 6.15). */
static inline bool access_checks_alignment(const struct vcpu *v)
{
	return v->cpl == 3 && (v->sysflags & EFLAGS_AC) && (v->cr0 & CR0_AM);
}
/* DR7 enables a data breakpoint. */
static inline bool access_has_watchpoints(const struct vcpu *v)
{
	u32 d = v->dr[7];
	if (likely(!(d & 0xff)))
		return false;
	for (int i = 0; i < 4; i++)
		if ((d >> (2 * i) & 3) && (d >> (16 + 4 * i) & 1))
			return true;
	return false;
}
/* The checks that make accesses slow: raises #AC, notes hit data breakpoints in v->pending_db. */
void access_check(struct vcpu *v, u32 linear, u32 n, int acc);
/* Guest-physical bytes within one page, RAM or MMIO; the write side drops translations. */
void access_phys_read(struct vcpu *v, u64 pa, void *buf, u32 n);
void access_phys_write(struct vcpu *v, u64 pa, const void *buf, u32 n);

#endif
