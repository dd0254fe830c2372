/*
 * A growable byte stream that devices and the vCPU save themselves to and load themselves from.
 * Integers are little-endian. A load that runs past the end, or meets a wrong value, sets `error` and yields zeros,
 * so that a loader can read all its fields and look at the verdict once. Any thread; one stream belongs to one thread.
 */
#ifndef RINGER_STATE_H
#define RINGER_STATE_H

#include "monitor/types.h"

struct state {
	u8 *data;
	size_t len, cap, pos;
	bool error;
};

void state_init(struct state *s);
void state_free(struct state *s);
void state_put(struct state *s, const void *p, size_t n);
void state_put_u8(struct state *s, u8 x);
void state_put_u16(struct state *s, u16 x);
void state_put_u32(struct state *s, u32 x);
void state_put_u64(struct state *s, u64 x);
void state_get(struct state *s, void *p, size_t n);
u8 state_get_u8(struct state *s);
u16 state_get_u16(struct state *s);
u32 state_get_u32(struct state *s);
u64 state_get_u64(struct state *s);
/* A section: a name and a version in front of the data; state_get_section returns the version, 0 if it is another's. */
void state_put_section(struct state *s, const char *name, u32 version);
u32 state_get_section(struct state *s, const char *name);

#endif
