/*
 * The screen by VNC (RFB, RFC 6143), spoken by libvncserver. Everything of it happens on one thread, which listens, reads input, draws and
 * sends; libvncserver may wait for a slow client, and only VNC waits then.
 *
 * Invariants: libvncserver's structures are touched by that thread alone once it runs. `shown` is what the clients were told of: the
 * picture in `frame`'s place before it was drawn anew; both have the same size whenever they are compared.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <rfb/rfb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/devices/i8042.h"
#include "monitor/display/backend.h"
#include "monitor/log.h"
#include "monitor/vm.h"

#define MAX_CLIENTS  16
#define PASSWORD_MAX 8 /* VNC authentication uses no more */

struct vnc {
	struct vm *vm;
	struct display_thread thread;
	rfbScreenInfoPtr screen;
	int listen_fd;
	struct frame frame; /* as it is now */
	struct frame shown; /* as the clients have it: the screen's frame buffer */
	struct vga_view view;
	char password[PASSWORD_MAX + 1];
	char *passwords[2];
	bool shift;
	int x, y;
	unsigned buttons;
	unsigned stalled; /* display_wait_for_keyboard's */
};

/* ---- input ---- */

static struct vnc *of_client(rfbClientPtr client)
{
	return client->screen->screenData;
}

static void press(struct vnc *v, u16 code, bool down)
{
	i8042_key(v->vm->keyboard, code, down);
}

/*
 * Where a client sends a character whose Shift is not the state of its Shift key (another keyboard layout, or a program that types), Shift
 * is held or let go for this key.
 */
static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr client)
{
	struct vnc *v = of_client(client);
	bool shift, other;
	u16 code = key_by_keysym(keysym, &shift);

	if (!code)
		return;
	if (down)
		display_wait_for_keyboard(v->vm, &v->stalled);
	vm_lock(v->vm);
	other = down && keysym_is_text(keysym) && shift != v->shift;
	if (other)
		press(v, KEY_CODE_SHIFT, shift);
	press(v, code, down);
	if (other)
		press(v, KEY_CODE_SHIFT, v->shift);
	pthread_mutex_unlock(&v->vm->lock);
	if (code == KEY_CODE_SHIFT || code == 0x59)
		v->shift = down;
}

/* A pointer's place becomes movement. Buttons: bit 0 left, 1 middle, 2 right, 3 and 4 the wheel up and down. */
static void on_pointer(int mask, int x, int y, rfbClientPtr client)
{
	struct vnc *v = of_client(client);
	unsigned pressed = (unsigned)mask & ~v->buttons;
	int wheel = (pressed & 16 ? 1 : 0) - (pressed & 8 ? 1 : 0);
	u8 buttons = (u8)((mask & 1) | (mask & 4) >> 1 | (mask & 2) << 1);

	vm_lock(v->vm);
	i8042_mouse(v->vm->keyboard, x - v->x, v->y - y, wheel, buttons);
	pthread_mutex_unlock(&v->vm->lock);
	v->x = x;
	v->y = y;
	v->buttons = (unsigned)mask;
}

/* ---- output ---- */

static void grow_shown(struct vnc *v)
{
	size_t n = (size_t)v->frame.width * v->frame.height;
	struct frame f = {v->frame.width, v->frame.height, malloc(n * sizeof(u32)), n};

	if (!f.pixels)
		return;
	memcpy(f.pixels, v->frame.pixels, n * sizeof(u32));
	rfbNewFramebuffer(v->screen, (char *)f.pixels, (int)f.width, (int)f.height, 8, 3, 4);
	free(v->shown.pixels);
	v->shown = f;
	v->screen->serverFormat.redShift = 16;
	v->screen->serverFormat.greenShift = 8;
	v->screen->serverFormat.blueShift = 0;
	rfbMarkRectAsModified(v->screen, 0, 0, (int)f.width, (int)f.height);
}

/* Runs of rows that differ, each as wide as their differences. */
static void mark_changes(struct vnc *v)
{
	u32 width = v->frame.width;
	u32 top = 0, left = width, right = 0;

	for (u32 y = 0; y <= v->frame.height; y++) {
		const u32 *now = v->frame.pixels + (size_t)y * width;
		u32 *was = v->shown.pixels + (size_t)y * width, a = 0, b = width;
		bool same = y == v->frame.height || memcmp(now, was, width * sizeof(*now)) == 0;

		if (same) {
			if (right > left)
				rfbMarkRectAsModified(v->screen, (int)left, (int)top, (int)right, (int)y);
			left = width;
			right = 0;
			continue;
		}
		while (now[a] == was[a])
			a++;
		while (now[b - 1] == was[b - 1])
			b--;
		if (right <= left)
			top = y;
		left = MIN(left, a);
		right = MAX(right, b);
		memcpy(was + a, now + a, (b - a) * sizeof(*now));
	}
}

static void refresh(struct vnc *v)
{
	display_snapshot(v->vm, &v->view);
	if (!vga_draw(&v->view, &v->frame))
		return;
	if (v->frame.width != v->shown.width || v->frame.height != v->shown.height)
		grow_shown(v);
	else
		mark_changes(v);
}

/* ---- the thread ---- */

static void accept_client(struct vnc *v)
{
	int fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		rfbNewClient(v->screen, fd);
}

static unsigned client_fds(struct vnc *v, struct pollfd *fds, unsigned max)
{
	rfbClientIteratorPtr i = rfbGetClientIterator(v->screen);
	rfbClientPtr client;
	unsigned n = 0;

	while ((client = rfbClientIteratorNext(i)))
		if (n < max && client->sock >= 0)
			fds[n++] = (struct pollfd){.fd = client->sock, .events = POLLIN};
	rfbReleaseClientIterator(i);
	return n;
}

static void *vnc_thread(void *opaque)
{
	struct vnc *v = opaque;
	struct pollfd fds[2 + MAX_CLIENTS];
	u64 last = 0;

	while (!v->thread.stop) {
		unsigned n = client_fds(v, fds + 2, MAX_CLIENTS);
		struct timespec now;
		u64 ms;

		fds[0] = (struct pollfd){.fd = v->thread.wake_fd, .events = POLLIN};
		/* No more than MAX_CLIENTS: the others wait to be accepted. */
		fds[1] = (struct pollfd){.fd = n < MAX_CLIENTS ? v->listen_fd : -1, .events = POLLIN};
		if (poll(fds, 2 + n, n ? FRAME_MS : -1) < 0)
			continue;
		if (fds[0].revents)
			display_thread_woken(&v->thread);
		if (fds[1].revents & POLLIN)
			accept_client(v);
		clock_gettime(CLOCK_MONOTONIC, &now);
		ms = (u64)now.tv_sec * 1000 + (u64)now.tv_nsec / 1000000;
		if (ms - last >= FRAME_MS) {
			refresh(v);
			last = ms;
		}
		rfbProcessEvents(v->screen, 0);
	}
	return NULL;
}

/* ---- life ---- */

static void read_password(struct vnc *v, const char *path)
{
	FILE *f = fopen(path, "re");
	bool ok;

	if (!f)
		fatal("-vnc: password file %s: %s", path, strerror(errno));
	errno = 0;
	ok = fgets(v->password, sizeof(v->password), f);
	fclose(f);
	if (!ok && errno)
		fatal("-vnc: password file %s: %s", path, strerror(errno));
	v->password[strcspn(v->password, "\r\n")] = '\0';
	if (!v->password[0])
		fatal("-vnc: password file %s: its first line is empty", path);
	v->passwords[0] = v->password;
	v->screen->authPasswdData = v->passwords;
	v->screen->passwordCheck = rfbCheckPasswordByList;
}

static int listen_on(const struct vnc_option *o)
{
	const char *host = o->host[0] ? o->host : "127.0.0.1";
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *list = NULL;
	char service[8];
	int fd = -1, err, one = 1;

	snprintf(service, sizeof(service), "%u", o->port);
	err = getaddrinfo(host, service, &hints, &list);
	if (err)
		fatal("-vnc: %s: %s", host, gai_strerror(err));
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, 4) < 0) {
			err = errno;
			close(fd);
			errno = err;
			fd = -1;
		}
	}
	if (fd < 0)
		fatal("-vnc: cannot listen on %s port %s: %s", host, service, strerror(errno));
	freeaddrinfo(list);
	return fd;
}

struct vnc *vnc_open(struct vm *vm, const struct vnc_option *option)
{
	struct vnc *v = calloc(1, sizeof(*v));

	if (!v)
		fatal("out of memory");
	v->vm = vm;
	v->listen_fd = listen_on(option);
	display_snapshot(vm, &v->view);
	if (!vga_draw(&v->view, &v->frame))
		fatal("out of memory");
	/* Its log tells of every client and of none of a user's mistakes. */
	rfbLogEnable(FALSE);
	v->screen = rfbGetScreen(NULL, NULL, (int)v->frame.width, (int)v->frame.height, 8, 3, 4);
	if (!v->screen)
		fatal("out of memory");
	v->screen->screenData = v;
	v->screen->desktopName = "Ringer";
	v->screen->alwaysShared = TRUE;
	v->screen->cursor = NULL;
	v->screen->kbdAddEvent = on_key;
	v->screen->ptrAddEvent = on_pointer;
	/* It listens on nothing itself. */
	v->screen->port = v->screen->ipv6port = 0;
	v->screen->autoPort = FALSE;
	if (option->password_file[0])
		read_password(v, option->password_file);
	grow_shown(v);
	if (!v->shown.pixels)
		fatal("out of memory");
	rfbInitServer(v->screen);
	display_thread_start(&v->thread, vnc_thread, v);
	return v;
}

void vnc_close(struct vnc *v)
{
	display_thread_stop(&v->thread);
	rfbShutdownServer(v->screen, TRUE);
	rfbScreenCleanup(v->screen);
	close(v->listen_fd);
	free(v->shown.pixels);
	free(v->frame.pixels);
	free(v);
}
