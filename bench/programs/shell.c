/* Rows that are shell scripts of busybox: its applets compute. The figure includes the shell's start. */
#include <stdio.h>
#include "bench.h"

#define BYTES (384 * 1024)

/* Runs a script in which $f is a file of known data. */
static u32 on_file(const char *script)
{
	char line[512];

	snprintf(line, sizeof(line), "f=%s; %s", bench_file("data", BYTES), script);
	return bench_script(line);
}

u32 row_sh_gzip(void)
{
	return on_file("gzip -c <$f");
}

u32 row_sh_sha256sum(void)
{
	return on_file("cat $f $f $f $f | sha256sum");
}

u32 row_sh_awk(void)
{
	return on_file("awk '{ for (i = 1; i <= NF; i++) n[$i % 50, length($i)]++; s += length($0) / NR }"
		       " END { for (k in n) t += n[k]; printf \"%d %.6f\\n\", t, s }' <$f");
}

u32 row_sh_loop(void)
{
	return bench_script("i=0; s=0; while [ $i -lt 8000 ]; do i=$((i + 1)); case $i in *7) s=$((s + i * 3));; *) s=$((s ^ i));; esac; "
			    "done; echo $s");
}
