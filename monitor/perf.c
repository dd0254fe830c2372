/*
 * The files of perf.h. The map has lines "START SIZE NAME", in hexadecimal; the dump's format is that of perf's jitdump specification,
 * version 1.
 */
#include "monitor/perf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cache/tc.h"
#include "monitor/log.h"
#include "monitor/symbols.h"
#include "monitor/vm.h"
#include "translator/mode.h"

#define JIT_MAGIC   0x4a695444u
#define JIT_VERSION 1u
#define JIT_LOAD    0u
#define JIT_CLOSE   3u

struct perf {
	FILE *map, *dump;
	void *marker; /* perf notices the dump by an executable mapping of it */
	u64 index;
};

struct jit_header {
	u32 magic, version, size, machine, pad, pid;
	u64 time, flags;
};

struct jit_record {
	u32 id, size;
	u64 time;
};

struct jit_load {
	struct jit_record head;
	u32 pid, tid;
	u64 address, code_address, code_size, index;
};

static u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * NS_PER_SEC + (u64)t.tv_nsec;
}

/* Never through somebody's symbolic link: /tmp is everybody's. */
static FILE *create(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w+");

	if (!f)
		fatal("%s: %s", path, strerror(errno));
	return f;
}

static void open_dump(struct perf *p)
{
	struct jit_header h = {
		.magic = JIT_MAGIC, .version = JIT_VERSION, .size = sizeof(h), .machine = EM_X86_64, .pid = (u32)getpid(), .time = now()};
	char path[64];

	snprintf(path, sizeof(path), "jit-%d.dump", (int)getpid());
	p->dump = create(path);
	p->marker = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fileno(p->dump), 0);
	if (p->marker == MAP_FAILED)
		fatal("%s: %s", path, strerror(errno));
	fwrite(&h, sizeof(h), 1, p->dump);
}

void perf_open(struct vcpu *v)
{
	const struct options *o = &v->vm->opt;
	struct perf *p;
	char path[64];

	if (!o->perfmap && !o->jitdump)
		return;
	p = calloc(1, sizeof(*p));
	if (!p)
		fatal("out of memory");
	if (o->perfmap) {
		snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
		p->map = create(path);
		/* By lines: the program may be killed, and the file is wanted then. */
		setvbuf(p->map, NULL, _IOLBF, 0);
	}
	if (o->jitdump)
		open_dump(p);
	v->perf = p;
}

void perf_close(struct vcpu *v)
{
	struct perf *p = v->perf;

	if (!p)
		return;
	if (p->map)
		fclose(p->map);
	if (p->dump) {
		struct jit_record r = {JIT_CLOSE, sizeof(r), now()};

		fwrite(&r, sizeof(r), 1, p->dump);
		fclose(p->dump);
		munmap(p->marker, PAGE_SIZE);
	}
	free(p);
	v->perf = NULL;
}

void perf_tu(struct vcpu *v, const struct tu *tu)
{
	struct perf *p = v->perf;
	u32 size = tu->end - tu->head;
	char name[256];

	symbols_name(v->vm, v->seg[SEG_CS].base + tu->eip, tu->mode & MODE_CPL, name, sizeof(name));
	if (p->map)
		fprintf(p->map, "%x %x %s\n", tu->head, size, name);
	if (p->dump) {
		size_t n = strlen(name) + 1;
		struct jit_load l = {.head = {JIT_LOAD, (u32)(sizeof(l) + n + size), now()},
				     .pid = (u32)getpid(),
				     .tid = (u32)syscall(SYS_gettid),
				     .address = tu->head,
				     .code_address = tu->head,
				     .code_size = size,
				     .index = p->index++};

		fwrite(&l, sizeof(l), 1, p->dump);
		fwrite(name, n, 1, p->dump);
		fwrite((const void *)(u64)tu->head, size, 1, p->dump);
	}
}

void perf_flush(struct vcpu *v)
{
	struct perf *p = v->perf;

	if (!p->map)
		return;
	fflush(p->map);
	rewind(p->map);
	if (ftruncate(fileno(p->map), 0) < 0)
		warn("the map for perf cannot be begun anew: %s", strerror(errno));
}
