/*
 * Stack instructions in all their odd forms, calls and returns, and string instructions with all prefixes and directions.
 */
#include "guestos/conformance/test.h"

static UDATA u32 mem[256];
static UDATA u8 src[512], dst[512];

/* Runs code in the ring with ESP at mem[128] and EBX at mem[64]; every word of mem is its index + 0x1000 beforehand. */
static struct state stacked(const void *code, int ring)
{
	struct state s = at_ring(code, ring);

	for (u32 i = 0; i < 256; i++)
		mem[i] = 0x1000 + i;
	s.esp = ADDR(&mem[128]);
	s.ebx = ADDR(&mem[64]);
	run(&s);
	ended(&s, tag("code", ring));
	return s;
}

#define TOP ADDR(&mem[128])

CODE(push_esp, "mov %esp, %ecx; push %esp; pop %eax");
CODE(pop_esp, "mov $mem + 256, %eax; push %eax; pop %esp; mov %esp, %eax; mov $mem + 512, %esp");
CODE(pop_mem_esp, "pop 4(%esp); mov 4(%esp), %eax; mov %esp, %ecx");
CODE(push_mem_esp, "push (%esp); push 8(%esp); pop %eax; pop %ecx");
CODE(pop_at_esp, "pop (%esp); mov (%esp), %eax; mov %esp, %ecx");
CODE(xchg_esp, "xchg %esp, %eax; mov %esp, %edx; xchg %eax, %esp; xchg %esp, (%ebx); mov %esp, %ecx; xchg %esp, (%ebx)");
CODE(esp_math, "add $-16, %esp; mov %esp, %eax; sub $-8, %esp; and $-32, %esp; mov %esp, %ecx; lea 32(%esp), %esp; mov $mem + 512, %esp; "
	       "inc %esp; dec %esp;"
	       "mov %sp, %dx; mov (%esp), %esi; mov -4(%esp, %edi), %edi");
CODE(push_imm, "push $-1; push $0x12345678; pushw $0x1234; pushw $-2; pop %eax; pop %ecx; pop %edx");
CODE(push16, "push %ax; pushw (%ebx); pop %ecx; pop %dx; popw 4(%ebx); push %edx; add $4, %esp");

TEST(push_pop, "isa.push pop with esp operands")
{
	struct state s;

	for (int ring = 0; ring <= 3; ring += 3) {
		s = stacked(push_esp, ring);
		EQ(s.eax, TOP, "push esp");
		EQ(s.esp, TOP, "esp");
		s = stacked(pop_esp, ring);
		EQ(s.eax, ADDR(&mem[64]), "pop esp");
		s = stacked(pop_mem_esp, ring);
		EQ(s.eax, 0x1080, "pop 4(esp) uses esp after the increment");
		EQ(s.ecx, TOP + 4, "esp");
		EQ(mem[130], 0x1080, "pop 4(esp)");
		s = stacked(push_mem_esp, ring);
		EQ(s.ecx, 0x1080, "push (esp)");
		EQ(s.eax, 0x1081, "push 8(esp)");
		s = stacked(pop_at_esp, ring);
		EQ(s.eax, 0x1080, "pop (esp)");
		EQ(s.ecx, TOP + 4, "esp");
		s = stacked(push_imm, ring);
		EQ(s.eax, 0x1234fffe, "pushw pair");
		EQ(s.ecx, 0x12345678, "push imm32");
		EQ(s.edx, 0xffffffff, "push imm8");
		EQ(s.esp, TOP, "esp");
	}
	s = stacked(push16, 3);
	EQ(s.ecx, 0xa1a11040u, "pushw mem below push ax");
}

TEST(xchg_esp, "isa.xchg add sub and lea with esp")
{
	struct state s = stacked(xchg_esp, 3);

	EQ(s.edx, 0xa1a1a1a1, "esp after xchg");
	EQ(s.ecx, 0x1040, "esp after xchg mem");
	EQ(s.eax, 0xa1a1a1a1, "eax");
	EQ(s.esp, TOP, "esp");
	s = at_ring(esp_math, 3);
	for (u32 i = 0; i < 256; i++)
		mem[i] = 0x1000 + i;
	s.esp = TOP;
	s.edi = 4;
	run(&s);
	if (!ended(&s, "esp arithmetic"))
		return;
	EQ(s.eax, TOP - 16, "add");
	EQ(s.ecx, (TOP - 8) & ~31u, "and");
	EQ(s.edx, 0xd1d10000u | (u16)TOP, "sp");
	EQ(s.esi, 0x1080, "(esp)");
	EQ(s.edi, 0x1080, "-4(esp,edi)");
}

CODE(do_pusha, "pusha; mov 12(%esp), %eax; mov (%esp), %ecx; mov 28(%esp), %edx; movl $0x77, 12(%esp); movl $0x55, 28(%esp); popa");
CODE(do_pushaw, "pushaw; mov %esp, %eax; mov (%esp), %ecx; popaw; sub $16, %esp; mov 12(%esp), %edx; add $16, %esp");

TEST(pusha, "isa.pusha popa")
{
	struct state s = stacked(do_pusha, 3);

	EQ(s.eax, 0x55, "eax from popa");
	EQ(s.esp, TOP, "popa skips esp");
	EQ(s.ecx, 0xc1c1c1c1, "ecx");
	EQ(mem[127 - 4], 0x77, "slot of esp");
	EQ(mem[127 - 1], 0xc1c1c1c1, "slot of ecx");
	EQ(mem[127 - 7], 0xd9d9d9d9, "slot of edi");
	s = stacked(do_pushaw, 3);
	EQ(s.esp, TOP, "esp");
	EQ(s.edx, 0xa1a1c1c1, "ax and cx above each other");
}

CODE(do_enter, "enter $16, $0; mov %esp, %eax; mov %ebp, %ecx; leave");
CODE(do_enter3, "mov $mem + 256, %ebp; enter $8, $3; mov %esp, %eax; mov %ebp, %ecx; mov 8(%esp), %edx; mov 12(%esp), %esi; mov 16(%esp), "
		"%edi; leave");
CODE(do_leave, "mov $mem + 257, %ebp; leave; mov %esp, %eax; mov %ebp, %ecx; mov $mem + 512, %esp");
CODE(do_enterw, "mov %esp, %ebp; data16 enter $4, $0; mov %esp, %eax; mov %ebp, %ecx; data16 leave");

TEST(enter, "isa.enter leave")
{
	struct state s = stacked(do_enter, 3);

	EQ(s.eax, TOP - 20, "esp");
	EQ(s.ecx, TOP - 4, "ebp");
	EQ(s.esp, TOP, "esp after leave");
	EQ(s.ebp, 0xb9b9b9b9, "ebp after leave");
	s = stacked(do_enter3, 3);
	EQ(s.eax, TOP - 4 - 12 - 8, "esp, level 3");
	EQ(s.ecx, TOP - 4, "ebp");
	EQ(s.edi, 0x103f, "first frame pointer copied");
	EQ(s.esi, 0x103e, "second frame pointer copied");
	EQ(s.edx, TOP - 4, "own frame pointer");
	EQ(s.esp, TOP, "esp after leave");
	s = stacked(do_leave, 3);
	EQ(s.eax, ADDR(mem) + 261, "leave from an odd address");
	EQ(s.ecx, 0x41000010, "ebp");
	s = stacked(do_enterw, 3);
	EQ(s.eax, TOP - 6, "esp of enter with 66");
	EQ(s.ecx, TOP - 2, "ebp of enter with 66");
}

CODE(calls, "push $1f; call *(%esp); add $4, %esp; jmp 2f; 1: mov (%esp), %eax; ret; 2: mov $3f, %ecx; call *%ecx; 3: pop %edx; push $4f; "
	    "ret; nop;"
	    "4: push $0x11; push $0x22; push $5f; ret $8; nop; 5: mov %esp, %esi; call 6f; 6: addl $7f - 6b, (%esp); ret; hlt;"
	    "7: mov $8f, %edi; mov %edi, (%ebx); jmp *(%ebx); hlt; 8:");

static u32 depth_fn(u32 n)
{
	return n ? 1 + depth_fn(n - 1) : 0;
}

TEST(calls, "isa.call ret jmp through registers and the stack")
{
	struct state s = stacked(calls, 3);

	EQ(s.esp, TOP, "esp");
	EQ(s.esi, TOP, "esp after ret 8");
	EQ(s.edx, s.ecx, "return address of call *ecx");
	EQ(depth_fn(200), 200, "a deep recursion");
}

CODE(ret_odd,
     "call 1f; 1: pop %eax; push $2f; push $0x1234; add $4, %esp; ret; 2: call 3f; mov %esp, %esi; jmp 4f; 3: push (%esp); ret $4; 4:");

TEST(ret_odd, "isa.ret without a matching call")
{
	struct state s = stacked(ret_odd, 3);

	EQ(s.esp, TOP, "esp");
	EQ(s.esi, TOP, "esp after ret $4 of a copied return address");
}

CODE(movs1, "rep movsb");
CODE(movs2, "rep movsw");
CODE(movs4, "rep movsl");
CODE(stos1, "rep stosb");
CODE(stos2, "rep stosw");
CODE(stos4, "rep stosl");
CODE(lods1, "rep lodsb");
CODE(lods2, "rep lodsw");
CODE(lods4, "rep lodsl");
CODE(one_movs, "movsb; movsw; movsl");
CODE(one_stos, "stosb; stosw; stosl");

TEST(strings, "isa.movs stos lods with rep, forwards and backwards")
{
	static const u8 *const code[9] = {movs1, movs2, movs4, stos1, stos2, stos4, lods1, lods2, lods4};
	static u8 want[512];

	for (u32 k = 0; k < 9; k++)
		for (u32 n = 0; n < 40; n = n * 2 + 1)
			for (u32 df = 0; df < 2; df++) {
				struct state s = at_ring(code[k], 3);
				u32 w = 1u << k % 3, kind = k / 3, a = 0x44332211, step = df ? 0u - w : w, si = 256, di = 259;

				for (u32 i = 0; i < 512; i++) {
					src[i] = (u8)(i * 3 + 1);
					dst[i] = want[i] = 0xee;
				}
				s.eax = a;
				s.ecx = n;
				s.esi = ADDR(src) + si;
				s.edi = ADDR(dst) + di;
				s.eflags |= (df ? FL_DF : 0) | FL_ARITH;
				for (u32 i = 0; i < n; i++, si += step, di += step)
					for (u32 b = 0; b < w; b++) {
						if (kind == 0)
							want[di + b] = src[si + b];
						else if (kind == 1)
							want[di + b] = (u8)(0x44332211 >> b * 8);
						else
							a = (a & ~(0xffu << b * 8)) | (u32)src[si + b] << b * 8;
					}
				run(&s);
				if (!ended(&s, "string"))
					return;
				EQ(memcmp(dst, want, 512), 0, "destination");
				EQ(s.ecx, 0, "ecx");
				EQ(s.eax, a, "eax");
				EQ(s.esi, ADDR(src) + (kind == 1 ? 256 : si), "esi");
				EQ(s.edi, ADDR(dst) + (kind == 2 ? 259 : di), "edi");
				EQ(s.eflags & (FL_ARITH | FL_DF), FL_ARITH | (df ? FL_DF : 0u), "flags");
			}
}

CODE(cmps1, "repe cmpsb");
CODE(cmps4, "repne cmpsl");
CODE(scas1, "repne scasb");
CODE(scas2, "repe scasw");
CODE(scas4, "scasl");

TEST(compare, "isa.cmps scas with repe and repne")
{
	struct state s;

	memset(src, 7, sizeof(src));
	memset(dst, 7, sizeof(dst));
	dst[100] = 9;
	s = at_ring(cmps1, 3);
	s.esi = ADDR(src);
	s.edi = ADDR(dst);
	s.ecx = 500;
	run(&s);
	ended(&s, "repe cmpsb");
	EQ(s.ecx, 500 - 101, "ecx");
	EQ(s.esi, ADDR(src) + 101, "esi");
	EQ(s.edi, ADDR(dst) + 101, "edi");
	EQ(s.eflags & FL_ARITH, FL_CF | FL_SF | FL_AF, "flags of 7 - 9");
	s = at_ring(cmps1, 3);
	s.esi = ADDR(src) + 300;
	s.edi = ADDR(dst) + 300;
	s.ecx = 0;
	s.eflags |= FL_CF | FL_SF;
	run(&s);
	ended(&s, "repe cmpsb, ecx 0");
	EQ(s.eflags & FL_ARITH, FL_CF | FL_SF, "flags stay if ecx is 0");
	EQ(s.esi, ADDR(src) + 300, "esi stays");
	s = at_ring(cmps4, 3);
	memset(src, 1, 64);
	s.esi = ADDR(src);
	s.edi = ADDR(dst);
	s.ecx = 50;
	run(&s);
	ended(&s, "repne cmpsl");
	EQ(s.ecx, 50 - 17, "ecx");
	EQ(s.eflags & FL_ZF, FL_ZF, "ZF");
	s = at_ring(scas1, 3);
	s.edi = ADDR(dst) + 200;
	s.eax = 9;
	s.ecx = 0xffffffff;
	s.eflags |= FL_DF;
	run(&s);
	ended(&s, "repne scasb");
	EQ(s.edi, ADDR(dst) + 99, "edi");
	EQ(s.ecx, 0xffffffffu - 101, "ecx");
	s = at_ring(scas2, 3);
	s.edi = ADDR(dst);
	s.eax = 0xffff0707;
	s.ecx = 200;
	run(&s);
	ended(&s, "repe scasw");
	EQ(s.edi, ADDR(dst) + 102, "edi");
	EQ(s.eflags & FL_ARITH, FL_CF | FL_SF | FL_AF, "flags of 0707 - 0709");
	s = at_ring(scas4, 3);
	s.edi = ADDR(dst);
	s.eax = 0x07070706;
	run(&s);
	ended(&s, "scasl");
	EQ(s.eflags & FL_ARITH, FL_CF | FL_SF | FL_AF | FL_PF, "flags of scasl");
	EQ(s.edi, ADDR(dst) + 4, "edi");
}

CODE(addr16_movs, "addr16 rep movsb");
CODE(seg_movs, "rep movsl %fs:(%esi), %es:(%edi)");
CODE(overlap, "rep movsb");

TEST(string_forms, "isa.string instructions with 67, segment override, overlap")
{
	struct state s = at_ring(addr16_movs, 3);

	gdt_set(0x40, desc(ADDR(src), 0xffff, ACC_DATA | ACC_DPL(3), 4));
	gdt_set(0x48, desc(ADDR(dst), 0xffff, ACC_DATA | ACC_DPL(3), 4));
	for (u32 i = 0; i < 512; i++)
		src[i] = (u8)i;
	memset(dst, 0, sizeof(dst));
	s.ds = 0x43;
	s.es = 0x4b;
	s.esi = 0x55550010;
	s.edi = 0x66660020;
	s.ecx = 0x12340010;
	run(&s);
	if (ended(&s, "rep movs with 67")) {
		EQ(memcmp(src + 16, dst + 32, 16), 0, "copy");
		EQ(dst[48], 0, "byte behind the copy");
		EQ(s.ecx, 0x12340000, "ecx");
		EQ(s.esi, 0x55550020, "esi");
		EQ(s.edi, 0x66660030, "edi");
	}
	s = at_ring(seg_movs, 3);
	s.fs = 0x43;
	s.esi = 64;
	s.edi = ADDR(dst);
	s.ecx = 4;
	run(&s);
	if (ended(&s, "rep movs fs"))
		EQ(memcmp(src + 64, dst, 16), 0, "copy through fs");
	s = at_ring(overlap, 3);
	for (u32 i = 0; i < 512; i++)
		src[i] = (u8)i;
	s.esi = ADDR(src);
	s.edi = ADDR(src) + 1;
	s.ecx = 300;
	run(&s);
	if (ended(&s, "overlap")) {
		EQ(src[299], 0, "byte of an overlapping copy");
		EQ(src[301], 301 & 0xff, "byte behind it");
	}
	s = at_ring(one_movs, 3);
	s.esi = ADDR(src) + 310;
	s.edi = ADDR(dst);
	s.ecx = 77;
	run(&s);
	if (ended(&s, "movs")) {
		EQ(memcmp(dst, src + 310, 7), 0, "copy");
		EQ(s.ecx, 77, "ecx");
		EQ(s.esi, ADDR(src) + 317, "esi");
	}
	s = at_ring(one_stos, 3);
	s.eax = 0x04030201;
	s.edi = ADDR(dst) + 20;
	s.eflags |= FL_DF;
	run(&s);
	if (ended(&s, "stos"))
		EQ(s.edi, ADDR(dst) + 13, "edi");
}
