/*
 * Guest memory as the monitor's C sees it: linear accesses with all checks, made before anything changes.
 */
#include "shadowpt/access.h"

#include "cache/smc.h"
#include "monitor/debug.h"
#include "monitor/exception.h"
#include "monitor/vm.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/walk.h"

/*
 * memcpy without vector registers: the guest's FPU state is live. Frames and descriptors go by words: what is stored so can be forwarded to
 * the guest's loads, and REP takes its time to start.
 */
static void copy(void *dst, const void *src, size_t n)
{
	u8 *d = dst;
	const u8 *s = src;
	if (n <= 64) {
		for (; n >= 4; n -= 4, d += 4, s += 4)
			*(volatile u32 *)d = *(const u32 *)s;
		for (; n; n--)
			*(volatile u8 *)d++ = *s++;
		return;
	}
	__asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}

void access_check(struct vcpu *v, u32 linear, u32 n, int acc)
{
	/* Operands above 8 bytes have alignment rules of their own (SDM Vol. 3A table 6-7). */
	if (access_checks_alignment(v) && (acc & ACC_USER)) {
		u32 align = n == 2 || n == 4 || n == 8 ? n
			    : n == 10		       ? 8
			    : n == 6		       ? 4
			    : n == 28 || n == 108      ? 4
			    : n == 14 || n == 94       ? 2
			    : n == 512		       ? 16
						       : 1;
		if (linear & (align - 1))
			raise_error(v, EXC_AC, 0);
	}
	for (int i = 0; i < 4; i++) {
		static const u8 lengths[4] = {1, 2, 8, 4};
		u32 rw = v->dr[7] >> (16 + 4 * i) & 3, len = lengths[v->dr[7] >> (18 + 4 * i) & 3];
		u32 at = v->dr[i] & ~(len - 1);
		if (!(v->dr[7] >> (2 * i) & 3) || !(rw & 1) || (rw == 1 && !(acc & ACC_WRITE)))
			continue;
		if (linear < at + len && at < linear + n)
			v->pending_db |= 1u << i;
	}
}

void access_phys_read(struct vcpu *v, u64 pa, void *buf, u32 n)
{
	u8 *p = ram_ptr(&v->vm->mem, pa), *out = buf;
	if (likely(p)) {
		copy(buf, p, n);
		return;
	}
	fpu_park(v);
	for (u32 size; n; n -= size, pa += size, out += size) {
		size = n >= 4 && !(pa & 3) ? 4 : n >= 2 && !(pa & 1) ? 2 : 1;
		u32 x = mmio_read(v->vm, pa, size);
		copy(out, &x, size);
	}
}

void access_phys_write(struct vcpu *v, u64 pa, const void *buf, u32 n)
{
	u8 *p = ram_ptr(&v->vm->mem, pa);
	const u8 *in = buf;
	if (likely(p && memory_is_writable(&v->vm->mem, pa))) {
		copy(p, buf, n);
		smc_phys_write(v->vm, pa, n);
		return;
	}
	if (p) {
		memory_write_special(v->vm, pa, buf, n);
		return;
	}
	fpu_park(v);
	for (u32 size; n; n -= size, pa += size, in += size) {
		u32 x = 0;
		size = n >= 4 && !(pa & 3) ? 4 : n >= 2 && !(pa & 1) ? 2 : 1;
		copy(&x, in, size);
		mmio_write(v->vm, pa, x, size);
	}
}

/* Both pages of an access are translated before either is touched. */
struct span {
	u64 pa[2];
	u32 first;
};

static void find_span(struct vcpu *v, u32 linear, u32 n, int acc, struct span *s)
{
	struct walk w;
	u32 in_page = PAGE_SIZE - (linear & PAGE_MASK);
	if (n <= in_page && softmmu_mmio(v, linear, acc, &s->pa[0])) {
		s->first = n;
		return;
	}
	int err = walk_translate(v, linear, acc, &w);
	if (err >= 0)
		raise_pf(v, linear, (u32)err);
	s->pa[0] = w.pa;
	s->first = n;
	if (n <= in_page)
		return;
	s->first = in_page;
	err = walk_translate(v, linear + in_page, acc, &w);
	if (err >= 0)
		raise_pf(v, linear + in_page, (u32)err);
	s->pa[1] = w.pa;
}

/* The same for an access that is made: what a debugger watches is never direct. */
static void translate(struct vcpu *v, u32 linear, u32 n, int acc, struct span *s)
{
	find_span(v, linear, n, acc, s);
	if (unlikely(v->debug != NULL))
		debug_touches(v, linear, n, acc & ACC_WRITE ? DEBUG_WRITES : DEBUG_READS);
}

/* The common case: within one page that is in RAM and directly accessible. */
static u8 *direct(struct vcpu *v, u32 linear, u32 n, int acc)
{
	u32 room;
	if ((linear & PAGE_MASK) + n > PAGE_SIZE)
		return NULL;
	/* A hit, here: descriptors, frames and operands of instructions that are emulated are read this way. */
	if (likely(!access_checks_alignment(v) && !access_has_watchpoints(v))) {
		const u64 *t = v->mmu->table[acc & ACC_USER ? MMU_USER : MMU_SUPERVISOR] + 2 * (u64)(linear >> PAGE_SHIFT);
		u64 delta = t[acc & ACC_WRITE ? MMU_HALF_ENTRIES : 0];
		if (likely(delta))
			return (u8 *)(delta + linear);
	}
	return softmmu_span(v, linear, acc, &room);
}

/* System structures are neither alignment-checked nor watched. */
static void check(struct vcpu *v, u32 linear, u32 n, int acc)
{
	if (unlikely(access_checks_alignment(v) || access_has_watchpoints(v)))
		access_check(v, linear, n, acc);
}

u64 lin_read(struct vcpu *v, u32 linear, unsigned size, int acc)
{
	check(v, linear, size, acc);
	u8 *p = direct(v, linear, size, acc);
	u64 x = 0;
	if (likely(p)) {
		switch (size) {
		case 1:
			return *p;
		case 2:
			return *(u16 *)p;
		case 4:
			return *(u32 *)p;
		default:
			return *(u64 *)p;
		}
	}
	struct span s;
	translate(v, linear, size, acc, &s);
	access_phys_read(v, s.pa[0], &x, s.first);
	if (size > s.first)
		access_phys_read(v, s.pa[1], (u8 *)&x + s.first, size - s.first);
	return x;
}

void lin_write(struct vcpu *v, u32 linear, u64 value, unsigned size, int acc)
{
	acc |= ACC_WRITE;
	check(v, linear, size, acc);
	u8 *p = direct(v, linear, size, acc);
	if (likely(p)) {
		switch (size) {
		case 1:
			*p = (u8)value;
			return;
		case 2:
			*(u16 *)p = (u16)value;
			return;
		case 4:
			*(u32 *)p = (u32)value;
			return;
		default:
			*(u64 *)p = value;
			return;
		}
	}
	struct span s;
	translate(v, linear, size, acc, &s);
	access_phys_write(v, s.pa[0], &value, s.first);
	if (size > s.first)
		access_phys_write(v, s.pa[1], (u8 *)&value + s.first, size - s.first);
}

void lin_read_buf(struct vcpu *v, u32 linear, void *buf, unsigned n, int acc)
{
	check(v, linear, n, acc);
	u8 *p = direct(v, linear, n, acc);
	if (likely(p)) {
		copy(buf, p, n);
		return;
	}
	struct span s;
	translate(v, linear, n, acc, &s);
	access_phys_read(v, s.pa[0], buf, s.first);
	if (n > s.first)
		access_phys_read(v, s.pa[1], (u8 *)buf + s.first, n - s.first);
}

void lin_write_buf(struct vcpu *v, u32 linear, const void *buf, unsigned n, int acc)
{
	acc |= ACC_WRITE;
	check(v, linear, n, acc);
	u8 *p = direct(v, linear, n, acc);
	if (likely(p)) {
		copy(p, buf, n);
		return;
	}
	struct span s;
	translate(v, linear, n, acc, &s);
	access_phys_write(v, s.pa[0], buf, s.first);
	if (n > s.first)
		access_phys_write(v, s.pa[1], (const u8 *)buf + s.first, n - s.first);
}

void lin_probe(struct vcpu *v, u32 linear, unsigned n, int acc)
{
	struct span s;
	find_span(v, linear, n, acc, &s);
}
