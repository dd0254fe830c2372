/*
 * A virtual CPU: all architectural state, and the little that translated code keeps beside it.
 *
 * Where guest state lives. While translated code runs, EAX ECX EDX EBX EBP ESI EDI are in the host registers of the same name, ESP in r15d,
 * the arithmetic flags and DF in host RFLAGS, x87/MMX/SSE state in the host's. Everything else is here. While C runs (after a callout or in
 * the dispatcher) everything but the FPU is here; the FPU stays in the host's registers until fpu_save() is called. Invariant: C on the
 * vCPU thread that may use SSE or x87 (libc, libraries, devices, translator) runs only after fpu_park(v) or fpu_save(v). Files that run
 * between (listed in the Makefile as HOT) are built with -mgeneral-regs-only.
 */
#ifndef RINGER_VCPU_H
#define RINGER_VCPU_H

#include <pthread.h>
#include <stdatomic.h>

#include "monitor/stats.h"
#include "monitor/trail.h"
#include "monitor/tsc.h"
#include "monitor/types.h"
#include "monitor/x86.h"
#include "shadowpt/parole.h"

struct vm;
struct tc;
struct tu_exit;
struct softmmu;
struct xlate;
struct verifier;
struct window;
struct windows;
struct state;
struct lockstep;
struct debug;
struct perf;
struct profile;

struct segment {
	u32 base;
	u32 limit; /* in bytes, already scaled by G; offset <= limit is inside (expand-up) */
	u32 attr;  /* x86.h: SEG_* */
	u32 sel;   /* 16 bits */
	/* Non-zero when every offset may be read / written without a check: present, right type, expand-up, limit 4 GiB. SEG_FULL_FLAT:
	 * and the base is 0. Kept by segment_set(). */
	u32 full_read, full_write;
	u32 low_read, low_write; /* the same for the offsets up to FFFFh only, 1 or 0: what 16-bit code wants */
	u64 raw;		 /* the descriptor that was loaded, accessed bit set; 0: loaded in another way */
};

#define SEG_FULL_FLAT 2u

struct table_register {
	u32 base;
	u32 limit; /* 16 bits */
};

/* Asynchronous events, set by any thread, consumed by the vCPU. */
enum {
	EV_INTR = 1u << 0,  /* the PIC's INTR line is high */
	EV_NMI = 1u << 1,   /* latched */
	EV_RESET = 1u << 2, /* system reset asked for */
	EV_STOP = 1u << 3,  /* the machine ends, or stops */
	EV_STATS = 1u << 4, /* print statistics (SIGUSR1) */
	EV_TLB = 1u << 5,   /* physical addresses mean something else now (A20) */
	EV_MAP = 1u << 6,   /* and other memory lies behind them: translations are void */
	EV_WORK = 1u << 7,  /* vcpu_post */
	EV_PAUSE = 1u << 8, /* wait: runstate.h */
};

/*
 * Something that a device wants done on the vCPU's thread: what touches guest memory (DMA) or the memory map is nobody else's business, for
 * translations depend on both. The owner keeps it, in place, until fn has been called; it may be posted again from then on.
 */
struct vcpu_work {
	void (*fn)(void *opaque);
	void *opaque;
	struct vcpu_work *next;
	bool queued;
};

/* CPUID model, see cpuid.h. */
struct cpu_model;

struct vcpu {
	/* --- read and written by translated code; offsets go into emitted instructions --- */
	u32 regs[8];	    /* EAX..EDI in ModRM order */
	u32 eip;	    /* start of the current instruction while a callout runs; of the next while in the dispatcher */
	u32 next_eip;	    /* during an emulated instruction: the EIP behind it */
	u64 hflags;	    /* EFLAGS_HOST bits (arithmetic flags and DF); other bits are garbage to be masked */
	u32 sysflags;	    /* all other EFLAGS: IF IOPL NT RF VM AC TF ID..., without bit 1 */
	_Atomic u32 events; /* EV_* */
	_Atomic(u32 *) jc;  /* entries of the current jump cache, or of the all-miss one after a kick */
	u64 *table;	    /* current checked-flavour table (see shadowpt/softmmu.h) */
	u64 host_rsp;	    /* RSP at vcpu_enter, for unwinding out of translated code */
	u32 mask_no_if;	    /* ~EFLAGS_IF, EFLAGS_HOST, 31, 15: for flag-free masking by PEXT and PDEP in translated code */
	u32 mask_host;
	u32 mask31, mask15;
	u32 step;	 /* while translated code runs: 1, or -1 if DF is set; what a string element moves ESI and EDI by, in elements */
	u64 window_base; /* host address of the window in use */
	struct tsc_line tsc_line;
	struct segment seg[SEG_COUNT];
	u64 link;	       /* where thunk_link goes (cache/link.c) */
	struct tu_exit *exits; /* those of the TC */

	/* --- architectural, read by translated code rarely or never --- */
	u32 cpl;
	u32 cr0, cr2, cr3, cr4;
	u64 pdpte[4]; /* PAE page-directory-pointer registers, SDM Vol. 3A 4.4.1 */
	u32 dr[8];    /* DR4/DR5 unused; DR6 and DR7 in their places */
	struct table_register gdtr, idtr;
	u64 efer, pat, apic_base, misc_enable, tsc_aux;
	u32 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
	u64 mcg_status;
	u64 msr_store[16]; /* MSRs that only remember what was written; msr.c's, all of it is saved */
	/* Last x87 instruction and operand, for the environment images: the host's own are host addresses, which the guest must not see. */
	u32 fpu_ip, fpu_dp;
	u16 fpu_cs, fpu_ds, fpu_op;

	/* Inhibits interrupts (and for MOV SS also debug traps) until the next instruction has completed, SDM Vol. 3A 6.8.3. */
	enum { SHADOW_NONE, SHADOW_STI, SHADOW_MOV_SS } shadow;
	bool nmi_blocked; /* from NMI delivery to IRET */
	bool halted;	  /* in HLT */
	bool ignne;	  /* IGNNE#: see devices/ferr.c */
	bool shutdown;	  /* after a triple fault, until reset */

	/* The exception that raise_* threw; the dispatcher delivers it. */
	struct {
		int vector; /* -1: none */
		bool has_error;
		u32 error_code;
	} pending;
	u32 pending_db; /* DR6 bits of debug traps due after the current instruction */

	/* --- the monitor's --- */
	struct vm *vm;
	struct softmmu *mmu;
	struct xlate *xlate;
	u8 *marks;		   /* of executed instruction forms, or NULL: nobody wants them (translator/coverage.h) */
	struct verifier *verifier; /* NULL: TUs run unchecked */
	struct perf *perf;	   /* NULL: perf is not told of TUs (monitor/perf.h) */
	struct profile *profile;   /* NULL: none has been started (monitor/profile.h) */
	int tid;		   /* of the vCPU's thread, once it runs */
	struct windows *windows;
	struct window *window;	    /* in use, or NULL: code runs checked */
	struct window *user_window; /* of the current address space, or NULL */
	struct tc *tc;
	struct lockstep *lockstep; /* NULL: off */
	struct debug *debug;	   /* the debugger's, NULL: there is none */
	u64 insns;		   /* instructions begun; counted by translated code, under lockstep only */
	const struct cpu_model *model;
	struct tsc tsc;
	u64 features;	 /* of the model, after +f,-f: CPUF_* of cpuid.h */
	void *unwind[5]; /* __builtin_setjmp buffer of the dispatcher */
	/* Delivery in progress, for double faults: its vector, or -1. */
	int delivering;
	/* Inputs of the next dispatch. */
	bool single_once;  /* run one instruction in a TU of its own: it writes to its own TU */
	bool no_step_trap; /* the instruction was a software interrupt: no single-step trap behind it */
	u32 retry_flags;   /* RF and shadow that the single instruction under way was given, should it be tried again */
	u32 retry_shadow;
	bool missed;	/* the last TU left because its jump cache did not know v->eip */
	u32 event_mask; /* events that could be acted upon now */
	u32 mode;	/* TU mode of the code that runs (translator/mode.h) */
	pthread_t thread;
	pthread_mutex_t kick_lock;
	pthread_cond_t halt_cond;		 /* with kick_lock: wakes a halted vCPU */
	struct vcpu_work *work, **work_end;	 /* kick_lock */
	bool others_fence;			 /* vcpu_set_event has the vCPU's stores drained (membarrier): it need not do so itself */
	u32 unpauses;				 /* kick_lock: calls of vcpu_unpause */
	u16 fpu_hidden;				 /* FCW whose unmasked exceptions are masked for one instruction, or 0 */
	bool fpu_loaded;			 /* guest FPU state is in the host's registers (true) or in fx (false) */
	bool x87_loaded;			 /* if not fpu_loaded: but its x87 and MMX part is still in the host's */
	u8 fx[512] __attribute__((aligned(64))); /* FXSAVE64 image */
	struct stats stats;
	struct parole parole;
	struct trail trail;
};

/* ---- any thread ---- */

/* Sets or clears events and makes the vCPU notice at its next safepoint or wakes it from HLT. Async-signal-safe: no (takes kick_lock). */
void vcpu_set_event(struct vcpu *v, u32 bits);
void vcpu_clear_event(struct vcpu *v, u32 bits);
/* Clears EV_PAUSE, and wakes the thread that waits for that. */
void vcpu_unpause(struct vcpu *v);

/* Has w->fn called on the vCPU's thread, with vm->lock held, before its next instruction at a safepoint, also in HLT. No-op if w is queued.
 */
void vcpu_post(struct vcpu *v, struct vcpu_work *w);

/* ---- life cycle: before and after the vCPU's thread runs ---- */
struct vcpu *vcpu_create(struct vm *vm);
void vcpu_free(struct vcpu *v);

/* ---- vCPU thread only ---- */

/* Calls what vcpu_post has queued. vm->lock held; the FPU parked. */
void vcpu_do_work(struct vcpu *v);
/* Runs until the machine ends. */
void vcpu_run(struct vcpu *v);
/* Architectural reset state, SDM Vol. 3A table 9-1; then the loader's entry state is applied by the caller. */
void vcpu_reset(struct vcpu *v);
/*
 * INIT, the same table's last column: as a reset, but x87, MMX and SSE state, the MSRs (TSC, MTRRs, PAT, SYSENTER, APIC base) and CR0's CD
 * and NW stay as they are.
 */
void vcpu_init(struct vcpu *v);
/* Saves the guest's FPU state into v->fx and gives the host its own control words back; no-op when it is there already. */
void fpu_save(struct vcpu *v);
/*
 * The same for C that is to run with SSE but not with the x87, as all of it but long double does: a tenth of the cost. The guest's x87
 * state stays in the host's registers, v->fx is not whole until fpu_save.
 */
void fpu_park(struct vcpu *v);

/* The whole EFLAGS image with bit 1 set; and its inverse (takes every bit as given: callers mask by privilege). */
static inline u32 vcpu_eflags(const struct vcpu *v)
{
	return ((u32)v->hflags & EFLAGS_HOST) | v->sysflags | EFLAGS_FIXED;
}
static inline void vcpu_set_eflags(struct vcpu *v, u32 f)
{
	v->hflags = f & EFLAGS_HOST;
	v->sysflags = f & (EFLAGS_TF | EFLAGS_IF | EFLAGS_IOPL | EFLAGS_NT | EFLAGS_RF | EFLAGS_VM | EFLAGS_AC | EFLAGS_VIF | EFLAGS_VIP |
			   EFLAGS_ID);
}
static inline u32 vcpu_iopl(const struct vcpu *v)
{
	return (v->sysflags & EFLAGS_IOPL) >> EFLAGS_IOPL_SHIFT;
}

/* Save and load of everything architectural; explicit, versioned. The machine is stopped. */
void vcpu_save(struct vcpu *v, struct state *s);
void vcpu_load(struct vcpu *v, struct state *s);

/* ---- guest-linear memory, shadowpt/access.c; raise #PF (or #AC, #DB later) before anything is changed ---- */
enum {
	ACC_READ = 0,
	ACC_WRITE = 1,
	ACC_EXEC = 2,
	ACC_USER = 4, /* check as CPL 3; without it as supervisor, whatever the CPL: descriptor tables, TSS, inner stacks */
};
/* ACC_USER if the CPU is at CPL 3: for the explicit accesses of an instruction. */
static inline int acc_cpl(const struct vcpu *v)
{
	return v->cpl == 3 ? ACC_USER : 0;
}
/* size 1, 2, 4 or 8; may cross pages; wraps at 4 GiB. acc: ACC_USER or 0. */
u64 lin_read(struct vcpu *v, u32 linear, unsigned size, int acc);
void lin_write(struct vcpu *v, u32 linear, u64 value, unsigned size, int acc);
/* Any length up to 4096 bytes; lin_write_buf checks the whole range before it writes. */
void lin_read_buf(struct vcpu *v, u32 linear, void *buf, unsigned n, int acc);
void lin_write_buf(struct vcpu *v, u32 linear, const void *buf, unsigned n, int acc);
/* Only the checks (and A/D updates) of such an access: raises or returns. acc may hold ACC_WRITE. */
void lin_probe(struct vcpu *v, u32 linear, unsigned n, int acc);
/* Address-space changes, called by MOV CR0/CR3/CR4, WRMSR EFER, INVLPG. */
void mmu_flush_all(struct vcpu *v);	  /* everything, globals too: CR0.PG/WP, CR4.PGE/PAE/PSE, EFER.NXE */
void mmu_flush_nonglobal(struct vcpu *v); /* MOV CR3 */
void mmu_invlpg(struct vcpu *v, u32 linear);

/* ---- segments, monitor/segment.c ---- */

/* Sets a register's visible and hidden parts, keeps full_read/full_write. No checks. */
void segment_set(struct vcpu *v, int n, u32 sel, u32 base, u32 limit, u32 attr);
/* Linear address of seg:off for an access of n bytes (acc: ACC_WRITE or 0), after limit and type checks; raises #GP(0), #SS(0). off + n may
 * wrap. */
u32 seg_linear(struct vcpu *v, int n, u32 off, unsigned size, int acc);
/* Checks, then accesses at the current CPL. */
static inline u64 seg_read(struct vcpu *v, int seg, u32 off, unsigned size)
{
	return lin_read(v, seg_linear(v, seg, off, size, ACC_READ), size, acc_cpl(v));
}
static inline void seg_write(struct vcpu *v, int seg, u32 off, u64 value, unsigned size)
{
	lin_write(v, seg_linear(v, seg, off, size, ACC_WRITE), value, size, acc_cpl(v));
}

#endif
