/*
 * The translation cache (TC): emitted code, and the translation units (TUs) made of it.
 *
 * The TC is one memfd (anonymous memory under -perfmap) mapped twice: read-write at tc->rw for the translator, read-execute at tc->rx,
 * below 2 GiB, so that every branch between TUs and to the monitor's thunks is rel32. TUs are allocated in increasing host address and only
 * ever freed all at once (tc_flush); a dropped TU is unlinked from every place through which it could be entered, its bytes stay until the
 * flush.
 *
 * Invariants
 *  - A TU is entered only (a) through a chained exit of a TU in the same mode, of the same page or its own, at its body or at a later
 * instruction that has a `join_off`, or (a link) of another page, as long as the TLB could still hold what the target's page was then, (b)
 * at its head through the jump cache of its mode with the target EIP in r8d, (c) from the dispatcher, at all three, (d) at its head from a
 * callout that ended another, with its EIP in r8d and the vCPU as the dispatcher would have it. If the jump caches are not flat the head
 * verifies r8d against the TU's EIP.
 *  - A TU that begins in one page and ends in the next (only its first instruction may do so) is never chained to: exits to it lead or are
 * diverted through the jump cache, which knows when either page is mapped anew.
 *  - tc_flush is called only when no translated code is on the way (from the dispatcher).
 * vCPU thread only.
 */
#ifndef RINGER_TC_H
#define RINGER_TC_H

#include "cache/jc.h"
#include "monitor/emulate.h"
#include "monitor/vcpu.h"

/* What one memory access of an instruction is: size in bytes, direction, segment. */
#define ACCESS_SIZE(a)	 ((a)&0x3ffu)
#define ACCESS_READ	 0x0400u
#define ACCESS_WRITE	 0x0800u
#define ACCESS_SEG(a)	 ((a) >> 12 & 7u)
#define ACCESS_SEG_SHIFT 12

/* With a size: nothing of the instruction is left to do behind the access. */
#define ACCESS_LAST 0x8000u
/* No access: STI, whose interrupt shadow is over the next instruction. */
#define ACCESS_STI 0x8000u
/* No access: a load of SS, likewise. */
#define ACCESS_MOV_SS 0x9000u

struct tu_insn {
	u16 host_off;  /* of its first host byte, from the TU's head */
	u16 cold_off;  /* of its first cold stub, or 0 */
	u16 guest_off; /* from the TU's EIP */
	u16 access[2];
	s16 esp_off; /* the guest's ESP is r15d + esp_off wherever the instruction can fault in its window */
	/* Where control may come in with r15d the guest's ESP and nothing in scratch registers, from the TU's head; 0: nowhere. */
	u16 join_off;
};

/* A direct exit. Unchained, its branch leads to a cold stub that leaves to the dispatcher with the exit's number. */
struct tu_exit {
	u32 target_eip;
	u32 site;      /* rx address of the branch's rel32 field */
	u32 stub;      /* where it leads when it is not chained */
	u32 poll;      /* rx address of the load from the jump cache in front of a backward branch, or 0 */
	u32 poll_eip;  /* where the guest goes on if that faults: the target, or the conditional branch itself */
	u32 tu;	       /* index of the owner */
	u32 target;    /* index + 1 of the TU it is chained to, or 0 */
	u32 next_in;   /* next exit (index + 1) chained to the same TU */
	u32 next_link; /* next one (index + 1) in the same bucket of links */
	u8 flags;      /* EXIT_* */
};

#define EXIT_CROSS  1u /* leads, or may lead, out of the page: chained, it is a link */
#define EXIT_LISTED 2u /* is in its bucket */
#define EXIT_LOCAL  4u /* a link that MOV CR3 cuts */

#define LINK_BUCKETS 1024
/* Links that one MOV CR3 may have to cut. */
#define LINK_LOG 4096

#define TU_SINGLE    1u
#define TU_DEAD	     2u
#define TU_STRADDLES 4u

struct tu {
	u64 pa;	 /* guest-physical address of the first byte */
	u64 pa2; /* of the first byte in the second page, for TU_STRADDLES */
	u32 eip;
	u32 mode;
	u32 hash_next;	  /* index + 1 */
	u32 page_next[2]; /* index + 1: next TU on the (first, second) page */
	u32 page[2];	  /* the pages of the linear view; what its addresses mean now may be others */
	u32 head;	  /* rx address: verifies r8d, then falls into the body; the body itself if jump caches are flat */
	u32 body;
	u32 cold; /* rx address of the first cold stub */
	u32 end;
	u32 insns;    /* index of the first tu_insn */
	u32 exits;    /* index of the first tu_exit */
	u32 incoming; /* exit index + 1: exits chained to this TU */
	u16 guest_len;
	u16 insn_count;
	u8 exit_count;
	u8 flags;
};

#define TC_HASH_SIZE 32768
/* The most that one TU can take; translation starts only with that much left. */
#define TU_MAX_HOST  32768
#define TU_MAX_INSNS 64
#define TU_MAX_EXITS 16

struct page_desc;
struct jump_cache;

struct tc {
	int fd;
	u8 *rw;
	u8 *rx;
	u64 size;
	u64 used;
	u32 hash[TC_HASH_SIZE];
	/* Arenas, reserved sparsely; counts reset by tc_flush. */
	struct tu *tus;
	u32 tu_count, tu_max;
	struct tu_insn *insns;
	u32 insn_count, insn_max;
	struct tu_exit *exits;
	u32 exit_count, exit_max;
	struct emu_insn *emus;
	u32 emu_count, emu_max;
	struct page_desc *pages;
	u32 page_count;
	struct jump_cache *jcs; /* JC_COUNT of them, those in use first */
	u64 jc_entries;		/* of each: 4 Gi, or 64 Ki if the host refuses that */
	u32 *jc_all_miss;
	u32 jc_clock; /* round-robin hand of jc_for_mode */
	struct jc_near jc_near[JC_NEAR];
	u64 jc_near_spaces; /* which of them are of one address space only */
	u32 jc_epoch;	    /* MOV CR3 counted */
	u64 jc_uses;	    /* looks of jc_for_mode that jc_near had no answer to */
	/* Links, by the page that they lead to (exit index + 1); those that MOV CR3 cuts; no MOV CR3 since the last interrupt. */
	u32 link_bucket[LINK_BUCKETS];
	u32 link_log[LINK_LOG];
	u32 link_log_count;
	bool link_quiet;
};

/* Creates the cache for v; size in bytes. 0 or -errno. */
int tc_init(struct vcpu *v, u64 size);
void tc_free(struct vcpu *v);
/* Drops everything. */
void tc_flush(struct vcpu *v);
/* Other memory lies behind some addresses: drops the TUs there. FPU parked. */
void tc_remap(struct vcpu *v);
/* Room for one more TU of the largest size; flushes if there is none. */
void tc_make_room(struct vcpu *v);

/* Jump caches are indexed by all of EIP. */
static inline bool tc_is_flat(const struct tc *tc)
{
	return tc->jc_entries >> 32;
}
static inline struct tu *tu_by_index(struct tc *tc, u32 index)
{
	return &tc->tus[index];
}
static inline struct tu_insn *tu_insn(struct tc *tc, const struct tu *tu, u32 n)
{
	return &tc->insns[tu->insns + n];
}
static inline u32 tu_index(const struct tc *tc, const struct tu *tu)
{
	return (u32)(tu - tc->tus);
}
/* The interrupt shadow that instruction n runs in if it follows on the one before it in the TU. */
static inline int tu_insn_shadow(struct tc *tc, const struct tu *tu, u32 n)
{
	u32 before = n ? tu_insn(tc, tu, n - 1)->access[0] : 0;

	return before == ACCESS_STI ? SHADOW_STI : before == ACCESS_MOV_SS ? SHADOW_MOV_SS : SHADOW_NONE;
}
/* The TU made from (pa, eip, mode), or NULL. */
struct tu *tu_lookup(struct tc *tc, u64 pa, u32 eip, u32 mode);
/* Enters a finished TU into the index and its pages. */
void tu_publish(struct vcpu *v, struct tu *tu);
/* Unlinks a TU from index, pages, jump caches and chains. */
void tu_drop(struct vcpu *v, struct tu *tu);
/* The rx address at which a TU can be entered to go on at eip: its body, or an instruction's join_off; 0 if there is none. */
u32 tu_entry(struct tc *tc, const struct tu *tu, u32 eip);
/* A TU that has (pa, eip, mode) within and can be entered there, or NULL; one that begins there is not looked for. */
struct tu *tu_holding(struct vcpu *v, u64 pa, u32 eip, u32 mode);
/* Points an exit at the place in a TU where its target is; `to` has it. And at its stub again. */
void tu_chain(struct vcpu *v, struct tu_exit *x, struct tu *to);
void tu_unchain(struct tc *tc, struct tu_exit *x);
/* Writes the rel32 at rx address `site`, through the writable view. */
void tu_point(struct tc *tc, u32 site, u32 to);
/*
 * link.c: chains an exit that leads out of its page, to a TU in a page whose translation is global or not. False if it is not the time for
 * that: then the exit goes through the jump cache until it is.
 */
bool link_make(struct vcpu *v, struct tu_exit *x, struct tu *to, bool global);
/* What the TLB is told to forget: what is not global, one linear page, everything. */
void link_cut_local(struct vcpu *v);
void link_cut_page(struct vcpu *v, u32 linear_page);
void link_cut_all(struct vcpu *v);
/* The exits are gone; and at the start. */
void link_reset(struct vcpu *v);
/* An interrupt was taken. */
void link_tick(struct vcpu *v);
/* What v->link is while links to pages that are not global are not made. */
u64 link_idle_thunk(const struct tc *tc);
/*
 * Has an exit go through the jump cache for good, by way of its stub: its target straddles, so it may not be chained to, and the dispatcher
 * would be asked every time.
 */
void tu_divert(struct vcpu *v, struct tu_exit *x);
/* The thunk that the stub of a diverted exit ends in. */
u64 tu_jump_thunk(const struct tc *tc);
/* Whether a host PC is in one of those thunks. */
bool tc_is_jumping(u64 pc);
/* The TU whose host code holds rx address pc, or NULL; and the number of the instruction there. */
struct tu *tu_by_host(struct tc *tc, u64 pc);
u32 tu_insn_by_host(struct tc *tc, const struct tu *tu, u64 pc);
bool tc_contains(const struct tc *tc, u64 pc);

/* Unwinds from C called by translated code to the dispatcher; v->eip says where to go on. */
_Noreturn void tc_unwind(struct vcpu *v);

/* The thunks, cache/thunks.S: reached from translated code by call or jmp rel32. */
void thunk_exit_jc(void);    /* jmp: r8d = EIP that the jump cache missed */
void thunk_exit_chain(void); /* jmp: r9d = exit index + 1 */
void thunk_jump(void);	     /* jmp: r8d = EIP, through the jump cache; from stubs of diverted exits only */
void thunk_jump_hashed(void);
void thunk_jump_exit(void); /* jmp: r9d = exit index + 1, through the jump cache */
void thunk_jump_exit_hashed(void);
void thunk_jump_end(void);  /* behind the four; thunk_jump_exit is the first */
void thunk_link(void);	    /* jmp: r9d = exit index + 1, to where v->link says; from stubs of links only */
void thunk_head_miss(void); /* jmp: r8d = EIP, r10 = guest ECX */
void thunk_miss0(void);	    /* call: r8 = linear, r9d = meta; r9 = delta */
void thunk_miss1(void);
void thunk_miss_write0(void); /* the same; returns 5 bytes further when the access is bounced */
void thunk_miss_write1(void);
void thunk_commit0(void); /* call */
void thunk_commit1(void);
void thunk_seg0(void); /* call: r8d = offset, r9d = meta; r8d = linear */
void thunk_seg1(void);
void thunk_callout(void);  /* call: r9d = meta, r8d = index of the emu_insn; may go on in another TU */
void thunk_sti_exit(void); /* jmp: r8d = EIP behind STI, with an event pending */
/*
 * Runs translated code at `host` with r8d = v->eip until it leaves. Returns 0 if a jump cache did not know v->eip, ENTER_CALLOUT if an
 * emulated instruction left with v->eip set, else the index + 1 of an exit that asks to be chained.
 */
#define ENTER_CALLOUT 0xffffffffu
u32 vcpu_enter(struct vcpu *v, u64 host);

#endif
