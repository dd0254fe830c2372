/*
 * The console's commands: which there are, how a line is taken apart, help, completion.
 *
 * Invariants: a command is known by one of the names in its `name`, wholly spelled; what is registered comes before what is built in. A
 * command that fails prints one line. Output is gathered while the command runs, whichever thread that is, and handed out by the caller's.
 */
#include "monitor/console.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/console_internal.h"
#include "monitor/log.h"
#include "monitor/runstate.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"

static void cmd_help(struct console_call *c);

static const struct console_cmd help_commands[] = {
	{"help|?", "[COMMAND]", "show the help of all commands, or of one", 0, cmd_help, NULL},
	{"info", "[SUBJECT]", "show what is known about a subject; help info lists them", 0, NULL, NULL},
	{0},
};

static const struct console_cmd *const tables[] = {
	help_commands,		 console_machine_commands, console_key_commands, console_media_commands,
	console_memory_commands, console_cpu_info,	   console_device_info,
};

struct console *console_of(struct vm *vm)
{
	if (!vm->console) {
		vm->console = calloc(1, sizeof(*vm->console));
		if (!vm->console)
			fatal("out of memory");
		vm->console->last = (struct console_format){1, 'x', 4};
	}
	return vm->console;
}

void console_register(struct vm *vm, struct console_cmd *cmd)
{
	struct console *con = console_of(vm);

	cmd->next = con->registered;
	con->registered = cmd;
}

/* ---- names ---- */

/* Whether "cont|c" has the name s[0..n). */
static bool is_named(const char *names, const char *s, size_t n)
{
	for (;;) {
		size_t k = strcspn(names, "|");

		if (k == n && memcmp(names, s, n) == 0)
			return true;
		if (!names[k])
			return false;
		names += k + 1;
	}
}

/* All commands, one after the other: NULL to begin with. */
struct walk_commands {
	const struct console_cmd *registered;
	size_t table, row;
};

static struct walk_commands all_commands(struct vm *vm)
{
	return (struct walk_commands){console_of(vm)->registered, 0, 0};
}

static const struct console_cmd *next_command(struct walk_commands *w)
{
	const struct console_cmd *cmd = w->registered;

	if (cmd) {
		w->registered = cmd->next;
		return cmd;
	}
	for (; w->table < ARRAY_SIZE(tables); w->table++, w->row = 0)
		if (tables[w->table][w->row].name)
			return &tables[w->table][w->row++];
	return NULL;
}

static const struct console_cmd *find_command(struct vm *vm, const char *s, size_t n)
{
	struct walk_commands w = all_commands(vm);
	const struct console_cmd *cmd;

	while ((cmd = next_command(&w)))
		if (is_named(cmd->name, s, n))
			return cmd;
	return NULL;
}

/* ---- help ---- */

static void help_line(struct console_call *c, const struct console_cmd *cmd)
{
	console_printf(c, "%s%s%s -- %s\n", cmd->name, *cmd->args ? " " : "", cmd->args, cmd->help);
}

static bool is_info(const struct console_cmd *cmd)
{
	return strncmp(cmd->name, "info ", 5) == 0;
}

static void help_all(struct console_call *c, bool info)
{
	struct walk_commands w = all_commands(c->vm);
	const struct console_cmd *cmd;

	while ((cmd = next_command(&w)))
		if (is_info(cmd) == info)
			help_line(c, cmd);
}

static void cmd_help(struct console_call *c)
{
	const struct console_cmd *cmd;
	char name[64], sub[32];

	if (!console_more(c)) {
		help_all(c, false);
		return;
	}
	if (!console_word(c, "command", name, sizeof(name)))
		return;
	if (strcmp(name, "info") == 0) {
		if (!console_more(c)) {
			help_all(c, true);
			return;
		}
		if (!console_word(c, "subject", sub, sizeof(sub)))
			return;
		strcat(strcpy(name, "info "), sub);
	}
	if (!console_end(c))
		return;
	cmd = find_command(c->vm, name, strlen(name));
	if (cmd)
		help_line(c, cmd);
	else
		console_printf(c, "unknown command: '%s'\n", name);
}

/* ---- arguments ---- */

struct vm *console_vm(struct console_call *c)
{
	return c->vm;
}

void console_printf(struct console_call *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	text_vprintf(&c->out, fmt, ap);
	va_end(ap);
}

bool console_more(struct console_call *c)
{
	while (isspace((unsigned char)*c->p))
		c->p++;
	return *c->p;
}

bool console_end(struct console_call *c)
{
	if (!console_more(c))
		return true;
	console_printf(c, "%s: extraneous characters at the end of line\n", c->cmd->name);
	return false;
}

bool console_word(struct console_call *c, const char *what, char *buf, size_t size)
{
	bool quoted;
	size_t n = 0;

	if (!console_more(c)) {
		console_printf(c, "%s: %s expected\n", c->cmd->name, what);
		return false;
	}
	quoted = *c->p == '"';
	if (quoted)
		c->p++;
	while (*c->p && (quoted ? *c->p != '"' : !isspace((unsigned char)*c->p))) {
		char byte = *c->p++;

		if (quoted && byte == '\\' && *c->p) {
			byte = *c->p++;
			byte = byte == 'n' ? '\n' : byte == 'r' ? '\r' : byte;
		}
		if (n + 1 == size) {
			console_printf(c, "%s: %s: it is longer than %zu characters\n", c->cmd->name, what, size - 1);
			return false;
		}
		buf[n++] = byte;
	}
	buf[n] = '\0';
	if (!quoted)
		return true;
	if (*c->p != '"') {
		console_printf(c, "%s: %s: unterminated string\n", c->cmd->name, what);
		return false;
	}
	c->p++;
	return true;
}

bool console_number(struct console_call *c, const char *what, s64 *value)
{
	if (!console_more(c)) {
		console_printf(c, "%s: %s expected\n", c->cmd->name, what);
		return false;
	}
	return console_expr(&c->p, c->cmd->flags & CONSOLE_ON_VCPU ? c->vm->vcpu : NULL, value, &c->out);
}

/* ---- a line ---- */

static void run(void *opaque)
{
	struct console_call *c = opaque;

	c->cmd->fn(c);
}

/* Finds the command that the line begins with, and leaves the rest of it in c->p; complains if there is none. */
static bool look_up(struct console_call *c, const char *line)
{
	char name[64];
	size_t n = strcspn(line, " \t/"), k;

	c->p = line + n;
	c->cmd = n ? find_command(c->vm, line, n) : NULL;
	if (!c->cmd) {
		console_printf(c, "unknown command: '%.*s'\n", (int)MIN(n ? n : strlen(line), 200), line);
		return false;
	}
	if (strcmp(c->cmd->name, "info") != 0)
		return true;
	if (!console_more(c)) {
		help_all(c, true);
		return false;
	}
	k = strcspn(c->p, " \t/");
	if (k < sizeof(name) - 5) {
		memcpy(name, "info ", 5);
		memcpy(name + 5, c->p, k);
		c->cmd = find_command(c->vm, name, k + 5);
	} else {
		c->cmd = NULL;
	}
	if (!c->cmd)
		console_printf(c, "unknown command: 'info %.*s'\n", (int)MIN(k ? k : strlen(c->p), 200), c->p);
	c->p += k;
	return c->cmd;
}

void console_carry_out(struct vm *vm, const char *line, struct text *out, bool here)
{
	struct console_call c = {.vm = vm};

	line += strspn(line, " \t\r\n");
	if (*line && look_up(&c, line)) {
		if (here || !(c.cmd->flags & CONSOLE_ON_VCPU))
			run(&c);
		else if (!vm->vcpu || !vm_call_vcpu(vm, run, &c))
			console_printf(&c, "%s: the machine has ended\n", c.cmd->name);
	}
	*out = c.out;
}

void console_command(struct vm *vm, const char *line, void (*out)(void *opaque, const char *text), void *opaque)
{
	struct text text;

	console_carry_out(vm, line, &text, false);
	if (text.len)
		out(opaque, text.p);
	text_free(&text);
}

/* ---- completion ---- */

/* Counts *nth down by the names in `names` that begin with s[0..n), behind `skip` bytes; true at the one that was asked for. */
static bool nth_name(const char *names, size_t skip, const char *s, size_t n, unsigned *nth, char *buf, size_t size)
{
	for (names += skip;; names++) {
		size_t k = strcspn(names, "|");

		if (k >= n && memcmp(names, s, n) == 0 && k < size && (*nth)-- == 0) {
			memcpy(buf, names, k);
			buf[k] = '\0';
			return true;
		}
		names += k;
		if (!*names)
			return false;
	}
}

bool console_complete(struct vm *vm, const char *line, size_t at, unsigned nth, size_t *start, char *buf, size_t size)
{
	struct walk_commands w = all_commands(vm);
	size_t first, word = at;
	const struct console_cmd *cmd;
	bool sub, media, anything;
	char name[64];

	for (first = 0; first < at && isspace((unsigned char)line[first]); first++)
		;
	while (word > first && !isspace((unsigned char)line[word - 1]))
		word--;
	*start = word;
	line += first;
	at -= first;
	word -= first;
	anything = word == 0;
	sub = strncmp(line, "info ", 5) == 0 && word == 5;
	media = (strncmp(line, "eject ", 6) == 0 && word == 6) || (strncmp(line, "change ", 7) == 0 && word == 7);
	anything = anything || ((strncmp(line, "help ", 5) == 0) && word == 5);
	if (media) {
		for (unsigned i = 0; console_removable(vm, i, name, sizeof(name)); i++)
			if (nth_name(name, 0, line + word, at - word, &nth, buf, size))
				return true;
		return false;
	}
	while ((anything || sub) && (cmd = next_command(&w)))
		if (is_info(cmd) == sub && nth_name(cmd->name, sub ? 5 : 0, line + word, at - word, &nth, buf, size))
			return true;
	return false;
}

/* ---- life ---- */

void console_open(struct vm *vm)
{
	pthread_mutex_lock(&vm->lock);
	console_of(vm);
	pthread_mutex_unlock(&vm->lock);
	console_lines_open(vm);
}

void console_close(struct vm *vm)
{
	if (!vm->console)
		return;
	console_lines_close(vm);
	pthread_mutex_lock(&vm->lock);
	if (vm->console->key_timer.vm)
		timer_del(&vm->console->key_timer);
	pthread_mutex_unlock(&vm->lock);
	free(vm->console);
	vm->console = NULL;
}
