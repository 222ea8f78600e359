/* lookups TIMES UID: nanoseconds of one getpwuid, and the name that was found. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
	if (argc != 3)
		return 2;
	long times = atol(argv[1]);
	uid_t uid = strtoul(argv[2], NULL, 10);
	struct passwd *found = getpwuid(uid);
	if (!found)
		return 1;
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < times; i++)
		if (!(found = getpwuid(uid)))
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%.0f %s\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / times, found->pw_name);
	return 0;
}
