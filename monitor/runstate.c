/*
 * Stopping and continuing the machine, and calls into the vCPU's thread.
 *
 * Invariants: state != RUNNING exactly while EV_PAUSE is set. vcpu_stopped implies that the vCPU's thread waits in dispatch.c, or serves
 * work from there with the lock held. vm time stands still from vcpu_stopped until vm_cont.
 */
#include "monitor/runstate.h"

#include "monitor/vcpu.h"
#include "monitor/vm.h"

static void tell(void *opaque)
{
	struct vm *vm = opaque;

	for (struct runstate_listener *l = vm->run.listeners; l; l = l->next)
		l->fn(l->opaque, vm->run.state);
}

void runstate_init(struct vm *vm)
{
	pthread_cond_init(&vm->run.changed, NULL);
	bh_init(&vm->run.tell, vm, tell, vm);
}

void runstate_free(struct vm *vm)
{
	pthread_cond_destroy(&vm->run.changed);
}

void runstate_listen(struct vm *vm, struct runstate_listener *l)
{
	struct runstate_listener **p;

	for (p = &vm->run.listeners; *p; p = &(*p)->next)
		;
	l->next = NULL;
	*p = l;
}

const char *runstate_name(enum runstate s)
{
	static const char *const names[] = {
#define X(id, name, help) name,
		RUNSTATES(X)
#undef X
	};

	return names[s];
}

void vm_stop(struct vm *vm, enum runstate why)
{
	if (vm->run.state != RUNSTATE_RUNNING)
		return;
	vm->run.state = why;
	if (vm->vcpu)
		vcpu_set_event(vm->vcpu, EV_PAUSE);
}

void vm_stop_wait(struct vm *vm, enum runstate why)
{
	vm_stop(vm, why);
	while (!vm->run.vcpu_stopped && !vm->run.vcpu_ended)
		pthread_cond_wait(&vm->run.changed, &vm->lock);
}

bool vm_cont(struct vm *vm)
{
	if (vm->run.state == RUNSTATE_RUNNING)
		return true;
	if (vm->run.state == RUNSTATE_SHUTDOWN || vm->run.state == RUNSTATE_INTERNAL_ERROR)
		return false;
	vm->run.state = RUNSTATE_RUNNING;
	vm->run.vcpu_stopped = false;
	clock_start(&vm->clock);
	event_wake(vm);
	bh_schedule(&vm->run.tell);
	vcpu_unpause(vm->vcpu);
	return true;
}

struct call {
	struct vm *vm;
	void (*fn)(void *opaque);
	void *opaque;
	bool done;
};

static void serve(void *opaque)
{
	struct call *c = opaque;

	fpu_save(c->vm->vcpu);
	c->fn(c->opaque);
	c->done = true;
	pthread_cond_broadcast(&c->vm->run.changed);
}

bool vm_call_vcpu(struct vm *vm, void (*fn)(void *opaque), void *opaque)
{
	struct call call = {vm, fn, opaque, false};
	struct vcpu_work work = {.fn = serve, .opaque = &call};

	if (vm->run.vcpu_ended)
		return false;
	vcpu_post(vm->vcpu, &work);
	while (!call.done && !vm->run.vcpu_ended)
		pthread_cond_wait(&vm->run.changed, &vm->lock);
	return call.done;
}

void runstate_vcpu_stopped(struct vm *vm)
{
	if (vm->run.vcpu_stopped || vm->run.state == RUNSTATE_RUNNING)
		return;
	vm->run.vcpu_stopped = true;
	clock_stop(&vm->clock);
	pthread_cond_broadcast(&vm->run.changed);
	bh_schedule(&vm->run.tell);
}

void runstate_reset(struct vm *vm)
{
	if (vm->run.state != RUNSTATE_SHUTDOWN && vm->run.state != RUNSTATE_INTERNAL_ERROR)
		return;
	vm->run.state = RUNSTATE_PAUSED;
	bh_schedule(&vm->run.tell);
}

void runstate_vcpu_ended(struct vm *vm)
{
	vm->run.vcpu_ended = true;
	vm->run.vcpu_stopped = false;
	pthread_cond_broadcast(&vm->run.changed);
}
