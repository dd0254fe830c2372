/*
 * Where guest time goes: samples of the vCPU's thread, a thousand a second, by translation unit and by guest instruction; and how often
 * each guest instruction took a host signal or an exception. Nothing of it costs anything until it is started.
 *
 * Functions of this header are called with vm->lock held, or while the vCPU does not run.
 */
#ifndef RINGER_PROFILE_H
#define RINGER_PROFILE_H

#include <stdbool.h>

struct vm;
struct vcpu;
struct tu;

typedef void profile_out(void *opaque, const char *text);

/* Begins to sample, with all counts at 0. 0 or -errno. */
int profile_start(struct vm *vm);
/* What has been counted stays, to be printed. */
void profile_stop(struct vm *vm);
bool profile_is_on(const struct vm *vm);
/* The busiest translation units and guest addresses; a line if there never was a profile. */
void profile_print(struct vm *vm, profile_out *out, void *opaque);
/* The same into the log. */
void profile_log(struct vm *vm);
/* The state of the translation cache, and the profile if there is one: what a console's `info jit` shows. */
void jit_info(struct vm *vm, profile_out *out, void *opaque);

/* ---- vCPU thread: signal.c, dispatch.c ---- */

/* The thread runs: samples that were asked for before begin. */
void profile_thread(struct vcpu *v);
/* Translated code has taken a host signal at host address rip; an exception is delivered at v->eip. v->profile is not NULL. */
void profile_signal(struct vcpu *v, const struct tu *tu, unsigned long rip);
void profile_exception(struct vcpu *v);
void profile_free(struct vcpu *v);

#endif
