/*
 * MC146818 real-time clock and 128 bytes of CMOS RAM.
 *
 * The time is never stored: it is the host's wall clock plus vm->clock.rtc_offset_sec, and setting the clock changes that offset. Only
 * while the guest holds SET (register B) do the time registers live in cmos[], and they are taken over when it lets go, if it wrote any.
 *
 * Flags are found when they are looked at: what has happened since `seen_sec` and `seen_period`. A timer runs only while an interrupt is
 * enabled whose flag is still clear, so an RTC that nobody listens to costs nothing.
 */
#include "monitor/devices/rtc.h"

#include <stdlib.h>
#include <time.h>

#include "monitor/devices/checked_state.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"

#define RTC_INDEX 0x70
#define RTC_DATA  0x71

#define REG_SEC	      0x00
#define REG_SEC_ALRM  0x01
#define REG_MIN	      0x02
#define REG_MIN_ALRM  0x03
#define REG_HOUR      0x04
#define REG_HOUR_ALRM 0x05
#define REG_WDAY      0x06
#define REG_MDAY      0x07
#define REG_MONTH     0x08
#define REG_YEAR      0x09
#define REG_A	      0x0a
#define REG_B	      0x0b
#define REG_C	      0x0c
#define REG_D	      0x0d
#define REG_CENTURY   0x32
#define REG_CENTURY2  0x37 /* the same, where the PS/2 has it */

#define A_UIP	   0x80
#define A_DV	   0x70
#define A_DV_RESET 0x60 /* 11x: the divider is held in reset */
#define A_RS	   0x0f
#define B_SET	   0x80
#define B_PIE	   0x40
#define B_AIE	   0x20
#define B_UIE	   0x10
#define B_SQWE	   0x08
#define B_BINARY   0x04
#define B_24H	   0x02
#define C_IRQF	   0x80
#define C_FLAGS	   0x70 /* PF AF UF, where register B has their enables */
#define C_PF	   0x40
#define C_AF	   0x20
#define C_UF	   0x10
#define D_VRT	   0x80

#define HOUR_PM	    0x80
#define ALRM_ANY    0xc0 /* both bits: any value matches */
#define CMOS_FIRST  0x10 /* behind the clock's registers */
#define CMOS_EQUIP  0x14
#define CMOS_BASE   0x15 /* KiB of base memory, 16 bits */
#define CMOS_EXT    0x17 /* KiB above 1 MiB, 16 bits, at most 63 MiB; again at 30h */
#define CMOS_EXT2   0x30
#define CMOS_EXT16M 0x34 /* 64 KiB units above 16 MiB, 16 bits */
#define CMOS_HIGH   0x5b /* 64 KiB units above 4 GiB, 24 bits */
#define CMOS_SUM    0x2e /* of 10h..2dh, high byte first */
#define OSC_HZ	    32768
#define UPDATE_NS   2228000 /* UIP is set 244 us before an update, which takes 1984 us */
#define OFFSET_MAX  (1ll << 40)

struct rtc {
	struct vm *vm;
	struct irq irq;
	struct timer timer;
	u8 index; /* as written to port 70h, the NMI mask bit included */
	u8 cmos[128];
	bool time_set; /* a time register was written since SET */
	u8 wday_skew;  /* what the guest's day of the week is ahead of the calendar's, 0..6 */
	s64 seen_sec;  /* flags are up to date to this second */
	u64 last_tick; /* vm time when PF was last set: paces catching up; not saved */
	u64 seen_period;
};

static s64 rtc_now(const struct rtc *r, u32 *nsec)
{
	s64 sec;

	clock_wall(&r->vm->clock, &sec, nsec);
	return sec;
}

static u8 encode(const struct rtc *r, unsigned v)
{
	return r->cmos[REG_B] & B_BINARY ? v : (v / 10) << 4 | v % 10;
}

static unsigned decode(const struct rtc *r, u8 v)
{
	return r->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static u8 encode_hour(const struct rtc *r, unsigned hour)
{
	if (r->cmos[REG_B] & B_24H)
		return encode(r, hour);
	return encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const struct rtc *r, u8 v)
{
	if (r->cmos[REG_B] & B_24H)
		return decode(r, v);
	return decode(r, v & ~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

static bool is_time_register(u8 reg)
{
	return reg <= REG_YEAR ? reg != REG_SEC_ALRM && reg != REG_MIN_ALRM && reg != REG_HOUR_ALRM : reg == REG_CENTURY;
}

/* Writes the time into the registers. */
static void rtc_snapshot(struct rtc *r, s64 sec)
{
	time_t t = sec;
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return;
	int year = ((tm.tm_year + 1900) % 10000 + 10000) % 10000;

	r->cmos[REG_SEC] = encode(r, tm.tm_sec);
	r->cmos[REG_MIN] = encode(r, tm.tm_min);
	r->cmos[REG_HOUR] = encode_hour(r, tm.tm_hour);
	r->cmos[REG_WDAY] = encode(r, (tm.tm_wday + r->wday_skew) % 7 + 1);
	r->cmos[REG_MDAY] = encode(r, tm.tm_mday);
	r->cmos[REG_MONTH] = encode(r, tm.tm_mon + 1);
	r->cmos[REG_YEAR] = encode(r, year % 100);
	r->cmos[REG_CENTURY] = encode(r, year / 100);
}

/* Makes the registers the time: the inverse. Nonsense (the 31st of February) is carried over into the next field. */
static void rtc_adopt(struct rtc *r)
{
	struct tm tm = {
		.tm_sec = decode(r, r->cmos[REG_SEC]),
		.tm_min = decode(r, r->cmos[REG_MIN]),
		.tm_hour = decode_hour(r, r->cmos[REG_HOUR]),
		.tm_mday = decode(r, r->cmos[REG_MDAY]),
		.tm_mon = (int)decode(r, r->cmos[REG_MONTH]) - 1,
		.tm_year = (int)(decode(r, r->cmos[REG_CENTURY]) * 100 + decode(r, r->cmos[REG_YEAR])) - 1900,
	};
	unsigned wday = decode(r, r->cmos[REG_WDAY]) + 6;
	time_t t = timegm(&tm);
	u32 nsec;

	r->wday_skew = (wday % 7 + 7 - tm.tm_wday) % 7;
	r->vm->clock.rtc_offset_sec += t - rtc_now(r, &nsec);
	r->seen_sec = t;
}

/* ---- flags and interrupts ---- */

/* The periodic rate in 32,768ths of a second; 0: none. */
static u32 rtc_period(const struct rtc *r)
{
	u8 rs = r->cmos[REG_A] & A_RS;

	if (!rs)
		return 0;
	return 1u << ((rs <= 2 ? rs + 7 : rs) - 1);
}

static u64 rtc_period_number(const struct rtc *r, u32 period)
{
	return muldiv64(clock_ns(&r->vm->clock), OSC_HZ, NS_PER_SEC) / period;
}

static bool alarm_matches(u8 alarm, u8 now)
{
	return (alarm & ALRM_ANY) == ALRM_ANY || alarm == now;
}

/* Whether an alarm register is met by one of the values that the time has there. */
static bool alarm_possible(const struct rtc *r, u8 reg, unsigned values)
{
	for (unsigned v = 0; v < values; v++)
		if (alarm_matches(r->cmos[reg], reg == REG_HOUR_ALRM ? encode_hour(r, v) : encode(r, v)))
			return true;
	return false;
}

/* The first second after `after` at which the alarm goes off; INT64_MAX if none does. At most ~300 steps. */
static s64 rtc_next_alarm(const struct rtc *r, s64 after)
{
	s64 t = after + 1;

	/* Nonsense in one register would have the others tried for all of a day. */
	if (!alarm_possible(r, REG_HOUR_ALRM, 24) || !alarm_possible(r, REG_MIN_ALRM, 60) || !alarm_possible(r, REG_SEC_ALRM, 60))
		return INT64_MAX;
	for (;;) {
		unsigned s = (unsigned)(((t % 86400) + 86400) % 86400);

		if (!alarm_matches(r->cmos[REG_HOUR_ALRM], encode_hour(r, s / 3600)))
			t += 3600 - s % 3600;
		else if (!alarm_matches(r->cmos[REG_MIN_ALRM], encode(r, s / 60 % 60)))
			t += 60 - s % 60;
		else if (!alarm_matches(r->cmos[REG_SEC_ALRM], encode(r, s % 60)))
			t++;
		else
			return t;
	}
}

static bool rtc_updating(const struct rtc *r)
{
	return !(r->cmos[REG_B] & B_SET) && (r->cmos[REG_A] & A_DV_RESET) != A_DV_RESET;
}

/* Arms the timer for the first enabled interrupt whose flag is still to come. */
static void rtc_arm(struct rtc *r)
{
	u8 wanted = r->cmos[REG_B] & ~r->cmos[REG_C];
	u32 period = rtc_period(r), nsec;
	s64 sec = rtc_now(r, &nsec), alarm;
	u64 now = clock_ns(&r->vm->clock), deadline = UINT64_MAX;

	if ((wanted & B_PIE) && period)
		/* Missed interrupts follow at twice the rate. */
		deadline = MAX(muldiv64((r->seen_period + 1) * period, NS_PER_SEC, OSC_HZ) + 1,
			       r->last_tick + muldiv64(period, NS_PER_SEC, 2 * OSC_HZ));
	if (rtc_updating(r)) {
		if (wanted & B_UIE)
			deadline = MIN(deadline, now + NS_PER_SEC - nsec);
		if ((wanted & B_AIE) && (alarm = rtc_next_alarm(r, sec)) != INT64_MAX)
			deadline = MIN(deadline, now + (u64)(alarm - sec) * NS_PER_SEC - nsec);
	}
	if (deadline == UINT64_MAX)
		timer_del(&r->timer);
	else
		timer_mod(&r->timer, deadline);
}

static void rtc_update_irq(struct rtc *r)
{
	bool irqf = r->cmos[REG_B] & r->cmos[REG_C] & C_FLAGS;

	r->cmos[REG_C] = (r->cmos[REG_C] & C_FLAGS) | (irqf ? C_IRQF : 0);
	irq_set(&r->irq, irqf);
}

/* Sets the flags of everything that has happened since the last look. */
static void rtc_sync(struct rtc *r)
{
	u32 nsec, period = rtc_period(r);
	s64 sec = rtc_now(r, &nsec);

	if (period) {
		u64 n = rtc_period_number(r, period);

		if (n != r->seen_period && !(r->cmos[REG_C] & C_PF)) {
			r->cmos[REG_C] |= C_PF;
			r->last_tick = clock_ns(&r->vm->clock);
			/* A guest that takes the interrupts gets those that a starved process missed, up to a second's; others see a flag.
			 */
			r->seen_period = r->cmos[REG_B] & B_PIE ? MAX(r->seen_period + 1, n - MIN(n, OSC_HZ / period)) : n;
		} else if (!(r->cmos[REG_B] & B_PIE)) {
			r->seen_period = n;
		}
	}
	if (rtc_updating(r) && sec > r->seen_sec) {
		r->cmos[REG_C] |= C_UF;
		if (rtc_next_alarm(r, r->seen_sec) <= sec)
			r->cmos[REG_C] |= C_AF;
	}
	r->seen_sec = sec;
}

static void rtc_timer(void *opaque)
{
	struct rtc *r = opaque;

	rtc_sync(r);
	rtc_update_irq(r);
	rtc_arm(r);
}

/* ---- ports ---- */

static void rtc_write_a(struct rtc *r, u8 value)
{
	u32 period;

	r->cmos[REG_A] = value & ~A_UIP;
	period = rtc_period(r);
	r->seen_period = period ? rtc_period_number(r, period) : 0;
}

static void rtc_write_b(struct rtc *r, u8 value)
{
	u8 old = r->cmos[REG_B];
	u32 nsec;

	if (value & B_SET)
		value &= ~B_UIE;
	if ((value & B_SET) && !(old & B_SET)) {
		rtc_snapshot(r, rtc_now(r, &nsec));
		r->time_set = false;
	}
	/* The registers are read in the format that is in force when the clock starts again. */
	r->cmos[REG_B] = value;
	if (!(value & B_SET) && (old & B_SET) && r->time_set)
		rtc_adopt(r);
}

static void rtc_write_time(struct rtc *r, u8 reg, u8 value)
{
	u32 nsec;

	if (r->cmos[REG_B] & B_SET) {
		r->cmos[reg] = value;
		r->time_set = true;
		return;
	}
	rtc_snapshot(r, rtc_now(r, &nsec));
	r->cmos[reg] = value;
	rtc_adopt(r);
}

static u8 selected(const struct rtc *r)
{
	u8 reg = r->index & 0x7f;

	return reg == REG_CENTURY2 ? REG_CENTURY : reg;
}

static void rtc_write(void *opaque, u16 port, u32 value, unsigned size)
{
	struct rtc *r = opaque;
	u8 reg = selected(r);

	(void)size;
	if (port == RTC_INDEX) {
		r->index = value;
		return;
	}
	if (reg > REG_D && reg != REG_CENTURY) {
		r->cmos[reg] = value;
		return;
	}
	rtc_sync(r);
	if (is_time_register(reg))
		rtc_write_time(r, reg, value);
	else if (reg == REG_A)
		rtc_write_a(r, value);
	else if (reg == REG_B)
		rtc_write_b(r, value);
	else if (reg < REG_A)
		r->cmos[reg] = value;
	rtc_update_irq(r);
	rtc_arm(r);
}

static u8 rtc_read_c(struct rtc *r)
{
	u8 value;

	rtc_sync(r);
	rtc_update_irq(r);
	value = r->cmos[REG_C];
	r->cmos[REG_C] = 0;
	rtc_update_irq(r);
	rtc_arm(r);
	return value;
}

static u32 rtc_read(void *opaque, u16 port, unsigned size)
{
	struct rtc *r = opaque;
	u8 reg = selected(r);
	u32 nsec;
	s64 sec;

	(void)size;
	if (port == RTC_INDEX)
		return 0xff;
	if (reg == REG_C)
		return rtc_read_c(r);
	if (reg == REG_A) {
		rtc_now(r, &nsec);
		return r->cmos[REG_A] | (rtc_updating(r) && nsec >= NS_PER_SEC - UPDATE_NS ? A_UIP : 0);
	}
	if (is_time_register(reg) && !(r->cmos[REG_B] & B_SET)) {
		sec = rtc_now(r, &nsec);
		rtc_snapshot(r, sec);
	}
	return r->cmos[reg];
}

/* ---- life cycle ---- */

static void put_le16(u8 *p, u64 value)
{
	value = MIN(value, 0xffff);
	p[0] = value;
	p[1] = value >> 8;
}

static void rtc_sum_cmos(struct rtc *r)
{
	unsigned sum = 0;

	for (int i = CMOS_FIRST; i < CMOS_SUM; i++)
		sum += r->cmos[i];
	r->cmos[CMOS_SUM] = (u8)(sum >> 8);
	r->cmos[CMOS_SUM + 1] = (u8)sum;
}

/* What a PC's firmware finds out about its memory and leaves here. */
static void rtc_fill_cmos(struct rtc *r)
{
	const struct memory *m = &r->vm->mem;
	u64 high = (m->ram_size - m->low_size) >> 16;

	r->cmos[REG_A] = 0x26;
	r->cmos[REG_B] = B_24H;
	r->cmos[REG_D] = D_VRT;
	r->cmos[CMOS_EQUIP] = 0x06; /* a coprocessor, a mouse; neither diskette nor display */
	put_le16(r->cmos + CMOS_BASE, MIN(m->low_size >> 10, 640));
	put_le16(r->cmos + CMOS_EXT, m->low_size > 1 << 20 ? MIN((m->low_size >> 10) - 1024, 63 * 1024) : 0);
	put_le16(r->cmos + CMOS_EXT2, r->cmos[CMOS_EXT] | r->cmos[CMOS_EXT + 1] << 8);
	put_le16(r->cmos + CMOS_EXT16M, m->low_size > 16 << 20 ? (m->low_size - (16 << 20)) >> 16 : 0);
	high = MIN(high, 0xffffff);
	for (int i = 0; i < 3; i++)
		r->cmos[CMOS_HIGH + i] = high >> 8 * i;
	rtc_sum_cmos(r);
}

void rtc_set_cmos(struct rtc *r, u8 reg, u8 value)
{
	if (reg < CMOS_FIRST || reg >= sizeof(r->cmos) || reg == REG_CENTURY)
		fatal("CMOS register %#x is not firmware's", reg);
	r->cmos[reg] = value;
	rtc_sum_cmos(r);
}

u8 rtc_get_cmos(const struct rtc *r, u8 reg)
{
	return r->cmos[reg & 0x7f];
}

/* The battery keeps time and memory; RESET# clears the interrupt enables and flags (MC146818, "RESET"). */
static void rtc_reset(void *opaque)
{
	struct rtc *r = opaque;

	r->index = 0;
	if ((r->cmos[REG_B] & B_SET) && r->time_set)
		rtc_adopt(r);
	r->time_set = false;
	r->cmos[REG_B] &= ~(B_SET | B_PIE | B_AIE | B_UIE | B_SQWE);
	r->cmos[REG_C] = 0;
	rtc_update_irq(r);
	rtc_arm(r);
}

static void rtc_save(void *opaque, struct state *s)
{
	struct rtc *r = opaque;

	if (!(r->cmos[REG_B] & B_SET)) {
		/* Leftovers of the last read; the time itself is the offset's. */
		for (int i = 0; i <= REG_CENTURY; i++)
			if (is_time_register(i))
				r->cmos[i] = 0;
	}
	state_put_u8(s, r->index);
	state_put(s, r->cmos, sizeof(r->cmos));
	state_put_u8(s, r->time_set);
	state_put_u8(s, r->wday_skew);
	state_put_u64(s, (u64)r->seen_sec);
	state_put_u64(s, r->seen_period);
	state_put_u64(s, (u64)r->vm->clock.rtc_offset_sec);
}

static void rtc_load(void *opaque, struct state *s)
{
	struct rtc *r = opaque;
	u8 cmos[sizeof(r->cmos)], index, wday_skew;
	bool time_set;
	s64 seen_sec, offset;
	u64 seen_period;

	index = state_get_u8(s);
	state_get(s, cmos, sizeof(cmos));
	time_set = state_get_bool(s);
	wday_skew = state_get_u8_max(s, 6);
	seen_sec = (s64)state_get_u64(s);
	seen_period = state_get_u64_max(s, 1ull << 48);
	offset = (s64)state_get_u64(s);
	if (offset > OFFSET_MAX || offset < -OFFSET_MAX || seen_sec > OFFSET_MAX || seen_sec < -OFFSET_MAX)
		s->error = true;
	for (int i = 0; i <= REG_CENTURY; i++)
		if (is_time_register(i) && cmos[i] && !(cmos[REG_B] & B_SET))
			s->error = true;
	if ((cmos[REG_A] & A_UIP) || (cmos[REG_C] & ~(C_IRQF | C_FLAGS)) || cmos[REG_D] != D_VRT)
		s->error = true;
	if (s->error)
		return;
	r->index = index;
	for (size_t i = 0; i < sizeof(cmos); i++)
		r->cmos[i] = cmos[i];
	r->time_set = time_set;
	r->wday_skew = wday_skew;
	r->seen_sec = seen_sec;
	r->seen_period = seen_period;
	r->vm->clock.rtc_offset_sec = offset;
	rtc_arm(r);
}

static void rtc_free(void *opaque)
{
	struct rtc *r = opaque;

	timer_del(&r->timer);
	free(r);
}

struct rtc *rtc_create(struct vm *vm, struct irq irq)
{
	struct rtc *r = calloc(1, sizeof(*r));
	u32 nsec;

	if (!r)
		fatal("out of memory");
	r->vm = vm;
	r->irq = irq;
	timer_init(&r->timer, vm, rtc_timer, r);
	rtc_fill_cmos(r);
	r->seen_sec = rtc_now(r, &nsec);
	rtc_write_a(r, r->cmos[REG_A]);
	trace_ports(vm, io_register(vm, &(struct port_range){RTC_INDEX, RTC_DATA, 1, rtc_read, rtc_write, r}), REGS_RTC);
	device_register(vm, &(struct device){"rtc", 1, r, rtc_reset, rtc_save, rtc_load, rtc_free});
	return r;
}
