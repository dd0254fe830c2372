/* -d and -dfilter (see options_log.h). Invariant: the lists that help prints are those that the parser goes by. */
#include "monitor/options_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/trace.h"

_Noreturn static void print_items(void)
{
	printf("Log items (comma separated):\n");
#define X(n, opt, h) printf("  %-14s %s\n", opt, h);
	LOG_CATEGORIES(X)
#undef X
	exit(0);
}

_Noreturn static void print_devices(void)
{
	printf("Devices that -d trace:DEVICE knows:\n");
	for (unsigned i = 0; i < TRACE_DEVICE_COUNT; i++)
		printf("  trace:%s\n", trace_device_name((enum trace_device)i));
	exit(0);
}

void options_log(struct options *o, const char *name, const char *arg)
{
	const char *bad;
	u32 mask;

	if (strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0)
		print_items();
	if (strcmp(arg, "trace:help") == 0)
		print_devices();
	if (!log_parse(arg, &mask, &bad))
		fatal("-%s: invalid log item '%s' (-d help%s them)", name, bad,
		      strncmp(bad, "trace:", 6) == 0 ? " and -d trace:help list" : " lists");
	o->log_mask |= mask;
	o->log_traces |= log_parse_traces(arg);
}

void options_log_filter(struct options *o, const char *name, const char *arg)
{
	char one[64];

	for (;;) {
		size_t n = strcspn(arg, ",");

		if (o->log_range_count == MAX_LOG_RANGES)
			fatal("-%s: at most %d ranges", name, MAX_LOG_RANGES);
		snprintf(one, sizeof(one), "%.*s", (int)MIN(n, sizeof(one)), arg);
		if (n >= sizeof(one) || !log_parse_range(one, &o->log_ranges[o->log_range_count]))
			fatal("-%s: invalid range '%s': A..B, A+LENGTH or A-LENGTH, of 32-bit addresses", name, one);
		o->log_range_count++;
		if (!arg[n])
			break;
		arg += n + 1;
	}
}
