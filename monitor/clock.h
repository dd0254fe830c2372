/*
 * The one clock interface. Every notion of time in the virtual PC derives from vm time: nanoseconds of host CLOCK_MONOTONIC since
 * the machine was started (plus what a loaded snapshot had run). TSC, PIT, RTC and the PM timer are all computed from it, so they cannot
 * drift against one another. Any thread.
 */
#ifndef RINGER_CLOCK_H
#define RINGER_CLOCK_H

#include "monitor/types.h"

#define NS_PER_SEC 1000000000ull

struct clock {
	s64 offset_ns;	    /* added to CLOCK_MONOTONIC to give vm time; vm time itself while stopped */
	bool stopped;	    /* vm time stands still (wall-clock time never does) */
	s64 rtc_offset_sec; /* added to host CLOCK_REALTIME seconds to give RTC time */
	u64 tsc_hz;	    /* guest TSC frequency: the host's, rounded to 1 kHz */
	u64 tsc_per_ns;	    /* tsc_hz / 10^9 in units of 2^-32, rounded down: what vm time is scaled by */
	u64 tsc_offset;	    /* guest TSC = vm time scaled + this (WRMSR to IA32_TSC moves it) */
	/* NULL, or virtual time: instructions instead of the host's clocks (monitor/lockstep.h) */
	const u64 *retired;
};

/* hz: 1 kHz to 20 GHz. */
void clock_set_tsc_hz(struct clock *c, u64 hz);
/* Starts vm time at 0. Measures the host's TSC frequency (<= 5 ms; CPUID where it tells). */
void clock_init(struct clock *c);
/* Instead: vm time is a function of the instructions counted in *c->retired, from 0 until that is set; the TSC runs at 1 GHz. */
void clock_init_virtual(struct clock *c);
/* Virtual time jumps forward. */
void clock_advance(struct clock *c, u64 ns);
/* Vm time stands still from now on, or goes on from where it stood. Lock held; timers are looked at again after the next event_wake. */
void clock_stop(struct clock *c);
void clock_start(struct clock *c);
/* Nanoseconds of vm time. ~20 ns. */
u64 clock_ns(const struct clock *c);
/* Guest TSC; and with the host's of the same moment. */
u64 clock_tsc(const struct clock *c);
u64 clock_tsc_host(const struct clock *c, u64 *host);
void clock_set_tsc(struct clock *c, u64 tsc);
/* Wall-clock seconds since the epoch and nanoseconds within, for the RTC. */
void clock_wall(const struct clock *c, s64 *sec, u32 *nsec);
/* a*b/c without overflow; c != 0 and the result fits. */
static inline u64 muldiv64(u64 a, u64 b, u64 c)
{
	return (u64)((unsigned __int128)a * b / c);
}

#endif
