/* The binary translator: guest code to TUs. vCPU thread only. */
#ifndef RINGER_TRANSLATE_H
#define RINGER_TRANSLATE_H

#include "monitor/vcpu.h"

struct tu;

/* The translator's working memory hangs off the vCPU. 0 or -errno. */
int translator_init(struct vcpu *v);
void translator_free(struct vcpu *v);

/* Makes the TU for the code at v->eip (guest-physical pa) in v->mode. Raises #PF, #GP if the code cannot be fetched. Needs fpu_park(v)
 * before. */
struct tu *translate(struct vcpu *v, u64 pa);

#endif
