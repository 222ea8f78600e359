// hanging has processes ask about files of a file system that never answers, and then asks itself.
//
//   hanging mount DIR PROGRAM...   mounts one, and becomes a program
//   hanging ask DIR COUNT
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int serve(char **argv) {
  char options[128];
  sprintf(options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", open("/dev/fuse", O_RDWR));
  if (mount("nobody", argv[2], "fuse", MS_NOSUID | MS_NODEV, options)) {
    perror("hanging");
    return 1;
  }
  execvp(argv[3], argv + 3);
  return 1;
}

int main(int argc, char **argv) {
  if (!strcmp(argv[1], "mount")) return serve(argv);
  int count = atoi(argv[3]), alive = 0;
  char path[512];
  pid_t all[64];
  sprintf(path, "%s/file", argv[2]);
  for (int i = 0; i < count; i++)
    if (!(all[i] = fork())) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      syscall(SYS_chroot, path);
      _exit(0);
    }
  usleep(500000);
  long uid = syscall(SYS_getuid);
  for (int i = 0; i < count; i++) alive += waitpid(all[i], 0, WNOHANG) == 0;
  printf("hanging %d\nuid %ld\n", alive, uid);
  for (int i = 0; i < count; i++) kill(all[i], SIGKILL);
  return 0;
}
