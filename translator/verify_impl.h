/* What the verifier's own files share. Not for its users: they want verify.h. */
#ifndef RINGER_VERIFY_IMPL_H
#define RINGER_VERIFY_IMPL_H

#include <capstone/capstone.h>

#include "translator/mode.h"
#include "translator/verify.h"

#define V_MAX_INSNS  8192
#define V_MAX_BLOCKS 4096
#define V_NO_REG     0xff
#define V_RIP	     16 /* behind the sixteen general registers */

/* Prefixes, each at most once. */
enum { P_GS = 1, P_ADDR32 = 2, P_LOCK = 4, P_OPSIZE = 8, P_REP = 16, P_REPNE = 32 };

/* What an instruction does to its operands and to registers that it does not name (verify_table.h). */
enum {
	E_LISTED = 1,
	E_W0 = 2,    /* the first operand is written */
	E_W1 = 4,    /* the second one too */
	E_ONLY = 8,  /* the first operand, if it is a 32-bit register, is not read */
	E_AX = 0x10, /* implicitly read and written */
	E_CX = 0x20,
	E_DX = 0x40,
	E_WIDE = 0x80,	 /* AX and DX only if there is one operand */
	E_VEX = 0x100,	 /* VEX-encoded, as no other may be */
	E_FLOW = 0x200,	 /* control transfer */
	E_GLUE = 0x400,	 /* has a rule of its own */
	E_SENS = 0x800,	 /* of the seventeen, or IRET */
	E_FORB = 0x1000, /* never, and worth a name */
};

enum vop_type { VOP_NONE, VOP_GPR, VOP_VECTOR, VOP_IMM, VOP_MEM, VOP_OTHER };

struct vop {
	u8 type;
	u8 reg; /* VOP_GPR: 0..15; AH..BH count as 0..3 */
	u8 size;
	s64 imm;
};

struct vinsn {
	u16 off; /* from the TU's head */
	u8 length;
	u8 prefixes;
	u8 rex;
	u8 opcode; /* the byte behind prefixes and REX */
	bool vex;
	u8 ops;
	u16 id;
	u16 effect;
	struct vop op[4];
	/* The memory operand, if mem is its number and not V_NO_REG. */
	u8 mem, base, index, scale;
	s64 disp;
	/* E_FLOW, direct: where to, as an address */
	u64 target;
};

/*
 * Instructions that have been decoded, by their bytes: translated code says the same over and over, and Capstone takes a microsecond for
 * each. Only what its rules allow is in it.
 */
#define V_MEMO 8192
struct vmemo {
	u16 lengths[4096]; /* by a hash of the first three bytes: bit n, one of n bytes is in the memo */
	struct {
		u8 bytes[15], length; /* 0: empty */
		struct vinsn in;      /* targets relative to the instruction's end */
	} entry[V_MEMO];
};

/* Decodes the instruction at p, of which `avail` bytes are there and which runs at address `at`. */
enum verify_rule verify_decode(csh cs, cs_insn *scratch, const u8 *p, size_t avail, u64 at, struct vinsn *in);
/* The same, with a memo. */
enum verify_rule verify_decode_memo(struct vmemo *memo, csh cs, cs_insn *scratch, const u8 *p, size_t avail, u64 at, struct vinsn *in);

/* ---- abstract values ---- */

enum kind {
	K_TOP, /* any 64 bits */
	/* The guest's: zero-extended 32 bits. Value `id`; `bits` may be set in it; exact: it is `bits` */
	K_U32,
	K_PAGE,	      /* page number of value `id` */
	K_LASTPAGE,   /* page number of (value `id` + size - 1), up to 2^20 */
	K_INDEX,      /* their sum */
	K_LOW16,      /* the low 16 bits of value `id`: index of a jump cache that is not flat */
	K_SYS,	      /* sysflags */
	K_SYS_PACKED, /* without IF, PEXTed */
	K_SYS_NO_IF,
	K_SYS_IF, /* with IF set */
	K_LAST_U32 = K_SYS_IF,
	/* The host's. */
	K_LAST,	     /* value `id` + size - 1 */
	K_DELTA,     /* read from the flat table for an access of `size` to value `id`: 0 for a miss */
	K_DELTA_HIT, /* the same, and not 0 */
	K_WINDOW,    /* window_base */
	K_STRING,    /* that + a guest's 32 bits */
	K_STRING_END,
	K_JC,	     /* entries of the jump cache */
	K_JC_ENTRY,  /* that of the EIP which is value `id` */
	K_JC_TARGET, /* its head, or thunk_exit_jc */
	K_COUNTER,   /* a count in the vCPU, whose offset is `id` */
	K_COUNTED,   /* that + 1 */
	K_TIME,	     /* any 64 bits made of the TSC, its line and the guest's: of no use but as a guest's 32 bits */
	K_FLAGS,     /* RFLAGS as PUSHFQ leaves it */
};

struct value {
	u8 kind;
	bool exact; /* K_U32 */
	bool write; /* K_DELTA: of the write half */
	u16 size;
	u32 bits;
	u32 id; /* which value it is: where it was made; 0: nobody knows */
};

struct vstate {
	struct value r[16];
	struct value pushed; /* if depth is 1 */
	u8 depth;	     /* quadwords on the host's stack */
	u8 bounced;	     /* slot + 1 of the bounce buffer that waits for its commit, or 0 */
};

/* A straight run of instructions. */
struct vblock {
	u16 off;
	u16 first; /* index of its first instruction */
	bool known;
	u8 colour;
	struct vstate in;
};

struct verifier {
	csh cs;
	cs_insn *scratch;
	struct vmemo memo;
	/* Of the TU in hand */
	struct vcpu *v;
	const struct tu *tu;
	const u8 *code;
	u32 length;
	u32 first_emu;
	struct vinsn insn[V_MAX_INSNS];
	u32 insns;
	struct vblock block[V_MAX_BLOCKS];
	u32 blocks;
	u16 starts[TU_MAX_HOST];   /* by offset: instruction + 1 that begins there */
	u16 covers[TU_MAX_HOST];   /* instruction + 1 that the byte belongs to */
	u16 block_at[TU_MAX_HOST]; /* block + 1 that begins there */
	u16 work[V_MAX_BLOCKS], order[V_MAX_BLOCKS];
};

/* Which thunk an address is, and what it takes (verify_rules.c). */
bool verify_is_thunk(u64 address, bool call);
bool verify_returns_twice(u64 address);
static inline bool value_is_u32(const struct value *x)
{
	return x->kind >= K_U32 && x->kind <= K_LAST_U32;
}

/* ---- verify_rules.c ---- */

/* The state that a TU is entered with; at_head: with EIP in r8. */
void vstate_entry(struct vstate *s, bool at_head);
/* Into what an earlier path left at `off`. */
enum verify_rule vstate_join(struct vstate *into, const struct vstate *from, u32 off);
/*
 * Runs one instruction. The state is that of falling through; *branch is that of the way to in->target, if there is one within the TU, or
 * for a thunk that returns twice, of the second return.
 */
enum verify_rule vstate_step(struct verifier *r, struct vstate *s, const struct vinsn *in, struct vstate *branch);

#endif
