/* The odds and ends of a PC's system board: port 92h, the reset register CF9h, the POST code port 80h, DMA register latches. */
#ifndef RINGER_SYSCTL_H
#define RINGER_SYSCTL_H

struct vm;

/* Registers them with vm, which owns them. */
void sysctl_create(struct vm *vm);

#endif
