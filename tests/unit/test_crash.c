/* Crash reports: the formatter, the rings of what happened last, and the report of a failed verification in a process of its own. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/crash.h"
#include "monitor/log.h"
#include "monitor/trail.h"
#include "tests/unit/vm_harness.h"

/* As snprintf does it, which has the same conversions. */
#define SAME(...)                                                                                                                          \
	do {                                                                                                                               \
		char want[64], got[64];                                                                                                    \
		int n = snprintf(want, sizeof(want), __VA_ARGS__);                                                                         \
		ck_assert_uint_eq(crash_format(got, sizeof(got), __VA_ARGS__), (size_t)n);                                                 \
		ck_assert_str_eq(got, want);                                                                                               \
	} while (0)

START_TEST(test_format)
{
	SAME("plain %% %c|", 'x');
	SAME("%08x %x %4x|%-4x|", 0xbeefu, 0u, 0xau, 0xau);
	SAME("%016lx %lu", 0xfedcba9876543210ul, ~0ul);
	SAME("%d %5d %-5d| %ld", -17, -17, 42, (long)(-0x7fffffffffffffffl - 1));
	SAME("%s|%6s|%-6s|%.2s", "abc", "abc", "abc", "abc");
}
END_TEST

START_TEST(test_format_is_bounded)
{
	char buf[9] = "########";

	ck_assert_uint_eq(crash_format(buf, 5, "%s%d", "abc", 1234), 4);
	ck_assert_mem_eq(buf, "abc1\0###", 8);
	ck_assert_uint_eq(crash_format(buf, 1, "%900d", 1), 0);
	ck_assert_mem_eq(buf, "\0bc1\0###", 8);
}
END_TEST

START_TEST(test_trail)
{
	struct trail t = {0};

	for (u32 i = 0; i < TRAIL_SIZE + 3; i++) {
		trail_tu(&t, 8, i, 5, i * 16);
		trail_event(&t, (struct trail_event){.eip = i, .vector = 14});
	}
	ck_assert_uint_eq(t.tus, TRAIL_SIZE + 3);
	ck_assert_uint_eq(t.events, TRAIL_SIZE + 3);
	/* The oldest three are overwritten, in their order. */
	for (u32 i = 3; i < TRAIL_SIZE + 3; i++) {
		ck_assert_uint_eq(t.tu[i % TRAIL_SIZE].eip, i);
		ck_assert_uint_eq(t.event[i % TRAIL_SIZE].eip, i);
	}
}
END_TEST

static char report_path[] = "/tmp/ringer-test-crash-XXXXXX";

/* What a failed verification calls, in a child, whose exit status is returned; the report is read into buf. */
static int fail_in_child(char *buf, size_t size, bool bug)
{
	int status, fd = mkstemp(report_path);
	ssize_t n;
	pid_t pid;

	ck_assert_int_ge(fd, 0);
	pid = fork();
	if (pid == 0) {
		dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
		crash_init(0, NULL);
		crash_machine(vm, report_path);
		if (bug)
			fatal_bug("verify: %s", "an address that leaves the window");
		fatal("task gates of %d bits", 286);
	}
	waitpid(pid, &status, 0);
	n = read(fd, buf, size - 1);
	close(fd);
	unlink(report_path);
	strcpy(report_path + strlen(report_path) - 6, "XXXXXX");
	ck_assert_int_gt(n, 0);
	buf[n] = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(test_fatal)
{
	static char buf[65536];

	machine_create();
	v->regs[REG_EAX] = 0x1234abcd;
	ck_assert_int_eq(fail_in_child(buf, sizeof(buf), true), EXIT_BUG);
	ck_assert_ptr_nonnull(strstr(buf, "reason: verify: an address that leaves the window\n"));
	ck_assert_ptr_nonnull(strstr(buf, "EAX=1234abcd"));
	ck_assert_ptr_nonnull(strstr(buf, "\n-- end --\n"));
	ck_assert_int_eq(fail_in_child(buf, sizeof(buf), false), 1);
	ck_assert_ptr_nonnull(strstr(buf, "reason: task gates of 286 bits\n"));
	machine_destroy();
}
END_TEST

Suite *crash_suite(void)
{
	Suite *s = suite_create("crash");
	TCase *tc = tcase_create("crash");

	tcase_add_test(tc, test_format);
	tcase_add_test(tc, test_format_is_bounded);
	tcase_add_test(tc, test_trail);
	tcase_add_test(tc, test_fatal);
	suite_add_tcase(s, tc);
	return s;
}
