/*
 * The mix that small processors are measured with: a list that is searched, reversed and sorted, a product of integer matrices, a state
 * machine that reads numbers, and a CRC over all results.
 */
#include "bench.h"

#define ROUNDS 400
#define LIST   64
#define N      10

struct item {
	struct item *next;
	u16 key, value;
};

static u16 crc16(u16 crc, u32 value)
{
	int i;

	for (i = 0; i < 32; i++, value >>= 1)
		crc = (u16)(crc >> 1 ^ ((crc ^ value) & 1 ? 0xa001 : 0));
	return crc;
}

static struct item *reverse(struct item *list)
{
	struct item *out = NULL, *next;

	for (; list; list = next) {
		next = list->next;
		list->next = out;
		out = list;
	}
	return out;
}

static int by_key(const struct item *a, const struct item *b)
{
	return a->key - b->key;
}

static int by_value(const struct item *a, const struct item *b)
{
	return a->value - b->value;
}

/* Merge sort of a list with a comparison function. */
static struct item *sort(struct item *list, int (*compare)(const struct item *, const struct item *))
{
	struct item *half = list, *fast, *out = NULL, **tail = &out, *other;

	if (!list || !list->next)
		return list;
	for (fast = list->next; fast && fast->next; fast = fast->next->next)
		half = half->next;
	other = sort(half->next, compare);
	half->next = NULL;
	list = sort(list, compare);
	while (list && other) {
		struct item **least = compare(list, other) <= 0 ? &list : &other;

		*tail = *least;
		tail = &(*least)->next;
		*least = *tail;
	}
	*tail = list ? list : other;
	return out;
}

static u16 lists(u32 seed, u16 crc)
{
	static struct item items[LIST];
	struct item *list = NULL, *p;
	u32 i;

	for (i = 0; i < LIST; i++) {
		items[i] = (struct item){.next = list, .key = (u16)(bench_random(&seed) >> 20), .value = (u16)(bench_random(&seed) >> 16)};
		list = &items[i];
	}
	list = sort(list, by_value);
	for (i = 0; i < LIST; i += 4) {
		for (p = list; p && p->key != items[i].key; p = p->next)
			;
		crc = crc16(crc, p ? p->value : 0);
		list = reverse(list);
	}
	for (p = sort(list, by_key); p; p = p->next)
		crc = crc16(crc, p->value);
	return crc;
}

static u16 matrices(u32 seed, u16 crc)
{
	static short a[N][N], b[N][N];
	u32 i, j, k, sum = 0;

	for (i = 0; i < N; i++)
		for (j = 0; j < N; j++) {
			a[i][j] = (short)(bench_random(&seed) >> 16);
			b[i][j] = (short)bench_random(&seed);
		}
	for (i = 0; i < N; i++)
		for (j = 0; j < N; j++) {
			int s = 0;

			for (k = 0; k < N; k++)
				s += a[i][k] * b[k][j] >> 4 & 0x7fff;
			sum += (u32)(s & 0xff) * 5 + (u32)(s >> 5);
		}
	return crc16(crc, sum);
}

enum state { START, SIGN, INTEGER, POINT, FRACTION, EXPONENT, INVALID, STATES };

static enum state step(enum state s, char c)
{
	int digit = c >= '0' && c <= '9';

	switch (s) {
	case START:
		if (c == '+' || c == '-')
			return SIGN;
		/* fall through */
	case SIGN:
		return digit ? INTEGER : c == '.' ? POINT : INVALID;
	case INTEGER:
		return digit ? INTEGER : c == '.' ? POINT : c == 'e' ? EXPONENT : INVALID;
	case POINT:
	case FRACTION:
		return digit ? FRACTION : c == 'e' && s == FRACTION ? EXPONENT : INVALID;
	case EXPONENT:
		return digit || c == '-' ? EXPONENT : INVALID;
	default:
		return INVALID;
	}
}

static u16 states(u32 seed, u16 crc)
{
	static const char *const numbers[] = {"5012", "+1.25e4", "-874.0", "1x3", ".5", "+.", "-1e-9", "12.75"};
	u32 i, seen[STATES] = {0};

	for (i = 0; i < 64; i++) {
		const char *p = numbers[bench_random(&seed) >> 29];
		enum state s = START;

		for (; *p && s != INVALID; p++) {
			s = step(s, *p);
			seen[s]++;
		}
	}
	for (i = 0; i < STATES; i++)
		crc = crc16(crc, seen[i]);
	return crc;
}

u32 row_mix(void)
{
	u32 i;
	u16 crc = 0xffff;

	for (i = 1; i <= ROUNDS; i++) {
		crc = lists(i * 2654435761u, crc);
		crc = matrices(i * 40503u, crc);
		crc = states(i * 69069u, crc);
	}
	return crc;
}
