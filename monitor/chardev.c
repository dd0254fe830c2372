/*
 * Character back ends: buffers, the stdio escapes, and what happens when a peer comes, goes or is slow. Specs are opened in chardev_open.c.
 *
 * Invariants: nothing here waits while vm->lock is held: descriptors are non-blocking, or (stdio that could not be opened anew) are asked
 * by poll() first. A descriptor that the process shares with others never gets O_NONBLOCK. What the peer does not take at once waits in a
 * bounded ring for POLLOUT; devices gather bytes into lines (devices/txbuf.c), so each write is worth its system call. Without a peer,
 * output is dropped. Input that the front end has no room for waits in `in`; while that is full nothing is read, except from a terminal,
 * whose Ctrl-A must always work: there, input is dropped.
 */
#include "monitor/chardev.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/chardev_backend.h"
#include "monitor/log.h"
#include "monitor/vm.h"

#define FLUSH_DELAY_NS 1000000ull
#define FLUSH_AT       4096
#define PTY_POLL_NS    200000000ull
/* At the end: how long a peer that does not read is waited for, and how long one that reads slowly. */
#define DRAIN_STALL_MS 200
#define DRAIN_MAX_NS   (2 * NS_PER_SEC)
/* A write of this size after poll() has said POLLOUT does not block on a pipe, and hardly ever on a terminal. */
#define BLOCKING_CHUNK 256
#define ESCAPE_CHAR    0x01

static const char escape_help[] = "\r\n"
				  "Ctrl-A h    this help\r\n"
				  "Ctrl-A x    quit\r\n"
				  "Ctrl-A b    send a break\r\n"
				  "Ctrl-A Ctrl-A  send Ctrl-A\r\n";

static void on_ready(void *opaque, int fd, int revents);
static void on_listen(void *opaque, int fd, int revents);

static void watch(struct chardev *c, int fd, int events)
{
	if (fd >= 0)
		event_watch_fd(c->vm, fd, events, on_ready, c);
}

static bool wants_input(const struct chardev *c)
{
	return c->in_fd >= 0 && c->connected && (c->in_len < sizeof(c->in) || c->is_terminal);
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

static void tell(struct chardev *c, enum chardev_event ev)
{
	if (c->client.event)
		c->client.event(c->client.opaque, ev);
}

/* The peer is gone: for good, or until the next one connects. */
static void disconnect(struct chardev *c)
{
	c->connected = false;
	drop_output(c);
	update_watches(c);
	if (c->kind == CHARDEV_PTY) {
		timer_mod(&c->pty_timer, clock_ns(&c->vm->clock) + PTY_POLL_NS);
	} else if (c->kind == CHARDEV_SOCKET) {
		close(c->in_fd);
		c->in_fd = c->out_fd = -1;
		if (c->listen_fd >= 0)
			event_watch_fd(c->vm, c->listen_fd, POLLIN, on_listen, c);
	}
}

static void lose_peer(struct chardev *c)
{
	disconnect(c);
	tell(c, CHARDEV_CLOSED);
}

void chardev_disconnect(struct chardev *c)
{
	c->in_len = 0;
	if (c->connected && c->kind == CHARDEV_SOCKET)
		lose_peer(c);
}

bool chardev_is_connected(const struct chardev *c)
{
	return c->connected;
}

void chardev_no_escapes(struct chardev *c)
{
	c->raw = true;
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
				lose_peer(c);
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
	return taken;
}

static void deliver_input(struct chardev *c)
{
	while (c->in_len && c->client.receive) {
		size_t n = MIN(c->in_len, c->client.can_receive(c->client.opaque));
		u8 chunk[64];

		n = MIN(n, sizeof(chunk));
		if (!n)
			break;
		/* Out of the buffer first: the front end may call chardev_accept_input from within. */
		memcpy(chunk, c->in, n);
		memmove(c->in, c->in + n, c->in_len - n);
		c->in_len -= n;
		c->client.receive(c->client.opaque, chunk, n);
	}
}

static void say(struct chardev *c, const char *text)
{
	chardev_write(c, (const u8 *)text, strlen(text));
}

/* Takes one byte of stdio input through the escape state machine; returns whether it is for the guest. */
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
		return false;
	case 'b':
		tell(c, CHARDEV_BREAK);
		return false;
	default:
		return false;
	}
}

static void read_input(struct chardev *c)
{
	u8 buf[256];
	size_t room = sizeof(c->in) - c->in_len;
	ssize_t n = read(c->in_fd, buf, c->is_terminal ? sizeof(buf) : MIN(sizeof(buf), room));

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
			tell(c, CHARDEV_CLOSED);
		} else {
			lose_peer(c);
		}
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (c->kind == CHARDEV_STDIO && !c->raw && !filter_escape(c, buf[i]))
			continue;
		if (c->in_len < sizeof(c->in))
			c->in[c->in_len++] = buf[i];
	}
	deliver_input(c);
}

static void on_ready(void *opaque, int fd, int revents)
{
	struct chardev *c = opaque;

	if (fd == c->out_fd && c->out_blocked && (revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)))
		flush_output(c);
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
	update_watches(c);
	tell(c, CHARDEV_OPENED);
}

/* Whether somebody has opened the pty's other side. */
static void on_pty_timer(void *opaque)
{
	struct chardev *c = opaque;
	struct pollfd pfd = {.fd = c->in_fd, .events = POLLOUT};

	if (poll(&pfd, 1, 0) >= 0 && !(pfd.revents & POLLHUP)) {
		c->connected = true;
		update_watches(c);
		tell(c, CHARDEV_OPENED);
	} else {
		timer_mod(&c->pty_timer, clock_ns(&c->vm->clock) + PTY_POLL_NS);
	}
}

void chardev_start(struct chardev *c)
{
	timer_init(&c->pty_timer, c->vm, on_pty_timer, c);
	c->next = c->vm->chardevs;
	c->vm->chardevs = c;
	if (c->kind == CHARDEV_PTY)
		on_pty_timer(c);
	else if (c->listen_fd >= 0 && !c->connected)
		event_watch_fd(c->vm, c->listen_fd, POLLIN, on_listen, c);
	update_watches(c);
}

void chardev_attach(struct chardev *c, const struct chardev_client *client)
{
	c->client = *client;
	deliver_input(c);
	update_watches(c);
}

void chardev_accept_input(struct chardev *c)
{
	if (!c->in_len)
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
	timer_del(&c->pty_timer);
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
