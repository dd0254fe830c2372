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

#define MARKS (OPCODE_KEYS * 2) /* bytes: by form, at CPL 0..2 and at CPL 3 */

int coverage_init(struct xlate *x)
{
	void *p = mmap(NULL, MARKS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	x->marks = p == MAP_FAILED ? NULL : p;
	return x->marks ? 0 : -ENOMEM;
}

void coverage_free(struct xlate *x)
{
	if (x->marks)
		munmap(x->marks, MARKS);
	x->marks = NULL;
}

/* mov byte [mark], 1 */
void emit_mark(struct xlate *x)
{
	u32 mark = opcode_key(&x->in, x->ops, cs32(x)) + (mode_cpl(x) == 3 ? OPCODE_KEYS : 0);

	EB(x, 0xc6, 0x04, 0x25);
	e4(x, (u32)(u64)(x->marks + mark));
	e1(x, 1);
}

void coverage_print(const struct vcpu *v, FILE *f)
{
	const u8 *marks = v->xlate->marks;
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
