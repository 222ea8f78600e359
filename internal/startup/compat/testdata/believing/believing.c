// believing carries out a script of system calls, by both ABIs of an x86-64 kernel, in a tree of processes, and
// prints what came of each. It is started as root by the kernel's grace and by the supervisor's.
//
//   believing SCRIPT [FIRST END]
#define _GNU_SOURCE
#include <grp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[1 << 20];
static char *lines[1 << 14];
static int count;
static const char *script;

// Below 4 GiB, as the program is linked at a fixed address: i386 reaches it.
static unsigned char buffer[1 << 20];

static long wide(long nr, long *a) {
  long r;
  register long r10 __asm__("r10") = a[3], r8 __asm__("r8") = a[4], r9 __asm__("r9") = a[5];
  __asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return r;
}

static long narrow(long nr, long *a) {
  int r;
  __asm__ volatile("push %%rbp\n mov %7, %%rbp\n int $0x80\n pop %%rbp"
                   : "=a"(r) : "a"((int)nr), "b"((int)a[0]), "c"((int)a[1]), "d"((int)a[2]), "S"((int)a[3]), "D"((int)a[4]), "r"(a[5])
                   : "r8", "r9", "r10", "r11", "memory");
  return r;
}

static long argument(const char *s) {
  if (*s == 'b') return (long)buffer + strtol(s + 1, 0, 0);
  return (long)strtoull(s, 0, 0);
}

static void call(char **w, int n) {
  long a[6] = {0};
  for (int i = 3; i < n && i < 9; i++) a[i - 3] = argument(w[i]);
  long r = w[1][0] == 'i' ? narrow(atol(w[2]), a) : wide(atol(w[2]), a);
  dprintf(1, "%ld", r);
}

static void run(int first, int end) __attribute__((noinline));

struct work {
  sem_t go;
  int first, end;
};

static void *thread(void *p) {
  struct work *w = p;
  sem_wait(&w->go);
  run(w->first, w->end);
  return 0;
}

// child has a frame of its own: after vfork, its caller's belongs to the parent as well.
static __attribute__((noinline, noreturn)) void child(int first, int end) {
  run(first, end);
  _exit(0);
}

// relate starts processes and threads; it gives how many lines it used.
static int relate(const char *how, int at, int a, int b, int c) {
  int p[2], q[2];
  char x;
  if (!strcmp(how, "fork") || !strcmp(how, "vfork")) {
    pid_t pid = *how == 'v' ? vfork() : fork();
    if (!pid) child(at, at + a);
    waitpid(pid, 0, 0);
    return a;
  }
  if (!strcmp(how, "thread")) {
    struct work w = {.first = at + a, .end = at + a + b};
    pthread_t t;
    sem_init(&w.go, 0, 0);
    pthread_create(&t, 0, thread, &w);
    run(at, at + a);
    sem_post(&w.go);
    pthread_join(t, 0);
    return a + b;
  }
  pipe(p);
  pipe(q);
  pid_t pid = fork();
  if (!strcmp(how, "late")) { // the child runs after its parent
    if (!pid) {
      close(p[1]);
      read(p[0], &x, 1);
      child(at + a, at + a + b);
    }
    close(p[0]);
    run(at, at + a);
    close(p[1]);
    close(q[0]);
    close(q[1]);
    waitpid(pid, 0, 0);
    return a + b;
  }
  // orphan: the grandchild runs when its parent is gone and its grandparent went on
  if (!pid) {
    run(at, at + a);
    if (!fork()) {
      close(p[1]);
      close(q[0]);
      read(p[0], &x, 1);
      child(at + a + b, at + a + b + c);
    }
    _exit(0);
  }
  close(p[0]);
  close(q[1]);
  waitpid(pid, 0, 0);
  run(at + a, at + a + b);
  close(p[1]);
  read(q[0], &x, 1);
  close(q[0]);
  return a + b + c;
}

// libc changes all threads, as POSIX wants it.
static void libc(char **w) {
  long a = argument(w[2]);
  gid_t g = a;
  int r = !strcmp(w[1], "setuid") ? setuid(a) : !strcmp(w[1], "setgid") ? setgid(a) : setgroups(1, &g);
  dprintf(1, "%d", r);
}

static void run(int first, int end) {
  for (int i = first; i < end; i++) {
    char copy[512], *w[40];
    int n = 0;
    snprintf(copy, sizeof copy, "%s", lines[i]);
    char *save = 0;
    for (char *t = strtok_r(copy, " ", &save); t && n < 40; t = strtok_r(0, " ", &save)) w[n++] = t;
    if (!n) continue;
    dprintf(1, "%d %s: ", i, lines[i]);
    if (!strcmp(w[0], "call")) {
      call(w, n);
    } else if (!strcmp(w[0], "libc")) {
      libc(w);
    } else if (!strcmp(w[0], "put")) { // OFFSET WIDTH VALUE...
      for (int k = 3; k < n; k++) {
        unsigned long v = strtoull(w[k], 0, 0);
        memcpy(buffer + atol(w[1]) + (k - 3) * atol(w[2]), &v, atol(w[2]));
      }
    } else if (!strcmp(w[0], "show")) { // OFFSET LENGTH
      for (long k = 0; k < atol(w[2]); k++) dprintf(1, "%02x", buffer[atol(w[1]) + k]);
      memset(buffer + atol(w[1]), 0xee, atol(w[2]));
    } else if (!strcmp(w[0], "exec")) {
      char from[16], to[16];
      sprintf(from, "%d", i + 1);
      sprintf(to, "%d", end);
      dprintf(1, "\n");
      execl(n > 1 ? w[1] : "/proc/self/exe", "believing", script, from, to, (char *)0);
      dprintf(1, "failed");
    } else if (!strcmp(w[0], "noexec")) {
      execl("/nowhere", "nowhere", (char *)0);
    } else {
      dprintf(1, "\n");
      i += relate(w[0], i + 1, n > 1 ? atoi(w[1]) : 0, n > 2 ? atoi(w[2]) : 0, n > 3 ? atoi(w[3]) : 0);
      continue;
    }
    dprintf(1, "\n");
  }
}

int main(int argc, char **argv) {
  FILE *f = fopen(script = argv[1], "r");
  if (!f) return 2;
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
  for (char *l = strtok(text, "\n"); l; l = strtok(0, "\n")) lines[count++] = l;
  memset(buffer, 0xee, sizeof buffer);
  run(argc > 3 ? atoi(argv[2]) : 0, argc > 3 ? atoi(argv[3]) : count);
  return 0;
}
