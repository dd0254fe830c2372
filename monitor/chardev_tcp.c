/*
 * TCP sockets for character back ends. A server listens on one address: that of the host it was given, else the loopback interface's, for
 * what is behind a back end (a serial console, the debugger) asks nobody for a password.
 *
 * Invariant: a descriptor that is returned is not inherited by other programs; a connected one is non-blocking.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/chardev_backend.h"

#define LOOPBACK "127.0.0.1"

/* HOST:PORT or [HOST]:PORT. */
static bool split(const char *spec, size_t n, char host[256], char port[16])
{
	const char *colon = memrchr(spec, ':', n);
	size_t k = colon ? (size_t)(colon - spec) : 0, digits = colon ? n - k - 1 : 0;

	if (!colon || k >= 256 || !digits || digits >= 16)
		return false;
	memcpy(port, colon + 1, digits);
	port[digits] = '\0';
	if (strspn(port, "0123456789") != digits || strlen(port) > 5)
		return false;
	if (k >= 2 && spec[0] == '[' && spec[k - 1] == ']') {
		spec++;
		k -= 2;
	}
	memcpy(host, spec, k);
	host[k] = '\0';
	return true;
}

static int open_one(const struct addrinfo *a, bool server)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, saved;

	if (fd < 0)
		return -1;
	/* Of a server the accepted ones take it over. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (server) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 1) == 0)
			return fd;
	} else if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
		fcntl(fd, F_SETFL, O_NONBLOCK);
		return fd;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int chardev_open_tcp(const char *spec, size_t n, bool server, char *err, size_t err_size)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | (server ? AI_PASSIVE : 0)}, *list;
	char host[256], port[16];
	int fd = -1, failure;

	if (!split(spec, n, host, port)) {
		snprintf(err, err_size, "'tcp:%.*s' is not tcp:[HOST]:PORT", (int)MIN(n, 100), spec);
		return -1;
	}
	failure = getaddrinfo(*host ? host : LOOPBACK, port, &hints, &list);
	if (failure) {
		snprintf(err, err_size, "%s: %s", host, gai_strerror(failure));
		return -1;
	}
	for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
		fd = open_one(a, server);
	if (fd < 0)
		snprintf(err, err_size, "%s:%s: %s", *host ? host : LOOPBACK, port, strerror(errno));
	freeaddrinfo(list);
	return fd;
}
