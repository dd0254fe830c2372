/*
 * Parts of an option's argument: the items of a comma-separated list, numbers, on and off.
 *
 * Invariants: what does not fit its field is a user's mistake, and ends in fatal().
 */
#include "monitor/options_item.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"

bool options_next_item(const char *name, const char **list, struct option_item *it)
{
	size_t n, k;

	if (!*list)
		return false;
	n = strcspn(*list, ",");
	k = strcspn(*list, "=,");
	it->has_value = k < n;
	if (k >= sizeof(it->key) || (it->has_value && n - k - 1 >= sizeof(it->value)))
		fatal("-%s: invalid argument '%.80s'", name, *list);
	memcpy(it->key, *list, k);
	it->key[k] = '\0';
	it->value[0] = '\0';
	if (it->has_value) {
		memcpy(it->value, *list + k + 1, n - k - 1);
		it->value[n - k - 1] = '\0';
	}
	*list = (*list)[n] ? *list + n + 1 : NULL;
	return true;
}

bool options_parse_number(const char *s, u64 *value, const char **end)
{
	char *e;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*value = strtoull(s, &e, 0);
	*end = e;
	return errno == 0;
}

u64 options_number(const char *name, const char *what, const char *s, u64 low, u64 high)
{
	const char *end;
	u64 x;

	if (!options_parse_number(s, &x, &end) || *end)
		fatal("-%s: %s: '%s' is not a number", name, what, s);
	if (x < low || x > high)
		fatal("-%s: %s must be between %llu and %llu", name, what, (unsigned long long)low, (unsigned long long)high);
	return x;
}

bool options_on_off(const char *name, const struct option_item *it)
{
	if (strcmp(it->value, "on") != 0 && strcmp(it->value, "off") != 0)
		fatal("-%s: %s=%s: 'on' or 'off'", name, it->key, it->value);
	return strcmp(it->value, "on") == 0;
}
