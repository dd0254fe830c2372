/* The emulated divisions, of every width, against this host's: quotient, remainder and #DE. */
#include <setjmp.h>
#include <signal.h>

#include "monitor/emulate.h"
#include "tests/unit/vm_harness.h"

static sigjmp_buf failed;

static void on_sigfpe(int sig)
{
	(void)sig;
	siglongjmp(failed, 1);
}

/* False for #DE. */
static bool host_divides(bool is_signed, unsigned size, u32 *a, u32 *d, u32 c)
{
	if (sigsetjmp(failed, 1))
		return false;
	switch (size | is_signed << 3) {
	case 1:
		asm volatile("divb %b1" : "+a"(*a) : "c"(c) : "cc");
		break;
	case 2:
		asm volatile("divw %w2" : "+a"(*a), "+d"(*d) : "c"(c) : "cc");
		break;
	case 4:
		asm volatile("divl %2" : "+a"(*a), "+d"(*d) : "c"(c) : "cc");
		break;
	case 9:
		asm volatile("idivb %b1" : "+a"(*a) : "c"(c) : "cc");
		break;
	case 10:
		asm volatile("idivw %w2" : "+a"(*a), "+d"(*d) : "c"(c) : "cc");
		break;
	case 12:
		asm volatile("idivl %2" : "+a"(*a), "+d"(*d) : "c"(c) : "cc");
		break;
	}
	return true;
}

static void compare(bool is_signed, unsigned size, u32 eax, u32 edx, u32 ecx)
{
	static struct emu_insn i;
	static u32 a, d;
	static bool ok;
	int vector;

	i = (struct emu_insn){.opsize = (u8)size, .rm = REG_ECX};
	a = eax;
	d = edx;
	v->regs[REG_EAX] = eax;
	v->regs[REG_EDX] = edx;
	v->regs[REG_ECX] = ecx;
	ok = host_divides(is_signed, size, &a, &d, ecx);
	vector = CATCH(is_signed ? emu_idiv(v, &i) : emu_div(v, &i));
	if (vector != (ok ? -1 : EXC_DE) || v->regs[REG_EAX] != (ok ? a : eax) || v->regs[REG_EDX] != (ok ? d : edx))
		ck_abort_msg("%s, size %u, of %x:%x by %x: vector %d, %x:%x; the host has %s, %x:%x", is_signed ? "idiv" : "div", size, edx,
			     eax, ecx, vector, v->regs[REG_EDX], v->regs[REG_EAX], ok ? "no error" : "#DE", d, a);
}

static void setup(void)
{
	machine_create();
	signal(SIGFPE, on_sigfpe);
}

static void teardown(void)
{
	signal(SIGFPE, SIG_DFL);
	machine_destroy();
}

/* All signs and magnitudes, those near the limits of a quotient more than others. */
START_TEST(like_the_host)
{
	static const u32 edges[] = {0,		1,	    2,	    3,		7,	    0x7e,	0x7f,	   0x80,
				    0x81,	0xff,	    0x100,  0x7fff,	0x8000,	    0x8001,	0xffff,	   0x7fffffff,
				    0x80000000, 0x80000001, 0xff80, 0xffffff80, 0xffff8000, 0xfffffffe, 0xffffffff};
	const unsigned n = ARRAY_SIZE(edges);
	static const unsigned sizes[] = {1, 2, 4};
	u64 seed = 1;

	for (unsigned k = 0; k < 2 * ARRAY_SIZE(sizes); k++) {
		for (unsigned e = 0; e < n * n * n; e++)
			compare(k & 1, sizes[k / 2], edges[e % n], edges[e / n % n], edges[e / n / n]);
		for (unsigned e = 0; e < 20000; e++) {
			u64 x = seed = seed * 6364136223846793005ull + 1442695040888963407ull;

			compare(k & 1, sizes[k / 2], (u32)(x >> 32), (u32)((s32)(x >> 16) >> (x >> 59)), (u32)((s32)x >> (x >> 54 & 31)));
		}
	}
}
END_TEST

Suite *division_suite(void)
{
	Suite *s = suite_create("division");
	TCase *t = tcase_create("division");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, like_the_host);
	suite_add_tcase(s, t);
	return s;
}
