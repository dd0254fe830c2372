/*
 * The library of the guest kernels: console, descriptor tables, traps, running code in a given state, page tables, timer.
 *
 * Its centre is run(): load a complete register state (any ring, any segments), go, and come back with the complete state at the first
 * exception, interrupt or `int $0xf0`. A test is a state, a piece of code made with CODE(), and comparisons.
 */
#ifndef GUESTOS_LIB_H
#define GUESTOS_LIB_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;

/* The register state of a piece of code; the layout is known to boot.S. vec, err and cr2 are set by a trap only. */
struct state {
	u32 eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 eip, eflags;
	u32 cs, ss, ds, es, fs, gs;
	u32 vec, err, cr2;
};

enum {
	KCS = 0x08,
	KDS = 0x10,
	UCS = 0x1b,
	UDS = 0x23,
	SEL_TSS = 0x28,
	SEL_LDT = 0x30,
	SEL_FREE = 0x40, /* first of the entries that tests may fill */
	GDT_ENTRIES = 64,
	LDT_ENTRIES = 16,
};

enum {
	FL_CF = 1,
	FL_ONE = 2,
	FL_PF = 4,
	FL_AF = 0x10,
	FL_ZF = 0x40,
	FL_SF = 0x80,
	FL_TF = 0x100,
	FL_IF = 0x200,
	FL_DF = 0x400,
	FL_OF = 0x800,
	FL_IOPL = 0x3000,
	FL_NT = 0x4000,
	FL_RF = 0x10000,
	FL_VM = 0x20000,
	FL_AC = 0x40000,
	FL_ID = 0x200000,
	FL_ARITH = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF,
};

enum {
	V_DE,
	V_DB,
	V_NMI,
	V_BP,
	V_OF,
	V_BR,
	V_UD,
	V_NM,
	V_DF,
	V_TS = 10,
	V_NP,
	V_SS,
	V_GP,
	V_PF,
	V_MF = 16,
	V_AC,
	V_XM = 19,
	V_IRQ0 = 0x20,
	V_SYS = 0x80,
	V_END = 0xf0, /* ends a run(); callable from every ring */
};

enum {
	CR0_PE = 1,
	CR0_MP = 2,
	CR0_EM = 4,
	CR0_TS = 8,
	CR0_NE = 0x20,
	CR0_WP = 0x10000,
	CR0_AM = 0x40000,
	CR0_PG = 0x80000000u,
	CR4_TSD = 4,
	CR4_DE = 8,
	CR4_PSE = 0x10,
	CR4_PAE = 0x20,
	CR4_PGE = 0x80,
	CR4_PCE = 0x100,
	CR4_OSFXSR = 0x200,
	CR4_OSXMMEXCPT = 0x400,
};

/* Code that a run() can enter, in memory that both rings reach. `name_at` is the place of interest, if the text defines it. */
#define CODE(name, text)                                                                                                                   \
	extern u8 name[], name##_at[], name##_end[];                                                                                       \
	asm(".pushsection .utext,\"ax\"\n.balign 16\n" #name ":\n" text "\n" #name "_end:\n\tint $0xf0\n\t.popsection\n")

/* Data and C functions that ring 3 can reach. */
#define UDATA __attribute__((section(".udata")))
#define UTEXT __attribute__((section(".utext"), noinline))

#define ADDR(p) ((u32)(uintptr_t)(p))

/* boot.S */
extern u8 trap_stubs[256][16];
extern u8 run_iret[];
extern u8 tss_stack_top[];
extern struct state *run_state;

/* Loads *s and runs it to the first trap that no hook takes; *s is then the state at that trap. Not re-entrant. */
void run(struct state *s);

/* con.c: console, strings, ports, the end of the machine. */
static inline void outb(u16 port, u8 v)
{
	asm volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline u8 inb(u16 port)
{
	u8 v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline void outw(u16 port, u16 v)
{
	asm volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}
static inline void outl(u16 port, u32 v)
{
	asm volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}
static inline u32 inl(u16 port)
{
	u32 v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

void con_init(void);
void con_putc(char c);
int con_getc(void); /* -1: nothing there */
void vprint(const char *fmt, va_list ap);
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* %d %u %x %s %c with width and zero padding; always terminates; returns the length. */
int snprint(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vsnprint(char *buf, size_t size, const char *fmt, va_list ap);
void machine_exit(int code) __attribute__((noreturn)); /* debug exit: the runner's status is code * 2 + 1 */
void machine_off(void) __attribute__((noreturn));
void machine_reset(void) __attribute__((noreturn));
void *memcpy(void *d, const void *s, size_t n);
void *memmove(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
const char *strstr(const char *hay, const char *needle);

/* cpu.c: tables and traps. */
struct tss {
	u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
	u32 es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
	u8 bitmap[8192 + 1];
} __attribute__((packed));

struct pseudo {
	u16 limit;
	u32 base;
} __attribute__((packed));

extern u64 gdt[GDT_ENTRIES], ldt[LDT_ENTRIES], idt[256];
extern struct tss tss;
extern struct pseudo gdtr, idtr;
extern u8 stack0[8192], stack3[8192];
/* Per vector; returns 1 to resume at *s (which it may change), 0 to leave the trap to the run in progress. */
extern int (*trap_hook[256])(struct state *s);

void cpu_init(void);
/* access: the byte of type, S, DPL, P; flags: G (8), D/B (4). limit in the unit that G says. */
u64 desc(u32 base, u32 limit, u8 access, u8 flags);
u64 gate(u16 sel, u32 off, u8 type, u8 dpl); /* type 0xc call, 0xe interrupt, 0xf trap */
void gdt_set(u16 sel, u64 d);
void idt_reset(void); /* all entries as cpu_init left them */
/* The default state of a piece of code in a ring: flat segments, the ring's stack, marked registers, IF as the command line wants it. */
struct state at_ring(const void *code, int ring);
void trap_c(void);

#define ACC_CODE     0x9a
#define ACC_DATA     0x92
#define ACC_ACCESSED 1
#define ACC_DPL(n)   ((n) << 5)

static inline u32 read_cr0(void)
{
	u32 v;

	asm volatile("mov %%cr0, %0" : "=r"(v));
	return v;
}
static inline void write_cr0(u32 v)
{
	asm volatile("mov %0, %%cr0" ::"r"(v) : "memory");
}
static inline u32 read_cr3(void)
{
	u32 v;

	asm volatile("mov %%cr3, %0" : "=r"(v));
	return v;
}
static inline void write_cr3(u32 v)
{
	asm volatile("mov %0, %%cr3" ::"r"(v) : "memory");
}
static inline u32 read_cr4(void)
{
	u32 v;

	asm volatile("mov %%cr4, %0" : "=r"(v));
	return v;
}
static inline void write_cr4(u32 v)
{
	asm volatile("mov %0, %%cr4" ::"r"(v) : "memory");
}
static inline void invlpg(u32 lin)
{
	asm volatile("invlpg (%0)" ::"r"(lin) : "memory");
}
static inline u64 rdtsc(void)
{
	u64 v;

	asm volatile("rdtsc" : "=A"(v));
	return v;
}
static inline u64 rdmsr(u32 msr)
{
	u64 v;

	asm volatile("rdmsr" : "=A"(v) : "c"(msr));
	return v;
}
static inline void wrmsr(u32 msr, u64 v)
{
	asm volatile("wrmsr" ::"A"(v), "c"(msr) : "memory");
}
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}
u32 cpuid_edx1(void);
u32 cpuid_ecx1(void);

/* paging.c: an identity map of the first 16 MiB, and a window for tests. */
enum paging { PG_OFF, PG_32, PG_PAE };
enum {
	P_P = 1,
	P_W = 2,
	P_U = 4,
	P_A = 0x20,
	P_D = 0x40,
	P_PS = 0x80,
	P_G = 0x100,
	TW = 0x10000000, /* linear address of the test window: 256 pages */
	TW_PAGES = 256,
	SCRATCH = 32,
};
#define P_NX (1ull << 63)

extern u8 scratch[SCRATCH][4096]; /* physical pages for tests; their identity mapping is the supervisor's */

enum paging paging_mode(void);
void paging_set(enum paging mode); /* builds fresh tables, switches to them; CR4.PSE, PGE and EFER.NXE end up clear */
u64 pte_get(u32 lin);
void pte_set(u32 lin, u64 e); /* does not flush */
u64 pde_get(u32 lin);
void pde_set(u32 lin, u64 e);
void *pte_ptr(u32 lin);
void map(u32 lin, const void *phys, u64 flags); /* sets and flushes one page */
void unmap_window(void);			/* empties the test window and flushes */

/* timer.c: PIC, PIT, the tick. */
enum { HZ = 100 };
extern volatile u32 ticks, uptime_us; /* uptime_us wraps after 71 minutes */
extern void (*tick_hook)(struct state *s);
void timer_init(void);
void pic_mask(u16 mask); /* bit n set: IRQ n masked */
void pit_hz(u32 hz);

/* Provided by each kernel. */
void kernel_main(const char *cmdline);
extern u32 boot_magic, boot_info;
extern char boot_cmdline[512];
extern int boot_qemu; /* the loader calls itself "qemu" */
extern u32 boot_mem_kb;
extern int no_irq; /* "noirq" on the command line: code runs with IF=0 and there is no watchdog */
void kernel_entry(void);

#endif
