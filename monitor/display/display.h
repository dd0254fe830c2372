/* The host's side of the screen, the keyboard and the mouse: whoever shows and feeds them, as the options ask. */
#ifndef RINGER_DISPLAY_H
#define RINGER_DISPLAY_H

struct vm;

/* Opens what vm->opt asks for; fatal() if it cannot be had. Start-up, without the lock, when all devices are there. */
void display_open(struct vm *vm);
/* Writes the pictures that are due at the end, and ends all displays. Without the lock, before the devices go. */
void display_close(struct vm *vm);
/* The process was stopped and goes on: the terminal is drawn anew. Any thread. */
void display_resume(struct vm *vm);

#endif
