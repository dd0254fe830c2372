/*
 * The host terminal: raw while a guest's console is on it, restored on every exit path. There is one terminal per process, so its state is
 * the process's and not a machine's. terminal_restore() is declared in chardev.h as well, for those who know nothing else of terminals.
 */
#ifndef RINGER_TERMINAL_H
#define RINGER_TERMINAL_H

#include "monitor/types.h"

/*
 * Puts the terminal on fd into raw mode: no echo, no lines, no signals (Ctrl-C is byte 3 for the guest); output processing stays on, so
 * that messages of the monitor look right. Returns false if fd is not a terminal. Start-up, main thread.
 */
bool terminal_raw(int fd);
/* Raw again, after the process was stopped and continued; no-op if terminal_raw was not called. Main thread. */
void terminal_resume(void);
/*
 * A display has taken the terminal's whole screen: what must be written to give it back, once. NULL or an empty string: it has given it
 * back itself. At most TERMINAL_LEAVE_MAX bytes; more are cut off.
 */
#define TERMINAL_LEAVE_MAX 256
void terminal_set_leave(const char *sequence);
/* Gives the screen back, so that what is printed next can be read. Whether a display still has it. Async-signal-safe, any thread. */
void terminal_leave_screen(void);
bool terminal_has_screen(void);
/* Gives the screen back and restores the terminal's settings. Async-signal-safe, any thread, any number of times. */
void terminal_restore(void);

#endif
