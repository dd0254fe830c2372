/* What the files of the console share; private to them and their tests. */
#ifndef RINGER_CONSOLE_INTERNAL_H
#define RINGER_CONSOLE_INTERNAL_H

#include "monitor/console.h"
#include "monitor/event.h"
#include "monitor/text.h"

struct vcpu;
struct console_line;

#define CONSOLE_LINE_MAX 4096
#define CONSOLE_PROMPT	 "(ringer) "

/* A command under way. */
struct console_call {
	struct vm *vm;
	const struct console_cmd *cmd;
	const char *p; /* the rest of the line */
	struct text out;
};

/* /FMT: how x, xp and print show values. */
struct console_format {
	u32 count;
	char format; /* one of x d u o c i */
	int size;    /* 1, 2, 4, 8; -1: none was given and the format is i */
};

/* Keys that are pressed together, for sendkey. */
#define CHORD_KEYS 16
struct chord {
	u16 keys[CHORD_KEYS];
	unsigned count;
	u32 hold_ms;
};
#define CHORDS 128

struct console {
	const struct console_cmd *registered;
	struct console_format last; /* what x and its like take if they are not told */
	u8 buttons;		    /* of the mouse */
	struct timer key_timer;
	struct chord chords[CHORDS]; /* a ring of those still to be typed */
	unsigned chord_first, chord_count, chord_tries;
	bool chord_down; /* the first one's keys are down */
	struct console_line *lines;
};

/* The machine's, made when first asked for. Lock held. */
struct console *console_of(struct vm *vm);

/* The tables of built-in commands end in one without a name. */
extern const struct console_cmd console_memory_commands[], console_machine_commands[], console_media_commands[], console_cpu_info[],
	console_device_info[], console_key_commands[];

/*
 * One line into `out`. here: the calling thread is the vCPU's or stands for it (tests), so that nothing is handed over.
 */
void console_carry_out(struct vm *vm, const char *line, struct text *out, bool here);
/*
 * The nth way (from 0) to complete the last word of line[0..at): the whole word, into buf; false if there is no such. *start is where the
 * word begins.
 */
bool console_complete(struct vm *vm, const char *line, size_t at, unsigned nth, size_t *start, char *buf, size_t size);
/* The nth drive whose medium can be changed: its name; false if there is no such. */
bool console_removable(struct vm *vm, unsigned nth, char *buf, size_t size);

/* ---- console_expr.c ---- */

/*
 * QEMU's expressions: numbers in C's notation, 'c', $register, ( ), unary + - ~; then * / %, then & | ^, then + -. Takes as much off *p as
 * belongs to it, blanks behind it too. v: whose registers, or NULL: there are none. On an error, one line in err and false.
 */
bool console_expr(const char **p, const struct vcpu *v, s64 *value, struct text *err);

/* ---- console_memory.c ---- */

/* "/12xb" at *p, or nothing: the defaults in *last, which follow. False, with a line in err, for what is no format. */
bool console_parse_format(const char **p, struct console_format *last, struct console_format *f, struct text *err);
/* n bytes at a linear or physical address, from what is memory; false if not all of them are. Changes nothing in the guest. */
bool console_read(const struct vcpu *v, bool physical, u64 address, void *buf, size_t n);
/* What x and xp print. */
void console_dump(const struct vcpu *v, bool physical, u64 address, const struct console_format *f, struct text *out);
void console_print_value(struct text *out, char format, s64 value);

/* ---- console_line.c ---- */

/* What -monitor and mon: have asked for; console_open and console_close. */
void console_lines_open(struct vm *vm);
void console_lines_close(struct vm *vm);

#endif
