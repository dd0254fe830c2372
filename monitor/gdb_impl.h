/*
 * What the parts of the gdb stub share: gdbstub.c (execution, threads, queries, the connection) and gdb_access.c (registers, memory,
 * breakpoints). All of it is for the I/O thread, under the machine's lock.
 */
#ifndef RINGER_GDB_IMPL_H
#define RINGER_GDB_IMPL_H

#include "monitor/chardev.h"
#include "monitor/debug.h"
#include "monitor/gdb_packet.h"
#include "monitor/runstate.h"

struct gdb {
	struct vm *vm;
	struct chardev *chr;
	struct runstate_listener listener;
	struct debug debug;
	bool attached; /* v->debug is ours */
	bool waits;    /* the debugger awaits a stop */
	bool no_ack, no_ack_next;
	bool says_swbreak, says_hwbreak; /* the debugger knows stop reasons of these names */
	bool physical;			 /* addresses of memory are guest-physical */
	u32 sstep;
	unsigned resume_flags;
	const char *args; /* of the command, and behind what has been taken of them */
	u32 args_len;	  /* of the packet from args on: it may hold zeros */
	struct gdb_parser in;
	struct gdb_reply out;
	u8 memory[GDB_PACKET_MAX];
};

/* Sends the packet in g->out. */
void gdb_send(struct gdb *g);
/* Whole replies; the errors are EINVAL and EFAULT as they are anywhere. */
void gdb_reply_text(struct gdb *g, const char *text);
void gdb_reply_ok(struct gdb *g);
void gdb_reply_invalid(struct gdb *g);
void gdb_reply_fault(struct gdb *g);

/* Takes ADDRESS,LENGTH from g->args. */
bool gdb_take_range(struct gdb *g, u64 *address, u64 *n);

/* Commands: each answers once, from g->args. */
void gdb_cmd_read_all(struct gdb *g);
void gdb_cmd_write_all(struct gdb *g);
void gdb_cmd_read_one(struct gdb *g);
void gdb_cmd_write_one(struct gdb *g);
void gdb_cmd_read(struct gdb *g);
void gdb_cmd_write(struct gdb *g);
void gdb_cmd_write_binary(struct gdb *g);
void gdb_cmd_set_point(struct gdb *g);
void gdb_cmd_clear_point(struct gdb *g);

#endif
