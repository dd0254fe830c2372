/* The odds and ends of a PC's system board: port 92h, the reset register. */
#ifndef RINGER_SYSCTL_H
#define RINGER_SYSCTL_H

#include "monitor/types.h"

struct vm;
struct sysctl;

/* Registers them with vm, which owns them. */
struct sysctl *sysctl_create(struct vm *vm);
/* The reset register, port CF9h. It lies within the PCI address register, whose owner passes byte accesses on. Lock held. */
u8 sysctl_reset_read(const struct sysctl *c);
void sysctl_reset_write(struct sysctl *c, u8 value);

#endif
