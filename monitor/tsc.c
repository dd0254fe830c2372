/*
 * Lines through the host's TSC (tsc.h).
 *
 * The slope of a line is measured over the one before; the first holds for 2^20 host cycles, each further one twice as long, up to 2^32.
 * What an error of the slope made of the TSC by its end is made good there: forwards at once, backwards by a slope that is less by so much.
 */
#include "monitor/tsc.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <x86intrin.h>

#include "monitor/vm.h"
#include "monitor/vcpu.h"

#define SHIFT_FIRST 20
#define SHIFT_LAST  32
/* Slopes are in units of 2^-63: from a half to two. */
#define SCALE_MIN (1ull << 62)

/* The host's TSC runs at one rate, in deep sleep too (SDM Vol. 3B 17.17.1), and its kernel finds that all CPUs agree. */
static bool host_tsc_is_good(void)
{
	static const char *const sources[] = {"tsc\n", "kvm-clock\n", "hyperv_clocksource_tsc_page\n"};
	unsigned a = 0, b = 0, c = 0, d = 0;
	char name[64] = "";
	FILE *f;

	if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & 1u << 8))
		return false;
	f = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
	if (!f)
		return false;
	if (!fgets(name, sizeof(name), f))
		name[0] = 0;
	fclose(f);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++)
		if (strcmp(name, sources[i]) == 0)
			return true;
	return false;
}

void tsc_init(struct vcpu *v)
{
	v->tsc.usable = !v->vm->clock.retired && host_tsc_is_good();
	tsc_restart(v);
}

static u64 value(const struct tsc_line *l, u64 elapsed)
{
	return l->offset + (u64)((unsigned __int128)(elapsed * 2) * l->scale >> 64);
}

void tsc_stop(struct vcpu *v)
{
	struct tsc_line *l = &v->tsc_line;

	/* A host TSC that has gone back counts as one that has run to the end. */
	if (l->base)
		v->tsc.shown = value(l, MIN(__rdtsc() + l->base, (1ull << l->shift) - 1));
	*l = (struct tsc_line){0};
	v->tsc.known_host = 0;
	v->tsc.next_shift = SHIFT_FIRST;
}

void tsc_restart(struct vcpu *v)
{
	tsc_stop(v);
	v->tsc.shown = 0;
}

/* Without a line. */
static u64 show(struct vcpu *v, u64 tsc)
{
	v->tsc.shown = MAX(tsc, v->tsc.shown);
	return v->tsc.shown;
}

static u64 draw(struct vcpu *v, u64 tsc, u64 host, u64 scale)
{
	u64 ahead = v->tsc.shown > tsc ? v->tsc.shown - tsc : 0;
	u32 shift = v->tsc.next_shift;

	/* Too far ahead for a line that is to be caught up with: the guest's TSC stands until vm time is there. */
	if (scale < SCALE_MIN || ahead >> (shift - 10))
		return show(v, tsc);
	scale -= (u64)((unsigned __int128)scale * ahead >> shift);
	v->tsc_line = (struct tsc_line){.base = -host, .scale = scale, .offset = show(v, tsc), .shift = shift};
	v->tsc.next_shift = MIN(shift + 1, SHIFT_LAST);
	return v->tsc.shown;
}

u64 tsc_read(struct vcpu *v)
{
	const struct clock *c = &v->vm->clock;
	struct tsc_line *l = &v->tsc_line;
	u64 host, tsc, known_host, known_tsc, scale = 0;

	if (!v->tsc.usable)
		return clock_tsc(c);
	host = __rdtsc();
	if (c->stopped || (v->cr4 & CR4_TSD)) {
		tsc_stop(v);
		return show(v, clock_tsc(c));
	}
	if (!((host + l->base) >> l->shift))
		return value(l, host + l->base);
	known_host = v->tsc.known_host;
	known_tsc = v->tsc.known_tsc;
	if (!l->base && known_host && (host - known_host) >> SHIFT_FIRST == 0)
		return show(v, clock_tsc(c));
	v->stats.tsc_lines++;
	if (l->base) {
		v->tsc.shown = value(l, MIN(host + l->base, (1ull << l->shift) - 1));
		*l = (struct tsc_line){0};
	}
	tsc = clock_tsc_host(c, &host);
	v->tsc.known_host = host;
	v->tsc.known_tsc = tsc;
	if (known_host && host > known_host && tsc > known_tsc && !((tsc - known_tsc) >> 62))
		scale = (u64)MIN(((unsigned __int128)(tsc - known_tsc) << 63) / (host - known_host), UINT64_MAX);
	return draw(v, tsc, host, scale);
}
