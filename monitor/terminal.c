/*
 * The host terminal's modes.
 *
 * Invariant: `saved` is written before `raw_fd` is published and never again, so a signal handler that sees raw_fd >= 0 reads whole
 * settings.
 */
#include "monitor/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static _Atomic int raw_fd = -1;

bool terminal_raw(int fd)
{
	struct termios t;
	sigset_t ttou, old;

	if (atomic_load(&raw_fd) >= 0)
		return atomic_load(&raw_fd) == fd;
	if (!isatty(fd) || tcgetattr(fd, &saved) < 0)
		return false;
	t = saved;
	t.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
	t.c_oflag |= OPOST;
	t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
	t.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
	t.c_cflag |= CS8;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	atexit(terminal_restore);
	atomic_store(&raw_fd, fd);
	/* In a background job this would stop the process; the setting is then made and the shell makes its own again. */
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	tcsetattr(fd, TCSANOW, &t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return true;
}

void terminal_restore(void)
{
	int fd = atomic_load(&raw_fd), saved_errno = errno;
	sigset_t ttou, old;

	if (fd < 0)
		return;
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	tcsetattr(fd, TCSANOW, &saved);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved_errno;
}
