/*
 * Jump caches: from the low 16 bits of a target EIP to the head of a TU, one cache per mode. They are the instruction TLB as well: a
 * cross-page transfer always goes through one, and it is flushed when the architecture requires the TLB to be.
 */
#ifndef RINGER_JC_H
#define RINGER_JC_H

#include "monitor/vcpu.h"

#define JC_ENTRIES 65536
#define JC_COUNT   16
#define JC_LOG	   8192

struct tu;

struct jump_cache {
	u64 *entry; /* heads, or thunk_exit_jc */
	u32 mode;
	bool used;
	bool nonglobal; /* holds TUs from pages that MOV CR3 drops */
	u32 log_count;	/* slots that were filled since the last flush; more than JC_LOG: unknown */
	u64 pages[64];	/* filter: hashes of linear pages whose TUs are in it */
	u16 log[JC_LOG];
};

/* v->tc->jcs is an array of JC_COUNT, followed by the all-miss one. */
int jc_init(struct vcpu *v);
void jc_free(struct vcpu *v);
struct jump_cache *jc_for_mode(struct vcpu *v, u32 mode);
/* What v->jc points to after a kick: every transfer leaves to the dispatcher. */
u64 *jc_all_miss(struct vcpu *v);
void jc_enter(struct vcpu *v, struct jump_cache *jc, struct tu *tu, bool global);
void jc_drop_tu(struct vcpu *v, struct tu *tu);
void jc_flush_all(struct vcpu *v);
void jc_flush_nonglobal(struct vcpu *v);
void jc_flush_page(struct vcpu *v, u32 linear_page);

#endif
