/* The virtual PC put together: which devices there are and how their interrupt lines run. */
#ifndef RINGER_MACHINE_H
#define RINGER_MACHINE_H

#include "monitor/types.h"

struct vm;

/*
 * Creates and wires all devices as vm->opt asks, opens their character back ends; fatal() if one cannot be opened. Once, before the vCPU
 * runs (vm->vcpu may still be NULL), without the lock.
 */
void machine_init(struct vm *vm);
/* Frees all devices, last one first, and closes their back ends. After the event loop and the vCPU have ended, without the lock. */
void machine_free(struct vm *vm);
/* Whether COM1 + n exists (n < MAX_SERIALS). */
bool machine_has_serial(const struct vm *vm, int n);

#endif
