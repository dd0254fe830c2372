/*
 * The clock interface over the host's clocks.
 *
 * Invariant: vm time is CLOCK_MONOTONIC plus a constant, hence never goes backwards; the guest's TSC is a linear function of vm time
 * except where the guest writes it. The host's TSC is read to learn its frequency, and to follow vm time by it for a while (tsc.h): a guest
 * compares its TSC with its timers, and both must come from one source.
 */
#include "monitor/clock.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

#include "monitor/lockstep.h"

#define MEASURE_NS    3000000ull
#define TSC_HZ_MIN    100000000ull
#define TSC_HZ_MAX    20000000000ull
#define VIRTUAL_EPOCH 1767225600 /* wall-clock time at virtual time 0: 2026-01-01 */

static u64 monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * NS_PER_SEC + (u64)ts.tv_nsec;
}

/* SDM Vol. 2A, CPUID leaves 15H and 16H. Leaf 16H alone does not name the TSC's frequency, only where 15H gives the ratio. */
static u64 tsc_hz_from_cpuid(void)
{
	unsigned den = 0, num = 0, crystal = 0, mhz = 0, a = 0, b = 0, c = 0, d = 0;

	if (__get_cpuid(0x15, &den, &num, &crystal, &d) && den && num) {
		if (crystal)
			return (u64)crystal * num / den;
		if (__get_cpuid(0x16, &mhz, &b, &c, &d) && (mhz & 0xffff))
			return (u64)(mhz & 0xffff) * 1000000;
	}
	/* A hypervisor's timing leaf: EAX is the TSC's frequency in kHz. */
	if (__get_cpuid(1, &a, &b, &c, &d) && (c >> 31 & 1)) {
		__cpuid(0x40000000, a, b, c, d);
		if (a >= 0x40000010 && a < 0x40010000) {
			__cpuid(0x40000010, a, b, c, d);
			return (u64)a * 1000;
		}
	}
	return 0;
}

/* One sample of both clocks; the narrowest of a few, so that being scheduled away in between does not count. */
static void sample(u64 *ns, u64 *tsc)
{
	u64 best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		u64 before = __rdtsc(), t = monotonic_ns(), after = __rdtsc();

		if (after - before < best) {
			best = after - before;
			*ns = t;
			*tsc = before + best / 2;
		}
	}
}

static u64 tsc_hz_measure(void)
{
	struct timespec nap = {0, (long)MEASURE_NS};
	u64 ns0 = 0, tsc0 = 0, ns1 = 0, tsc1 = 0;

	sample(&ns0, &tsc0);
	nanosleep(&nap, NULL);
	sample(&ns1, &tsc1);
	return ns1 > ns0 ? muldiv64(tsc1 - tsc0, NS_PER_SEC, ns1 - ns0) : 0;
}

void clock_set_tsc_hz(struct clock *c, u64 hz)
{
	c->tsc_hz = hz;
	c->tsc_per_ns = muldiv64(hz, 1ull << 32, NS_PER_SEC);
}

void clock_init(struct clock *c)
{
	u64 hz = tsc_hz_from_cpuid();

	if (hz < TSC_HZ_MIN || hz > TSC_HZ_MAX)
		hz = tsc_hz_measure();
	if (hz < TSC_HZ_MIN || hz > TSC_HZ_MAX)
		hz = NS_PER_SEC;
	clock_set_tsc_hz(c, (hz + 500) / 1000 * 1000);
	c->tsc_offset = 0;
	c->rtc_offset_sec = 0;
	c->offset_ns = -(s64)monotonic_ns();
	c->stopped = false;
	c->retired = NULL;
}

void clock_init_virtual(struct clock *c)
{
	static const u64 none = 0;

	*c = (struct clock){.retired = &none};
	clock_set_tsc_hz(c, NS_PER_SEC);
}

void clock_advance(struct clock *c, u64 ns)
{
	c->offset_ns += (s64)ns;
}

/* What vm time counts on from. */
static u64 source_ns(const struct clock *c)
{
	if (c->retired)
		return *c->retired * LOCKSTEP_INSN_NS;
	return monotonic_ns();
}

void clock_stop(struct clock *c)
{
	if (c->stopped)
		return;
	c->offset_ns = (s64)clock_ns(c);
	c->stopped = true;
}

void clock_start(struct clock *c)
{
	if (!c->stopped)
		return;
	c->offset_ns -= (s64)source_ns(c);
	c->stopped = false;
}

u64 clock_ns(const struct clock *c)
{
	return (c->stopped ? 0 : source_ns(c)) + (u64)c->offset_ns;
}

/* A division by 10^9 would be half of RDTSC's time; the frequency is off by less than one part in 10^9. */
static u64 scaled(const struct clock *c, u64 ns)
{
	return (u64)((unsigned __int128)ns * c->tsc_per_ns >> 32);
}

u64 clock_tsc(const struct clock *c)
{
	return scaled(c, clock_ns(c)) + c->tsc_offset;
}

u64 clock_tsc_host(const struct clock *c, u64 *host)
{
	u64 ns = 0;

	sample(&ns, host);
	return scaled(c, ns + (u64)c->offset_ns) + c->tsc_offset;
}

void clock_set_tsc(struct clock *c, u64 tsc)
{
	c->tsc_offset = tsc - scaled(c, clock_ns(c));
}

void clock_wall(const struct clock *c, s64 *sec, u32 *nsec)
{
	struct timespec ts;

	if (c->retired) {
		u64 ns = clock_ns(c);

		*sec = VIRTUAL_EPOCH + (s64)(ns / NS_PER_SEC);
		*nsec = (u32)(ns % NS_PER_SEC);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	*sec = (s64)ts.tv_sec + c->rtc_offset_sec;
	*nsec = (u32)ts.tv_nsec;
}
