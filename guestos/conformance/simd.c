/*
 * SSE to SSE4.2: every packed operation on one pair of operands, with the results of a real processor, and the instructions that move
 * between register files or set flags. What CPUID does not offer is left out.
 */
#include "guestos/conformance/test.h"

static UDATA u32 mem[64] __attribute__((aligned(64)));

enum feature { SSE, SSE2, SSE3, SSSE3, SSE41, SSE42 };

static int has(enum feature f)
{
	u32 c = cpuid_ecx1(), d = cpuid_edx1();

	switch (f) {
	case SSE:
		return d >> 25 & 1;
	case SSE2:
		return d >> 26 & 1;
	case SSE3:
		return c & 1;
	case SSSE3:
		return c >> 9 & 1;
	case SSE41:
		return c >> 19 & 1;
	default:
		return c >> 20 & 1;
	}
}

/* The operation on registers, and on a memory operand; the results go to mem[8] and mem[12]. R: there is no memory form. */
#define S(n, insn)                                                                                                                         \
	CODE(x_##n, "movaps (%ebx), %xmm0; movaps 16(%ebx), %xmm1; mov $7, %eax; mov $11, %edx; " insn                                     \
		    " %xmm1, %xmm0; movaps %xmm0, 32(%ebx); movaps (%ebx), %xmm0; " insn " 16(%ebx), %xmm0; movaps %xmm0, 48(%ebx)")
#define R(n, insn)                                                                                                                         \
	CODE(x_##n, "movaps (%ebx), %xmm0; movaps 16(%ebx), %xmm1; " insn " %xmm1, %xmm0; movaps %xmm0, 32(%ebx); movaps %xmm0, 48(%ebx)")
S(0, "addps");
S(1, "subps");
S(2, "mulps");
S(3, "divps");
S(4, "minps");
S(5, "maxps");
S(6, "andps");
S(7, "andnps");
S(8, "orps");
S(9, "xorps");
S(10, "cmpps $1,");
S(11, "cmpps $4,");
S(12, "shufps $0x1b,");
S(13, "unpcklps");
S(14, "unpckhps");
R(15, "movhlps");
R(16, "movlhps");
R(17, "movss");
S(18, "addss");
S(19, "divss");
S(20, "sqrtps");
S(21, "sqrtss");
S(22, "movaps");
S(23, "movups");
S(24, "addpd");
S(25, "subpd");
S(26, "mulpd");
S(27, "divpd");
S(28, "sqrtpd");
S(29, "cmppd $2,");
S(30, "paddb");
S(31, "paddw");
S(32, "paddd");
S(33, "paddq");
S(34, "psubb");
S(35, "psubd");
S(36, "psubq");
S(37, "paddsb");
S(38, "paddusw");
S(39, "psubusb");
S(40, "psubsw");
S(41, "pmullw");
S(42, "pmulhw");
S(43, "pmulhuw");
S(44, "pmuludq");
S(45, "pmaddwd");
S(46, "pavgb");
S(47, "pavgw");
S(48, "psadbw");
S(49, "pminub");
S(50, "pmaxsw");
S(51, "pcmpeqb");
S(52, "pcmpeqw");
S(53, "pcmpgtd");
S(54, "pand");
S(55, "pandn");
S(56, "por");
S(57, "pxor");
S(58, "punpcklbw");
S(59, "punpckhwd");
S(60, "punpckldq");
S(61, "punpcklqdq");
S(62, "packsswb");
S(63, "packssdw");
S(64, "packuswb");
S(65, "pshufd $0x4e,");
S(66, "pshuflw $0x1b,");
S(67, "pshufhw $0x93,");
S(68, "shufpd $1,");
S(69, "unpckhpd");
S(70, "cvtdq2ps");
S(71, "cvtps2dq");
S(72, "cvttps2dq");
S(73, "cvtps2pd");
S(74, "cvtpd2ps");
S(75, "cvtdq2pd");
S(76, "cvttpd2dq");
R(77, "movsd");
R(78, "movq");
S(79, "addsd");
S(80, "cvtsd2ss");
S(81, "cvtss2sd");
S(82, "addsubps");
S(83, "addsubpd");
S(84, "haddps");
S(85, "hsubpd");
S(86, "movshdup");
S(87, "movsldup");
S(88, "movddup");
S(89, "pshufb");
S(90, "phaddw");
S(91, "phaddd");
S(92, "phsubsw");
S(93, "pmaddubsw");
S(94, "pmulhrsw");
S(95, "psignb");
S(96, "pabsw");
S(97, "palignr $5,");
S(98, "pmulld");
S(99, "pmuldq");
S(100, "pminsb");
S(101, "pmaxud");
S(102, "pminuw");
S(103, "pcmpeqq");
S(104, "packusdw");
S(105, "pmovsxbw");
S(106, "pmovzxwd");
S(107, "pmovsxdq");
S(108, "pblendw $0xa5,");
S(109, "blendps $6,");
S(110, "dpps $0xf1,");
S(111, "mpsadbw $3,");
S(112, "phminposuw");
S(113, "roundps $1,");
S(114, "roundsd $2,");
R(115, "insertps $0x4c,");
S(116, "pcmpgtq");
S(117, "pcmpistrm $0x0c,");
S(118, "pcmpestrm $0x44,");

static const struct {
	enum feature needs;
	const char *name;
	const u8 *code;
	u32 want[4];
} ops[] = {
	{SSE, "addps", x_0, {0x40600000, 0xc03ccccd, 0xff00017f, 0xc0db7812}},
	{SSE, "subps", x_1, {0xbf000000, 0xc0633333, 0x7f00017f, 0x415243f7}},
	{SSE, "mulps", x_2, {0x40400000, 0xbf79999a, 0x51b45895, 0xc1fb53d2}},
	{SSE, "divps", x_3, {0x3f400000, 0xc12d5555, 0x00000000, 0xbea0d97c}},
	{SSE, "minps", x_4, {0x3fc00000, 0xc0500000, 0xff00017f, 0xc1200000}},
	{SSE, "maxps", x_5, {0x40000000, 0x3e99999a, 0x92345679, 0x40490fdb}},
	{SSE, "andps", x_6, {0x00000000, 0x00100000, 0x92000079, 0x40000000}},
	{SSE, "andnps", x_7, {0x40000000, 0x3e89999a, 0x6d000106, 0x81200000}},
	{SSE, "orps", x_8, {0x7fc00000, 0xfed9999a, 0xff34577f, 0xc1690fdb}},
	{SSE, "xorps", x_9, {0x7fc00000, 0xfec9999a, 0x6d345706, 0x81690fdb}},
	{SSE, "cmpps $1", x_10, {0xffffffff, 0xffffffff, 0x00000000, 0x00000000}},
	{SSE, "cmpps $4", x_11, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
	{SSE, "shufps $0x1b", x_12, {0x40490fdb, 0x92345679, 0x3e99999a, 0x40000000}},
	{SSE, "unpcklps", x_13, {0x3fc00000, 0x40000000, 0xc0500000, 0x3e99999a}},
	{SSE, "unpckhps", x_14, {0x92345679, 0xff00017f, 0x40490fdb, 0xc1200000}},
	{SSE, "movhlps", x_15, {0xff00017f, 0xc1200000, 0x92345679, 0x40490fdb}},
	{SSE, "movlhps", x_16, {0x3fc00000, 0xc0500000, 0x40000000, 0x3e99999a}},
	{SSE, "movss", x_17, {0x40000000, 0xc0500000, 0x92345679, 0x40490fdb}},
	{SSE, "addss", x_18, {0x40600000, 0xc0500000, 0x92345679, 0x40490fdb}},
	{SSE, "divss", x_19, {0x3f400000, 0xc0500000, 0x92345679, 0x40490fdb}},
	{SSE, "sqrtps", x_20, {0x3fb504f3, 0x3f0c378c, 0xffc00000, 0xffc00000}},
	{SSE, "sqrtss", x_21, {0x3fb504f3, 0xc0500000, 0x92345679, 0x40490fdb}},
	{SSE, "movaps", x_22, {0x40000000, 0x3e99999a, 0xff00017f, 0xc1200000}},
	{SSE, "movups", x_23, {0x40000000, 0x3e99999a, 0xff00017f, 0xc1200000}},
	{SSE2, "addpd", x_24, {0x3e26665c, 0xc0500000, 0x7f23715b, 0xc11fff39}},
	{SSE2, "subpd", x_25, {0x415999a4, 0xc0500000, 0x3e6e4a50, 0x41200065}},
	{SSE2, "mulpd", x_26, {0xa6000297, 0xbef9999a, 0x21a1143b, 0xc1790fdd}},
	{SSE2, "divpd", x_27, {0xcdb00147, 0xc1a3ffff, 0x02c7b195, 0xbf190fda}},
	{SSE2, "sqrtpd", x_28, {0xa40ec7a3, 0x3f443d13, 0x00000000, 0xfff80000}},
	{SSE2, "cmppd $2", x_29, {0xffffffff, 0xffffffff, 0x00000000, 0x00000000}},
	{SSE2, "paddb", x_30, {0x7fc00000, 0xfee9999a, 0x913457f8, 0x01690fdb}},
	{SSE2, "paddw", x_31, {0x7fc00000, 0xfee9999a, 0x913457f8, 0x01690fdb}},
	{SSE2, "paddd", x_32, {0x7fc00000, 0xfee9999a, 0x913457f8, 0x01690fdb}},
	{SSE2, "paddq", x_33, {0x7fc00000, 0xfee9999a, 0x913457f8, 0x01690fdc}},
	{SSE2, "psubb", x_34, {0xffc00000, 0x82b76766, 0x933455fa, 0x7f290fdb}},
	{SSE2, "psubd", x_35, {0xffc00000, 0x81b66666, 0x933454fa, 0x7f290fdb}},
	{SSE2, "psubq", x_36, {0xffc00000, 0x81b66665, 0x933454fa, 0x7f290fda}},
	{SSE2, "paddsb", x_37, {0x7fc00000, 0xfee9999a, 0x9134577f, 0x01690fdb}},
	{SSE2, "paddusw", x_38, {0x7fc00000, 0xfee9999a, 0xffff57f8, 0xffff0fdb}},
	{SSE2, "psubusb", x_39, {0x00c00000, 0x82000000, 0x00345500, 0x00290fdb}},
	{SSE2, "psubsw", x_40, {0xffc00000, 0x81b76666, 0x933454fa, 0x7f290fdb}},
	{SSE2, "pmullw", x_41, {0x00000000, 0x4fd00000, 0xcc005f07, 0x12200000}},
	{SSE2, "pmulhw", x_42, {0x0ff00000, 0xf06d0000, 0x006d0081, 0xf0360000}},
	{SSE2, "pmulhuw", x_43, {0x0ff00000, 0x2f060000, 0x91a10081, 0x307f0000}},
	{SSE2, "pmuludq", x_44, {0x00000000, 0x0ff00000, 0x434d5f07, 0x91a222fd}},
	{SSE2, "pmaddwd", x_45, {0x0ff00000, 0xf06d4fd0, 0x00ef2b07, 0xf0361220}},
	{SSE2, "pavgb", x_46, {0x40600000, 0x7f754d4d, 0xc91a2c7c, 0x8135086e}},
	{SSE2, "pavgw", x_47, {0x3fe00000, 0x7f754ccd, 0xc89a2bfc, 0x80b507ee}},
	{SSE2, "psadbw", x_48, {0x000002bf, 0x00000000, 0x00000290, 0x00000000}},
	{SSE2, "pminub", x_49, {0x3f000000, 0x3e500000, 0x92000179, 0x40200000}},
	{SSE2, "pmaxsw", x_50, {0x40000000, 0x3e990000, 0xff005679, 0x40490fdb}},
	{SSE2, "pcmpeqb", x_51, {0x0000ffff, 0x00000000, 0x00000000, 0x00000000}},
	{SSE2, "pcmpeqw", x_52, {0x0000ffff, 0x00000000, 0x00000000, 0x00000000}},
	{SSE2, "pcmpgtd", x_53, {0x00000000, 0x00000000, 0x00000000, 0xffffffff}},
	{SSE2, "pand", x_54, {0x00000000, 0x00100000, 0x92000079, 0x40000000}},
	{SSE2, "pandn", x_55, {0x40000000, 0x3e89999a, 0x6d000106, 0x81200000}},
	{SSE2, "por", x_56, {0x7fc00000, 0xfed9999a, 0xff34577f, 0xc1690fdb}},
	{SSE2, "pxor", x_57, {0x7fc00000, 0xfec9999a, 0x6d345706, 0x81690fdb}},
	{SSE2, "punpcklbw", x_58, {0x00000000, 0x403f00c0, 0x99009a00, 0x3ec09950}},
	{SSE2, "punpckhwd", x_59, {0x017f5679, 0xff009234, 0x00000fdb, 0xc1204049}},
	{SSE2, "punpckldq", x_60, {0x3fc00000, 0x40000000, 0xc0500000, 0x3e99999a}},
	{SSE2, "punpcklqdq", x_61, {0x3fc00000, 0xc0500000, 0x40000000, 0x3e99999a}},
	{SSE2, "packsswb", x_62, {0x80007f00, 0x7f7f807f, 0x7f807f00, 0x8000807f}},
	{SSE2, "packssdw", x_63, {0x80007fff, 0x7fff8000, 0x7fff7fff, 0x80008000}},
	{SSE2, "packuswb", x_64, {0x0000ff00, 0xffff00ff, 0xff00ff00, 0x000000ff}},
	{SSE2, "pshufd $0x4e", x_65, {0xff00017f, 0xc1200000, 0x40000000, 0x3e99999a}},
	{SSE2, "pshuflw $0x1b", x_66, {0x999a3e99, 0x00004000, 0xff00017f, 0xc1200000}},
	{SSE2, "pshufhw $0x93", x_67, {0x40000000, 0x3e99999a, 0x017fc120, 0x0000ff00}},
	{SSE2, "shufpd $1", x_68, {0x92345679, 0x40490fdb, 0x40000000, 0x3e99999a}},
	{SSE2, "unpckhpd", x_69, {0x92345679, 0x40490fdb, 0xff00017f, 0xc1200000}},
	{SSE2, "cvtdq2ps", x_70, {0x4e800000, 0x4e7a6666, 0xcb7ffe81, 0xce7b8000}},
	{SSE2, "cvtps2dq", x_71, {0x00000002, 0x00000000, 0x80000000, 0xfffffff6}},
	{SSE2, "cvttps2dq", x_72, {0x00000002, 0x00000000, 0x80000000, 0xfffffff6}},
	{SSE2, "cvtps2pd", x_73, {0x00000000, 0x40000000, 0x40000000, 0x3fd33333}},
	{SSE2, "cvtpd2ps", x_74, {0x34ccccd2, 0xc9000008, 0x00000000, 0x00000000}},
	{SSE2, "cvtdq2pd", x_75, {0x00000000, 0x41d00000, 0xcd000000, 0x41cf4ccc}},
	{SSE2, "cvttpd2dq", x_76, {0x00000000, 0xfff80000, 0x00000000, 0x00000000}},
	{SSE2, "movsd", x_77, {0x40000000, 0x3e99999a, 0x92345679, 0x40490fdb}},
	{SSE2, "movq", x_78, {0x40000000, 0x3e99999a, 0x00000000, 0x00000000}},
	{SSE2, "addsd", x_79, {0x3e26665c, 0xc0500000, 0x92345679, 0x40490fdb}},
	{SSE2, "cvtsd2ss", x_80, {0x34ccccd2, 0xc0500000, 0x92345679, 0x40490fdb}},
	{SSE2, "cvtss2sd", x_81, {0x00000000, 0x40000000, 0x92345679, 0x40490fdb}},
	{SSE3, "addsubps", x_82, {0xbf000000, 0xc03ccccd, 0x7f00017f, 0xc0db7812}},
	{SSE3, "addsubpd", x_83, {0x415999a4, 0xc0500000, 0x7f23715b, 0xc11fff39}},
	{SSE3, "haddps", x_84, {0xbfe00000, 0x40490fdb, 0x40133333, 0xff00017f}},
	{SSE3, "hsubpd", x_85, {0x08da2b3c, 0xc05c87ee, 0xff000e4c, 0x41200000}},
	{SSE3, "movshdup", x_86, {0x3e99999a, 0x3e99999a, 0xc1200000, 0xc1200000}},
	{SSE3, "movsldup", x_87, {0x40000000, 0x40000000, 0xff00017f, 0xff00017f}},
	{SSE3, "movddup", x_88, {0x40000000, 0x3e99999a, 0x40000000, 0x3e99999a}},
	{SSSE3, "pshufb", x_89, {0x00000000, 0x49000000, 0x00000040, 0x00000000}},
	{SSSE3, "phaddw", x_90, {0xc0503fc0, 0x5024e8ad, 0xd8334000, 0xc120007f}},
	{SSSE3, "phaddd", x_91, {0x00100000, 0xd27d6654, 0x7e99999a, 0xc020017f}},
	{SSSE3, "phsubsw", x_92, {0x3fb0c040, 0xcf927fff, 0x8000c000, 0x3ee0027f}},
	{SSSE3, "pmaddubsw", x_93, {0x0fc00000, 0x0e500000, 0xff6e3c5d, 0xf9600000}},
	{SSSE3, "pmulhrsw", x_94, {0x1fe00000, 0xe0db0000, 0x00dc0103, 0xe06c0000}},
	{SSSE3, "psignb", x_95, {0x3f000000, 0xc0b00000, 0x6e005679, 0xc0490000}},
	{SSSE3, "pabsw", x_96, {0x40000000, 0x3e996666, 0x0100017f, 0x3ee00000}},
	{SSSE3, "palignr $5", x_97, {0x7f3e9999, 0x00ff0001, 0x00c12000, 0x003fc000}},
	{SSE41, "pmulld", x_98, {0x00000000, 0x80200000, 0x434d5f07, 0x16600000}},
	{SSE41, "pmuldq", x_99, {0x00000000, 0x0ff00000, 0x434d5f07, 0x006dcb05}},
	{SSE41, "pminsb", x_100, {0x3fc00000, 0xc099999a, 0x92000179, 0xc12000db}},
	{SSE41, "pmaxud", x_101, {0x40000000, 0xc0500000, 0xff00017f, 0xc1200000}},
	{SSE41, "pminuw", x_102, {0x3fc00000, 0x3e990000, 0x9234017f, 0x40490000}},
	{SSE41, "pcmpeqq", x_103, {0x00000000, 0x00000000, 0x00000000, 0x00000000}},
	{SSE41, "packusdw", x_104, {0x0000ffff, 0xffff0000, 0xffffffff, 0x00000000}},
	{SSE41, "pmovsxbw", x_105, {0x00000000, 0x00400000, 0xff99ff9a, 0x003eff99}},
	{SSE41, "pmovzxwd", x_106, {0x00000000, 0x00004000, 0x0000999a, 0x00003e99}},
	{SSE41, "pmovsxdq", x_107, {0x40000000, 0x00000000, 0x3e99999a, 0x00000000}},
	{SSE41, "pblendw $0xa5", x_108, {0x3fc00000, 0xc050999a, 0xff005679, 0xc1200fdb}},
	{SSE41, "blendps $6", x_109, {0x3fc00000, 0x3e99999a, 0xff00017f, 0x40490fdb}},
	{SSE41, "dpps $0xf1", x_110, {0x51b45895, 0x00000000, 0x00000000, 0x00000000}},
	{SSE41, "mpsadbw $3", x_111, {0x01a00122, 0x00d001e0, 0x01380031, 0x01fc01d4}},
	{SSE41, "phminposuw", x_112, {0x00000000, 0x00000000, 0x00000000, 0x00000000}},
	{SSE41, "roundps $1", x_113, {0x40000000, 0x00000000, 0xff00017f, 0xc1200000}},
	{SSE41, "roundsd $2", x_114, {0x00000000, 0x3ff00000, 0x92345679, 0x40490fdb}},
	{SSE41, "insertps $0x4c", x_115, {0x3e99999a, 0xc0500000, 0x00000000, 0x00000000}},
	{SSE42, "pcmpgtq", x_116, {0x00000000, 0x00000000, 0xffffffff, 0xffffffff}},
	{SSE42, "pcmpistrm $0x0c", x_117, {0x0000ffff, 0x00000000, 0x00000000, 0x00000000}},
	{SSE42, "pcmpestrm $0x44", x_118, {0x00ffffff, 0x00000000, 0x00ff0000, 0x00000000}},
};

static const u32 operands[8] = {0x3fc00000, 0xc0500000, 0x92345679, 0x40490fdb, 0x40000000, 0x3e99999a, 0xff00017f, 0xc1200000};

static u32 enable(void)
{
	u32 cr4 = read_cr4();

	write_cr4(cr4 | CR4_OSFXSR | CR4_OSXMMEXCPT);
	asm volatile("ldmxcsr %0" ::"m"((u32){0x1f80}));
	return cr4;
}

static void all_ops(enum feature f)
{
	u32 cr4;

	if (!has(f)) {
		skip("CPUID does not offer it");
		return;
	}
	cr4 = enable();
	for (u32 i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		struct state s = at_ring(ops[i].code, 3);

		if (ops[i].needs != f)
			continue;
		memcpy(mem, operands, sizeof(operands));
		memset(mem + 8, 0x5a, 32);
		s.ebx = ADDR(mem);
		run(&s);
		if (!ended(&s, ops[i].name))
			continue;
		for (u32 j = 0; j < 8; j++)
			if (mem[8 + j] != ops[i].want[j & 3]) {
				fail("%s%s: word %u is %x, want %x", ops[i].name, j < 4 ? "" : " mem", j & 3, mem[8 + j],
				     ops[i].want[j & 3]);
				break;
			}
	}
	write_cr4(cr4);
}

TEST(sse, "simd.sse")
{
	all_ops(SSE);
}

TEST(sse2, "simd.sse2")
{
	all_ops(SSE2);
}

TEST(sse3, "simd.sse3")
{
	all_ops(SSE3);
}

TEST(ssse3, "simd.ssse3")
{
	all_ops(SSSE3);
}

TEST(sse41, "simd.sse4.1")
{
	all_ops(SSE41);
}

TEST(sse42, "simd.sse4.2")
{
	all_ops(SSE42);
}

CODE(shifts,
     "movaps (%ebx), %xmm0; pslld $3, %xmm0; movaps %xmm0, 32(%ebx); movaps (%ebx), %xmm0; psrldq $5, %xmm0; movaps %xmm0, 48(%ebx);"
     "movaps (%ebx), %xmm0; psraw $2, %xmm0; movaps %xmm0, 64(%ebx); mov $12, %eax; movd %eax, %xmm1; movaps (%ebx), %xmm0; psrlq %xmm1, "
     "%xmm0;"
     "movaps %xmm0, 80(%ebx)");
CODE(transfers,
     "movaps (%ebx), %xmm0; movmskps %xmm0, %eax; movmskpd %xmm0, %ecx; pmovmskb %xmm0, %edx; pextrw $3, %xmm0, %esi; mov $0xbeef, %edi;"
     "pinsrw $2, %edi, %xmm0; movd %xmm0, %ebp; movaps %xmm0, 32(%ebx); cvttss2si 12(%ebx), %edi; cvtsi2sd %edi, %xmm2; movsd %xmm2, "
     "48(%ebx);"
     "movhps 8(%ebx), %xmm2; movlps %xmm2, 56(%ebx); movnti %edi, 64(%ebx); movntps %xmm0, 80(%ebx); sfence; movq 16(%ebx), %xmm3;"
     "movdqu %xmm3, 97(%ebx); lfence; mfence");
CODE(compares, "movss (%ebx), %xmm0; comiss 16(%ebx), %xmm0; pushf; pop %eax; ucomiss %xmm0, %xmm0; pushf; pop %ecx; movsd 8(%ebx), %xmm1; "
	       "ucomisd 24(%ebx),"
	       "%xmm1; pushf; pop %edx; pcmpeqd %xmm2, %xmm2; comiss %xmm2, %xmm0; pushf; pop %esi; stmxcsr 32(%ebx)");

TEST(sse_moves, "simd.shifts, moves, comparisons")
{
	u32 cr4;
	struct state s;

	if (!has(SSE2)) {
		skip("no SSE2");
		return;
	}
	cr4 = enable();
	memcpy(mem, operands, sizeof(operands));
	s = at_ring(shifts, 3);
	s.ebx = ADDR(mem);
	run(&s);
	if (ended(&s, "shifts")) {
		EQ(mem[8], 0xfe000000, "pslld");
		EQ(mem[12], 0x79c05000, "psrldq");
		EQ(mem[15], 0, "psrldq, last word");
		EQ(mem[17], 0xf0140000, "psraw");
		EQ(mem[20], 0x0003fc00, "psrlq");
	}
	s = at_ring(transfers, 3);
	s.ebx = ADDR(mem);
	run(&s);
	if (ended(&s, "transfers")) {
		EQ(s.eax, 6, "movmskps");
		EQ(s.ecx, 1, "movmskpd");
		EQ(s.edx, 0x1884, "pmovmskb");
		EQ(s.esi, 0xc050, "pextrw");
		EQ(mem[9], 0xc050beef, "pinsrw");
		EQ(s.edi, 3, "cvttss2si");
		EQ(mem[13], 0x40080000, "cvtsi2sd");
		EQ(mem[16], 3, "movnti");
		EQ(mem[23], 0x40490fdb, "movntps");
	}
	s = at_ring(compares, 3);
	s.ebx = ADDR(mem);
	run(&s);
	if (ended(&s, "comparisons")) {
		EQ(s.eax & FL_ARITH, FL_CF, "comiss less");
		EQ(s.ecx & FL_ARITH, FL_ZF, "ucomiss equal");
		EQ(s.edx & FL_ARITH, 0, "ucomisd greater");
		EQ(s.esi & FL_ARITH, FL_ZF | FL_PF | FL_CF, "comiss unordered");
		EQ(mem[8], 0x1fa1, "mxcsr after an unordered comiss, and an inexact conversion before");
	}
	write_cr4(cr4);
}

CODE(sse41_misc,
     "movaps (%ebx), %xmm0; pextrb $5, %xmm0, %eax; pextrd $2, %xmm0, %ecx; extractps $3, %xmm0, %edx; mov $0x11223344, %esi;"
     "pinsrd $1, %esi, %xmm0; pinsrb $0, %esi, %xmm0; movaps %xmm0, 32(%ebx); ptest %xmm0, %xmm0; pushf; pop %esi; pxor %xmm1, %xmm1;"
     "ptest %xmm1, %xmm0; pushf; pop %edi; movntdqa (%ebx), %xmm3; movaps %xmm3, 48(%ebx)");
CODE(sse42_misc, "movaps (%ebx), %xmm0; movaps 16(%ebx), %xmm1; pcmpistri $0x08, %xmm1, %xmm0; pushf; pop %esi; mov $16, %eax; mov $16, "
		 "%edx; mov %ecx, %edi;"
		 "pcmpestri $0, %xmm1, %xmm0");

TEST(sse4_moves, "simd.pextr pinsr ptest pcmpistri")
{
	static const char needle[16] = "lo", hay[16] = "say hello world";
	u32 cr4;
	struct state s;

	if (!has(SSE42)) {
		skip("no SSE4.2");
		return;
	}
	cr4 = enable();
	memcpy(mem, operands, sizeof(operands));
	s = at_ring(sse41_misc, 3);
	s.ebx = ADDR(mem);
	run(&s);
	if (ended(&s, "SSE4.1")) {
		EQ(s.eax, 0, "pextrb");
		EQ(s.ecx, 0x92345679, "pextrd");
		EQ(s.edx, 0x40490fdb, "extractps");
		EQ(mem[8], 0x3fc00044, "pinsrb");
		EQ(mem[9], 0x11223344, "pinsrd");
		EQ(s.esi & FL_ARITH, FL_CF, "ptest of itself");
		EQ(s.edi & FL_ARITH, FL_ZF | FL_CF, "ptest with zero");
		EQ(mem[15], 0x40490fdb, "movntdqa");
	}
	memcpy(mem, needle, 16);
	memcpy(mem + 4, hay, 16);
	s = at_ring(sse42_misc, 3);
	s.ebx = ADDR(mem);
	run(&s);
	if (ended(&s, "SSE4.2")) {
		EQ(s.edi, 15, "pcmpistri, equal each: both have ended there");
		EQ(s.ecx, 6, "pcmpestri, equal any: the first l or o");
	}
	write_cr4(cr4);
}

CODE(mmx, "movq (%ebx), %mm0; movq 8(%ebx), %mm1; paddb %mm1, %mm0; movq %mm0, 32(%ebx); pmaddwd (%ebx), %mm1; movq %mm1, 40(%ebx); movd "
	  "%mm1, %eax;"
	  "psllq $12, %mm1; movq %mm1, 48(%ebx); punpcklbw %mm0, %mm1; packsswb %mm0, %mm1; movq %mm1, 56(%ebx); fnstenv "
	  "64(%ebx); emms;"
	  "fnstenv 96(%ebx)");

TEST(mmx, "simd.mmx and its x87 tags")
{
	struct state s = at_ring(mmx, 3);

	if (!(cpuid_edx1() & 1u << 23)) {
		skip("no MMX");
		return;
	}
	memcpy(mem, operands, sizeof(operands));
	s.ebx = ADDR(mem);
	run(&s);
	if (!ended(&s, "mmx"))
		return;
	EQ(mem[8], 0xd1f45679, "paddb low");
	EQ(mem[9], 0x00990fdb, "paddb high");
	EQ(s.eax, mem[10], "movd");
	EQ(mem[18] & mem[18] >> 1 & 0x5555, 0, "tags that say empty after MMX");
	EQ(mem[26] & 0xffff, 0xffff, "tags after emms");
}

CODE(fxsave, "fninit; fld1; fldpi; movaps (%ebx), %xmm3; fxsave 512(%ebx); fninit; pxor %xmm3, %xmm3; fxrstor 512(%ebx); fstpt "
	     "64(%ebx); "
	     "fstpt 80(%ebx);"
	     "movaps %xmm3, 96(%ebx)");

CODE(fx_tail, "fxsave (%ebx)");
CODE(fxr_tail, "fxrstor (%ebx)");

TEST_PG(fxsave_end, "simd.fxsave and fxrstor of an area whose end is not there")
{
	u32 cr4;

	if (!has(SSE2)) {
		skip("no SSE2");
		return;
	}
	/* 288 bytes are in the first page: all that is read and written. The operand has 512 (SDM Vol. 1 10.5.1). */
	if (qemu_skips("the end of the area is not accessed"))
		return;
	cr4 = enable();
	map(TW, scratch[0], P_P | P_W | P_U);
	asm volatile("fxsave %0" : "=m"(*(u8(*)[512])(TW + 0xc00)));
	for (int i = 0; i < 2; i++) {
		struct state s = at_ring(i ? fxr_tail : fx_tail, 3);

		s.ebx = TW + 0xec0;
		run(&s);
		if (trapped(&s, V_PF, i ? 4 : 6, i ? fxr_tail : fx_tail, i ? "fxrstor" : "fxsave") && s.cr2 >> 12 != (TW + 0x1000) >> 12)
			fail("cr2 is %x", s.cr2);
	}
	unmap_window();
	write_cr4(cr4);
}

TEST(fxsave, "simd.fxsave fxrstor")
{
	static UDATA u32 big[512] __attribute__((aligned(64)));
	struct state s = at_ring(fxsave, 3);
	u32 cr4;

	if (!has(SSE2)) {
		skip("no SSE2");
		return;
	}
	cr4 = enable();
	memcpy(big, operands, sizeof(operands));
	s.ebx = ADDR(big);
	run(&s);
	if (ended(&s, "fxsave")) {
		EQ(big[128] & 0xffff, 0x37f, "FCW");
		EQ(big[128] >> 16 & 0x3800, 6 << 11, "FSW.TOP");
		EQ(big[129] & 0xff, 0xc0, "abridged tags");
		EQ(big[128 + 6], 0x1f80, "MXCSR");
		EQ(big[128 + 8], 0x2168c235, "st0");
		EQ(big[128 + 40 + 12], operands[0], "xmm3");
		EQ(big[16], 0x2168c235, "st0 restored");
		EQ(big[18] & 0xffff, 0x4000, "st0 restored, exponent");
		EQ(big[22] & 0xffff, 0x3fff, "st1 restored, exponent");
		EQ(big[27], operands[3], "xmm3 restored");
	}
	write_cr4(cr4);
}
