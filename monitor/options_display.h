/* The options that show the screen. Handlers of options.c; a user's mistake ends in fatal(). */
#ifndef RINGER_OPTIONS_DISPLAY_H
#define RINGER_OPTIONS_DISPLAY_H

#include "monitor/options.h"

/* -vnc HOST:N[,PROP=V], or none. */
void options_vnc(struct options *o, const char *name, const char *arg);
/* -display none, curses or vnc=HOST:N. */
void options_display(struct options *o, const char *name, const char *arg);
/* -screenshot FILE[,at=S], or -screentext if it is text. */
void options_shot(struct options *o, const char *name, const char *arg, bool text);

#endif
