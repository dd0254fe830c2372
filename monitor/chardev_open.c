/*
 * Opens character back ends from their specs, spelled as QEMU's.
 *
 * Invariant: a back end that is returned has only non-blocking descriptors, or may_block set; one that fails leaves no descriptor behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <termios.h>
#include <unistd.h>

#include "monitor/chardev_backend.h"
#include "monitor/log.h"
#include "monitor/terminal.h"
#include "monitor/vm.h"

struct open_error {
	char *text;
	size_t size;
};

static bool failed(struct open_error *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool failed(struct open_error *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(e->text, e->size, fmt, ap);
	va_end(ap);
	return false;
}

static bool open_file(struct chardev *c, const char *path, struct open_error *e)
{
	struct stat st;
	int flags = O_WRONLY | O_CREAT | O_TRUNC;

	if (!*path)
		return failed(e, "file: needs a file name");
	/* Opening a FIFO for writing alone would wait for a reader, or fail without one. */
	if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
		flags = O_RDWR;
	c->out_fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
	if (c->out_fd < 0)
		return failed(e, "%s: %s", path, strerror(errno));
	c->kind = CHARDEV_FILE;
	c->own_out = true;
	c->connected = true;
	return true;
}

/*
 * A terminal or pipe behind an inherited descriptor, opened anew: a file description of our own that can be made non-blocking without the
 * shell's (which shares the inherited one) becoming so. Regular files never block, and a new description would have its own offset. -1: not
 * possible.
 */
static int reopen(int fd, int flags)
{
	char path[32];
	struct stat st;

	if (fstat(fd, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static bool open_stdio(struct chardev *c, struct open_error *e)
{
	for (struct chardev *o = c->vm->chardevs; o; o = o->next)
		if (o->kind == CHARDEV_STDIO)
			return failed(e, "stdio is in use by another device");
	c->kind = CHARDEV_STDIO;
	c->is_terminal = terminal_raw(STDIN_FILENO);
	c->in_fd = reopen(STDIN_FILENO, O_RDONLY);
	c->own_in = c->in_fd >= 0;
	if (!c->own_in)
		c->in_fd = STDIN_FILENO;
	c->out_fd = reopen(STDOUT_FILENO, O_WRONLY);
	c->own_out = c->out_fd >= 0;
	if (!c->own_out) {
		c->out_fd = STDOUT_FILENO;
		c->may_block = true;
	}
	c->connected = true;
	return true;
}

static bool parse_switch(const char *item, size_t n, const char *name, bool *value)
{
	size_t k = strlen(name);

	if (n < k || memcmp(item, name, k) != 0)
		return false;
	if (n == k || (n == k + 3 && memcmp(item + k, "=on", 3) == 0))
		*value = true;
	else if (n == k + 4 && memcmp(item + k, "=off", 4) == 0)
		*value = false;
	else
		return false;
	return true;
}

static bool wait_for_peer(struct chardev *c, const char *where, bool wait, struct open_error *e)
{
	if (wait) {
		int peer;

		fprintf(stderr, "ringer: waiting for a connection on %s\n", where);
		do
			peer = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		while (peer < 0 && (errno == EINTR || errno == ECONNABORTED));
		if (peer < 0)
			return failed(e, "%s: %s", where, strerror(errno));
		c->in_fd = c->out_fd = peer;
		c->connected = true;
	}
	/* From now on accept() is called from the event loop, where the peer may have gone again. */
	fcntl(c->listen_fd, F_SETFL, O_NONBLOCK);
	return true;
}

static bool listen_on(struct chardev *c, const struct sockaddr_un *addr, bool wait, struct open_error *e)
{
	struct stat st;

	/* What a run that was killed has left behind; nothing but a socket is removed. */
	if (lstat(addr->sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(addr->sun_path);
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->listen_fd < 0 || bind(c->listen_fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0) {
		failed(e, "%s: %s", addr->sun_path, strerror(errno));
		if (c->listen_fd >= 0)
			close(c->listen_fd);
		c->listen_fd = -1;
		return false;
	}
	memcpy(c->path, addr->sun_path, sizeof(c->path));
	if (listen(c->listen_fd, 1) < 0)
		return failed(e, "%s: %s", addr->sun_path, strerror(errno));
	return wait_for_peer(c, addr->sun_path, wait, e);
}

/* PATH[,server[=on|off]][,wait[=on|off]][,nowait] */
static bool open_unix(struct chardev *c, const char *spec, struct open_error *e)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	bool server = false, wait = true, nowait;
	size_t n = strcspn(spec, ",");

	c->kind = CHARDEV_SOCKET;
	c->own_in = c->own_out = true;
	if (!n)
		return failed(e, "unix: needs a path");
	if (n >= sizeof(addr.sun_path))
		return failed(e, "unix: the path is longer than %zu characters", sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, spec, n);
	for (spec += n; *spec == ','; spec += n) {
		spec++;
		n = strcspn(spec, ",");
		if (parse_switch(spec, n, "server", &server) || parse_switch(spec, n, "wait", &wait))
			continue;
		if (!parse_switch(spec, n, "nowait", &nowait))
			return failed(e, "unix: invalid option '%.*s'", (int)MIN(n, 60), spec);
		wait = !nowait;
	}
	if (server)
		return listen_on(c, &addr, wait, e);
	c->in_fd = c->out_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->in_fd < 0 || connect(c->in_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return failed(e, "%s: %s", addr.sun_path, strerror(errno));
	fcntl(c->in_fd, F_SETFL, O_NONBLOCK);
	c->connected = true;
	return true;
}

/* [HOST]:PORT[,server[=on|off]][,wait[=on|off]][,nowait][,nodelay[=on|off]]; what is sent is never held back, with nodelay or without. */
static bool open_tcp(struct chardev *c, const char *spec, struct open_error *e)
{
	bool server = false, wait = true, other;
	size_t n = strcspn(spec, ","), host = n;
	const char *where = spec;
	char name[80];
	int fd;

	c->kind = CHARDEV_SOCKET;
	c->own_in = c->own_out = true;
	for (spec += n; *spec == ','; spec += n) {
		spec++;
		n = strcspn(spec, ",");
		if (parse_switch(spec, n, "server", &server) || parse_switch(spec, n, "wait", &wait) ||
		    parse_switch(spec, n, "nodelay", &other))
			continue;
		if (!parse_switch(spec, n, "nowait", &other))
			return failed(e, "tcp: invalid option '%.*s'", (int)MIN(n, 60), spec);
		wait = !other;
	}
	fd = chardev_open_tcp(where, host, server, e->text, e->size);
	if (fd < 0)
		return false;
	if (server) {
		c->listen_fd = fd;
		snprintf(name, sizeof(name), "%.*s", (int)MIN(host, sizeof(name) - 1), where);
		return wait_for_peer(c, name, wait, e);
	}
	c->in_fd = c->out_fd = fd;
	c->connected = true;
	return true;
}

/* As QEMU names its devices; told by whose spec this is. */
static void label(const struct vm *vm, const char *spec, char *buf, size_t size)
{
	for (unsigned i = 0; i < vm->opt.serial_count; i++) {
		if (vm->opt.serial[i] == spec) {
			snprintf(buf, size, "serial%u", i);
			return;
		}
	}
	for (unsigned i = 0; i < vm->opt.monitor_count; i++) {
		if (vm->opt.monitor[i] == spec) {
			snprintf(buf, size, "compat_monitor%u", i);
			return;
		}
	}
	snprintf(buf, size, "%s", vm->opt.debugcon == spec ? "debugcon" : "chardev");
}

static bool open_pty(struct chardev *c, struct open_error *e)
{
	char name[64];
	struct termios t;
	int slave;

	c->kind = CHARDEV_PTY;
	c->own_in = c->own_out = true;
	c->in_fd = c->out_fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (c->in_fd < 0 || grantpt(c->in_fd) < 0 || unlockpt(c->in_fd) < 0 || ptsname_r(c->in_fd, name, sizeof(name)) != 0)
		return failed(e, "pty: %s", strerror(errno));
	/* Only once it was opened and closed does the master tell by POLLHUP that nobody is there. */
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return failed(e, "%s: %s", name, strerror(errno));
	if (tcgetattr(slave, &t) == 0) {
		cfmakeraw(&t);
		tcsetattr(slave, TCSANOW, &t);
	}
	close(slave);
	c->pty_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (c->pty_timer < 0)
		return failed(e, "pty: %s", strerror(errno));
	snprintf(c->name, sizeof(c->name), "pty:%s", name);
	printf("char device redirected to %s (label %s)\n", name, c->label);
	fflush(stdout);
	return true;
}

static bool open_spec(struct chardev *c, const char *spec, struct open_error *e)
{
	if (strncmp(spec, "mon:", 4) == 0) {
		spec += 4;
		c->shared = c->escapes = true;
	}
	if (strcmp(spec, "none") == 0 || strcmp(spec, "null") == 0)
		return true;
	if (strcmp(spec, "stdio") == 0) {
		c->escapes = true;
		return open_stdio(c, e);
	}
	if (strncmp(spec, "file:", 5) == 0)
		return open_file(c, spec + 5, e);
	if (strncmp(spec, "unix:", 5) == 0)
		return open_unix(c, spec + 5, e);
	if (strncmp(spec, "tcp:", 4) == 0)
		return open_tcp(c, spec + 4, e);
	if (strcmp(spec, "pty") == 0)
		return open_pty(c, e);
	return failed(e, "'%.100s' is not a character device: stdio, file:F, unix:F, tcp:HOST:PORT, pty, none or null", spec);
}

struct chardev *chardev_open(struct vm *vm, const char *spec, char *err, size_t err_size)
{
	struct open_error e = {err, err_size};
	struct chardev *c = calloc(1, sizeof(*c));

	if (!c) {
		failed(&e, "out of memory");
		return NULL;
	}
	c->vm = vm;
	c->in_fd = c->out_fd = c->listen_fd = c->pty_timer = -1;
	label(vm, spec, c->label, sizeof(c->label));
	snprintf(c->name, sizeof(c->name), "%s", spec);
	if (open_spec(c, spec, &e)) {
		chardev_start(c);
		return c;
	}
	if (c->in_fd >= 0)
		close(c->in_fd);
	if (c->listen_fd >= 0) {
		close(c->listen_fd);
		if (*c->path)
			unlink(c->path);
	}
	free(c);
	return NULL;
}
