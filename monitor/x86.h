/* Architectural constants: EFLAGS, control registers, exceptions, descriptors. Names are the Intel SDM's. */
#ifndef RINGER_X86_H
#define RINGER_X86_H

/* EFLAGS, SDM Vol. 1 3.4.3 */
#define EFLAGS_CF	  0x00000001u
#define EFLAGS_FIXED	  0x00000002u /* bit 1 always reads as 1 */
#define EFLAGS_PF	  0x00000004u
#define EFLAGS_AF	  0x00000010u
#define EFLAGS_ZF	  0x00000040u
#define EFLAGS_SF	  0x00000080u
#define EFLAGS_TF	  0x00000100u
#define EFLAGS_IF	  0x00000200u
#define EFLAGS_DF	  0x00000400u
#define EFLAGS_OF	  0x00000800u
#define EFLAGS_IOPL	  0x00003000u
#define EFLAGS_IOPL_SHIFT 12
#define EFLAGS_NT	  0x00004000u
#define EFLAGS_RF	  0x00010000u
#define EFLAGS_VM	  0x00020000u
#define EFLAGS_AC	  0x00040000u
#define EFLAGS_VIF	  0x00080000u
#define EFLAGS_VIP	  0x00100000u
#define EFLAGS_ID	  0x00200000u
/* Those that live in the host's RFLAGS while translated code runs. */
#define EFLAGS_ARITH (EFLAGS_CF | EFLAGS_PF | EFLAGS_AF | EFLAGS_ZF | EFLAGS_SF | EFLAGS_OF)
#define EFLAGS_HOST  (EFLAGS_ARITH | EFLAGS_DF)

/* Control registers, SDM Vol. 3A 2.5 */
#define CR0_PE	       0x00000001u
#define CR0_MP	       0x00000002u
#define CR0_EM	       0x00000004u
#define CR0_TS	       0x00000008u
#define CR0_ET	       0x00000010u
#define CR0_NE	       0x00000020u
#define CR0_WP	       0x00010000u
#define CR0_AM	       0x00040000u
#define CR0_NW	       0x20000000u
#define CR0_CD	       0x40000000u
#define CR0_PG	       0x80000000u
#define CR4_VME	       0x0001u
#define CR4_PVI	       0x0002u
#define CR4_TSD	       0x0004u
#define CR4_DE	       0x0008u
#define CR4_PSE	       0x0010u
#define CR4_PAE	       0x0020u
#define CR4_MCE	       0x0040u
#define CR4_PGE	       0x0080u
#define CR4_PCE	       0x0100u
#define CR4_OSFXSR     0x0200u
#define CR4_OSXMMEXCPT 0x0400u
#define EFER_SCE       0x001u
#define EFER_NXE       0x800u

/* Exception vectors, SDM Vol. 3A table 6-1 */
enum {
	EXC_DE = 0,
	EXC_DB = 1,
	EXC_NMI = 2,
	EXC_BP = 3,
	EXC_OF = 4,
	EXC_BR = 5,
	EXC_UD = 6,
	EXC_NM = 7,
	EXC_DF = 8,
	EXC_TS = 10,
	EXC_NP = 11,
	EXC_SS = 12,
	EXC_GP = 13,
	EXC_PF = 14,
	EXC_MF = 16,
	EXC_AC = 17,
	EXC_MC = 18,
	EXC_XM = 19,
};

/* #PF error code, SDM Vol. 3A 4.7 */
#define PFERR_P	   0x01u
#define PFERR_W	   0x02u
#define PFERR_U	   0x04u
#define PFERR_RSVD 0x08u
#define PFERR_I	   0x10u

/* General registers in ModRM order; segment registers in Sreg order. */
enum { REG_EAX, REG_ECX, REG_EDX, REG_EBX, REG_ESP, REG_EBP, REG_ESI, REG_EDI };
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/*
 * Segment attributes: bits 8..23 of a descriptor's high dword shifted down by 8 (the VMX access-rights layout),
 * with bits 8..11 (the limit's high nibble) cleared, and SEG_UNUSABLE for a null or never-loaded register.
 */
#define SEG_TYPE      0x000fu
#define SEG_TYPE_A    0x0001u /* accessed */
#define SEG_TYPE_W    0x0002u /* data: writable */
#define SEG_TYPE_R    0x0002u /* code: readable */
#define SEG_TYPE_E    0x0004u /* data: expand-down */
#define SEG_TYPE_C    0x0004u /* code: conforming */
#define SEG_TYPE_CODE 0x0008u
#define SEG_S	      0x0010u
#define SEG_DPL_SHIFT 5
#define SEG_DPL	      0x0060u
#define SEG_P	      0x0080u
#define SEG_AVL	      0x1000u
#define SEG_L	      0x2000u
#define SEG_DB	      0x4000u
#define SEG_G	      0x8000u
#define SEG_UNUSABLE  0x10000u

/* System descriptor types (S = 0), SDM Vol. 3A table 3-2 */
enum {
	DESC_TSS16_AVAIL = 1,
	DESC_LDT = 2,
	DESC_TSS16_BUSY = 3,
	DESC_CALL16 = 4,
	DESC_TASK_GATE = 5,
	DESC_INT16 = 6,
	DESC_TRAP16 = 7,
	DESC_TSS32_AVAIL = 9,
	DESC_TSS32_BUSY = 11,
	DESC_CALL32 = 12,
	DESC_INT32 = 14,
	DESC_TRAP32 = 15,
};

#endif
