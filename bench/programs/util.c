/* What several rows need: known data, files and shell scripts. Invariant: everything made here is the same on every run and every machine.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

void bench_fail(const char *what)
{
	fprintf(stderr, "ringer-bench: %s\n", what);
	exit(1);
}

void bench_text(u8 *p, u32 n)
{
	static const char *const words[] = {
		"guest", "host", "the ",      "a ",  "page", "table",	    "register", "of ",
		"and ",	 "to ",	 "interrupt", "in ", "is ",  "translation", "window",	"\n",
	};
	u32 random = 2463534242u, i = 0;

	while (i < n) {
		const char *w = words[bench_random(&random) >> 28];

		if (!(random & 0xf000))
			p[i++] = (u8)('0' + random % 10);
		while (*w && i < n)
			p[i++] = (u8)*w++;
	}
}

const char *bench_file(const char *name, u32 n)
{
	char *path;
	u8 *text;
	struct stat st;
	int fd;

	if (asprintf(&path, "%s/%s", bench_env.dir, name) < 0)
		bench_fail("no memory");
	if (!stat(path, &st) && st.st_size == (off_t)n)
		return path;
	text = malloc(n);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (!text || fd < 0)
		bench_fail("cannot make a file");
	bench_text(text, n);
	if (write(fd, text, n) != (ssize_t)n || close(fd))
		bench_fail("cannot write a file");
	free(text);
	return path;
}

u32 bench_script(const char *script)
{
	static u8 buf[65536];
	char path[256];
	u32 crc;
	int fd, status;
	ssize_t n;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/out", bench_env.dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		bench_fail("cannot make the output file");
	pid = vfork();
	if (!pid) {
		dup2(fd, 1);
		execl(bench_env.busybox, "busybox", "sh", "-c", script, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		bench_fail("a script failed");
	crc = 0;
	lseek(fd, 0, SEEK_SET);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		crc = bench_crc32(crc, buf, (u32)n);
	close(fd);
	return crc;
}

u32 bench_crc32(u32 crc, const void *data, u32 n)
{
	static u32 table[256];
	const u8 *p = data;
	u32 i, k;

	if (!table[1])
		for (i = 0; i < 256; i++) {
			table[i] = i;
			for (k = 0; k < 8; k++)
				table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
		}
	crc = ~crc;
	while (n--)
		crc = crc >> 8 ^ table[(u8)crc ^ *p++];
	return ~crc;
}
