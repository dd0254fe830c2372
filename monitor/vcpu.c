/*
 * A vCPU's life: creation, reset, saved state, and the events by which other threads reach it.
 */
#include "monitor/vcpu.h"

#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/jc.h"
#include "cache/tc.h"
#include "monitor/cpuid.h"
#include "monitor/emulate.h"
#include "monitor/fpu.h"
#include "monitor/lockstep.h"
#include "monitor/log.h"
#include "monitor/msr.h"
#include "monitor/perf.h"
#include "monitor/profile.h"
#include "monitor/signal.h"
#include "monitor/state.h"
#include "monitor/vm.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/window.h"
#include "translator/translate.h"

struct vcpu *vcpu_create(struct vm *vm)
{
	struct vcpu *v = aligned_alloc(64, (sizeof(*v) + 63) & ~63ul);
	if (!v)
		fatal("out of memory");
	memset(v, 0, sizeof(*v));
	v->vm = vm;
	v->mask_no_if = ~EFLAGS_IF;
	v->mask_host = EFLAGS_HOST;
	v->mask31 = 31;
	v->mask15 = 15;
	v->step = 1;
	v->delivering = -1;
	v->pending.vector = -1;
	v->work_end = &v->work;
	pthread_mutex_init(&v->kick_lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->halt_cond, &attr);
	pthread_condattr_destroy(&attr);
	cpu_model_apply(v, &vm->opt);
	tsc_init(v);
	int err = tc_init(v, vm->opt.tc_size);
	if (!err)
		err = softmmu_init(v);
	if (!err)
		err = windows_init(v);
	if (!err)
		err = translator_init(v);
	if (!err)
		err = lockstep_init(v);
	if (err)
		fatal("cannot set up the translation cache (%llu KiB): %s", (unsigned long long)vm->opt.tc_size >> 10, strerror(-err));
	v->others_fence = !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
	perf_open(v);
	vcpu_reset(v);
	vm->vcpu = v;
	return v;
}

void vcpu_free(struct vcpu *v)
{
	if (!v)
		return;
	profile_free(v);
	perf_close(v);
	lockstep_free(v);
	translator_free(v);
	windows_free(v);
	softmmu_free(v);
	tc_free(v);
	pthread_cond_destroy(&v->halt_cond);
	pthread_mutex_destroy(&v->kick_lock);
	free(v);
}

/* What a reset and INIT have in common. */
static void start_over(struct vcpu *v)
{
	memset(v->regs, 0, sizeof(v->regs));
	v->regs[REG_EDX] = cpu_signature(v->model);
	v->eip = 0xfff0;
	vcpu_set_eflags(v, 0);
	for (int i = 0; i < SEG_COUNT; i++)
		segment_set(v, i, 0, 0, 0xffff,
			    i < SEG_LDTR ? SEG_P | SEG_S | SEG_TYPE_W | SEG_TYPE_A : SEG_P | (i == SEG_TR ? DESC_TSS32_BUSY : DESC_LDT));
	segment_set(v, SEG_CS, 0xf000, 0xffff0000u, 0xffff, SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_R | SEG_TYPE_A);
	v->cpl = 0;
	v->cr2 = v->cr3 = v->cr4 = 0;
	memset(v->pdpte, 0, sizeof(v->pdpte));
	memset(v->dr, 0, sizeof(v->dr));
	v->dr[6] = 0xffff0ff0u;
	v->dr[7] = 0x400;
	v->gdtr = v->idtr = (struct table_register){0, 0xffff};
	v->efer = 0; /* with CR0.PG and CR4.PAE; the SDM is silent, AMD's manual (Vol. 2 table 14-1) is not */
	v->shadow = SHADOW_NONE;
	v->nmi_blocked = v->halted = v->shutdown = false;
	v->pending.vector = -1;
	v->pending_db = 0;
	v->delivering = -1;
	v->single_once = v->no_step_trap = false;
	mmu_flush_all(v);
}

void vcpu_reset(struct vcpu *v)
{
	start_over(v);
	v->cr0 = CR0_CD | CR0_NW | CR0_ET;
	v->ignne = false;
	v->fpu_hidden = 0;
	msr_reset(v);
	fpu_reset(v);
}

void vcpu_init(struct vcpu *v)
{
	start_over(v);
	v->cr0 = (v->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;
	fpu_show_errors(v);
}

/*
 * Translated code leaves at its next safepoint: cross-page and indirect transfers and backward branches fault in the all-miss cache. On its
 * own thread, in C that translated code has called, it is not to if it could do nothing about the event yet: STI and POPF look for
 * themselves, everything else that lets interrupts in goes through the dispatcher.
 */
void vcpu_set_event(struct vcpu *v, u32 bits)
{
	if ((atomic_fetch_or(&v->events, bits) & bits) == bits)
		return;
	if (signal_vcpu() == v) {
		if (emu_event_due(v))
			atomic_store(&v->jc, jc_all_miss(v));
		return;
	}
	/* Either the vCPU sees the bits when it looks behind a store of v->jc of its own, or the store here comes after that one. */
	if (v->others_fence)
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	atomic_store(&v->jc, jc_all_miss(v));
	/* A vCPU that halts looks at the events with the lock held. */
	pthread_mutex_lock(&v->kick_lock);
	pthread_cond_signal(&v->halt_cond);
	pthread_mutex_unlock(&v->kick_lock);
}

void vcpu_post(struct vcpu *v, struct vcpu_work *w)
{
	pthread_mutex_lock(&v->kick_lock);
	if (!w->queued) {
		w->queued = true;
		w->next = NULL;
		*v->work_end = w;
		v->work_end = &w->next;
	}
	pthread_mutex_unlock(&v->kick_lock);
	vcpu_set_event(v, EV_WORK);
}

void vcpu_do_work(struct vcpu *v)
{
	struct vcpu_work *w;

	vcpu_clear_event(v, EV_WORK);
	for (;;) {
		pthread_mutex_lock(&v->kick_lock);
		w = v->work;
		if (w) {
			v->work = w->next;
			if (!v->work)
				v->work_end = &v->work;
			w->queued = false;
		}
		pthread_mutex_unlock(&v->kick_lock);
		if (!w)
			return;
		w->fn(w->opaque);
	}
}

void vcpu_clear_event(struct vcpu *v, u32 bits)
{
	atomic_fetch_and(&v->events, ~bits);
}

void vcpu_unpause(struct vcpu *v)
{
	pthread_mutex_lock(&v->kick_lock);
	vcpu_clear_event(v, EV_PAUSE);
	v->unpauses++;
	pthread_cond_broadcast(&v->halt_cond);
	pthread_mutex_unlock(&v->kick_lock);
}

/* ---- saved state ---- */

static void save_segment(struct state *s, const struct segment *g)
{
	state_put_u16(s, (u16)g->sel);
	state_put_u32(s, g->base);
	state_put_u32(s, g->limit);
	state_put_u32(s, g->attr);
}

static void load_segment(struct vcpu *v, struct state *s, int n)
{
	u32 sel = state_get_u16(s), base = state_get_u32(s), limit = state_get_u32(s), attr = state_get_u32(s);
	if (attr & ~(SEG_TYPE | SEG_S | SEG_DPL | SEG_P | SEG_AVL | SEG_L | SEG_DB | SEG_G | SEG_UNUSABLE))
		s->error = true;
	segment_set(v, n, sel, base, limit, attr);
}

/* Everything architectural that is plain 32- or 64-bit data, once for both directions. */
/* clang-format off */
#define WORDS(X) \
	X(eip) X(cpl) X(cr0) X(cr2) X(cr3) X(cr4) X(gdtr.base) X(gdtr.limit) X(idtr.base) X(idtr.limit) X(sysenter_cs) X(sysenter_esp) X(sysenter_eip) X(fpu_ip) X(fpu_dp)
/* clang-format on */
#define QUADS(X) X(efer) X(pat) X(apic_base) X(misc_enable) X(tsc_aux) X(mtrr_def_type) X(mcg_status)

void vcpu_save(struct vcpu *v, struct state *s)
{
	fpu_save(v);
	state_put_section(s, "vcpu", 1);
	for (int i = 0; i < 8; i++)
		state_put_u32(s, v->regs[i]);
	state_put_u32(s, vcpu_eflags(v));
#define X(f) state_put_u32(s, v->f);
	WORDS(X)
#undef X
#define X(f) state_put_u64(s, v->f);
	QUADS(X)
#undef X
	for (int i = 0; i < SEG_COUNT; i++)
		save_segment(s, &v->seg[i]);
	for (int i = 0; i < 4; i++)
		state_put_u64(s, v->pdpte[i]);
	for (int i = 0; i < 8; i++)
		state_put_u32(s, v->dr[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(v->msr_store); i++)
		state_put_u64(s, v->msr_store[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(v->mtrr_fixed); i++)
		state_put_u64(s, v->mtrr_fixed[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(v->mtrr_base); i++) {
		state_put_u64(s, v->mtrr_base[i]);
		state_put_u64(s, v->mtrr_mask[i]);
	}
	state_put_u8(s, (u8)v->shadow);
	state_put_u8(s, v->nmi_blocked);
	state_put_u8(s, v->halted);
	state_put_u8(s, v->shutdown);
	state_put_u32(s, atomic_load(&v->events) & (EV_INTR | EV_NMI));
	state_put_u32(s, v->pending_db);
	state_put_u16(s, v->fpu_cs);
	state_put_u16(s, v->fpu_ds);
	state_put_u16(s, v->fpu_op);
	state_put(s, v->fx, sizeof(v->fx));
}

void vcpu_load(struct vcpu *v, struct state *s)
{
	fpu_save(v);
	if (state_get_section(s, "vcpu") != 1) {
		s->error = true;
		return;
	}
	for (int i = 0; i < 8; i++)
		v->regs[i] = state_get_u32(s);
	vcpu_set_eflags(v, state_get_u32(s));
#define X(f) v->f = state_get_u32(s);
	WORDS(X)
#undef X
#define X(f) v->f = state_get_u64(s);
	QUADS(X)
#undef X
	if (v->cpl > 3 || v->gdtr.limit > 0xffff || v->idtr.limit > 0xffff)
		s->error = true;
	v->cpl &= 3;
	/* Real mode is CPL 0, virtual-8086 mode is CPL 3 of protected mode. */
	if (v->cr0 & CR0_PE ? (v->sysflags & EFLAGS_VM) && v->cpl != 3 : v->cpl || (v->sysflags & EFLAGS_VM)) {
		s->error = true;
		v->sysflags &= ~EFLAGS_VM;
		v->cpl = 0;
	}
	for (int i = 0; i < SEG_COUNT; i++)
		load_segment(v, s, i);
	for (int i = 0; i < 4; i++)
		v->pdpte[i] = state_get_u64(s);
	for (int i = 0; i < 8; i++)
		v->dr[i] = state_get_u32(s);
	for (unsigned i = 0; i < ARRAY_SIZE(v->msr_store); i++)
		v->msr_store[i] = state_get_u64(s);
	for (unsigned i = 0; i < ARRAY_SIZE(v->mtrr_fixed); i++)
		v->mtrr_fixed[i] = state_get_u64(s);
	for (unsigned i = 0; i < ARRAY_SIZE(v->mtrr_base); i++) {
		v->mtrr_base[i] = state_get_u64(s);
		v->mtrr_mask[i] = state_get_u64(s);
	}
	u8 shadow = state_get_u8(s);
	if (shadow > SHADOW_MOV_SS)
		s->error = true;
	v->shadow = shadow % 3;
	v->nmi_blocked = state_get_u8(s);
	v->halted = state_get_u8(s);
	v->shutdown = state_get_u8(s);
	u32 events = state_get_u32(s);
	v->pending_db = state_get_u32(s) & 0x800f; /* DR6: B0..B3, BT */
	v->fpu_cs = state_get_u16(s);
	v->fpu_ds = state_get_u16(s);
	v->fpu_op = state_get_u16(s) & 0x7ff;
	state_get(s, v->fx, sizeof(v->fx));
	/* The host's addresses of another run mean nothing. */
	memset(v->fx + 8, 0, 16);
	/* A reserved MXCSR bit would fault in FXRSTOR. */
	u32 mxcsr;
	memcpy(&mxcsr, v->fx + 24, 4);
	if (mxcsr & ~0xffffu)
		s->error = true;
	mxcsr &= 0xffff;
	memcpy(v->fx + 24, &mxcsr, 4);
	tsc_restart(v);
	atomic_store(&v->events, 0);
	vcpu_set_event(v, events & (EV_INTR | EV_NMI));
	mmu_flush_all(v);
}
