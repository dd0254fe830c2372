/*
 * The stub that a debugger talks to (`-s`, `-gdb DEV`), in GDB's remote serial protocol. One debugger at a time; when it comes the machine
 * stops, when it goes what it has set goes with it. I/O thread.
 */
#ifndef RINGER_GDBSTUB_H
#define RINGER_GDBSTUB_H

struct vm;

/* Opens what -gdb names; fatal() if that cannot be had. At start-up, when there is a vCPU, without the lock. Nothing without -gdb. */
void gdb_open(struct vm *vm);
/* Tells the debugger that the machine has ended with this status; the vCPU's thread is gone. Without the lock. */
void gdb_close(struct vm *vm, int status);

#endif
