/*
 * The one table of instructions. What translates them (insn.c), what answers questions about them (insn_info.c) and through that
 * docs/instructions.md, the coverage report and the check of the flags in tests/diff are made from it.
 *
 * INSNS, by Zydis mnemonic, lists what is not simply re-emitted. Everything absent is IDENT if its category is one of arithmetic, logic,
 * data movement and floating point (insn_info.c: insn_may_run), and #UD otherwise: what nobody thought of is refused, not executed.
 *
 * LOWER(mnemonic, class, function)   expanded in the TC by lower_<function> of insn.c
 * EMULATE(mnemonic, class, handler)  callout to emu_<handler>, then the TU goes on
 * TRANSFER(mnemonic, class, handler) callout to emu_<handler>, which ends the TU
 *
 * INSN_FORMS lists the forms of some of them that are another matter, by what insn_form says: LOWER(mnemonic, form, class, function), and
 * so on.
 *
 * Class DATA is IDENTITY, or MEMORY if the instruction at hand has a memory operand.
 */
#ifndef RINGER_INSN_TABLE_H
#define RINGER_INSN_TABLE_H

/* clang-format off */
/* X(name, "name", "meaning") */
#define INSN_CLASSES(X)                                                                                 \
	X(IDENTITY, "identity", "runs as itself: registers only")                                       \
	X(MEMORY, "memory-rewritten", "runs as itself but for its memory operand, which goes through the flat table or the window") \
	X(STACK, "stack", "a push or a pop: ESP is in r15, the access is as above")                     \
	X(CONTROL, "control flow", "a transfer: an exit of the translation unit, or delivery by the monitor") \
	X(SENSITIVE, "sensitive", "shows or changes what a deprivileged CPU has otherwise than the guest's, without a trap") \
	X(PRIVILEGED, "privileged", "a deprivileged CPU traps; what it may do depends on the guest's CPL, IOPL and I/O bitmap") \
	X(EMULATED, "emulated", "does not exist in 64-bit mode, has another memory image there, or shows what is virtual") \
	X(UNDEFINED, "undefined", "#UD: undefined, or of a feature that CPUID never shows")

#define INSNS(LOWER, EMULATE, TRANSFER)                                                                 \
	/* The seventeen, and IRET. Category: sensitive register */                                     \
	LOWER(SGDT, SENSITIVE, sgdt)                                                                    \
	LOWER(SIDT, SENSITIVE, sidt)                                                                    \
	LOWER(SLDT, SENSITIVE, sldt)                                                                    \
	LOWER(SMSW, SENSITIVE, smsw)                                                                    \
	LOWER(PUSHF, SENSITIVE, pushf)                                                                  \
	LOWER(PUSHFD, SENSITIVE, pushf)                                                                 \
	LOWER(POPF, SENSITIVE, popf)                                                                    \
	LOWER(POPFD, SENSITIVE, popf)                                                                   \
	/* Category: protection system */                                                               \
	EMULATE(LAR, SENSITIVE, lar)                                                                    \
	EMULATE(LSL, SENSITIVE, lsl)                                                                    \
	EMULATE(VERR, SENSITIVE, verr)                                                                  \
	EMULATE(VERW, SENSITIVE, verw)                                                                  \
	LOWER(PUSH, STACK, push)                                                                        \
	LOWER(POP, STACK, pop)                                                                          \
	LOWER(MOV, DATA, mov)                                                                           \
	LOWER(CALL, CONTROL, call)                                                                      \
	LOWER(JMP, CONTROL, jmp)                                                                        \
	TRANSFER(INT, SENSITIVE, int_n)                                                                 \
	LOWER(RET, CONTROL, ret)                                                                        \
	LOWER(STR, SENSITIVE, str)                                                                      \
	TRANSFER(IRET, SENSITIVE, iret)                                                                 \
	TRANSFER(IRETD, SENSITIVE, iret)                                                                \
	/* Other interrupts and system calls */                                                         \
	TRANSFER(INT3, CONTROL, int3)                                                                   \
	TRANSFER(INT1, CONTROL, int1)                                                                   \
	TRANSFER(INTO, CONTROL, into)                                                                   \
	TRANSFER(SYSENTER, CONTROL, sysenter)                                                           \
	TRANSFER(SYSEXIT, PRIVILEGED, sysexit)                                                          \
	/* Privileged */                                                                                \
	EMULATE(LGDT, PRIVILEGED, lgdt)                                                                 \
	EMULATE(LIDT, PRIVILEGED, lidt)                                                                 \
	EMULATE(LLDT, PRIVILEGED, lldt)                                                                 \
	EMULATE(LTR, PRIVILEGED, ltr)                                                                   \
	TRANSFER(LMSW, PRIVILEGED, lmsw)                                                                \
	LOWER(CLTS, PRIVILEGED, clts)                                                                   \
	TRANSFER(INVLPG, PRIVILEGED, invlpg)                                                            \
	EMULATE(WBINVD, PRIVILEGED, wbinvd)                                                             \
	EMULATE(INVD, PRIVILEGED, wbinvd)                                                               \
	TRANSFER(HLT, PRIVILEGED, hlt)                                                                  \
	EMULATE(RDMSR, PRIVILEGED, rdmsr)                                                               \
	EMULATE(WRMSR, PRIVILEGED, wrmsr)                                                               \
	LOWER(RDTSC, EMULATED, rdtsc)                                                                   \
	LOWER(RDTSCP, EMULATED, rdtsc)                                                                  \
	EMULATE(RDPMC, PRIVILEGED, rdpmc)                                                               \
	EMULATE(CPUID, EMULATED, cpuid)                                                                 \
	TRANSFER(RSM, PRIVILEGED, rsm)                                                                  \
	LOWER(CLI, PRIVILEGED, cli)                                                                     \
	LOWER(STI, PRIVILEGED, sti)                                                                     \
	EMULATE(IN, PRIVILEGED, in)                                                                     \
	EMULATE(OUT, PRIVILEGED, out)                                                                   \
	EMULATE(INSB, PRIVILEGED, ins)                                                                  \
	EMULATE(INSW, PRIVILEGED, ins)                                                                  \
	EMULATE(INSD, PRIVILEGED, ins)                                                                  \
	EMULATE(OUTSB, PRIVILEGED, outs)                                                                \
	EMULATE(OUTSW, PRIVILEGED, outs)                                                                \
	EMULATE(OUTSD, PRIVILEGED, outs)                                                                \
	/* Segments */                                                                                  \
	LOWER(LDS, SENSITIVE, load_far_ptr)                                                             \
	LOWER(LES, SENSITIVE, load_far_ptr)                                                             \
	EMULATE(LSS, SENSITIVE, load_far_ptr)                                                           \
	LOWER(LFS, SENSITIVE, load_far_ptr)                                                             \
	LOWER(LGS, SENSITIVE, load_far_ptr)                                                             \
	EMULATE(ARPL, EMULATED, arpl)                                                                   \
	/* ESI and EDI move by a field of the vCPU that follows DF */                                   \
	LOWER(CLD, IDENTITY, direction)                                                                 \
	LOWER(STD, IDENTITY, direction)                                                                 \
	/* Near control flow */                                                                         \
	LOWER(JO, CONTROL, jcc)                                                                         \
	LOWER(JNO, CONTROL, jcc)                                                                        \
	LOWER(JB, CONTROL, jcc)                                                                         \
	LOWER(JNB, CONTROL, jcc)                                                                        \
	LOWER(JZ, CONTROL, jcc)                                                                         \
	LOWER(JNZ, CONTROL, jcc)                                                                        \
	LOWER(JBE, CONTROL, jcc)                                                                        \
	LOWER(JNBE, CONTROL, jcc)                                                                       \
	LOWER(JS, CONTROL, jcc)                                                                         \
	LOWER(JNS, CONTROL, jcc)                                                                        \
	LOWER(JP, CONTROL, jcc)                                                                         \
	LOWER(JNP, CONTROL, jcc)                                                                        \
	LOWER(JL, CONTROL, jcc)                                                                         \
	LOWER(JNL, CONTROL, jcc)                                                                        \
	LOWER(JLE, CONTROL, jcc)                                                                        \
	LOWER(JNLE, CONTROL, jcc)                                                                       \
	LOWER(JCXZ, CONTROL, jcxz)                                                                      \
	LOWER(JECXZ, CONTROL, jcxz)                                                                     \
	LOWER(LOOP, CONTROL, loop)                                                                      \
	LOWER(LOOPE, CONTROL, loop)                                                                     \
	LOWER(LOOPNE, CONTROL, loop)                                                                    \
	/* Stack and address arithmetic */                                                              \
	LOWER(LEAVE, STACK, leave)                                                                      \
	EMULATE(ENTER, STACK, enter)                                                                    \
	EMULATE(PUSHA, STACK, pusha)                                                                    \
	EMULATE(PUSHAD, STACK, pusha)                                                                   \
	EMULATE(POPA, STACK, popa)                                                                      \
	EMULATE(POPAD, STACK, popa)                                                                     \
	LOWER(LEA, IDENTITY, lea)                                                                       \
	LOWER(DIV, DATA, div)                                                                           \
	LOWER(IDIV, DATA, div)                                                                          \
	LOWER(XLAT, MEMORY, xlat)                                                                       \
	/* Strings */                                                                                   \
	LOWER(MOVSB, MEMORY, string)                                                                    \
	LOWER(MOVSW, MEMORY, string)                                                                    \
	LOWER(MOVSD, DATA, generic)                                                                     \
	LOWER(STOSB, MEMORY, string)                                                                    \
	LOWER(STOSW, MEMORY, string)                                                                    \
	LOWER(STOSD, MEMORY, string)                                                                    \
	LOWER(LODSB, MEMORY, string)                                                                    \
	LOWER(LODSW, MEMORY, string)                                                                    \
	LOWER(LODSD, MEMORY, string)                                                                    \
	LOWER(CMPSB, MEMORY, string)                                                                    \
	LOWER(CMPSW, MEMORY, string)                                                                    \
	LOWER(CMPSD, DATA, generic)                                                                     \
	LOWER(SCASB, MEMORY, string)                                                                    \
	LOWER(SCASW, MEMORY, string)                                                                    \
	LOWER(SCASD, MEMORY, string)                                                                    \
	/* Do not exist in 64-bit mode */                                                               \
	EMULATE(DAA, EMULATED, daa)                                                                     \
	EMULATE(DAS, EMULATED, das)                                                                     \
	EMULATE(AAA, EMULATED, aaa)                                                                     \
	EMULATE(AAS, EMULATED, aas)                                                                     \
	EMULATE(AAM, EMULATED, aam)                                                                     \
	EMULATE(AAD, EMULATED, aad)                                                                     \
	EMULATE(SALC, EMULATED, salc)                                                                   \
	EMULATE(BOUND, EMULATED, bound)                                                                 \
	/* Whose memory image differs in 64-bit mode, or which check more than the host would for us */ \
	EMULATE(FXSAVE, EMULATED, fxsave)                                                               \
	EMULATE(FXRSTOR, EMULATED, fxrstor)                                                             \
	EMULATE(FNINIT, EMULATED, fninit)                                                               \
	EMULATE(FNSAVE, EMULATED, fnsave)                                                               \
	EMULATE(FRSTOR, EMULATED, frstor)                                                               \
	EMULATE(FNSTENV, EMULATED, fnstenv)                                                             \
	EMULATE(FLDENV, EMULATED, fldenv)                                                               \
	EMULATE(LDMXCSR, EMULATED, ldmxcsr)                                                             \
	EMULATE(MASKMOVQ, EMULATED, maskmovq)                                                           \
	EMULATE(MASKMOVDQU, EMULATED, maskmovdqu)                                                       \
	/* No operation but for the check of their operand */                                           \
	LOWER(CLFLUSH, MEMORY, clflush)                                                                 \
	LOWER(NOP, IDENTITY, nop)                                                                       \
	LOWER(PREFETCH, IDENTITY, nop)                                                                  \
	LOWER(PREFETCHW, IDENTITY, nop)                                                                 \
	LOWER(PREFETCHNTA, IDENTITY, nop)                                                               \
	LOWER(PREFETCHT0, IDENTITY, nop)                                                                \
	LOWER(PREFETCHT1, IDENTITY, nop)                                                                \
	LOWER(PREFETCHT2, IDENTITY, nop)                                                                \
	/* Undefined */                                                                                 \
	TRANSFER(UD0, UNDEFINED, ud)                                                                    \
	TRANSFER(UD1, UNDEFINED, ud)                                                                    \
	TRANSFER(UD2, UNDEFINED, ud)

#define INSN_FORMS(LOWER, EMULATE, TRANSFER)                                                            \
	LOWER(PUSH, SEGMENT, SENSITIVE, push_seg)                                                       \
	LOWER(POP, SEGMENT, SENSITIVE, pop_seg)                                                         \
	LOWER(MOV, FROM_SEGMENT, SENSITIVE, mov_from_seg)                                               \
	LOWER(MOV, TO_SEGMENT, SENSITIVE, mov_to_seg)                                                   \
	LOWER(MOV, FROM_CONTROL, PRIVILEGED, mov_from_cr)                                               \
	EMULATE(MOV, TO_CONTROL, PRIVILEGED, mov_to_cr)                                                 \
	EMULATE(MOV, FROM_DEBUG, PRIVILEGED, mov_from_dr)                                               \
	EMULATE(MOV, TO_DEBUG, PRIVILEGED, mov_to_dr)                                                   \
	TRANSFER(MOV, TEST, UNDEFINED, ud)                                                              \
	TRANSFER(CALL, FAR_POINTER, SENSITIVE, call_far_imm)                                            \
	TRANSFER(CALL, FAR, SENSITIVE, call_far_mem)                                                    \
	TRANSFER(JMP, FAR_POINTER, SENSITIVE, jmp_far_imm)                                              \
	TRANSFER(JMP, FAR, SENSITIVE, jmp_far_mem)                                                      \
	TRANSFER(RET, FAR, SENSITIVE, ret_far)                                                          \
	LOWER(MOVSD, STRING, MEMORY, string)                                                            \
	LOWER(CMPSD, STRING, MEMORY, string)

/*
 * The instructions of Robin & Irvine (USENIX Security 2000): sensitive, and a deprivileged CPU does not trap. They count seventeen; by mnemonic,
 * as here, these are eighteen. Each is the mnemonic's forms of class SENSITIVE.
 * X("name", mnemonic, mnemonic of its other operand size, category: REGISTER (sensitive register) or PROTECTION (protection system),
 *   "what a deprivileged CPU does instead", "what Ringer does")
 */
#define SEVENTEEN(X)                                                                                                                                                            \
	X("SGDT", SGDT, SGDT, REGISTER, "stores the base and limit of the host kernel's GDT",                                                                                   \
	  "stores the guest's GDTR (lower_sgdt)")                                                                                                                               \
	X("SIDT", SIDT, SIDT, REGISTER, "stores the base and limit of the host kernel's IDT",                                                                                   \
	  "stores the guest's IDTR (lower_sidt)")                                                                                                                               \
	X("SLDT", SLDT, SLDT, REGISTER, "stores the host's LDT selector",                                                                                                       \
	  "stores the guest's LDTR selector (lower_sldt)")                                                                                                                      \
	X("SMSW", SMSW, SMSW, REGISTER, "stores the host's CR0: PE, MP, TS are not the guest's",                                                                                \
	  "stores the guest's CR0 (lower_smsw)")                                                                                                                                \
	X("PUSHF", PUSHF, PUSHFD, REGISTER, "pushes the host's IF and IOPL: the guest finds interrupts enabled that it has disabled",                                           \
	  "pushes the host's arithmetic flags and DF, and IF, IOPL, NT, AC, ID from the virtual CPU (lower_pushf)")                                                             \
	X("POPF", POPF, POPFD, REGISTER, "leaves IF and IOPL as they are, without a word",                                                             \
	  "where CPL does not exceed IOPL a change of IF alone is done in the cache and takes pending interrupts, at CPL 3 otherwise IF stays; all else by emu_popf with the guest's CPL and IOPL (lower_popf)")                   \
	X("LAR", LAR, LAR, PROTECTION, "looks up the host's descriptor tables, with the host's CPL",                                                                            \
	  "looks up the guest's, with the guest's CPL (emu_lar)")                                                                                                               \
	X("LSL", LSL, LSL, PROTECTION, "as LAR",                                                                                                                                \
	  "as LAR (emu_lsl)")                                                                                                                                                   \
	X("VERR", VERR, VERR, PROTECTION, "as LAR",                                                                                                                             \
	  "as LAR (emu_verr)")                                                                                                                                                  \
	X("VERW", VERW, VERW, PROTECTION, "as LAR",                                                                                                                             \
	  "as LAR (emu_verw)")                                                                                                                                                  \
	X("POP segment", POP, POP, PROTECTION, "loads the host's descriptor, checked with CPL 3",                                                     \
	  "loads the guest's descriptor, checked with the guest's CPL; holds interrupts back behind SS (emu_pop_seg; in the cache where it is a paragraph)")                                                          \
	X("PUSH segment", PUSH, PUSH, PROTECTION, "pushes the host's selector, whose RPL shows CPL 3",                                                                          \
	  "pushes the guest's selector (lower_push_seg)")                                                                                                                       \
	X("CALL far", CALL, CALL, PROTECTION, "goes through the host's descriptors and gates; pushes a CS whose RPL is 3",                                                      \
	  "all of the SDM's checks, gates and stack switches on the guest's tables (emu_call_far_*)")                                                                           \
	X("JMP far", JMP, JMP, PROTECTION, "as CALL",                                                                                                                           \
	  "as CALL (emu_jmp_far_*)")                                                                                                                                            \
	X("INT n", INT, INT, PROTECTION, "goes through the host's IDT: a system call of the host's",                                                                            \
	  "delivers through the guest's IDT, with its DPL check (emu_int_n)")                                                                                                   \
	X("RET far", RET, RET, PROTECTION, "checks RPL and CPL against 3: a return to an outer level looks like one to the same",                                               \
	  "as CALL, with outer returns (emu_ret_far)")                                                                                                                          \
	X("STR", STR, STR, PROTECTION, "stores the host's task register selector",                                                                                              \
	  "stores the guest's TR selector (lower_str)")                                                                                                                         \
	X("MOV segment", MOV, MOV, PROTECTION, "as POP and PUSH of a segment register",                                                                                         \
	  "as POP and PUSH of a segment register (emu_mov_to_seg, lower_mov_from_seg)")

/*
 * Flags where Zydis differs from the SDM: X(mnemonic, form, read, written, undefined), as EFLAGS bits. That no instruction changes a flag of
 * which nothing is said is checked on the host's CPU by tests/diff.
 */
#define INSN_FLAGS(X)                                                                                   \
	/* AF is set according to the result (Vol. 2B, SBB) */                                          \
	X(SBB, PLAIN, 0x001, 0x8d5, 0)                                                                  \
	/* The arithmetic flags are undefined (Vol. 2B, MOV to and from control and debug registers) */ \
	X(MOV, FROM_CONTROL, 0, 0, 0x8d5)                                                               \
	X(MOV, TO_CONTROL, 0, 0, 0x8d5)                                                                 \
	X(MOV, FROM_DEBUG, 0, 0, 0x8d5)                                                                 \
	X(MOV, TO_DEBUG, 0, 0, 0x8d5)
/* clang-format on */

#endif
