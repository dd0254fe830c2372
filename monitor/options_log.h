/* The options that say what is logged: -d and -dfilter. Handlers of options.c; a user's mistake ends in fatal(). */
#ifndef RINGER_OPTIONS_LOG_H
#define RINGER_OPTIONS_LOG_H

#include "monitor/options.h"

/* -d ITEM[,ITEM]; "help" and "trace:help" print lists and exit. */
void options_log(struct options *o, const char *name, const char *arg);
/* -dfilter RANGE[,RANGE] */
void options_log_filter(struct options *o, const char *name, const char *arg);

#endif
