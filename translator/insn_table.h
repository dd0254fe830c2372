/*
 * The instructions that are not simply re-emitted (IDENT), by Zydis mnemonic. Everything absent from this table is IDENT if its category is
 * one of arithmetic, logic, data movement and floating point (insn.c: ident_allowed), and #UD otherwise.
 *
 * LOWER(mnemonic, function)   expanded in the TC by lower_<function> of insn.c
 * EMULATE(mnemonic, handler)  callout to emu_<handler>, then the TU goes on
 * TRANSFER(mnemonic, handler) callout to emu_<handler>, which ends the TU
 *
 * SENSITIVE marks the seventeen of Robin & Irvine (USENIX Security 2000) plus IRET: sensitive, yet not trapping. PUSH, POP, MOV, CALL and
 * JMP are sensitive only in their segment-register and far forms, which their lowering tells apart.
 */
#ifndef RINGER_INSN_TABLE_H
#define RINGER_INSN_TABLE_H

/* clang-format off */
#define INSNS(LOWER, EMULATE, TRANSFER)                                                                                  \
	/* The seventeen, and IRET. Category: sensitive register */                                                      \
	EMULATE(SGDT, sgdt)                                                                                              \
	EMULATE(SIDT, sidt)                                                                                              \
	EMULATE(SLDT, sldt)                                                                                              \
	EMULATE(SMSW, smsw)                                                                                              \
	LOWER(PUSHF, pushf)                                                                                              \
	LOWER(PUSHFD, pushf)                                                                                             \
	LOWER(POPF, popf)                                                                                                \
	LOWER(POPFD, popf)                                                                                               \
	/* Category: protection system */                                                                                \
	EMULATE(LAR, lar)                                                                                                \
	EMULATE(LSL, lsl)                                                                                                \
	EMULATE(VERR, verr)                                                                                              \
	EMULATE(VERW, verw)                                                                                              \
	LOWER(PUSH, push)                                                                                                \
	LOWER(POP, pop)                                                                                                  \
	LOWER(MOV, mov)                                                                                                  \
	LOWER(CALL, call)                                                                                                \
	LOWER(JMP, jmp)                                                                                                  \
	TRANSFER(INT, int_n)                                                                                             \
	LOWER(RET, ret)                                                                                                  \
	EMULATE(STR, str)                                                                                                \
	TRANSFER(IRET, iret)                                                                                             \
	TRANSFER(IRETD, iret)                                                                                            \
	/* Other interrupts and system calls */                                                                          \
	TRANSFER(INT3, int3)                                                                                             \
	TRANSFER(INT1, int1)                                                                                             \
	TRANSFER(INTO, into)                                                                                             \
	TRANSFER(SYSENTER, sysenter)                                                                                     \
	TRANSFER(SYSEXIT, sysexit)                                                                                       \
	/* Privileged */                                                                                                 \
	TRANSFER(LGDT, lgdt)                                                                                             \
	TRANSFER(LIDT, lidt)                                                                                             \
	TRANSFER(LLDT, lldt)                                                                                             \
	TRANSFER(LTR, ltr)                                                                                               \
	TRANSFER(LMSW, lmsw)                                                                                             \
	TRANSFER(CLTS, clts)                                                                                             \
	TRANSFER(INVLPG, invlpg)                                                                                         \
	EMULATE(WBINVD, wbinvd)                                                                                          \
	EMULATE(INVD, wbinvd)                                                                                            \
	TRANSFER(HLT, hlt)                                                                                               \
	EMULATE(RDMSR, rdmsr)                                                                                            \
	TRANSFER(WRMSR, wrmsr)                                                                                           \
	EMULATE(RDTSC, rdtsc)                                                                                            \
	EMULATE(RDTSCP, rdtscp)                                                                                          \
	EMULATE(RDPMC, rdpmc)                                                                                            \
	EMULATE(CPUID, cpuid)                                                                                            \
	TRANSFER(RSM, rsm)                                                                                               \
	TRANSFER(MONITOR, monitor)                                                                                       \
	TRANSFER(MWAIT, mwait)                                                                                           \
	LOWER(CLI, cli)                                                                                                  \
	LOWER(STI, sti)                                                                                                  \
	EMULATE(IN, in)                                                                                                  \
	EMULATE(OUT, out)                                                                                                \
	EMULATE(INSB, ins)                                                                                               \
	EMULATE(INSW, ins)                                                                                               \
	EMULATE(INSD, ins)                                                                                               \
	EMULATE(OUTSB, outs)                                                                                             \
	EMULATE(OUTSW, outs)                                                                                             \
	EMULATE(OUTSD, outs)                                                                                             \
	/* Segments */                                                                                                   \
	EMULATE(LDS, load_far_ptr)                                                                                       \
	EMULATE(LES, load_far_ptr)                                                                                       \
	EMULATE(LSS, load_far_ptr)                                                                                       \
	EMULATE(LFS, load_far_ptr)                                                                                       \
	EMULATE(LGS, load_far_ptr)                                                                                       \
	EMULATE(ARPL, arpl)                                                                                              \
	/* Near control flow */                                                                                          \
	LOWER(JO, jcc)                                                                                                   \
	LOWER(JNO, jcc)                                                                                                  \
	LOWER(JB, jcc)                                                                                                   \
	LOWER(JNB, jcc)                                                                                                  \
	LOWER(JZ, jcc)                                                                                                   \
	LOWER(JNZ, jcc)                                                                                                  \
	LOWER(JBE, jcc)                                                                                                  \
	LOWER(JNBE, jcc)                                                                                                 \
	LOWER(JS, jcc)                                                                                                   \
	LOWER(JNS, jcc)                                                                                                  \
	LOWER(JP, jcc)                                                                                                   \
	LOWER(JNP, jcc)                                                                                                  \
	LOWER(JL, jcc)                                                                                                   \
	LOWER(JNL, jcc)                                                                                                  \
	LOWER(JLE, jcc)                                                                                                  \
	LOWER(JNLE, jcc)                                                                                                 \
	LOWER(JCXZ, jcxz)                                                                                                \
	LOWER(JECXZ, jcxz)                                                                                               \
	LOWER(LOOP, loop)                                                                                                \
	LOWER(LOOPE, loop)                                                                                               \
	LOWER(LOOPNE, loop)                                                                                              \
	/* Stack and address arithmetic */                                                                               \
	LOWER(LEAVE, leave)                                                                                              \
	EMULATE(ENTER, enter)                                                                                            \
	EMULATE(PUSHA, pusha)                                                                                            \
	EMULATE(PUSHAD, pusha)                                                                                           \
	EMULATE(POPA, popa)                                                                                              \
	EMULATE(POPAD, popa)                                                                                             \
	LOWER(LEA, lea)                                                                                                  \
	LOWER(XLAT, xlat)                                                                                                \
	/* Strings */                                                                                                    \
	LOWER(MOVSB, string)                                                                                             \
	LOWER(MOVSW, string)                                                                                             \
	LOWER(MOVSD, movsd)                                                                                              \
	LOWER(STOSB, string)                                                                                             \
	LOWER(STOSW, string)                                                                                             \
	LOWER(STOSD, string)                                                                                             \
	LOWER(LODSB, string)                                                                                             \
	LOWER(LODSW, string)                                                                                             \
	LOWER(LODSD, string)                                                                                             \
	LOWER(CMPSB, string)                                                                                             \
	LOWER(CMPSW, string)                                                                                             \
	LOWER(CMPSD, cmpsd)                                                                                              \
	LOWER(SCASB, string)                                                                                             \
	LOWER(SCASW, string)                                                                                             \
	LOWER(SCASD, string)                                                                                             \
	/* Do not exist in 64-bit mode */                                                                                \
	EMULATE(DAA, daa)                                                                                                \
	EMULATE(DAS, das)                                                                                                \
	EMULATE(AAA, aaa)                                                                                                \
	EMULATE(AAS, aas)                                                                                                \
	EMULATE(AAM, aam)                                                                                                \
	EMULATE(AAD, aad)                                                                                                \
	EMULATE(SALC, salc)                                                                                              \
	EMULATE(BOUND, bound)                                                                                            \
	/* Whose memory image differs in 64-bit mode, or which check more than the host would for us */                  \
	EMULATE(FXSAVE, fxsave)                                                                                          \
	EMULATE(FXRSTOR, fxrstor)                                                                                        \
	EMULATE(FNINIT, fninit)                                                                                          \
	EMULATE(FNSAVE, fnsave)                                                                                          \
	EMULATE(FRSTOR, frstor)                                                                                          \
	EMULATE(FNSTENV, fnstenv)                                                                                        \
	EMULATE(FLDENV, fldenv)                                                                                          \
	EMULATE(LDMXCSR, ldmxcsr)                                                                                        \
	EMULATE(MASKMOVQ, maskmovq)                                                                                      \
	EMULATE(MASKMOVDQU, maskmovdqu)                                                                                  \
	/* No operation but for the check of their operand */                                                            \
	LOWER(CLFLUSH, clflush)                                                                                          \
	LOWER(NOP, nop)                                                                                                  \
	LOWER(PREFETCH, nop)                                                                                             \
	LOWER(PREFETCHW, nop)                                                                                            \
	LOWER(PREFETCHNTA, nop)                                                                                          \
	LOWER(PREFETCHT0, nop)                                                                                           \
	LOWER(PREFETCHT1, nop)                                                                                           \
	LOWER(PREFETCHT2, nop)                                                                                           \
	/* Undefined */                                                                                                  \
	TRANSFER(UD0, ud)                                                                                                \
	TRANSFER(UD1, ud)                                                                                                \
	TRANSFER(UD2, ud)
/* clang-format on */

#endif
