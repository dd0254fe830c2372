/* The guest's FPU state moves between the host's registers and v->fx. */
#include "monitor/fpu.h"

void fpu_save(struct vcpu *v)
{
	static const u32 host_mxcsr = 0x1f80;
	if (!v->fpu_loaded)
		return;
	__asm__ volatile("fxsave64 %0" : "=m"(v->fx));
	/* The monitor's own code expects the ABI's control words and an empty x87 stack. */
	__asm__ volatile("fninit\n\tldmxcsr %0" : : "m"(host_mxcsr));
	v->fpu_loaded = false;
}

void fpu_restore(struct vcpu *v)
{
	__asm__ volatile("fxrstor64 %0" : : "m"(v->fx));
	v->fpu_loaded = true;
}

void fpu_reset(struct vcpu *v)
{
	fpu_save(v);
	for (unsigned i = 0; i < sizeof(v->fx); i++)
		v->fx[i] = 0;
	v->fx[0] = 0x7f; /* FCW 037Fh: as FNINIT leaves it, what every kernel expects of a BIOS */
	v->fx[1] = 0x03;
	v->fx[24] = 0x80; /* MXCSR 1F80h */
	v->fx[25] = 0x1f;
}
