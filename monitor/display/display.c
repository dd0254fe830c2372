/*
 * Opens the displays that the options ask for, and takes the pictures of -screenshot and -screentext.
 *
 * Invariant: pictures are taken by timers on vm time, with the lock held; they are numbered by their option, and each is taken once.
 */
#include "monitor/display/display.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "monitor/devices/i8042.h"
#include "monitor/display/backend.h"
#include "monitor/log.h"
#include "monitor/vm.h"

struct shot {
	struct display *display;
	const struct shot_option *option;
	struct timer timer;
	bool taken;
};

struct display {
	struct vm *vm;
	struct vnc *vnc;
	struct curses *curses;
	struct shot shots[MAX_SHOTS];
};

void display_snapshot(struct vm *vm, struct vga_view *v)
{
	vm_lock(vm);
	vga_snapshot(vm->vga, v);
	pthread_mutex_unlock(&vm->lock);
}

#define STALL_NS     2000000
#define STALL_ROUNDS 250

void display_wait_for_keyboard(struct vm *vm, unsigned *stalled)
{
	bool waited = false;

	for (;; ++*stalled) {
		bool ready;

		vm_lock(vm);
		ready = i8042_key_ready(vm->keyboard);
		pthread_mutex_unlock(&vm->lock);
		if (ready)
			*stalled = 0;
		if ((ready && !waited) || *stalled >= STALL_ROUNDS)
			return;
		/* Once more when it is ready, lest a guest that empties the controller never sees the end. */
		waited = !ready;
		nanosleep(&(struct timespec){.tv_nsec = STALL_NS}, NULL);
	}
}

/* ---- threads ---- */

void display_thread_start(struct display_thread *t, void *(*fn)(void *), void *opaque)
{
	sigset_t all, old;
	int err;

	t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->wake_fd < 0)
		fatal("cannot start a display: %s", strerror(errno));
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	err = pthread_create(&t->thread, NULL, fn, opaque);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		fatal("cannot start a display's thread: %s", strerror(err));
}

void display_thread_wake(struct display_thread *t)
{
	u64 one = 1;

	/* The only possible failure is a full counter: then it is woken already. */
	if (write(t->wake_fd, &one, sizeof(one)) < 0)
		return;
}

void display_thread_woken(struct display_thread *t)
{
	u64 count;

	if (read(t->wake_fd, &count, sizeof(count)) < 0)
		return;
}

void display_thread_stop(struct display_thread *t)
{
	t->stop = true;
	display_thread_wake(t);
	pthread_join(t->thread, NULL);
	close(t->wake_fd);
}

/* ---- pictures ---- */

static void take(struct shot *s)
{
	const struct shot_option *o = s->option;
	char *path = strndup(o->path, o->path_len);
	struct text_screen *text = malloc(sizeof(*text));
	struct frame frame = {0};
	struct vga_view view;
	int err = -ENOMEM;

	s->taken = true;
	vga_snapshot(s->display->vm->vga, &view);
	if (path && text && o->text)
		err = picture_write_text(path, text, vga_text(&view, text));
	else if (path && text && vga_draw(&view, &frame))
		err = picture_write_png(path, &frame);
	if (err)
		warn("%s: %s", path ? path : o->path, strerror(-err));
	free(frame.pixels);
	free(text);
	free(path);
}

static void shot_due(void *opaque)
{
	take(opaque);
}

/* ---- life ---- */

void display_open(struct vm *vm)
{
	struct display *d;

	if (!vm->vga || !(vm->opt.vnc.on || vm->opt.curses || vm->opt.shot_count))
		return;
	d = calloc(1, sizeof(*d));
	if (!d)
		fatal("out of memory");
	d->vm = vm;
	vm->display = d;
	vm_lock(vm);
	for (unsigned i = 0; i < vm->opt.shot_count; i++) {
		struct shot *s = &d->shots[i];

		s->display = d;
		s->option = &vm->opt.shots[i];
		timer_init(&s->timer, vm, shot_due, s);
		if (!s->option->at_end)
			timer_mod(&s->timer, s->option->at_ns);
	}
	pthread_mutex_unlock(&vm->lock);
	if (vm->opt.vnc.on)
		d->vnc = vnc_open(vm, &vm->opt.vnc);
	if (vm->opt.curses)
		d->curses = curses_open(vm);
}

void display_close(struct vm *vm)
{
	struct display *d = vm->display;

	if (!d)
		return;
	if (d->curses)
		curses_close(d->curses);
	if (d->vnc)
		vnc_close(d->vnc);
	vm_lock(vm);
	for (unsigned i = 0; i < vm->opt.shot_count; i++) {
		timer_del(&d->shots[i].timer);
		if (d->shots[i].option->at_end && !d->shots[i].taken)
			take(&d->shots[i]);
		else if (!d->shots[i].taken)
			warn("%.*s: the machine ended before its time", (int)d->shots[i].option->path_len, d->shots[i].option->path);
	}
	pthread_mutex_unlock(&vm->lock);
	vm->display = NULL;
	free(d);
}

void display_resume(struct vm *vm)
{
	if (vm->display && vm->display->curses)
		curses_resume(vm->display->curses);
}
