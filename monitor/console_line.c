/*
 * Where the console's lines come from and its answers go: the terminal, by way of readline (history, editing, completion); a
 * pseudo-terminal, with an echo and the backspace key; sockets and pipes, as they come.
 *
 * Invariants: nothing waits here. What a peer does not take is kept, bounded by TEXT_MAX, and as long as there is any no input is taken: so
 * what one client can have the console hold is one command's output. A line of a client that goes is forgotten.
 *
 * readline's state is the process's, and so is the terminal (terminal.h): `editor` is the one line that it serves. It neither reads the
 * terminal nor changes its settings: it is handed each byte, and writes through a stream of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#include "monitor/chardev.h"
#include "monitor/console_internal.h"
#include "monitor/log.h"
#include "monitor/vm.h"

#define HISTORY	 100
#define CHUNK	 64
#define DELETE	 0x7f
#define CTRL_C	 3
#define NO_INPUT (-2)

struct console_line {
	struct vm *vm;
	struct chardev *chr;
	struct console_line *next;
	bool own;    /* opened here, for -monitor */
	bool edits;  /* by readline */
	bool echoes; /* what is typed */
	bool crlf;   /* nobody else makes CR LF of LF */
	bool greeted;
	bool prompted; /* the cursor is behind a prompt */
	bool after_cr; /* a LF now belongs to the CR before it */
	bool too_long;
	size_t len;
	char line[CONSOLE_LINE_MAX];
	struct text pending;
	size_t sent; /* of pending */
};

static struct console_line *editor;
static int editor_byte = NO_INPUT;

/* ---- output ---- */

static void flush(struct console_line *l)
{
	/* Until nothing more is taken: only then does CHARDEV_WRITABLE come. */
	while (l->sent < l->pending.len) {
		size_t taken = chardev_write(l->chr, (const u8 *)l->pending.p + l->sent, l->pending.len - l->sent);

		/* The peer may have gone meanwhile, and all has been forgotten. */
		if (!taken || !l->pending.len)
			break;
		l->sent += taken;
	}
	if (l->sent == l->pending.len) {
		text_free(&l->pending);
		l->sent = 0;
	}
}

static void put_bytes(struct console_line *l, const char *s, size_t n)
{
	while (n) {
		const char *end = l->crlf ? memchr(s, '\n', n) : NULL;
		size_t k = end ? (size_t)(end - s) : n;

		text_add(&l->pending, s, k);
		if (end) {
			text_add(&l->pending, "\r\n", 2);
			k++;
		}
		s += k;
		n -= k;
	}
	flush(l);
}

static void put(void *opaque, const char *text)
{
	put_bytes(opaque, text, strlen(text));
}

static void greet(struct console_line *l)
{
	if (!l->greeted)
		put(l, "Ringer " RINGER_VERSION " monitor - type 'help' for more information\n");
	l->greeted = true;
}

/* The command has been `quit`, or another client's has. */
static bool is_over(const struct console_line *l)
{
	return atomic_load(&l->vm->exit_reason) != VM_RUNNING;
}

static void prompt(struct console_line *l)
{
	if (is_over(l))
		return;
	put(l, CONSOLE_PROMPT);
	l->prompted = true;
}

static void carry_out(struct console_line *l, const char *line)
{
	l->prompted = false;
	console_command(l->vm, line, put, l);
}

/* ---- lines as they come ---- */

static void end_line(struct console_line *l)
{
	l->line[l->len] = '\0';
	if (l->echoes)
		put(l, "\n");
	if (l->too_long)
		put(l, "the line is too long\n");
	else
		carry_out(l, l->line);
	l->len = 0;
	l->too_long = false;
	prompt(l);
}

static void take_byte(struct console_line *l, u8 byte)
{
	bool after_cr = l->after_cr;

	l->after_cr = byte == '\r';
	if (byte == '\n' || byte == '\r') {
		if (byte == '\r' || !after_cr)
			end_line(l);
	} else if (byte == '\b' || byte == DELETE) {
		if (l->len) {
			l->len--;
			if (l->echoes)
				put(l, "\b \b");
		}
	} else if (byte < ' ' && byte != '\t') {
		/* Nothing that a command could mean. */
	} else if (l->len + 1 == sizeof(l->line)) {
		l->too_long = true;
	} else {
		l->line[l->len++] = (char)byte;
		if (l->echoes)
			put_bytes(l, (const char *)&byte, 1);
	}
}

/* ---- lines by readline ---- */

static int editor_getc(FILE *stream)
{
	int byte = editor_byte;

	(void)stream;
	editor_byte = NO_INPUT;
	return byte == NO_INPUT ? EOF : byte;
}

static int editor_has_input(void)
{
	return editor_byte != NO_INPUT;
}

static ssize_t editor_write(void *opaque, const char *buf, size_t n)
{
	put_bytes(opaque, buf, n);
	return (ssize_t)n;
}

static void editor_terminal(int meta)
{
	(void)meta;
}

static void editor_no_terminal(void)
{
}

static void editor_line(char *line)
{
	struct console_line *l = editor;
	HIST_ENTRY *last = history_length ? history_get(history_base + history_length - 1) : NULL;

	if (!line) {
		/* Ctrl-D on an empty line. */
		put(l, "\n");
		return;
	}
	if (*line && (!last || strcmp(last->line, line) != 0))
		add_history(line);
	carry_out(l, line);
	free(line);
	if (is_over(l))
		rl_callback_handler_remove();
	else
		l->prompted = true;
}

static char *editor_match(const char *text, int state)
{
	static unsigned nth;
	size_t start;
	char word[128];

	(void)text;
	nth = state ? nth + 1 : 0;
	if (!console_complete(editor->vm, rl_line_buffer, (size_t)rl_point, nth, &start, word, sizeof(word)))
		return NULL;
	return strdup(word);
}

static char **editor_complete(const char *text, int start, int end)
{
	static const char *const with_files[] = {"screendump ", "logfile ", "change "};
	char **matches = rl_completion_matches(text, editor_match);

	(void)start;
	(void)end;
	rl_attempted_completion_over = 1;
	for (size_t i = 0; i < ARRAY_SIZE(with_files); i++)
		if (!matches && strncmp(rl_line_buffer, with_files[i], strlen(with_files[i])) == 0)
			rl_attempted_completion_over = 0;
	return matches;
}

static void editor_size(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row && w.ws_col)
		rl_set_screen_size(w.ws_row, w.ws_col);
}

static void editor_start(struct console_line *l)
{
	static cookie_io_functions_t io = {.write = editor_write};
	FILE *out = fopencookie(l, "w", io);

	if (!out)
		fatal("out of memory");
	editor = l;
	rl_readline_name = "ringer";
	rl_instream = out; /* never read: editor_getc has the bytes */
	rl_outstream = out;
	rl_catch_signals = 0;
	rl_catch_sigwinch = 0;
	rl_change_environment = 0;
	rl_prep_term_function = editor_terminal;
	rl_deprep_term_function = editor_no_terminal;
	rl_getc_function = editor_getc;
	rl_input_available_hook = editor_has_input;
	rl_attempted_completion_function = editor_complete;
	rl_completer_word_break_characters = " \t";
	stifle_history(HISTORY);
	rl_callback_handler_install(CONSOLE_PROMPT, editor_line);
	/* After the installation, which reads the user's own settings. */
	rl_variable_bind("enable-bracketed-paste", "off");
	rl_variable_bind("keyseq-timeout", "0");
	rl_tty_set_echoing(1);
	rl_bind_key(CTRL_C, rl_kill_full_line);
	editor_size();
	l->prompted = true;
}

static void editor_stop(struct console_line *l)
{
	FILE *out = rl_outstream;

	if (editor != l)
		return;
	rl_callback_handler_remove();
	rl_instream = stdin;
	rl_outstream = stdout;
	fclose(out);
	clear_history();
	editor = NULL;
}

/* ---- the back end's client ---- */

static size_t can_receive(void *opaque)
{
	struct console_line *l = opaque;

	return l->pending.len || is_over(l) ? 0 : CHUNK;
}

static void receive(void *opaque, const u8 *buf, size_t n)
{
	struct console_line *l = opaque;

	for (size_t i = 0; i < n && !is_over(l); i++) {
		if (!l->edits) {
			take_byte(l, buf[i]);
			continue;
		}
		editor_byte = buf[i];
		rl_callback_read_char();
	}
}

static void forget(struct console_line *l)
{
	text_free(&l->pending);
	l->sent = l->len = 0;
	l->too_long = l->greeted = l->prompted = l->after_cr = false;
}

static void on_event(void *opaque, enum chardev_event ev)
{
	struct console_line *l = opaque;

	switch (ev) {
	case CHARDEV_OPENED:
		/* One that shares its back end waits for the focus. */
		if (!l->own)
			break;
		/* fall through */
	case CHARDEV_FOCUS:
		if (l->greeted)
			put(l, "\n");
		greet(l);
		if (!l->edits) {
			prompt(l);
		} else if (!editor) {
			editor_start(l);
		} else {
			editor_size();
			rl_forced_update_display();
			l->prompted = true;
		}
		break;
	case CHARDEV_CLOSED:
		forget(l);
		break;
	case CHARDEV_WRITABLE:
		flush(l);
		if (!l->pending.len)
			chardev_accept_input(l->chr);
		break;
	case CHARDEV_BREAK:
		break;
	}
}

/* ---- life ---- */

static void add_line(struct vm *vm, struct chardev *chr, bool own)
{
	struct console_line *l = calloc(1, sizeof(*l));
	struct chardev_client client = {l, can_receive, receive, on_event};

	if (!l)
		fatal("out of memory");
	l->vm = vm;
	l->chr = chr;
	l->own = own;
	l->edits = chardev_is_terminal(chr);
	l->echoes = chardev_is_pty(chr);
	l->crlf = !chardev_is_terminal(chr);
	l->next = vm->console->lines;
	vm->console->lines = l;
	if (own) {
		chardev_no_escapes(chr);
		chardev_attach(chr, &client);
	} else {
		chardev_attach_console(chr, &client);
	}
}

void console_lines_open(struct vm *vm)
{
	char err[256];

	for (unsigned i = 0; i < vm->opt.monitor_count; i++) {
		struct chardev *chr = chardev_open(vm, vm->opt.monitor[i], err, sizeof(err));

		if (!chr)
			fatal("-monitor %s: %s", vm->opt.monitor[i], err);
		pthread_mutex_lock(&vm->lock);
		add_line(vm, chr, true);
		pthread_mutex_unlock(&vm->lock);
	}
	pthread_mutex_lock(&vm->lock);
	for (unsigned i = 0; !vm->opt.no_monitor; i++) {
		struct chardev *chr = chardev_shared(vm, i);

		if (!chr)
			break;
		add_line(vm, chr, false);
	}
	pthread_mutex_unlock(&vm->lock);
}

void console_lines_close(struct vm *vm)
{
	struct console_line *l;

	pthread_mutex_lock(&vm->lock);
	while ((l = vm->console->lines)) {
		vm->console->lines = l->next;
		if (l->prompted)
			put(l, "\n");
		if (l->edits)
			editor_stop(l);
		flush(l);
		if (l->own)
			chardev_close(l->chr);
		else
			chardev_attach_console(l->chr, NULL);
		text_free(&l->pending);
		free(l);
	}
	pthread_mutex_unlock(&vm->lock);
}
