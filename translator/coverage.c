/*
 * Marks of executed instruction forms, see coverage.h.
 *
 * Invariant: the marks lie below 2 GiB, so that a store to one needs no register.
 */
#include "translator/coverage.h"

#include <errno.h>
#include <sys/mman.h>

#include "translator/emit.h"
#include "translator/opcodes.h"

int coverage_init(struct vcpu *v)
{
	void *p = mmap(NULL, COVERAGE_MARKS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	v->marks = p == MAP_FAILED ? NULL : p;
	return v->marks ? 0 : -ENOMEM;
}

void coverage_free(struct vcpu *v)
{
	if (v->marks)
		munmap(v->marks, COVERAGE_MARKS);
	v->marks = NULL;
}

/* mov byte [mark], 1 */
void emit_mark(struct xlate *x)
{
	u32 mark = opcode_key(&x->in, x->ops, cs32(x)) + (mode_cpl(x) == 3 ? OPCODE_KEYS : 0);

	EB(x, 0xc6, 0x04, 0x25);
	e4(x, (u32)(u64)(x->v->marks + mark));
	e1(x, 1);
}

void coverage_print(const struct vcpu *v, FILE *f)
{
	const u8 *marks = v->marks;
	ZydisDecoder d;

	if (!marks)
		return;
	opcode_decoder(&d);
	for (u32 key = 0; key < OPCODE_KEYS; key++) {
		if (marks[key])
			opcode_print(f, &d, key, "kernel");
		if (marks[key + OPCODE_KEYS])
			opcode_print(f, &d, key, "user");
	}
}
