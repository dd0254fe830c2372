/*
 * The rest of the integer instructions: bits, exchanges, conversions, byte registers, conditions, addressing forms, flag moves.
 */
#include "guestos/conformance/test.h"

static UDATA u32 mem[64];
static UDATA u8 table[256];

#define ONE(id, text) CODE(id, text)

/* Runs code in ring 3 with EBX at mem[32] and the given registers; arithmetic flags as given. */
static struct state with(const void *code, u32 a, u32 c, u32 d, u32 flags)
{
	struct state s = at_ring(code, 3);

	s.eax = a;
	s.ecx = c;
	s.edx = d;
	s.ebx = ADDR(&mem[32]);
	s.eflags |= flags;
	run(&s);
	ended(&s, "code");
	return s;
}

ONE(bt_rr, "bt %ecx, %eax");
ONE(bts_rr, "bts %ecx, %eax");
ONE(btr_rr, "btr %ecx, %eax");
ONE(btc_rr, "btc %ecx, %eax");
ONE(bt_rm, "bt %ecx, (%ebx)");
ONE(bts_rm, "bts %ecx, (%ebx)");
ONE(btr_rm, "btr %ecx, (%ebx)");
ONE(btc_rm, "lock btc %ecx, (%ebx)");
ONE(bts_rm16, "bts %cx, (%ebx)");
ONE(bts_imm, "btsl $35, (%ebx)");

TEST(bt, "isa.bt bts btr btc")
{
	static const u8 *const reg[4] = {bt_rr, bts_rr, btr_rr, btc_rr}, *const memory[4] = {bt_rm, bts_rm, btr_rm, btc_rm};
	static const s32 offsets[] = {0, 1, 31, 32, 33, 63, 100, 1000, -1, -2, -32, -33, -500, -1024};

	for (u32 k = 0; k < 4; k++)
		for (u32 i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
			for (u32 v = 0; v < 2; v++) {
				u32 n = (u32)offsets[i], bit = 1u << (n & 31), word = v ? 0xffffffff : 0, want;
				struct state s = with(reg[k], word, n, 0, v ? FL_ZF : FL_CF | FL_ZF);
				int index = 32 + (offsets[i] >> 5);

				want = k == 0 ? word : k == 1 ? word | bit : k == 2 ? word & ~bit : word ^ bit;
				EQ(s.eax, want, "bit operation on a register");
				EQ(s.eflags & (FL_CF | FL_ZF), v | FL_ZF, "flags");
				for (u32 j = 0; j < 64; j++)
					mem[j] = word;
				s = with(memory[k], 0, n, 0, v ? FL_ZF : FL_CF | FL_ZF);
				EQ(s.eflags & (FL_CF | FL_ZF), v | FL_ZF, "flags");
				for (int j = 0; j < 64; j++)
					EQ(mem[j], j == index ? want : word, "bit operation on memory");
			}
	memset(mem, 0, sizeof(mem));
	with(bts_rm16, 0, 0xffff0000u | (u16)-20, 0, 0);
	EQ(mem[31], 1u << 12, "bts cx, mem with a negative 16-bit offset");
	memset(mem, 0, sizeof(mem));
	with(bts_imm, 0, 0, 0, 0);
	EQ(mem[32], 8, "bts imm: the offset wraps");
}

ONE(bsf, "bsf %ecx, %eax");
ONE(bsr, "bsr %ecx, %eax");
ONE(bsf16, "bsf (%ebx), %ax");
ONE(bsr16, "bsr (%ebx), %ax");

TEST(bsf_bsr, "isa.bsf bsr")
{
	struct state s;

	for (u32 i = 0; i < 32; i++) {
		s = with(bsf, 0x5555, 1u << i | 0x80000000, 0, FL_ZF);
		EQ(s.eax, i, "bsf");
		EQ(s.eflags & FL_ZF, 0, "ZF");
		s = with(bsr, 0x5555, 1u << i | 1, 0, FL_ZF);
		EQ(s.eax, i, "bsr");
	}
	/* With a source of zero every processor of the last 25 years leaves the destination alone. */
	s = with(bsf, 0x55556666, 0, 0, 0);
	EQ(s.eax, 0x55556666, "bsf of 0");
	EQ(s.eflags & FL_ZF, FL_ZF, "ZF");
	s = with(bsr, 0x55556666, 0, 0, 0);
	EQ(s.eax, 0x55556666, "bsr of 0");
	EQ(s.eflags & FL_ZF, FL_ZF, "ZF");
	mem[32] = 0xffff0100;
	s = with(bsf16, 0x55556666, 0, 0, 0);
	EQ(s.eax, 0x55550008, "bsf16");
	s = with(bsr16, 0x55556666, 0, 0, 0);
	EQ(s.eax, 0x55550008, "bsr16");
}

ONE(highs, "mov (%ebx), %ah; mov 1(%ebx), %ch; mov 2(%ebx), %dh; mov %ah, 4(%ebx); add %ch, 5(%ebx); mov %dh, %al; xchg %dl, %ch;"
	   "movzbl %ch, %esi; movsbl %dh, %edi; cmp %ah, 4(%ebx); sete %dh");
ONE(highs2, "mov $0x11223344, %ebx; mov %bh, %al; mov %bl, %ah; xor %bh, %bl; mov %ebx, %ecx; ror $8, %ebx; inc %bh; dec %ch");

TEST(high_bytes, "isa.ah bh ch dh with memory operands")
{
	struct state s;

	mem[32] = 0x00837211;
	mem[33] = 0x0000aa00;
	s = with(highs, 0, 0, 0x99, 0);
	EQ(s.eax, 0x1183, "eax");
	EQ(s.ecx, 0x9900, "ecx");
	EQ(s.edx, 0x0172, "edx");
	EQ(s.esi, 0x99, "esi");
	EQ(s.edi, 0xffffff83, "edi");
	EQ(mem[33], 0x1c11, "memory");
	s = with(highs2, 0, 0, 0, 0);
	EQ(s.eax, 0x4433, "eax");
	EQ(s.ecx, 0x11223277, "ecx");
	EQ(s.ebx, 0x77112333, "ebx");
}

ONE(do_xadd, "xadd %ecx, %eax; lock xadd %edx, (%ebx); xadd %al, %ah");
ONE(do_cmpxchg, "cmpxchg %ecx, (%ebx)");
ONE(do_cmpxchg8, "cmpxchg %cl, (%ebx)");
ONE(do_cx8b, "push %ebx; mov %esi, %ebx; lock cmpxchg8b (%edi); pop %ebx");

TEST(xadd, "isa.xadd cmpxchg cmpxchg8b")
{
	struct state s;

	mem[32] = 100;
	s = with(do_xadd, 5, 7, 0xffffffff, 0);
	EQ(s.ecx, 5, "xadd source");
	EQ(s.edx, 100, "xadd mem source");
	EQ(mem[32], 99, "xadd mem");
	EQ(s.eax, 0x0c00, "xadd al, ah");
	mem[32] = 0x1234;
	s = with(do_cmpxchg, 0x1234, 0x77, 0, 0);
	EQ(mem[32], 0x77, "cmpxchg stores");
	EQ(s.eflags & FL_ZF, FL_ZF, "ZF");
	EQ(s.eax, 0x1234, "eax");
	s = with(do_cmpxchg, 0x1234, 0x99, 0, 0);
	EQ(mem[32], 0x77, "cmpxchg does not store");
	EQ(s.eax, 0x77, "eax");
	EQ(s.eflags & FL_ARITH, FL_PF | FL_AF, "flags of 1234 - 77");
	s = with(do_cmpxchg8, 0xaabbcc77, 0x55, 0, 0);
	EQ(mem[32], 0x55, "cmpxchg8 stores");
	for (int equal = 0; equal < 2; equal++) {
		s = at_ring(do_cx8b, 3);
		mem[32] = 0x11111111;
		mem[33] = 0x22222222;
		s.eax = equal ? 0x11111111 : 0;
		s.edx = 0x22222222;
		s.esi = 0x33333333;
		s.ecx = 0x44444444;
		s.edi = ADDR(&mem[32]);
		s.eflags |= FL_CF | (equal ? 0 : FL_ZF);
		run(&s);
		if (!ended(&s, "cmpxchg8b"))
			continue;
		EQ(mem[32], equal ? 0x33333333 : 0x11111111, "low word");
		EQ(mem[33], equal ? 0x44444444 : 0x22222222, "high word");
		EQ(s.eax, 0x11111111, "eax");
		EQ(s.edx, 0x22222222, "edx");
		EQ(s.eflags & (FL_ZF | FL_CF), FL_CF | (equal ? FL_ZF : 0), "flags");
	}
}

ONE(convert,
    "mov $0x80, %al; cbw; mov %ax, %si; mov $0x8000, %ax; cwde; mov %eax, %edi; cdq; mov %edx, %ecx; mov $0x7fff, %ax; cwd; bswap %edi");
ONE(movx, "movzbl (%ebx), %eax; movsbl (%ebx), %ecx; movzwl (%ebx), %edx; movswl (%ebx), %esi; movsbw (%ebx), %di; movzbw (%ebx), %bp");
ONE(do_xlat, "xlat; mov $0x00ff, %dx; xchg %edx, %eax");
ONE(lahf_sahf, "lahf; mov %eax, %ecx; mov $0xff00, %eax; sahf; pushf; pop %edx; mov $0, %ah; sahf; setc %al; .byte 0xd6; cmc; stc; clc; "
	       "cmc; cld; std; cld");

TEST(convert, "isa.cbw cwde cwd cdq bswap movzx movsx xlat lahf sahf")
{
	struct state s = with(convert, 0, 0, 0, 0);

	EQ(s.esi & 0xffff, 0xff80, "cbw");
	EQ(s.edi, 0x0080ffff, "cwde, bswap");
	EQ(s.ecx, 0xffffffff, "cdq");
	EQ(s.edx, 0xffff0000, "cwd");
	mem[32] = 0x12348887;
	s = with(movx, 0, 0, 0, 0);
	EQ(s.eax, 0x87, "movzbl");
	EQ(s.ecx, 0xffffff87, "movsbl");
	EQ(s.edx, 0x8887, "movzwl");
	EQ(s.esi, 0xffff8887, "movswl");
	EQ(s.edi, 0xd9d9ff87, "movsbw");
	EQ(s.ebp, 0xb9b90087, "movzbw");
	for (u32 i = 0; i < 256; i++)
		table[i] = (u8)(i * 7 + 3);
	s = at_ring(do_xlat, 3);
	s.ebx = ADDR(table);
	s.eax = 0x123456f0;
	run(&s);
	ended(&s, "xlat");
	EQ(s.edx, 0x12345600u | (u8)(0xf0 * 7 + 3), "xlat");
	s = with(lahf_sahf, 0, 0, 0, FL_CF | FL_AF | FL_SF);
	EQ(s.ecx >> 8 & 0xff, FL_CF | FL_AF | FL_SF | 2, "lahf");
	EQ(s.edx & FL_ARITH, FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF, "sahf");
	EQ(s.eax & 0xff, 0, "salc");
	EQ(s.eflags & (FL_CF | FL_DF), FL_CF, "cmc, std, cld");
}

/* All sixteen conditions at once, by SETcc, CMOVcc and Jcc; EAX, ECX, EDX collect a bit each. */
#define CC(n, cc)                                                                                                                          \
	"push %edi; popf; set" cc " %bl; movzbl %bl, %ebx; shl $" #n ", %ebx; or %ebx, %eax; mov $0, %ebx; push %edi; popf; cmov" cc       \
	" %esi, %ebx; and $(1 << " #n "), %ebx; or %ebx, %ecx; push %edi; popf; j" cc " 1f; jmp 2f; 1: or $(1 << " #n "), %edx; 2:\n"
CODE(conditions, CC(0, "o") CC(1, "no") CC(2, "c") CC(3, "nc") CC(4, "z") CC(5, "nz") CC(6, "be") CC(7, "a") CC(8, "s") CC(9, "ns")
			 CC(10, "p") CC(11, "np") CC(12, "l") CC(13, "ge") CC(14, "le") CC(15, "g"));

TEST(conditions, "isa.setcc cmovcc jcc")
{
	for (u32 i = 0; i < 64; i++) {
		u32 o = i & 1, c = i >> 1 & 1, z = i >> 2 & 1, sf = i >> 3 & 1, p = i >> 4 & 1, want;
		struct state s = at_ring(conditions, 3);

		s.edi = FL_ONE | (o ? FL_OF : 0u) | c | (z ? FL_ZF : 0u) | (sf ? FL_SF : 0u) | (p ? FL_PF : 0u) | (i & 32 ? FL_AF : 0u);
		s.eax = s.ecx = s.edx = 0;
		s.esi = 0xffffffff;
		want = o | c << 2 | z << 4 | (c | z) << 6 | sf << 8 | p << 10 | (sf ^ o) << 12 | ((sf ^ o) | z) << 14;
		want |= ~want << 1 & 0xaaaa;
		run(&s);
		if (!ended(&s, "conditions"))
			return;
		EQ(s.eax, want, "setcc");
		EQ(s.ecx, want, "cmovcc");
		EQ(s.edx, want, "jcc");
	}
}

ONE(lea_forms, "mov %esp, %edi; lea (%esp), %eax; sub %edi, %eax; lea 8(%esp, %ecx, 4), %edx; sub %edi, %edx; lea (, %ecx, 8), %esi;"
	       "lea 0x12345678, %ebp; lea -1(%ecx, %ecx), %bx; lea (%eax, %ecx), %ecx");
ONE(lea_16, "addr16 lea 0x10(%bx, %si), %eax; addr16 lea (%bp, %di), %ecx; addr16 lea -1(%bx), %edx; addr16 lea 0x1234, %ebp");
ONE(loops, "xor %eax, %eax; mov $5, %ecx; 1: inc %eax; loop 1b; mov $0x10003, %ecx; 1: inc %eax; addr16 loop 1b; mov %ecx, %edx; jcxz 1f;"
	   "mov $0x999, %eax; 1: jecxz 1f; add $0x100, %eax; 1: mov $4, %ecx; 1: add $0x10000, %eax; cmp $0x20000, %eax; loopnz 1b; mov "
	   "%ecx, %esi;"
	   "mov $9, %ecx; xor %edi, %edi; 1: inc %edi; cmp $3, %edi; loopne 1b");

TEST(lea, "isa.lea loop jcxz jecxz")
{
	struct state s = with(lea_forms, 0, 3, 0, 0);

	EQ(s.eax, 0, "lea (esp)");
	EQ(s.edx, 20, "lea 8(esp,ecx,4)");
	EQ(s.esi, 24, "lea (,ecx,8)");
	EQ(s.ebp, 0x12345678, "lea disp32");
	EQ(s.ebx & 0xffff, 5, "lea to a 16-bit register");
	EQ(s.ecx, 3, "lea (eax,ecx)");
	s = at_ring(lea_16, 3);
	s.ebx = 0x5555fff8;
	s.esi = 0x66660010;
	s.ebp = 0x12340002;
	s.edi = 0x43210003;
	run(&s);
	if (ended(&s, "lea with 67")) {
		EQ(s.eax, 0x18, "lea 10(bx,si) wraps at 64 KB");
		EQ(s.ecx, 5, "lea (bp,di)");
		EQ(s.edx, 0xfff7, "lea -1(bx)");
		EQ(s.ebp, 0x1234, "lea disp16");
	}
	s = with(loops, 0, 0, 0, 0);
	EQ(s.eax & 0xffff, 8 + 0x100, "loop counts");
	EQ(s.edx, 0x10000, "loop with 67 counts in cx");
	EQ(s.edi, 3, "loopne");
	EQ(s.ecx, 6, "ecx after loopne");
}

ONE(nops, "nop; .byte 0x0f,0x1f,0x00; .byte 0x66,0x0f,0x1f,0x44,0x00,0x00; .byte 0x0f,0x1f,0x84,0x00,0xff,0xff,0xff,0xff; pause; .byte "
	  "0x0f,0x18,0x00;"
	  ".byte 0x0f,0x0d,0x00");
ONE(xchgs, "xchg %eax, %ecx; xchg %ax, %dx; xchg %esp, (%ebx); mov %esp, %esi; xchg %esp, (%ebx); xchg %al, %ah");
ONE(moffs, "movl mem+128, %eax; movl %eax, mem+132; movb mem+129, %al; movw %ax, mem+138");

TEST(misc, "isa.nop prefetch xchg mov moffs")
{
	struct state s;

	s = with(nops, 0xfffffffc, 0, 0, 0);
	EQ(s.eax, 0xfffffffc, "eax");
	mem[32] = 0x13572468;
	s = with(xchgs, 1, 0x22223344, 0x55556677, 0);
	EQ(s.eax, 0x22227766, "xchg");
	EQ(s.ecx, 1, "xchg");
	EQ(s.edx, 0x55553344, "xchg ax, dx");
	EQ(s.esi, 0x13572468, "xchg esp, mem");
	mem[32] = 0x13572468;
	s = with(moffs, 0, 0, 0, 0);
	EQ(mem[33], 0x13572468, "mov eax, moffs");
	EQ(mem[34] >> 16, 0x2424, "mov ax, moffs");
}

CODE(chain, "clc; mov $64, %ecx; xor %edx, %edx; 1: mov (%esi, %edx, 4), %eax; adc (%edi, %edx, 4), %eax; mov %eax, (%esi, %edx, 4); inc "
	    "%edx; dec %ecx;"
	    "jnz 1b; setc %al; clc; mov $64, %ecx; xor %edx, %edx; 1: mov (%edi, %edx, 4), %ebp; sbb %ebp, (%esi, %edx, 4); lea 1(%edx), "
	    "%edx; dec %ecx; jnz 1b; setc %ah");

TEST(carry_chain, "isa.carries through adc and sbb chains over jumps")
{
	static UDATA u32 a[64], b[64], orig[64];
	struct state s = at_ring(chain, 3);
	u32 x = 12345;

	for (u32 i = 0; i < 64; i++) {
		x = x * 1103515245 + 12345;
		a[i] = orig[i] = x | (i & 1 ? 0xffff0000 : 0);
		x = x * 1103515245 + 12345;
		b[i] = i % 7 ? ~a[i] + (i == 8) : x;
	}
	a[63] = b[63] = orig[63] = 0xf0000000;
	s.esi = ADDR(a);
	s.edi = ADDR(b);
	run(&s);
	if (!ended(&s, "chain"))
		return;
	EQ(s.eax & 0xff, 1, "carry out of the sum");
	EQ(s.eax >> 8 & 0xff, 1, "borrow out of the difference");
	EQ(memcmp(a, orig, sizeof(a)), 0, "a + b - b == a");
}

ONE(endbr, ".byte 0xf3, 0x0f, 0x1e, 0xfb; .byte 0xf3, 0xc3\n .skip 3");
ONE(do_popcnt, "popcnt %ecx, %eax; popcnt (%ebx), %dx");
ONE(do_movbe, "movbe (%ebx), %eax; movbe %ecx, (%ebx)");
ONE(do_crc, "crc32b %cl, %eax; crc32l (%ebx), %edx");

TEST(newer, "isa.popcnt crc32 movbe")
{
	u32 features = cpuid_ecx1();
	struct state s;

	if (features & 1u << 23) {
		mem[32] = 0xff01ff03;
		s = with(do_popcnt, 0, 0xf0f0f001, 0x1234ffff, FL_CF | FL_ZF | FL_OF);
		EQ(s.eax, 13, "popcnt");
		EQ(s.edx, 0x1234000a, "popcnt16");
		EQ(s.eflags & FL_ARITH, 0, "flags");
	}
	if (features & 1u << 22) {
		mem[32] = 0x11223344;
		s = with(do_movbe, 0, 0x55667788, 0, 0);
		EQ(s.eax, 0x44332211, "movbe load");
		EQ(mem[32], 0x88776655, "movbe store");
	}
	if (features & 1u << 20) {
		mem[32] = 0x12345678;
		s = with(do_crc, 0, 0x61, 0, 0);
		EQ(s.eax, 0x93ad1061, "crc32 byte");
		EQ(s.edx, 0xfa745634, "crc32 dword");
	}
}
