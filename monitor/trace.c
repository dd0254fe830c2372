/*
 * What -d int, cpu, exec and mmu print.
 *
 * Invariant: nothing here changes the guest's state. The file is HOT: guest FPU state may be in the registers, and only what
 * trace_print calls may use them.
 */
#include "monitor/trace.h"

#include "cache/tc.h"
#include "monitor/exception.h"
#include "monitor/vm.h"
#include "translator/mode.h"

static const u32 host_mxcsr = 0x1f80;

void trace_print(const char *fmt, ...)
{
	u8 image[512] __attribute__((aligned(64)));
	u32 env[7];
	va_list ap;

	/* Some hosts keep FIP and FDP out of FXSAVE; the environment has them. */
	__asm__ volatile("fxsave64 %0\n\tfnstenv %1\n\tfninit\n\tldmxcsr %2" : "=m"(image), "=m"(env) : "m"(host_mxcsr) : "memory");
	va_start(ap, fmt);
	log_vprint(fmt, ap);
	va_end(ap);
	/* FLDENV waits for exceptions, so it comes while there are none; FXRSTOR does not. */
	__asm__ volatile("fldenv %0\n\tfxrstor64 %1" : : "m"(env), "m"(image) : "memory");
}

static const char *vector_name(int vector)
{
	static const char *const names[] = {"#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", NULL,
					    "#TS", "#NP", "#SS", "#GP", "#PF", NULL,  "#MF", "#AC", "#MC", "#XM"};

	return vector >= 0 && vector < (int)ARRAY_SIZE(names) && names[vector] ? names[vector] : "";
}

void trace_interrupt(const struct vcpu *v, int vector, int kind, bool has_error, u32 error)
{
	static const char *const kinds[] = {
		[INTR_EXTERNAL] = "external interrupt", [INTR_EXCEPTION] = "exception", [INTR_SOFTWARE] = "software interrupt"};
	const char *name = kind == INTR_EXCEPTION || vector == EXC_NMI ? vector_name(vector) : "";
	u32 flags = vcpu_eflags(v), sp = v->regs[REG_ESP];

	/* What is printed with an error code is #PF's CR2, too, as nobody else's means anything. */
	if (has_error && vector == EXC_PF)
		trace_print("int %02x %s %s error %04x cr2 %08x\n  from %04x:%08x ss:esp %04x:%08x efl %08x cpl %u\n", vector, kinds[kind],
			    name, error, v->cr2, v->seg[SEG_CS].sel, v->eip, v->seg[SEG_SS].sel, sp, flags, v->cpl);
	else if (has_error)
		trace_print("int %02x %s %s error %04x\n  from %04x:%08x ss:esp %04x:%08x efl %08x cpl %u\n", vector, kinds[kind], name,
			    error, v->seg[SEG_CS].sel, v->eip, v->seg[SEG_SS].sel, sp, flags, v->cpl);
	else
		trace_print("int %02x %s%s%s\n  from %04x:%08x ss:esp %04x:%08x efl %08x cpl %u\n", vector, kinds[kind], *name ? " " : "",
			    name, v->seg[SEG_CS].sel, v->eip, v->seg[SEG_SS].sel, sp, flags, v->cpl);
}

void trace_interrupted(const struct vcpu *v)
{
	trace_print("    to %04x:%08x ss:esp %04x:%08x efl %08x cpl %u\n", v->seg[SEG_CS].sel, v->eip, v->seg[SEG_SS].sel, v->regs[REG_ESP],
		    vcpu_eflags(v), v->cpl);
}

bool trace_wants(const struct vcpu *v, u32 eip)
{
	const struct options *o = &v->vm->opt;

	return log_in_ranges(o->log_ranges, o->log_range_count, v->seg[SEG_CS].base + eip);
}

void trace_registers(const struct vcpu *v)
{
	static const struct {
		u32 bit;
		char letter;
	} letters[] = {{EFLAGS_DF, 'D'}, {EFLAGS_OF, 'O'}, {EFLAGS_SF, 'S'}, {EFLAGS_ZF, 'Z'},
		       {EFLAGS_AF, 'A'}, {EFLAGS_PF, 'P'}, {EFLAGS_CF, 'C'}};
	const u32 *r = v->regs;
	u32 efl = vcpu_eflags(v);
	char flags[ARRAY_SIZE(letters) + 1];

	for (unsigned i = 0; i < ARRAY_SIZE(letters); i++)
		flags[i] = efl & letters[i].bit ? letters[i].letter : '-';
	flags[ARRAY_SIZE(letters)] = '\0';
#define SEGMENT	  "%04x %08x %08x %08x\n"
#define FIELDS(n) v->seg[n].sel, v->seg[n].base, v->seg[n].limit, v->seg[n].attr
	trace_print("EAX=%08x EBX=%08x ECX=%08x EDX=%08x\nESI=%08x EDI=%08x EBP=%08x ESP=%08x\n"
		    "EIP=%08x EFL=%08x [%s] CPL=%u II=%d A20=%d HLT=%d\n"
		    "ES =" SEGMENT "CS =" SEGMENT "SS =" SEGMENT "DS =" SEGMENT "FS =" SEGMENT "GS =" SEGMENT "LDT=" SEGMENT "TR =" SEGMENT
		    "GDT=     %08x %08x\nIDT=     %08x %08x\nCR0=%08x CR2=%08x CR3=%08x CR4=%08x\n",
		    r[REG_EAX], r[REG_EBX], r[REG_ECX], r[REG_EDX], r[REG_ESI], r[REG_EDI], r[REG_EBP], r[REG_ESP], v->eip, efl, flags,
		    v->cpl, v->shadow != SHADOW_NONE, v->vm->mem.a20_open, v->halted, FIELDS(SEG_ES), FIELDS(SEG_CS), FIELDS(SEG_SS),
		    FIELDS(SEG_DS), FIELDS(SEG_FS), FIELDS(SEG_GS), FIELDS(SEG_LDTR), FIELDS(SEG_TR), v->gdtr.base, v->gdtr.limit,
		    v->idtr.base, v->idtr.limit, v->cr0, v->cr2, v->cr3, v->cr4);
#undef SEGMENT
#undef FIELDS
}

void trace_enter(const struct vcpu *v, u64 host)
{
	if (!trace_wants(v, v->eip))
		return;
	trace_to(LOG_EXEC, "exec %04x:%08x host %08x mode %x%s%s\n", v->seg[SEG_CS].sel, v->eip, (u32)host, v->mode,
		 v->mode & MODE_DIRECT ? " direct" : "", v->mode & MODE_SINGLE ? " single" : "");
	if (log_on(LOG_CPU))
		trace_registers(v);
}

/* An entry of the guest's tables as the walk found it; all ones where no memory is. */
static u64 entry_at(const struct vcpu *v, u64 pa, bool wide)
{
	const u8 *p = ram_ptr(&v->vm->mem, v->vm->mem.a20_open ? pa : pa & ~(1ull << 20));

	if (!p)
		return wide ? ~0ull : 0xffffffffu;
	return wide ? *(const u64 *)p : *(const u32 *)p;
}

void trace_walk(const struct vcpu *v, u32 linear, int acc, u32 error)
{
	const char *what = acc & ACC_WRITE ? "write" : acc & ACC_EXEC ? "fetch" : "read", *who = acc & ACC_USER ? "user" : "supervisor";
	bool pae = v->cr4 & CR4_PAE;
	u64 top = pae ? v->pdpte[linear >> 30] : v->cr3 | 1, pde = 0, pte = 0;

	if (top & 1)
		pde = entry_at(v, (top & 0xffffff000ull) + (pae ? (linear >> 21 & 0x1ff) * 8 : (linear >> 22) * 4), pae);
	if ((pde & 1) && !((pde & 0x80) && (pae || (v->cr4 & CR4_PSE))))
		pte = entry_at(v, (pde & 0xffffff000ull) + (pae ? (linear >> 12 & 0x1ff) * 8 : (linear >> 12 & 0x3ff) * 4), pae);
	if (pae)
		trace_print("mmu: %s %s of %08x faults: error %04x cr3 %08x pdpte %llx pde %llx pte %llx\n", who, what, linear, error,
			    v->cr3, (unsigned long long)top, (unsigned long long)pde, (unsigned long long)pte);
	else
		trace_print("mmu: %s %s of %08x faults: error %04x cr3 %08x pde %08x pte %08x\n", who, what, linear, error, v->cr3,
			    (u32)pde, (u32)pte);
}
