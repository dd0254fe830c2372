/*
 * The text screen on this terminal, by ncurses. One thread does everything: it reads keys, takes the screen's cells and lets ncurses find
 * what changed. Ctrl-A is the escape, as on -nographic's console.
 *
 * Invariants: ncurses is called by that thread alone once it runs, and draws only while terminal.c says that the screen is ours; how to
 * give it back is registered there, so every end of the program does. ncurses's signal handlers are removed: signals are the event loop's.
 */
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "monitor/devices/i8042.h"
#include "monitor/devices/ps2.h"
#include "monitor/display/backend.h"
#include "monitor/log.h"
#include "monitor/terminal.h"
#include "monitor/vm.h"

/* Last, for it defines words such as "buttons" as macros. */
#include <term.h>

#define ESCAPE	     1 /* Ctrl-A */
#define ESCAPE_DELAY 25
#define HELP_NS	     (5 * NS_PER_SEC)
#define MOD_SHIFT    1
#define MOD_CTRL     2
#define MOD_ALT	     4
#define VNC_F1	     0xffbe /* keysyms, see keys.c */
#define VNC_DELETE   0xffff

struct curses {
	struct vm *vm;
	struct display_thread thread;
	SCREEN *screen;
	struct vga_view view;
	struct text_screen text;
	_Atomic bool redraw;
	bool escaped; /* Ctrl-A was typed */
	bool rich;    /* 16 colours and a pair for each combination */
	u64 message_until;
	char message[120]; /* instead of the guest's screen, for a while */
	unsigned stalled;  /* rounds for which the guest has taken no key */
};

/* ---- input ---- */

static void type_key(struct curses *c, u16 code, unsigned mods)
{
	static const struct {
		unsigned mod;
		u16 code;
	} held[] = {{MOD_CTRL, KEY_CODE_CTRL}, {MOD_ALT, KEY_CODE_ALT}, {MOD_SHIFT, KEY_CODE_SHIFT}};

	if (!code)
		return;
	vm_lock(c->vm);
	for (unsigned i = 0; i < ARRAY_SIZE(held); i++)
		if (mods & held[i].mod)
			i8042_key(c->vm->keyboard, held[i].code, true);
	i8042_key(c->vm->keyboard, code, true);
	i8042_key(c->vm->keyboard, code, false);
	for (unsigned i = ARRAY_SIZE(held); i-- > 0;)
		if (mods & held[i].mod)
			i8042_key(c->vm->keyboard, held[i].code, false);
	pthread_mutex_unlock(&c->vm->lock);
}

static void type_keysym(struct curses *c, u32 keysym, unsigned mods)
{
	bool shift;
	u16 code = key_by_keysym(keysym, &shift);

	type_key(c, code, mods | (shift ? MOD_SHIFT : 0));
}

/* What ncurses names: keypad keys by table; F13 to F60 are F1 to F12 with modifiers. */
static void type_function(struct curses *c, int key)
{
	static const struct {
		int key;
		u32 keysym;
		unsigned mods;
	} keys[] = {
		{KEY_UP, 0xff52, 0},
		{KEY_DOWN, 0xff54, 0},
		{KEY_LEFT, 0xff51, 0},
		{KEY_RIGHT, 0xff53, 0},
		{KEY_HOME, 0xff50, 0},
		{KEY_END, 0xff57, 0},
		{KEY_PPAGE, 0xff55, 0},
		{KEY_NPAGE, 0xff56, 0},
		{KEY_IC, 0xff63, 0},
		{KEY_DC, VNC_DELETE, 0},
		{KEY_BACKSPACE, 0xff08, 0},
		{KEY_ENTER, 0xff8d, 0},
		{KEY_BTAB, 0xff09, MOD_SHIFT},
		{KEY_SLEFT, 0xff51, MOD_SHIFT},
		{KEY_SRIGHT, 0xff53, MOD_SHIFT},
		{KEY_SR, 0xff52, MOD_SHIFT},
		{KEY_SF, 0xff54, MOD_SHIFT},
		{KEY_SHOME, 0xff50, MOD_SHIFT},
		{KEY_SEND, 0xff57, MOD_SHIFT},
		{KEY_SDC, VNC_DELETE, MOD_SHIFT},
		{KEY_SIC, 0xff63, MOD_SHIFT},
		{KEY_B2, 0xff9d, 0},
	};
	static const unsigned function_mods[] = {0, MOD_SHIFT, MOD_CTRL, MOD_CTRL | MOD_SHIFT, MOD_ALT};

	if (key >= KEY_F(1) && key <= KEY_F(60)) {
		int n = key - KEY_F(1);

		type_keysym(c, VNC_F1 + (u32)(n % 12), function_mods[n / 12]);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i].key == key)
			type_keysym(c, keys[i].keysym, keys[i].mods);
}

static void type_char(struct curses *c, u32 ch, unsigned mods)
{
	switch (ch) {
	case '\t':
	case '\r':
	case 8:
	case 27:
		type_keysym(c, 0xff00 | ch, mods);
		return;
	case '\n':
		type_keysym(c, 0xff0d, mods);
		return;
	case 127:
		type_keysym(c, 0xff08, mods);
		return;
	}
	if (ch == 0)
		type_keysym(c, ' ', mods | MOD_CTRL);
	else if (ch < 32)
		type_keysym(c, ch + (ch <= 26 ? 'a' - 1 : '@'), mods | MOD_CTRL);
	else
		type_keysym(c, ch, mods);
}

static const char help[] = "Ctrl-A x quits  Ctrl-A s screenshot  Ctrl-A d Ctrl-Alt-Del  Ctrl-A Ctrl-A Ctrl-A";

static void show_message(struct curses *c, const char *text)
{
	snprintf(c->message, sizeof(c->message), "%s", text);
	c->message_until = clock_ns(&c->vm->clock) + HELP_NS;
}

/* The screen as a PNG file in the current directory, named for the time. */
static void take_screenshot(struct curses *c)
{
	time_t now = time(NULL);
	struct frame frame = {0};
	struct vga_view view;
	char path[64], text[sizeof(c->message)];
	struct tm tm;
	int err = -ENOMEM;

	localtime_r(&now, &tm);
	strftime(path, sizeof(path), "ringer-%Y%m%d-%H%M%S.png", &tm);
	display_snapshot(c->vm, &view);
	if (vga_draw(&view, &frame))
		err = picture_write_png(path, &frame);
	free(frame.pixels);
	if (err)
		snprintf(text, sizeof(text), "%s: %s", path, strerror(-err));
	else
		snprintf(text, sizeof(text), "%s is written", path);
	show_message(c, text);
}

/* The key behind Ctrl-A. */
static void escape(struct curses *c, u32 ch)
{
	switch (ch) {
	case 'x':
		vm_request_exit(c->vm, VM_QUIT, 0);
		return;
	case 'd':
		type_keysym(c, VNC_DELETE, MOD_CTRL | MOD_ALT);
		return;
	case ESCAPE:
		type_char(c, ESCAPE, 0);
		return;
	case 's':
		take_screenshot(c);
		return;
	case 'h':
	case '?':
		show_message(c, help);
		return;
	}
}

/* One key of the terminal. False: there is none. A character that follows Esc at once is one with Alt. */
static bool read_key(struct curses *c)
{
	unsigned mods = 0;
	wint_t ch;
	int kind = get_wch(&ch);

	if (kind == ERR)
		return false;
	if (kind == OK && ch == 27) {
		wint_t next;
		int next_kind = get_wch(&next);

		if (next_kind != ERR) {
			mods = MOD_ALT;
			kind = next_kind;
			ch = next;
		}
	}
	if (c->escaped) {
		c->escaped = false;
		escape(c, kind == OK ? ch : 0);
	} else if (kind == KEY_CODE_YES) {
		type_function(c, (int)ch);
	} else if (ch == ESCAPE && !mods) {
		c->escaped = true;
	} else {
		type_char(c, ch, mods);
	}
	return true;
}

/* What the guest's keyboard has no room for waits in the terminal; if the guest takes none for a while it is lost, for Ctrl-A must work. */
static void read_keys(struct curses *c)
{
	do
		display_wait_for_keyboard(c->vm, &c->stalled);
	while (read_key(c));
}

/* ---- output ---- */

/* The VGA's colours have blue lowest, the terminal's red. */
static short terminal_color(unsigned vga)
{
	return (short)((vga & 8) | (vga & 1) << 2 | (vga & 2) | (vga & 4) >> 2);
}

/* A pair for each combination of colours; intensity by boldness where there are only 8. */
static void attributes(const struct curses *c, u8 attr, bool blinks, attr_t *a, short *pair)
{
	unsigned fg = attr & 15, bg = attr >> 4 & (blinks ? 7 : 15);

	*a = blinks && (attr & 0x80) ? A_BLINK : A_NORMAL;
	*pair = 0;
	if (c->rich) {
		*pair = (short)(1 + fg + 16 * bg);
		return;
	}
	if (fg & 8)
		*a |= A_BOLD;
	if (has_colors())
		*pair = (short)(1 + (fg & 7) + 8 * (bg & 7));
	else if (bg & 7)
		*a |= A_REVERSE;
}

static void init_colors(struct curses *c)
{
	unsigned n;

	if (!has_colors())
		return;
	start_color();
	c->rich = COLORS >= 16 && COLOR_PAIRS > 256;
	n = c->rich ? 16 : 8;
	for (unsigned bg = 0; bg < n; bg++)
		for (unsigned fg = 0; fg < n; fg++)
			if ((int)(1 + fg + n * bg) < COLOR_PAIRS)
				init_pair((short)(1 + fg + n * bg), terminal_color(fg), terminal_color(bg));
}

static void draw_line(const char *text)
{
	erase();
	mvaddnstr(LINES / 2, MAX(0, (COLS - (int)strlen(text)) / 2), text, COLS);
	curs_set(0);
}

static void draw_text(struct curses *c)
{
	const struct text_screen *t = &c->text;
	/* A terminal that is too small shows the part with the cursor. */
	u32 rows = MIN(t->rows, (u32)LINES), cols = MIN(t->cols, (u32)COLS);
	u32 top = t->cursor_row >= rows ? t->cursor_row - rows + 1 : 0, left = t->cursor_col >= cols ? t->cursor_col - cols + 1 : 0;

	for (u32 y = 0; y < rows; y++) {
		for (u32 x = 0; x < cols; x++) {
			u16 cell = t->cells[(top + y) * t->cols + left + x];
			wchar_t s[2] = {(wchar_t)cp437_to_unicode((u8)cell), 0};
			cchar_t ch;
			attr_t a;
			short pair;

			attributes(c, cell >> 8, t->blink, &a, &pair);
			setcchar(&ch, s, a, pair, NULL);
			mvadd_wch((int)y, (int)x, &ch);
		}
		if (cols < (u32)COLS)
			mvhline((int)y, (int)cols, ' ', COLS - (int)cols);
	}
	for (u32 y = rows; y < (u32)LINES; y++)
		mvhline((int)y, 0, ' ', COLS);
	curs_set(t->cursor);
	if (t->cursor)
		move((int)(t->cursor_row - top), (int)(t->cursor_col - left));
}

static void follow_size(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col && (w.ws_row != LINES || w.ws_col != COLS)) {
		resizeterm(w.ws_row, w.ws_col);
		clear();
	}
}

static void refresh_screen(struct curses *c)
{
	char line[80];

	if (!terminal_has_screen())
		return;
	follow_size();
	if (atomic_exchange(&c->redraw, false))
		clearok(stdscr, TRUE);
	display_snapshot(c->vm, &c->view);
	if (c->view.now < c->message_until) {
		draw_line(c->message);
	} else if (vga_text(&c->view, &c->text)) {
		draw_text(c);
	} else {
		snprintf(line, sizeof(line), "graphics mode, %u x %u", c->text.cols, c->text.rows);
		draw_line(line);
	}
	refresh();
}

static void *curses_thread(void *opaque)
{
	struct curses *c = opaque;

	while (!c->thread.stop) {
		struct pollfd fds[2] = {{.fd = c->thread.wake_fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};

		if (poll(fds, 2, FRAME_MS) < 0)
			continue;
		if (fds[0].revents)
			display_thread_woken(&c->thread);
		/* A terminal that is gone ends the machine, by SIGHUP; until then, do not spin on it. */
		if (fds[1].revents & (POLLHUP | POLLERR | POLLNVAL))
			poll(NULL, 0, FRAME_MS);
		else if (fds[1].revents)
			read_keys(c);
		refresh_screen(c);
	}
	return NULL;
}

/* ---- life ---- */

/* All that newterm() and its like have done to the terminal, undone. */
static void register_leave(void)
{
	static const char *const names[] = {"sgr0", "op", "cnorm", "rmkx", "rmcup"};
	char leave[TERMINAL_LEAVE_MAX + 1] = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *s = tigetstr(names[i]);

		if (s && s != (char *)-1 && strlen(leave) + strlen(s) < sizeof(leave) - 3)
			strcat(leave, s);
	}
	strcat(leave, "\r");
	terminal_set_leave(leave);
}

struct curses *curses_open(struct vm *vm)
{
	static const int handled[] = {SIGTSTP, SIGWINCH, SIGINT, SIGTERM};
	struct sigaction old[ARRAY_SIZE(handled)];
	struct curses *c = calloc(1, sizeof(*c));

	if (!c)
		fatal("out of memory");
	c->vm = vm;
	if (!isatty(STDOUT_FILENO) || !terminal_raw(STDIN_FILENO))
		fatal("-display curses: standard input and output must be a terminal");
	/* Characters beyond ASCII need a locale that has them. */
	if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		setlocale(LC_CTYPE, "C.UTF-8");
	for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
		sigaction(handled[i], NULL, &old[i]);
	set_escdelay(ESCAPE_DELAY);
	c->screen = newterm(NULL, stdout, stdin);
	for (size_t i = 0; i < ARRAY_SIZE(handled); i++)
		sigaction(handled[i], &old[i], NULL);
	if (!c->screen)
		fatal("-display curses: the terminal's type '%s' is not known", getenv("TERM") ? getenv("TERM") : "");
	register_leave();
	raw();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	init_colors(c);
	display_thread_start(&c->thread, curses_thread, c);
	return c;
}

void curses_close(struct curses *c)
{
	display_thread_stop(&c->thread);
	if (terminal_has_screen()) {
		terminal_set_leave(NULL);
		endwin();
	}
	delscreen(c->screen);
	free(c);
}

void curses_resume(struct curses *c)
{
	c->redraw = true;
	display_thread_wake(&c->thread);
}
