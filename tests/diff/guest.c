/*
 * The guest kernel of the differential test: runs each case of its boot module at CPL 3 with paging on, and reports on the debug console
 * the results that differ from those in the module (the host CPU's).
 *
 * Invariants: interrupts are all masked at the PIC, so that cases run with IF = 1 undisturbed; nothing between a case's end and its FXSAVE
 * touches the FPU.
 */
#include "guestos/lib/lib.h"
#include "tests/diff/collect.h"

#define DEBUG_PORT 0xe9
#define MBI_MODS   (1u << 3)
#define MSR_EFER   0xc0000080
#define EFER_NXE   0x800
/* As Linux has them, so that what a case pushes is the same on both sides; SEL_TSS of the library lies there. */
#define LINUX_UCS 0x23
#define LINUX_UDS 0x2b
#define TSS_MOVED SEL_FREE

static u8 pages[PAGES][4096] __attribute__((aligned(4096)));
static u8 code[CODE_PAGES][4096] __attribute__((aligned(4096)));
static u8 fx[512] __attribute__((aligned(16)));

static void put(const void *data, u32 n)
{
	asm volatile("rep outsb" : "+S"(data), "+c"(n) : "d"(DEBUG_PORT) : "memory");
}

/* The first 128 MiB one to one in 2 MiB pages (the library's map ends at 16 MiB), and the case's memory. */
static void map_all(const struct batch *b)
{
	paging_set(PG_PAE);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	for (u32 a = 16u << 20; a < 128u << 20; a += 2u << 20)
		pde_set(a, a | P_P | P_W | P_PS);
	for (unsigned i = 0; i < PAGES; i++)
		map(page_address[i], pages[i], P_P | P_U | P_NX | (i < RW_PAGES ? P_W : 0));
	for (unsigned i = 0; i < CODE_PAGES; i++)
		map(CODE_BASE + i * 4096, code[i], P_P | P_U | P_W);
	/* The library lets user code at some of its memory. */
	for (u32 a = 0; a < 16u << 20; a += 4096)
		if (pte_get(a) & P_U && (a < LOW || a >= LOW + 0x3000))
			pte_set(a, pte_get(a) & ~(u64)P_U);
	pte_set(0x1000, 0);
	pte_set(LOW + 0x3000, 0);
	write_cr3(read_cr3());
	write_cr0(read_cr0() | CR0_AM);
	memset(code, 0xcc, sizeof(code));
	memcpy(pages, b->pristine, sizeof(pages));
}

/* As in native.c. */
static void place(const struct test_case *c, int there)
{
	for (u32 i = 0; i < PLACE_MAX; i++) {
		u32 at = c->in.eip + i - CODE_BASE;
		u8 *p = (u8 *)code + at, now = there && i < c->length ? c->code[i] : 0xcc;

		if (at < sizeof(code) && *p != now)
			*p = now;
	}
}

static void run_case(const struct batch *b, const struct test_case *c, struct result *r)
{
	const u32 *regs = c->in.regs;
	struct state s = {
		.eax = regs[0],
		.ecx = regs[1],
		.edx = regs[2],
		.ebx = regs[3],
		.esp = regs[4],
		.ebp = regs[5],
		.esi = regs[6],
		.edi = regs[7],
		.eip = c->in.eip,
		.eflags = c->in.eflags,
		.cs = LINUX_UCS,
		.ss = LINUX_UDS,
		.ds = LINUX_UDS,
		.es = LINUX_UDS,
		.fs = SEL_FS,
		.gs = SEL_GS,
	};

	place(c, 1);
	memcpy(fx, c->in.fx, FX_SIZE);
	asm volatile("fxrstor %0" : : "m"(fx));
	run(&s);
	asm volatile("fxsave %0" : "=m"(fx));
	memset(r, 0, sizeof(*r));
	r->out = (struct state32){{s.eax, s.ecx, s.edx, s.ebx, s.esp, s.ebp, s.esi, s.edi}, s.eip, s.eflags, {0}};
	memcpy(r->out.fx, fx, FX_SIZE);
	collect_insn(r);
	place(c, 0);
	r->vector = s.vec;
	r->error = s.err;
	r->cr2 = s.cr2;
	collect_memory(b, r);
	normalize(r);
}

void kernel_main(const char *cmdline)
{
	const u32 *mbi = (const u32 *)(uintptr_t)boot_info;
	struct report_end end = {0};
	struct batch *b;
	u32 marker = REPORT_END;
	static struct result r;

	(void)cmdline;
	if (!(mbi[0] & MBI_MODS) || !mbi[5]) {
		print("no module\n");
		machine_exit(1);
	}
	b = (struct batch *)(uintptr_t)((const u32 *)(uintptr_t)mbi[6])[0];
	if (b->magic != BATCH_MAGIC) {
		print("bad module\n");
		machine_exit(1);
	}
	pic_mask(0xffff);
	gdt_set(LINUX_UCS & ~7, desc(0, 0xfffff, ACC_CODE | ACC_ACCESSED | ACC_DPL(3), 0xc));
	gdt_set(LINUX_UDS & ~7, desc(0, 0xfffff, ACC_DATA | ACC_ACCESSED | ACC_DPL(3), 0xc));
	/* The host's kernel's data: no selector of a case's may have it. */
	gdt_set(UCS & ~7, desc(0, 0xfffff, ACC_DATA, 0xc));
	gdt_set(TSS_MOVED, desc(ADDR(&tss), sizeof(tss) - 1, 0x89, 0));
	asm volatile("ltr %w0" : : "r"(TSS_MOVED));
	ldt[SEL_FS >> 3] = desc(FS_BASE, FS_LIMIT, ACC_DATA | ACC_DPL(3), 4);
	ldt[SEL_GS >> 3] = desc(GS_BASE, GS_LIMIT, ACC_DATA | 4 | ACC_DPL(3), 4);
	map_all(b);
	for (u32 i = 0; i < b->cases; i++) {
		const struct result *expected = &batch_results(b)[i];

		run_case(b, &batch_cases(b)[i], &r);
		if (r.fop != expected->fop || r.fip != expected->fip || r.fdp != expected->fdp)
			end.pointer_mismatches++;
		if (first_difference(&r, expected, offsetof(struct result, fop) / 4) == offsetof(struct result, fop) / 4)
			continue;
		if (end.mismatches++ < REPORT_MAX) {
			put(&i, sizeof(i));
			put(&r, sizeof(r));
		}
	}
	end.cases = b->cases;
	put(&marker, sizeof(marker));
	put(&end, sizeof(end));
}
