/*
 * Registers for the debugger: one table, from which numbers, sizes, XML and accesses come.
 *
 * The first are those, in the order, that a debugger expects of an i386 without being told; the system registers follow. Names are QEMU's.
 * System registers are there to be read: what the guest does to CR0 has consequences that a debugger does not foresee.
 */
#include "monitor/gdb_regs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/debug.h"
#include "monitor/segment.h"

enum kind { GPR, EIP, FLAGS, SELECTOR, ST, FPU_WORD, XMM, MXCSR, BASE, CONTROL, CR2, EFER };
enum feature { CORE, SSE, SYSTEM, FEATURES };
/* The x87's control registers, in the order of the protocol. */
enum { FCTRL, FSTAT, FTAG, FISEG, FIOFF, FOSEG, FOOFF, FOP };

/* X(name, bits, type, feature, kind, which) */
#define REGS(X)                                                                                                                            \
	X("eax", 32, "int32", CORE, GPR, REG_EAX)                                                                                          \
	X("ecx", 32, "int32", CORE, GPR, REG_ECX)                                                                                          \
	X("edx", 32, "int32", CORE, GPR, REG_EDX)                                                                                          \
	X("ebx", 32, "int32", CORE, GPR, REG_EBX)                                                                                          \
	X("esp", 32, "data_ptr", CORE, GPR, REG_ESP)                                                                                       \
	X("ebp", 32, "data_ptr", CORE, GPR, REG_EBP)                                                                                       \
	X("esi", 32, "int32", CORE, GPR, REG_ESI)                                                                                          \
	X("edi", 32, "int32", CORE, GPR, REG_EDI)                                                                                          \
	X("eip", 32, "code_ptr", CORE, EIP, 0)                                                                                             \
	X("eflags", 32, "i386_eflags", CORE, FLAGS, 0)                                                                                     \
	X("cs", 32, "int32", CORE, SELECTOR, SEG_CS)                                                                                       \
	X("ss", 32, "int32", CORE, SELECTOR, SEG_SS)                                                                                       \
	X("ds", 32, "int32", CORE, SELECTOR, SEG_DS)                                                                                       \
	X("es", 32, "int32", CORE, SELECTOR, SEG_ES)                                                                                       \
	X("fs", 32, "int32", CORE, SELECTOR, SEG_FS)                                                                                       \
	X("gs", 32, "int32", CORE, SELECTOR, SEG_GS)                                                                                       \
	X("st0", 80, "i387_ext", CORE, ST, 0)                                                                                              \
	X("st1", 80, "i387_ext", CORE, ST, 1)                                                                                              \
	X("st2", 80, "i387_ext", CORE, ST, 2)                                                                                              \
	X("st3", 80, "i387_ext", CORE, ST, 3)                                                                                              \
	X("st4", 80, "i387_ext", CORE, ST, 4)                                                                                              \
	X("st5", 80, "i387_ext", CORE, ST, 5)                                                                                              \
	X("st6", 80, "i387_ext", CORE, ST, 6)                                                                                              \
	X("st7", 80, "i387_ext", CORE, ST, 7)                                                                                              \
	X("fctrl", 32, "int", CORE, FPU_WORD, FCTRL)                                                                                       \
	X("fstat", 32, "int", CORE, FPU_WORD, FSTAT)                                                                                       \
	X("ftag", 32, "int", CORE, FPU_WORD, FTAG)                                                                                         \
	X("fiseg", 32, "int", CORE, FPU_WORD, FISEG)                                                                                       \
	X("fioff", 32, "int", CORE, FPU_WORD, FIOFF)                                                                                       \
	X("foseg", 32, "int", CORE, FPU_WORD, FOSEG)                                                                                       \
	X("fooff", 32, "int", CORE, FPU_WORD, FOOFF)                                                                                       \
	X("fop", 32, "int", CORE, FPU_WORD, FOP)                                                                                           \
	X("xmm0", 128, "vec128", SSE, XMM, 0)                                                                                              \
	X("xmm1", 128, "vec128", SSE, XMM, 1)                                                                                              \
	X("xmm2", 128, "vec128", SSE, XMM, 2)                                                                                              \
	X("xmm3", 128, "vec128", SSE, XMM, 3)                                                                                              \
	X("xmm4", 128, "vec128", SSE, XMM, 4)                                                                                              \
	X("xmm5", 128, "vec128", SSE, XMM, 5)                                                                                              \
	X("xmm6", 128, "vec128", SSE, XMM, 6)                                                                                              \
	X("xmm7", 128, "vec128", SSE, XMM, 7)                                                                                              \
	X("mxcsr", 32, "i386_mxcsr", SSE, MXCSR, 0)                                                                                        \
	X("fs_base", 32, "int32", SYSTEM, BASE, SEG_FS)                                                                                    \
	X("gs_base", 32, "int32", SYSTEM, BASE, SEG_GS)                                                                                    \
	X("cr0", 32, "i386_cr0", SYSTEM, CONTROL, 0)                                                                                       \
	X("cr2", 32, "data_ptr", SYSTEM, CR2, 0)                                                                                           \
	X("cr3", 32, "int32", SYSTEM, CONTROL, 3)                                                                                          \
	X("cr4", 32, "i386_cr4", SYSTEM, CONTROL, 4)                                                                                       \
	X("efer", 64, "i386_efer", SYSTEM, EFER, 0)

static const struct reg {
	const char *name;
	u8 bits;
	const char *type;
	u8 feature, kind, which;
} regs[] = {
#define X(name, bits, type, feature, kind, which) {name, bits, type, feature, kind, which},
	REGS(X)
#undef X
};

/* ---- the description ---- */

/* X(id, bytes, fields): bit names, F(name, bit). */
#define FLAG_TYPES(X)                                                                                                                      \
	X(CORE, "i386_eflags", 4,                                                                                                          \
	  F("CF", 0) F("", 1) F("PF", 2) F("AF", 4) F("ZF", 6) F("SF", 7) F("TF", 8) F("IF", 9) F("DF", 10) F("OF", 11) F("NT", 14)        \
		  F("RF", 16) F("VM", 17) F("AC", 18) F("VIF", 19) F("VIP", 20) F("ID", 21))                                               \
	X(SSE, "i386_mxcsr", 4,                                                                                                            \
	  F("IE", 0) F("DE", 1) F("ZE", 2) F("OE", 3) F("UE", 4) F("PE", 5) F("DAZ", 6) F("IM", 7) F("DM", 8) F("ZM", 9) F("OM", 10)       \
		  F("UM", 11) F("PM", 12) F("FZ", 15))                                                                                     \
	X(SYSTEM, "i386_cr0", 4,                                                                                                           \
	  F("PE", 0) F("MP", 1) F("EM", 2) F("TS", 3) F("ET", 4) F("NE", 5) F("WP", 16) F("AM", 18) F("NW", 29) F("CD", 30) F("PG", 31))   \
	X(SYSTEM, "i386_cr4", 4,                                                                                                           \
	  F("VME", 0) F("PVI", 1) F("TSD", 2) F("DE", 3) F("PSE", 4) F("PAE", 5) F("MCE", 6) F("PGE", 7) F("PCE", 8) F("OSFXSR", 9)        \
		  F("OSXMMEXCPT", 10) F("UMIP", 11) F("SMEP", 20) F("SMAP", 21))                                                           \
	X(SYSTEM, "i386_efer", 8, F("SCE", 0) F("LME", 8) F("LMA", 10) F("NXE", 11))

#define F(name, bit)	       "<field name=\"" name "\" start=\"" #bit "\" end=\"" #bit "\"/>"
#define TYPE(id, size, fields) "<flags id=\"" id "\" size=\"" #size "\">" fields "</flags>\n"

static const char vec128[] = "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>\n"
			     "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>\n"
			     "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>\n"
			     "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>\n"
			     "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>\n"
			     "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>\n"
			     "<union id=\"vec128\">"
			     "<field name=\"v4_float\" type=\"v4f\"/>"
			     "<field name=\"v2_double\" type=\"v2d\"/>"
			     "<field name=\"v16_int8\" type=\"v16i8\"/>"
			     "<field name=\"v8_int16\" type=\"v8i16\"/>"
			     "<field name=\"v4_int32\" type=\"v4i32\"/>"
			     "<field name=\"v2_int64\" type=\"v2i64\"/>"
			     "<field name=\"uint128\" type=\"uint128\"/>"
			     "</union>\n";

static const struct {
	u8 feature;
	const char *text;
} types[] = {{SSE, vec128},
#define X(feature, id, size, fields) {feature, TYPE(id, size, fields)},
	     FLAG_TYPES(X)
#undef X
};

static const struct {
	const char *name, *file;
} features[FEATURES] = {
	[CORE] = {"org.gnu.gdb.i386.core", "i386-core.xml"},
	[SSE] = {"org.gnu.gdb.i386.sse", "i386-sse.xml"},
	[SYSTEM] = {"org.ringer.i386.system", "i386-system.xml"},
};

static void print_target(FILE *f)
{
	fputs("<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target>\n<architecture>i386</architecture>\n", f);
	for (int i = 0; i < FEATURES; i++)
		fprintf(f, "<xi:include href=\"%s\"/>\n", features[i].file);
	fputs("</target>\n", f);
}

static void print_feature(FILE *f, enum feature n)
{
	unsigned number = 0;

	fprintf(f, "<?xml version=\"1.0\"?>\n<!DOCTYPE feature SYSTEM \"gdb-target.dtd\">\n<feature name=\"%s\">\n", features[n].name);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].feature == n)
			fputs(types[i].text, f);
	for (; number < ARRAY_SIZE(regs); number++) {
		const struct reg *r = &regs[number];

		if (r->feature == n)
			fprintf(f, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" regnum=\"%u\"%s/>\n", r->name, r->bits, r->type, number,
				r->kind == FPU_WORD ? " group=\"float\"" : "");
	}
	fputs("</feature>\n", f);
}

long gdb_xml(const char *name, size_t offset, char *buf, size_t n)
{
	char *text = NULL;
	size_t size = 0;
	int i = 0;
	FILE *f;

	if (strcmp(name, "target.xml") != 0) {
		while (i < FEATURES && strcmp(name, features[i].file) != 0)
			i++;
		if (i == FEATURES)
			return -1;
	} else {
		i = FEATURES;
	}
	f = open_memstream(&text, &size);
	if (!f)
		return -1;
	if (i == FEATURES)
		print_target(f);
	else
		print_feature(f, (enum feature)i);
	fclose(f);
	if (offset < size)
		memcpy(buf, text + offset, MIN(n, size - offset));
	free(text);
	return (long)size;
}

/* ---- accesses ---- */

#define FX_MXCSR 24
#define FX_ST	 32
#define FX_XMM	 160

unsigned gdb_reg_count(void)
{
	return ARRAY_SIZE(regs);
}

unsigned gdb_reg_size(unsigned n)
{
	return n < ARRAY_SIZE(regs) ? regs[n].bits / 8u : 0;
}

static u32 fx16(const struct vcpu *v, unsigned at)
{
	return (u32)v->fx[at] | (u32)v->fx[at + 1] << 8;
}

/* The tag of one register (SDM Vol. 1 8.1.7): valid, zero, special or empty. */
static u32 tag(const struct vcpu *v, unsigned physical)
{
	unsigned top = fx16(v, 2) >> 11 & 7;
	const u8 *st = v->fx + FX_ST + 16 * ((physical - top) & 7);
	u32 exponent;
	u64 mantissa;

	if (!(v->fx[4] >> physical & 1))
		return 3;
	memcpy(&mantissa, st, 8);
	exponent = ((u32)st[8] | (u32)st[9] << 8) & 0x7fff;
	if (!exponent && !mantissa)
		return 1;
	return exponent && exponent != 0x7fff && mantissa >> 63 ? 0 : 2;
}

static u32 fpu_word(const struct vcpu *v, unsigned which)
{
	u32 tags = 0;

	switch (which) {
	case FCTRL:
		return fx16(v, 0);
	case FSTAT:
		return fx16(v, 2);
	case FTAG:
		for (unsigned i = 0; i < 8; i++)
			tags |= tag(v, i) << (2 * i);
		return tags;
	case FISEG:
		return v->fpu_cs;
	case FIOFF:
		return v->fpu_ip;
	case FOSEG:
		return v->fpu_ds;
	case FOOFF:
		return v->fpu_dp;
	default:
		return v->fpu_op;
	}
}

static u64 value(struct vcpu *v, const struct reg *r)
{
	switch (r->kind) {
	case GPR:
		return v->regs[r->which];
	case EIP:
		return v->eip;
	case FLAGS:
		return vcpu_eflags(v);
	case SELECTOR:
		return v->seg[r->which].sel;
	case FPU_WORD:
		return fpu_word(v, r->which);
	case BASE:
		return v->seg[r->which].base;
	case CONTROL:
		return r->which == 0 ? v->cr0 : r->which == 3 ? v->cr3 : v->cr4;
	case CR2:
		return v->cr2;
	default:
		return v->efer;
	}
}

static u8 *fx_place(struct vcpu *v, const struct reg *r)
{
	switch (r->kind) {
	case ST:
		return v->fx + FX_ST + 16 * r->which;
	case XMM:
		return v->fx + FX_XMM + 16 * r->which;
	case MXCSR:
		return v->fx + FX_MXCSR;
	default:
		return NULL;
	}
}

unsigned gdb_reg_read(struct vcpu *v, unsigned n, u8 *out)
{
	unsigned size = gdb_reg_size(n);
	u64 x;

	if (!size)
		return 0;
	if (fx_place(v, &regs[n])) {
		memcpy(out, fx_place(v, &regs[n]), size);
	} else {
		x = value(v, &regs[n]);
		memcpy(out, &x, size);
	}
	return size;
}

/* VM goes with CPL and segments, which are not changed. */
static bool write_flags(struct vcpu *v, u32 x)
{
	if ((x ^ v->sysflags) & EFLAGS_VM)
		return false;
	vcpu_set_eflags(v, x);
	return true;
}

/* Real and virtual-8086 mode, where a selector is all that there is to a segment. */
static bool write_selector(struct vcpu *v, int seg, u32 x)
{
	if (x == v->seg[seg].sel)
		return true;
	if (x > 0xffff || ((v->cr0 & CR0_PE) && !(v->sysflags & EFLAGS_VM)))
		return false;
	segment_set(v, seg, x, x << 4, v->seg[seg].limit, v->seg[seg].attr);
	if (seg == SEG_CS)
		debug_moved(v);
	return true;
}

static bool write_fpu_word(struct vcpu *v, unsigned which, u32 x)
{
	u8 abridged = 0;

	if (x > 0xffff && which != FIOFF && which != FOOFF)
		return false;
	switch (which) {
	case FCTRL:
	case FSTAT:
		v->fx[which == FSTAT ? 2 : 0] = (u8)x;
		v->fx[which == FSTAT ? 3 : 1] = (u8)(x >> 8);
		break;
	case FTAG:
		for (unsigned i = 0; i < 8; i++)
			abridged |= (u8)(((x >> (2 * i) & 3) != 3) << i);
		v->fx[4] = abridged;
		break;
	case FISEG:
		v->fpu_cs = (u16)x;
		break;
	case FIOFF:
		v->fpu_ip = x;
		break;
	case FOSEG:
		v->fpu_ds = (u16)x;
		break;
	case FOOFF:
		v->fpu_dp = x;
		break;
	default:
		v->fpu_op = x & 0x7ff;
		break;
	}
	return true;
}

bool gdb_reg_write(struct vcpu *v, unsigned n, const u8 *in)
{
	const struct reg *r = &regs[n];
	u64 x = 0;

	if (n >= ARRAY_SIZE(regs))
		return false;
	memcpy(&x, in, MIN(r->bits / 8u, sizeof(x)));
	/* A reserved bit of MXCSR would fault when it is loaded. */
	if (r->kind == MXCSR && x > 0xffff)
		return false;
	if (fx_place(v, r)) {
		memcpy(fx_place(v, r), in, r->bits / 8u);
		return true;
	}
	switch (r->kind) {
	case GPR:
		v->regs[r->which] = (u32)x;
		return true;
	case EIP:
		if (v->eip != (u32)x)
			debug_moved(v);
		v->eip = (u32)x;
		return true;
	case FLAGS:
		return write_flags(v, (u32)x);
	case SELECTOR:
		return write_selector(v, r->which, (u32)x);
	case FPU_WORD:
		return write_fpu_word(v, r->which, (u32)x);
	case BASE:
		segment_set(v, r->which, v->seg[r->which].sel, (u32)x, v->seg[r->which].limit, v->seg[r->which].attr);
		return true;
	case CR2:
		v->cr2 = (u32)x;
		return true;
	default:
		return x == value(v, r);
	}
}
