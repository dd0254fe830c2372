/*
 * Character back ends: where a serial port's bytes go (`-serial stdio|file:F|unix:F[,server][,nowait]|tcp:HOST:PORT[,server][,nowait]|pty|
 * none|null`, `-debugcon` alike).
 * `mon:` in front of a spec makes it the escape multiplexer of `-nographic`: Ctrl-A c switches between the device and the console, which
 * share it; Ctrl-A x quits, Ctrl-A h helps, Ctrl-A Ctrl-A sends Ctrl-A, Ctrl-A b a break. All but Ctrl-A c are there on plain stdio as
 * well. The terminal is raw while Ringer runs and is restored on every exit path. Called with vm->lock held unless said otherwise.
 */
#ifndef RINGER_CHARDEV_H
#define RINGER_CHARDEV_H

#include "monitor/types.h"

struct vm;
struct chardev;

enum chardev_event {
	CHARDEV_BREAK,
	CHARDEV_OPENED,	  /* a peer has come */
	CHARDEV_CLOSED,	  /* and gone */
	CHARDEV_FOCUS,	  /* Ctrl-A c: what is typed goes to this front end from now on */
	CHARDEV_WRITABLE, /* there is room again after chardev_write has taken less than all */
};

struct chardev_client {
	void *opaque;
	/* How many bytes the front end can take now; the back end keeps the rest until chardev_accept_input. */
	size_t (*can_receive)(void *opaque);
	void (*receive)(void *opaque, const u8 *buf, size_t n);
	void (*event)(void *opaque, enum chardev_event ev); /* may be NULL */
};

/* Parses a spec and opens it. NULL on error with a one-line reason in err. Without the lock, at start-up. */
struct chardev *chardev_open(struct vm *vm, const char *spec, char *err, size_t err_size);
void chardev_close(struct chardev *c);
void chardev_attach(struct chardev *c, const struct chardev_client *client);
/* The second front end of a back end that was opened with `mon:`; NULL: none any more. */
void chardev_attach_console(struct chardev *c, const struct chardev_client *client);
/* The nth back end that was opened with `mon:`, or NULL. */
struct chardev *chardev_shared(struct vm *vm, unsigned nth);
/* Ctrl-A is a character like any other: for a front end that has its own ways to end. */
void chardev_no_escapes(struct chardev *c);
/* Somebody types at it whose terminal does no editing of its own: the process's terminal; a pseudo-terminal. */
bool chardev_is_terminal(const struct chardev *c);
bool chardev_is_pty(const struct chardev *c);
/* A line for each open back end: its device's name as QEMU has it, and what it is. */
struct text;
void chardev_print_all(const struct vm *vm, struct text *out);
/* Never blocks for long: returns how many bytes were taken (0 if the peer is slow: try again later); a none/null or peerless back end takes
 * all. */
size_t chardev_write(struct chardev *c, const u8 *buf, size_t n);
/* Whether there is somebody at the other side. */
bool chardev_is_connected(const struct chardev *c);
/* Sends a socket's peer away, with CHARDEV_CLOSED; a server waits for the next. */
void chardev_disconnect(struct chardev *c);
/* The front end has room again. */
void chardev_accept_input(struct chardev *c);
/* Restores the terminal's settings. Async-signal-safe, any thread, any number of times. */
void terminal_restore(void);

#endif
