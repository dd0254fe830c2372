/*
 * The listing of a translation unit: each guest instruction, then the host code that it became, hot part and cold stubs, each host
 * instruction that is not merely the guest's own with a remark.
 *
 *	0x00101234  9d                    popfd                                ; expanded
 *	    10000204  31  mov r10d, [r14+sysflags]         ; IF and the other system flags live in sysflags
 *	    ...
 *	  cold: table miss
 *
 * Invariants: the bytes are read back, not remembered, so the listing is of what will run. It reaches the log in one piece.
 */
#include "translator/listing.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "translator/disasm.h"
#include "translator/xlate.h"

struct listing {
	const struct xlate *x;
	struct vcpu *v;
	const struct tu *tu;
	FILE *f;
	bool guest, host;
	u8 code[16]; /* of the guest instruction in hand */
	u32 target;  /* what the last mov r8d, imm32 has put there */
	bool known;  /* ... and nothing since */
};

/* What stands in a host instruction, and what there is to say of it. The first that fits counts. */
static const struct {
	const char *in, *remark;
} remarks[] = {
	{"thunk_miss_write", "fills the flat table, or gives a buffer to work on: r9 = its address minus r8"},
	{"thunk_miss", "walks the guest's tables: #PF, or r9 = host minus linear address"},
	{"thunk_commit", "what is in the buffer goes to where it belongs"},
	{"thunk_seg", "checks segment limit and rights: r8d = linear address"},
	{"thunk_head_miss", "another EIP was asked for: to the dispatcher"},
	{"thunk_exit_chain", "to the dispatcher, which makes a chain of this exit"},
	{"thunk_sti_exit", "an event waits, for one more instruction: to the dispatcher"},
	{"jmp thunk_exit_jc", "to the dispatcher"},
	{"xor [r14+sysflags]", "IF lives in sysflags: it changes here"},
	{"mov [r14+sysflags]", "IF lives in sysflags: it changes here"},
	{"[r14+sysflags]", "IF, IOPL, NT, AC, ID live in sysflags"},
	{"test r10d, 0x247500", "TF DF IOPL NT AC ID: is it more than IF that changes?"},
	{"test r10d, 0x7500", "TF DF IOPL NT: is it more than IF that changes?"},
	{"[r14+step]", "1, or -1 if DF is set"},
	{"[r14+events]", "does an event wait?"},
	{"[r14+mask_host]", "only CF PF AF ZF SF DF OF are the guest's in RFLAGS"},
	{"[r14+mask_no_if]", "without IF; PEXT and PDEP leave the flags alone"},
	{".full_read]", "0: the segment wants a check"},
	{".full_write]", "0: the segment wants a check"},
	{".base]", "segment base"},
	{"[r14+misaligned]", "#GP"},
	{"[r14+insns]", "counts the instruction"},
	{"mov r9, [r14+jc]", "the jump cache in use; while an event waits, one that faults"},
	{"mov r9d, [r9]", "a safepoint"},
	{"[r13+", "flat table: host minus linear address, 0 if the page is not there"},
	{"gs:[", "the guest's memory, by the window"},
	{"[r9+r8", "the guest's memory, by the flat table"},
	{"mov r10, rcx", "ecx is put aside: jrcxz tests without flags"},
	{"mov rcx, r10", "ecx is back"},
	{"popfq", "RFLAGS has the guest's arithmetic flags and DF"},
	{"pushfq", "RFLAGS has the guest's arithmetic flags and DF"},
	{"lea r15d", "r15d is the guest's ESP"},
	{"jmp r9", "to the target, or to the dispatcher if the jump cache has none"},
	{"shrx", "the page's number"},
};

static u32 get_u32(u32 at)
{
	u32 x;

	memcpy(&x, (const void *)(u64)at, 4);
	return x;
}

/* The direct exit whose branch ends at rx address `end`, or NULL. */
static const struct tu_exit *exit_at(const struct listing *l, u32 end)
{
	const struct tc *tc = l->v->tc;

	for (u32 i = 0; i < l->tu->exit_count; i++)
		if (tc->exits[l->tu->exits + i].site + 4 == end)
			return &tc->exits[l->tu->exits + i];
	return NULL;
}

static const char *const cold_names[] = {
	[COLD_READ] = "miss of a read",	 [COLD_WRITE] = "miss of a write",   [COLD_SEG] = "segment check",
	[COLD_CALLOUT] = "callout",	 [COLD_EXIT] = "branch taken",	     [COLD_CHAIN] = "exit, not chained yet",
	[COLD_STI] = "event behind STI", [COLD_EVENT] = "event behind POPF",
};

/* The thunk that a stub calls first. */
static const char *stub_thunk(const struct cold *c)
{
	static const char *const miss[2][2] = {{"thunk_miss0", "thunk_miss1"}, {"thunk_miss_write0", "thunk_miss_write1"}};
	static const char *const seg[2] = {"thunk_seg0", "thunk_seg1"};

	switch (c->kind) {
	case COLD_READ:
	case COLD_WRITE:
		return miss[c->kind == COLD_WRITE][c->slot];
	case COLD_SEG:
		return seg[c->slot];
	case COLD_CALLOUT:
		return "thunk_callout";
	case COLD_CHAIN:
		return "thunk_exit_chain";
	case COLD_STI:
		return "thunk_sti_exit";
	default:
		return "thunk_exit_jc";
	}
}

/* The stub that begins at rx address `to`, or NULL. */
static const struct cold *stub_at(const struct listing *l, u32 to)
{
	for (unsigned i = 0; i < l->x->cold_count; i++)
		if (l->x->cold[i].start == to)
			return &l->x->cold[i];
	return NULL;
}

static void find_remark(struct listing *l, u32 at, u32 length, const char *text, char *remark, size_t size)
{
	u32 end = at + length, nop = disasm_nop_target((const u8 *)(u64)at, length);
	const struct tu_exit *e = exit_at(l, end);
	const struct cold *c = NULL;

	remark[0] = '\0';
	if (nop)
		c = stub_at(l, nop);
	else if (length >= 5 && text[0] == 'j')
		c = stub_at(l, end + get_u32(end - 4));
	if (e)
		snprintf(remark, size, "-> 0x%08x (chain)", e->target_eip);
	else if (c)
		snprintf(remark, size, "%s -> %s", nop && c->kind != COLD_SEG ? "miss" : cold_names[c->kind], stub_thunk(c));
	else if (strstr(text, "thunk_callout") && l->known && l->target < l->v->tc->emu_count)
		snprintf(remark, size, "%s", disasm_handler(l->v, l->target));
	else if (strstr(text, "mov r10, [r14+jc]") && l->known)
		snprintf(remark, size, "-> 0x%08x (jump cache)", l->target);
	else if (strstr(text, "mov r10, [r14+jc]"))
		snprintf(remark, size, "-> r8d (jump cache)");
	for (size_t i = 0; !remark[0] && i < ARRAY_SIZE(remarks); i++)
		if (strstr(text, remarks[i].in))
			snprintf(remark, size, "%s", remarks[i].remark);
}

static void print_host(struct listing *l, u32 from, u32 to)
{
	u32 length;

	l->known = false;
	for (u32 at = from; at < to; at += length) {
		char text[DISASM_MAX], remark[128];
		bool ok = true;

		length = disasm_host_insn(l->v, l->tu, at, to, text, &ok);
		find_remark(l, at, length, text, remark, sizeof(remark));
		fprintf(l->f, remark[0] ? "    %08x  +%02x  %-40s ; %s\n" : "    %08x  +%02x  %s\n", at, at - l->tu->head, text, remark);
		if (!length)
			return;
		if (strncmp(text, "mov r8d, 0x", 11) == 0) {
			l->target = get_u32(at + length - 4);
			l->known = true;
		} else if (strncmp(text, "mov r9d, 0x", 11) != 0) {
			l->known = false;
		}
	}
}

/* The guest's bytes from offset `from` of the TU on; how many there are. */
static u32 read_guest(struct listing *l, u32 from)
{
	const struct memory *m = &l->v->vm->mem;
	u32 n = MIN((u32)l->tu->guest_len - from, 15);

	for (u32 i = 0; i < n; i++) {
		u32 in_page = PAGE_SIZE - ((u32)l->tu->pa & PAGE_MASK);
		u64 pa = (l->tu->flags & TU_STRADDLES) && from + i >= in_page ? l->tu->pa2 + (from + i - in_page) : l->tu->pa + from + i;
		const u8 *p = ram_ptr(m, pa);

		l->code[i] = p ? *p : 0xff;
	}
	return n;
}

static void print_guest(struct listing *l, u32 number)
{
	const struct tu_insn *in = tu_insn(l->v->tc, l->tu, number);
	bool last = number + 1 == l->tu->insn_count;
	u32 n = read_guest(l, in->guest_off), eip = l->tu->eip + in->guest_off;
	char text[DISASM_MAX], bytes[48] = "";

	if (!last)
		n = tu_insn(l->v->tc, l->tu, number + 1)->guest_off - (u32)in->guest_off;
	u32 length = disasm_guest_at(text, sizeof(text), l->code, n, l->tu->mode & MODE_CS32, eip);
	for (u32 i = 0; i < (length ? length : 1) && i < 15; i++)
		snprintf(bytes + 3 * i, sizeof(bytes) - 3 * i, "%02x ", l->code[i]);
	if (!l->guest)
		fprintf(l->f, "  -- guest 0x%08x\n", eip);
	else
		fprintf(l->f, "  0x%08x  %-24s %s\n", eip, bytes, text);
}

static void print_insn(struct listing *l, u32 number)
{
	const struct tu *tu = l->tu;
	const struct tu_insn *in = tu_insn(l->v->tc, tu, number);
	u32 end = number + 1 < tu->insn_count ? tu->head + tu_insn(l->v->tc, tu, number + 1)->host_off : tu->cold;

	print_guest(l, number);
	if (!l->host)
		return;
	if (tu->head + in->host_off == end)
		fprintf(l->f, "    (nothing)\n");
	print_host(l, tu->head + in->host_off, end);
	for (unsigned i = 0; i < l->x->cold_count; i++) {
		const struct cold *c = &l->x->cold[i];

		if (c->insn != number)
			continue;
		fprintf(l->f, "    cold: %s\n", cold_names[c->kind]);
		print_host(l, c->start, i + 1 < l->x->cold_count ? l->x->cold[i + 1].start : tu->end);
	}
}

void listing_print(const struct xlate *x)
{
	struct listing l = {.x = x, .v = x->v, .tu = x->tu, .guest = log_on(LOG_IN_ASM), .host = log_on(LOG_OUT_ASM)};
	char *text = NULL;
	size_t size;

	if (!trace_wants(x->v, x->tu->eip))
		return;
	l.f = open_memstream(&text, &size);
	if (!l.f)
		return;
	fprintf(l.f, "----------------\nTU 0x%08x pa 0x%llx cpl %u %s-bit %s host 0x%08x\n", x->tu->eip, (unsigned long long)x->tu->pa,
		x->tu->mode & MODE_CPL, x->tu->mode & MODE_CS32 ? "32" : "16", x->tu->mode & MODE_DIRECT ? "direct" : "checked",
		x->tu->head);
	if (l.host && x->tu->body != x->tu->head)
		print_host(&l, x->tu->head, x->tu->body);
	for (u32 i = 0; i < x->tu->insn_count; i++)
		print_insn(&l, i);
	if (fclose(l.f) == 0)
		log_print("%s", text);
	free(text);
}
