/* What su-exec does, and nothing else: stepdown UID GID PROGRAM [ARGUMENT...]. */
#define _GNU_SOURCE
#include <grp.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
	if (argc < 4)
		return 2;
	uid_t uid = strtoul(argv[1], NULL, 10);
	gid_t gid = strtoul(argv[2], NULL, 10);
	if (setgroups(1, &gid) || setgid(gid) || setuid(uid))
		return 1;
	execvp(argv[3], argv + 3);
	return 127;
}
