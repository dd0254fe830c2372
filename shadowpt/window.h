/*
 * The direct memory flavour: windows, shadow page tables made of host mappings.
 *
 * There is one for the supervisor, and one for the user code of each address space that is hot. A window is 4 GiB of host address space, 4
 * GiB-aligned, between two guards. Window + linear address holds a host mapping of the guest-RAM page that the guest's tables map there,
 * with the rights that they give; everything else in it is inaccessible. GS base = window while code of that privilege and address space
 * runs translated in the direct flavour; a memory operand is `65 67 op [ea]`, or `65 op [ea]` (WINDOW_REACH): it cannot leave the window
 * and its guards.
 *
 * Invariants
 *  - A user's window holds only pages with U = 1, the supervisor's only those with U = 0: its accesses to user pages are guilty. A page is
 * mapped writable only if the guest's tables allow it, D is set, and the page holds neither translated code nor page tables that a window
 * depends on.
 *  - Every page-directory and page-table page that a mapping was derived from is traced (page_desc.traces): writes to it reach
 * window_table_write, which zaps or queues what depended on the changed entry. Queued zaps are done at INVLPG, CR3 loads and flushes, and
 * before user code runs again.
 *  - The number of host mappings stays below a budget derived from vm.max_map_count; windows are evicted whole, least recently used first.
 */
#ifndef RINGER_WINDOW_H
#define RINGER_WINDOW_H

#include "monitor/vcpu.h"

struct page_desc;

/*
 * A register of 32 bits and a displacement that is not farther from 0 than this lie in a window or in its guards, whatever is accessed
 * there: then `65` alone will do, and an access that would have wrapped faults.
 */
#define WINDOW_REACH 0xf000

/* Returns 0 or -errno. Without a flavour that needs windows, makes none. */
int windows_init(struct vcpu *v);
void windows_free(struct vcpu *v);
/* The TLB is flushed as a whole; empties all windows if paging has changed as a whole. */
void windows_flush(struct vcpu *v);
/* Empties all windows. */
void windows_drop(struct vcpu *v);
/* A page has been invalidated: queued zaps of the supervisor's window are done. */
void window_sync(struct vcpu *v);
/* CR3 has been loaded: the same, and v->user_window is set. */
void window_switch(struct vcpu *v);
/* Code was interrupted: a user's address space grows hot, and gets a window. Or at once with flavour=direct. */
void window_tick(struct vcpu *v);
/* The CPU is about to sleep in HLT. */
void window_sleep(struct vcpu *v);
/*
 * So many instructions of the current code have been translated. A program that brings much new code gets its window early, for what is
 * translated checked before has to be translated again behind it. FPU parked.
 */
void window_translated(struct vcpu *v, u32 insns);
/*
 * Before code runs at v->cpl: sets v->window, does a user's queued zaps, loads the GS base. False if there is no window: run checked.
 */
bool window_enter(struct vcpu *v);

enum window_fault { WINDOW_FILLED, WINDOW_TRUE_FAULT, WINDOW_GUILTY };
/*
 * A fault of translated code at `offset` in the current window: fills it, or says that the guest's tables forbid the access (*error: the
 * #PF error code), or that this access cannot be direct. Async-signal-safe: called in the SIGSEGV handler.
 */
enum window_fault window_fault(struct vcpu *v, u64 offset, bool write, u32 *error);
/* The current window has cost more than it earned: go through the dispatcher, which may take it away. */
bool window_is_broke(const struct vcpu *v);
/* Whether a host address lies in the current window or its guard. */
bool window_contains(const struct vcpu *v, u64 host);
/* Its offset in the current window. */
u64 window_offset(const struct vcpu *v, u64 host);
/* Instructions (by guest-physical address) that must not be direct. */
void window_convict(struct vcpu *v, u64 insn_pa);
/* It has taken a true fault; true if that makes it guilty: translated checked it raises #PF without a signal. */
bool window_blame(struct vcpu *v, u64 insn_pa);
/* It is not guilty any more. */
void window_acquit(struct vcpu *v, u64 insn_pa);
bool window_is_guilty(struct vcpu *v, u64 insn_pa);

/* n bytes within one page have been written at pa. */
void window_table_write(struct vcpu *v, u64 pa, u32 n);
/* A page must not be written directly any more. */
void window_protect_page(struct vcpu *v, struct page_desc *d);

#endif
