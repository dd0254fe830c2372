/*
 * The console's commands: a byte that says how the CPU pages, lines up to a zero byte, and what lies in the guest's memory from CR3 on.
 * What is printed must end in a whole line; no line may change the guest's memory or read beyond it. Commands that open files, touch
 * devices or stop the machine are left out: there is no machine around the CPU.
 */
#include "cache/tc.h"
#include "monitor/console_internal.h"
#include "monitor/vcpu.h"
#include "monitor/vm.h"
#include "tests/fuzz/fuzz.h"

#define RAM    (1u << 20)
#define TABLES 0x1000u

static struct vm vm;
static struct vcpu v;
static struct tc tc;
static u8 before[RAM];

static const char *const left_out[] = {"stop",	       "s",
				       "cont",	       "c",
				       "quit",	       "q",
				       "nmi",	       "screendump",
				       "logfile",      "log",
				       "change",       "eject",
				       "mouse_move",   "mouse_button",
				       "system_reset", "system_powerdown"};

static bool is_left_out(const char *line)
{
	size_t n;

	line += strspn(line, " \t\r\n");
	n = strcspn(line, " \t/");
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		if (strlen(left_out[i]) == n && memcmp(left_out[i], line, n) == 0)
			return true;
	return false;
}

static void set_up(void)
{
	vm.vcpu = &v;
	REQUIRE(vm_init(&vm, RAM) == 0, "no machine");
	v.vm = &vm;
	v.tc = &tc;
	for (int n = 0; n < SEG_COUNT; n++)
		v.seg[n] = (struct segment){.limit = 0xffffffff, .attr = SEG_P | SEG_S | SEG_DB | SEG_G, .sel = 8};
}

static void one_line(const char *line)
{
	size_t start;
	char word[128];
	struct text out = {0};

	for (unsigned nth = 0; nth < 3; nth++)
		if (console_complete(&vm, line, strlen(line), nth, &start, word, sizeof(word)))
			REQUIRE(start <= strlen(line) && strlen(word) < sizeof(word), "completion of '%s'", line);
	if (is_left_out(line))
		return;
	pthread_mutex_lock(&vm.lock);
	console_carry_out(&vm, line, &out, true);
	pthread_mutex_unlock(&vm.lock);
	REQUIRE(!out.len || out.p[out.len - 1] == '\n', "'%s' ends in half a line", line);
	text_free(&out);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static char text[4096];
	size_t n;

	if (!v.vm)
		set_up();
	if (!size)
		return 0;
	v.cr0 = CR0_PE | (data[0] & 1 ? CR0_PG : 0);
	v.cr4 = (data[0] & 2 ? CR4_PAE : 0) | (data[0] & 4 ? CR4_PSE : 0);
	v.sysflags = data[0] & 8 ? EFLAGS_VM : 0;
	v.cr3 = TABLES;
	for (int i = 0; i < 4; i++)
		v.pdpte[i] = TABLES | 1;
	n = strnlen((const char *)data + 1, size - 1);
	memset(vm.mem.ram, 0, RAM);
	if (n + 2 < size)
		memcpy(vm.mem.ram + TABLES, data + n + 2, MIN(size - n - 2, RAM - TABLES));
	memcpy(before, vm.mem.ram, RAM);
	n = MIN(n, sizeof(text) - 1);
	memcpy(text, data + 1, n);
	text[n] = '\0';
	console_of(&vm)->last = (struct console_format){1, 'x', 4};
	console_of(&vm)->chord_count = 0;
	for (char *s = text, *end; s; s = end) {
		end = strchr(s, '\n');
		if (end)
			*end++ = '\0';
		one_line(s);
	}
	REQUIRE(memcmp(before, vm.mem.ram, RAM) == 0, "the guest's memory has changed");
	return 0;
}
