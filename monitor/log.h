/*
 * Diagnostics: `-d CATEGORIES -D FILE` as in QEMU, and the one-line errors that end the program.
 * Any thread may log; a line is written whole.
 */
#ifndef RINGER_LOG_H
#define RINGER_LOG_H

#include <stdio.h>

#include "monitor/types.h"

/* X(NAME, "option", "what it prints") */
/* clang-format off */
#define LOG_CATEGORIES(X)                                                         \
	X(IN_ASM, "in_asm", "guest code of each translation unit made")           \
	X(OUT_ASM, "out_asm", "host code of each translation unit made")          \
	X(EXEC, "exec", "each translation unit entered from the dispatcher")      \
	X(INT, "int", "interrupts and exceptions delivered")                      \
	X(CPU_RESET, "cpu_reset", "vCPU state at every reset")                    \
	X(GUEST_ERRORS, "guest_errors", "things a correct guest does not do")     \
	X(UNIMP, "unimp", "what the guest used and Ringer does not support")      \
	X(MMU, "mmu", "page walks that fault, TLB flushes")                       \
	X(PAGE, "page", "code pages: traces, invalidations")                      \
	X(IO, "io", "accesses to ports and memory that no device answers")        \
	X(STATS, "stats", "counters at exit and on SIGUSR1")                      \
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
FILE *log_file(void);
/* Parses "a,b,c"; on a bad name returns false and sets *bad to it (points into static storage). "help" is the caller's to handle. */
bool log_parse(const char *list, u32 *mask, const char **bad);
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
