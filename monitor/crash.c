/*
 * Crash reports: see crash.h.
 *
 * Invariants: the first thread that reports is the only one; it reads the machine without a lock, for the thread that holds it may be the
 * one that died, so what other threads own may be seen half-changed, and the report says whose state it is. A fault while reporting ends
 * the process. The state below is outside struct vm because a report must be possible where there is no machine; it is written before there
 * is a second thread, but for `owner`.
 */
#include "monitor/crash.h"

#include <Zydis/Zydis.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <ucontext.h>
#include <unistd.h>

#include "cache/tc.h"
#include "monitor/log.h"
#include "monitor/terminal.h"
#include "monitor/vm.h"
#include "shadowpt/walk.h"
#include "translator/mode.h"

#define GUEST_INSNS 8
#define HOST_INSNS  24

static struct {
	int argc;
	char **argv;
	struct vm *vm;
	const char *file, *tmpdir;
	char cpu[49];
	char path[4096];
	int fd;
	_Atomic int owner; /* the thread that reports, 0: none yet */
} crash;

static void crash_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void write_all(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t done = write(fd, s, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return; /* a full disk: there is nobody to tell */
		s += done;
		n -= (size_t)done;
	}
}

static void crash_printf(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	write_all(crash.fd, line, crash_vformat(line, sizeof(line), fmt, ap));
	va_end(ap);
}

void crash_name(const char *file)
{
	if (!file)
		return;
	write_all(STDERR_FILENO, "ringer: crash report: ", 22);
	write_all(STDERR_FILENO, file, strlen(file));
	write_all(STDERR_FILENO, "\n", 1);
}

/* ---- sections ---- */

static void print_flags(u32 f)
{
	static const char names[22][5] = {"CF", "", "PF", "",	"AF", "",   "ZF", "SF", "TF",  "IF",  "DF",
					  "OF", "", "",	  "NT", "",   "RF", "VM", "AC", "VIF", "VIP", "ID"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if ((f >> i & 1) && names[i][0])
			crash_printf(" %s", names[i]);
}

static const char *mode_name(const struct vcpu *v)
{
	if (!(v->cr0 & CR0_PE))
		return "real mode";
	if (v->sysflags & EFLAGS_VM)
		return "virtual-8086 mode";
	return v->seg[SEG_CS].attr & SEG_DB ? "protected mode, 32 bits" : "protected mode, 16 bits";
}

static void print_guest(const struct vcpu *v, const u32 *regs, u32 eip, u32 flags)
{
	static const char *const segs[] = {"ES", "CS", "SS", "DS", "FS", "GS"};

	crash_printf("mode %s, CPL %u, IOPL %u%s%s\n", mode_name(v), v->cpl, vcpu_iopl(v), v->halted ? ", halted" : "",
		     v->shutdown ? ", shut down" : "");
	crash_printf("EAX=%08x EBX=%08x ECX=%08x EDX=%08x\n", regs[REG_EAX], regs[REG_EBX], regs[REG_ECX], regs[REG_EDX]);
	crash_printf("ESI=%08x EDI=%08x EBP=%08x ESP=%08x\n", regs[REG_ESI], regs[REG_EDI], regs[REG_EBP], regs[REG_ESP]);
	crash_printf("EIP=%08x EFL=%08x", eip, flags);
	print_flags(flags);
	crash_printf("\n");
	for (int i = 0; i < SEG_COUNT; i++)
		crash_printf("%-4s=%04x base %08x limit %08x attr %08x\n",
			     i < 6	     ? segs[i]
			     : i == SEG_LDTR ? "LDT"
					     : "TR",
			     v->seg[i].sel, v->seg[i].base, v->seg[i].limit, v->seg[i].attr);
	crash_printf("GDT  base %08x limit %04x\nIDT  base %08x limit %04x\n", v->gdtr.base, v->gdtr.limit, v->idtr.base, v->idtr.limit);
	crash_printf("CR0=%08x CR2=%08x CR3=%08x CR4=%08x EFER=%016lx\n", v->cr0, v->cr2, v->cr3, v->cr4, v->efer);
	crash_printf("DR0=%08x DR1=%08x DR2=%08x DR3=%08x DR6=%08x DR7=%08x\n", v->dr[0], v->dr[1], v->dr[2], v->dr[3], v->dr[6], v->dr[7]);
	crash_printf("events %08x, pending exception %d, delivering %d, interrupt shadow %d\n", atomic_load(&v->events), v->pending.vector,
		     v->delivering, (int)v->shadow);
}

/* A line of at most `left` bytes at p, which run at address `at`. Returns the instruction's length, 0 if it is none. */
static unsigned print_insn(const ZydisDecoder *d, const u8 *p, size_t left, u64 at, const char *mark)
{
	ZydisFormatter f;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	char text[128], bytes[3 * 15 + 1] = "";

	ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(d, p, left, &in, op)) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&f, &in, op, in.operand_count_visible, text, sizeof(text), at, NULL)))
		return 0;
	for (unsigned i = 0; i < in.length; i++)
		crash_format(bytes + 3 * i, 4, "%02x ", p[i]);
	crash_printf("%s%08lx  %-30s %s\n", mark, at, bytes, text);
	return in.length;
}

/* Guest memory at a linear address, up to n bytes; returns how many can be read. Looking changes nothing, page tables included. */
static size_t peek(struct vcpu *v, u32 linear, u8 *buf, size_t n)
{
	size_t i;
	u64 pa;

	for (i = 0; i < n; i++) {
		const u8 *p = walk_peek(v, linear + (u32)i, &pa) ? ram_ptr(&v->vm->mem, pa) : NULL;

		if (!p)
			break;
		buf[i] = *p;
	}
	return i;
}

static void print_guest_code(struct vcpu *v, u32 eip)
{
	u32 linear = v->seg[SEG_CS].base + eip, at = 0;
	bool wide = v->seg[SEG_CS].attr & SEG_DB;
	u8 before[16], code[GUEST_INSNS * 15];
	size_t n = peek(v, linear, code, sizeof(code));
	ZydisDecoder d;

	crash_printf("linear %08x\n", linear);
	if (linear >= sizeof(before) && peek(v, linear - sizeof(before), before, sizeof(before)) == sizeof(before)) {
		crash_printf("before:");
		for (size_t i = 0; i < sizeof(before); i++)
			crash_printf(" %02x", before[i]);
		crash_printf("\n");
	}
	if (!n)
		crash_printf("no memory can be read there\n");
	ZydisDecoderInit(&d, wide ? ZYDIS_MACHINE_MODE_LEGACY_32 : ZYDIS_MACHINE_MODE_LEGACY_16,
			 wide ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
	for (unsigned i = 0; i < GUEST_INSNS && at < n; i++) {
		unsigned length = print_insn(&d, code + at, n - at, eip + at, i ? "   " : "=> ");

		if (!length) {
			crash_printf("%s%08x  %02x is no instruction\n", i ? "   " : "=> ", eip + at, code[at]);
			break;
		}
		at += length;
	}
}

static void print_host(const greg_t *g)
{
	static const struct {
		const char *name;
		int reg;
	} regs[] = {{"RAX", REG_RAX}, {"RBX", REG_RBX}, {"RCX", REG_RCX}, {"RDX", REG_RDX}, {"RSI", REG_RSI},
		    {"RDI", REG_RDI}, {"RBP", REG_RBP}, {"RSP", REG_RSP}, {"R8", REG_R8},   {"R9", REG_R9},
		    {"R10", REG_R10}, {"R11", REG_R11}, {"R12", REG_R12}, {"R13", REG_R13}, {"R14", REG_R14},
		    {"R15", REG_R15}, {"RIP", REG_RIP}, {"EFL", REG_EFL}, {"ERR", REG_ERR}, {"TRAP", REG_TRAPNO}};

	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		crash_printf("%4s=%016lx%s", regs[i].name, (u64)g[regs[i].reg], i % 4 == 3 ? "\n" : " ");
}

static void print_host_code(struct vcpu *v, const struct tu *tu, u64 rip)
{
	u32 n = tu_insn_by_host(v->tc, tu, rip);
	const struct tu_insn *in = tu_insn(v->tc, tu, n);
	/* A cold stub begins at its own offset. */
	u64 at = rip >= tu->cold && in->cold_off ? tu->head + in->cold_off : tu->head + in->host_off;
	ZydisDecoder d;

	crash_printf("TU %u: EIP %08x, physical %08lx, mode %x, flags %x, host %08x-%08x; guest instruction %u at %08x\n",
		     tu_index(v->tc, tu), tu->eip, tu->pa, tu->mode, tu->flags, tu->head, tu->end, n, tu->eip + in->guest_off);
	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (unsigned i = 0; i < HOST_INSNS && at < tu->end; i++) {
		unsigned length = print_insn(&d, v->tc->rx + (at - (u64)v->tc->rx), tu->end - at, at, at == rip ? "=> " : "   ");

		if (!length)
			break;
		at += length;
	}
}

static void print_trail(const struct trail *t)
{
	crash_printf("\n-- translation units entered last (by the dispatcher; %lu in all) --\n", t->tus);
	for (u64 i = t->tus - MIN(t->tus, (u64)TRAIL_SIZE); i < t->tus; i++) {
		const struct trail_tu *e = &t->tu[i % TRAIL_SIZE];

		crash_printf("%04x:%08x mode %04x host %08x\n", e->cs, e->eip, e->mode, e->host);
	}
	crash_printf("\n-- interrupts and exceptions delivered last (%lu in all) --\n", t->events);
	for (u64 i = t->events - MIN(t->events, (u64)TRAIL_SIZE); i < t->events; i++) {
		const struct trail_event *e = &t->event[i % TRAIL_SIZE];

		crash_printf("%s %02x at %04x:%08x", e->external ? "interrupt" : "exception", e->vector, e->cs, e->eip);
		if (e->has_error)
			crash_printf(" error %04x", e->error);
		if (!e->external && e->vector == EXC_PF)
			crash_printf(" cr2 %08x", e->cr2);
		crash_printf("\n");
	}
}

static void print_counters(const struct stats *s)
{
	crash_printf("\n-- counters --\n");
#define X(n, h)                                                                                                                            \
	if (s->n)                                                                                                                          \
		crash_printf("%-20s %lu\n", #n, s->n);
	STATS(X)
#undef X
}

static void print_versions(void)
{
	u64 zydis = ZydisGetVersion();
	struct utsname u;

	crash_printf("\n-- versions --\nringer %s\nZydis %lu.%lu.%lu\nlibc %s\n", RINGER_VERSION, zydis >> 48, zydis >> 32 & 0xffff,
		     zydis >> 16 & 0xffff, gnu_get_libc_version());
	if (uname(&u) == 0)
		crash_printf("host %s %s %s\n", u.sysname, u.release, u.machine);
	crash_printf("CPU %s\n", crash.cpu);
	crash_printf("\n-- command line --\n");
	for (int i = 0; i < crash.argc; i++)
		crash_printf("%s%s", i ? " " : "", crash.argv[i]);
	crash_printf("\n");
}

static void print_machine(struct vcpu *v, const struct vcpu *self, const greg_t *g)
{
	struct tu *tu = self && g ? tu_by_host(v->tc, (u64)g[REG_RIP]) : NULL;
	u32 regs[8], eip = v->eip, flags = vcpu_eflags(v);

	memcpy(regs, v->regs, sizeof(regs));
	if (tu) {
		static const int host[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_R15, REG_RBP, REG_RSI, REG_RDI};
		const struct tu_insn *in = tu_insn(v->tc, tu, tu_insn_by_host(v->tc, tu, (u64)g[REG_RIP]));

		for (int i = 0; i < 8; i++)
			regs[i] = (u32)g[host[i]];
		regs[REG_ESP] += (u32)(s32)in->esp_off;
		eip = tu->eip + in->guest_off;
		flags = (flags & ~EFLAGS_HOST) | ((u32)g[REG_EFL] & EFLAGS_HOST);
	}
	crash_printf("\n-- guest (%s) --\n", tu	    ? "in translated code"
					     : self ? "in the monitor, as of the last exit from translated code"
						    : "another thread failed: as of the vCPU's last exit from translated code");
	print_guest(v, regs, eip, flags);
	crash_printf("\n-- guest code --\n");
	print_guest_code(v, eip);
	if (tu) {
		crash_printf("\n-- host code --\n");
		print_host_code(v, tu, (u64)g[REG_RIP]);
	}
	print_trail(&v->trail);
	print_counters(&v->stats);
}

/* ---- the file ---- */

static int try_file(const char *dir, int flags)
{
	if (dir)
		crash_format(crash.path, sizeof(crash.path), "%s/ringer-crash-%d.txt", dir, (int)getpid());
	return open(crash.path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
}

/* A default name is a new file: nothing is overwritten, no link is followed. */
static int open_file(void)
{
	int fd;

	if (crash.file) {
		crash_format(crash.path, sizeof(crash.path), "%s", crash.file);
		return open(crash.path, O_WRONLY | O_CREAT | O_CLOEXEC | O_TRUNC, 0600);
	}
	crash_format(crash.path, sizeof(crash.path), "ringer-crash-%d.txt", (int)getpid());
	fd = try_file(NULL, O_EXCL);
	if (fd < 0)
		fd = try_file(crash.tmpdir ? crash.tmpdir : "/tmp", O_EXCL);
	return fd;
}

static void second_fault(int sig)
{
	if (crash.fd >= 0) {
		crash_printf("\nsignal %d while reporting: the rest is lost\n", sig);
		crash_name(crash.path);
	}
	_exit(EXIT_BUG);
}

static const int bug_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static void expect_second_fault(void)
{
	struct sigaction sa = {.sa_handler = second_fault};
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(bug_signals); i++) {
		sigaction(bug_signals[i], &sa, NULL);
		sigaddset(&set, bug_signals[i]);
	}
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

const char *crash_report(const char *why, const struct vcpu *self, const siginfo_t *info, const void *context)
{
	const greg_t *g = context ? ((const ucontext_t *)context)->uc_mcontext.gregs : NULL;
	int nobody = 0, me = gettid();

	if (!atomic_compare_exchange_strong(&crash.owner, &nobody, me)) {
		while (nobody != me)
			pause();
		return NULL;
	}
	terminal_restore();
	if (!crash.vm || (crash.file && strcmp(crash.file, "none") == 0))
		return NULL;
	expect_second_fault();
	crash.fd = open_file();
	if (crash.fd < 0)
		return NULL;
	crash_printf("ringer crash report\nprocess %d, thread %d\nreason: %s\n", (int)getpid(), me, why);
	if (info && info->si_code > 0)
		crash_printf("signal %d, code %d, address %016lx\n", info->si_signo, info->si_code, (u64)info->si_addr);
	else if (info)
		crash_printf("signal %d, sent by process %d\n", info->si_signo, (int)info->si_pid);
	if (g) {
		crash_printf("\n-- host registers --\n");
		print_host(g);
	}
	print_versions();
	if (crash.vm->vcpu)
		print_machine(crash.vm->vcpu, self, g);
	crash_printf("\n-- end --\n");
	close(crash.fd);
	crash.fd = -1;
	return crash.path;
}

void crash_signal(int sig, const struct vcpu *self, const siginfo_t *info, const void *context)
{
	char why[80], line[128];
	const char *file;

	crash_format(why, sizeof(why), "signal %d %s", sig, info->si_code <= 0 && sig != SIGABRT ? "sent from outside" : "in the monitor");
	file = crash_report(why, self, info, context);
	write_all(STDERR_FILENO, line, crash_format(line, sizeof(line), "ringer: bug: %s\n", why));
	crash_name(file);
	_exit(EXIT_BUG);
}

static void on_bug(int sig, siginfo_t *info, void *context)
{
	crash_signal(sig, NULL, info, context);
}

void crash_init(int argc, char **argv)
{
	struct sigaction sa = {.sa_sigaction = on_bug, .sa_flags = SA_SIGINFO};
	unsigned *cpu = (unsigned *)(void *)crash.cpu;

	crash.argc = argc;
	crash.argv = argv;
	crash.tmpdir = getenv("TMPDIR");
	crash.fd = -1;
	for (unsigned i = 0; i < 3; i++, cpu += 4)
		__get_cpuid(0x80000002u + i, cpu, cpu + 1, cpu + 2, cpu + 3);
	for (size_t i = 0; i < ARRAY_SIZE(bug_signals); i++)
		sigaction(bug_signals[i], &sa, NULL);
}

void crash_machine(struct vm *vm, const char *file)
{
	crash.file = file;
	crash.vm = vm;
}
