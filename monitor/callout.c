/*
 * What translated code calls, by the thunks (cache/thunks.S): memory accesses that miss, segment checks, emulated instructions; and the way
 * from one of those straight to the next TU.
 *
 * Invariants: v->eip and the registers are those of the instruction's start when a handler raises an exception; whatever vcpu_run looks at
 * between two TUs is looked at by next_head too.
 */
#include "cache/jc.h"
#include "cache/tc.h"
#include "monitor/debug.h"
#include "monitor/dispatch.h"
#include "monitor/emulate.h"
#include "monitor/fpu.h"
#include "monitor/lockstep.h"
#include "monitor/log.h"
#include "monitor/vm.h"
#include "shadowpt/access.h"
#include "shadowpt/softmmu.h"

/* cache/thunks.S and the translator know these. */
_Static_assert(offsetof(struct vcpu, regs) == 0, "V_REGS");
_Static_assert(offsetof(struct vcpu, eip) == 32, "V_EIP");
_Static_assert(offsetof(struct vcpu, hflags) == 40, "V_HFLAGS");
_Static_assert(offsetof(struct vcpu, jc) == 56, "V_JC");
_Static_assert(offsetof(struct vcpu, table) == 64, "V_TABLE");
_Static_assert(offsetof(struct vcpu, host_rsp) == 72, "V_HOST_RSP");
_Static_assert(offsetof(struct vcpu, step) == 96, "V_STEP");
/* r12 is a base of the jump caches' entries and, masked as SHRX masks it, the page shift. */
_Static_assert(PAGE_SHIFT == 12, "thunk_exit_jc");
_Static_assert(offsetof(struct vcpu, link) == 464, "V_LINK");
_Static_assert(offsetof(struct vcpu, exits) == 472, "V_EXITS");
_Static_assert(sizeof(struct tu_exit) == 40 && offsetof(struct tu_exit, target_eip) == 0, "EXIT_SIZE");

/*
 * Where a callout that ends its TU goes on, if nothing but that is to be found out: the head of the next TU, v ready for it as run() would
 * have made it. 0: the dispatcher has something to do. Invariant: whatever vcpu_run looks at between two TUs is looked at here.
 */
static u64 next_head(struct vcpu *v, const struct tu *from)
{
	struct tc *tc = v->tc;
	const struct jc_near *jc;
	u32 head;

	/* Nothing of it is the case, so all of it is asked for at once. */
	if (unlikely((from->flags & TU_SINGLE) | (v->debug != NULL) | (v->lockstep != NULL) | v->halted | v->shutdown | v->pending_db |
		     (v->pending.vector >= 0) | wants_single(v) | log_on(LOG_EXEC | LOG_CPU | LOG_NOCHAIN)))
		return 0;
	v->event_mask = due_events(v);
	if (unlikely(atomic_load(&v->events) & v->event_mask))
		return 0;
	v->mode = mode_compute(v);
	v->table = softmmu_table(v);
	choose_flavour(v);
	jc = &tc->jc_near[jc_near_index(v->mode, v->seg[SEG_CS].base)];
	if (unlikely(jc->mode != v->mode || jc->base != v->seg[SEG_CS].base || !jc->entry || (v->mode & MODE_CS_LIMIT)))
		return 0;
	/* As translated code looks at it. */
	head = jc->entry[v->eip & (u32)(tc->jc_entries - 1)];
	if (unlikely(!head))
		return 0;
	/* As in run(), but that vcpu_set_event, if it can, sees to the order of the two: draining this CPU's stores takes as long as all
	 * the rest. */
	atomic_store_explicit(&v->jc, jc->entry, memory_order_relaxed);
	if (likely(v->others_fence))
		atomic_signal_fence(memory_order_seq_cst);
	else
		atomic_thread_fence(memory_order_seq_cst);
	if (unlikely(atomic_load(&v->events) & v->event_mask))
		return 0;
	v->sysflags &= ~EFLAGS_RF;
	v->stats.dispatches++;
	v->stats.crossings++;
	head += (u32)(u64)thunk_exit_jc;
	trail_tu(&v->trail, v->seg[SEG_CS].sel, v->eip, v->mode, head);
	fpu_load(v);
	return head;
}

/* ---- what translated code calls (cache/thunks.S) ---- */

u64 tc_miss(struct vcpu *v, u32 linear, u32 meta, int slot, bool *bounced);
int tc_commit(struct vcpu *v, int slot);
u32 tc_segment(struct vcpu *v, u32 offset, u32 meta, int slot);
u64 tc_callout(struct vcpu *v, u32 emu, u32 meta);
void tc_sti_shadow(struct vcpu *v);

u64 tc_miss(struct vcpu *v, u32 linear, u32 meta, int slot, bool *bounced)
{
	u64 delta = softmmu_miss(v, linear, meta, slot, bounced);
	fpu_load(v);
	return delta;
}

/* A device that was touched may have raised an event: to leave at once is cheaper than to fault at the next transfer. */
static bool leaves_for_event(struct vcpu *v)
{
	if (likely(!emu_event_due(v)))
		return false;
	v->stats.event_exits++;
	return true;
}

int tc_commit(struct vcpu *v, int slot)
{
	u32 meta = v->mmu->bounce[slot].meta, n = (meta & 0xff) + 1;
	struct tu *tu = tu_by_index(v->tc, meta >> 8);

	softmmu_commit(v, slot);
	if (unlikely(emu_event_due(v)) && (tu_insn(v->tc, tu, n - 1)->access[slot] & ACCESS_LAST) && leaves_for_event(v)) {
		v->eip = tu->eip + (n < tu->insn_count ? tu_insn(v->tc, tu, n)->guest_off : tu->guest_len);
		if (!(tu->mode & MODE_CS32) && v->seg[SEG_CS].limit <= 0xffff)
			v->eip &= 0xffff;
		return EMU_EXIT;
	}
	fpu_load(v);
	return EMU_NEXT;
}

u32 tc_segment(struct vcpu *v, u32 offset, u32 meta, int slot)
{
	struct tu *tu = tu_by_index(v->tc, meta >> 8);
	const struct tu_insn *in = tu_insn(v->tc, tu, meta & 0xff);
	u32 info = in->access[slot];
	v->eip = tu->eip + in->guest_off;
	return seg_linear(v, (int)ACCESS_SEG(info), offset, ACCESS_SIZE(info), info & ACCESS_WRITE ? ACC_WRITE : ACC_READ);
}

static bool loads_segment(emu_fn *fn)
{
	return fn == emu_mov_to_seg || fn == emu_pop_seg || fn == emu_load_far_ptr;
}

/*
 * Behind a load of SS nothing may interrupt the next instruction (SDM Vol. 3A 6.8.3). If that follows in the TU, with no safepoint in front
 * of it, the interrupt shadow ends by itself.
 */
static bool shadow_ends_inside(const struct vcpu *v, const struct tu *tu, u32 insn)
{
	if (insn + 1u >= tu->insn_count || v->lockstep || v->debug)
		return false;
	for (u32 i = 0; i < tu->exit_count; i++) {
		const struct tu_exit *x = &v->tc->exits[tu->exits + i];
		if (x->poll && x->poll_eip == v->next_eip)
			return false;
	}
	return true;
}

/* A segment load that left everything that the TU was made for as it was, the usual case of flat kernels, need not leave. */
static bool goes_on(struct vcpu *v, const struct tu *tu, u32 insn)
{
	if (v->eip != v->next_eip || v->pending_db || (tu->flags & (TU_DEAD | TU_SINGLE)) || mode_compute(v) != (tu->mode & ~MODE_DIRECT))
		return false;
	if (v->shadow == SHADOW_MOV_SS && shadow_ends_inside(v, tu, insn))
		v->shadow = SHADOW_NONE;
	return v->shadow == SHADOW_NONE;
}

u64 tc_callout(struct vcpu *v, u32 emu, u32 meta)
{
	struct tu *tu = tu_by_index(v->tc, meta >> 8);
	const struct emu_insn *i = &v->tc->emus[emu];
	v->eip = tu->eip + tu_insn(v->tc, tu, meta & 0xff)->guest_off;
	v->next_eip = v->eip + i->length;
	if (!(tu->mode & MODE_CS32) && v->seg[SEG_CS].limit <= 0xffff)
		v->next_eip &= 0xffff;
	v->stats.callouts++;
	v->stats.callout[i->kind]++;
	int r = i->fn(v, i);
	if (r == EMU_NEXT) {
		/* A handler may have written to the TU's own code behind it, or met a watchpoint. */
		if (unlikely((tu->flags & TU_DEAD) || v->pending_db || leaves_for_event(v))) {
			v->eip = v->next_eip;
			return EMU_EXIT;
		}
		fpu_load(v);
		return EMU_NEXT;
	}
	if (loads_segment(i->fn) && goes_on(v, tu, meta & 0xff)) {
		fpu_load(v);
		return EMU_NEXT;
	}
	/* A repeated instruction that comes back for more counts once, when it is through. */
	if ((i->rep || i->repne) && v->eip != v->next_eip)
		v->insns--;
	u64 head = next_head(v, tu);
	return head ? head : EMU_EXIT;
}

void tc_sti_shadow(struct vcpu *v)
{
	v->shadow = SHADOW_STI;
}
