/*
 * The verifier: proves of a finished TU, from its bytes alone, that it cannot leave the guest. It decodes with Capstone what the emitter
 * wrote with its own tables for Zydis, and shares no code with it. -accel bt,verify=on. vCPU thread only.
 */
#ifndef RINGER_VERIFY_H
#define RINGER_VERIFY_H

#include "cache/tc.h"
#include "monitor/vcpu.h"

/* X(name, what is wrong) */
#define VERIFY_RULES(X)                                                                                                                    \
	X(DECODE, "bytes that are no instruction")                                                                                         \
	X(PREFIX, "prefix that has no business here")                                                                                      \
	X(UNLISTED, "instruction that is not on the list")                                                                                 \
	X(SENSITIVE, "sensitive instruction")                                                                                              \
	X(FORBIDDEN, "system call, interrupt, port, privileged or segment instruction")                                                    \
	X(REGISTER, "register that is not the guest's to use")                                                                             \
	X(WIDTH, "64-bit operation outside the glue")                                                                                      \
	X(HOST_VALUE, "host value used as if it were the guest's")                                                                         \
	X(MEMORY, "memory operand that is neither window, look-up nor vCPU")                                                               \
	X(WINDOW, "window access in code that has no window")                                                                              \
	X(VCPU, "vCPU field that is not listed for this")                                                                                  \
	X(TABLE, "flat table at what is not the index of a page")                                                                          \
	X(LOOKUP, "access that the look-up before it does not cover")                                                                      \
	X(COMMIT, "bounce buffer that is committed out of turn, or never")                                                                 \
	X(STRING, "string instruction without addresses in the window")                                                                    \
	X(STACK, "host stack out of balance")                                                                                              \
	X(FLAGS, "flags that are not the guest's to set")                                                                                  \
	X(TRANSFER, "control transfer to what is no place to go")                                                                          \
	X(THUNK, "thunk with arguments that are not this TU's")                                                                            \
	X(OVERLAP, "branch into the middle of an instruction")                                                                             \
	X(LOOP, "loop that does not leave the TU")                                                                                         \
	X(END, "control runs off the end")                                                                                                 \
	X(EXIT, "exit that cannot be chained as its record says")                                                                          \
	X(POLL, "backward exit without a poll")                                                                                            \
	X(LIMIT, "more code than a TU can have")

enum verify_rule {
	VERIFY_OK,
#define X(name, text) VERIFY_##name,
	VERIFY_RULES(X)
#undef X
		VERIFY_RULE_COUNT
};

struct verify_violation {
	enum verify_rule rule;
	u32 eip;  /* of the guest instruction */
	u32 host; /* rx address */
	u8 bytes[15];
	u8 length;     /* of the instruction, or of what there is if it is none */
	char text[96]; /* disassembled */
};

struct verifier;

/* NULL: no memory. */
struct verifier *verifier_create(void);
void verifier_free(struct verifier *r);
const char *verify_rule_name(enum verify_rule rule);
const char *verify_rule_text(enum verify_rule rule);

/*
 * Checks a TU that nothing is chained to yet, in the bytes of the executable view; first_emu: number of its first emu_insn. False, and
 * *why, if it breaks a rule. Needs fpu_park(v) before.
 */
bool verify_tu(struct vcpu *v, const struct tu *tu, u32 first_emu, struct verify_violation *why);
/* The same, but a violation ends the program: it is a bug of the monitor's (EXIT_BUG). */
void verify_or_die(struct vcpu *v, const struct tu *tu, u32 first_emu);

/*
 * verify_chain.c: an exit has been pointed at a TU: it must lead from a branch of its own TU to the body of one that is alive, of the same
 * page and the same mode; or, if it has no target, by its stub to the jump cache. Touches no FPU state.
 */
enum verify_rule verify_chain(const struct vcpu *v, const struct tu_exit *x);
void verify_chain_or_die(struct vcpu *v, const struct tu_exit *x);

#endif
