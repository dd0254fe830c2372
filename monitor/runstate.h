/*
 * Whether the machine runs: stopped and continued as a whole, by the console, the debugger or itself; and how another thread looks into a
 * virtual CPU. While it is stopped the vCPU's thread waits between two instructions, with its state (the FPU's too) in struct vcpu, and vm
 * time stands still; requests to the thread (vcpu_post, a reset, the machine's end) are served all the same.
 *
 * vm_stop and vm_cont may be called by any thread; the functions that wait only by others than the vCPU's. All want vm->lock held.
 */
#ifndef RINGER_RUNSTATE_H
#define RINGER_RUNSTATE_H

#include <pthread.h>

#include "monitor/event.h"
#include "monitor/types.h"

struct vm;

/* Named as QEMU names them to its users. */
#define RUNSTATES(X)                                                                                                                       \
	X(RUNNING, "running", "")                                                                                                          \
	X(PRELAUNCH, "prelaunch", "-S: not started yet")                                                                                   \
	X(PAUSED, "paused", "by the user")                                                                                                 \
	X(DEBUG, "debug", "by a breakpoint, a watchpoint or a step of the debugger")                                                       \
	X(SHUTDOWN, "shutdown", "the guest switched itself off, under -no-shutdown")                                                       \
	X(IO_ERROR, "io-error", "an image's error, under werror=stop")                                                                     \
	X(INTERNAL_ERROR, "internal-error", "Ringer cannot go on with this guest")

enum runstate {
#define X(id, name, help) RUNSTATE_##id,
	RUNSTATES(X)
#undef X
};

/* Who wants to be told of every change. Called on the I/O thread, lock held, in the order of registration; only the last of changes that
 * come faster is seen. */
struct runstate_listener {
	void (*fn)(void *opaque, enum runstate now);
	void *opaque;
	struct runstate_listener *next;
};

/* Part of struct vm; lock held. */
struct run {
	enum runstate state;
	bool vcpu_stopped; /* the vCPU's thread waits */
	bool vcpu_ended;   /* or is no more */
	pthread_cond_t changed;
	struct runstate_listener *listeners;
	struct bh tell;
};

void runstate_init(struct vm *vm);
void runstate_free(struct vm *vm);
/* The listener is the caller's, who keeps it. */
void runstate_listen(struct vm *vm, struct runstate_listener *l);
const char *runstate_name(enum runstate s);

/*
 * The machine shall stop, for the reason `why` (not RUNNING), at the next safepoint: a matter of microseconds, not waited for. No-op if it
 * is stopped; its reason stays. On the vCPU's thread: before the next instruction.
 */
void vm_stop(struct vm *vm, enum runstate why);
/* As vm_stop, and has stopped when it returns. Not on the vCPU's thread; releases the lock while it waits. */
void vm_stop_wait(struct vm *vm, enum runstate why);
/* Runs again. A machine that is off (SHUTDOWN) must be reset first: then false is returned. */
bool vm_cont(struct vm *vm);
/*
 * Calls fn on the vCPU's thread between two instructions, lock held, FPU saved in v->fx, and waits for its return; whether the machine runs
 * or not. False if there is no such thread any more. Not on the vCPU's thread; releases the lock while it waits.
 */
bool vm_call_vcpu(struct vm *vm, void (*fn)(void *opaque), void *opaque);

/* The vCPU thread's: it has come to rest; the machine has been reset; it is at its end. */
void runstate_vcpu_stopped(struct vm *vm);
void runstate_reset(struct vm *vm);
void runstate_vcpu_ended(struct vm *vm);

#endif
