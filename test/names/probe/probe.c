/* who a static program is told that it is */
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
	struct passwd *p = getpwuid(getuid());
	if (!p)
		return 1;
	return printf("name=%s uid=%u home=%s\n", p->pw_name, (unsigned)p->pw_uid, p->pw_dir) < 0;
}
