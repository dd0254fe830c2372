/*
 * The tools of the shadow-paging tests (see shadow.h).
 */
#include "guestos/shadow/shadow.h"

/* Code labels are local to a file otherwise. */
asm(".globl u_read, u_write, u_done");
CODE(u_read, "mov (%ebx), %eax");
CODE(u_write, "mov %eax, (%ebx)");
CODE(u_done, "");

const struct who everybody[3] = {{"user", 3, P_U}, {"kernel", 0, 0}, {"kernel on a user's page", 0, P_U}};

void install(u32 lin, void *pt)
{
	memset(pt, 0, 4096);
	pde_set(lin, ADDR(pt) | RWU);
	write_cr3(read_cr3());
}

void mark_pages(u32 n)
{
	for (u32 i = 0; i < n; i++)
		*(volatile u32 *)page(i) = MARK + i;
}

struct space make_space(u32 n)
{
	struct space s;

	if (!pae()) {
		s.dir = page(n);
		s.cr3 = ADDR(s.dir);
		memcpy(s.dir, (void *)(uintptr_t)(read_cr3() & ~0xfffu), 4096);
	} else {
		u64 *pdpt = (u64 *)(uintptr_t)(read_cr3() & ~31u), *own = (u64 *)page(n + 1);

		s.dir = page(n);
		memcpy(own, pdpt, 32);
		memcpy(s.dir, (void *)(uintptr_t)(pdpt[0] & ~0xfffull), 4096);
		own[0] = ADDR(s.dir) | P_P;
		s.cr3 = ADDR(own);
	}
	return s;
}

void set_space_pde(const struct space *s, u32 lin, u64 e)
{
	set_entry(s->dir, pae() ? lin >> 21 & 511 : lin >> 22, e);
}

struct state touch(int ring, const u8 *code, u32 lin, u32 eax)
{
	struct state s = at_ring(code, ring);

	s.ebx = lin;
	s.eax = eax;
	run(&s);
	return s;
}

void reads(const struct who *w, u32 lin, u32 want, const char *what)
{
	struct state s = touch(w->ring, u_read, lin, 0);

	if (s.vec != V_END)
		fail("%s, %s: read of %x: trap %u error %x cr2 %x", what, w->name, lin, s.vec, s.err, s.cr2);
	else if (s.eax != want)
		fail("%s, %s: word at %x is %x, want %x", what, w->name, lin, s.eax, want);
}

void writes(const struct who *w, u32 lin, u32 value, const char *what)
{
	struct state s = touch(w->ring, u_write, lin, value);

	if (s.vec != V_END)
		fail("%s, %s: write of %x: trap %u error %x cr2 %x", what, w->name, lin, s.vec, s.err, s.cr2);
}

void faults_at(const struct state *s, u32 lin, u32 error, const void *eip, const char *what)
{
	if (trapped(s, V_PF, error, eip, what))
		EQ(s->cr2, lin, what);
}

void read_faults(const struct who *w, u32 lin, u32 error, const char *what)
{
	struct state s = touch(w->ring, u_read, lin, 0x77);

	faults_at(&s, lin, error | (w->ring ? 4 : 0), u_read, what);
	EQ(s.eax, 0x77, what);
}

void write_faults(const struct who *w, u32 lin, u32 error, const char *what)
{
	struct state s = touch(w->ring, u_write, lin, 0x88);

	faults_at(&s, lin, error | 2 | (w->ring ? 4 : 0), u_write, what);
}

void flush(u32 lin, u32 how)
{
	if (how & 1)
		write_cr3(read_cr3());
	else
		invlpg(lin);
}

u32 call_in(int ring, void *fn, u32 a, u32 b, u32 c)
{
	struct state s = at_ring(fn, ring);
	u32 *sp = (u32 *)(uintptr_t)s.esp - 4;

	sp[0] = ADDR(u_done);
	sp[1] = a;
	sp[2] = b;
	sp[3] = c;
	s.esp = ADDR(sp);
	run(&s);
	return ended(&s, "a function") ? s.eax : 0xdeadc0de;
}

u32 next_random(u32 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}
