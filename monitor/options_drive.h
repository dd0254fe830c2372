/* The options that name disk images: -drive and its short forms. Handlers of options.c; a user's mistake ends in fatal(). */
#ifndef RINGER_OPTIONS_DRIVE_H
#define RINGER_OPTIONS_DRIVE_H

#include "monitor/options.h"

/* -drive PROP=V,...; a comma in a value is written twice. */
void options_drive(struct options *o, const char *name, const char *arg);
/* -hda to -hdd, -cdrom, -fda and -fdb, and an argument without an option, which is as if behind -hda. arg: a file, taken as it is. */
void options_drive_short(struct options *o, const char *name, const char *arg);

#endif
