/*
 * Lockstep: a deterministic machine whose architectural state can be compared with another run's, for instance with that of the other
 *memory flavour (tests/lockstep/run.py). -accel bt,lockstep=N switches it on.
 *
 * The measure of everything is v->insns, the number of guest instructions that have begun, one that faults included. Translated code counts
 * it; what is tried again (a convicted instruction, a repeated string between two visits) is counted once. Vm time is a function of it
 * (clock.h) and jumps to the next timer in HLT. Timers fire, and states are compared, at exact counts: TUs that could run past the next
 *such count are left out in favour of single instructions. So nothing that happens depends on where TUs end, which the flavours need not
 *agree on.
 *
 * What is not deterministic stays outside: RDRAND is not offered, the address of the last x87 instruction is not followed (fpu.c), serial
 *ports should have no input. What TUs do among themselves (chaining, jump caches, polls) does not happen: each returns to the dispatcher.
 *
 * The records go to the log, a line each, numbers in decimal, everything else in hexadecimal:
 *	lockstep COUNT EIP STATE RAM	at COUNT instructions; STATE and RAM are hashes of all states and of all RAM images seen so far
 *	state COUNT ...			the registers, under lockstep-show=on
 *	page N HASH			of each page of RAM, at the end of a run under lockstep-show=on
 *	end COUNT REASON		the last one
 */
#ifndef RINGER_LOCKSTEP_H
#define RINGER_LOCKSTEP_H

#include "monitor/types.h"

struct vcpu;
struct lockstep;

/* Nanoseconds of vm time that an instruction takes: with the TSC's 1 GHz ten cycles. */
#define LOCKSTEP_INSN_NS 10
/* Instructions between two images of RAM, if the user does not say. */
#define LOCKSTEP_RAM_DEFAULT (1u << 24)

/* Sets v->lockstep, to NULL if the options do not ask for it. 0 or -errno. Start-up. */
int lockstep_init(struct vcpu *v);
void lockstep_free(struct vcpu *v);
/* Between two TUs, with every exception delivered: takes records, fires timers, chooses what runs next. False: the machine ends. */
bool lockstep_step(struct vcpu *v);
/* In HLT: time jumps to the next timer, which fires. If none can ever wake the CPU the machine ends. */
void lockstep_halt(struct vcpu *v);
/* The last record. */
void lockstep_end(struct vcpu *v);

#endif
