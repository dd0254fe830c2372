/*
 * The seventeen instructions of the x86 that are sensitive but do not trap in ring 3 (Robin & Irvine, USENIX Security 2000), in ring 0 and
 * in ring 3: a virtual machine monitor without hardware support has to find every one of them. Rows are called by the instruction, those of
 * ring 3 user_NAME. What leaves something on the stack or needs an operand there is timed with the instruction that makes up for it, and is
 * called by both.
 */
#include "guestos/nano/nano.h"

static UDATA u8 sens_mem[16] __attribute__((used));

/* The same text in both rings but for the code selector. EBX holds the ring's data selector, ECX its code selector, EDI harmless flags. */
#define ROWS(X, CS)                                                                                                                        \
	X(sgdt, "sgdt sens_mem")                                                                                                           \
	X(sidt, "sidt sens_mem")                                                                                                           \
	X(sldt, "sldt %eax")                                                                                                               \
	X(smsw, "smsw %eax")                                                                                                               \
	X(str, "str %eax")                                                                                                                 \
	X(pushf_pop, "pushf; pop %eax")                                                                                                    \
	X(push_popf, "push %edi; popf")                                                                                                    \
	X(lar, "lar %ebx, %eax")                                                                                                           \
	X(lsl, "lsl %ebx, %eax")                                                                                                           \
	X(verr, "verr %bx")                                                                                                                \
	X(verw, "verw %bx")                                                                                                                \
	X(push_seg_pop, "push %ds; pop %eax")                                                                                              \
	X(push_pop_seg, "push %ebx; pop %es")                                                                                              \
	X(mov_from_seg, "mov %ds, %eax")                                                                                                   \
	X(mov_to_seg, "mov %ebx, %es")                                                                                                     \
	X(mov_to_ss, "mov %ebx, %ss")                                                                                                      \
	X(call_far_ret_far, "lcall $" CS ", $2f; jmp 3f; 2: lret; 3:")                                                                     \
	X(jmp_far, "ljmp $" CS ", $4f; 4:")                                                                                                \
	X(push_push_ret_far, "push %ecx; push $5f; lret; 5:")                                                                              \
	X(int_n_iret, "int $0x81")

#define KERNEL_ROW(name, op) USER_LOOP(kernel_##name, op);
#define USER_ROW(name, op)   USER_LOOP(user_##name, op);
ROWS(KERNEL_ROW, "0x08")
ROWS(USER_ROW, "0x1b")
USER_LOOP(sens_empty, "");

static const struct row {
	const char *name;
	const u8 *code[2]; /* ring 0, ring 3 */
} rows[] = {
#define ROW(name, op) {#name, {kernel_##name, user_##name}},
	ROWS(ROW, "")
#undef ROW
};

extern u8 nano_iret[];

static u64 cycles(const u8 *code, int ring)
{
	struct state s = at_ring(code, ring);
	u64 t;

	s.ebx = s.ds;
	s.ecx = s.cs;
	s.edi = FL_ONE;
	s.eflags &= ~(u32)FL_IF;
	t = rdtsc();
	run(&s);
	t = rdtsc() - t;
	if (s.vec != V_END) {
		print("NOTE trap %u at %x\n", s.vec, s.eip);
		return ~0ull;
	}
	return t;
}

/* The least of the rounds; ~0 if it trapped. */
static u64 best_of(const u8 *code, int ring)
{
	u64 best = ~0ull;

	for (u32 i = 0; i < nano.rounds; i++) {
		u64 t = cycles(code, ring);

		if (t == ~0ull)
			return t;
		best = t < best ? t : best;
	}
	return best;
}

void nano_sensitive(void)
{
	char name[40];

	nano_gate(0x81, nano_iret, 3);
	for (int ring = 0; ring <= 3; ring += 3) {
		u32 empty = (u32)(best_of(sens_empty, ring) * 10 / USER_LOOPS);

		for (u32 i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			u64 best;

			snprint(name, sizeof(name), "%s%s", ring ? "user_" : "", rows[i].name);
			best = best_of(rows[i].code[ring / 3], ring);
			if (best != ~0ull)
				nano_report(name, best, USER_LOOPS, empty);
		}
	}
	idt_reset();
}
