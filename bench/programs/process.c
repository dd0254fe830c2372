/*
 * Rows that make processes and switch between them.
 *
 * Invariant: no child outlives the row's process: each dies with its parent or at the end of its pipe.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

#define PINGS  2000
#define YIELDS 4000
#define FORKS  50
#define EXECS  20

static u32 finish(pid_t pid)
{
	int status;

	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

/* A byte there and back: two switches. */
u32 row_pipe_pingpong(void)
{
	int there[2], back[2];
	u32 i, ok = 0;
	char c = 0;
	pid_t pid;

	if (pipe(there) || pipe(back))
		bench_fail("no pipes");
	pid = fork();
	if (!pid) {
		close(there[1]);
		close(back[0]);
		while (read(there[0], &c, 1) == 1)
			if (write(back[1], &c, 1) != 1)
				_exit(1);
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	for (i = 0; i < PINGS; i++)
		ok += write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1;
	close(there[1]);
	close(back[0]);
	return ok + finish(pid);
}

/* Two processes give way to each other; an operation is one turn of the parent's, two switches. */
u32 row_yield_switch(void)
{
	volatile u32 *stop = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();
	u32 i, ok;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (!*stop)
			sched_yield();
		_exit(0);
	}
	for (i = 0; i < YIELDS; i++)
		sched_yield();
	*stop = 1;
	ok = finish(pid);
	munmap((void *)stop, 4096);
	return i + ok;
}

u32 row_fork_wait(void)
{
	u32 i, ok = 0;

	for (i = 0; i < FORKS; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		ok += finish(pid);
	}
	return ok;
}

u32 row_fork_exec(void)
{
	u32 i, ok = 0;

	for (i = 0; i < EXECS; i++) {
		pid_t pid = fork();

		if (!pid) {
			execl("/proc/self/exe", "ringer-bench", "nop", (char *)NULL);
			_exit(127);
		}
		ok += finish(pid);
	}
	return ok;
}

u32 row_shell_spawn(void)
{
	u32 i, crc = 0;

	for (i = 0; i < EXECS; i++)
		crc += bench_script("echo 1");
	return crc;
}

u32 row_pipeline(void)
{
	return bench_script("seq 1 500 | sed s/7/seven/ | sort -r | tail -n 3") +
	       bench_script("seq 1 500 | grep 3 | tr 0-9 a-j | head -n 20");
}
