/*
 * Character back ends: bytes in both directions, escapes, slow and absent peers, the terminal's settings. The event loop runs on the
 * test's own thread for short whiles, as it would on the main thread.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "monitor/chardev_backend.h"
#include "monitor/vm.h"

#define MS 1000000ull

static struct vm *vm;
static char dir[64], path[96], spec[160], err[256];
static u8 got[70000];
static size_t got_len, room;
static unsigned breaks;

static void set_up(void)
{
	vm = calloc(1, sizeof(*vm));
	ck_assert_int_eq(vm_init(vm, 1 << 20), 0);
	strcpy(dir, "/tmp/ringer-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/x", dir);
	got_len = 0;
	room = sizeof(got);
	breaks = 0;
}

static void tear_down(void)
{
	unlink(path);
	rmdir(dir);
	vm_free(vm);
	free(vm);
}

static size_t can_receive(void *opaque)
{
	(void)opaque;
	return room;
}

static void receive(void *opaque, const u8 *buf, size_t n)
{
	(void)opaque;
	ck_assert_uint_le(n, room);
	ck_assert_uint_le(got_len + n, sizeof(got));
	memcpy(got + got_len, buf, n);
	got_len += n;
	room -= n;
}

static void on_event(void *opaque, enum chardev_event ev)
{
	(void)opaque;
	breaks += ev == CHARDEV_BREAK;
}

static const struct chardev_client client = {NULL, can_receive, receive, on_event};

static struct chardev *open_spec(const char *text)
{
	struct chardev *c = chardev_open(vm, text, err, sizeof(err));

	ck_assert_msg(c != NULL, "%s: %s", text, err);
	chardev_attach(c, &client);
	return c;
}

static void on_end(void *opaque)
{
	(void)opaque;
	event_stop(vm);
}

/* The loop cannot be restarted once stopped: each while gets a loop's worth of time in a thread. */
static void *loop_thread(void *opaque)
{
	(void)opaque;
	event_run(vm);
	return NULL;
}

static pthread_t loop;

static void start_loop(void)
{
	pthread_create(&loop, NULL, loop_thread, NULL);
}

static void stop_loop(u64 after_ms)
{
	struct timer t;

	pthread_mutex_lock(&vm->lock);
	timer_init(&t, vm, on_end, NULL);
	timer_mod(&t, clock_ns(&vm->clock) + after_ms * MS);
	pthread_mutex_unlock(&vm->lock);
	pthread_join(loop, NULL);
}

static void nap(unsigned ms)
{
	poll(NULL, 0, (int)ms);
}

static size_t put(struct chardev *c, const void *p, size_t n)
{
	size_t taken;

	pthread_mutex_lock(&vm->lock);
	taken = chardev_write(c, p, n);
	pthread_mutex_unlock(&vm->lock);
	return taken;
}

/* Reads exactly n bytes, waiting at most 2 s for each. */
static void expect(int fd, const char *text)
{
	char buf[256];
	size_t n = strlen(text), len = 0;

	while (len < n) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t k;

		ck_assert_int_eq(poll(&p, 1, 2000), 1);
		k = read(fd, buf + len, n - len);
		ck_assert_int_gt(k, 0);
		len += (size_t)k;
	}
	buf[len] = '\0';
	ck_assert_str_eq(buf, text);
}

static void expect_got(const char *text)
{
	for (int i = 0; i < 200; i++) {
		size_t n;

		pthread_mutex_lock(&vm->lock);
		n = got_len;
		pthread_mutex_unlock(&vm->lock);
		if (n >= strlen(text))
			break;
		nap(10);
	}
	ck_assert_uint_eq(got_len, strlen(text));
	ck_assert_mem_eq(got, text, got_len);
}

START_TEST(null_takes_all)
{
	struct chardev *c = open_spec(_i ? "none" : "null");

	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(put(c, got, sizeof(got)), sizeof(got));
	chardev_close(c);
	ck_assert_ptr_null(vm->chardevs);
}
END_TEST

START_TEST(file)
{
	struct chardev *c;
	char buf[32] = {0};
	int fd;

	snprintf(spec, sizeof(spec), "file:%s", path);
	c = open_spec(spec);
	ck_assert_uint_eq(put(c, "hello ", 6), 6);
	ck_assert_uint_eq(put(c, "world\n", 6), 6);
	chardev_close(c);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, buf, sizeof(buf)), 12);
	ck_assert_str_eq(buf, "hello world\n");
	close(fd);
}
END_TEST

static const struct {
	const char *spec, *says;
} mistakes[] = {
	{"tcp:", "is not tcp:[HOST]:PORT"},
	{"tcp:1234", "is not tcp:[HOST]:PORT"},
	{"tcp::", "is not tcp:[HOST]:PORT"},
	{"tcp::123456", "is not tcp:[HOST]:PORT"},
	{"tcp::1x", "is not tcp:[HOST]:PORT"},
	{"tcp::1234,server=maybe", "invalid option"},
	{"tcp:127.0.0.1:1", "Connection refused"},
	{"tcp:[::1:1", "[::1"},
	{"udp::1", "not a character device"},
	{"", "not a character device"},
	{"file:", "needs a file name"},
	{"file:/nonexistent/x", "No such file"},
	{"unix:", "needs a path"},
	{"unix:/nonexistent/x", "No such file"},
	{"unix:/nonexistent/x,server=on,wait=off", "No such file"},
	{"unix:/tmp/x,server=maybe", "invalid option"},
	{"unix:/tmp/x,foo", "invalid option"},
};

START_TEST(bad_specs)
{
	ck_assert_ptr_null(chardev_open(vm, mistakes[_i].spec, err, sizeof(err)));
	ck_assert_msg(strstr(err, mistakes[_i].says) != NULL, "'%s' says '%s'", mistakes[_i].spec, err);
	ck_assert_ptr_null(vm->chardevs);
}
END_TEST

static int connect_to_path(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

START_TEST(unix_server)
{
	struct chardev *c;
	int fd;

	snprintf(spec, sizeof(spec), "unix:%s,server=on,wait=off", path);
	c = open_spec(spec);
	/* Nobody is there: all is taken. */
	ck_assert_uint_eq(put(c, got, sizeof(got)), sizeof(got));
	start_loop();
	for (int round = 0; round < 2; round++) {
		fd = connect_to_path();
		nap(50);
		ck_assert_uint_eq(put(c, "login: ", 7), 7);
		expect(fd, "login: ");
		ck_assert_int_eq(write(fd, "root\n", 5), 5);
		expect_got("root\n");
		got_len = 0;
		close(fd);
		nap(50);
		ck_assert_uint_eq(put(c, "x", 1), 1);
	}
	stop_loop(0);
	chardev_close(c);
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

static enum chardev_event event_seen[8];
static volatile unsigned events_seen;

static void note_event(void *opaque, enum chardev_event ev)
{
	(void)opaque;
	if (events_seen < ARRAY_SIZE(event_seen))
		event_seen[events_seen++] = ev;
}

static void expect_events(unsigned n)
{
	for (int i = 0; i < 500 && events_seen < n; i++)
		nap(10);
	pthread_mutex_lock(&vm->lock);
	ck_assert_uint_eq(events_seen, n);
	pthread_mutex_unlock(&vm->lock);
}

/* On the loopback interface only; those who come and go are told of, and one that is sent away as well. */
START_TEST(tcp_server)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	struct chardev *c = open_spec("tcp::0,server=on,wait=off");
	u8 byte;

	ck_assert_int_eq(getsockname(c->listen_fd, (struct sockaddr *)&a, &len), 0);
	ck_assert_uint_eq(ntohl(a.sin_addr.s_addr), INADDR_LOOPBACK);
	pthread_mutex_lock(&vm->lock);
	chardev_attach(c, &(struct chardev_client){NULL, can_receive, receive, note_event});
	pthread_mutex_unlock(&vm->lock);
	events_seen = 0;
	start_loop();
	for (unsigned round = 0; round < 2; round++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		expect_events(2 * round + 1);
		ck_assert_uint_eq(put(c, "login: ", 7), 7);
		expect(fd, "login: ");
		if (round) {
			pthread_mutex_lock(&vm->lock);
			chardev_disconnect(c);
			ck_assert(!chardev_is_connected(c));
			pthread_mutex_unlock(&vm->lock);
			ck_assert_int_eq(read(fd, &byte, 1), 0);
		}
		close(fd);
		expect_events(2 * round + 2);
	}
	stop_loop(0);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(event_seen[i], i & 1 ? CHARDEV_CLOSED : CHARDEV_OPENED);
	chardev_close(c);
}
END_TEST

START_TEST(unix_client)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd;
	struct chardev *c;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	snprintf(spec, sizeof(spec), "unix:%s", path);
	c = open_spec(spec);
	fd = accept(listener, NULL, NULL);
	start_loop();
	ck_assert_uint_eq(put(c, "hi", 2), 2);
	expect(fd, "hi");
	ck_assert_int_eq(write(fd, "ho", 2), 2);
	expect_got("ho");
	stop_loop(0);
	chardev_close(c);
	close(fd);
	close(listener);
}
END_TEST

START_TEST(slow_peer)
{
	static u8 in[400000], out[400000];
	size_t sent = 0, len = 0;
	struct chardev *c;
	int fd;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (u8)(i * 31 >> 3);
	snprintf(spec, sizeof(spec), "unix:%s,server,nowait", path);
	c = open_spec(spec);
	start_loop();
	fd = connect_to_path();
	nap(50);
	/* It does not read: after a while nothing more is taken, and nobody waits. */
	alarm(10);
	for (size_t n; sent < sizeof(in) && (n = put(c, in + sent, MIN(5000, sizeof(in) - sent))) > 0;)
		sent += n;
	ck_assert_uint_lt(sent, sizeof(in));
	/* It reads: all arrives, in order. */
	while (len < sizeof(in)) {
		ssize_t k = recv(fd, out + len, MIN(3000, sizeof(out) - len), MSG_DONTWAIT);

		if (k > 0)
			len += (size_t)k;
		if (sent < sizeof(in))
			sent += put(c, in + sent, MIN(5000, sizeof(in) - sent));
		if (k < 0)
			nap(1);
	}
	alarm(0);
	ck_assert_mem_eq(in, out, sizeof(in));
	stop_loop(0);
	chardev_close(c);
	close(fd);
}
END_TEST

START_TEST(dead_weight_does_not_hang_the_end)
{
	u64 start;
	struct chardev *c;
	int fd;

	snprintf(spec, sizeof(spec), "unix:%s,server=on,wait=off", path);
	c = open_spec(spec);
	start_loop();
	fd = connect_to_path();
	nap(50);
	while (put(c, got, 4096) > 0)
		;
	stop_loop(0);
	start = clock_ns(&vm->clock);
	chardev_close(c);
	ck_assert_uint_lt(clock_ns(&vm->clock) - start, 3 * NS_PER_SEC);
	close(fd);
}
END_TEST

START_TEST(backpressure)
{
	struct chardev *c;
	int fd;

	snprintf(spec, sizeof(spec), "unix:%s,server=on,wait=off", path);
	c = open_spec(spec);
	room = 3;
	start_loop();
	fd = connect_to_path();
	ck_assert_int_eq(write(fd, "abcdefgh", 8), 8);
	expect_got("abc");
	nap(30);
	ck_assert_uint_eq(got_len, 3);
	pthread_mutex_lock(&vm->lock);
	room = 100;
	chardev_accept_input(c);
	pthread_mutex_unlock(&vm->lock);
	expect_got("abcdefgh");
	stop_loop(0);
	chardev_close(c);
	close(fd);
}
END_TEST

/* stdin and stdout become pipes; in[1] and out[0] are the user's ends. */
static int in_pipe[2], out_pipe[2], saved_stdout;

static void redirect(void)
{
	ck_assert_int_eq(pipe(in_pipe), 0);
	ck_assert_int_eq(pipe(out_pipe), 0);
	fflush(stdout);
	saved_stdout = dup(STDOUT_FILENO);
	dup2(in_pipe[0], STDIN_FILENO);
	dup2(out_pipe[1], STDOUT_FILENO);
	close(in_pipe[0]);
}

static void unredirect(void)
{
	dup2(saved_stdout, STDOUT_FILENO);
	close(saved_stdout);
	close(out_pipe[0]);
	close(out_pipe[1]);
}

START_TEST(stdio_pipes_and_escapes)
{
	struct chardev *c;

	redirect();
	c = open_spec("stdio");
	start_loop();
	ck_assert_int_eq(write(in_pipe[1], "a\003\001\001b\001q\001bc", 10), 10);
	expect_got("a\003\001bc");
	ck_assert_uint_eq(breaks, 1);
	ck_assert_uint_eq(put(c, "out", 3), 3);
	expect(out_pipe[0], "out");
	/* End of input: output goes on, and the loop does not spin. */
	close(in_pipe[1]);
	nap(20);
	ck_assert_uint_eq(put(c, "more", 4), 4);
	expect(out_pipe[0], "more");
	stop_loop(0);
	/* The descriptors that a shell would share are as they were. */
	ck_assert_int_eq(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK, 0);
	ck_assert_int_eq(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
	chardev_close(c);
	unredirect();
}
END_TEST

/* The console's end of a shared back end. */
static char typed[256];
static size_t typed_len;
static unsigned focused, writable;

static size_t console_can_receive(void *opaque)
{
	(void)opaque;
	return sizeof(typed) - 1 - typed_len;
}

static void console_receive(void *opaque, const u8 *buf, size_t n)
{
	(void)opaque;
	memcpy(typed + typed_len, buf, n);
	typed_len += n;
	typed[typed_len] = '\0';
}

static void console_event(void *opaque, enum chardev_event ev)
{
	(void)opaque;
	focused += ev == CHARDEV_FOCUS;
	writable += ev == CHARDEV_WRITABLE;
}

static const struct chardev_client console_client = {NULL, console_can_receive, console_receive, console_event};

START_TEST(shared_by_the_console)
{
	static u8 block[70000];
	struct chardev *c;

	redirect();
	c = open_spec("mon:stdio");
	typed_len = focused = writable = 0;
	ck_assert_ptr_eq(chardev_shared(vm, 0), c);
	ck_assert_ptr_null(chardev_shared(vm, 1));
	/* Nobody is there to switch to yet. */
	start_loop();
	ck_assert_int_eq(write(in_pipe[1], "a\001cb", 4), 4);
	expect_got("ab");
	pthread_mutex_lock(&vm->lock);
	chardev_attach_console(c, &console_client);
	pthread_mutex_unlock(&vm->lock);
	/* In one piece: each byte goes where the focus is by then; a break is the device's in any case. */
	ck_assert_int_eq(write(in_pipe[1], "c\001cinfo\001b\001\001\001cd\001c!", 18), 18);
	expect_got("abcd");
	nap(50);
	ck_assert_str_eq(typed, "info\001!");
	ck_assert_uint_eq(focused, 2);
	ck_assert_uint_eq(breaks, 1);
	/* Both are heard; who was refused is told when there is room. */
	ck_assert_uint_lt(put(c, block, sizeof(block)), sizeof(block));
	while (put(c, block, sizeof(block)))
		;
	ck_assert_uint_eq(writable, 0);
	ck_assert_int_gt(read(out_pipe[0], block, sizeof(block)), 0);
	for (int i = 0; i < 100 && !writable; i++)
		nap(10);
	ck_assert_uint_ge(writable, 1);
	/* The console goes: the device has the input again. */
	pthread_mutex_lock(&vm->lock);
	chardev_attach_console(c, NULL);
	pthread_mutex_unlock(&vm->lock);
	ck_assert_int_eq(write(in_pipe[1], "e\001cf", 4), 4);
	expect_got("abcdef");
	stop_loop(0);
	chardev_close(c);
	unredirect();
}
END_TEST

START_TEST(ctrl_a_x_quits)
{
	struct chardev *c;

	redirect();
	room = 0;
	c = open_spec("mon:stdio");
	ck_assert_int_eq(write(in_pipe[1], "typed ahead\001x", 13), 13);
	start_loop();
	pthread_join(loop, NULL);
	ck_assert_int_eq(vm->exit_reason, VM_QUIT);
	ck_assert_int_eq(vm->exit_status, 0);
	chardev_close(c);
	close(in_pipe[1]);
	unredirect();
}
END_TEST

START_TEST(reader_of_stdout_goes)
{
	struct chardev *c;

	signal(SIGPIPE, SIG_IGN);
	redirect();
	c = open_spec("stdio");
	close(out_pipe[0]);
	start_loop();
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(put(c, got, 4096), 4096);
	ck_assert_int_eq(write(in_pipe[1], "in", 2), 2);
	expect_got("in");
	stop_loop(0);
	chardev_close(c);
	close(in_pipe[1]);
	out_pipe[0] = dup(STDERR_FILENO);
	unredirect();
}
END_TEST

START_TEST(stdio_once)
{
	struct chardev *c;

	redirect();
	c = open_spec("stdio");
	ck_assert_ptr_null(chardev_open(vm, "stdio", err, sizeof(err)));
	ck_assert_ptr_nonnull(strstr(err, "in use"));
	chardev_close(c);
	close(in_pipe[1]);
	unredirect();
}
END_TEST

START_TEST(terminal)
{
	struct termios before, during, after;
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, keep_out;
	char name[64];
	struct chardev *c;

	ck_assert_int_ge(master, 0);
	grantpt(master);
	unlockpt(master);
	ptsname_r(master, name, sizeof(name));
	slave = open(name, O_RDWR | O_NOCTTY);
	ck_assert_int_ge(slave, 0);
	fflush(stdout);
	keep_out = dup(STDOUT_FILENO);
	dup2(slave, STDIN_FILENO);
	dup2(slave, STDOUT_FILENO);
	tcgetattr(slave, &before);
	c = open_spec("stdio");
	tcgetattr(slave, &during);
	ck_assert_uint_eq(during.c_lflag & (ECHO | ICANON | ISIG), 0);
	ck_assert(during.c_oflag & OPOST);
	start_loop();
	/* Ctrl-C, Ctrl-Z, Ctrl-D, CR: all of them are the guest's. */
	ck_assert_int_eq(write(master, "\003\032\004\r", 4), 4);
	expect_got("\003\032\004\r");
	ck_assert_uint_eq(put(c, "$ ", 2), 2);
	expect(master, "$ ");
	stop_loop(0);
	chardev_close(c);
	terminal_restore();
	terminal_restore();
	dup2(keep_out, STDOUT_FILENO);
	tcgetattr(slave, &after);
	ck_assert_uint_eq(after.c_lflag, before.c_lflag);
	ck_assert_uint_eq(after.c_iflag, before.c_iflag);
	ck_assert_uint_eq(after.c_oflag, before.c_oflag);
	close(keep_out);
	close(slave);
	close(master);
}
END_TEST

START_TEST(pty)
{
	char line[128] = {0}, name[64] = {0};
	struct chardev *c;
	int fd;

	redirect();
	vm->opt.serial[0] = "pty";
	vm->opt.serial_count = 1;
	c = open_spec(vm->opt.serial[0]);
	ck_assert_int_gt(read(out_pipe[0], line, sizeof(line) - 1), 0);
	close(in_pipe[1]);
	unredirect();
	ck_assert_int_eq(sscanf(line, "char device redirected to %63s (label serial0)", name), 1);
	ck_assert_ptr_nonnull(strstr(line, "(label serial0)\n"));
	start_loop();
	/* Nobody has opened it: output is dropped. */
	for (int i = 0; i < 50; i++)
		ck_assert_uint_eq(put(c, got, 4096), 4096);
	for (int round = 0; round < 2; round++) {
		fd = open(name, O_RDWR | O_NOCTTY);
		ck_assert_int_ge(fd, 0);
		nap(450);
		ck_assert_uint_eq(put(c, "ready", 5), 5);
		expect(fd, "ready");
		ck_assert_int_eq(write(fd, "go\r", 3), 3);
		expect_got("go\r");
		got_len = 0;
		close(fd);
		nap(50);
	}
	stop_loop(0);
	chardev_close(c);
}
END_TEST

Suite *chardev_suite(void);
Suite *chardev_suite(void)
{
	Suite *s = suite_create("chardev");
	TCase *t = tcase_create("chardev");

	tcase_set_timeout(t, 20);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, null_takes_all, 0, 2);
	tcase_add_test(t, file);
	tcase_add_loop_test(t, bad_specs, 0, (int)ARRAY_SIZE(mistakes));
	tcase_add_test(t, unix_server);
	tcase_add_test(t, tcp_server);
	tcase_add_test(t, unix_client);
	tcase_add_test(t, slow_peer);
	tcase_add_test(t, dead_weight_does_not_hang_the_end);
	tcase_add_test(t, backpressure);
	tcase_add_test(t, stdio_pipes_and_escapes);
	tcase_add_test(t, shared_by_the_console);
	tcase_add_test(t, ctrl_a_x_quits);
	tcase_add_test(t, reader_of_stdout_goes);
	tcase_add_test(t, stdio_once);
	tcase_add_test(t, terminal);
	tcase_add_test(t, pty);
	suite_add_tcase(s, t);
	return s;
}
