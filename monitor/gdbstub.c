/*
 * The commands of GDB's remote serial protocol ("Debugging with GDB", appendix E), and QEMU's few additions to it. Packets are
 * gdb_packet.c's, commands that look and change gdb_access.c's, registers gdb_regs.c's, breakpoints and steps debug.c's.
 *
 * Invariants: a command is answered once, a resumed machine by its next stop (g->waits). What touches the vCPU is done on its thread by
 * vm_call_vcpu. v->debug points here exactly while g->attached. A debugger that does not read its replies loses its connection: replies
 * are never queued without bound, nor cut.
 */
#include "monitor/gdbstub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/console.h"
#include "monitor/gdb_impl.h"
#include "monitor/gdb_regs.h"
#include "monitor/log.h"
#include "monitor/vm.h"

/* GDB's numbers of signals. */
enum { SIG_INT = 2, SIG_QUIT = 3, SIG_TRAP = 5, SIG_ABRT = 6, SIG_IO = 23, SIG_UNKNOWN = 143 };
/* QEMU's bits of how a step is done, all of them by default. */
enum { SSTEP_ENABLE = 1, SSTEP_NOIRQ = 2, SSTEP_NOTIMER = 4, SSTEP_ALL = 7 };

/* ---- replies ---- */

void gdb_send(struct gdb *g)
{
	u32 n = gdb_frame(&g->out);

	if (chardev_write(g->chr, g->out.frame, n) < n)
		chardev_disconnect(g->chr);
}

void gdb_reply_text(struct gdb *g, const char *text)
{
	gdb_begin(&g->out);
	gdb_put(&g->out, text);
	gdb_send(g);
}

void gdb_reply_ok(struct gdb *g)
{
	gdb_reply_text(g, "OK");
}

void gdb_reply_invalid(struct gdb *g)
{
	gdb_reply_text(g, "E22");
}

void gdb_reply_fault(struct gdb *g)
{
	gdb_reply_text(g, "E14");
}

static void put_cause(struct gdb *g)
{
	const struct debug *d = &g->debug;
	static const char *const watches[] = {[DEBUG_WRITES] = "watch", [DEBUG_READS] = "rwatch", [DEBUG_ACCESSES] = "awatch"};

	if (d->cause == DEBUG_AT_WATCH)
		gdb_printf(&g->out, "%s:%x;", watches[d->at_watch.kind], d->at_watch.linear);
	/* With a base of CS the debugger knows no breakpoint at this EIP, and would take it for one that was there once, and go on. */
	if (d->cause != DEBUG_AT_BREAK || d->at_break.linear != g->vm->vcpu->eip)
		return;
	if (d->at_break.kind == DEBUG_SW && g->says_swbreak)
		gdb_put(&g->out, "swbreak:;");
	if (d->at_break.kind == DEBUG_HW && g->says_hwbreak)
		gdb_put(&g->out, "hwbreak:;");
}

static void reply_stop(struct gdb *g, enum runstate state)
{
	static const int signals[] = {
		[RUNSTATE_PRELAUNCH] = SIG_TRAP, [RUNSTATE_PAUSED] = SIG_INT,  [RUNSTATE_DEBUG] = SIG_TRAP,
		[RUNSTATE_SHUTDOWN] = SIG_QUIT,	 [RUNSTATE_IO_ERROR] = SIG_IO, [RUNSTATE_INTERNAL_ERROR] = SIG_ABRT,
	};
	int sig = (size_t)state < ARRAY_SIZE(signals) && signals[state] ? signals[state] : SIG_UNKNOWN;

	g->waits = false;
	gdb_begin(&g->out);
	gdb_printf(&g->out, "T%02xthread:1;", sig);
	if (state == RUNSTATE_DEBUG)
		put_cause(g);
	gdb_send(g);
}

static void on_runstate(void *opaque, enum runstate now)
{
	struct gdb *g = opaque;

	if (g->waits && now != RUNSTATE_RUNNING)
		reply_stop(g, now);
}

/* ---- coming and going ---- */

static void do_attach(void *opaque)
{
	struct gdb *g = opaque;

	debug_attach(g->vm->vcpu, &g->debug);
}

static void do_detach(void *opaque)
{
	struct gdb *g = opaque;

	debug_detach(g->vm->vcpu);
}

static void attach(struct gdb *g)
{
	if (g->attached)
		return;
	vm_stop_wait(g->vm, RUNSTATE_PAUSED);
	memset(&g->debug, 0, sizeof(g->debug));
	g->attached = vm_call_vcpu(g->vm, do_attach, g);
}

static void detach(struct gdb *g)
{
	g->waits = false;
	if (g->attached)
		vm_call_vcpu(g->vm, do_detach, g);
	g->attached = false;
}

static void forget_peer(struct gdb *g)
{
	g->in = (struct gdb_parser){.state = GDB_IDLE};
	g->out.len = 0;
	g->no_ack = g->no_ack_next = g->says_swbreak = g->says_hwbreak = g->physical = false;
	g->sstep = SSTEP_ALL;
}

/* ---- going on ---- */

static void do_resume(void *opaque)
{
	struct gdb *g = opaque;
	u64 eip;

	if (gdb_take_number(&g->args, &eip)) {
		u32 at = (u32)eip;

		debug_moved(g->vm->vcpu);
		g->vm->vcpu->eip = at;
	}
	debug_resume(g->vm->vcpu, g->resume_flags);
}

/* g->args: an address, or nothing. */
static void resume(struct gdb *g, bool step)
{
	u32 how = step ? g->sstep : 0;

	g->resume_flags = (how & SSTEP_ENABLE ? DEBUG_ONE : 0) | (how & SSTEP_NOIRQ ? DEBUG_NOIRQ : 0);
	vm_call_vcpu(g->vm, do_resume, g);
	g->waits = true;
	if (!vm_cont(g->vm))
		reply_stop(g, g->vm->run.state);
	else if ((how & SSTEP_ENABLE) && (how & SSTEP_NOTIMER))
		clock_stop(&g->vm->clock);
}

static void cmd_cont(struct gdb *g)
{
	resume(g, false);
}

static void cmd_step(struct gdb *g)
{
	resume(g, true);
}

/* C and S: a signal, which means nothing here, and perhaps ;ADDRESS. */
static bool skip_signal(struct gdb *g)
{
	u64 sig;

	if (!gdb_take_number(&g->args, &sig))
		return false;
	gdb_take_char(&g->args, ';');
	return true;
}

static void cmd_cont_signal(struct gdb *g)
{
	if (skip_signal(g))
		resume(g, false);
	else
		gdb_reply_invalid(g);
}

static void cmd_step_signal(struct gdb *g)
{
	if (skip_signal(g))
		resume(g, true);
	else
		gdb_reply_invalid(g);
}

/* A thread: ours, or any, or all. */
static bool take_thread(const char **s)
{
	u64 id;

	if (gdb_take_word(s, "-1"))
		return true;
	return gdb_take_number(s, &id) && id <= 1;
}

/* vCont;ACTION[:THREAD];...: the first action that is for the one thread counts. */
static void cmd_vcont(struct gdb *g)
{
	while (gdb_take_char(&g->args, ';')) {
		char action = *g->args;
		u64 sig;

		if (!action || !strchr("cCsS", action))
			break;
		g->args++;
		if ((action == 'C' || action == 'S') && !gdb_take_number(&g->args, &sig))
			break;
		if (gdb_take_char(&g->args, ':') && !take_thread(&g->args))
			break;
		if (*g->args && *g->args != ';')
			break;
		g->args = "";
		resume(g, action == 's' || action == 'S');
		return;
	}
	gdb_reply_invalid(g);
}

static void cmd_vcont_query(struct gdb *g)
{
	gdb_reply_text(g, "vCont;c;C;s;S");
}

static void cmd_why(struct gdb *g)
{
	gdb_begin(&g->out);
	gdb_printf(&g->out, "T%02xthread:1;", SIG_TRAP);
	gdb_send(g);
}

static void cmd_detach(struct gdb *g)
{
	detach(g);
	vm_cont(g->vm);
	gdb_reply_ok(g);
}

static void cmd_kill(struct gdb *g)
{
	vm_request_exit(g->vm, VM_QUIT, 0);
	chardev_disconnect(g->chr);
	detach(g);
}

static void cmd_vkill(struct gdb *g)
{
	gdb_reply_ok(g);
	cmd_kill(g);
}

/* ---- threads, of which there is one ---- */

static void cmd_thread(struct gdb *g)
{
	if (take_thread(&g->args) && !*g->args)
		gdb_reply_ok(g);
	else
		gdb_reply_invalid(g);
}

/* H: for which operations, then a thread. */
static void cmd_select(struct gdb *g)
{
	if (*g->args)
		g->args++;
	cmd_thread(g);
}

static void cmd_current_thread(struct gdb *g)
{
	gdb_reply_text(g, "QC1");
}

static void cmd_first_thread(struct gdb *g)
{
	gdb_reply_text(g, "m1");
}

static void cmd_next_thread(struct gdb *g)
{
	gdb_reply_text(g, "l");
}

static void cmd_thread_info(struct gdb *g)
{
	const char *text = g->vm->vcpu->halted ? "CPU#0 [halted ]" : "CPU#0 [running]";

	gdb_begin(&g->out);
	gdb_put_hex(&g->out, text, strlen(text));
	gdb_send(g);
}

/* ---- queries ---- */

static bool has_feature(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (; *list; list += strcspn(list, ";"), list += *list == ';')
		if (strncmp(list, name, n) == 0 && (list[n] == ';' || !list[n]))
			return true;
	return false;
}

static void cmd_supported(struct gdb *g)
{
	const char *list = *g->args ? g->args + 1 : "";

	g->says_swbreak = has_feature(list, "swbreak+");
	g->says_hwbreak = has_feature(list, "hwbreak+");
	gdb_begin(&g->out);
	gdb_printf(&g->out, "PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+%s%s", GDB_PACKET_MAX,
		   g->says_swbreak ? ";swbreak+" : "", g->says_hwbreak ? ";hwbreak+" : "");
	gdb_send(g);
}

static void cmd_no_ack(struct gdb *g)
{
	g->no_ack_next = true;
	gdb_reply_ok(g);
}

/* NAME:OFFSET,LENGTH */
static void cmd_features(struct gdb *g)
{
	size_t n = strcspn(g->args, ":");
	char name[64];
	u64 offset, length;
	long size;
	u32 here, i;

	if (n >= sizeof(name) || !g->args[n]) {
		gdb_reply_invalid(g);
		return;
	}
	memcpy(name, g->args, n);
	name[n] = '\0';
	g->args += n + 1;
	if (!gdb_take_range(g, &offset, &length)) {
		gdb_reply_invalid(g);
		return;
	}
	length = MIN(length, sizeof(g->memory));
	size = gdb_xml(name, offset, (char *)g->memory, length);
	if (size < 0 || offset > (u64)size) {
		gdb_reply_text(g, "E00");
		return;
	}
	here = (u32)MIN(length, (u64)size - offset);
	gdb_begin(&g->out);
	gdb_put(&g->out, offset + here == (u64)size ? "l" : "m");
	for (i = 0; i < here; i++)
		gdb_put_binary(&g->out, g->memory[i]);
	gdb_send(g);
}

static void cmd_attached(struct gdb *g)
{
	gdb_reply_text(g, "1");
}

static void print_out(void *opaque, const char *text)
{
	struct gdb *g = opaque;
	size_t n = strlen(text);

	for (size_t here; n; n -= here, text += here) {
		here = MIN(n, GDB_PACKET_MAX / 2 - 1);
		gdb_begin(&g->out);
		gdb_put(&g->out, "O");
		gdb_put_hex(&g->out, text, here);
		gdb_send(g);
	}
}

/* `monitor LINE`: the console's commands. */
static void cmd_monitor(struct gdb *g)
{
	char line[GDB_PACKET_MAX / 2 + 1];
	size_t n = strlen(g->args) / 2;

	if (n >= sizeof(line) || !gdb_take_bytes(&g->args, line, n) || *g->args) {
		gdb_reply_invalid(g);
		return;
	}
	line[n] = '\0';
	console_command(g->vm, line, print_out, g);
	gdb_reply_ok(g);
}

static void cmd_qemu_supported(struct gdb *g)
{
	gdb_reply_text(g, "sstepbits;sstep;PhyMemMode");
}

static void cmd_sstepbits(struct gdb *g)
{
	gdb_reply_text(g, "ENABLE=1,NOIRQ=2,NOTIMER=4");
}

static void cmd_sstep(struct gdb *g)
{
	gdb_begin(&g->out);
	gdb_printf(&g->out, "0x%x", g->sstep);
	gdb_send(g);
}

static void cmd_set_sstep(struct gdb *g)
{
	u64 x;

	gdb_take_word(&g->args, "0x");
	if (!gdb_take_number(&g->args, &x) || *g->args || x > SSTEP_ALL) {
		gdb_reply_invalid(g);
		return;
	}
	g->sstep = (u32)x;
	gdb_reply_ok(g);
}

static void cmd_physical(struct gdb *g)
{
	gdb_reply_text(g, g->physical ? "1" : "0");
}

static void cmd_set_physical(struct gdb *g)
{
	u64 x;

	if (!gdb_take_number(&g->args, &x) || *g->args) {
		gdb_reply_invalid(g);
		return;
	}
	g->physical = x != 0;
	gdb_reply_ok(g);
}

/* ---- which is which ---- */

/* The first whose name the packet begins with. `whole`: and has nothing behind it. */
static const struct command {
	const char *name;
	void (*fn)(struct gdb *g);
	bool whole;
} commands[] = {
	{"?", cmd_why, true},
	{"!", gdb_reply_ok, true},
	{"g", gdb_cmd_read_all, true},
	{"G", gdb_cmd_write_all, false},
	{"p", gdb_cmd_read_one, false},
	{"P", gdb_cmd_write_one, false},
	{"m", gdb_cmd_read, false},
	{"M", gdb_cmd_write, false},
	{"X", gdb_cmd_write_binary, false},
	{"c", cmd_cont, false},
	{"s", cmd_step, false},
	{"C", cmd_cont_signal, false},
	{"S", cmd_step_signal, false},
	{"D", cmd_detach, false},
	{"k", cmd_kill, false},
	{"H", cmd_select, false},
	{"T", cmd_thread, false},
	{"Z", gdb_cmd_set_point, false},
	{"z", gdb_cmd_clear_point, false},
	{"vCont?", cmd_vcont_query, true},
	{"vCont", cmd_vcont, false},
	{"vKill", cmd_vkill, false},
	{"vAttach;", cmd_why, false},
	{"qC", cmd_current_thread, true},
	{"qfThreadInfo", cmd_first_thread, true},
	{"qsThreadInfo", cmd_next_thread, true},
	{"qThreadExtraInfo,", cmd_thread_info, false},
	{"qSupported", cmd_supported, false},
	{"QStartNoAckMode", cmd_no_ack, true},
	{"qXfer:features:read:", cmd_features, false},
	{"qAttached", cmd_attached, false},
	{"qRcmd,", cmd_monitor, false},
	{"qemu.Supported", cmd_qemu_supported, true},
	{"qqemu.Supported", cmd_qemu_supported, true},
	{"qqemu.sstepbits", cmd_sstepbits, true},
	{"qqemu.sstep", cmd_sstep, true},
	{"Qqemu.sstep=", cmd_set_sstep, false},
	{"Qqemu.sstep:", cmd_set_sstep, false},
	{"qqemu.PhyMemMode", cmd_physical, true},
	{"Qqemu.PhyMemMode:", cmd_set_physical, false},
};

static void execute(struct gdb *g)
{
	const char *text = (const char *)g->in.data;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];
		size_t n = strlen(c->name);

		if (strncmp(text, c->name, n) != 0 || (c->whole && text[n]))
			continue;
		g->args = text + n;
		g->args_len = g->in.len - (u32)n;
		c->fn(g);
		return;
	}
	gdb_reply_text(g, "");
}

/* ---- the connection ---- */

static void acknowledge(struct gdb *g, const char *how)
{
	if (!g->no_ack)
		chardev_write(g->chr, (const u8 *)how, 1);
}

static void take(struct gdb *g, u8 byte)
{
	switch (gdb_parse(&g->in, byte)) {
	case GDB_PACKET:
		acknowledge(g, "+");
		attach(g);
		/* One that awaits a stop has nothing to say but that it wants one. */
		if (g->waits)
			vm_stop(g->vm, RUNSTATE_PAUSED);
		else
			execute(g);
		break;
	case GDB_CORRUPT:
		acknowledge(g, "-");
		break;
	case GDB_TOO_LONG:
		acknowledge(g, "+");
		gdb_reply_invalid(g);
		break;
	case GDB_ACK:
		if (g->no_ack_next)
			g->no_ack = true;
		g->no_ack_next = false;
		break;
	case GDB_NACK:
		if (g->out.len && !g->no_ack)
			gdb_send(g);
		break;
	case GDB_INTERRUPT:
		attach(g);
		vm_stop(g->vm, RUNSTATE_PAUSED);
		break;
	case GDB_MORE:
		break;
	}
}

static size_t can_receive(void *opaque)
{
	(void)opaque;
	return GDB_PACKET_MAX;
}

static void receive(void *opaque, const u8 *buf, size_t n)
{
	struct gdb *g = opaque;

	for (size_t i = 0; i < n && chardev_is_connected(g->chr); i++)
		take(g, buf[i]);
}

static void on_event(void *opaque, enum chardev_event ev)
{
	struct gdb *g = opaque;

	switch (ev) {
	case CHARDEV_OPENED:
		forget_peer(g);
		detach(g);
		attach(g);
		break;
	case CHARDEV_CLOSED:
		detach(g);
		forget_peer(g);
		break;
	default:
		break;
	}
}

/* A back end's spec: a server that does not wait, where nothing else is said, as -gdb is QEMU's. */
static void full_spec(const char *device, char *spec, size_t size)
{
	bool socket = strncmp(device, "tcp:", 4) == 0 || strncmp(device, "unix:", 5) == 0;

	snprintf(spec, size, "%s%s", device, socket && !strstr(device, "server") ? ",server=on,wait=off" : "");
}

void gdb_open(struct vm *vm)
{
	struct gdb *g;
	char spec[256], err[256];

	if (!vm->opt.gdb)
		return;
	g = calloc(1, sizeof(*g));
	if (!g)
		fatal("out of memory");
	g->vm = vm;
	full_spec(vm->opt.gdb, spec, sizeof(spec));
	g->chr = chardev_open(vm, spec, err, sizeof(err));
	if (!g->chr)
		fatal("-gdb %s: %s", vm->opt.gdb, err);
	forget_peer(g);
	g->listener = (struct runstate_listener){.fn = on_runstate, .opaque = g};
	vm->gdb = g;
	pthread_mutex_lock(&vm->lock);
	runstate_listen(vm, &g->listener);
	chardev_no_escapes(g->chr);
	chardev_attach(g->chr, &(struct chardev_client){g, can_receive, receive, on_event});
	pthread_mutex_unlock(&vm->lock);
}

void gdb_close(struct vm *vm, int status)
{
	struct gdb *g = vm->gdb;

	if (!g)
		return;
	pthread_mutex_lock(&vm->lock);
	if (g->attached) {
		gdb_begin(&g->out);
		gdb_printf(&g->out, "W%02x", (u32)status & 0xff);
		gdb_send(g);
	}
	chardev_attach(g->chr, &(struct chardev_client){0});
	chardev_close(g->chr);
	vm->gdb = NULL;
	vm->vcpu->debug = NULL;
	pthread_mutex_unlock(&vm->lock);
	free(g);
}
