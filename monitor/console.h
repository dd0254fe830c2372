/*
 * The console (QEMU calls it the human monitor): commands about the machine, in QEMU's words. A line comes from a terminal or a socket
 * (console_line.c), or from whoever calls console_command, as the debugger's stub does for its own `monitor` command.
 *
 * Commands are struct console_cmd: built-in ones in tables by subject (console_*.c), others by console_register. One that looks at the
 * guest's CPU or memory is carried out on the vCPU's thread between two instructions, so what it prints belongs together. Nothing that a
 * command reads changes the guest: no A or D bit, no fault, no device register (but `i` and `o`, which are for that).
 */
#ifndef RINGER_CONSOLE_H
#define RINGER_CONSOLE_H

#include "monitor/types.h"

struct vm;
struct console_call;

enum {
	/* fn is called on the vCPU's thread, between two instructions, FPU saved; else on the I/O thread. vm->lock is held in either case.
	 */
	CONSOLE_ON_VCPU = 1,
};

struct console_cmd {
	const char *name; /* "system_reset", "cont|c"; those of `info` are "info version" */
	const char *args; /* for help: "FILE [-f FORMAT]"; "" if there are none */
	const char *help; /* one line */
	unsigned flags;	  /* CONSOLE_* */
	void (*fn)(struct console_call *c);
	const struct console_cmd *next; /* console_register's */
};

/*
 * Carries out one line. What it prints, errors too, goes to out in pieces, each of whole lines, before this returns. I/O thread, lock held;
 * the lock may be released and taken again in between.
 */
void console_command(struct vm *vm, const char *line, void (*out)(void *opaque, const char *text), void *opaque);
/* Adds a command of somebody else's, or replaces a built-in one of that name; the caller keeps it. Start-up, or I/O thread with the lock.
 */
void console_register(struct vm *vm, struct console_cmd *cmd);

/* ---- for commands: what is left of the line, and what is printed ---- */

struct vm *console_vm(struct console_call *c);
void console_printf(struct console_call *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * Each takes the next argument off the line, or prints one line that says what is wrong (`what` names the argument) and returns false; then
 * the command is over. A word may be in "double quotes", where \" and \\ and \n are one character. `console_more` tells whether there is
 * another argument; `console_end` complains if there is.
 */
bool console_word(struct console_call *c, const char *what, char *buf, size_t size);
bool console_number(struct console_call *c, const char *what, s64 *value); /* an expression; registers only under CONSOLE_ON_VCPU */
bool console_more(struct console_call *c);
bool console_end(struct console_call *c);

/* ---- main.c ---- */

/* Opens the terminals and sockets of -monitor and of mon:stdio; fatal() if one cannot be had. When all devices are there, without the lock.
 */
void console_open(struct vm *vm);
void console_close(struct vm *vm);

#endif
