/* The options that name disk images: -drive and its short forms. Handlers of options.c; a user's mistake ends in fatal(). */
#ifndef RINGER_OPTIONS_DRIVE_H
#define RINGER_OPTIONS_DRIVE_H

#include "monitor/options.h"

/* -drive PROP=V,...; a comma in a value is written twice. */
void options_drive(struct options *o, const char *name, const char *arg);
/* -hda to -hdd, -cdrom, -fda and -fdb, and an argument without an option, which is as if behind -hda. arg: a file, taken as it is. */
void options_drive_short(struct options *o, const char *name, const char *arg);

/* The drive with that id=, or NULL. */
struct drive_option *options_drive_by_id(struct options *o, const char *id);

/* KEY=VALUE of a comma-separated list; a comma in the value is written twice. */
struct property {
	char key[32], value[DRIVE_FILE_MAX];
};
/* Takes the next one off *list; false at its end. `name`: the option, for messages. */
bool options_next_property(const char *name, const char **list, struct property *p);

#endif
