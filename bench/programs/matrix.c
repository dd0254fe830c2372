/* A product of matrices of doubles. Compiled twice, for the x87 and for SSE2; ROW is the row's name. Both print the checksum of their own
 * rounding. */
#include <string.h>
#include "bench.h"

#define N 192

u32 ROW(void)
{
	static double a[N][N], b[N][N], c[N][N];
	u32 i, j, k, random = 99, words[2];
	double sum = 0;

	if (!a[0][0])
		for (i = 0; i < N; i++)
			for (j = 0; j < N; j++) {
				a[i][j] = 1.0 + (double)(bench_random(&random) >> 12) / 65536;
				b[j][i] = 1.0 + (double)(bench_random(&random) >> 12) / 65536;
			}
	for (i = 0; i < N; i++)
		for (j = 0; j < N; j++) {
			double s = 0;

			for (k = 0; k < N; k++)
				s += a[i][k] * b[k][j];
			c[i][j] = s;
		}
	for (i = 0; i < N; i++)
		for (j = 0; j < N; j++)
			sum += c[i][j] / (1 + i + j);
	memcpy(words, &sum, sizeof(words));
	return words[0] ^ words[1];
}
