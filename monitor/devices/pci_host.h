/* PCI configuration mechanism 1 (ports CF8h and CFCh) with a host bridge on an otherwise empty bus. PCI Local Bus specification 3.2.2.3. */
#ifndef RINGER_PCI_HOST_H
#define RINGER_PCI_HOST_H

struct vm;
struct sysctl;

/* Registers it with vm, which owns it. Byte accesses to port CF9h go to sysctl's reset register. */
void pci_host_create(struct vm *vm, struct sysctl *sysctl);

#endif
