/*
 * The lockstep machine's clockwork and its records (see lockstep.h).
 *
 * Invariants: a record is taken the first time that the dispatcher sees its count, right behind an instruction that ran by itself, before
 * timers and interrupts of that count. Taking one changes nothing that the guest can see. The hashes are chains: once two runs differ they
 * go on to differ. Built without SSE, as the guest's FPU state may be in the registers.
 */
#include "monitor/lockstep.h"

#include <errno.h>
#include <stdlib.h>

#include "cache/tc.h"
#include "monitor/cpuid.h"
#include "monitor/event.h"
#include "monitor/fpu.h"
#include "monitor/log.h"
#include "monitor/vm.h"
#include "shadowpt/walk.h"

/* States between two lines of the log, unless each is shown. */
#define STATES_PER_LINE 1024
/* Instructions between two looks at the FPU, at least: it has to be stored for that. */
#define FPU_EVERY 64
/* Of an FXSAVE image: control words, ST0..7, XMM0..7. Behind them are registers that 32-bit guests do not have. */
#define FX_BYTES   288
#define LANES	   4
#define MULTIPLIER 0x9e3779b97f4a7c15ull

struct lockstep {
	u64 every, ram_every, from, to; /* instructions */
	bool show;
	u64 next, next_fpu, next_ram; /* counts of the next state, and of the first states with FPU and with RAM in them */
	u64 states;		      /* taken so far */
	u64 last;		      /* count at the previous step */
	u64 state, ram;		      /* hash chains */
};

static u64 mix(u64 h, u64 x)
{
	h = (h ^ x) * MULTIPLIER;
	return h ^ h >> 29;
}

/* Several chains at once: a single one would wait for its multiplications. n is a multiple of 8 * LANES. */
static u64 hash_bytes(u64 h, const void *p, u64 n)
{
	const u64 *w = p;
	u64 lane[LANES] = {h, 1, 2, 3};

	for (u64 i = 0; i < n / 8; i += LANES)
		for (unsigned k = 0; k < LANES; k++)
			lane[k] = mix(lane[k], w[i + k]);
	for (unsigned k = 0; k < LANES; k++)
		h = mix(h, lane[k]);
	return h;
}

static u64 hash_registers(const struct vcpu *v, u64 h)
{
	const u32 words[] = {v->cr0,	    v->cr2,	    v->cr3,	   v->cr4,	   v->cpl,	    v->gdtr.base,
			     v->gdtr.limit, v->idtr.base,   v->idtr.limit, v->sysenter_cs, v->sysenter_esp, v->sysenter_eip,
			     v->dr[0],	    v->dr[1],	    v->dr[2],	   v->dr[3],	   v->dr[6],	    v->dr[7],
			     v->shadow,	    v->nmi_blocked, v->halted,	   v->pending_db};

	for (unsigned i = 0; i < 8; i += 2)
		h = mix(h, (u64)v->regs[i] << 32 | v->regs[i + 1]);
	h = mix(h, (u64)v->eip << 32 | vcpu_eflags(v));
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct segment *s = &v->seg[i];

		h = mix(h, (u64)s->sel << 32 | s->attr);
		h = mix(h, (u64)s->base << 32 | s->limit);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(words); i += 2)
		h = mix(h, (u64)words[i] << 32 | words[i + 1]);
	for (unsigned i = 0; i < 4; i++)
		h = mix(h, v->pdpte[i]);
	h = mix(h, v->efer);
	return mix(h, clock_ns(&v->vm->clock));
}

static u64 hash_fpu(struct vcpu *v, u64 h)
{
	const u64 *fx = (const u64 *)v->fx;

	fpu_save(v);
	/* The host's opcode register is in the first word; the guest's is fpu_op. */
	h = mix(h, fx[0] & 0xffffffffffffull);
	h = mix(h, (u64)v->fpu_ip << 32 | v->fpu_op);
	return hash_bytes(h, fx + 4, FX_BYTES - 32);
}

/* The bytes of the instruction at EIP, as far as its page goes; NULL if it is not there. A look, which sets no accessed bits. */
static const u8 *code(struct vcpu *v, u32 *n)
{
	u32 linear = v->seg[SEG_CS].base + v->eip;
	u64 pa;

	if (!walk_peek(v, linear, &pa))
		return NULL;
	*n = MIN(PAGE_SIZE - (linear & PAGE_MASK), 15u);
	return ram_ptr(&v->vm->mem, pa);
}

static void show_state(struct vcpu *v)
{
	char bytes[31] = "";
	u32 n = 0;
	const u8 *p = code(v, &n);

	for (u32 i = 0; p && i < n; i++)
		snprintf(bytes + 2 * i, 3, "%02x", p[i]);
	log_print("state %llu %04x:%08x cpl %x eax %08x ecx %08x edx %08x ebx %08x esp %08x ebp %08x esi %08x edi %08x efl %08x cr0 %08x "
		  "cr2 %08x cr3 %08x cr4 %08x es %04x ss %04x ds %04x fs %04x gs %04x shadow %x dr6 %08x dr7 %08x regs %016llx fop "
		  "%08x:%04x fpu %016llx "
		  "ns %llu code %s",
		  (unsigned long long)v->insns, v->seg[SEG_CS].sel, v->eip, v->cpl, v->regs[0], v->regs[1], v->regs[2], v->regs[3],
		  v->regs[4], v->regs[5], v->regs[6], v->regs[7], vcpu_eflags(v), v->cr0, v->cr2, v->cr3, v->cr4, v->seg[SEG_ES].sel,
		  v->seg[SEG_SS].sel, v->seg[SEG_DS].sel, v->seg[SEG_FS].sel, v->seg[SEG_GS].sel, v->shadow, v->dr[6], v->dr[7],
		  (unsigned long long)hash_registers(v, 0), v->fpu_ip, v->fpu_op, (unsigned long long)hash_fpu(v, 0),
		  (unsigned long long)clock_ns(&v->vm->clock), bytes);
}

static void show_pages(const struct vcpu *v)
{
	const struct memory *m = &v->vm->mem;

	for (u64 at = 0; at < m->ram_size; at += PAGE_SIZE)
		log_print("page %llx %016llx", (unsigned long long)at >> PAGE_SHIFT,
			  (unsigned long long)hash_bytes(0, m->ram + at, PAGE_SIZE));
}

/* The next multiple of `every` above n. */
static u64 after(u64 n, u64 every)
{
	return (n / every + 1) * every;
}

static void take_state(struct vcpu *v)
{
	struct lockstep *l = v->lockstep;
	const struct memory *m = &v->vm->mem;
	bool line = l->show || l->states % STATES_PER_LINE == 0;

	l->state = hash_registers(v, l->state);
	if (v->insns >= l->next_fpu) {
		l->state = hash_fpu(v, l->state);
		l->next_fpu = v->insns + FPU_EVERY;
	}
	if (v->insns >= l->next_ram) {
		l->ram = hash_bytes(l->ram, m->ram, m->ram_size);
		l->next_ram = after(v->insns, l->ram_every);
		line = true;
	}
	if (line || v->insns >= l->to) {
		fpu_save(v);
		if (l->show)
			show_state(v);
		log_print("lockstep %llu %08x %016llx %016llx", (unsigned long long)v->insns, v->eip, (unsigned long long)l->state,
			  (unsigned long long)l->ram);
	}
	l->states++;
	l->next = MIN(after(v->insns, l->every), l->next_ram);
}

static void fire_timers(struct vcpu *v)
{
	fpu_save(v);
	pthread_mutex_lock(&v->vm->lock);
	event_run_timers(v->vm);
	pthread_mutex_unlock(&v->vm->lock);
}

bool lockstep_step(struct vcpu *v)
{
	struct lockstep *l = v->lockstep;
	struct vm *vm = v->vm;
	u64 now = clock_ns(&vm->clock), due;

	/* A TU that ran has not asked the jump cache where to go on; one that did not is in the way of another of the same slot. */
	if (v->insns != l->last)
		v->missed = false;
	l->last = v->insns;
	if (v->insns >= l->next) {
		take_state(v);
		if (v->insns >= l->to)
			vm_request_exit(vm, VM_QUIT, 0);
	}
	if (atomic_load(&vm->exit_reason) != VM_RUNNING)
		return false;
	due = event_next_due(vm);
	if (now >= due) {
		fire_timers(v);
		due = event_next_due(vm);
	}
	if (v->insns + TU_MAX_INSNS > l->next || due - now < TU_MAX_INSNS * LOCKSTEP_INSN_NS || due <= now)
		v->single_once = true;
	return true;
}

void lockstep_halt(struct vcpu *v)
{
	struct clock *c = &v->vm->clock;
	u64 due = event_next_due(v->vm), now = clock_ns(c);

	v->stats.halts++;
	if (v->shutdown || !(v->sysflags & EFLAGS_IF) || due == UINT64_MAX) {
		/* Others may have asked already: a reset or an end of theirs comes first. */
		if (!(atomic_load(&v->events) & (EV_RESET | EV_STOP | EV_PAUSE)))
			vm_request_exit(v->vm, VM_QUIT, 0);
		return;
	}
	if (due > now)
		clock_advance(c, due - now);
	fire_timers(v);
}

static const char *reason(const struct vm *vm)
{
	static const char *const names[] = {[VM_RUNNING] = "stopped", [VM_POWEROFF] = "poweroff",     [VM_REBOOT] = "reboot",
					    [VM_QUIT] = "quit",	      [VM_DEBUG_EXIT] = "debug-exit", [VM_FAILED] = "failed"};

	return names[atomic_load(&vm->exit_reason)];
}

void lockstep_end(struct vcpu *v)
{
	struct lockstep *l = v->lockstep;

	fpu_save(v);
	if (l->show)
		show_pages(v);
	log_print("end %llu %s", (unsigned long long)v->insns, reason(v->vm));
}

int lockstep_init(struct vcpu *v)
{
	const struct options *o = &v->vm->opt;
	struct lockstep *l;

	if (!o->lockstep)
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	*l = (struct lockstep){.every = o->lockstep,
			       .ram_every = o->lockstep_ram ? o->lockstep_ram : LOCKSTEP_RAM_DEFAULT,
			       .from = o->lockstep_from,
			       .to = o->lockstep_to ? o->lockstep_to : UINT64_MAX,
			       .show = o->lockstep_show};
	l->next = l->next_fpu = l->next_ram = l->from;
	v->lockstep = l;
	v->features &= ~CPUF_RDRAND;
	v->vm->clock.retired = &v->insns;
	return 0;
}

void lockstep_free(struct vcpu *v)
{
	free(v->lockstep);
	v->lockstep = NULL;
}
