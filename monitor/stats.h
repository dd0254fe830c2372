/* Counters, from one X-macro: X(name, "what it counts"). Printed by -d stats at exit and on SIGUSR1. Owned by the vCPU thread. */
#ifndef RINGER_STATS_H
#define RINGER_STATS_H

#include <stdio.h>

#include "monitor/types.h"

/* clang-format off */
#define STATS(X)                                                          \
	X(tus_made, "translation units made")                             \
	X(tus_dropped, "translation units dropped")                       \
	X(insns_translated, "guest instructions translated")              \
	X(insns_decoded, "of them, decoded anew")                         \
	X(guest_bytes, "guest code bytes translated")                     \
	X(host_bytes_hot, "host code bytes emitted, hot part")            \
	X(host_bytes_cold, "host code bytes emitted, cold stubs")         \
	X(translate_ns, "nanoseconds of processor time spent translating, by one TU of sixteen") \
	X(tc_flushes, "whole-cache evictions")                            \
	X(dispatches, "entries into the translation cache")               \
	X(crossings, "of those, made by callouts themselves")              \
	X(chains, "direct exits chained")                                 \
	X(joins, "of them, into the middle of a TU")                      \
	X(diversions, "direct exits to instructions that straddle pages, sent through the jump cache") \
	X(links, "of those, to other pages")                              \
	X(links_cut, "links to other pages cut, for the TLB was flushed") \
	X(jc_transfers, "transfers by jump cache (counted under -d stats)") \
	X(jc_fills, "jump-cache fills")                                   \
	X(jc_flushes, "jump-cache flushes")                               \
	X(jc_kept, "jump caches of address spaces used again behind MOV CR3") \
	X(lookups, "TU index look-ups")                                   \
	X(tlb_fills, "software-TLB fills")                                \
	X(tlb_flush_all, "software-TLB flushes, globals included")        \
	X(tlb_flush_nonglobal, "software-TLB flushes, non-global entries") \
	X(tlb_invlpg, "single-page invalidations")                        \
	X(slow_reads, "memory reads by bounce buffer")                    \
	X(slow_writes, "memory writes by bounce buffer")                  \
	X(windows_made, "windows created")                                \
	X(windows_early, "of them, for the code that a program brought")  \
	X(windows_demoted, "windows given up: they did not pay") \
	X(windows_evicted, "windows dropped to make room")                \
	X(window_fills, "hidden faults that filled a window")             \
	X(window_pages, "pages mapped by them")                           \
	X(window_mappings, "host mappings made by them")                  \
	X(window_upgrades, "runs of pages made writable where they were mapped") \
	X(window_zaps, "ranges unmapped from windows")                    \
	X(window_rebinds, "regions of the kernel window that went over to another page table") \
	X(regions_avoided, "regions left out of the kernel window: address spaces differ there") \
	X(window_resets, "windows emptied as a whole")                    \
	X(entries_marked, "page-table entries in which a walk set A or D") \
	X(table_writes, "writes to page tables that windows depend on")   \
	X(guilty, "instructions found guilty")                            \
	X(acquitted, "of those, direct again after a time")               \
	X(true_faults, "guest page faults")                               \
	X(smc_writes, "writes to pages that hold translated code")        \
	X(smc_drops, "code writes that dropped a TU")                     \
	X(callouts, "emulated instructions")                              \
	X(string_callouts, "string instructions by callout")              \
	X(exceptions, "exceptions delivered")                             \
	X(interrupts, "external interrupts delivered")                    \
	X(tsc_lines, "times that the TSC was set by the clock; in between RDTSC needs no callout") \
	X(cr3_loads, "CR3 loads")                                         \
	X(ring_crossings, "changes between guest user and kernel")        \
	X(signals, "host signals taken in translated code")               \
	X(event_faults, "safepoints taken: an event came from another thread") \
	X(event_exits, "callouts that left for an event which they raised") \
	X(halts, "HLT instructions that slept")                           \
	X(single_steps, "single-instruction TUs run")
/* clang-format on */

#define STATS_CALLOUT_KINDS 112

struct stats {
	u64 callout[STATS_CALLOUT_KINDS]; /* by enum emu_kind */
#define X(n, h) u64 n;
	STATS(X)
#undef X
};

void stats_print(const struct stats *s, FILE *f);

#endif
