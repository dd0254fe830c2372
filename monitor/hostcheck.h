/* Whether this host has what Ringer cannot do without. */
#ifndef RINGER_HOSTCHECK_H
#define RINGER_HOSTCHECK_H

#include "monitor/types.h"

/* NULL if the host will do, else the name of the first thing that it lacks (static storage). Any thread. */
const char *hostcheck_missing(void);

#endif
