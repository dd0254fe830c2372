/*
 * Character back ends: buffers, the stdio escapes, and what happens when a peer comes, goes or is slow. Specs are opened in chardev_open.c.
 *
 * Invariants: nothing here waits while vm->lock is held: descriptors are non-blocking, or (stdio that could not be opened anew) are asked
 * by poll() first. A descriptor that the process shares with others never gets O_NONBLOCK. What the peer does not take at once waits in a
 * bounded ring for POLLOUT; devices gather bytes into lines (devices/txbuf.c), so each write is worth its system call. Without a peer,
 * output is dropped. Input that the front end has no room for waits in its `in`; while that is full nothing is read, except where Ctrl-A
 * must always work: there, input is dropped. Of a shared back end (mon:) input goes to the front end in focus, output comes from both.
 */
#include "monitor/chardev.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "monitor/chardev_backend.h"
#include "monitor/log.h"
#include "monitor/text.h"
#include "monitor/vm.h"

#define FLUSH_DELAY_NS 1000000ull
#define FLUSH_AT       4096
#define PTY_POLL_NS    200000000
/* At the end: how long a peer that does not read is waited for, and how long one that reads slowly. */
#define DRAIN_STALL_MS 200
#define DRAIN_MAX_NS   (2 * NS_PER_SEC)
/* A write of this size after poll() has said POLLOUT does not block on a pipe, and hardly ever on a terminal. */
#define BLOCKING_CHUNK 256
#define ESCAPE_CHAR    0x01

static const char escape_help[] = "\r\n"
				  "Ctrl-A h    this help\r\n"
				  "Ctrl-A x    quit\r\n"
				  "Ctrl-A b    send a break\r\n";
static const char escape_help_shared[] = "Ctrl-A c    switch between console and monitor\r\n";
static const char escape_help_end[] = "Ctrl-A Ctrl-A  send Ctrl-A\r\n";

static void on_ready(void *opaque, int fd, int revents);
static void on_listen(void *opaque, int fd, int revents);

static void watch(struct chardev *c, int fd, int events)
{
	if (fd >= 0)
		event_watch_fd(c->vm, fd, events, on_ready, c);
}

static void tell(struct chardev_front *f, enum chardev_event ev)
{
	if (f->client.event)
		f->client.event(f->client.opaque, ev);
}

static void tell_all(struct chardev *c, enum chardev_event ev)
{
	for (unsigned i = 0; i < FRONTS; i++)
		tell(&c->front[i], ev);
}

static bool may_drop_input(const struct chardev *c)
{
	return (c->is_terminal || c->shared) && c->escapes;
}

static bool wants_input(const struct chardev *c)
{
	return c->in_fd >= 0 && c->connected && (c->front[c->focus].in_len < CHARDEV_IN_SIZE || may_drop_input(c));
}

/* Makes the event loop's watches those that the state asks for. */
static void update_watches(struct chardev *c)
{
	int in = wants_input(c) ? POLLIN : 0, out = c->out_blocked ? POLLOUT : 0;

	if (in == c->watched_in && out == c->watched_out)
		return;
	c->watched_in = in;
	c->watched_out = out;
	if (c->in_fd == c->out_fd) {
		watch(c, c->in_fd, in | out);
	} else {
		watch(c, c->in_fd, in);
		watch(c, c->out_fd, out);
	}
}

static void drop_output(struct chardev *c)
{
	c->out_len = 0;
	c->out_blocked = false;
}

static void pty_look_again(struct chardev *c)
{
	timerfd_settime(c->pty_timer, 0, &(struct itimerspec){.it_value = {0, PTY_POLL_NS}}, NULL);
}

/* The peer is gone: for good, or until the next one connects. */
static void disconnect(struct chardev *c)
{
	c->connected = false;
	drop_output(c);
	update_watches(c);
	if (c->kind == CHARDEV_PTY) {
		pty_look_again(c);
	} else if (c->kind == CHARDEV_SOCKET) {
		close(c->in_fd);
		c->in_fd = c->out_fd = -1;
		if (c->listen_fd >= 0)
			event_watch_fd(c->vm, c->listen_fd, POLLIN, on_listen, c);
	}
	tell_all(c, CHARDEV_CLOSED);
}

void chardev_disconnect(struct chardev *c)
{
	for (unsigned i = 0; i < FRONTS; i++)
		c->front[i].in_len = 0;
	if (c->connected && c->kind == CHARDEV_SOCKET)
		disconnect(c);
}

bool chardev_is_connected(const struct chardev *c)
{
	return c->connected;
}

static ssize_t write_some(struct chardev *c, const u8 *p, size_t n)
{
	if (c->kind == CHARDEV_SOCKET)
		return send(c->out_fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (c->may_block) {
		struct pollfd pfd = {.fd = c->out_fd, .events = POLLOUT};

		if (poll(&pfd, 1, 0) <= 0) {
			errno = EAGAIN;
			return -1;
		}
		n = MIN(n, BLOCKING_CHUNK);
	}
	return write(c->out_fd, p, n);
}

static void flush_output(struct chardev *c)
{
	while (c->out_len) {
		size_t n = MIN(c->out_len, sizeof(c->out) - c->out_head);
		ssize_t done = write_some(c, c->out + c->out_head, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			c->out_blocked = true;
			update_watches(c);
			return;
		}
		if (done < 0) {
			if (c->kind == CHARDEV_SOCKET || c->kind == CHARDEV_PTY) {
				disconnect(c);
				return;
			}
			/* Input may still come: only the output is over. */
			if (errno != EPIPE && errno != EIO)
				warn("%s: %m: further output is dropped", c->name);
			c->out_gone = true;
			drop_output(c);
			break;
		}
		c->out_head = (c->out_head + (size_t)done) % sizeof(c->out);
		c->out_len -= (size_t)done;
	}
	c->out_blocked = false;
	update_watches(c);
}

/* Tells those that have been refused. */
static void tell_room(struct chardev *c)
{
	if (!c->refused || c->out_len == sizeof(c->out))
		return;
	c->refused = false;
	tell_all(c, CHARDEV_WRITABLE);
}

size_t chardev_write(struct chardev *c, const u8 *buf, size_t n)
{
	size_t taken = 0;

	if (c->out_fd < 0 || !c->connected || c->out_gone)
		return n;
	while (taken < n && c->out_len < sizeof(c->out)) {
		size_t tail = (c->out_head + c->out_len) % sizeof(c->out);
		size_t k = MIN(n - taken, MIN(sizeof(c->out) - tail, sizeof(c->out) - c->out_len));

		memcpy(c->out + tail, buf + taken, k);
		c->out_len += k;
		taken += k;
	}
	if (!c->out_blocked)
		flush_output(c);
	c->refused = c->refused || taken < n;
	return taken;
}

static void deliver_to(struct chardev_front *f)
{
	while (f->in_len && f->client.receive) {
		size_t n = MIN(f->in_len, f->client.can_receive(f->client.opaque));
		u8 chunk[64];

		n = MIN(n, sizeof(chunk));
		if (!n)
			break;
		/* Out of the buffer first: the front end may call chardev_accept_input from within. */
		memcpy(chunk, f->in, n);
		memmove(f->in, f->in + n, f->in_len - n);
		f->in_len -= n;
		f->client.receive(f->client.opaque, chunk, n);
	}
}

static void deliver_input(struct chardev *c)
{
	for (unsigned i = 0; i < FRONTS; i++)
		deliver_to(&c->front[i]);
}

static void say(struct chardev *c, const char *text)
{
	chardev_write(c, (const u8 *)text, strlen(text));
}

/* Takes one byte of input through the escape state machine; returns whether it is for the front end. */
static bool filter_escape(struct chardev *c, u8 byte)
{
	if (!c->escape_seen) {
		c->escape_seen = byte == ESCAPE_CHAR;
		return !c->escape_seen;
	}
	c->escape_seen = false;
	switch (byte) {
	case ESCAPE_CHAR:
		return true;
	case 'x':
		say(c, "\r\nringer: terminated\r\n");
		vm_request_exit(c->vm, VM_QUIT, 0);
		return false;
	case 'h':
	case '?':
		say(c, escape_help);
		if (c->shared)
			say(c, escape_help_shared);
		say(c, escape_help_end);
		return false;
	case 'b':
		tell(&c->front[FRONT_DEVICE], CHARDEV_BREAK);
		return false;
	case 'c':
		if (c->shared && c->front[FRONT_CONSOLE].client.receive) {
			c->focus = c->focus == FRONT_DEVICE ? FRONT_CONSOLE : FRONT_DEVICE;
			tell(&c->front[c->focus], CHARDEV_FOCUS);
		}
		return false;
	default:
		return false;
	}
}

static void read_input(struct chardev *c)
{
	u8 buf[256];
	size_t room = CHARDEV_IN_SIZE - c->front[c->focus].in_len;
	ssize_t n = read(c->in_fd, buf, may_drop_input(c) ? sizeof(buf) : MIN(sizeof(buf), room));

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		if (c->kind == CHARDEV_STDIO) {
			/* End of input; output goes on. */
			watch(c, c->in_fd, 0);
			c->watched_in = 0;
			if (c->own_in)
				close(c->in_fd);
			c->in_fd = -1;
			tell_all(c, CHARDEV_CLOSED);
		} else {
			disconnect(c);
		}
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		struct chardev_front *f;

		/* What was typed before an escape comes before it. */
		if (c->escapes && buf[i] == ESCAPE_CHAR && !c->escape_seen)
			deliver_input(c);
		if (c->escapes && !filter_escape(c, buf[i]))
			continue;
		f = &c->front[c->focus];
		if (f->in_len < sizeof(f->in))
			f->in[f->in_len++] = buf[i];
	}
	deliver_input(c);
}

static void on_ready(void *opaque, int fd, int revents)
{
	struct chardev *c = opaque;

	if (fd == c->out_fd && c->out_blocked && (revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)))
		flush_output(c);
	tell_room(c);
	if (fd == c->in_fd && wants_input(c) && (revents & (POLLIN | POLLERR | POLLHUP | POLLNVAL)))
		read_input(c);
	update_watches(c);
}

static void on_listen(void *opaque, int fd, int revents)
{
	struct chardev *c = opaque;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	if (peer < 0)
		return;
	event_watch_fd(c->vm, c->listen_fd, 0, NULL, NULL);
	c->in_fd = c->out_fd = peer;
	c->connected = true;
	/* What its predecessor has left is not its own. */
	for (unsigned i = 0; i < FRONTS; i++)
		c->front[i].in_len = 0;
	c->escape_seen = false;
	update_watches(c);
	tell_all(c, CHARDEV_OPENED);
}

/* Whether somebody has opened the pty's other side. */
static void look_at_pty(struct chardev *c)
{
	struct pollfd pfd = {.fd = c->in_fd, .events = POLLOUT};

	if (poll(&pfd, 1, 0) >= 0 && !(pfd.revents & POLLHUP)) {
		c->connected = true;
		update_watches(c);
		tell_all(c, CHARDEV_OPENED);
	} else {
		pty_look_again(c);
	}
}

static void on_pty_timer(void *opaque, int fd, int revents)
{
	struct chardev *c = opaque;
	u64 count;

	(void)revents;
	if (read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) && !c->connected)
		look_at_pty(c);
}

void chardev_start(struct chardev *c)
{
	c->next = c->vm->chardevs;
	c->vm->chardevs = c;
	if (c->kind == CHARDEV_PTY) {
		event_watch_fd(c->vm, c->pty_timer, POLLIN, on_pty_timer, c);
		look_at_pty(c);
	} else if (c->listen_fd >= 0 && !c->connected) {
		event_watch_fd(c->vm, c->listen_fd, POLLIN, on_listen, c);
	}
	update_watches(c);
}

static void attach(struct chardev *c, unsigned front, const struct chardev_client *client)
{
	c->front[front].client = client ? *client : (struct chardev_client){0};
	deliver_input(c);
	update_watches(c);
}

void chardev_attach(struct chardev *c, const struct chardev_client *client)
{
	attach(c, FRONT_DEVICE, client);
	if (c->connected)
		tell(&c->front[FRONT_DEVICE], CHARDEV_OPENED);
}

void chardev_attach_console(struct chardev *c, const struct chardev_client *client)
{
	attach(c, FRONT_CONSOLE, client);
	if (!client)
		c->focus = FRONT_DEVICE;
}

struct chardev *chardev_shared(struct vm *vm, unsigned nth)
{
	for (struct chardev *c = vm->chardevs; c; c = c->next)
		if (c->shared && nth-- == 0)
			return c;
	return NULL;
}

void chardev_no_escapes(struct chardev *c)
{
	c->escapes = false;
}

bool chardev_is_terminal(const struct chardev *c)
{
	return c->is_terminal;
}

bool chardev_is_pty(const struct chardev *c)
{
	return c->kind == CHARDEV_PTY;
}

void chardev_print_all(const struct vm *vm, struct text *out)
{
	for (const struct chardev *c = vm->chardevs; c; c = c->next)
		text_printf(out, "%s: filename=%s\n", c->label, c->name);
}

void chardev_accept_input(struct chardev *c)
{
	if (!c->front[FRONT_DEVICE].in_len && !c->front[FRONT_CONSOLE].in_len)
		return;
	deliver_input(c);
	update_watches(c);
}

static void drain(struct chardev *c)
{
	u64 start = clock_ns(&c->vm->clock);

	flush_output(c);
	while (c->out_len && clock_ns(&c->vm->clock) - start < DRAIN_MAX_NS) {
		struct pollfd pfd = {.fd = c->out_fd, .events = POLLOUT};

		if (poll(&pfd, 1, DRAIN_STALL_MS) <= 0)
			break;
		flush_output(c);
	}
}

void chardev_close(struct chardev *c)
{
	struct chardev **p;

	if (!c)
		return;
	if (c->out_fd >= 0 && c->connected)
		drain(c);
	if (c->pty_timer >= 0) {
		event_watch_fd(c->vm, c->pty_timer, 0, NULL, NULL);
		close(c->pty_timer);
	}
	watch(c, c->in_fd, 0);
	watch(c, c->out_fd, 0);
	if (c->own_out && c->out_fd >= 0 && c->out_fd != c->in_fd)
		close(c->out_fd);
	if (c->own_in && c->in_fd >= 0)
		close(c->in_fd);
	if (c->listen_fd >= 0) {
		event_watch_fd(c->vm, c->listen_fd, 0, NULL, NULL);
		close(c->listen_fd);
		if (*c->path)
			unlink(c->path);
	}
	for (p = &c->vm->chardevs; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	free(c);
}
