/* Prints the counters of stats.h. Invariant: the table is the X-macro's, so a counter that exists is a counter that is printed. */
#include "monitor/stats.h"

#include "monitor/emulate.h"

static const struct {
	const char *name, *help;
	size_t offset;
} counters[] = {
#define X(n, h) {#n, h, offsetof(struct stats, n)},
	STATS(X)
#undef X
};

/* Emulated instructions, by handler. */
static const char *const kinds[] = {
#define X(n) #n,
	EMU_HANDLERS(X)
#undef X
};

void stats_print(const struct stats *s, FILE *f)
{
	flockfile(f);
	for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
		u64 value = *(const u64 *)((const char *)s + counters[i].offset);

		fprintf(f, "%-20s %16llu  %s\n", counters[i].name, (unsigned long long)value, counters[i].help);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (s->callout[i])
			fprintf(f, "callout %-12s %16llu\n", kinds[i], (unsigned long long)s->callout[i]);
	fflush(f);
	funlockfile(f);
}
