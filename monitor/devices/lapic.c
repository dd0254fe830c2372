/*
 * The local APIC.
 *
 * Invariants
 *  - intr_out is high exactly while there is something for lapic_ack: a vector in IRR above the processor's priority, or INTR of the 8259
 *    pair while LINT0 lets it through. update() sees to it, behind every change.
 *  - Time is computed, not counted: the current count follows from `start`; the timer fires at `deadline`, never more often than every
 *    MIN_PERIOD_NS, whatever the guest asks for.
 *  - Remote IRR of LINT0 (bit 14 of its entry) is set from the acceptance of a level-triggered interrupt to the end of it; while it is set
 * the level is not looked at.
 *  - After a reset LINT0 is in ExtINT mode and open, and LINT1 in NMI mode, as firmware leaves them, so that a kernel that knows of no APIC
 *    gets its interrupts.
 */
#include "monitor/devices/lapic.h"

#include <stdlib.h>

#include "monitor/cpuid.h"
#include "monitor/devices/checked_state.h"
#include "monitor/devices/pic.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define REG_ID	    0x02
#define REG_VERSION 0x03
#define REG_TPR	    0x08
#define REG_APR	    0x09
#define REG_PPR	    0x0a
#define REG_EOI	    0x0b
#define REG_LDR	    0x0d
#define REG_DFR	    0x0e
#define REG_SVR	    0x0f
#define REG_ISR	    0x10
#define REG_TMR	    0x18
#define REG_IRR	    0x20
#define REG_ESR	    0x28
#define REG_ICR	    0x30
#define REG_ICR2    0x31
#define REG_LVT	    0x32
#define REG_INITIAL 0x38
#define REG_CURRENT 0x39
#define REG_DIVIDE  0x3e

enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

#define VERSION		0x00050014u /* six LVT entries */
#define SVR_ENABLE	0x100u
#define SVR_WRITABLE	0x3ffu
#define LVT_MASKED	0x10000u
#define LVT_LEVEL	0x8000u
#define LVT_REMOTE	0x4000u /* LINT0 only, read-only */
#define LVT_MODE(x)	((x) >> 8 & 7)
#define TIMER_MODE(x)	((x) >> 17 & 3)
#define ESR_SEND_VECTOR 0x20u
#define ESR_RECV_VECTOR 0x40u
#define ESR_REGISTER	0x80u
#define ICR_WRITABLE	0x000ccfffu
#define ICR_LOGICAL	0x800u
#define ICR_ASSERT	0x4000u
#define ICR_LEVEL	0x8000u
#define NO_DEADLINE	UINT64_MAX
#define MIN_PERIOD_NS	20000ull

enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC };

static const u32 lvt_writable[LVT_COUNT] = {0x000700ff, 0x000107ff, 0x000107ff, 0x0001a7ff, 0x0001a7ff, 0x000100ff};

struct lapic {
	struct vm *vm;
	struct pic *pic;
	unsigned region;
	void (*eoi)(void *opaque, u8 vector);
	void *eoi_opaque;
	struct timer timer;
	struct irq intr_out, nmi_out;
	bool intr; /* told to intr_out */
	u64 timer_hz;
	/* Saved from here on. */
	u64 base; /* as in IA32_APIC_BASE */
	bool lint0;
	u8 id, tpr;
	u32 ldr, dfr, svr;
	u32 isr[8], tmr[8], irr[8];
	u32 esr, errors; /* as read; as collected since */
	u32 icr, icr2;
	u32 lvt[LVT_COUNT];
	u32 initial, divide;
	u64 start, deadline; /* vm time */
	u64 tsc_deadline;
};

/* ---- priorities ---- */

static int highest(const u32 set[8])
{
	for (int i = 7; i >= 0; i--)
		if (set[i])
			return 32 * i + 31 - __builtin_clz(set[i]);
	return -1;
}

static void set_bit(u32 set[8], u8 n, bool value)
{
	if (value)
		set[n / 32] |= BIT(n % 32);
	else
		set[n / 32] &= ~BIT(n % 32);
}

/* The processor priority, SDM Vol. 3A 10.8.3.1. */
static u8 ppr(const struct lapic *l)
{
	int isr = highest(l->isr);

	return isr < 0 || (l->tpr & 0xf0) >= (isr & 0xf0) ? l->tpr : (u8)(isr & 0xf0);
}

static bool global_enable(const struct lapic *l)
{
	return l->base & LAPIC_BASE_ENABLE;
}

bool lapic_takes_pic(const struct lapic *l)
{
	u32 lvt = l->lvt[LVT_LINT0];

	return !global_enable(l) || (!(lvt & LVT_MASKED) && LVT_MODE(lvt) == APIC_EXTINT);
}

/* The vector that the processor is to take, or -1. */
static int request(const struct lapic *l)
{
	int vector = highest(l->irr);

	return global_enable(l) && vector >= 0 && (vector & 0xf0) > (ppr(l) & 0xf0) ? vector : -1;
}

static void update(struct lapic *l)
{
	bool intr = request(l) >= 0 || (l->lint0 && lapic_takes_pic(l));

	if (intr == l->intr)
		return;
	l->intr = intr;
	irq_set(&l->intr_out, intr);
}

int lapic_ack(struct lapic *l)
{
	int vector = request(l);

	if (vector >= 0) {
		set_bit(l->irr, (u8)vector, false);
		set_bit(l->isr, (u8)vector, true);
	} else if (l->lint0 && lapic_takes_pic(l) && l->pic) {
		vector = pic_ack(l->pic);
	}
	update(l);
	return vector;
}

bool lapic_waits(const struct lapic *l, u8 vector)
{
	return l->irr[vector / 32] >> vector % 32 & 1;
}

/* ---- what comes in ---- */

static void error(struct lapic *l, u32 bit);

/*
 * A message or a local interrupt arrives, SDM Vol. 3A 10.5.1 and 10.6.1. NMI and INIT are taken by an APIC that software has disabled, too
 * (10.4.7.2). INIT makes the bootstrap processor, which this one is, execute from the reset vector again, and not wait for a start-up
 * message (8.4.2): none ever finds it waiting.
 */
static void accept(struct lapic *l, u8 mode, u8 vector, bool level)
{
	switch (mode) {
	case APIC_FIXED:
	case APIC_LOWEST:
		if (!(l->svr & SVR_ENABLE))
			return;
		if (vector < 16) {
			error(l, ESR_RECV_VECTOR);
			return;
		}
		set_bit(l->irr, vector, true);
		set_bit(l->tmr, vector, level);
		update(l);
		break;
	case APIC_NMI:
		irq_set(&l->nmi_out, 1);
		break;
	case APIC_INIT:
		vm_request_reset(l->vm);
		break;
	case APIC_STARTUP:
		break;
	case APIC_SMI:
		log_to(LOG_UNIMP, "lapic: an SMI is ignored: there is no system management mode");
		break;
	default:
		log_to(LOG_GUEST_ERRORS, "lapic: a message of mode %u is ignored", mode);
		break;
	}
}

static void local_interrupt(struct lapic *l, int which, bool level)
{
	u32 lvt = l->lvt[which];

	if (!(lvt & LVT_MASKED))
		accept(l, which == LVT_TIMER || which == LVT_ERROR ? APIC_FIXED : LVT_MODE(lvt), (u8)lvt, level);
}

/*
 * Of LINT0 only the fixed mode knows levels: NMI, INIT and SMI are edges whatever the entry says (SDM Vol. 3A 10.5.1), and ExtINT is
 * lapic_takes_pic's.
 */
static bool lint0_by_level(const struct lapic *l)
{
	u32 lvt = l->lvt[LVT_LINT0];

	return (lvt & LVT_LEVEL) && LVT_MODE(lvt) == APIC_FIXED;
}

/* LINT0 may owe a level-triggered interrupt: the line has risen, the entry was written, or the last one has ended. */
static void sense_lint0(struct lapic *l)
{
	u32 lvt = l->lvt[LVT_LINT0];

	if (!l->lint0 || !global_enable(l) || !lint0_by_level(l) || (lvt & (LVT_MASKED | LVT_REMOTE)))
		return;
	/* An illegal vector is not accepted, and will not be ended. */
	if ((u8)lvt >= 16)
		l->lvt[LVT_LINT0] |= LVT_REMOTE;
	local_interrupt(l, LVT_LINT0, true);
}

static void error(struct lapic *l, u32 bit)
{
	l->errors |= bit;
	/* An error interrupt with an illegal vector is an error, and would be so for ever. */
	if ((u8)l->lvt[LVT_ERROR] >= 16)
		local_interrupt(l, LVT_ERROR, false);
}

/* Whether a destination is this processor, SDM Vol. 3A 10.6.2. */
static bool matches(const struct lapic *l, u8 dest, bool logical)
{
	u8 mine = (u8)(l->ldr >> 24);

	if (!logical)
		return dest == 0xff || dest == l->id;
	if (l->dfr >> 28 == 0xf)
		return dest & mine;
	return dest == 0xff || ((dest & 0xf0) == (mine & 0xf0) && (dest & mine & 0x0f));
}

void lapic_message(struct lapic *l, u8 dest, bool logical, u8 mode, u8 vector, bool level)
{
	if (global_enable(l) && matches(l, dest, logical))
		accept(l, mode, vector, level);
}

static void set_lint0(void *opaque, int line, int level)
{
	struct lapic *l = opaque;
	bool rises = level && !l->lint0;

	(void)line;
	l->lint0 = level != 0;
	if (rises && lint0_by_level(l))
		sense_lint0(l);
	else if (rises && global_enable(l) && LVT_MODE(l->lvt[LVT_LINT0]) != APIC_EXTINT)
		local_interrupt(l, LVT_LINT0, false);
	update(l);
}

struct irq lapic_lint0(struct lapic *l)
{
	return (struct irq){set_lint0, l, 0};
}

void lapic_nmi(struct lapic *l)
{
	if (global_enable(l))
		local_interrupt(l, LVT_LINT1, false);
	else
		irq_set(&l->nmi_out, 1);
}

void lapic_set_pic(struct lapic *l, struct pic *pic)
{
	l->pic = pic;
}

void lapic_set_eoi(struct lapic *l, void (*fn)(void *opaque, u8 vector), void *opaque)
{
	l->eoi = fn;
	l->eoi_opaque = opaque;
}

/* ---- the timer ---- */

static u64 now(const struct lapic *l)
{
	return clock_ns(&l->vm->clock);
}

/* The timer's clock is divided by 2, 4, ... 128, 1 (SDM Vol. 3A figure 10-10). */
static unsigned divide_shift(const struct lapic *l)
{
	unsigned code = (l->divide & 3) | (l->divide >> 1 & 4);

	return (code + 1) & 7;
}

/* Rounded up: at that time the count is over. */
static u64 counts_to_ns(const struct lapic *l, u32 counts)
{
	u64 cycles = (u64)counts << divide_shift(l), ns = muldiv64(cycles, NS_PER_SEC, l->timer_hz);

	return ns + (muldiv64(ns, l->timer_hz, NS_PER_SEC) < cycles);
}

static u64 ns_to_counts(const struct lapic *l, u64 ns)
{
	return muldiv64(ns, l->timer_hz, NS_PER_SEC) >> divide_shift(l);
}

static void arm(struct lapic *l)
{
	if (l->deadline == NO_DEADLINE)
		timer_del(&l->timer);
	else
		timer_mod(&l->timer, l->deadline);
}

static void start(struct lapic *l)
{
	l->start = now(l);
	l->deadline = l->initial ? l->start + MAX(counts_to_ns(l, l->initial), MIN_PERIOD_NS) : NO_DEADLINE;
	arm(l);
}

static u32 current(const struct lapic *l)
{
	u64 counts = now(l) > l->start ? ns_to_counts(l, now(l) - l->start) : 0;

	if (!l->initial || TIMER_MODE(l->lvt[LVT_TIMER]) == TIMER_TSC)
		return 0;
	if (TIMER_MODE(l->lvt[LVT_TIMER]) == TIMER_PERIODIC)
		return l->initial - (u32)(counts % l->initial);
	return counts < l->initial ? l->initial - (u32)counts : 0;
}

static void fire(void *opaque)
{
	struct lapic *l = opaque;
	u64 period = MAX(counts_to_ns(l, l->initial), MIN_PERIOD_NS), late;

	if (l->deadline == NO_DEADLINE)
		return;
	if (TIMER_MODE(l->lvt[LVT_TIMER]) == TIMER_PERIODIC) {
		/* Interrupts that a starved process missed are merged, as they are while one waits in IRR. */
		late = now(l) > l->deadline ? (now(l) - l->deadline) / period : 0;
		l->start = l->deadline + late * period;
		l->deadline = l->start + period;
	} else {
		l->deadline = NO_DEADLINE;
		l->tsc_deadline = 0;
	}
	arm(l);
	local_interrupt(l, LVT_TIMER, false);
}

u64 lapic_tsc_deadline(const struct lapic *l)
{
	return TIMER_MODE(l->lvt[LVT_TIMER]) == TIMER_TSC ? l->tsc_deadline : 0;
}

void lapic_set_tsc_deadline(struct lapic *l, u64 tsc)
{
	u64 ahead, tsc_now = clock_tsc(&l->vm->clock);

	if (TIMER_MODE(l->lvt[LVT_TIMER]) != TIMER_TSC)
		return;
	l->tsc_deadline = tsc;
	l->deadline = NO_DEADLINE;
	if (tsc) {
		ahead = MIN(tsc > tsc_now ? tsc - tsc_now : 0, 1ull << 55);
		l->deadline = now(l) + muldiv64(ahead, NS_PER_SEC, l->vm->clock.tsc_hz) + 1;
	}
	arm(l);
}

static void set_timer_lvt(struct lapic *l, u32 value)
{
	bool was_tsc = TIMER_MODE(l->lvt[LVT_TIMER]) == TIMER_TSC, is_tsc = TIMER_MODE(value) == TIMER_TSC;

	l->lvt[LVT_TIMER] = value;
	if (was_tsc == is_tsc)
		return;
	/* A change to or from TSC-deadline mode disarms the timer. */
	l->initial = 0;
	l->tsc_deadline = 0;
	l->deadline = NO_DEADLINE;
	arm(l);
}

/* ---- registers ---- */

static u32 lapic_read(void *opaque, u64 offset, unsigned size)
{
	struct lapic *l = opaque;
	unsigned reg = (unsigned)(offset >> 4);
	u32 value = 0;

	(void)size;
	if (offset & 0xc)
		return 0;
	if (reg - REG_ISR < 8)
		value = l->isr[reg - REG_ISR];
	else if (reg - REG_TMR < 8)
		value = l->tmr[reg - REG_TMR];
	else if (reg - REG_IRR < 8)
		value = l->irr[reg - REG_IRR];
	else if (reg - REG_LVT < LVT_COUNT)
		value = l->lvt[reg - REG_LVT];
	else
		switch (reg) {
		case REG_ID:
			value = (u32)l->id << 24;
			break;
		case REG_VERSION:
			value = VERSION;
			break;
		case REG_TPR:
			value = l->tpr;
			break;
		case REG_APR:
		case REG_EOI:
			break;
		case REG_PPR:
			value = ppr(l);
			break;
		case REG_LDR:
			value = l->ldr;
			break;
		case REG_DFR:
			value = l->dfr;
			break;
		case REG_SVR:
			value = l->svr;
			break;
		case REG_ESR:
			value = l->esr;
			break;
		case REG_ICR:
			value = l->icr;
			break;
		case REG_ICR2:
			value = l->icr2;
			break;
		case REG_INITIAL:
			value = l->initial;
			break;
		case REG_CURRENT:
			value = current(l);
			break;
		case REG_DIVIDE:
			value = l->divide;
			break;
		default:
			error(l, ESR_REGISTER);
		}
	return value >> 8 * (offset & 3);
}

static void end_of_interrupt(struct lapic *l)
{
	int vector = highest(l->isr);

	if (vector < 0)
		return;
	set_bit(l->isr, (u8)vector, false);
	if (l->tmr[vector / 32] >> vector % 32 & 1) {
		if ((l->lvt[LVT_LINT0] & LVT_REMOTE) && (u8)l->lvt[LVT_LINT0] == vector) {
			l->lvt[LVT_LINT0] &= ~LVT_REMOTE;
			sense_lint0(l);
		}
		if (l->eoi)
			l->eoi(l->eoi_opaque, (u8)vector);
	}
	update(l);
}

/*
 * ICR was written. Which combinations there are: SDM Vol. 3A tables 10-3 and 10-4; what these call undefined (other modes than fixed by a
 * shorthand that means this processor) is delivered. Whatever the level bit says, messages are edges.
 */
static void send(struct lapic *l)
{
	u8 vector = (u8)l->icr, mode = l->icr >> 8 & 7;
	bool level = l->icr & ICR_LEVEL;

	if ((mode == APIC_FIXED || mode == APIC_LOWEST) && vector < 16) {
		error(l, ESR_SEND_VECTOR);
		return;
	}
	if (level && !(l->icr & ICR_ASSERT))
		return; /* the de-assertion of INIT, which means nothing to a single processor, or not a valid message */
	if (mode == APIC_EXTINT || mode == 3) {
		log_to(LOG_GUEST_ERRORS, "lapic: ICR %#x: reserved delivery mode", l->icr);
		return;
	}
	switch (l->icr >> 18 & 3) {
	case 0:
		lapic_message(l, (u8)(l->icr2 >> 24), l->icr & ICR_LOGICAL, mode, vector, false);
		break;
	case 1:
	case 2:
		accept(l, mode, vector, false);
		break;
	}
}

static void write_lvt(struct lapic *l, int which, u32 value)
{
	value &= lvt_writable[which];
	/* While the APIC is disabled by software, entries cannot be unmasked (SDM Vol. 3A 10.4.7.2). */
	if (!(l->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	if (which == LVT_TIMER)
		set_timer_lvt(l, value);
	else
		l->lvt[which] = value | (l->lvt[which] & LVT_REMOTE);
	/* Remote IRR means something in level-triggered fixed mode only. */
	if (which == LVT_LINT0 && !lint0_by_level(l))
		l->lvt[which] &= ~LVT_REMOTE;
	sense_lint0(l);
	update(l);
}

static void write_svr(struct lapic *l, u32 value)
{
	l->svr = value & SVR_WRITABLE;
	for (int i = 0; i < LVT_COUNT; i++)
		if (!(l->svr & SVR_ENABLE))
			l->lvt[i] |= LVT_MASKED;
	update(l);
}

static void lapic_write(void *opaque, u64 offset, u32 value, unsigned size)
{
	struct lapic *l = opaque;
	unsigned reg = (unsigned)(offset >> 4);

	if (size != 4 || offset & 0xf)
		return;
	if (reg - REG_LVT < LVT_COUNT) {
		write_lvt(l, (int)(reg - REG_LVT), value);
		return;
	}
	switch (reg) {
	case REG_ID:
		l->id = (u8)(value >> 24);
		break;
	case REG_TPR:
		l->tpr = (u8)value;
		update(l);
		break;
	case REG_EOI:
		end_of_interrupt(l);
		break;
	case REG_LDR:
		l->ldr = value & 0xff000000u;
		break;
	case REG_DFR:
		l->dfr = value | 0x0fffffffu;
		break;
	case REG_SVR:
		write_svr(l, value);
		break;
	case REG_ESR:
		l->esr = l->errors;
		l->errors = 0;
		break;
	case REG_ICR:
		l->icr = value & ICR_WRITABLE;
		send(l);
		break;
	case REG_ICR2:
		l->icr2 = value & 0xff000000u;
		break;
	case REG_INITIAL:
		if (TIMER_MODE(l->lvt[LVT_TIMER]) == TIMER_TSC)
			break;
		l->initial = value;
		start(l);
		break;
	case REG_DIVIDE:
		/* A running count goes on from where it is. */
		value &= 0xb;
		if (value != l->divide) {
			u32 left = current(l);
			u32 done = l->initial - left;

			l->divide = value;
			if (l->deadline != NO_DEADLINE && TIMER_MODE(l->lvt[LVT_TIMER]) != TIMER_TSC) {
				l->start = now(l) - MIN(counts_to_ns(l, done), now(l));
				l->deadline = now(l) + MAX(counts_to_ns(l, left), MIN_PERIOD_NS);
				arm(l);
			}
		}
		break;
	default:
		error(l, ESR_REGISTER);
	}
}

void lapic_set_base(struct lapic *l, u64 value)
{
	l->base = value;
	mmio_move(l->vm, l->region, global_enable(l) ? value & ~0xfffull : MEMORY_NOTHING);
	update(l);
}

/* ---- life cycle ---- */

static void lapic_reset(void *opaque)
{
	struct lapic *l = opaque;

	l->id = l->tpr = 0;
	l->ldr = l->esr = l->errors = l->icr = l->icr2 = l->initial = l->divide = 0;
	l->dfr = 0xffffffff;
	l->svr = 0xff;
	for (int i = 0; i < 8; i++)
		l->isr[i] = l->tmr[i] = l->irr[i] = 0;
	for (int i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = LVT_MASKED;
	l->lvt[LVT_LINT0] = APIC_EXTINT << 8;
	l->lvt[LVT_LINT1] = APIC_NMI << 8;
	l->start = l->tsc_deadline = 0;
	l->deadline = NO_DEADLINE;
	l->lint0 = false;
	arm(l);
	lapic_set_base(l, LAPIC_BASE | LAPIC_BASE_ENABLE | 0x100);
}

void lapic_init(struct lapic *l)
{
	u64 base = l->base;
	bool lint0 = l->lint0;
	u8 id = l->id;

	lapic_reset(l);
	l->id = id;
	l->lint0 = lint0;
	lapic_set_base(l, base);
}

#define WORDS(X) X(ldr) X(dfr) X(svr) X(esr) X(errors) X(icr) X(icr2) X(initial) X(divide)

static void lapic_save(void *opaque, struct state *s)
{
	struct lapic *l = opaque;

	state_put_u64(s, l->base);
	state_put_u8(s, l->lint0);
	state_put_u8(s, l->id);
	state_put_u8(s, l->tpr);
#define X(f) state_put_u32(s, l->f);
	WORDS(X)
#undef X
	for (int i = 0; i < 8; i++) {
		state_put_u32(s, l->isr[i]);
		state_put_u32(s, l->tmr[i]);
		state_put_u32(s, l->irr[i]);
	}
	for (int i = 0; i < LVT_COUNT; i++)
		state_put_u32(s, l->lvt[i]);
	state_put_u64(s, l->start);
	state_put_u64(s, l->deadline);
	state_put_u64(s, l->tsc_deadline);
}

static void lapic_load(void *opaque, struct state *s)
{
	struct lapic *l = opaque, n = *l;

	n.base = state_get_u64_max(s, LAPIC_BASE_WRITABLE | 0x100);
	n.lint0 = state_get_bool(s);
	n.id = state_get_u8(s);
	n.tpr = state_get_u8(s);
#define X(f) n.f = state_get_u32(s);
	WORDS(X)
#undef X
	for (int i = 0; i < 8; i++) {
		n.isr[i] = state_get_u32(s);
		n.tmr[i] = state_get_u32(s);
		n.irr[i] = state_get_u32(s);
	}
	for (int i = 0; i < LVT_COUNT; i++) {
		n.lvt[i] = state_get_u32(s);
		if (n.lvt[i] & ~(lvt_writable[i] | LVT_MASKED | (i == LVT_LINT0 ? LVT_REMOTE : 0)))
			s->error = true;
	}
	n.start = state_get_u64_max(s, 1ull << 60);
	n.deadline = state_get_u64(s);
	n.tsc_deadline = state_get_u64(s);
	if ((n.svr & ~SVR_WRITABLE) || (n.icr & ~ICR_WRITABLE) || (n.divide & ~0xbu) || (n.ldr | n.icr2) & 0xffffffu ||
	    (n.base & 0x6ff & ~0x100ull) || (n.irr[0] | n.isr[0]) & 0xffff)
		s->error = true;
	if (s->error)
		return;
	l->base = n.base;
	l->lint0 = n.lint0;
	l->id = n.id;
	l->tpr = n.tpr;
#define X(f) l->f = n.f;
	WORDS(X)
#undef X
	for (int i = 0; i < 8; i++) {
		l->isr[i] = n.isr[i];
		l->tmr[i] = n.tmr[i];
		l->irr[i] = n.irr[i];
	}
	for (int i = 0; i < LVT_COUNT; i++)
		l->lvt[i] = n.lvt[i];
	l->start = n.start;
	l->deadline = n.deadline;
	l->tsc_deadline = n.tsc_deadline;
	arm(l);
	lapic_set_base(l, l->base);
}

static void lapic_free(void *opaque)
{
	struct lapic *l = opaque;

	timer_del(&l->timer);
	free(l);
}

struct lapic *lapic_create(struct vm *vm, struct irq intr_out, struct irq nmi_out)
{
	struct lapic *l = calloc(1, sizeof(*l));

	if (!l)
		fatal("out of memory");
	l->vm = vm;
	l->intr_out = intr_out;
	l->nmi_out = nmi_out;
	l->timer_hz = cpu_apic_timer_hz(&vm->opt, vm->clock.tsc_hz);
	timer_init(&l->timer, vm, fire, l);
	l->region = mmio_register(&vm->mem, &(struct mmio_range){LAPIC_BASE, PAGE_SIZE, lapic_read, lapic_write, l});
	trace_mmio(vm, l->region, REGS_LAPIC);
	lapic_reset(l);
	device_register(vm, &(struct device){"lapic", 1, l, lapic_reset, lapic_save, lapic_load, lapic_free});
	return l;
}
