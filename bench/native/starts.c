/* starts ROUNDS PROGRAM [ARGUMENT...] + PROGRAM [ARGUMENT...] + ...
 *
 * Starts each program with posix_spawn and waits for its end, all of them in every round in an order that
 * chance picks, as each leaves caches behind for the next. Prints a line of nanoseconds for each round, in
 * the order of the list. Nothing is printed while it measures. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define MOST 32

static long long now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long start(char **argv) {
	char *env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", NULL};
	pid_t pid;
	int status;
	long long begin = now();
	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, env) || waitpid(pid, &status, 0) != pid)
		return -1;
	long long took = now() - begin;
	if (status != 0) {
		fprintf(stderr, "%s ended with status %x\n", argv[0], status);
		exit(1);
	}
	return took;
}

int main(int argc, char **argv) {
	char **list[MOST];
	int n = 0;
	if (argc < 3)
		return 2;
	int rounds = atoi(argv[1]);
	list[n++] = argv + 2;
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], "+")) {
			argv[i] = NULL;
			if (n == MOST)
				return 2;
			list[n++] = argv + i + 1;
		}
	long long *took = calloc((size_t)rounds * n, sizeof *took);
	if (!took)
		return 1;
	int order[MOST];
	for (int i = 0; i < n; i++)
		order[i] = i;
	srandom(1);
	for (int round = -3; round < rounds; round++) { /* some to warm up */
		for (int i = n - 1; i > 0; i--) {
			int j = random() % (i + 1), kept = order[i];
			order[i] = order[j];
			order[j] = kept;
		}
		for (int i = 0; i < n; i++) {
			long long t = start(list[order[i]]);
			if (t < 0)
				return 1;
			if (round >= 0)
				took[round * n + order[i]] = t;
		}
	}
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < n; i++)
			printf("%lld%c", took[round * n + i], i == n - 1 ? '\n' : ' ');
	return 0;
}
