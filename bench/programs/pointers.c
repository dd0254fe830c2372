/* Rows that follow pointers: a sort with a comparison function, a search tree and a list. */
#include <stdlib.h>
#include "bench.h"

#define SORTED	60000
#define NODES	32768
#define LOOKUPS 100000
#define WALKS	8

static int compare(const void *a, const void *b)
{
	u32 x = *(const u32 *)a, y = *(const u32 *)b;

	return (x > y) - (x < y);
}

u32 row_qsort(void)
{
	static u32 data[SORTED];
	u32 i, random = 12345, sum = 0;

	for (i = 0; i < SORTED; i++)
		data[i] = bench_random(&random);
	qsort(data, SORTED, sizeof(*data), compare);
	for (i = 0; i < SORTED; i++)
		sum = sum * 31 + data[i];
	return sum;
}

struct node {
	u32 key;
	struct node *child[2];
	struct node *next;
};

u32 row_tree(void)
{
	static struct node nodes[NODES];
	struct node *root = NULL, **p, *n, *list = NULL;
	u32 i, random = 777, sum = 0;

	for (i = 0; i < NODES; i++) {
		nodes[i] = (struct node){.key = bench_random(&random)};
		for (p = &root; *p; p = &(*p)->child[nodes[i].key > (*p)->key])
			;
		*p = &nodes[i];
	}
	for (i = 0; i < NODES; i++) {
		n = &nodes[i * 16381 % NODES];
		n->next = list;
		list = n;
	}
	for (i = 0; i < LOOKUPS; i++) {
		u32 key = bench_random(&random);

		for (n = root; n && n->key != key; n = n->child[key > n->key])
			sum++;
	}
	for (i = 0; i < WALKS; i++)
		for (n = list; n; n = n->next)
			sum += n->key;
	return sum;
}
