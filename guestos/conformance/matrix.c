/*
 * Checks over whole tables, each against a model made from the manual's text: what LAR, LSL, VERR, VERW and loads of DS and SS do with
 * every access byte, which flags POPF and IRET change by CPL and IOPL, error codes of exceptions that cannot be delivered.
 */
#include "guestos/conformance/test.h"

enum { SEL = SEL_FREE, LIMIT = 0x12345 };

/* The parts of an access byte. */
static int is_system(u32 a)
{
	return !(a & 0x10);
}
static int is_code(u32 a)
{
	return (a & 0x18) == 0x18;
}
static int is_conforming(u32 a)
{
	return (a & 0x1c) == 0x1c;
}
static u32 dpl_of(u32 a)
{
	return a >> 5 & 3;
}

/* SDM Vol. 2A, LAR, LSL: privilege counts but for conforming code. */
static int visible(u32 a, u32 cpl, u32 rpl)
{
	return (!is_system(a) && is_conforming(a)) || (dpl_of(a) >= cpl && dpl_of(a) >= rpl);
}

/* The system types that LAR and LSL take: tables 3-52 and 3-56. */
enum { LAR_SYSTEM = 0x1a3e, LSL_SYSTEM = 0x0a0e };

CODE(inspect,
     "xor %ebx, %ebx; xor %esi, %esi; xor %edi, %edi; xor %ebp, %ebp;"
     "lar %eax, %ecx; jnz 1f; inc %ebx; 1: lsl %eax, %edx; jnz 1f; inc %esi; 1: verr %ax; jnz 1f; inc %edi; 1: verw %ax; jnz 1f; inc "
     "%ebp; 1:");

TEST(inspect, "matrix.lar lsl verr verw of every access byte")
{
	for (u32 a = 0; a < 256; a++)
		for (u32 k = 0; k < 8; k++) {
			u32 cpl = k & 4 ? 3 : 0, rpl = k & 3, sees = visible(a, cpl, rpl);
			struct state s = at_ring(inspect, (int)cpl);
			u32 lar = sees && (!is_system(a) || LAR_SYSTEM >> (a & 15) & 1),
			    lsl = sees && (!is_system(a) || LSL_SYSTEM >> (a & 15) & 1);
			u32 verr = sees && !is_system(a) && (!is_code(a) || (a & 2)),
			    verw = sees && !is_system(a) && !is_code(a) && (a & 2);

			gdt_set(SEL, desc(0, LIMIT, (u8)a, 5));
			s.eax = SEL | rpl;
			run(&s);
			if (!ended(&s, "inspection"))
				return;
			if (s.ebx != lar || s.esi != lsl || s.edi != verr || s.ebp != verw)
				fail("access %02x, CPL %u, RPL %u: lar %u lsl %u verr %u verw %u, want %u %u %u %u", a, cpl, rpl, s.ebx,
				     s.esi, s.edi, s.ebp, lar, lsl, verr, verw);
			/* Bits 16..19 are undefined. */
			if (lar)
				EQ(s.ecx & 0xfff0ffff, a << 8 | 5u << 20, "lar");
			if (lsl)
				EQ(s.edx, LIMIT, "lsl");
		}
}

CODE(load_es, "mov %eax, %es");
CODE(load_ss, "mov %ss, %edx; mov %eax, %ss; mov %edx, %ss");
CODE(load_lfs, "lfs (%ebx), %ecx");

/* What MOV to ES or SS does (SDM Vol. 2B, MOV): 0, or the vector, always with the selector as error code. */
static u32 load_fault(u32 a, u32 cpl, u32 rpl, int ss)
{
	if (ss) {
		if (is_system(a) || is_code(a) || !(a & 2) || rpl != cpl || dpl_of(a) != cpl)
			return V_GP;
		return a & 0x80 ? 0 : V_SS;
	}
	if (is_system(a) || (is_code(a) && !(a & 2)))
		return V_GP;
	if (!is_conforming(a) && (rpl > dpl_of(a) || cpl > dpl_of(a)))
		return V_GP;
	return a & 0x80 ? 0 : V_NP;
}

static UDATA u32 far_pointer[2];

static void load(const u8 *code, u32 a, u32 cpl, u32 rpl, int ss, const char *name)
{
	u32 want = load_fault(a, cpl, rpl, ss);
	struct state s = at_ring(code, (int)cpl);

	gdt_set(SEL, desc(0, 0xfffff, (u8)a, 0xc));
	far_pointer[0] = 0x11223344;
	far_pointer[1] = SEL | rpl;
	s.ebx = ADDR(far_pointer);
	s.eax = SEL | rpl;
	run(&s);
	if (want ? s.vec != want || s.err != SEL : s.vec != V_END) {
		fail("%s of access %02x, CPL %u, RPL %u: trap %u error %x, want %u", name, a, cpl, rpl, s.vec, s.err, want ? want : V_END);
		return;
	}
	if (want && code == load_lfs)
		EQ(s.ecx, 0xc1c1c1c1, "ecx at the fault of lfs");
	if (!want)
		EQ((u32)(gdt[SEL >> 3] >> 40) & 0xff, a | 1, "accessed bit");
}

TEST(loads, "matrix.mov es, mov ss and lfs of every access byte")
{
	for (u32 a = 0; a < 256; a++)
		for (u32 k = 0; k < 8; k++) {
			u32 cpl = k & 4 ? 3 : 0, rpl = k & 3;

			load(load_es, a, cpl, rpl, 0, "mov es");
			load(load_lfs, a, cpl, rpl, 0, "lfs");
			load(load_ss, a, cpl, rpl, 1, "mov ss");
		}
}

/* The flags of the pattern are loaded; IF ends up as it was by way of the last POPF, if that may change it. */
CODE(popf32, "pushf; push %eax; popf; pushf; pop %edx; popf");
CODE(popf16, "pushf; push %eax; popfw; pushf; pop %edx; pop %cx; popf");
CODE(iret32, "pushf; push %eax; push %cs; push $1f; iret; 1: pushf; pop %edx; popf");

TEST(flags, "matrix.flags that popf and iret change, by CPL and IOPL")
{
	enum { PATTERN = FL_ARITH | FL_DF | FL_IF | FL_IOPL | FL_NT | FL_AC | FL_ID, ALWAYS = FL_ARITH | FL_DF | FL_NT };
	static const struct {
		const char *name;
		const u8 *code;
		int wide, iret;
	} c[] = {{"popf", popf32, 1, 0}, {"popfw", popf16, 0, 0}, {"iret", iret32, 1, 1}};

	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		for (u32 k = 0; k < 16; k++) {
			u32 cpl = k & 1 ? 3 : 0, iopl = k >> 1 & 3, pattern = k & 8 ? PATTERN & ~FL_IF : 0;
			struct state s = at_ring(c[i].code, (int)cpl);
			u32 mask = ALWAYS | (c[i].wide ? FL_AC | FL_ID : 0) | (cpl <= iopl ? FL_IF : 0) | (cpl ? 0 : FL_IOPL), before;

			/* IF off, so that nothing comes between. */
			s.eflags = FL_ONE | iopl << 12 | (k & 8 ? 0 : FL_ARITH | FL_AC | FL_ID);
			before = s.eflags;
			s.eax = pattern;
			run(&s);
			if (!ended(&s, tag(c[i].name, (int)cpl)))
				continue;
			if (s.edx != ((before & ~mask) | (pattern & mask) | FL_ONE))
				fail("%s, CPL %u, IOPL %u: %x of %x and %x", c[i].name, cpl, iopl, s.edx, before, pattern);
			/* IF set by it, where it may be. */
			s = at_ring(c[i].code, (int)cpl);
			s.eflags = FL_ONE | iopl << 12;
			s.eax = FL_IF;
			pic_mask(0xffff);
			run(&s);
			pic_mask(0xfffe);
			if (ended(&s, tag(c[i].name, (int)cpl)))
				EQ(s.edx & FL_IF, cpl <= iopl ? FL_IF : 0, tag(c[i].name, (int)cpl));
		}
}

CODE(raise_ud, "ud2");
CODE(raise_int, "int $0x40");

/* SDM Vol. 3A 6.13: EXT is set if an event outside the program, which an exception counts as, could not be delivered. */
TEST(ext, "matrix.error codes of exceptions that cannot be delivered")
{
	enum { BAD = SEL_FREE, BEYOND = 0xfff8 };
	static const struct {
		const char *what;
		u32 sel, off_type, vec, err; /* err: without EXT */
		u8 present;
	} c[] = {
		{"gate not present", KCS, 0xe, V_NP, 2, 0},
		{"gate of another type", KCS, 0xc, V_GP, 2, 1},
		{"null selector", 0, 0xe, V_GP, 0, 1},
		{"data segment", KDS, 0xe, V_GP, KDS, 1},
		{"beyond the limit", BEYOND, 0xf, V_GP, BEYOND, 1},
		{"code not present", BAD, 0xe, V_NP, BAD, 1},
		{"outer code", UCS, 0xe, V_GP, UCS & ~3, 1},
	};

	if (qemu_skips("EXT stays clear in the error code"))
		return;
	gdt_set(BAD, desc(0, 0xfffff, 0x1a, 0xc));
	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		for (int ring = 0; ring <= 3; ring += 3)
			for (int software = 0; software < 2; software++) {
				u32 vector = software ? 0x40 : V_UD, err = c[i].err == 2 ? vector * 8 + 2 : c[i].err;
				u64 g = gate((u16)c[i].sel, ADDR(trap_stubs[vector]), (u8)c[i].off_type, 3);
				struct state s;

				/* From ring 0 the gate to ring 3 is to a less privileged segment as well; from ring 3 it is not. */
				if (c[i].sel == UCS && ring)
					continue;
				idt[vector] = c[i].present ? g : g & ~(0x80ull << 40);
				s = go(software ? raise_int : raise_ud, ring);
				idt_reset();
				if (s.vec != c[i].vec || s.err != (err | !software) || s.eip != ADDR(software ? raise_int : raise_ud))
					fail("%s, %s in ring %d: trap %u error %x, want %u error %x", c[i].what, software ? "int" : "ud2",
					     ring, s.vec, s.err, c[i].vec, err | !software);
			}
}

CODE(raise_de, "xor %ecx, %ecx; div %ecx");
CODE(raise_pf, "mov (0x10005000), %eax");

/*
 * SDM Vol. 3A table 6-5: a benign exception or a contributory one and then a page fault are handled one after the other; a page fault and
 * then a page fault or a contributory exception are a double fault. The page fault of the second kind is that of a code segment's
 * descriptor.
 */
TEST_PG(nested, "matrix.exceptions while exceptions are delivered")
{
	enum { TABLE = TW, FAR_SEL = 0x1008 };
	static const struct {
		const char *what;
		const u8 *code;
		u32 vector, second, want; /* want: vector */
	} c[] = {
		{"#UD, #PF", raise_ud, V_UD, V_PF, V_PF}, {"#DE, #PF", raise_de, V_DE, V_PF, V_PF},
		{"#PF, #PF", raise_pf, V_PF, V_PF, V_DF}, {"#DE, #NP", raise_de, V_DE, V_NP, V_DF},
		{"#PF, #NP", raise_pf, V_PF, V_NP, V_DF}, {"#DE, #GP", raise_de, V_DE, V_GP, V_DF},
		{"#PF, #GP", raise_pf, V_PF, V_GP, V_DF},
	};

	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++)
		for (int ring = 0; ring <= 3; ring += 3) {
			struct pseudo far = {0x1fff, TABLE};
			struct state s;
			u64 good = idt[c[i].vector];

			/* The same GDT, but longer, and not all there. */
			map(TABLE, scratch[0], P_P | P_W);
			memcpy((void *)TABLE, gdt, sizeof(gdt));
			if (c[i].second == V_PF)
				idt[c[i].vector] = gate(FAR_SEL, ADDR(trap_stubs[c[i].vector]), 0xe, 0);
			else if (c[i].second == V_NP)
				idt[c[i].vector] = good & ~(0x80ull << 40);
			else
				idt[c[i].vector] = gate(KDS, ADDR(trap_stubs[c[i].vector]), 0xe, 0);
			asm volatile("lgdt %0" ::"m"(far));
			s = go(c[i].code, ring);
			asm volatile("lgdt %0" ::"m"(gdtr));
			idt[c[i].vector] = good;
			if (s.vec != c[i].want || s.err) {
				fail("%s in ring %d: trap %u error %x, want %u", c[i].what, ring, s.vec, s.err, c[i].want);
				continue;
			}
			if (c[i].want == V_PF) {
				EQ(s.cr2, TABLE + FAR_SEL, "cr2");
				EQ(s.eip, ADDR(c[i].code) + (c[i].code == raise_de ? 2 : 0), "eip");
			}
		}
	unmap_window();
}

/* ModRM.mod does not count in moves of control and debug registers (SDM Vol. 2B): there is no memory operand. */
CODE(cr_mod0, ".byte 0x0f, 0x20, 0x00; nop"); /* mov eax, cr0 */
CODE(cr_mod1, ".byte 0x0f, 0x20, 0x43; nop"); /* mov ebx, cr0 */
CODE(dr_mod0, ".byte 0x0f, 0x21, 0x3d; nop"); /* mov ebp, dr7 */

TEST(cr_mod, "matrix.mov of control registers ignores mod")
{
	struct state s = go(cr_mod0, 0);

	if (ended(&s, "mod 0"))
		EQ(s.eax, read_cr0(), "mod 0");
	s = go(cr_mod1, 0);
	if (ended(&s, "mod 1"))
		EQ(s.ebx, read_cr0(), "mod 1");
	s = go(dr_mod0, 0);
	if (ended(&s, "mod 0 of a debug register"))
		EQ(s.ebp, 0x400, "mod 0 of a debug register");
}

CODE(lmsw, "smsw %ecx; mov %ecx, %edx; and $~1, %edx; xor $0x8, %edx; lmsw %dx; mov %cr0, %eax; lmsw %cx; clts; mov %cr0, %esi");

TEST(lmsw, "matrix.lmsw sets TS and leaves PE")
{
	u32 cr0 = read_cr0();
	struct state s = go(lmsw, 0);

	if (!ended(&s, "lmsw"))
		return;
	EQ(s.eax, cr0 ^ CR0_TS, "cr0 after lmsw");
	EQ(s.esi, cr0, "cr0 in the end");
	EQ(s.ecx, cr0, "smsw of a 32-bit register");
}
