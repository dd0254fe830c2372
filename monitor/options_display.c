/*
 * The options that show the screen: -vnc, -display, -screenshot and -screentext.
 *
 * Invariants: strings point into argv, or are copied whole into a field that has room for them.
 */
#include "monitor/options_display.h"

#include <stdlib.h>
#include <string.h>

#include "monitor/log.h"
#include "monitor/options_item.h"

/* "HOST:N" of a VNC display; HOST may be an IPv6 address in brackets. */
static void parse_vnc_address(struct vnc_option *v, const char *name, const char *s)
{
	const char *colon = strrchr(s, ':');
	size_t n = colon ? (size_t)(colon - s) : 0;

	if (!colon)
		fatal("-%s: '%s' is not HOST:N", name, s);
	if (n >= 2 && s[0] == '[' && s[n - 1] == ']')
		s++, n -= 2;
	if (n >= sizeof(v->host))
		fatal("-%s: the host's name is too long", name);
	memset(v->host, 0, sizeof(v->host));
	memcpy(v->host, s, n);
	v->port = (u16)(5900 + options_number(name, "the display's number", colon + 1, 0, 65535 - 5900));
	v->on = true;
}

/* What follows HOST:N. */
static void vnc_properties(struct vnc_option *v, const char *name, const char *arg)
{
	bool password = false;
	struct option_item it;

	while (options_next_item(name, &arg, &it)) {
		if (strcmp(it.key, "password") == 0 && (!it.has_value || !strcmp(it.value, "on") || !strcmp(it.value, "off")))
			password = strcmp(it.value, "off") != 0;
		else if (strcmp(it.key, "password-file") == 0 && *it.value)
			memcpy(v->password_file, it.value, sizeof(v->password_file));
		else
			fatal("-%s: invalid property '%s'", name, it.key);
	}
	if (password && !v->password_file[0])
		fatal("-%s: password=on: give the password as the first line of a file, with password-file=FILE", name);
}

void options_vnc(struct options *o, const char *name, const char *arg)
{
	struct option_item it;

	if (strcmp(arg, "none") == 0) {
		o->vnc.on = false;
		return;
	}
	options_next_item(name, &arg, &it);
	if (it.has_value)
		fatal("-%s: '%s=%s' is not HOST:N", name, it.key, it.value);
	parse_vnc_address(&o->vnc, name, it.key);
	vnc_properties(&o->vnc, name, arg);
}

void options_display(struct options *o, const char *name, const char *arg)
{
	struct option_item it;

	options_next_item(name, &arg, &it);
	if (strcmp(it.key, "vnc") == 0 && it.has_value) {
		parse_vnc_address(&o->vnc, name, it.value);
		vnc_properties(&o->vnc, name, arg);
		return;
	}
	if (arg || it.has_value || (strcmp(it.key, "none") != 0 && strcmp(it.key, "curses") != 0))
		fatal("-%s: '%s' is not supported: 'none', 'curses' and 'vnc=HOST:N' are there", name, it.key);
	o->curses = strcmp(it.key, "curses") == 0;
}

void options_shot(struct options *o, const char *name, const char *arg, bool text)
{
	const char *at = NULL;
	struct shot_option *s;
	double seconds;
	char *end;

	if (o->shot_count == MAX_SHOTS)
		fatal("-%s: there can be %d of them", name, MAX_SHOTS);
	s = &o->shots[o->shot_count++];
	/* The file's name may have commas of its own. */
	for (const char *p = arg; (p = strstr(p, ",at=")); p++)
		at = p;
	*s = (struct shot_option){.path = arg, .path_len = at ? (size_t)(at - arg) : strlen(arg), .text = text};
	if (!s->path_len)
		fatal("-%s: needs a file's name", name);
	s->at_end = !at || strcmp(at + 4, "end") == 0;
	if (s->at_end)
		return;
	seconds = strtod(at + 4, &end);
	if (end == at + 4 || *end || !(seconds >= 0 && seconds <= 1e9))
		fatal("-%s: at=%s: 'end', or seconds after the start", name, at + 4);
	s->at_ns = (u64)(seconds * 1e9);
}
