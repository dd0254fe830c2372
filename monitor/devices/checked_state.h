/*
 * Reading back a saved device: values that the format allows but the device does not are errors of the stream, so a device never runs on
 * nonsense. Every helper yields something harmless (0) after it has set s->error.
 */
#ifndef RINGER_CHECKED_STATE_H
#define RINGER_CHECKED_STATE_H

#include "monitor/state.h"

static inline u64 state_at_most(struct state *s, u64 x, u64 max)
{
	if (x <= max)
		return x;
	s->error = true;
	return 0;
}

static inline u8 state_get_u8_max(struct state *s, u8 max)
{
	return (u8)state_at_most(s, state_get_u8(s), max);
}

static inline bool state_get_bool(struct state *s)
{
	return state_get_u8_max(s, 1) != 0;
}

static inline u32 state_get_u32_max(struct state *s, u32 max)
{
	return (u32)state_at_most(s, state_get_u32(s), max);
}

static inline u64 state_get_u64_max(struct state *s, u64 max)
{
	return state_at_most(s, state_get_u64(s), max);
}

#endif
