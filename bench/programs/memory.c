/* Rows about page tables and code: faults, copies on write, changes of permissions, code that is rewritten. */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define PAGE	  4096
#define TOUCHED	  512
#define TOUCHES	  4
#define COPIED	  512
#define FLIPS	  2000
#define REWRITES  2000
#define READ_ONLY PROT_READ
#define WRITABLE  (PROT_READ | PROT_WRITE)

static u8 *map(u32 pages, int protection)
{
	u8 *p = mmap(NULL, pages * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		bench_fail("no memory");
	return p;
}

/* An operation: a page that is mapped, touched and unmapped. */
u32 row_page_fault(void)
{
	u32 i, k, sum = 0;

	for (k = 0; k < TOUCHES; k++) {
		u8 *p = map(TOUCHED, WRITABLE);

		madvise(p, TOUCHED * PAGE, MADV_NOHUGEPAGE);
		for (i = 0; i < TOUCHED; i++)
			p[i * PAGE] = (u8)i;
		for (i = 0; i < TOUCHED; i++)
			sum += p[i * PAGE];
		munmap(p, TOUCHED * PAGE);
	}
	return sum;
}

/* An operation: a page that a child writes to and gets its own copy of; the fork is shared by all of them. */
u32 row_copy_on_write(void)
{
	static u8 *p;
	u32 i;
	int status;
	pid_t pid;

	if (!p) {
		p = map(COPIED, WRITABLE);
		madvise(p, COPIED * PAGE, MADV_NOHUGEPAGE);
		memset(p, 1, COPIED * PAGE);
	}
	pid = fork();
	if (!pid) {
		for (i = 0; i < COPIED; i++)
			p[i * PAGE]++;
		_exit(p[5 * PAGE]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		bench_fail("no child");
	return (u32)WEXITSTATUS(status) + p[5 * PAGE];
}

/* An operation: a page becomes read-only, is read, becomes writable, is written. */
u32 row_mprotect_flip(void)
{
	u8 *p = map(1, WRITABLE);
	volatile u8 *byte = p;
	u32 i, sum = 0;

	for (i = 0; i < FLIPS; i++) {
		mprotect(p, PAGE, READ_ONLY);
		sum += *byte;
		mprotect(p, PAGE, WRITABLE);
		*byte = (u8)i;
	}
	munmap(p, PAGE);
	return sum;
}

/* An operation: `mov eax, imm32; ret` is written with another immediate and called, as a just-in-time compiler patches its code. */
u32 row_self_modifying(void)
{
	static u8 *p;
	u32 i, sum = 0;

	if (!p)
		p = map(1, WRITABLE | PROT_EXEC);
	for (i = 0; i < REWRITES; i++) {
		u32 value = i * 2654435761u;
		u32 (*function)(void) = (u32(*)(void))(uintptr_t)p;

		p[0] = 0xb8;
		memcpy(p + 1, &value, 4);
		p[5] = 0xc3;
		asm volatile("" : : : "memory");
		sum += function();
	}
	return sum;
}
