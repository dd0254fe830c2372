/*
 * The instructions that may appear in translated code, by Capstone's names, and what they do to their operands as far as isolation depends
 * on it. What is not in ALLOWED is refused; SENSITIVE and FORBIDDEN only give the refusal its name.
 *
 * R: reads its operands. W: writes the first. O: writes the first without reading it (a 32-bit register). Implicit registers are named.
 */
#ifndef RINGER_VERIFY_TABLE_H
#define RINGER_VERIFY_TABLE_H

/* clang-format off */
#define ALLOWED(X, R, W, O)                                                                                              \
	/* Integer */                                                                                                    \
	W(ADC) W(ADD) W(AND) W(DEC) W(INC) W(NEG) W(NOT) W(OR) W(SBB) W(SUB) W(XOR) R(CMP) R(TEST)                      \
	W(RCL) W(RCR) W(ROL) W(ROR) W(SAL) W(SAR) W(SHL) W(SHR) W(SHLD) W(SHRD)                                          \
	R(BT) W(BTC) W(BTR) W(BTS) W(BSF) W(BSR) W(BSWAP) W(LZCNT) W(POPCNT) W(CRC32)                                    \
	X(XCHG, E_W0 | E_W1) X(XADD, E_W0 | E_W1) X(CMPXCHG, E_W0 | E_AX) X(CMPXCHG8B, E_W0 | E_AX | E_DX)               \
	X(MUL, E_AX | E_DX) X(DIV, E_AX | E_DX) X(IDIV, E_AX | E_DX) X(IMUL, E_W0 | E_WIDE)                              \
	X(CBW, E_AX) X(CWDE, E_AX) X(CWD, E_AX | E_DX) X(CDQ, E_AX | E_DX) X(LAHF, E_AX) X(SAHF, 0)                      \
	O(MOVZX) O(MOVSX) W(MOVBE) W(MOVNTI) W(RDRAND)                                                                   \
	W(CMOVA) W(CMOVAE) W(CMOVB) W(CMOVBE) W(CMOVE) W(CMOVG) W(CMOVGE) W(CMOVL) W(CMOVLE) W(CMOVNE) W(CMOVNO)         \
	W(CMOVNP) W(CMOVNS) W(CMOVO) W(CMOVP) W(CMOVS)                                                                   \
	W(SETA) W(SETAE) W(SETB) W(SETBE) W(SETE) W(SETG) W(SETGE) W(SETL) W(SETLE) W(SETNE) W(SETNO) W(SETNP) W(SETNS)  \
	W(SETO) W(SETP) W(SETS)                                                                                          \
	R(CLC) R(CMC) R(STC) R(CLD) R(STD) R(NOP) R(PAUSE) R(LFENCE) R(MFENCE) R(SFENCE)                                 \
	/* Glue; MOV and the strings that the guest has as well */                                                       \
	X(MOV, E_GLUE) X(LEA, E_GLUE)                                                                                    \
	X(SHRX, E_GLUE | E_VEX) X(PEXT, E_GLUE | E_VEX) X(PDEP, E_GLUE | E_VEX)                                          \
	X(MULX, E_GLUE | E_VEX) X(RDTSC, E_GLUE)                                                                         \
	X(SARX, E_W0 | E_ONLY | E_VEX) X(RORX, E_W0 | E_ONLY | E_VEX)                                                    \
	X(PUSH, E_GLUE) X(POP, E_GLUE) X(PUSHFQ, E_GLUE) X(POPFQ, E_GLUE)                                                \
	X(MOVSB, E_GLUE) X(MOVSW, E_GLUE) X(STOSB, E_GLUE) X(STOSW, E_GLUE) X(STOSD, E_GLUE)                             \
	X(LODSB, E_GLUE) X(LODSW, E_GLUE) X(LODSD, E_GLUE) X(CMPSB, E_GLUE) X(CMPSW, E_GLUE)                             \
	X(SCASB, E_GLUE) X(SCASW, E_GLUE) X(SCASD, E_GLUE)                                                               \
	/* Transfers */                                                                                                  \
	X(CALL, E_FLOW) X(JMP, E_FLOW) X(JRCXZ, E_FLOW) X(JECXZ, E_FLOW) X(LOOP, E_FLOW) X(LOOPE, E_FLOW)                \
	X(LOOPNE, E_FLOW)                                                                                                \
	X(JA, E_FLOW) X(JAE, E_FLOW) X(JB, E_FLOW) X(JBE, E_FLOW) X(JE, E_FLOW) X(JG, E_FLOW) X(JGE, E_FLOW)             \
	X(JL, E_FLOW) X(JLE, E_FLOW) X(JNE, E_FLOW) X(JNO, E_FLOW) X(JNP, E_FLOW) X(JNS, E_FLOW) X(JO, E_FLOW)           \
	X(JP, E_FLOW) X(JS, E_FLOW)                                                                                      \
	/* x87 */                                                                                                        \
	R(F2XM1) R(FABS) R(FADD) R(FADDP) R(FBLD) W(FBSTP) R(FCHS) R(FCMOVB) R(FCMOVBE) R(FCMOVE) R(FCMOVNB)             \
	R(FCMOVNBE) R(FCMOVNE) R(FCMOVNU) R(FCMOVU) R(FCOM) R(FCOMI) R(FCOMIP) R(FCOMP) R(FCOMPP) R(FCOS) R(FDECSTP)      \
	R(FDIV) R(FDIVP) R(FDIVR) R(FDIVRP) R(FFREE) R(FFREEP) R(FIADD) R(FICOM) R(FICOMP) R(FIDIV) R(FIDIVR) R(FILD)    \
	R(FIMUL) R(FINCSTP) W(FIST) W(FISTP) W(FISTTP) R(FISUB) R(FISUBR) R(FLD) R(FLD1) R(FLDCW) R(FLDL2E) R(FLDL2T)    \
	R(FLDLG2) R(FLDLN2) R(FLDPI) R(FLDZ) R(FMUL) R(FMULP) R(FNCLEX) R(FNOP) W(FNSTCW) W(FNSTSW) R(FPATAN) R(FPREM)   \
	R(FPREM1) R(FPTAN) R(FRNDINT) R(FSCALE) R(FSIN) R(FSINCOS) R(FSQRT) W(FST) W(FSTP) R(FSTPNCE) R(FSUB) R(FSUBP)   \
	R(FSUBR) R(FSUBRP) R(FTST) R(FUCOM) R(FUCOMI) R(FUCOMIP) R(FUCOMP) R(FUCOMPP) R(FXAM) R(FXCH) R(FXTRACT)         \
	R(FYL2X) R(FYL2XP1) R(WAIT) R(FSETPM) R(FDISI8087_NOP) R(FENI8087_NOP)                                           \
	/* MMX and SSE */                                                                                                \
	R(EMMS) W(STMXCSR) W(MOVD) W(MOVQ) W(MOVDQ2Q) W(MOVQ2DQ) W(MOVNTQ) W(MOVDQA) W(MOVDQU) W(MOVAPS) W(MOVAPD)       \
	W(MOVUPS) W(MOVUPD) W(MOVSS) X(MOVSD, E_W0 | E_GLUE) W(MOVHLPS) W(MOVLHPS) W(MOVHPD) W(MOVHPS) W(MOVLPD)         \
	W(MOVLPS) W(MOVMSKPD) W(MOVMSKPS) W(MOVNTDQ) W(MOVNTDQA) W(MOVNTPD) W(MOVNTPS) W(MOVDDUP) W(MOVSHDUP)            \
	W(MOVSLDUP) W(LDDQU)                                                                                             \
	W(ADDPD) W(ADDPS) W(ADDSD) W(ADDSS) W(ADDSUBPD) W(ADDSUBPS) W(ANDNPD) W(ANDNPS) W(ANDPD) W(ANDPS) W(DIVPD)       \
	W(DIVPS) W(DIVSD) W(DIVSS) W(HADDPD) W(HADDPS) W(HSUBPD) W(HSUBPS) W(MAXPD) W(MAXPS) W(MAXSD) W(MAXSS) W(MINPD)  \
	W(MINPS) W(MINSD) W(MINSS) W(MULPD) W(MULPS) W(MULSD) W(MULSS) W(ORPD) W(ORPS) W(RCPPS) W(RCPSS) W(RSQRTPS)      \
	W(RSQRTSS) W(SHUFPD) W(SHUFPS) W(SQRTPD) W(SQRTPS) W(SQRTSD) W(SQRTSS) W(SUBPD) W(SUBPS) W(SUBSD) W(SUBSS)       \
	W(UNPCKHPD) W(UNPCKHPS) W(UNPCKLPD) W(UNPCKLPS) W(XORPD) W(XORPS)                                                \
	R(COMISD) R(COMISS) R(UCOMISD) R(UCOMISS)                                                                        \
	W(CVTDQ2PD) W(CVTDQ2PS) W(CVTPD2DQ) W(CVTPD2PI) W(CVTPD2PS) W(CVTPI2PD) W(CVTPI2PS) W(CVTPS2DQ) W(CVTPS2PD)      \
	W(CVTPS2PI) W(CVTSD2SI) W(CVTSD2SS) W(CVTSI2SD) W(CVTSI2SS) W(CVTSS2SD) W(CVTSS2SI) W(CVTTPD2DQ) W(CVTTPD2PI)    \
	W(CVTTPS2DQ) W(CVTTPS2PI) W(CVTTSD2SI) W(CVTTSS2SI)                                                              \
	COMPARISONS(W, SS) COMPARISONS(W, PS) COMPARISONS(W, PD)                                                         \
	X(CMPSD, E_W0 | E_GLUE) W(CMPEQSD) W(CMPLTSD) W(CMPLESD) W(CMPUNORDSD) W(CMPNEQSD) W(CMPNLTSD) W(CMPNLESD)       \
	W(CMPORDSD)                                                                                                      \
	W(PABSB) W(PABSD) W(PABSW) W(PACKSSDW) W(PACKSSWB) W(PACKUSDW) W(PACKUSWB) W(PADDB) W(PADDD) W(PADDQ) W(PADDSB)  \
	W(PADDSW) W(PADDUSB) W(PADDUSW) W(PADDW) W(PALIGNR) W(PAND) W(PANDN) W(PAVGB) W(PAVGW) W(PCMPEQB) W(PCMPEQD)     \
	W(PCMPEQQ) W(PCMPEQW) W(PCMPGTB) W(PCMPGTD) W(PCMPGTQ) W(PCMPGTW) W(PEXTRB) W(PEXTRD) W(PEXTRW) W(PHADDD)        \
	W(PHADDSW) W(PHADDW) W(PHSUBD) W(PHSUBSW) W(PHSUBW) W(PINSRB) W(PINSRD) W(PINSRW) W(PMADDUBSW) W(PMADDWD)        \
	W(PMAXSB) W(PMAXSD) W(PMAXSW) W(PMAXUB) W(PMAXUD) W(PMAXUW) W(PMINSB) W(PMINSD) W(PMINSW) W(PMINUB) W(PMINUD)    \
	W(PMINUW) W(PMOVMSKB) W(PMULDQ) W(PMULHRSW) W(PMULHUW) W(PMULHW) W(PMULLD) W(PMULLW) W(PMULUDQ) W(POR)           \
	W(PSADBW) W(PSHUFB) W(PSHUFD) W(PSHUFHW) W(PSHUFLW) W(PSHUFW) W(PSIGNB) W(PSIGND) W(PSIGNW) W(PSLLD) W(PSLLDQ)   \
	W(PSLLQ) W(PSLLW) W(PSRAD) W(PSRAW) W(PSRLD) W(PSRLDQ) W(PSRLQ) W(PSRLW) W(PSUBB) W(PSUBD) W(PSUBQ) W(PSUBSB)    \
	W(PSUBSW) W(PSUBUSB) W(PSUBUSW) W(PSUBW) W(PUNPCKHBW) W(PUNPCKHDQ) W(PUNPCKHQDQ) W(PUNPCKHWD) W(PUNPCKLBW)       \
	W(PUNPCKLDQ) W(PUNPCKLQDQ) W(PUNPCKLWD) W(PXOR)                                                                  \
	W(BLENDPD) W(BLENDPS) W(BLENDVPD) W(BLENDVPS) W(DPPD) W(DPPS) W(EXTRACTPS) W(INSERTPS) W(MPSADBW) W(PBLENDVB)    \
	W(PBLENDW) W(PHMINPOSUW) W(PMOVSXBD) W(PMOVSXBQ) W(PMOVSXBW) W(PMOVSXDQ) W(PMOVSXWD) W(PMOVSXWQ) W(PMOVZXBD)     \
	W(PMOVZXBQ) W(PMOVZXBW) W(PMOVZXDQ) W(PMOVZXWD) W(PMOVZXWQ) R(PTEST) W(ROUNDPD) W(ROUNDPS) W(ROUNDSD)            \
	W(ROUNDSS)                                                                                                       \
	X(PCMPESTRI, E_CX) R(PCMPESTRM) X(PCMPISTRI, E_CX) R(PCMPISTRM)                                                  \
	W(AESDEC) W(AESDECLAST) W(AESENC) W(AESENCLAST) W(AESIMC) W(AESKEYGENASSIST) W(PCLMULQDQ)

#define COMPARISONS(W, t) W(CMP##t) W(CMPEQ##t) W(CMPLT##t) W(CMPLE##t) W(CMPUNORD##t) W(CMPNEQ##t) W(CMPNLT##t) W(CMPNLE##t) W(CMPORD##t)

/* The seventeen of Robin & Irvine, and IRET. PUSH, POP and MOV are sensitive with a segment register, JMP and CALL where they are far. */
#define SENSITIVE(X)                                                                                                     \
	X(SGDT) X(SIDT) X(SLDT) X(SMSW) X(PUSHF) X(PUSHFD) X(POPF) X(POPFD) X(LAR) X(LSL) X(VERR) X(VERW) X(LCALL)      \
	X(LJMP) X(INT) X(RETF) X(RETFQ) X(STR) X(IRET) X(IRETD) X(IRETQ)

#define FORBIDDEN(X)                                                                                                     \
	X(SYSCALL) X(SYSENTER) X(SYSEXIT) X(SYSRET) X(INT1) X(INT3) X(INTO) X(IN) X(OUT) X(INSB) X(INSW) X(INSD)         \
	X(OUTSB) X(OUTSW) X(OUTSD) X(HLT) X(CLI) X(STI) X(CLTS) X(LGDT) X(LIDT) X(LLDT) X(LTR) X(LMSW) X(INVD)          \
	X(WBINVD) X(INVLPG) X(INVPCID) X(RDMSR) X(WRMSR) X(RDPMC) X(RDTSCP) X(CPUID) X(RSM) X(MONITOR)          \
	X(MWAIT) X(SWAPGS) X(RDFSBASE) X(RDGSBASE) X(WRFSBASE) X(WRGSBASE) X(LFS) X(LGS) X(LSS) X(LDS) X(LES) X(XSETBV)  \
	X(XGETBV) X(RET) X(UD2) X(VMCALL) X(VMMCALL) X(STAC) X(CLAC)
/* clang-format on */

#endif
