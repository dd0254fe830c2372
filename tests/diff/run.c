/*
 * Running batches, see run.h. If the runner ends without the guest's closing record, the batch is halved until the case that ends it
 * stands alone.
 */
#include "tests/diff/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH_FD      3
#define SECONDS_LIMIT 60
#define DEATHS_MAX    40u

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "diff: %s: %s\n", what, strerror(errno));
	exit(2);
}

static size_t batch_size(u32 n)
{
	return sizeof(struct batch) + n * (sizeof(struct test_case) + sizeof(struct result));
}

struct batch *batch_new(u32 n, int *fd)
{
	struct batch *b;

	*fd = memfd_create("batch", 0);
	if (*fd < 0 || ftruncate(*fd, (off_t)batch_size(n)) < 0)
		fail("batch");
	b = mmap(NULL, batch_size(n), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (b == MAP_FAILED)
		fail("batch");
	b->magic = BATCH_MAGIC;
	b->cases = n;
	return b;
}

void batch_free(struct batch *b, int fd)
{
	munmap(b, batch_size(b->cases));
	close(fd);
}

/* Waits for a child, at most SECONDS_LIMIT. Its wait status, or -1 if it had to be killed. */
static int wait_limited(pid_t pid)
{
	int status;

	for (int ticks = 0; ticks < SECONDS_LIMIT * 200; ticks++) {
		pid_t r = waitpid(pid, &status, WNOHANG);

		if (r == pid)
			return status;
		if (r < 0)
			fail("waitpid");
		nanosleep(&(struct timespec){0, 5000000}, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

/* Runs n cases from `first` on the host's CPU; its wait status. */
static int native_process(const struct paths *p, u32 first, u32 n, int fd)
{
	char from[16], count[16];
	pid_t pid;

	snprintf(from, sizeof(from), "%u", first);
	snprintf(count, sizeof(count), "%u", n);
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid) {
		if (fd != BATCH_FD)
			dup2(fd, BATCH_FD);
		execl(p->native, p->native, from, count, (char *)NULL);
		_exit(127);
	}
	return wait_limited(pid);
}

/* The same, whatever a case does to the runner's own memory: then it is found by halving and emptied. */
static void run_native(const struct paths *p, struct batch *b, u32 first, u32 n, int fd)
{
	int status = native_process(p, first, n, fd);

	if (!status)
		return;
	if (n > 1) {
		run_native(p, b, first, n / 2, fd);
		run_native(p, b, first + n / 2, n - n / 2, fd);
		return;
	}
	batch_cases(b)[first].length = 0;
	status = native_process(p, first, n, fd);
	if (status) {
		fprintf(stderr, "diff: the native runner failed: status %x\n", (unsigned)status);
		exit(2);
	}
}

static void redirect(const char *path, int to)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);

	dup2(fd, to);
}

static void run_guest(const struct paths *p, const char *module, const char *report)
{
	char console[600], log[600];
	pid_t pid;

	snprintf(console, sizeof(console), "file:%s", report);
	snprintf(log, sizeof(log), "%s/runner.log", p->dir);
	unlink(report);
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (!pid) {
		const char *args[] = {p->runner,    "-accel", p->accel,	   "-m",     "128",	"-nographic",
				      "-serial",    "stdio",  "-kernel",   p->guest, "-initrd", module,
				      "-append",    "noirq",  "-debugcon", console,  "-device", "isa-debug-exit,iobase=0x501,iosize=2",
				      "-no-reboot", NULL};

		redirect("/dev/null", 0);
		redirect(log, 1);
		dup2(1, 2);
		execvp(p->runner, (char *const *)args);
		_exit(127);
	}
	wait_limited(pid);
}

static void add(struct outcome *o, const struct mismatch *m)
{
	o->list = realloc(o->list, (o->count + 1) * sizeof(*m));
	if (!o->list)
		fail("mismatches");
	o->list[o->count++] = *m;
}

/* False if the report has no end. Otherwise the report is in *o, its cases counted from `first`. */
static bool read_report(const char *path, u32 first, struct outcome *o)
{
	FILE *f = fopen(path, "rb");
	struct outcome fresh = {0};
	struct report_end end;
	struct mismatch m = {0};
	bool ended = false;

	if (!f)
		return false;
	while (fread(&m.index, sizeof(u32), 1, f) == 1) {
		if (m.index == REPORT_END) {
			ended = fread(&end, sizeof(end), 1, f) == 1;
			break;
		}
		if (fread(&m.got, sizeof(m.got), 1, f) != 1)
			break;
		m.index += first;
		add(&fresh, &m);
	}
	fclose(f);
	if (ended) {
		for (u32 i = 0; i < fresh.count; i++)
			add(o, &fresh.list[i]);
		o->uncounted += end.mismatches - fresh.count;
		o->pointer_mismatches += end.pointer_mismatches;
	}
	free(fresh.list);
	return ended;
}

static void write_all(int fd, const void *data, size_t n)
{
	while (n) {
		ssize_t done = write(fd, data, n);

		if (done <= 0)
			fail("module");
		data = (const char *)data + done;
		n -= (size_t)done;
	}
}

static void run_range(const struct paths *p, struct batch *b, u32 first, u32 n, struct outcome *o)
{
	struct mismatch m = {.index = first, .died = true};
	struct batch header;
	char module[512], report[512];
	int fd;

	snprintf(module, sizeof(module), "%s/module", p->dir);
	snprintf(report, sizeof(report), "%s/report", p->dir);
	fd = open(module, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	if (fd < 0)
		fail(module);
	header = *b;
	header.cases = n;
	write_all(fd, &header, sizeof(header));
	write_all(fd, batch_cases(b) + first, n * sizeof(struct test_case));
	write_all(fd, batch_results(b) + first, n * sizeof(struct result));
	close(fd);
	run_guest(p, module, report);
	if (read_report(report, first, o))
		return;
	if (n == 1) {
		add(o, &m);
		fprintf(stderr, "diff: the runner ended in case %u of a batch\n", first);
		if (++o->deaths < DEATHS_MAX)
			return;
		fprintf(stderr, "diff: %s ended in %u cases of a batch, giving up; its words are in %s/runner.log\n", p->runner, o->deaths,
			p->dir);
		exit(2);
	}
	run_range(p, b, first, n / 2, o);
	run_range(p, b, first + n / 2, n - n / 2, o);
}

struct outcome batch_run(const struct paths *p, struct batch *b, int fd)
{
	struct outcome o = {0};

	run_native(p, b, 0, b->cases, fd);
	run_range(p, b, 0, b->cases, &o);
	return o;
}
