/*
 * Crash reports: one page about the guest and the monitor, written to a file when the monitor meets its own bug, or cannot go on with a
 * guest that runs.
 *
 * Everything here but crash_init and crash_machine may be called by any thread, in a signal handler too: no lock, no memory, no stdio.
 */
#ifndef RINGER_CRASH_H
#define RINGER_CRASH_H

#include <signal.h>
#include <stdarg.h>

#include "monitor/types.h"

struct vm;
struct vcpu;

/* At the start of main: remembers the command line, which is the caller's and stays, and catches signals that only a bug raises. */
void crash_init(int argc, char **argv);
/* The machine that is reported on, and the -crash-report option ("none", a file, or NULL: the default); NULL vm: there is none (any more).
 */
void crash_machine(struct vm *vm, const char *file);

/*
 * Writes the report, once in the life of the process: why, and if a signal was the cause its context and the interrupted thread's vCPU (or
 * NULL). Restores the terminal first. Returns the file's name, or NULL if none was written. A fault on the way ends the process with
 * EXIT_BUG; another thread that calls meanwhile does not return.
 */
const char *crash_report(const char *why, const struct vcpu *self, const siginfo_t *info, const void *context);
/* Reports a signal and ends the process with EXIT_BUG, the file's name in the last line on stderr. */
_Noreturn void crash_signal(int sig, const struct vcpu *self, const siginfo_t *info, const void *context);
/* The last line on stderr, if there is a file. */
void crash_name(const char *file);

/*
 * snprintf's little sister: %c %s %d %u %x %%, with a width, '0' or '-' in front of it, a precision for %s only, and 'l' for 64 bits.
 * Anything else is copied as it stands. Returns the length that was written, at most size - 1; a zero byte follows it. size > 0.
 */
size_t crash_format(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
size_t crash_vformat(char *buf, size_t size, const char *fmt, va_list ap);

#endif
