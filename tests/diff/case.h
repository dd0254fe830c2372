/*
 * What the three programs of the differential test share: the driver (diff.c), the runner on the host's CPU (native.c) and the guest
 * kernel (guest.c).
 *
 * A batch is one contiguous image: struct batch, its cases, its results. The driver writes the cases, the native runner the results; then
 * the whole image is the guest's boot module, and the guest reports the cases whose result differs.
 *
 * Invariant: all members are u32 or u8, so that the layout is the same for 32-bit and 64-bit programs.
 */
#ifndef DIFF_CASE_H
#define DIFF_CASE_H

#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

/*
 * The memory that a case sees, the same on both sides. Everything else is unmapped (the guest kernel's own memory is a supervisor's).
 *	DATA + 0x1000 .. 0x3fff	data, read-write	DATA + 0x4000	read-only	(0 and 5 unmapped)
 *	DATA + 0x6000 .. 0x7fff	stack, read-write			(8 unmapped)
 *	DATA + 0x10000 .. 0x11fff	code, all INT3 but for the case's own
 *	0x2000 .. 0x3fff		data for 16-bit addresses	0x4000	read-only	(1 and 5 unmapped)
 */
#define DATA	  0x10000000u
#define STACK	  (DATA + 0x6000)
#define CODE_BASE (DATA + 0x10000)
#define LOW	  0x2000u

/*
 * FS and GS are in the LDT, so that their selectors are the same on both sides. FS ends in the middle of the read-only page; GS expands
 * down and begins with the first data page.
 */
#define SEL_FS	 0x0fu
#define SEL_GS	 0x17u
#define FS_BASE	 DATA
#define FS_LIMIT 0x47ffu
#define GS_BASE	 (DATA - 0x1000)
#define GS_LIMIT 0x1fffu

#define PAGES	   9 /* with contents that a batch brings along */
#define RW_PAGES   7 /* the first of them, writable */
#define CODE_PAGES 2
static const u32 page_address[PAGES] = {
	DATA + 0x1000, DATA + 0x2000, DATA + 0x3000, STACK, STACK + 0x1000, LOW, LOW + 0x1000, DATA + 0x4000, LOW + 0x2000,
};

#define FX_SIZE	  288 /* what 32-bit FXSAVE writes */
#define CODE_MAX  96
#define PLACE_MAX (CODE_MAX + 32) /* bytes from a case's start that it may have changed */
#define BYTES_MAX 32

struct state32 {
	u32 regs[8]; /* in encoding order */
	u32 eip, eflags;
	u8 fx[FX_SIZE];
};

struct test_case {
	struct state32 in;
	u32 length; /* of code[], which lies at in.eip */
	u8 code[CODE_MAX];
};

struct byte_change {
	u32 address, value;
};

struct result {
	struct state32 out;	/* normalized, see collect.h */
	u32 vector, error, cr2; /* of the exception that ended the case; cr2 is 0 but for a page fault */
	u32 changed;		/* bytes of memory that changed, the first BYTES_MAX of which are in bytes[] */
	u32 hash;		/* of all of them */
	struct byte_change bytes[BYTES_MAX];
	u8 insn[16];	   /* at out.eip, as the case left it */
	u32 fop, fip, fdp; /* not part of the comparison: what the image says about the last x87 instruction */
};

#define VECTOR_SYSCALL 0x100u /* a result's vector: the case attempted a system call of the host's */

#define BATCH_MAGIC 0x66696452u
struct batch {
	u32 magic, cases;
	u32 low; /* whether the low pages are there */
	u32 pad;
	u8 pristine[PAGES][4096];
};

static inline struct test_case *batch_cases(struct batch *b)
{
	return (struct test_case *)(b + 1);
}
static inline struct result *batch_results(struct batch *b)
{
	return (struct result *)(batch_cases(b) + b->cases);
}

/* The guest's report on its debug console: records of a u32 and, if it is not REPORT_END, a struct result; then struct report_end. */
#define REPORT_END 0xffffffffu
#define REPORT_MAX 4000 /* results; further mismatches are only counted */
struct report_end {
	u32 cases, mismatches, pointer_mismatches;
};

#endif
