/*
 * Exceptions and interrupts. vCPU thread only.
 *
 * raise_*: abandon the current instruction and deliver an exception. They do not return: they unwind to the dispatcher, which delivers
 * through the guest's IDT. Invariant: when one is called, v's registers, flags and v->eip are those at the *start* of the faulting
 * instruction (for traps, exception_trap below: those after it). So a handler commits nothing before its last access that can fault.
 */
#ifndef RINGER_EXCEPTION_H
#define RINGER_EXCEPTION_H

#include "monitor/types.h"

struct vcpu;

_Noreturn void raise_exception(struct vcpu *v, int vector);		/* no error code */
_Noreturn void raise_error(struct vcpu *v, int vector, u32 error_code); /* #DF #TS #NP #SS #GP #AC */
_Noreturn void raise_pf(struct vcpu *v, u32 linear, u32 error_code);	/* sets CR2 */

/*
 * Delivers a vector through the guest's IDT: gate checks, privilege switch through the TSS, pushes, EFLAGS changes (SDM Vol. 3A 6.12); in
 * real mode through its interrupt vector table (SDM Vol. 3A 20.1.4), with a task gate by a task switch. return_eip is what is pushed;
 * v->eip is the new handler's on return. May itself raise (the dispatcher turns that into #DF or a reset, SDM Vol. 3A table 6-5): with v
 * unchanged, or, from a task switch that had come to its new task, in that task.
 */
enum intr_kind {
	INTR_EXTERNAL,	/* from the PIC, or NMI: no DPL check, EXT = 1 in error codes of nested faults */
	INTR_EXCEPTION, /* hardware exception; has_error says whether an error code is pushed; EXT = 1 */
	INTR_SOFTWARE,	/* INT n, INT3, INTO: DPL check; EXT = 0; return_eip is the one behind the instruction */
};
void interrupt_deliver(struct vcpu *v, int vector, enum intr_kind kind, u32 return_eip, bool has_error, u32 error_code);

/* Classes for double faults, SDM Vol. 3A table 6-4. */
bool exception_is_contributory(int vector);
bool exception_has_error_code(int vector);

#endif
