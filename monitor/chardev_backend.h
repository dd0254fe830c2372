/* What chardev.c (buffers, escapes) and chardev_open.c (specs, descriptors) share; private to the two. */
#ifndef RINGER_CHARDEV_BACKEND_H
#define RINGER_CHARDEV_BACKEND_H

#include <sys/un.h>

#include "monitor/chardev.h"
#include "monitor/event.h"

#define CHARDEV_OUT_SIZE 65536
#define CHARDEV_IN_SIZE	 4096

enum chardev_kind { CHARDEV_NULL, CHARDEV_FILE, CHARDEV_STDIO, CHARDEV_SOCKET, CHARDEV_PTY };

struct chardev {
	struct vm *vm;
	struct chardev *next; /* vm->chardevs */
	enum chardev_kind kind;
	char name[32]; /* for messages */
	struct chardev_client client;

	int in_fd, out_fd, listen_fd; /* -1: none; in and out may be the same */
	bool own_in, own_out;	      /* to be closed by us */
	bool may_block;		      /* out_fd is a descriptor without O_NONBLOCK */
	bool is_terminal;	      /* stdio: somebody types */
	bool connected;		      /* there is a peer */
	bool out_gone;		      /* output failed for good; input may go on */
	bool escape_seen;	      /* stdio: the last byte was Ctrl-A */
	bool raw;		      /* stdio: Ctrl-A is a byte as any other */
	bool out_blocked;	      /* waits for POLLOUT */
	int watched_in, watched_out;  /* events now watched */
	struct timer pty_timer;

	size_t in_len;
	u8 in[CHARDEV_IN_SIZE];
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
