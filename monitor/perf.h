/*
 * Linux perf and the translated code: -perfmap writes /tmp/perf-PID.map, which perf report reads; -jitdump writes jit-PID.dump, which
 * `perf record -k mono` notices and `perf inject --jit` works into the record. Names are symbols_name's, one for each TU.
 *
 * Addresses of the cache are used again after a flush. A map has no time: it is begun anew then, so it names what was there at the end,
 * and samples from before are either nobody's or another's. A jitdump has the time of each TU, and its code.
 */
#ifndef RINGER_PERF_H
#define RINGER_PERF_H

#include "monitor/types.h"

struct vcpu;
struct tu;

/* According to the options; v->perf stays NULL if none is given. A file that cannot be written is fatal(). Before the vCPU runs. */
void perf_open(struct vcpu *v);
void perf_close(struct vcpu *v);
/* A TU has been made; the cache has been emptied. vCPU thread, FPU parked; v->perf is not NULL. */
void perf_tu(struct vcpu *v, const struct tu *tu);
void perf_flush(struct vcpu *v);

#endif
