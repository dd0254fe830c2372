/*
 * Segment protection: limits at every operand size, access rights, null selectors, expand-down and based segments, stacks and code.
 */
#include "guestos/conformance/test.h"

static UDATA u8 area[8192] __attribute__((aligned(4096)));

enum { SEG = SEL_FREE, SEG3 = SEL_FREE | 3 };

CODE(ld1, "movb %fs:(%ebx), %al");
CODE(ld2, "movw %fs:(%ebx), %ax");
CODE(ld4, "movl %fs:(%ebx), %eax");
CODE(ld8, "fildq %fs:(%ebx); fistpq (%esi)");
CODE(ld10, "fldt %fs:(%ebx)");
CODE(st1, "movb %al, %fs:(%ebx)");
CODE(st2, "movw %ax, %fs:(%ebx)");
CODE(st4, "movl %eax, %fs:(%ebx)");
CODE(st8, "fildq (%esi)\n st8_at: fistpq %fs:(%ebx)");
CODE(rmw4, "addl %eax, %fs:(%ebx)");
CODE(xchg4, "xchg %eax, %fs:(%ebx)");
CODE(cx8, "cmpxchg8b %fs:(%ebx)");
CODE(lods4, "mov %ebx, %esi\n lods4_at: lodsl %fs:(%esi), %eax");
CODE(lgs6, "lgs %fs:(%ebx), %ecx");
CODE(env28, "fninit\n env28_at: fnstenv %fs:(%ebx)");
CODE(save108, "fninit\n save108_at: fnsave %fs:(%ebx)");
CODE(xlat1, "xor %eax, %eax\n xlat1_at: xlatb %fs:(%ebx)");

struct access {
	const char *name;
	const u8 *code, *at;
	u32 size, writes;
};

static const struct access accesses[] = {
	{"load 1", ld1, ld1, 1, 0},
	{"load 2", ld2, ld2, 2, 0},
	{"load 4", ld4, ld4, 4, 0},
	{"load 8", ld8, ld8, 8, 0},
	{"load 10", ld10, ld10, 10, 0},
	{"store 1", st1, st1, 1, 1},
	{"store 2", st2, st2, 2, 1},
	{"store 4", st4, st4, 4, 1},
	{"store 8", st8, st8_at, 8, 1},
	{"add 4", rmw4, rmw4, 4, 1},
	{"xchg 4", xchg4, xchg4, 4, 1},
	{"cmpxchg8b", cx8, cx8, 8, 1},
	{"lods", lods4, lods4_at, 4, 0},
	{"xlat", xlat1, xlat1_at, 1, 0},
	{"lgs", lgs6, lgs6, 6, 0},
	{"fnstenv", env28, env28_at, 28, 1},
	{"fnsave", save108, save108_at, 108, 1},
};
enum { N_ACCESS = sizeof(accesses) / sizeof(accesses[0]) };

/* An access of each kind at an offset in the segment; it must fault exactly if it does not fit between lo and hi (both inclusive). */
static void probe_at(const struct access *a, int ring, u32 off, u32 lo, u32 hi, const char *what)
{
	struct state s = at_ring(a->code, ring), in;
	int fits = off >= lo && off <= hi && (u64)off + a->size - 1 <= hi;
	u32 before;

	/* LGS loads null. */
	if (a->code == lgs6)
		memset(area, 0, sizeof(area));
	before = *(u32 *)(area + 4092);
	s.fs = SEG3;
	s.ebx = off;
	s.esi = ADDR(area) + 64;
	in = s;
	run(&s);
	if (fits) {
		if (s.vec != V_END)
			fail("%s, %s at %x: trap %u", what, a->name, off, s.vec);
		return;
	}
	if (s.vec != V_GP || s.err || s.eip != ADDR(a->at))
		fail("%s, %s at %x in ring %d: trap %u error %x eip %x, want #GP(0) at %x", what, a->name, off, ring, s.vec, s.err, s.eip,
		     ADDR(a->at));
	EQ(s.ebx, in.ebx, "ebx at the fault");
	if (a->writes && off > 4088 && hi < 4096)
		EQ(*(u32 *)(area + 4092), before, "memory after a failed store");
}

static int no_limits(void)
{
	return qemu_skips("segment limits, rights and null selectors are not checked on memory accesses");
}

TEST(limit_up, "limits.expand-up, byte granular")
{
	if (no_limits())
		return;
	for (int ring = 0; ring <= 3; ring += 3)
		for (u32 i = 0; i < N_ACCESS; i++)
			for (u32 limit = 0xffd; limit <= 0x1000; limit++) {
				gdt_set(SEG, desc(ADDR(area), limit, ACC_DATA | ACC_DPL(3), 4));
				for (u32 off = limit - accesses[i].size; off <= limit + 1; off++)
					probe_at(&accesses[i], ring, off, 0, limit, "limit");
				probe_at(&accesses[i], ring, 0xffffffff, 0, limit, "limit");
				probe_at(&accesses[i], ring, 0xfffffff8, 0, limit, "limit");
				probe_at(&accesses[i], ring, 0x80000000, 0, limit, "limit");
			}
}

TEST(limit_zero, "limits.limit 0")
{
	if (no_limits())
		return;
	gdt_set(SEG, desc(ADDR(area), 0, ACC_DATA | ACC_DPL(3), 4));
	for (u32 i = 0; i < N_ACCESS; i++) {
		probe_at(&accesses[i], 3, 0, 0, 0, "limit 0");
		probe_at(&accesses[i], 3, 1, 0, 0, "limit 0");
	}
}

TEST(limit_page, "limits.expand-up, page granular")
{
	if (no_limits())
		return;
	gdt_set(SEG, desc(ADDR(area), 0, ACC_DATA | ACC_DPL(3), 0xc));
	for (u32 i = 0; i < N_ACCESS; i++)
		for (u32 off = 0xff4; off <= 0x1000; off++)
			probe_at(&accesses[i], 3, off, 0, 0xfff, "page granular");
}

TEST(limit_down, "limits.expand-down, 32 and 16 bit")
{
	if (no_limits())
		return;
	for (int ring = 0; ring <= 3; ring += 3)
		for (u32 i = 0; i < N_ACCESS; i++) {
			/* Valid: 0x801 to the top. 16 bit: to 0xffff; the base makes that land in area. */
			gdt_set(SEG, desc(ADDR(area), 0x800, 0x96 | ACC_DPL(3), 4));
			probe_at(&accesses[i], ring, 0x800, 0x801, 0xffffffff, "expand-down");
			probe_at(&accesses[i], ring, 0, 0x801, 0xffffffff, "expand-down");
			probe_at(&accesses[i], ring, 0x801, 0x801, 0xffffffff, "expand-down");
			probe_at(&accesses[i], ring, 0x900, 0x801, 0xffffffff, "expand-down");
			gdt_set(SEG, desc(ADDR(area) - 0xf000, 0xf7ff, 0x96 | ACC_DPL(3), 0));
			probe_at(&accesses[i], ring, 0xf7ff, 0xf800, 0xffff, "expand-down 16 bit");
			probe_at(&accesses[i], ring, 0xf800, 0xf800, 0xffff, "expand-down 16 bit");
			for (u32 off = 0xfff4; off <= 0x10000; off++)
				probe_at(&accesses[i], ring, off, 0xf800, 0xffff, "expand-down 16 bit");
		}
}

TEST(limit_wrap, "limits.expand-down, access that wraps")
{
	struct state s = at_ring(ld4, 3);

	if (qemu_skips("limits are not checked for wrapping"))
		return;
	gdt_set(SEG, desc(ADDR(area), 0x800, 0x96 | ACC_DPL(3), 4));
	s.fs = SEG3;
	s.ebx = 0xfffffffe;
	run(&s);
	trapped(&s, V_GP, 0, ld4, "load 4 at fffffffe");
}

TEST(rights, "limits.rights of data and code segments")
{
	static const struct {
		const char *name;
		u8 access;
		int read, write;
	} c[] = {{"read-only data", 0x90, 1, 0}, {"writable data", 0x92, 1, 1}, {"readable code", 0x9a, 1, 0}};

	if (no_limits())
		return;
	for (u32 k = 0; k < 3; k++) {
		gdt_set(SEG, desc(ADDR(area), 0xffff, (u8)(c[k].access | ACC_DPL(3)), 4));
		for (u32 i = 0; i < N_ACCESS; i++) {
			int ok = accesses[i].writes ? c[k].write : c[k].read;

			probe_at(&accesses[i], 3, 0x40, 0, ok ? 0xffff : 0, c[k].name);
			probe_at(&accesses[i], 0, 0x40, 0, ok ? 0xffff : 0, c[k].name);
		}
	}
}

CODE(null_ds, "mov (%ebx), %al");
CODE(null_es, "mov %ebx, %edi; null_es_at: stosb");
CODE(null_gs, "mov %al, %gs:(%ebx)");
CODE(null_bp, "mov %ebx, %ebp\n null_bp_at: mov %ds:(%ebp), %al");

TEST(null, "limits.null selectors")
{
	if (no_limits())
		return;
	for (int ring = 0; ring <= 3; ring += 3)
		for (u16 sel = 0; sel <= 3; sel += 3) {
			struct state s;
			static const struct {
				const u8 *code, *at;
			} c[] = {{null_ds, null_ds}, {null_es, null_es_at}, {null_gs, null_gs}, {null_bp, null_bp_at}};

			for (u32 i = 0; i < 4; i++) {
				s = at_ring(c[i].code, ring);
				s.ebx = ADDR(area);
				s.ds = s.es = s.gs = sel;
				run(&s);
				trapped(&s, V_GP, 0, c[i].at, tag("access through null", ring));
			}
		}
}

CODE(based, "mov %ds:(%ebx), %eax; mov %es:(%ebx), %ecx; mov %fs:(%ebx), %edx; mov %gs:(%ebx), %esi");
CODE(based_movs, "cld; mov $4, %ecx; rep movsl");
CODE(based_wrap, "mov %fs:(%ebx), %eax");

TEST(based, "limits.segments with a base")
{
	struct state s = at_ring(based, 3);
	u32 *w = (u32 *)area;

	for (u32 i = 0; i < 2048; i++)
		w[i] = 0x1000 + i;
	for (u16 i = 0; i < 4; i++)
		gdt_set((u16)(0x40 + i * 8), desc(ADDR(area) + i * 256u, 0xffff, ACC_DATA | ACC_DPL(3), 4));
	s.ds = 0x43;
	s.es = 0x4b;
	s.fs = 0x53;
	s.gs = 0x5b;
	s.ebx = 8;
	run(&s);
	if (ended(&s, "based")) {
		EQ(s.eax, 0x1002, "ds");
		EQ(s.ecx, 0x1002 + 64, "es");
		EQ(s.edx, 0x1002 + 128, "fs");
		EQ(s.esi, 0x1002 + 192, "gs");
	}
	s = at_ring(based_movs, 3);
	s.ds = 0x43;
	s.es = 0x5b;
	s.esi = 16;
	s.edi = 0;
	run(&s);
	if (ended(&s, "rep movs")) {
		for (u32 i = 0; i < 4; i++)
			EQ(w[192 + i], 0x1004 + i, "copied word");
		EQ(s.esi, 32, "esi");
		EQ(s.edi, 16, "edi");
	}
	/* base + offset wraps at 4 GiB */
	gdt_set(0x50, desc(ADDR(area) + 0x1000, 0xfffff, ACC_DATA | ACC_DPL(3), 0xc));
	s = at_ring(based_wrap, 3);
	s.fs = 0x53;
	s.ebx = (u32)-0x1000;
	run(&s);
	if (ended(&s, "wrap"))
		EQ(s.eax, 0x1000, "word at base + (-0x1000)");
}

CODE(ss_ops, "push %eax; push $0x1234; pop %ecx; pop %edx; call 1f; jmp 2f; 1: ret; 2: mov (%esp), %esi; mov %esp, %ebp; mov (%ebp), %edi;"
	     "pusha; popa; enter $8, $0; mov %esp, %ebx; leave");

TEST(based_ss, "limits.stack segment with a base")
{
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(ss_ops, ring);

		gdt_set(SEG, desc(ADDR(area), 0x1fff, (u8)(ACC_DATA | ACC_DPL(ring)), 4));
		s.ss = (u16)(SEG | ring);
		s.esp = 0x1000;
		*(u32 *)(area + 0x1000) = 0xabcdef01;
		run(&s);
		if (!ended(&s, tag("based stack", ring)))
			continue;
		EQ(s.ecx, 0x1234, "second word");
		EQ(s.edx, 0xa1a1a1a1, "first word");
		EQ(s.esi, 0xabcdef01, "(esp)");
		EQ(s.edi, 0xabcdef01, "(ebp)");
		EQ(s.esp, 0x1000, "esp");
		EQ(s.ebx, 0x1000 - 12, "esp within enter");
	}
}

CODE(ss_push, "push %eax");
CODE(ss_pop, "pop %eax");
CODE(ss_call, "call 1f; 1:");
CODE(ss_ret, "ret");
CODE(ss_enter, "enter $0, $0");
CODE(ss_leave, "leave");
CODE(ss_bp, "mov (%ebp), %eax");
CODE(ss_sp, "mov %eax, (%esp)");
CODE(ss_pusha, "pusha");
CODE(ss_popa, "popa");
CODE(ss_pushf, "pushf");
CODE(ss_pushm, "pushl (%esi)");

TEST(ss_limit, "limits.#SS beyond the stack's limit")
{
	static const struct {
		const char *name;
		const u8 *code;
		u32 esp, ebp;
	} c[] = {
		{"push below 0", ss_push, 2, 0},   {"push at the top", ss_push, 0x1004, 0},
		{"pop across", ss_pop, 0xffe, 0},  {"call", ss_call, 0x1003, 0},
		{"ret", ss_ret, 0xffd, 0},	   {"enter", ss_enter, 3, 0},
		{"leave", ss_leave, 0x100, 0xffe}, {"(ebp)", ss_bp, 0x100, 0x1000},
		{"(esp)", ss_sp, 0xffe, 0},	   {"pusha", ss_pusha, 31, 0},
		{"popa", ss_popa, 0xff0, 0},	   {"pushf", ss_pushf, 1, 0},
		{"push mem", ss_pushm, 0x2000, 0},
	};

	if (no_limits())
		return;
	gdt_set(SEG, desc(ADDR(area), 0xfff, ACC_DATA | ACC_DPL(3), 4));
	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct state s = at_ring(c[i].code, 3), in;

		s.ss = SEG3;
		s.esp = c[i].esp;
		s.ebp = c[i].ebp;
		s.esi = ADDR(area);
		in = s;
		run(&s);
		if (trapped(&s, V_SS, 0, c[i].code, c[i].name))
			same_regs(&s, &in, c[i].name);
	}
}

CODE(cs_run, "mov %cs:(%ebx), %eax; call 1f; 1: pop %ecx; nop");

TEST(based_cs, "limits.code segment with a base")
{
	struct state s = at_ring(cs_run, 3);
	u32 base = ADDR(cs_run) - 0x40;

	gdt_set(SEG, desc(base, 0x1fff, 0x9a | ACC_DPL(3), 4));
	s.cs = SEG3;
	s.eip = 0x40;
	s.ebx = 0x40;
	run(&s);
	if (!ended(&s, "based code"))
		return;
	EQ(s.eax, *(u32 *)cs_run, "word read through cs");
	EQ(s.ecx, 0x40 + 8, "return address of call");
	EQ(s.eip, ADDR(cs_run_end) + 2 - base, "eip image");
	EQ(s.cs, SEG3, "cs image");
}

CODE(xo_read, "mov %cs:(%ebx), %eax");

TEST(exec_only, "limits.execute-only code")
{
	struct state s = at_ring(xo_read, 3);

	if (no_limits())
		return;
	gdt_set(SEG, desc(0, 0xfffff, 0x98 | ACC_DPL(3), 0xc));
	s.cs = SEG3;
	s.ebx = ADDR(area);
	run(&s);
	trapped(&s, V_GP, 0, xo_read, "read through execute-only cs");
}

CODE(cs_write, "mov %eax, %cs:(%ebx)");

TEST(cs_store, "limits.write through cs")
{
	if (no_limits())
		return;
	for (int ring = 0; ring <= 3; ring += 3) {
		struct state s = at_ring(cs_write, ring);

		s.ebx = ADDR(area);
		run(&s);
		trapped(&s, V_GP, 0, cs_write, tag("write through cs", ring));
	}
}

CODE(cs_seq, "nop; nop; nop\n cs_seq_at: mov $0x12345678, %eax");
CODE(cs_jmp, "jmp 1f\n .skip 64\n 1: nop");

TEST(cs_limit, "limits.code beyond the limit of cs")
{
	struct state s = at_ring(cs_seq, 3);

	if (qemu_skips("cs limits are not checked"))
		return;
	gdt_set(SEG, desc(ADDR(cs_seq), 4, 0x9a | ACC_DPL(3), 4));
	s.cs = SEG3;
	s.eip = 0;
	run(&s);
	trapped(&s, V_GP, 0, (void *)3, "instruction across the limit");
	gdt_set(SEG, desc(ADDR(cs_jmp), 40, 0x9a | ACC_DPL(3), 4));
	s = at_ring(cs_jmp, 3);
	s.cs = SEG3;
	s.eip = 0;
	run(&s);
	trapped(&s, V_GP, 0, (void *)0, "jump beyond the limit");
}

CODE(ldt_use, "mov %eax, %fs; mov %fs:(%ebx), %ecx; lar %ax, %edx");

TEST(ldt, "limits.segments of the LDT")
{
	struct state s = at_ring(ldt_use, 3);

	*(u32 *)(area + 12) = 0x600df00d;
	ldt[1] = desc(ADDR(area), 0xffff, ACC_DATA | ACC_DPL(3), 4);
	s.eax = 0xf;
	s.ebx = 12;
	run(&s);
	if (ended(&s, "LDT data")) {
		EQ(s.ecx, 0x600df00d, "word");
		EQ(s.edx & 0xff00, 0xf300, "lar");
	}
	ldt[2] = desc(0, 0xfffff, ACC_CODE | ACC_DPL(3), 0xc);
	ldt[3] = desc(0, 0xfffff, ACC_DATA | ACC_DPL(3), 0xc);
	s = at_ring(ldt_use, 3);
	s.eax = 0xf;
	s.ebx = 12;
	s.cs = 0x17;
	s.ss = s.ds = 0x1f;
	run(&s);
	if (ended(&s, "LDT code and stack")) {
		EQ(s.cs, 0x17, "cs image");
		EQ(s.ss, 0x1f, "ss image");
	}
	ldt[1] = ldt[2] = ldt[3] = 0;
}

CODE(stale_code, "mov %eax, %fs; movl $0, (%esi); movl $0, 4(%esi); mov %fs:(%ebx), %ecx; stale_code_at: mov %eax, %gs");

TEST(stale, "limits.a loaded segment outlives its descriptor")
{
	struct state s = at_ring(stale_code, 0);

	*(u32 *)(area + 12) = 0x600df00d;
	gdt_set(SEG, desc(ADDR(area), 0xffff, ACC_DATA, 4));
	s.eax = SEG;
	s.ebx = 12;
	s.esi = ADDR(&gdt[SEG >> 3]);
	run(&s);
	trapped(&s, V_GP, SEG, stale_code_at, "load of the cleared descriptor");
	EQ(s.ecx, 0x600df00d, "word read through the cached descriptor");
}
