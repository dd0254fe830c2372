/*
 * The dispatcher: delivers what is pending, finds or makes the TU for the vCPU's state, enters it, and looks at why it left.
 *
 * Invariants
 *  - Between two entries, and while a callout looks for the next TU (next_head, callout.c), the whole guest state is in *v (the FPU perhaps
 * still in the host's registers, see fpu.h).
 *  - An exception raised anywhere below arrives at the setjmp of vcpu_run with v->eip and the registers of the instruction's start.
 *  - An event is looked at after v->jc has been put back, so that none is lost (vcpu_set_event changes it after it has set the bit).
 *  - Translated code that could act upon an event has the all-miss cache in v->jc, or is on its way out.
 */
#include "cache/jc.h"
#include "cache/tc.h"
#include "monitor/debug.h"
#include "monitor/devices/ferr.h"
#include "monitor/devices/lapic.h"
#include "monitor/devices/pic.h"
#include "monitor/dispatch.h"
#include "monitor/emulate.h"
#include "monitor/exception.h"
#include "monitor/fpu.h"
#include "monitor/load.h"
#include "monitor/lockstep.h"
#include "monitor/log.h"
#include "monitor/profile.h"
#include "monitor/signal.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/access.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/walk.h"
#include "shadowpt/window.h"
#include "translator/mode.h"
#include "translator/translate.h"
#include "translator/verify.h"

#define FSW_ES 0x80

/* ---- events ---- */

/*
 * Resets the machine. Runs the boot loader and puts the vCPU at its entry, as a BIOS would have; or leaves it where it starts a BIOS. What
 * the keyboard controller, port 92h, a triple fault and port CF9h without its bit 1 ask for is INIT on a PC: firmware finds the devices as
 * they were, and resets the board if nobody wants to be resumed. A machine without firmware has nobody who could.
 */
static void boot(struct vcpu *v, bool power_on)
{
	struct vm *vm = v->vm;
	struct boot_entry e = {0};
	static const u32 data = SEG_P | SEG_S | SEG_TYPE_W | SEG_TYPE_A | SEG_DB | SEG_G;
	bool whole;
	fpu_save(v);
	pthread_mutex_lock(&vm->lock);
	whole = power_on || vm->hard_reset || vm->opt.kernel;
	if (whole) {
		vm_reset_devices(vm);
		vcpu_clear_event(v, EV_INTR | EV_NMI);
	} else {
		/* Interrupt lines stay as they are, and so does EV_INTR. The processor starts at FFFFFFF0h: by an open gate. */
		if (vm->lapic)
			lapic_init(vm->lapic);
		vm_set_a20(vm, true);
		vcpu_clear_event(v, EV_NMI);
	}
	pthread_mutex_unlock(&vm->lock);
	if (log_on(LOG_CPU_RESET)) {
		trace_print("CPU Reset (CPU 0)\n");
		trace_registers(v);
	}
	if (whole)
		vcpu_reset(v);
	else
		vcpu_init(v);
	tc_flush(v);
	loader_load(vm->loader, vm, &e);
	if (e.firmware)
		return;
	v->cr0 = CR0_PE | CR0_ET;
	v->gdtr = (struct table_register){e.gdt_base, e.gdt_limit};
	segment_set(v, SEG_CS, e.cs, 0, 0xffffffffu, data | SEG_TYPE_CODE);
	static const int data_segs[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};
	for (unsigned i = 0; i < ARRAY_SIZE(data_segs); i++)
		segment_set(v, data_segs[i], e.ds, 0, 0xffffffffu, data);
	v->eip = e.eip;
	v->regs[REG_EAX] = e.eax;
	v->regs[REG_ECX] = e.ecx;
	v->regs[REG_EDX] = e.edx;
	v->regs[REG_EBX] = e.ebx;
	v->regs[REG_ESP] = e.esp;
	v->regs[REG_EBP] = e.ebp;
	v->regs[REG_ESI] = e.esi;
	v->regs[REG_EDI] = e.edi;
}

static bool intr_deliverable(const struct vcpu *v, u32 events)
{
	if ((events & EV_NMI) && !v->nmi_blocked && v->shadow != SHADOW_MOV_SS)
		return true;
	return (events & EV_INTR) && (v->sysflags & EFLAGS_IF) && v->shadow == SHADOW_NONE;
}

/* Sleeps until there is something to wake for. */
static void halt(struct vcpu *v)
{
	fpu_park(v);
	window_sleep(v);
	if (unlikely(v->lockstep)) {
		lockstep_halt(v);
		return;
	}
	v->stats.halts++;
	pthread_mutex_lock(&v->kick_lock);
	for (;;) {
		u32 events = atomic_load(&v->events);
		if ((events & (EV_RESET | EV_STOP | EV_STATS | EV_WORK | EV_PAUSE)) || (!v->shutdown && intr_deliverable(v, events)))
			break;
		pthread_cond_wait(&v->halt_cond, &v->kick_lock);
	}
	pthread_mutex_unlock(&v->kick_lock);
}

/* The vector of the interrupt that INTR announces, or -1: the line may have gone down since. Lock held. */
static int acknowledge(struct vcpu *v)
{
	struct vm *vm = v->vm;

	if (!(atomic_load(&v->events) & EV_INTR))
		return -1;
	return vm->lapic ? lapic_ack(vm->lapic) : pic_ack(vm->pic);
}

static void deliver_interrupt(struct vcpu *v, u32 events)
{
	int vector;
	v->delivering = -1;
	if ((events & EV_NMI) && !v->nmi_blocked) {
		vcpu_clear_event(v, EV_NMI);
		v->nmi_blocked = true;
		vector = EXC_NMI;
	} else {
		fpu_park(v);
		pthread_mutex_lock(&v->vm->lock);
		vector = acknowledge(v);
		pthread_mutex_unlock(&v->vm->lock);
		if (vector < 0)
			return;
	}
	v->halted = v->missed = false;
	v->stats.interrupts++;
	trail_event(&v->trail, (struct trail_event){.cs = v->seg[SEG_CS].sel, .eip = v->eip, .vector = (u8)vector, .external = true});
	window_tick(v);
	link_tick(v);
	parole_tick(v);
	/* Faults in the delivery of an interrupt are not nested in an exception: benign (SDM Vol. 3A table 6-4). */
	interrupt_deliver(v, vector, INTR_EXTERNAL, v->eip, false, 0);
}

/* The machine is stopped: waits until it runs again, or there is something else to do. */
static void stand_still(struct vcpu *v)
{
	struct vm *vm = v->vm;

	u32 unpauses;

	fpu_save(v);
	pthread_mutex_lock(&v->kick_lock);
	unpauses = v->unpauses;
	pthread_mutex_unlock(&v->kick_lock);
	pthread_mutex_lock(&vm->lock);
	tsc_stop(v);
	runstate_vcpu_stopped(vm);
	pthread_mutex_unlock(&vm->lock);
	pthread_mutex_lock(&v->kick_lock);
	/* Whoever let it run and stopped it again meanwhile wants to be told anew. */
	while (!(atomic_load(&v->events) & (EV_RESET | EV_STOP | EV_STATS | EV_WORK)) && (atomic_load(&v->events) & EV_PAUSE) &&
	       v->unpauses == unpauses)
		pthread_cond_wait(&v->halt_cond, &v->kick_lock);
	pthread_mutex_unlock(&v->kick_lock);
}

/* False when the machine is to end. */
static bool handle_requests(struct vcpu *v)
{
	u32 events;

	while ((events = atomic_load(&v->events)) & (EV_STOP | EV_RESET | EV_STATS | EV_WORK | EV_PAUSE)) {
		if (events & EV_STOP)
			return false;
		if (events & EV_WORK) {
			fpu_park(v);
			pthread_mutex_lock(&v->vm->lock);
			vcpu_do_work(v);
			pthread_mutex_unlock(&v->vm->lock);
		}
		if (events & EV_STATS) {
			vcpu_clear_event(v, EV_STATS);
			fpu_park(v);
			stats_print(&v->stats, log_file());
			if (log_on(LOG_PROFILE))
				profile_log(v->vm);
		}
		if (events & EV_RESET) {
			vcpu_clear_event(v, EV_RESET);
			boot(v, false);
			v->missed = false;
		}
		if (atomic_load(&v->events) & EV_PAUSE)
			stand_still(v);
	}
	return true;
}

/* False when the machine is to end. */
static bool handle_events(struct vcpu *v)
{
	u32 events;

	if (!handle_requests(v))
		return false;
	events = atomic_load(&v->events);
	if (events && intr_deliverable(v, events) && !debug_holds_interrupts(v)) {
		deliver_interrupt(v, events);
		if (unlikely(v->debug != NULL))
			debug_executed(v);
	}
	return true;
}

/* ---- exceptions ---- */

/* SDM Vol. 3A table 6-5: what an exception raised while `first` was being delivered becomes. */
static bool is_double_fault(int first, int second)
{
	if (first == EXC_PF)
		return second == EXC_PF || exception_is_contributory(second);
	return exception_is_contributory(first) && exception_is_contributory(second);
}

/* Traps report the instruction behind; of the faults all but instruction breakpoints push RF = 1 (SDM Vol. 3B 17.3.1.1). */
static bool is_trap(int vector)
{
	return vector == EXC_DB || vector == EXC_BP || vector == EXC_OF || vector == EXC_NMI;
}

static void triple_fault(struct vcpu *v)
{
	if (unlikely(v->debug != NULL))
		debug_executed(v);
	fpu_park(v);
	log_to(LOG_INT | LOG_CPU_RESET, "triple fault at %04x:%08x\n", v->seg[SEG_CS].sel, v->eip);
	v->shutdown = true;
	v->delivering = -1;
	vm_request_reset(v->vm);
}

/*
 * An x87 exception with CR0.NE clear (SDM Vol. 1 8.7.2, D.2.1): FERR# goes to the board, and the CPU waits for an interrupt at the
 * instruction. While IGNNE# is asserted that one is executed as if the exception were masked.
 */
static void report_ferr(struct vcpu *v)
{
	fpu_save(v);
	if (v->ignne) {
		fpu_hide_errors(v);
		v->single_once = true;
		return;
	}
	pthread_mutex_lock(&v->vm->lock);
	ferr_assert(v->vm->ferr);
	pthread_mutex_unlock(&v->vm->lock);
	v->halted = true;
}

/* Behind each instruction while IGNNE# is asserted: it goes away with the exception. */
static void settle_ignne(struct vcpu *v)
{
	fpu_show_errors(v);
	fpu_save(v);
	v->ignne = v->fx[2] & FSW_ES;
}

static void deliver_exception(struct vcpu *v)
{
	int vector = v->pending.vector;
	bool has_error = v->pending.has_error;
	u32 error = v->pending.error_code;
	v->pending.vector = -1;
	if (unlikely(vector == EXC_MF && !(v->cr0 & CR0_NE))) {
		report_ferr(v);
		return;
	}
	if (v->delivering == EXC_DF) {
		triple_fault(v);
		return;
	}
	if (v->delivering >= 0 && is_double_fault(v->delivering, vector)) {
		vector = EXC_DF;
		has_error = true;
		error = 0;
	}
	v->stats.exceptions++;
	if (unlikely(v->profile != NULL))
		profile_exception(v);
	trail_event(&v->trail, (struct trail_event){.cs = v->seg[SEG_CS].sel,
						    .eip = v->eip,
						    .error = error,
						    .cr2 = v->cr2,
						    .vector = (u8)vector,
						    .has_error = has_error});
	v->delivering = vector;
	if (!is_trap(vector))
		v->sysflags |= EFLAGS_RF;
	interrupt_deliver(v, vector, INTR_EXCEPTION, v->eip, has_error, error);
	v->delivering = -1;
	if (unlikely(v->debug != NULL))
		debug_executed(v);
}

/* #DB as a trap or for an instruction breakpoint: DR6 gets the causes. */
static void raise_debug(struct vcpu *v, u32 causes)
{
	v->pending_db = 0;
	if (unlikely(causes & DB_DEBUGGER)) {
		debug_watched(v);
		causes &= ~DB_DEBUGGER;
		if (!causes)
			return;
	}
	v->dr[6] = (v->dr[6] & ~0xfu) | causes;
	v->dr[7] &= ~0x2000u; /* GD */
	v->pending.vector = EXC_DB;
	v->pending.has_error = false;
}

/* Enabled instruction breakpoints on `linear`, as DR6 bits. */
static u32 code_breakpoints(const struct vcpu *v, u32 linear)
{
	u32 hit = 0;
	for (int i = 0; i < 4; i++) {
		if (!(v->dr[7] >> (2 * i) & 3) || (v->dr[7] >> (16 + 4 * i) & 3))
			continue;
		if (v->dr[i] == linear)
			hit |= 1u << i;
	}
	return hit;
}

/* ---- running ---- */

/* Guest-physical address of the page behind `linear`; *global stays true if that page is global too. */
static u64 walk_second(struct vcpu *v, u32 linear, bool *global)
{
	struct walk w;
	u32 second = (linear | PAGE_MASK) + 1;
	int err = walk_translate(v, second, ACC_EXEC | acc_cpl(v), &w);
	if (err >= 0)
		raise_pf(v, second, (u32)err);
	*global &= w.global;
	return w.pa;
}

static struct tu *make_tu(struct vcpu *v, u64 pa)
{
	fpu_park(v);
	struct tu *tu = translate(v, pa);
	window_translated(v, tu->insn_count);
	return tu;
}

/* The TU for v->eip in v->mode, made if there is none. *global: its pages survive MOV CR3. Raises what the fetch raises. */
static struct tu *find_tu(struct vcpu *v, bool *global)
{
	struct walk w;
	u32 linear = v->seg[SEG_CS].base + v->eip;
	if (unlikely(v->mode & (MODE_CS_LIMIT | MODE_CS_64K)) && v->eip > v->seg[SEG_CS].limit)
		raise_error(v, EXC_GP, 0);
	int err = walk_translate(v, linear, ACC_EXEC | acc_cpl(v), &w);
	if (err >= 0)
		raise_pf(v, linear, (u32)err);
	*global = w.global;
	v->stats.lookups++;
	if (unlikely(!ram_ptr(&v->vm->mem, w.pa))) {
		/* Nothing answers there: the bus floats high, and FF FF is undefined. */
		raise_exception(v, EXC_UD);
	}
	struct tu *tu = tu_lookup(v->tc, w.pa, v->eip, v->mode);
	/* The second page of a straddling TU is part of what it was made from. */
	if (tu && (tu->flags & TU_STRADDLES) && walk_second(v, linear, global) != tu->pa2) {
		tu_drop(v, tu);
		tu = NULL;
	}
	/* A TU made under a longer limit than today's. */
	if (tu && (v->mode & MODE_CS_LIMIT) && tu->eip + tu->guest_len - 1 > v->seg[SEG_CS].limit) {
		tu_drop(v, tu);
		tu = NULL;
	}
	if (!tu) {
		tu = make_tu(v, w.pa);
		if (tu->flags & TU_STRADDLES)
			walk_second(v, linear, global);
	}
	return tu;
}

/* One instruction by itself: interrupt shadows, single-stepping, breakpoints, RF, code that overwrites itself. */
static void run_single(struct vcpu *v)
{
	bool global;
	u32 shadow = v->shadow, tf = v->sysflags & EFLAGS_TF, rf = v->sysflags & EFLAGS_RF;
	u32 hit = code_breakpoints(v, v->seg[SEG_CS].base + v->eip);
	if (hit && !rf && shadow != SHADOW_MOV_SS) {
		raise_debug(v, hit);
		return;
	}
	v->mode |= MODE_SINGLE;
	struct tu *tu = find_tu(v, &global);
	v->single_once = v->no_step_trap = false;
	v->retry_shadow = shadow;
	v->retry_flags = rf;
	v->shadow = SHADOW_NONE;
	v->stats.single_steps++;
	/* RF lasts for one instruction; one that loads it (IRET) sets it again. */
	v->sysflags &= ~EFLAGS_RF;
	if (log_on(LOG_EXEC | LOG_CPU))
		trace_enter(v, tu->head);
	trail_tu(&v->trail, v->seg[SEG_CS].sel, v->eip, v->mode, tu->head);
	fpu_load(v);
	vcpu_enter(v, tu->head);
	v->retry_shadow = v->retry_flags = 0;
	if (unlikely(v->debug != NULL))
		debug_executed(v);
	/* Traps are held back behind a MOV SS. */
	if (v->shadow == SHADOW_MOV_SS)
		return;
	u32 causes = v->pending_db;
	if (tf && !v->no_step_trap)
		causes |= 0x4000u;
	if (causes)
		raise_debug(v, causes);
}

/* An exit to another page was taken: links it, if it is the time for that. The dispatcher goes on at v->eip. */
static void follow_link(struct vcpu *v, struct tu_exit *x)
{
	struct tu *from = tu_by_index(v->tc, x->tu);
	u32 flushes = (u32)v->stats.tc_flushes;
	bool global;
	struct tu *to = find_tu(v, &global);
	if (flushes != (u32)v->stats.tc_flushes || (from->flags & TU_DEAD) || x->target)
		return;
	if (to->flags & TU_STRADDLES)
		tu_divert(v, x);
	else
		link_make(v, x, to, global);
	if (unlikely(v->verifier))
		verify_chain_or_die(v, x);
}

/*
 * A chainable exit was taken: finds or makes what it leads to and links it. Its page is mapped as it was when the code that left was
 * entered, so nothing is walked. Returns the rx address at which to go on, or 0: as the dispatcher finds it.
 */
static u64 follow_exit(struct vcpu *v, struct tu_exit *x)
{
	struct tc *tc = v->tc;
	struct tu *from = tu_by_index(tc, x->tu), *to;
	u32 flushes = (u32)v->stats.tc_flushes;
	u64 pa = from->pa + (s64)(s32)(x->target_eip - from->eip);

	v->eip = x->target_eip;
	if ((from->flags & TU_DEAD) || from->mode != v->mode || (atomic_load(&v->events) & v->event_mask))
		return 0;
	if (unlikely(v->debug != NULL) && debug_ends_tu(v, v->eip, v->mode & MODE_FLAT(SEG_CS)))
		return 0;
	if (x->flags & EXIT_CROSS) {
		follow_link(v, x);
		return 0;
	}
	to = tu_lookup(tc, pa, v->eip, v->mode);
	if (!to && (to = tu_holding(v, pa, v->eip, v->mode)))
		v->stats.joins++;
	if (!to)
		to = make_tu(v, pa);
	if (flushes != (u32)v->stats.tc_flushes || x->target)
		return 0;
	/* It did not straddle when the exit was made. */
	if (to->flags & TU_STRADDLES) {
		tu_divert(v, x);
		return 0;
	}
	tu_chain(v, x, to);
	if (unlikely(v->verifier))
		verify_chain_or_die(v, x);
	return tu_entry(tc, to, v->eip);
}

/*
 * The jump cache of v->mode did not know v->eip: has it know. Returns the head to enter, or 0 if anything but EIP may have changed since
 * the dispatcher, or next_head, last looked.
 */
static u64 serve_miss(struct vcpu *v)
{
	struct jump_cache *jc;
	struct tu *tu;
	bool global;

	if (atomic_load(&v->events) || v->pending_db || v->lockstep || v->debug || wants_single(v) || (v->mode & MODE_CS_LIMIT) ||
	    mode_compute(v) != (v->mode & ~MODE_DIRECT))
		return 0;
	jc = jc_for_mode(v, v->mode);
	if (atomic_load(&v->jc) != jc->entry)
		return 0;
	v->event_mask = due_events(v);
	v->sysflags &= ~EFLAGS_RF;
	tu = find_tu(v, &global);
	jc_enter(v, jc, tu, global);
	return tu->head;
}

static void run(struct vcpu *v, bool missed)
{
	struct jump_cache *jc = NULL;
	u64 host;
	if (likely(!(v->mode & MODE_CS_LIMIT)))
		jc = jc_for_mode(v, v->mode);
	host = jc && !missed ? jc_head(v, jc, v->eip) : 0;
	if (!host) {
		bool global;
		struct tu *tu = find_tu(v, &global);
		host = tu->head;
		if (jc)
			jc_enter(v, jc, tu, global);
	}
	atomic_store(&v->jc, jc ? jc->entry : jc_all_miss(v));
	/* Whoever set an event before this store has armed a cache that is gone now. */
	if (unlikely(atomic_load(&v->events) & v->event_mask))
		return;
	do {
		if (log_on(LOG_EXEC | LOG_CPU))
			trace_enter(v, host);
		v->stats.dispatches++;
		trail_tu(&v->trail, v->seg[SEG_CS].sel, v->eip, v->mode, (u32)host);
		fpu_load(v);
		u32 left = vcpu_enter(v, host);
		v->missed = !left;
		if (left == ENTER_CALLOUT)
			return;
		host = left ? follow_exit(v, &v->tc->exits[left - 1]) : serve_miss(v);
		/* What has just been translated may have brought a window. */
	} while (host && (!v->user_window || v->cpl != 3 || (v->mode & MODE_DIRECT)));
}

/* What physical addresses mean has changed. */
static void remap(struct vcpu *v)
{
	if (atomic_load(&v->events) & EV_MAP) {
		fpu_park(v);
		tc_remap(v);
		windows_drop(v);
	}
	vcpu_clear_event(v, EV_TLB | EV_MAP);
	mmu_flush_all(v);
}

/* An instruction was abandoned. If nothing was raised it begins anew, with what it had begun with. */
static void unwound(struct vcpu *v)
{
	v->missed = false;
	v->pending_db &= ~DB_DEBUGGER;
	if (v->pending.vector < 0) {
		if (v->retry_shadow)
			v->shadow = v->retry_shadow;
		v->sysflags |= v->retry_flags;
	}
	v->retry_shadow = v->retry_flags = 0;
}

void vcpu_run(struct vcpu *v)
{
	signal_init(v);
	boot(v, true);
	if (__builtin_setjmp(v->unwind))
		unwound(v);
	for (;;) {
		if (unlikely(v->ignne && !v->single_once))
			settle_ignne(v);
		if (v->pending.vector >= 0) {
			deliver_exception(v);
			v->missed = false;
			continue;
		}
		v->delivering = -1;
		if (unlikely(v->pending_db) && v->shadow != SHADOW_MOV_SS) {
			raise_debug(v, v->pending_db);
			continue;
		}
		if (unlikely(v->lockstep) && !lockstep_step(v))
			break;
		debug_stops(v);
		if (atomic_load(&v->events)) {
			if (!handle_events(v))
				break;
			/* It may have delivered an interrupt, as a step. */
			if (debug_stops(v) || unlikely(v->pending_db & DB_DEBUGGER))
				continue;
		}
		if (unlikely(v->halted || v->shutdown)) {
			halt(v);
			continue;
		}
		if (unlikely(atomic_load(&v->events) & (EV_TLB | EV_MAP)))
			remap(v);
		if (unlikely(v->debug != NULL) && debug_breaks(v))
			continue;
		v->mode = mode_compute(v);
		v->table = softmmu_table(v);
		choose_flavour(v);
		v->event_mask = due_events(v);
		if (unlikely(wants_single(v) || debug_steps(v))) {
			run_single(v);
			continue;
		}
		/* RF lasts for one instruction, but only breakpoints look at it; an interrupt in between has been delivered by now. */
		v->sysflags &= ~EFLAGS_RF;
		run(v, v->missed);
	}
	fpu_save(v);
	if (v->lockstep)
		lockstep_end(v);
	pthread_mutex_lock(&v->vm->lock);
	runstate_vcpu_ended(v->vm);
	pthread_mutex_unlock(&v->vm->lock);
}
