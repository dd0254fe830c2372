/* What chardev.c (buffers, escapes) and chardev_open.c (specs, descriptors) share; private to the two. */
#ifndef RINGER_CHARDEV_BACKEND_H
#define RINGER_CHARDEV_BACKEND_H

#include <sys/un.h>

#include "monitor/chardev.h"
#include "monitor/event.h"

#define CHARDEV_OUT_SIZE 65536
#define CHARDEV_IN_SIZE	 4096

/* Who takes the input: the device, or the console that shares the back end with it. */
struct chardev_front {
	struct chardev_client client;
	size_t in_len;
	u8 in[CHARDEV_IN_SIZE];
};
enum { FRONT_DEVICE, FRONT_CONSOLE, FRONTS };

enum chardev_kind { CHARDEV_NULL, CHARDEV_FILE, CHARDEV_STDIO, CHARDEV_SOCKET, CHARDEV_PTY };

struct chardev {
	struct vm *vm;
	struct chardev *next; /* vm->chardevs */
	enum chardev_kind kind;
	char name[160]; /* as it was asked for; a pty's with its path. For messages */
	char label[32]; /* the device's, as QEMU names it */

	int in_fd, out_fd, listen_fd; /* -1: none; in and out may be the same */
	bool own_in, own_out;	      /* to be closed by us */
	bool may_block;		      /* out_fd is a descriptor without O_NONBLOCK */
	bool is_terminal;	      /* stdio: somebody types */
	bool connected;		      /* there is a peer */
	bool out_gone;		      /* output failed for good; input may go on */
	bool shared;		      /* mon: the console's as well */
	bool escapes;		      /* Ctrl-A is one */
	bool escape_seen;	      /* the last byte was Ctrl-A */
	bool refused;		      /* chardev_write has taken less than all */
	bool out_blocked;	      /* waits for POLLOUT */
	int watched_in, watched_out;  /* events now watched */
	int pty_timer;		      /* a timerfd, for vm time may stand still; -1: none */

	unsigned focus; /* FRONT_* */
	struct chardev_front front[FRONTS];
	size_t out_head, out_len;
	u8 out[CHARDEV_OUT_SIZE];				/* ring */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* of listen_fd */
};

/*
 * TCP, HOST:PORT or [IPv6]:PORT, n characters at spec; an empty host is the loopback interface. A listening socket, or a connected one; -1
 * with the reason in err.
 */
int chardev_open_tcp(const char *spec, size_t n, bool server, char *err, size_t err_size);
/* Links an opened back end into vm->chardevs and starts its watches and timers. */
void chardev_start(struct chardev *c);

#endif
