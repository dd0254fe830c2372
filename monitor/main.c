/*
 * ringer: sets a machine up, runs it, takes it down.
 *
 * Invariants: what the user got wrong ends in fatal() before the vCPU's thread exists. The main thread is the I/O thread; it alone joins
 * the vCPU's, and holds no lock then. Signals that end the program go through a signalfd once the machine runs (no handler runs beside
 * translated code); before that, a handler restores the terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "monitor/chardev.h"
#include "monitor/console.h"
#include "monitor/crash.h"
#include "monitor/display/display.h"
#include "monitor/gdbstub.h"
#include "monitor/hostcheck.h"
#include "monitor/load.h"
#include "monitor/log.h"
#include "monitor/machine.h"
#include "monitor/options.h"
#include "monitor/profile.h"
#include "monitor/stats.h"
#include "monitor/symbols.h"
#include "monitor/terminal.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"
#include "translator/coverage.h"

static const int quit_signals[] = {SIGINT, SIGTERM, SIGHUP};
/* Beside them: statistics, and being continued after a stop, when the terminal has the shell's settings. */
static const int other_signals[] = {SIGUSR1, SIGCONT};

static void die_by_signal(int sig)
{
	terminal_restore();
	_exit(128 + sig);
}

/* Descriptors 0 to 2 exist, so that no file that is opened later becomes the program's standard output. */
static void open_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* Under nohup a hang-up stays ignored. (A shell's background jobs have SIGINT ignored as well; whoever sends it by hand means it.) */
static bool ignored(int sig)
{
	struct sigaction old;

	return sig == SIGHUP && sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_IGN;
}

static void early_signals(void)
{
	struct sigaction sa = {.sa_handler = die_by_signal};

	for (size_t i = 0; i < ARRAY_SIZE(quit_signals); i++)
		if (!ignored(quit_signals[i]))
			sigaction(quit_signals[i], &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void on_signal(void *opaque, int fd, int revents)
{
	struct vm *vm = opaque;
	struct signalfd_siginfo si;

	(void)revents;
	if (read(fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	switch (si.ssi_signo) {
	case SIGUSR1:
		vcpu_set_event(vm->vcpu, EV_STATS);
		break;
	case SIGCONT:
		terminal_resume();
		display_resume(vm);
		break;
	default:
		vm_request_exit(vm, VM_QUIT, 128 + (int)si.ssi_signo);
		break;
	}
}

/* Signals go to the event loop from here on; threads made later inherit the mask. Returns the signalfd. */
static int watch_signals(struct vm *vm)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(other_signals); i++)
		sigaddset(&set, other_signals[i]);
	for (size_t i = 0; i < ARRAY_SIZE(quit_signals); i++)
		if (!ignored(quit_signals[i]))
			sigaddset(&set, quit_signals[i]);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		fatal("signalfd: %s", strerror(errno));
	vm_lock(vm);
	event_watch_fd(vm, fd, POLLIN, on_signal, vm);
	pthread_mutex_unlock(&vm->lock);
	return fd;
}

/* While the machine is taken down, a second signal ends the program at once, through die_by_signal. */
static void late_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(quit_signals); i++)
		sigaddset(&set, quit_signals[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *vcpu_thread(void *opaque)
{
	struct vm *vm = opaque;

	vcpu_run(vm->vcpu);
	vm_request_exit(vm, VM_FAILED, 1);
	return NULL;
}

static void start_profile(struct vm *vm)
{
	int err = profile_start(vm);

	if (err)
		fatal("-d profile: %s", strerror(-err));
}

static struct vm *set_up(int argc, char **argv)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	const char *missing;
	int err;

	if (!vm)
		fatal("out of memory");
	options_parse(&vm->opt, argc, argv);
	missing = hostcheck_missing();
	if (missing)
		fatal("this host lacks %s", missing);
	if (vm->opt.log_file && !log_open(vm->opt.log_file))
		fatal("%s: %s", vm->opt.log_file, strerror(errno));
	log_mask = vm->opt.log_mask;
	err = vm_init(vm, vm->opt.ram_size);
	if (err)
		fatal("cannot set up %llu MiB of guest memory: %s", (unsigned long long)vm->opt.ram_size >> 20, strerror(-err));
	vm->clock.rtc_offset_sec = vm->opt.rtc_offset_sec;
	symbols_open(vm);
	vm->loader = loader_open(vm);
	machine_init(vm);
	console_open(vm);
	vm->vcpu = vcpu_create(vm);
	gdb_open(vm);
	if (vm->opt.log_mask & LOG_PROFILE)
		start_profile(vm);
	return vm;
}

static void tear_down(struct vm *vm)
{
	if (vm->opt.log_mask & LOG_STATS)
		stats_print(&vm->vcpu->stats, log_file());
	if (vm->opt.log_mask & LOG_PROFILE)
		profile_log(vm);
	if (vm->opt.log_mask & LOG_INSN)
		coverage_print(vm->vcpu, log_file());
	console_close(vm);
	machine_free(vm);
	vcpu_free(vm->vcpu);
	symbols_close(vm);
	loader_close(vm->loader);
	vm_free(vm);
	free(vm);
}

int main(int argc, char **argv)
{
	struct vm *vm;
	pthread_t thread;
	int signal_fd, status, err;

	open_standard_fds();
	early_signals();
	crash_init(argc, argv);
	vm = set_up(argc, argv);
	signal_fd = watch_signals(vm);
	if (vm->opt.start_stopped) {
		vm_lock(vm);
		vm_stop(vm, RUNSTATE_PRELAUNCH);
		pthread_mutex_unlock(&vm->lock);
	}
	crash_machine(vm, vm->opt.crash_report);
	err = pthread_create(&thread, NULL, vcpu_thread, vm);
	if (err)
		fatal("cannot start the vCPU's thread: %s", strerror(err));
	event_run(vm);

	late_signals();
	vcpu_set_event(vm->vcpu, EV_STOP);
	pthread_join(thread, NULL);
	event_watch_fd(vm, signal_fd, 0, NULL, NULL);
	close(signal_fd);
	status = vm->exit_status;
	crash_machine(NULL, NULL);
	gdb_close(vm, status);
	tear_down(vm);
	terminal_restore();
	return status;
}
