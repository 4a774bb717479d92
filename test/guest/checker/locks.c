// fcntl and flock locks, between processes and descriptors.
#include "check.h"
#include <sys/file.h>

static int lock(int fd, int how, int type, off_t start, off_t length) {
  struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length };
  return fcntl(fd, how, &l);
}

/** What another process would run into: the lock in the way of `type` there, or F_UNLCK. */
static struct flock in_the_way(int fd, int type, off_t start, off_t length) {
  struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length };
  ok(fcntl(fd, F_GETLK, &l));
  return l;
}

/** Whether this process could lock that range to write; takes nothing. */
static int is_free(int fd, off_t start, off_t length) {
  if (lock(fd, F_SETLK, F_WRLCK, start, length) == 0) { ok(lock(fd, F_SETLK, F_UNLCK, start, length)); return 1; }
  if (errno != EACCES) is(EAGAIN, errno);
  return 0;
}

static int file(void) { put("f", "0123456789"); return ok(open("f", O_RDWR)); }

CHECK("fcntl: a write lock keeps other processes out, and goes with F_UNLCK") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
  BESIDE { fails(EAGAIN, lock(fd, F_SETLK, F_WRLCK, 0, 0)); fails(EAGAIN, lock(fd, F_SETLK, F_RDLCK, 5, 1)); }
  ok(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  BESIDE ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

CHECK("fcntl: read locks are shared, and keep writers out") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_RDLCK, 0, 0));
  BESIDE { ok(lock(fd, F_SETLK, F_RDLCK, 0, 0)); fails(EAGAIN, lock(fd, F_SETLK, F_WRLCK, 0, 0)); }
}

CHECK("fcntl: ranges apart do not meet") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  BESIDE {
    ok(lock(fd, F_SETLK, F_WRLCK, 10, 10));
    fails(EAGAIN, lock(fd, F_SETLK, F_WRLCK, 9, 1));
    fails(EAGAIN, lock(fd, F_SETLK, F_WRLCK, 5, 100));
  }
}

CHECK("fcntl: unlocking the middle splits a range") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 100));
  ok(lock(fd, F_SETLK, F_UNLCK, 40, 20));
  BESIDE {
    yes(is_free(fd, 40, 20));
    yes(!is_free(fd, 0, 40));
    yes(!is_free(fd, 39, 2));
    yes(!is_free(fd, 60, 1));
    yes(is_free(fd, 100, 0));
  }
}

CHECK("fcntl: ranges that touch merge, and are given up together") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  ok(lock(fd, F_SETLK, F_WRLCK, 20, 10));
  ok(lock(fd, F_SETLK, F_WRLCK, 10, 10));
  BESIDE { yes(!is_free(fd, 0, 30)); yes(!is_free(fd, 15, 1)); }
  ok(lock(fd, F_SETLK, F_UNLCK, 0, 30));
  BESIDE yes(is_free(fd, 0, 0));
}

CHECK("fcntl: a lock is raised and lowered in place") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_RDLCK, 0, 10));
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 10));
  BESIDE fails(EAGAIN, lock(fd, F_SETLK, F_RDLCK, 0, 10));
  ok(lock(fd, F_SETLK, F_RDLCK, 0, 10));
  BESIDE ok(lock(fd, F_SETLK, F_RDLCK, 0, 10));
}

CHECK("fcntl: half of a write lock lowered lets readers into that half") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 20));
  ok(lock(fd, F_SETLK, F_RDLCK, 0, 10));
  BESIDE { ok(lock(fd, F_SETLK, F_RDLCK, 0, 10)); fails(EAGAIN, lock(fd, F_SETLK, F_RDLCK, 10, 10)); }
}

CHECK("fcntl: a length of 0 goes on to any end") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_WRLCK, 100, 0));
  BESIDE { fails(EAGAIN, lock(fd, F_SETLK, F_WRLCK, (off_t)1 << 40, 1)); ok(lock(fd, F_SETLK, F_WRLCK, 0, 100)); }
}

CHECK("fcntl: lengths and starts may count from the end and backwards") {
  int fd = file();
  struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -4, .l_len = 2 };
  struct flock m = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 4, .l_len = -2 };
  ok(fcntl(fd, F_SETLK, &l));
  ok(fcntl(fd, F_SETLK, &m));
  BESIDE { yes(!is_free(fd, 6, 2)); yes(is_free(fd, 8, 2)); yes(!is_free(fd, 2, 2)); yes(is_free(fd, 4, 2)); yes(is_free(fd, 0, 2)); }
  l.l_start = -11;
  fails(EINVAL, fcntl(fd, F_SETLK, &l));
}

CHECK("fcntl: F_GETLK names what is in the way") {
  int fd = file();
  pid_t self = getpid();
  ok(lock(fd, F_SETLK, F_WRLCK, 3, 4));
  BESIDE {
    struct flock l = in_the_way(fd, F_RDLCK, 0, 0);
    is(F_WRLCK, l.l_type);
    is(3, l.l_start);
    is(4, l.l_len);
    is(self, l.l_pid);
    is(F_UNLCK, in_the_way(fd, F_WRLCK, 0, 3).l_type);
  }
  is(F_UNLCK, in_the_way(fd, F_WRLCK, 0, 0).l_type);
}

CHECK("fcntl: F_GETLK does not see read locks in the way of reading") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_RDLCK, 0, 0));
  BESIDE { is(F_RDLCK, in_the_way(fd, F_WRLCK, 0, 0).l_type); is(F_UNLCK, in_the_way(fd, F_RDLCK, 0, 0).l_type); }
}

CHECK("fcntl: closing any descriptor of the file gives its locks up") {
  int fd = file(), again = ok(open("f", O_RDONLY));
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
  ok(close(again));
  BESIDE ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

CHECK("fcntl: the end of a process gives its locks up") {
  int fd = file();
  BESIDE ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

CHECK("fcntl: a killed process gives its locks up") {
  int fd = file(), ready[2];
  pid_t pid = (ok(pipe(ready)), ok(fork()));
  if (pid == 0) { ok(lock(fd, F_SETLK, F_WRLCK, 0, 0)); pass(ready[1]); pause(); }
  await(ready[0]);
  fails(EAGAIN, lock(fd, F_SETLK, F_WRLCK, 0, 0));
  ok(kill(pid, SIGKILL));
  ok(waitpid(pid, NULL, 0));
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

CHECK("fcntl: a write lock needs a descriptor that may write, a read lock one that may read") {
  file();
  fails(EBADF, lock(ok(open("f", O_RDONLY)), F_SETLK, F_WRLCK, 0, 0));
  fails(EBADF, lock(ok(open("f", O_WRONLY)), F_SETLK, F_RDLCK, 0, 0));
}

CHECK("fcntl: F_SETLKW waits, and wakes when the lock is given up") {
  int fd = file(), ready[2];
  pid_t pid;
  ok(pipe(ready));
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
  START(pid) {
    pass(ready[1]);
    double from = now();
    ok(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
    yes(now() - from > 0.2);
    yes(now() - from < 8);
  }
  await(ready[0]);
  usleep(400000);
  ok(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  finish(pid);
}

CHECK("fcntl: F_SETLKW wakes when the holder ends") {
  int fd = file(), ready[2];
  pid_t pid;
  ok(pipe(ready));
  START(pid) { ok(lock(fd, F_SETLK, F_WRLCK, 0, 0)); pass(ready[1]); usleep(300000); }
  await(ready[0]);
  double from = now();
  ok(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
  yes(now() - from < 8);
  finish(pid);
}

static void nothing(int signal) { (void)signal; }
static void interrupt_soon(void) {
  struct sigaction a = { .sa_handler = nothing };
  ok(sigaction(SIGALRM, &a, NULL));
  ualarm(300000, 0);
}

CHECK("fcntl: F_SETLKW ends with EINTR at a signal") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
  BESIDE { interrupt_soon(); fails(EINTR, lock(fd, F_SETLKW, F_WRLCK, 0, 0)); }
}

CHECK("fcntl: two that wait for each other get EDEADLK") {
  int fd = file(), go[2];
  pid_t pid;
  ok(pipe(go));
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 1));
  START(pid) { ok(lock(fd, F_SETLK, F_WRLCK, 1, 1)); pass(go[1]); ok(lock(fd, F_SETLKW, F_WRLCK, 0, 1)); }
  await(go[0]);
  usleep(300000);
  fails(EDEADLK, lock(fd, F_SETLKW, F_WRLCK, 1, 1));
  ok(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  finish(pid);
}

CHECK("fcntl: five processes count to 100 together") {
  put("f", "0");
  pid_t pids[5];
  for (int i = 0; i < 5; i++) START(pids[i]) {
    int fd = ok(open("f", O_RDWR));
    for (int n = 0; n < 20; n++) {
      char text[16] = "";
      ok(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
      ok(pread(fd, text, 15, 0));
      int length = snprintf(text, sizeof text, "%d", atoi(text) + 1);
      is(length, pwrite(fd, text, length, 0));
      ok(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    }
  }
  for (int i = 0; i < 5; i++) finish(pids[i]);
  same("100", get("f"));
}

CHECK("fcntl: locks of a file go by the file, whatever its name") {
  int fd = file();
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
  ok(rename("f", "g"));
  BESIDE fails(EAGAIN, lock(ok(open("g", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
  put("f", "");
  BESIDE ok(lock(ok(open("f", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
}

CHECK("fcntl: locks of a file go by the file, by either of two names") {
  int fd = file();
  ok(link("f", "g"));
  ok(lock(fd, F_SETLK, F_WRLCK, 0, 0));
  BESIDE fails(EAGAIN, lock(ok(open("g", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
  ok(lock(fd, F_SETLK, F_UNLCK, 0, 0));
  BESIDE ok(lock(ok(open("g", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
}

CHECK("ofd locks: descriptors of one process keep each other out") {
  int a = file(), b = ok(open("f", O_RDWR));
  ok(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0));
  fails(EAGAIN, lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
  ok(close(a));
  ok(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
}

CHECK("flock: an exclusive lock keeps other opens out, in the same process and in others") {
  int a = file(), b = ok(open("f", O_RDWR));
  ok(flock(a, LOCK_EX | LOCK_NB));
  fails(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
  fails(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB));
  BESIDE fails(EWOULDBLOCK, flock(ok(open("f", O_RDONLY)), LOCK_SH | LOCK_NB));
  ok(flock(a, LOCK_UN));
  ok(flock(b, LOCK_EX | LOCK_NB));
}

CHECK("flock: shared locks are shared between processes, and keep an exclusive one out") {
  int a = file();
  ok(flock(a, LOCK_SH | LOCK_NB));
  BESIDE { int b = ok(open("f", O_RDONLY)); ok(flock(b, LOCK_SH | LOCK_NB)); fails(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB)); }
}

CHECK("flock: shared locks are shared between two opens of one process") {
  int a = file(), b = ok(open("f", O_RDONLY));
  ok(flock(a, LOCK_SH | LOCK_NB));
  ok(flock(b, LOCK_SH | LOCK_NB));
  ok(flock(a, LOCK_UN));
  fails(EWOULDBLOCK, flock(a, LOCK_EX | LOCK_NB));
}

CHECK("flock: closing gives the lock up") {
  int a = file();
  ok(flock(a, LOCK_EX | LOCK_NB));
  ok(close(a));
  BESIDE ok(flock(ok(open("f", O_RDWR)), LOCK_EX | LOCK_NB));
}

CHECK("flock: a duplicate holds the same lock") {
  int a = file(), b = ok(dup(a));
  ok(flock(a, LOCK_EX | LOCK_NB));
  ok(flock(b, LOCK_EX | LOCK_NB));
  ok(close(a));
  BESIDE fails(EWOULDBLOCK, flock(ok(open("f", O_RDWR)), LOCK_EX | LOCK_NB));
}

CHECK("flock: works on a descriptor opened to read") {
  file();
  int a = ok(open("f", O_RDONLY));
  ok(flock(a, LOCK_EX | LOCK_NB));
  BESIDE fails(EWOULDBLOCK, flock(ok(open("f", O_RDWR)), LOCK_EX | LOCK_NB));
}

CHECK("flock: the end of a process gives its lock up") {
  file();
  BESIDE ok(flock(ok(open("f", O_RDWR)), LOCK_EX | LOCK_NB));
  ok(flock(ok(open("f", O_RDWR)), LOCK_EX | LOCK_NB));
}

CHECK("flock: directories too") {
  make_dir("d");
  int a = ok(open("d", O_RDONLY)), b = ok(open("d", O_RDONLY));
  ok(flock(a, LOCK_EX | LOCK_NB));
  fails(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB));
}

CHECK("flock: a child that unlocks unlocks for its parent") {
  int a = file();
  ok(flock(a, LOCK_EX | LOCK_NB));
  BESIDE ok(flock(a, LOCK_UN));
  BESIDE ok(flock(ok(open("f", O_RDWR)), LOCK_EX | LOCK_NB));
}

CHECK("flock: and fcntl locks do not meet") {
  int a = file();
  ok(flock(a, LOCK_EX | LOCK_NB));
  BESIDE ok(lock(ok(open("f", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
}

CHECK("flock: waits, and wakes when the lock is given up") {
  int a = file(), ready[2];
  pid_t pid;
  ok(pipe(ready));
  ok(flock(a, LOCK_EX | LOCK_NB));
  START(pid) {
    int b = ok(open("f", O_RDWR));
    pass(ready[1]);
    double from = now();
    ok(flock(b, LOCK_EX));
    yes(now() - from > 0.2);
    yes(now() - from < 8);
  }
  await(ready[0]);
  usleep(400000);
  ok(flock(a, LOCK_UN));
  finish(pid);
}

CHECK("flock: waiting ends with EINTR at a signal") {
  int a = file();
  ok(flock(a, LOCK_EX | LOCK_NB));
  BESIDE { int b = ok(open("f", O_RDWR)); interrupt_soon(); fails(EINTR, flock(b, LOCK_EX)); }
}
