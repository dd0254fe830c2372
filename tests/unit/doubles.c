/*
 * Stand-ins for what device tests need of the vCPU: they record the event and no more. They are weak, so a test that links the real ones
 * (because it uses more of them) gets those.
 */
#include <stdatomic.h>

#include "cache/smc.h"
#include "monitor/vcpu.h"

__attribute__((weak)) void vcpu_set_event(struct vcpu *v, u32 bits)
{
	if (v)
		atomic_fetch_or(&v->events, bits);
}

__attribute__((weak)) void vcpu_clear_event(struct vcpu *v, u32 bits)
{
	if (v)
		atomic_fetch_and(&v->events, ~bits);
}

__attribute__((weak)) void vcpu_post(struct vcpu *v, struct vcpu_work *w)
{
	(void)w;
	vcpu_set_event(v, EV_WORK);
}

/* A vCPU that never runs need not be let go, and has no FPU state in registers. */
__attribute__((weak)) void vcpu_unpause(struct vcpu *v)
{
	vcpu_clear_event(v, EV_PAUSE);
}

__attribute__((weak)) void fpu_save(struct vcpu *v)
{
	(void)v;
}

__attribute__((weak)) void smc_phys_write(struct vm *vm, u64 pa, size_t n)
{
	(void)vm;
	(void)pa;
	(void)n;
}
