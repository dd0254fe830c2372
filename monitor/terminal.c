/*
 * The host terminal's modes.
 *
 * Invariant: `saved` and `raw` are written before `raw_fd` is published, and never again, so a signal handler that sees raw_fd >= 0 reads
 * whole settings. `leave` likewise is written while leave_len is 0.
 */
#include "monitor/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved, raw;
static _Atomic int raw_fd = -1;
static char leave[TERMINAL_LEAVE_MAX];
static _Atomic int leave_len;

/* SIGTTOU would stop a background job here; the setting is made all the same, and the shell makes its own when it takes the terminal. */
static void set_attributes(int fd, const struct termios *t)
{
	sigset_t ttou, old;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	tcsetattr(fd, TCSANOW, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

bool terminal_raw(int fd)
{
	if (atomic_load(&raw_fd) >= 0)
		return atomic_load(&raw_fd) == fd;
	if (!isatty(fd) || tcgetattr(fd, &saved) < 0)
		return false;
	raw = saved;
	raw.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	raw.c_oflag |= OPOST;
	raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
	raw.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
	raw.c_cflag |= CS8;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	atexit(terminal_restore);
	atomic_store(&raw_fd, fd);
	set_attributes(fd, &raw);
	return true;
}

void terminal_resume(void)
{
	int fd = atomic_load(&raw_fd);

	if (fd >= 0)
		set_attributes(fd, &raw);
}

void terminal_set_leave(const char *sequence)
{
	size_t n = sequence ? strnlen(sequence, sizeof(leave)) : 0;

	atomic_store(&leave_len, 0);
	if (n)
		memcpy(leave, sequence, n);
	atomic_store(&leave_len, (int)n);
}

bool terminal_has_screen(void)
{
	return atomic_load(&leave_len) != 0;
}

void terminal_leave_screen(void)
{
	int n = atomic_exchange(&leave_len, 0), saved_errno = errno;

	/* If the terminal does not take it there is nobody to tell. */
	if (n && write(STDOUT_FILENO, leave, (size_t)n) < 0)
		errno = saved_errno;
}

void terminal_restore(void)
{
	int fd = atomic_load(&raw_fd), saved_errno = errno;

	terminal_leave_screen();
	if (fd >= 0)
		set_attributes(fd, &saved);
	errno = saved_errno;
}
