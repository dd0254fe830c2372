/* Parts of an option's argument, for the files that parse options. A user's mistake ends in fatal(), which names the option. */
#ifndef RINGER_OPTIONS_ITEM_H
#define RINGER_OPTIONS_ITEM_H

#include "monitor/types.h"

/* One "key=value" (or "key", with an empty value) of a comma-separated list. */
struct option_item {
	char key[32], value[256];
	bool has_value;
};

/* Takes the next item off *list, which is NULL behind the last one; false at its end. name: the option's, for messages. */
bool options_next_item(const char *name, const char **list, struct option_item *it);
/* A number in C's notation; *end is what follows it. False if there is none. */
bool options_parse_number(const char *s, u64 *value, const char **end);
/* The number that s is, which must be between low and high. what: what it stands for, for messages. */
u64 options_number(const char *name, const char *what, const char *s, u64 low, u64 high);
/* Whether the item says on. */
bool options_on_off(const char *name, const struct option_item *it);

#endif
