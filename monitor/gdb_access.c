/*
 * The stub's commands that look and change: registers, memory, breakpoints and watchpoints ("Debugging with GDB", appendix E).
 *
 * Invariant: what touches the vCPU is done on its thread, by vm_call_vcpu.
 */
#include "monitor/gdb_impl.h"

#include <string.h>

#include "monitor/gdb_regs.h"
#include "monitor/vm.h"

/* ---- registers ---- */

static void do_read_all(void *opaque)
{
	struct gdb *g = opaque;
	u8 x[GDB_REG_MAX];

	gdb_begin(&g->out);
	for (unsigned n = 0; n < gdb_reg_count(); n++)
		gdb_put_hex(&g->out, x, gdb_reg_read(g->vm->vcpu, n, x));
}

static void do_write_all(void *opaque)
{
	struct gdb *g = opaque;
	u8 x[GDB_REG_MAX];

	/* What cannot be changed stays as it is: the debugger writes all when it means one. */
	for (unsigned n = 0; n < gdb_reg_count() && gdb_take_bytes(&g->args, x, gdb_reg_size(n)); n++)
		gdb_reg_write(g->vm->vcpu, n, x);
}

static void do_read_one(void *opaque)
{
	struct gdb *g = opaque;
	u8 x[GDB_REG_MAX];
	u64 n;

	gdb_begin(&g->out);
	if (gdb_take_number(&g->args, &n) && n < gdb_reg_count())
		gdb_put_hex(&g->out, x, gdb_reg_read(g->vm->vcpu, (unsigned)n, x));
	else
		gdb_put(&g->out, "E22");
}

static void do_write_one(void *opaque)
{
	struct gdb *g = opaque;
	u8 x[GDB_REG_MAX];
	u64 n;
	bool ok = gdb_take_number(&g->args, &n) && n < gdb_reg_count() && gdb_take_char(&g->args, '=') &&
		  gdb_take_bytes(&g->args, x, gdb_reg_size((unsigned)n)) && gdb_reg_write(g->vm->vcpu, (unsigned)n, x);

	gdb_begin(&g->out);
	gdb_put(&g->out, ok ? "OK" : "E22");
}

/* fn leaves its answer in g->out. */
static void answer(struct gdb *g, void (*fn)(void *opaque))
{
	if (!vm_call_vcpu(g->vm, fn, g)) {
		gdb_begin(&g->out);
		gdb_put(&g->out, "E03");
	}
	gdb_send(g);
}

void gdb_cmd_read_all(struct gdb *g)
{
	answer(g, do_read_all);
}

void gdb_cmd_write_all(struct gdb *g)
{
	vm_call_vcpu(g->vm, do_write_all, g);
	gdb_reply_ok(g);
}

void gdb_cmd_read_one(struct gdb *g)
{
	answer(g, do_read_one);
}

void gdb_cmd_write_one(struct gdb *g)
{
	answer(g, do_write_one);
}

/* ---- memory ---- */

bool gdb_take_range(struct gdb *g, u64 *address, u64 *n)
{
	return gdb_take_number(&g->args, address) && gdb_take_char(&g->args, ',') && gdb_take_number(&g->args, n);
}

static void do_read(void *opaque)
{
	struct gdb *g = opaque;
	u64 address, n;
	u32 done;

	gdb_begin(&g->out);
	if (!gdb_take_range(g, &address, &n) || *g->args) {
		gdb_put(&g->out, "E22");
		return;
	}
	n = MIN(n, sizeof(g->memory));
	done = debug_read(g->vm->vcpu, address, g->physical, g->memory, (u32)n);
	if (n && !done)
		gdb_put(&g->out, "E14");
	gdb_put_hex(&g->out, g->memory, done);
}

void gdb_cmd_read(struct gdb *g)
{
	answer(g, do_read);
}

struct writing {
	struct gdb *g;
	u64 address;
	u32 n;
	const void *bytes;
	bool ok;
};

static void do_write(void *opaque)
{
	struct writing *w = opaque;

	w->ok = debug_write(w->g->vm->vcpu, w->address, w->g->physical, w->bytes, w->n) == w->n;
}

static void write_memory(struct gdb *g, u64 address, u64 n, const void *bytes)
{
	struct writing w = {g, address, (u32)n, bytes, false};

	vm_call_vcpu(g->vm, do_write, &w);
	if (w.ok)
		gdb_reply_ok(g);
	else
		gdb_reply_fault(g);
}

void gdb_cmd_write(struct gdb *g)
{
	u64 address, n;

	if (!gdb_take_range(g, &address, &n) || !gdb_take_char(&g->args, ':') || n > sizeof(g->memory) ||
	    !gdb_take_bytes(&g->args, g->memory, n) || *g->args)
		gdb_reply_invalid(g);
	else
		write_memory(g, address, n, g->memory);
}

void gdb_cmd_write_binary(struct gdb *g)
{
	const char *end = g->args + g->args_len;
	u64 address, n;

	if (!gdb_take_range(g, &address, &n) || !gdb_take_char(&g->args, ':') || n != (u64)(end - g->args))
		gdb_reply_invalid(g);
	else
		write_memory(g, address, n, g->args);
}

/* ---- breakpoints and watchpoints ---- */

/* TYPE,ADDRESS,KIND; types 2 to 4 are watchpoints of KIND bytes. False: it is none of ours, and has been answered. */
static bool take_point(struct gdb *g, u64 *type, u64 *address, u64 *kind)
{
	if (!gdb_take_number(&g->args, type) || !gdb_take_char(&g->args, ',') || !gdb_take_number(&g->args, address) ||
	    !gdb_take_char(&g->args, ',') || !gdb_take_number(&g->args, kind) || *address > UINT32_MAX || *kind > DEBUG_MAX_LEN) {
		gdb_reply_invalid(g);
		return false;
	}
	if (*type > 4) {
		gdb_reply_text(g, "");
		return false;
	}
	return true;
}

static const u32 watch_kinds[] = {[2] = DEBUG_WRITES, [3] = DEBUG_READS, [4] = DEBUG_ACCESSES};

void gdb_cmd_set_point(struct gdb *g)
{
	u64 type, address, kind;
	bool ok;

	if (!take_point(g, &type, &address, &kind))
		return;
	if (type < 2)
		ok = debug_set_break(&g->debug, (u32)address, type ? DEBUG_HW : DEBUG_SW);
	else
		ok = debug_set_watch(&g->debug, (u32)address, (u32)kind, watch_kinds[type]);
	if (ok)
		gdb_reply_ok(g);
	else
		gdb_reply_invalid(g);
}

void gdb_cmd_clear_point(struct gdb *g)
{
	u64 type, address, kind;

	if (!take_point(g, &type, &address, &kind))
		return;
	if (type < 2)
		debug_clear_break(&g->debug, (u32)address, type ? DEBUG_HW : DEBUG_SW);
	else
		debug_clear_watch(&g->debug, (u32)address, (u32)kind, watch_kinds[type]);
	gdb_reply_ok(g);
}
