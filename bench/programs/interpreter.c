/* A stack machine that runs a program of two nested loops: the dispatch of an interpreter, one indirect jump for an instruction of a few.
 */
#include "bench.h"

#define OUTER 1200
#define INNER 500

enum op { PUSH, LOAD, STORE, ADD, SUB, MUL, XOR, JUMP_NONZERO, HALT };

/* Variables: 0 outer counter, 1 inner counter, 2 sum. Branch targets are indexes into the program. */
static const int program[] = {
	PUSH, OUTER, STORE,	   0,			      /* 0 */
	PUSH, INNER, STORE,	   1,			      /* 4: outer loop */
	LOAD, 2,     PUSH,	   31,	  MUL, LOAD,  1, ADD, /* 8: inner loop */
	LOAD, 0,     XOR,	   STORE, 2,		      /* 16 */
	LOAD, 1,     PUSH,	   1,	  SUB, STORE, 1,      /* 21 */
	LOAD, 1,     JUMP_NONZERO, 8,			      /* 28 */
	LOAD, 0,     PUSH,	   1,	  SUB, STORE, 0,      /* 32 */
	LOAD, 0,     JUMP_NONZERO, 4,			      /* 39 */
	HALT,
};

u32 row_interpreter(void)
{
	u32 stack[16], variable[3] = {0}, *sp = stack;
	const int *pc = program;

	for (;;)
		switch (*pc++) {
		case PUSH:
			*sp++ = (u32)*pc++;
			break;
		case LOAD:
			*sp++ = variable[*pc++];
			break;
		case STORE:
			variable[*pc++] = *--sp;
			break;
		case ADD:
			sp--;
			sp[-1] += *sp;
			break;
		case SUB:
			sp--;
			sp[-1] -= *sp;
			break;
		case MUL:
			sp--;
			sp[-1] *= *sp;
			break;
		case XOR:
			sp--;
			sp[-1] ^= *sp;
			break;
		case JUMP_NONZERO:
			if (*--sp)
				pc = program + *pc;
			else
				pc++;
			break;
		case HALT:
			return variable[2];
		}
}
