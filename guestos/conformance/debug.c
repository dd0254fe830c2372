/*
 * #DB: single stepping by TF over every kind of instruction, breakpoints by DR0 to DR3, ICEBP, and general detect.
 */
#include "guestos/conformance/test.h"

enum { MAX_LOG = 64 };

static u32 log_eip[MAX_LOG], log_dr6[MAX_LOG], log_n;
static int keep_tf;

static u32 read_dr6(void)
{
	u32 v;

	asm volatile("mov %%db6, %0" : "=r"(v));
	return v;
}

static void write_dr6(u32 v)
{
	asm volatile("mov %0, %%db6" ::"r"(v));
}

static void write_dr7(u32 v)
{
	asm volatile("mov %0, %%db7" ::"r"(v));
}

static u32 read_dr7(void)
{
	u32 v;

	asm volatile("mov %%db7, %0" : "=r"(v));
	return v;
}

static int step_hook(struct state *s)
{
	if (log_n < MAX_LOG) {
		log_eip[log_n] = s->eip;
		log_dr6[log_n] = read_dr6();
	}
	log_n++;
	write_dr6(0xffff0ff0);
	s->eflags |= FL_RF; /* goes on past an instruction breakpoint */
	if (!keep_tf || log_n > 1000)
		s->eflags &= ~(u32)FL_TF;
	return 1;
}

static int pass_hook(struct state *s)
{
	(void)s;
	return 1;
}

static UDATA u32 data[8];
static UDATA u8 from[8] = {1, 2, 3, 4, 5, 6, 7, 8}, to[8];

/* Runs code with TF from the first instruction on, in a ring; EIP after each step must be base + want[]. */
static void steps(const u8 *code, int ring, const u8 *want, u32 n, const char *name)
{
	struct state s = at_ring(code, ring);

	log_n = 0;
	keep_tf = 1;
	trap_hook[V_DB] = step_hook;
	trap_hook[V_SYS] = pass_hook;
	s.eflags = FL_ONE | FL_TF; /* IF clear: no interrupt gets between */
	s.ebx = ADDR(data);
	s.esi = ADDR(from);
	s.edi = ADDR(to);
	s.ecx = 3;
	run(&s);
	trap_hook[V_DB] = NULL;
	trap_hook[V_SYS] = NULL;
	if (!ended(&s, tag(name, ring)))
		return;
	for (u32 i = 0; i < n && i < log_n; i++) {
		if (log_eip[i] != ADDR(code) + want[i])
			fail("%s in ring %d: step %u at +%x, want +%x", name, ring, i, log_eip[i] - ADDR(code), want[i]);
		if ((log_dr6[i] & 0xe00f) != 0x4000)
			fail("%s in ring %d: step %u: dr6 is %x", name, ring, i, log_dr6[i]);
	}
	EQ(log_n, n, tag(name, ring));
}
#define STEPS(code, ring, ...) steps(code, ring, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}), #code)

CODE(s_plain, "nop; inc %eax; mov (%ebx), %eax; push %eax; pop %eax; jmp 1f; nop; 1: call 2f; jmp 3f; 2: ret; 3: nop");
CODE(s_rep, "nop; rep movsb; nop");
CODE(s_rep0, "xor %ecx, %ecx; rep movsb; nop");
CODE(s_pushf, "pushf; pop %eax; push %eax; popf; nop");
CODE(s_popf_off, "pushf; andl $~0x100, (%esp); popf; nop; nop");
CODE(s_int, "nop; int $0x80; nop; nop");
CODE(s_movss, "mov %ss, %eax; mov %eax, %ss; nop; nop");
CODE(s_popss, "push %ss; pop %ss; inc %eax; nop");
CODE(s_iret, "pushf; push %cs; push $1f; iret; 1: nop; nop");
CODE(s_loop, "1: dec %ecx; jnz 1b; loop 2f; 2: nop");
CODE(s_x87, "fninit; fldz; fstp %st(0); cpuid; nop");
CODE(s_into, "xor %eax, %eax; into; .byte 0x66; into; nop");
CODE(s_cond, "test %ecx, %ecx; jz 1f; setz %al; cmovz %ecx, %eax; 1: nop");

TEST(step, "debug.single step")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		/* The last instruction of each piece, int $0xf0, clears TF by entering its gate: no step is reported for it. */
		STEPS(s_plain, ring, 1, 2, 4, 5, 6, 9, 16, 14, 17, 18);
		STEPS(s_rep, ring, 1, 1, 1, 3, 4);
		STEPS(s_rep0, ring, 2, 4, 5);
		STEPS(s_pushf, ring, 1, 2, 3, 4, 5);
		STEPS(s_popf_off, ring, 1, 8, 9);
		STEPS(s_loop, ring, 1, 0, 1, 0, 1, 3, 5, 6);
		STEPS(s_cond, ring, 2, 4, 7, 10, 11);
	}
}

TEST(step_int, "debug.single step over int and iret")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		/* int enters with TF clear; the handler's iret sets TF, which acts after the instruction that follows. */
		STEPS(s_int, ring, 1, 4, 5);
		/* Not taken. */
		STEPS(s_into, ring, 2, 3, 5, 6);
		STEPS(s_iret, ring, 1, ring ? 2 : 2, 7, 8, 9, 10);
	}
}

TEST(step_x87, "debug.single step over x87 and cpuid")
{
	STEPS(s_x87, 3, 2, 4, 6, 8, 9);
}

TEST(step_ss, "debug.mov ss and pop ss hold a single step off")
{
	if (qemu_skips("mov ss does not hold the trap off"))
		return;
	for (int ring = 0; ring <= 3; ring += 3) {
		STEPS(s_movss, ring, 2, 5, 6);
		STEPS(s_popss, ring, 1, 3, 4);
	}
}

CODE(tf_on, "pushf; orl $0x100, (%esp); popf; nop; inc %eax; pushf; andl $~0x100, (%esp); popf; nop; inc %eax");

TEST(tf_on, "debug.popf that sets and clears TF")
{
	static const u8 want[] = {10, 11, 12, 19, 20};

	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(tf_on, ring);

		log_n = 0;
		keep_tf = 1;
		trap_hook[V_DB] = step_hook;
		s.eflags = FL_ONE;
		run(&s);
		trap_hook[V_DB] = NULL;
		ended(&s, "popf");
		EQ(log_n, 5, tag("steps", ring));
		for (u32 i = 0; i < 5 && i < log_n; i++)
			EQ(log_eip[i] - ADDR(tf_on), want[i], "step");
	}
}

/* IRET to an instruction that has run before, three times with EBX and the last time with EAX as flags; and the same with DR7. */
CODE(warm_iret,
     "mov $4, %ecx; 1: cmp $1, %ecx; jne 2f; mov %eax, %ebx; 2: push %ebx; push %cs; push $3f; iret; 3: nop; warm_iret_at: nop; dec "
     "%ecx; jnz 1b");
CODE(warm_dr7, "mov $4, %ecx; 1: cmp $1, %ecx; jne 2f; mov %eax, %ebx; 2: mov %ebx, %db7; nop; warm_dr7_at: nop; dec %ecx; jnz 1b");

TEST(warm, "debug.TF by IRET and breakpoints by DR7 where the code behind has run already")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(warm_iret, ring);

		s.eflags = s.ebx = FL_ONE;
		s.eax = FL_ONE | FL_TF;
		run(&s);
		EQ(s.vec, V_DB, tag("TF by IRET", ring));
		EQ(s.eip, ADDR(warm_iret_at), tag("eip", ring));
		EQ(s.ecx, 1, tag("turns", ring));
	}
	struct state s = at_ring(warm_dr7, 0);

	asm volatile("mov %0, %%db0" ::"r"(warm_dr7_at));
	s.eflags = FL_ONE;
	s.ebx = 0x400;
	s.eax = 0x402;
	run(&s);
	write_dr7(0x400);
	EQ(s.vec, V_DB, "breakpoint by DR7");
	EQ(s.eip, ADDR(warm_dr7_at), "eip");
	EQ(s.ecx, 1, "turns");
}

CODE(fault_tf, "nop; fault_tf_at: ud2");

TEST(step_fault, "debug.TF in the image of a fault while stepping")
{
	struct state s = at_ring(fault_tf, 3);

	log_n = 0;
	trap_hook[V_DB] = step_hook;
	s.eflags = FL_ONE | FL_TF;
	run(&s);
	trap_hook[V_DB] = NULL;
	trapped(&s, V_UD, 0, fault_tf_at, "ud2 while stepping");
	EQ(s.eflags & FL_TF, FL_TF, "TF in the image");
	EQ(log_n, 1, "steps");
}

CODE(icebp, ".byte 0xf1; icebp_at: nop");

TEST(icebp, "debug.icebp")
{
	if (qemu_skips("icebp is undefined"))
		return;
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = go(icebp, ring);

		trapped(&s, V_DB, 0, icebp_at, tag("icebp", ring));
	}
}

CODE(bp_code, "nop; bp_code_at: inc %eax; nop; jmp 1f; 1: nop");

TEST(dr_exec, "debug.instruction breakpoint")
{
	for (int ring = 0; ring <= 3; ring += 3)
		for (u32 n = 0; n < 4; n++) {
			struct state s = at_ring(bp_code, ring);

			log_n = 0;
			keep_tf = 0;
			trap_hook[V_DB] = step_hook;
			write_dr6(0xffff0ff0);
			asm volatile("mov %0, %%db0; mov %0, %%db1; mov %0, %%db2; mov %0, %%db3" ::"r"(0));
			if (n == 0)
				asm volatile("mov %0, %%db0" ::"r"(bp_code_at));
			else if (n == 1)
				asm volatile("mov %0, %%db1" ::"r"(bp_code_at));
			else if (n == 2)
				asm volatile("mov %0, %%db2" ::"r"(bp_code_at));
			else
				asm volatile("mov %0, %%db3" ::"r"(bp_code_at));
			write_dr7(0x400 | 2u << n * 2);
			s.eax = 10;
			run(&s);
			write_dr7(0x400);
			trap_hook[V_DB] = NULL;
			if (!ended(&s, "code with a breakpoint"))
				continue;
			EQ(log_n, 1, tag("hits", ring));
			EQ(log_eip[0], ADDR(bp_code_at), "eip at the hit");
			EQ(log_dr6[0] & 0x600f, 1u << n, "dr6");
			EQ(s.eax, 11, "eax");
		}
}

TEST(dr_exec_off, "debug.instruction breakpoint that is off")
{
	struct state s = at_ring(bp_code, 3);

	asm volatile("mov %0, %%db0" ::"r"(bp_code_at));
	write_dr7(0x400);
	run(&s);
	ended(&s, "code");
}

CODE(w1, "movb %al, (%ebx); w1_at: nop");
CODE(w2, "movw %ax, (%ebx); w2_at: nop");
CODE(w4, "movl %eax, (%ebx); w4_at: nop");
CODE(r1, "movb (%ebx), %al; r1_at: nop");
CODE(r4, "movl (%ebx), %eax; r4_at: nop");
CODE(rmw4, "addl %eax, (%ebx); rmw4_at: nop");
CODE(push4, "lea 4(%ebx), %ecx; xchg %ecx, %esp; push %eax; push4_at: xchg %ecx, %esp");
CODE(stos4, "mov %ebx, %edi; stosl; stos4_at: nop");

static void watch(const char *name, const u8 *code, const u8 *after, u32 size, u32 rw, u32 len, u32 off, int writes, int misaligned)
{
	static const u32 len_bits[5] = {0, 0, 1, 0, 3};
	u32 watched = ADDR(&data[2]);

	for (u32 o = 0; o < 12; o++) {
		struct state s = at_ring(code, 3);
		u32 addr = ADDR(&data[2]) - 4 + o, hit = addr < watched + off + len && addr + size > watched + off && (writes || rw == 3);

		if ((o % size != 0) != misaligned)
			continue;
		log_n = 0;
		keep_tf = 0;
		trap_hook[V_DB] = step_hook;
		write_dr6(0xffff0ff0);
		asm volatile("mov %0, %%db1" ::"r"(watched + off));
		write_dr7(0x400 | 8 | rw << 20 | len_bits[len] << 22);
		s.ebx = addr;
		run(&s);
		write_dr7(0x400);
		trap_hook[V_DB] = NULL;
		if (!ended(&s, name))
			return;
		if (log_n != hit) {
			fail("%s at %d, watch of %u at %u: %u hits, want %u", name, (int)o - 4, len, off, log_n, hit);
			continue;
		}
		if (hit) {
			EQ(log_eip[0], ADDR(after), "eip after the access");
			EQ(log_dr6[0] & 0x600f, 2, "dr6");
		}
	}
}

static void watches(int m)
{
	for (u32 rw = 1; rw <= 3; rw += 2)
		for (u32 k = 0; k < 3; k++) {
			u32 len = 1u << k;

			for (u32 off = 0; off < 4; off += len) {
				watch("store 1", w1, w1_at, 1, rw, len, off, 1, m);
				watch("store 2", w2, w2_at, 2, rw, len, off, 1, m);
				watch("store 4", w4, w4_at, 4, rw, len, off, 1, m);
				watch("load 1", r1, r1_at, 1, rw, len, off, 0, m);
				watch("load 4", r4, r4_at, 4, rw, len, off, 0, m);
				watch("add 4", rmw4, rmw4_at, 4, rw, len, off, 1, m);
				watch("push 4", push4, push4_at, 4, rw, len, off, 1, m);
				watch("stos 4", stos4, stos4_at, 4, rw, len, off, 1, m);
			}
		}
}

TEST(dr_data, "debug.data breakpoints of 1, 2 and 4 bytes")
{
	asm volatile("mov %0, %%db0; mov %0, %%db1; mov %0, %%db2; mov %0, %%db3" ::"r"(0));
	watches(0);
}

TEST(dr_data_odd, "debug.data breakpoints hit by misaligned accesses")
{
	if (qemu_skips("misaligned accesses beside the watched bytes hit too"))
		return;
	watches(1);
}

CODE(rep_stos, "mov %ebx, %edi; nop; rep_stos_at: rep stosb; rep_stos_end_at: nop");
CODE(ss_bp, "mov %ss, %eax; mov %eax, %ss; ss_bp_at: nop; nop");
CODE(tf_watch, "movl %eax, (%ebx); tf_watch_at: nop");

static u32 hit_ecx;

static int rep_hook(struct state *s)
{
	hit_ecx = s->ecx;
	return step_hook(s);
}

TEST(dr_rep, "debug.data breakpoint in the middle of rep stosb")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(rep_stos, ring);

		log_n = 0;
		keep_tf = 0;
		trap_hook[V_DB] = rep_hook;
		write_dr6(0xffff0ff0);
		asm volatile("mov %0, %%db3" ::"r"(ADDR(data) + 5));
		write_dr7(0x400 | 0x80 | 1u << 28);
		s.ebx = ADDR(data);
		s.ecx = 9;
		run(&s);
		write_dr7(0x400);
		trap_hook[V_DB] = NULL;
		if (!ended(&s, tag("rep stosb", ring)))
			continue;
		EQ(log_n, 1, tag("hits", ring));
		EQ(log_eip[0], ADDR(rep_stos_at), "eip: the instruction goes on");
		EQ(hit_ecx, 3, "ecx behind the sixth element");
		EQ(log_dr6[0] & 0x600f, 8, "dr6");
		EQ(s.ecx, 0, "ecx in the end");
	}
}

TEST(dr_ss, "debug.instruction breakpoint behind mov ss is not seen")
{
	struct state s = at_ring(ss_bp, 3);

	if (qemu_skips("mov ss does not hold the trap off"))
		return;
	log_n = 0;
	trap_hook[V_DB] = step_hook;
	asm volatile("mov %0, %%db0" ::"r"(ss_bp_at));
	write_dr7(0x402);
	run(&s);
	write_dr7(0x400);
	trap_hook[V_DB] = NULL;
	ended(&s, "mov ss");
	EQ(log_n, 0, "hits");
}

TEST(dr_tf, "debug.single step and data breakpoint at once")
{
	struct state s = at_ring(tf_watch, 3);

	if (qemu_skips("they come one after the other"))
		return;
	log_n = 0;
	keep_tf = 0;
	trap_hook[V_DB] = step_hook;
	write_dr6(0xffff0ff0);
	asm volatile("mov %0, %%db0; mov %0, %%db1" ::"r"(data));
	write_dr7(0x400 | 0xa | 1u << 16 | 3u << 18 | 3u << 20 | 3u << 22);
	s.ebx = ADDR(data);
	s.eflags = FL_ONE | FL_TF;
	run(&s);
	write_dr7(0x400);
	trap_hook[V_DB] = NULL;
	ended(&s, "store");
	EQ(log_n, 1, "traps");
	EQ(log_eip[0], ADDR(tf_watch_at), "eip");
	EQ(log_dr6[0] & 0x600f, 0x4003, "dr6");
}

CODE(io_out, "nop; outb %al, %dx; io_out_at: nop");
CODE(io_in, "nop; inw %dx, %ax; io_in_at: nop");
CODE(io_rep, "nop; io_rep_at: rep outsb; nop; nop");

/* One run with an I/O breakpoint of `len` bytes at port 80h: how often it hits, EIP of the first and the last hit. */
static u32 io_hits(const u8 *code, u32 port, u32 len, u32 *first, u32 *last)
{
	struct state s = at_ring(code, 0);

	log_n = 0;
	keep_tf = 0;
	trap_hook[V_DB] = step_hook;
	write_dr6(0xffff0ff0);
	asm volatile("mov %0, %%db2" ::"r"(0x80));
	write_dr7(0x400 | 0x20 | 2u << 24 | (len - 1) << 26);
	s.edx = port;
	s.ecx = 3;
	s.esi = ADDR(from);
	run(&s);
	write_dr7(0x400);
	trap_hook[V_DB] = NULL;
	ended(&s, "code with an I/O breakpoint");
	*first = log_n ? log_eip[0] : 0;
	*last = log_n ? log_eip[log_n - 1] : 0;
	for (u32 i = 0; i < log_n && i < MAX_LOG; i++)
		EQ(log_dr6[i] & 0x600f, 4, "dr6");
	return log_n;
}

TEST(dr_io, "debug.I/O breakpoints")
{
	u32 first, last, cr4 = read_cr4();

	write_cr4(cr4 | CR4_DE);
	EQ(io_hits(io_out, 0x80, 1, &first, &last), 1, "hits of outb");
	EQ(first, ADDR(io_out_at), "eip behind outb");
	EQ(io_hits(io_in, 0x82, 4, &first, &last), 1, "hits of inw");
	EQ(first, ADDR(io_in_at), "eip behind inw");
	EQ(io_hits(io_out, 0x84, 4, &first, &last), 0, "hits beside");
	EQ(io_hits(io_in, 0x81, 1, &first, &last), 0, "hits beside, one byte");
	write_cr4(cr4);
}

TEST(dr_io_rep, "debug.I/O breakpoints behind each repetition")
{
	u32 first, last, cr4 = read_cr4();

	if (qemu_skips("only the first repetition is reported"))
		return;
	write_cr4(cr4 | CR4_DE);
	/* The last one has gone on. */
	EQ(io_hits(io_rep, 0x80, 1, &first, &last), 3, "hits of rep outsb");
	EQ(first, ADDR(io_rep_at), "eip in rep outsb");
	EQ(last, ADDR(io_rep_at) + 2, "eip behind rep outsb");
	write_cr4(cr4);
}

CODE(rdr7, "mov %db7, %eax");
CODE(wdr0, "mov %eax, %db0");
CODE(rdr4, ".byte 0x0f, 0x21, 0xe0");

TEST(gd, "debug.general detect")
{
	struct state s;

	if (qemu_skips("DR7.GD has no effect"))
		return;
	write_dr6(0xffff0ff0);
	write_dr7(0x2400);
	s = go(wdr0, 0);
	trapped(&s, V_DB, 0, wdr0, "mov to dr0 with GD");
	EQ(read_dr7() & 0x2000, 0, "GD is clear in the handler");
	EQ(read_dr6() & 0x2000, 0x2000, "BD");
	write_dr6(0xffff0ff0);
	s = go(wdr0, 0);
	ended(&s, "mov to dr0 without GD");
}

TEST(dr_regs, "debug.debug registers")
{
	u32 v;
	struct state s;

	asm volatile("mov %1, %%db0\n\tmov %%db0, %0" : "=r"(v) : "r"(0x12345678));
	EQ(v, 0x12345678, "dr0");
	asm volatile("mov %1, %%db3\n\tmov %%db3, %0" : "=r"(v) : "r"(0x87654321));
	EQ(v, 0x87654321, "dr3");
	write_dr7(0x400);
	EQ(read_dr7(), 0x400, "dr7");
	write_dr6(0xffff0ff0);
	EQ(read_dr6(), 0xffff0ff0, "dr6");
	s = go(rdr4, 0);
	if (ended(&s, "dr4 without DE"))
		EQ(s.eax, 0xffff0ff0, "dr4 is dr6");
	write_cr4(read_cr4() | CR4_DE);
	s = go(rdr4, 0);
	trapped(&s, V_UD, 0, rdr4, "dr4 with DE");
	write_cr4(read_cr4() & ~(u32)CR4_DE);
	s = go(rdr7, 0);
	if (ended(&s, "mov dr7"))
		EQ(s.eax, 0x400, "dr7");
}
