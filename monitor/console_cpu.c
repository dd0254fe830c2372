/*
 * info registers, mem, tlb, cpus, jit, stats, windows, status, version, name.
 *
 * Invariant: page tables are read as they are in memory; nothing in them changes, and what lies outside RAM counts as absent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/tc.h"
#include "monitor/console_internal.h"
#include "monitor/profile.h"
#include "monitor/stats.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"
#include "shadowpt/window.h"

/* ---- info registers: QEMU's layout ---- */

/* System descriptors by type, as QEMU names them. */
static const char *const system_types[16] = {
	"Reserved", "TSS16-avl", "LDT",	     "TSS16-busy", "CallGate16", "TaskGate", "IntGate16", "TrapGate16",
	"Reserved", "TSS32-avl", "Reserved", "TSS32-busy", "CallGate32", "Reserved", "IntGate32", "TrapGate32",
};

/* Bits 8..23 of a descriptor's high dword, with the limit's, in their places. */
static u32 descriptor_flags(const struct segment *s)
{
	u32 limit = s->attr & SEG_G ? s->limit >> PAGE_SHIFT : s->limit;

	return (s->attr & 0xf0ff) << 8 | (limit & 0xf0000);
}

static void show_segment(const struct vcpu *v, const char *name, int n, struct text *out)
{
	const struct segment *s = &v->seg[n];
	u32 type = s->attr & SEG_TYPE;

	text_printf(out, "%-3s=%04x %08x %08x %08x", name, s->sel, s->base, s->limit, s->attr & SEG_UNUSABLE ? 0 : descriptor_flags(s));
	if (!(v->cr0 & CR0_PE) || !(s->attr & SEG_P) || (s->attr & SEG_UNUSABLE)) {
		text_add(out, "\n", 1);
		return;
	}
	text_printf(out, " DPL=%u ", (s->attr & SEG_DPL) >> SEG_DPL_SHIFT);
	if (!(s->attr & SEG_S))
		text_printf(out, "%s\n", system_types[type]);
	else if (type & SEG_TYPE_CODE)
		text_printf(out, "CS%s [%c%c%c]\n", s->attr & SEG_DB ? "32" : "16", type & SEG_TYPE_C ? 'C' : '-',
			    type & SEG_TYPE_R ? 'R' : '-', type & SEG_TYPE_A ? 'A' : '-');
	else
		text_printf(out, "DS%s [%c%c%c]\n", s->attr & SEG_DB ? "  " : "16", type & SEG_TYPE_E ? 'E' : '-',
			    type & SEG_TYPE_W ? 'W' : '-', type & SEG_TYPE_A ? 'A' : '-');
}

static u64 bytes_at(const u8 *p, unsigned n)
{
	u64 value = 0;

	memcpy(&value, p, n);
	return value;
}

/* From the FXSAVE image (SDM Vol. 1 table 10-2), whose ST(i) are relative to the top of the stack; shown are the physical registers. */
static void show_fpu(const struct vcpu *v, struct text *out)
{
	u32 status = (u32)bytes_at(v->fx + 2, 2), top = status >> 11 & 7;

	text_printf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", (u32)bytes_at(v->fx, 2), status, top, v->fx[4],
		    (u32)bytes_at(v->fx + 24, 4));
	for (u32 i = 0; i < 8; i++) {
		const u8 *st = v->fx + 32 + 16 * ((i - top) & 7);

		text_printf(out, "FPR%u=%016llx %04x%c", i, (unsigned long long)bytes_at(st, 8), (u32)bytes_at(st + 8, 2),
			    i & 1 ? '\n' : ' ');
	}
	for (u32 i = 0; i < 8; i++) {
		const u8 *xmm = v->fx + 160 + 16 * i;

		text_printf(out, "XMM%02u=%016llx %016llx%c", i, (unsigned long long)bytes_at(xmm + 8, 8),
			    (unsigned long long)bytes_at(xmm, 8), i & 1 ? '\n' : ' ');
	}
}

static void show_flags(const struct vcpu *v, struct text *out)
{
	static const struct {
		u32 bit;
		char letter;
	} letters[] = {{EFLAGS_DF, 'D'}, {EFLAGS_OF, 'O'}, {EFLAGS_SF, 'S'}, {EFLAGS_ZF, 'Z'},
		       {EFLAGS_AF, 'A'}, {EFLAGS_PF, 'P'}, {EFLAGS_CF, 'C'}};
	u32 flags = vcpu_eflags(v);

	text_printf(out, "EIP=%08x EFL=%08x [", v->eip, flags);
	for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
		text_add(out, flags & letters[i].bit ? &letters[i].letter : "-", 1);
	text_printf(out, "] CPL=%u II=%d A20=%d SMM=0 HLT=%d\n", v->cpl, v->shadow != SHADOW_NONE, v->vm->mem.a20_open, v->halted);
}

static void info_registers(struct console_call *c)
{
	static const struct {
		const char *name;
		int n;
	} segments[] = {{"ES", SEG_ES}, {"CS", SEG_CS}, {"SS", SEG_SS},	   {"DS", SEG_DS},
			{"FS", SEG_FS}, {"GS", SEG_GS}, {"LDT", SEG_LDTR}, {"TR", SEG_TR}};
	const struct vcpu *v = c->vm->vcpu;
	const u32 *r = v->regs;
	struct text *out = &c->out;
	char all[8];

	/* One CPU: with or without -a it is the same. */
	if (console_more(c) && (!console_word(c, "option", all, sizeof(all)) || !console_end(c)))
		return;
	text_printf(out, "\nCPU#0\nEAX=%08x EBX=%08x ECX=%08x EDX=%08x\n", r[REG_EAX], r[REG_EBX], r[REG_ECX], r[REG_EDX]);
	text_printf(out, "ESI=%08x EDI=%08x EBP=%08x ESP=%08x\n", r[REG_ESI], r[REG_EDI], r[REG_EBP], r[REG_ESP]);
	show_flags(v, out);
	for (size_t i = 0; i < ARRAY_SIZE(segments); i++)
		show_segment(v, segments[i].name, segments[i].n, out);
	text_printf(out, "GDT=     %08x %08x\nIDT=     %08x %08x\n", v->gdtr.base, v->gdtr.limit, v->idtr.base, v->idtr.limit);
	text_printf(out, "CR0=%08x CR2=%08x CR3=%08x CR4=%08x\n", v->cr0, v->cr2, v->cr3, v->cr4);
	text_printf(out, "DR0=%08x DR1=%08x DR2=%08x DR3=%08x \nDR6=%08x DR7=%08x\n", v->dr[0], v->dr[1], v->dr[2], v->dr[3], v->dr[6],
		    v->dr[7]);
	text_printf(out, "EFER=%016llx\n", (unsigned long long)v->efer);
	show_fpu(v, out);
}

/* ---- info mem, info tlb ---- */

#define PTE_P	 0x001u
#define PTE_W	 0x002u
#define PTE_U	 0x004u
#define PTE_PS	 0x080u
#define PTE_NX	 (1ull << 63)
#define PTE_ADDR 0x000ffffffffff000ull

/* One mapping: of a page, or of a large one. entry: the leaf; rights: U and W of all levels. */
typedef void mapping_fn(void *opaque, u32 linear, u64 size, u64 entry, u32 rights);

static u64 entry_at(const struct vcpu *v, u64 pa, unsigned size)
{
	u64 entry = 0;

	return console_read(v, true, pa, &entry, size) ? entry : 0;
}

static void walk_tables(const struct vcpu *v, mapping_fn *fn, void *opaque)
{
	bool pae = v->cr4 & CR4_PAE;
	unsigned size = pae ? 8 : 4, per_table = PAGE_SIZE / size, large_shift = pae ? 21 : 22;

	for (u32 d = 0; d < (4096u >> (large_shift - 20)); d++) {
		u64 linear = (u64)d << large_shift, pde, pte;
		u64 table = pae ? v->pdpte[d / per_table] : v->cr3 | PTE_P;

		if (!(table & PTE_P))
			continue;
		pde = entry_at(v, (table & PTE_ADDR) + d % per_table * size, size);
		if (!(pde & PTE_P))
			continue;
		if ((pde & PTE_PS) && (pae || (v->cr4 & CR4_PSE))) {
			fn(opaque, (u32)linear, 1ull << large_shift, pde, pde & (PTE_U | PTE_W));
			continue;
		}
		for (u32 t = 0; t < per_table; t++) {
			pte = entry_at(v, (pde & PTE_ADDR) + t * size, size);
			if (pte & PTE_P)
				fn(opaque, (u32)(linear + t * PAGE_SIZE), PAGE_SIZE, pte, pde & pte & (PTE_U | PTE_W));
		}
	}
}

static bool paging_is_on(struct console_call *c)
{
	if (!(c->vm->vcpu->cr0 & CR0_PG))
		console_printf(c, "PG disabled\n");
	return c->vm->vcpu->cr0 & CR0_PG;
}

/* A range of one kind of rights, as it grows. */
struct range {
	struct text *out;
	u64 start, end;
	u32 rights;
};

static void show_range(struct range *r)
{
	if (r->end > r->start)
		text_printf(r->out, "%016llx-%016llx %016llx %cr%c\n", (unsigned long long)r->start, (unsigned long long)r->end,
			    (unsigned long long)(r->end - r->start), r->rights & PTE_U ? 'u' : '-', r->rights & PTE_W ? 'w' : '-');
}

static void grow_range(void *opaque, u32 linear, u64 size, u64 entry, u32 rights)
{
	struct range *r = opaque;

	(void)entry;
	if (r->end != linear || r->rights != rights || r->start == r->end) {
		show_range(r);
		r->start = linear;
		r->rights = rights;
	}
	r->end = linear + size;
}

static void info_mem(struct console_call *c)
{
	struct range r = {.out = &c->out};

	if (!console_end(c) || !paging_is_on(c))
		return;
	walk_tables(c->vm->vcpu, grow_range, &r);
	show_range(&r);
}

static void show_mapping(void *opaque, u32 linear, u64 size, u64 entry, u32 rights)
{
	static const struct {
		u64 bit;
		char letter;
	} letters[] = {{PTE_NX, 'X'}, {0x100, 'G'}, {PTE_PS, 'P'}, {0x40, 'D'}, {0x20, 'A'},
		       {0x10, 'C'},   {0x08, 'T'},  {PTE_U, 'U'},  {PTE_W, 'W'}};
	u64 pa = entry & PTE_ADDR & ~(size - 1);
	char text[ARRAY_SIZE(letters) + 1] = "";

	(void)rights;
	if (size == PAGE_SIZE)
		entry &= ~(u64)PTE_PS; /* the memory type's, in an entry of a page table */
	else if (size > 2u << 20)
		pa |= (entry >> 13 & 0xf) << 32;
	for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
		text[i] = entry & letters[i].bit ? letters[i].letter : '-';
	text_printf(opaque, "%016x: %016llx %s\n", linear, (unsigned long long)pa, text);
}

static void info_tlb(struct console_call *c)
{
	if (console_end(c) && paging_is_on(c))
		walk_tables(c->vm->vcpu, show_mapping, &c->out);
}

/* ---- what Ringer makes of it ---- */

static void print_text(void *opaque, const char *text)
{
	console_printf(opaque, "%s", text);
}

static void info_jit(struct console_call *c)
{
	if (console_end(c))
		jit_info(c->vm, print_text, c);
}

static void info_windows(struct console_call *c)
{
	const struct vcpu *v = c->vm->vcpu;
	const struct stats *s = &v->stats;

	if (!console_end(c))
		return;
	if (!v->windows) {
		console_printf(c, "there are no windows: all code runs checked\n");
		return;
	}
	console_printf(c, "in use              %s\n",
		       v->window ? v->cpl == 3 ? "a user's" : "the supervisor's" : "none: code runs checked");
	console_printf(c, "address space       %s\n", v->user_window ? "has a window" : "has none of its own");
	console_printf(c, "windows made        %llu\n", (unsigned long long)s->windows_made);
	console_printf(c, "evicted, given up   %llu, %llu\n", (unsigned long long)s->windows_evicted,
		       (unsigned long long)s->windows_demoted);
	console_printf(c, "hidden faults       %llu, %llu pages in %llu mappings\n", (unsigned long long)s->window_fills,
		       (unsigned long long)s->window_pages, (unsigned long long)s->window_mappings);
	console_printf(c, "zaps, resets        %llu, %llu\n", (unsigned long long)s->window_zaps, (unsigned long long)s->window_resets);
	console_printf(c, "left out            %llu regions that differ between address spaces\n", (unsigned long long)s->regions_avoided);
	console_printf(c, "guilty              %llu instructions\n", (unsigned long long)s->guilty);
	console_printf(c, "table writes        %llu\n", (unsigned long long)s->table_writes);
}

static void info_stats(struct console_call *c)
{
	char *text = NULL;
	size_t n;
	FILE *f;

	if (!console_end(c))
		return;
	f = open_memstream(&text, &n);
	if (!f) {
		console_printf(c, "info stats: %m\n");
		return;
	}
	stats_print(&c->vm->vcpu->stats, f);
	fclose(f);
	text_add(&c->out, text, n);
	free(text);
}

static void info_cpus(struct console_call *c)
{
	if (console_end(c))
		console_printf(c, "* CPU #0: thread_id=%ld%s\n", syscall(SYS_gettid), c->vm->vcpu->halted ? " (halted)" : "");
}

/* ---- the rest ---- */

static void info_status(struct console_call *c)
{
	enum runstate s = c->vm->run.state;

	if (!console_end(c))
		return;
	console_printf(c, "VM status: %s", s == RUNSTATE_RUNNING ? "running" : "paused");
	if (s != RUNSTATE_RUNNING && s != RUNSTATE_PAUSED)
		console_printf(c, " (%s)", runstate_name(s));
	console_printf(c, "\n");
}

static void info_version(struct console_call *c)
{
	if (console_end(c))
		console_printf(c, "%s\n", RINGER_VERSION);
}

static void info_name(struct console_call *c)
{
	if (console_end(c) && c->vm->opt.name)
		console_printf(c, "%s\n", c->vm->opt.name);
}

const struct console_cmd console_cpu_info[] = {
	{"info registers", "", "show the CPU's registers", CONSOLE_ON_VCPU, info_registers, NULL},
	{"info mem", "", "show the active linear memory mappings", CONSOLE_ON_VCPU, info_mem, NULL},
	{"info tlb", "", "show the mappings of linear to physical memory, by page", CONSOLE_ON_VCPU, info_tlb, NULL},
	{"info cpus", "", "show the CPU", CONSOLE_ON_VCPU, info_cpus, NULL},
	{"info jit", "", "show the translation cache, and the profile if there is one", CONSOLE_ON_VCPU, info_jit, NULL},
	{"info windows", "", "show what the direct memory flavour does", CONSOLE_ON_VCPU, info_windows, NULL},
	{"info stats", "", "show all counters", CONSOLE_ON_VCPU, info_stats, NULL},
	{"info status", "", "show whether the machine runs", 0, info_status, NULL},
	{"info version", "", "show the version of Ringer", 0, info_version, NULL},
	{"info name", "", "show the machine's name", 0, info_name, NULL},
	{0},
};
