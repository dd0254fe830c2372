/*
 * The machine as a whole: its life, and the requests by which a guest or a user ends or resets it.
 *
 * Invariants: exit_reason leaves VM_RUNNING once and never changes again; exit_status is written by the same caller before the event loop
 * is stopped, so whoever has seen event_run return may read both. The vCPU's thread is told to stop by the main thread (main.c), which
 * alone may wait for it.
 */
#include "monitor/vm.h"

#include <errno.h>
#include <string.h>

#include "monitor/vcpu.h"

int vm_init(struct vm *vm, u64 ram_size)
{
	int err;

	pthread_mutex_init(&vm->lock, NULL);
	pthread_mutex_init(&vm->turn, NULL);
	if (vm->opt.lockstep)
		clock_init_virtual(&vm->clock);
	else
		clock_init(&vm->clock);
	err = memory_init(&vm->mem, ram_size);
	if (!err) {
		err = event_init(vm);
		if (err)
			memory_free(&vm->mem);
		else
			runstate_init(vm);
	}
	if (err) {
		pthread_mutex_destroy(&vm->turn);
		pthread_mutex_destroy(&vm->lock);
	}
	return err;
}

void vm_free(struct vm *vm)
{
	runstate_free(vm);
	event_free(vm);
	memory_free(&vm->mem);
	pthread_mutex_destroy(&vm->turn);
	pthread_mutex_destroy(&vm->lock);
}

void vm_lock(struct vm *vm)
{
	pthread_mutex_lock(&vm->turn);
	atomic_store(&vm->wanted, true);
	pthread_mutex_lock(&vm->lock);
	atomic_store(&vm->wanted, false);
	pthread_mutex_unlock(&vm->turn);
}

void vm_let_pass(struct vm *vm)
{
	pthread_mutex_lock(&vm->turn);
	pthread_mutex_unlock(&vm->turn);
}

void vm_request_exit(struct vm *vm, enum vm_exit why, int status)
{
	int running = VM_RUNNING;

	if (!atomic_compare_exchange_strong(&vm->exit_reason, &running, why))
		return;
	vm->exit_status = status;
	event_stop(vm);
}

/* Not before vcpu_create: a device cannot be asked for anything earlier. */
static void stop_vcpu(struct vm *vm)
{
	if (vm->vcpu)
		vcpu_set_event(vm->vcpu, EV_STOP);
}

void vm_request_reset(struct vm *vm)
{
	if (vm->opt.no_reboot) {
		vm_request_exit(vm, VM_REBOOT, 0);
		stop_vcpu(vm);
	} else if (vm->vcpu) {
		vcpu_set_event(vm->vcpu, EV_RESET);
	}
}

void vm_request_poweroff(struct vm *vm)
{
	if (vm->opt.no_shutdown) {
		vm_stop(vm, RUNSTATE_SHUTDOWN);
		return;
	}
	vm_request_exit(vm, VM_POWEROFF, 0);
	stop_vcpu(vm);
}

void vm_reset_devices(struct vm *vm)
{
	for (unsigned i = 0; i < vm->device_count; i++)
		if (vm->devices[i].reset)
			vm->devices[i].reset(vm->devices[i].opaque);
	vm->hard_reset = false;
	runstate_reset(vm);
}

void vm_set_a20(struct vm *vm, bool open)
{
	if (vm->mem.a20_open == open)
		return;
	vm->mem.a20_open = open;
	if (vm->vcpu)
		vcpu_set_event(vm->vcpu, EV_TLB);
}
