/*
 * Stand-ins for what device tests need of the vCPU: they record the event and no more. They are weak, so a test that links the real ones
 * (because it uses more of them) gets those.
 */
#include <stdatomic.h>

#include "cache/smc.h"
#include "monitor/devices/pci.h"
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

__attribute__((weak)) void smc_phys_write(struct vm *vm, u64 pa, size_t n)
{
	(void)vm;
	(void)pa;
	(void)n;
}

/* A bus without a host: whoever attached the function moves its BARs by hand. */
__attribute__((weak)) void pci_attach(struct pci_bus *bus, struct pci_device *d)
{
	d->bus = bus;
}
