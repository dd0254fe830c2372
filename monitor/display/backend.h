/*
 * What displays share. Each has a thread of its own, for whom it talks to (a terminal, a VNC client) may be slow: it takes vm->lock only to
 * look at the registers and to hand over input, and draws, compares and sends without it. So no display delays the guest or another device.
 */
#ifndef RINGER_DISPLAY_BACKEND_H
#define RINGER_DISPLAY_BACKEND_H

#include <pthread.h>
#include <stdio.h>

#include "monitor/devices/vga.h"
#include "monitor/types.h"

struct vm;
struct vnc;
struct curses;
struct vnc_option;

/* How often a screen that somebody watches is looked at. */
#define FRAME_MS 33

/* A display's thread and the eventfd by which it is woken. */
struct display_thread {
	pthread_t thread;
	int wake_fd;
	_Atomic bool stop;
};
/* Starts fn(opaque) with all signals blocked; fatal() if there can be no thread. */
void display_thread_start(struct display_thread *t, void *(*fn)(void *), void *opaque);
void display_thread_wake(struct display_thread *t);
/* Empties the eventfd. */
void display_thread_woken(struct display_thread *t);
/* Tells it to stop, and waits for it. */
void display_thread_stop(struct display_thread *t);

/*
 * Waits until the guest's keyboard has room for a key and its modifiers, while the guest takes any: one that has taken none for half a
 * second is not waited for again until it does. *stalled is the caller's, 0 at first. Without the lock.
 */
void display_wait_for_keyboard(struct vm *vm, unsigned *stalled);
/* Without the lock. */
void display_snapshot(struct vm *vm, struct vga_view *v);

/* ---- keys.c ---- */

/* The key (code as in ps2.h) of a US keyboard that makes an X keysym, ASCII among them; 0: none. *shift: whether it needs Shift. */
u16 key_by_keysym(u32 keysym, bool *shift);
/* Whether the keysym is a printing character, so that Shift is part of it. */
static inline bool keysym_is_text(u32 keysym)
{
	return keysym > ' ' && keysym <= '~';
}
#define KEY_CODE_SHIFT 0x12
#define KEY_CODE_CTRL  0x14
#define KEY_CODE_ALT   0x11

/* ---- picture.c ---- */

/* The character of code page 437 as Unicode. */
u32 cp437_to_unicode(u8 c);
/* All return 0 or -errno. text: a line for each row, trailing spaces left out; in a graphics mode one line that says its size. */
int picture_write_png(const char *path, const struct frame *f);
int picture_write_ppm(const char *path, const struct frame *f);
int picture_write_text(const char *path, const struct text_screen *t, bool is_text);

/* ---- displays; without the lock, main thread. open: fatal() if it cannot be had ---- */
struct vnc *vnc_open(struct vm *vm, const struct vnc_option *option);
void vnc_close(struct vnc *v);
struct curses *curses_open(struct vm *vm);
void curses_close(struct curses *c);
void curses_resume(struct curses *c);

#endif
