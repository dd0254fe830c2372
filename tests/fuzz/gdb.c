/*
 * A hostile debugger: an input is what it sends to the stub of a machine that runs and stops. Packets are framed by the target, with a
 * right checksum, where the input says so, for random bytes seldom are.
 *
 * The vCPU's thread is played by one that serves calls and comes to rest when it is told to; it executes nothing. Checked: what the stub
 * has set stays within its bounds, registers stay such that the machine could go on with them, and when the debugger has gone nothing is
 * left.
 */
#include "tests/fuzz/fuzz.h"

#include <pthread.h>

#include "monitor/chardev_backend.h"
#include "monitor/debug.h"
#include "monitor/gdb_packet.h"
#include "monitor/gdbstub.h"

static struct vcpu *v;
static struct chardev *c;

static void *serve(void *opaque)
{
	struct vm *vm = v->vm;

	(void)opaque;
	for (;;) {
		pthread_mutex_lock(&v->kick_lock);
		while (!(atomic_load(&v->events) & EV_WORK) && (!(atomic_load(&v->events) & EV_PAUSE) || vm->run.vcpu_stopped))
			pthread_cond_wait(&v->halt_cond, &v->kick_lock);
		pthread_mutex_unlock(&v->kick_lock);
		pthread_mutex_lock(&vm->lock);
		vcpu_do_work(v);
		runstate_vcpu_stopped(vm);
		pthread_mutex_unlock(&vm->lock);
	}
	return NULL;
}

/* The bytes of a packet that the parser is to take for what they are. */
static void send_packet(const u8 *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	u8 byte = '$', sum = 0, end[3];

	c->front[0].client.receive(c->front[0].client.opaque, &byte, 1);
	for (size_t i = 0; i < n; i++) {
		u8 pair[2] = {'}', p[i] ^ 0x20};
		bool special = p[i] == '$' || p[i] == '#' || p[i] == '}';

		c->front[0].client.receive(c->front[0].client.opaque, special ? pair : &p[i], special ? 2 : 1);
		sum += special ? pair[0] + pair[1] : p[i];
	}
	end[0] = '#';
	end[1] = (u8)digits[sum >> 4];
	end[2] = (u8)digits[sum & 15];
	c->front[0].client.receive(c->front[0].client.opaque, end, 3);
}

static void set_up(void)
{
	pthread_t thread;

	v = fuzz_machine(4 << 20, 0, 1 << 20, FLAVOUR_CHECKED);
	v->vm->opt.gdb = "null";
	gdb_open(v->vm);
	c = v->vm->chardevs;
	REQUIRE(c, "no back end");
	pthread_create(&thread, NULL, serve, NULL);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};

	if (!v)
		set_up();
	pthread_mutex_lock(&v->vm->lock);
	fuzz_cpu_flat(v, size & 1 ? 3 : 0);
	vm_cont(v->vm);
	/* A peer whose output goes nowhere. */
	c->connected = true;
	c->front[0].client.event(c->front[0].client.opaque, CHARDEV_OPENED);
	REQUIRE(v->debug, "not attached");
	while (in.n) {
		u8 kind = take8(&in);
		size_t n = MIN(in.n, (size_t)(kind & 0x7f));

		if (kind & 0x80)
			c->front[0].client.receive(c->front[0].client.opaque, in.p, n);
		else
			send_packet(in.p, n);
		in.p += n;
		in.n -= n;
		c->connected = true;
		if (!v->debug)
			continue;
		REQUIRE(v->debug->wanted.break_count <= DEBUG_MAX_BREAKS, "%u", v->debug->wanted.break_count);
		REQUIRE(v->debug->wanted.watch_count <= DEBUG_MAX_WATCHES, "%u", v->debug->wanted.watch_count);
		for (u32 i = 0; i < v->debug->wanted.watch_count; i++) {
			const struct debug_watch *w = &v->debug->wanted.watches[i];

			REQUIRE(w->len && w->len <= DEBUG_MAX_LEN && w->kind && w->kind <= DEBUG_ACCESSES, "watchpoint %u", i);
		}
	}
	REQUIRE(v->cr0 == (CR0_PE | CR0_ET | CR0_NE) && !(v->sysflags & EFLAGS_VM), "cr0 %x", v->cr0);
	REQUIRE(!(v->fx[26] | v->fx[27]), "MXCSR would fault");
	c->front[0].client.event(c->front[0].client.opaque, CHARDEV_CLOSED);
	REQUIRE(!v->debug, "left behind");
	atomic_store(&v->vm->exit_reason, VM_RUNNING);
	pthread_mutex_unlock(&v->vm->lock);
	return 0;
}
