/*
 * Throwing exceptions: an instruction is abandoned, the dispatcher delivers. Invariant: v->pending is consumed by the dispatcher before
 * anything else runs.
 */
#include "monitor/exception.h"

#include "cache/tc.h"

_Noreturn void tc_unwind(struct vcpu *v)
{
	__builtin_longjmp(v->unwind, 1);
}

static _Noreturn void throw(struct vcpu * v, int vector, bool has_error, u32 error_code)
{
	v->pending.vector = vector;
	v->pending.has_error = has_error;
	v->pending.error_code = error_code;
	tc_unwind(v);
}

_Noreturn void raise_exception(struct vcpu *v, int vector)
{
	throw(v, vector, false, 0);
}

_Noreturn void raise_error(struct vcpu *v, int vector, u32 error_code)
{
	throw(v, vector, true, error_code);
}

_Noreturn void raise_pf(struct vcpu *v, u32 linear, u32 error_code)
{
	v->cr2 = linear;
	v->stats.true_faults++;
	throw(v, EXC_PF, true, error_code);
}
