/*
 * Diagnostics: `-d CATEGORIES -D FILE` as in QEMU, and the one-line errors that end the program.
 * Any thread may log; a line is written whole.
 */
#ifndef RINGER_LOG_H
#define RINGER_LOG_H

#include <stdarg.h>
#include <stdio.h>

#include "monitor/types.h"

/* X(NAME, "option", "what it prints") */
/* clang-format off */
#define LOG_CATEGORIES(X)                                                                       \
	X(IN_ASM, "in_asm", "guest code of each translation unit (TU) made")                    \
	X(OUT_ASM, "out_asm", "its host code; with in_asm side by side, with remarks")          \
	X(EXEC, "exec", "each TU entered from the dispatcher: all of them only with nochain")   \
	X(CPU, "cpu", "registers at each TU entered from the dispatcher")                       \
	X(INT, "int", "interrupts and exceptions, with the state before and after")             \
	X(CPU_RESET, "cpu_reset", "vCPU state at every reset")                                  \
	X(GUEST_ERRORS, "guest_errors", "things a correct guest does not do")                   \
	X(UNIMP, "unimp", "what the guest used and Ringer does not support")                    \
	X(MMU, "mmu", "CR3 loads, INVLPG, TLB flushes, page walks that fault")                  \
	X(PAGE, "page", "flat tables and windows: what is filled, zapped, made and dropped")    \
	X(SMC, "smc", "pages with translated code: writes to them and what they dropped")       \
	X(IO, "io", "accesses to ports and device memory")                                      \
	X(TRACE, "trace:DEVICE", "a device's accesses only; -d trace:help lists the devices")   \
	X(NOCHAIN, "nochain", "every TU returns to the dispatcher, so that exec and cpu see it") \
	X(STATS, "stats", "counters at exit and on SIGUSR1")                                    \
	X(PROFILE, "profile", "at exit and on SIGUSR1: where guest time went, by samples")      \
	X(INSN, "insn", "at exit: forms of guest instructions that were executed")
/* clang-format on */

enum log_category {
#define X(n, o, h) LOG_##n##_BIT,
	LOG_CATEGORIES(X)
#undef X
		LOG_CATEGORY_COUNT
};
enum {
#define X(n, o, h) LOG_##n = 1u << LOG_##n##_BIT,
	LOG_CATEGORIES(X)
#undef X
};

/* Enabled categories; written at start-up and by the console's `log` on the vCPU's thread, read by every thread. */
extern u32 log_mask;
#define log_on(cat) unlikely(log_mask &(cat))
#define log_to(cat, ...)                                                                                                                   \
	do {                                                                                                                               \
		if (log_on(cat))                                                                                                           \
			log_print(__VA_ARGS__);                                                                                            \
	} while (0)

void log_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_vprint(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
FILE *log_file(void);
/*
 * Parses "a,b,c"; on a bad name returns false and sets *bad to it (points into static storage). "help" is the caller's to handle. Of
 * trace:DEVICE the mask has LOG_TRACE; which devices is for log_parse_traces to tell, of a list that log_parse has taken.
 */
bool log_parse(const char *list, u32 *mask, const char **bad);
u64 log_parse_traces(const char *list);
/* -dfilter: addresses that in_asm, out_asm, exec and cpu are wanted of; none: of all. Linear, both ends included. */
struct log_range {
	u32 first, last;
};
/* Parses QEMU's A..B, A+L and A-L (the L bytes up to A). False on anything else, an empty range or one that leaves 32 bits. */
bool log_parse_range(const char *s, struct log_range *r);
static inline bool log_in_ranges(const struct log_range *r, unsigned n, u32 linear)
{
	for (unsigned i = 0; i < n; i++)
		if (linear >= r[i].first && linear <= r[i].last)
			return true;
	return !n;
}
/* Opens the -D file, or another one in its place; false with errno set. At start-up, or vCPU thread between two instructions, with
 * vm->lock. */
bool log_open(const char *path);

/* "ringer: ..." on stderr, terminal restored, exit status 1. Any thread. */
_Noreturn void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same for what can only be a mistake of the monitor's own; exit status EXIT_BUG. */
#define EXIT_BUG 70
_Noreturn void fatal_bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "ringer: ..." on stderr, for what ends the machine in an orderly way. */
void report(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* "ringer: warning: ..." on stderr. */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
