// Two views of one folder: what is done in one is seen in the other at once. `there` is the other view.
#include "check.h"
#include <sys/file.h>

static int lock(int fd, int how, int type, off_t start, off_t length) {
  struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length };
  return fcntl(fd, how, &l);
}

static struct stat look_there(const char *name) { struct stat s; ok(fstatat(there, name, &s, AT_SYMLINK_NOFOLLOW)); return s; }
static void same_there(const char *wanted, const char *name) {
  char text[256] = "";
  int fd = ok(openat(there, name, O_RDONLY));
  ok(read(fd, text, sizeof text - 1));
  ok(close(fd));
  same(wanted, text);
}

CHECK_TWO("two views: a file made here is there, with contents, number and mode") {
  struct stat s;
  fails(ENOENT, fstatat(there, "f", &s, 0));
  put("f", "text");
  same_there("text", "f");
  is(look("f").st_ino, look_there("f").st_ino);
  is(0644, look_there("f").st_mode & 07777);
}

CHECK_TWO("two views: what is written here is read there by an open descriptor") {
  put("f", "text");
  int fd = ok(openat(there, "f", O_RDONLY));
  char text[20] = "";
  is(4, pread(fd, text, 19, 0));
  put("f", "longer text");
  is(11, pread(fd, text, 19, 0));
  same("longer text", text);
  struct stat s;
  ok(fstat(fd, &s));
  is(11, s.st_size);
}

CHECK_TWO("two views: appends from both sides follow each other") {
  int a = ok(open("f", O_WRONLY | O_CREAT | O_APPEND, 0644)), b = ok(openat(there, "f", O_WRONLY | O_APPEND));
  for (int i = 0; i < 4; i++) { is(2, write(a, "a ", 2)); is(2, write(b, "b ", 2)); }
  same("a b a b a b a b ", get("f"));
}

CHECK_TWO("two views: truncate here, size there") {
  put("f", "text");
  is(4, look_there("f").st_size);
  ok(truncate("f", 1));
  is(1, look_there("f").st_size);
  same_there("t", "f");
}

CHECK_TWO("two views: chmod, times and links here, stat there") {
  put("f", "");
  look_there("f");
  ok(chmod("f", 0600));
  older("f");
  ok(link("f", "g"));
  is(0600, look_there("f").st_mode & 07777);
  is(1000000000, look_there("f").st_mtime);
  is(2, look_there("g").st_nlink);
}

CHECK_TWO("two views: rename here, the new name there") {
  put("a", "text");
  int fd = ok(openat(there, "a", O_RDWR));
  ok(rename("a", "b"));
  same_there("text", "b");
  is(4, write(fd, "TEXT", 4));
  same("TEXT", get("b"));
}

CHECK_TWO("two views: a name that goes here goes there") {
  struct stat s;
  static const char *const all[] = { "a", "b", "d" };
  put("a", "");
  put("b", "");
  make_dir("d");
  for (int i = 0; i < 3; i++) look_there(all[i]);
  ok(rename("a", "c"));
  ok(unlink("b"));
  ok(rmdir("d"));
  for (int i = 0; i < 3; i++) fails(ENOENT, fstatat(there, all[i], &s, 0));
}

CHECK_TWO("two views: a name that goes here goes there, while it is open there") {
  struct stat s;
  put("f", "");
  int fd = ok(openat(there, "f", O_RDONLY));
  ok(unlink("f"));
  fails(ENOENT, fstatat(there, "f", &s, 0));
  ok(close(fd));
}

CHECK_TWO("two views: a folder renamed here, a file open below it there") {
  make_dir("d");
  put("d/f", "text");
  int fd = ok(openat(there, "d/f", O_RDWR));
  ok(rename("d", "e"));
  struct stat s;
  ok(fstat(fd, &s));
  is(look("e/f").st_ino, s.st_ino);
  is(4, write(fd, "TEXT", 4));
  same_there("TEXT", "e/f");
}

CHECK_TWO("two views: unlink here, the open file there goes on") {
  put("f", "text");
  int fd = ok(openat(there, "f", O_RDWR));
  ok(unlink("f"));
  struct stat s;
  char text[9] = "";
  is(4, pread(fd, text, 8, 0));
  same("text", text);
  is(4, pwrite(fd, "more", 4, 4));
  is(8, pread(fd, text, 8, 0));
  ok(fstat(fd, &s));
  is(8, s.st_size);
  ok(ftruncate(fd, 1));
}

CHECK_TWO("two views: replaced here, the new file there") {
  put("f", "old");
  same_there("old", "f");
  put("g", "new");
  ok(rename("g", "f"));
  same_there("new", "f");
  is(look("f").st_ino, look_there("f").st_ino);
}

CHECK_TWO("two views: what comes and goes in a folder here is listed there") {
  make_dir("d");
  put("d/f", "");
  int d = ok(openat(there, "d", O_RDONLY));
  DIR *dir = fdopendir(ok(dup(d)));
  int n = 0;
  yes(dir);
  while (readdir(dir)) n++;
  is(3, n);
  ok(unlink("d/f"));
  rewinddir(dir);
  for (n = 0; readdir(dir); ) n++;
  is(2, n);
  ok(rmdir("d"));
}

CHECK_TWO("two views: O_EXCL lets one side win") {
  for (int i = 0; i < 20; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    ok(close(ok(openat(i % 2 ? there : AT_FDCWD, name, O_CREAT | O_EXCL | O_WRONLY, 0644))));
    fails(EEXIST, openat(i % 2 ? AT_FDCWD : there, name, O_CREAT | O_EXCL | O_WRONLY, 0644));
  }
}

CHECK_TWO("two views: a symlink changed here leads elsewhere there") {
  put("a", "a");
  put("b", "b");
  ok(symlink("a", "l"));
  same_there("a", "l");
  ok(unlink("l"));
  ok(symlink("b", "l"));
  same_there("b", "l");
}

CHECK_TWO("two views: fcntl locks keep each other out, by range") {
  put("f", "0123456789");
  int a = ok(open("f", O_RDWR));
  ok(lock(a, F_SETLK, F_WRLCK, 0, 5));
  BESIDE {
    int b = ok(openat(there, "f", O_RDWR));
    fails(EAGAIN, lock(b, F_SETLK, F_WRLCK, 0, 0));
    fails(EAGAIN, lock(b, F_SETLK, F_RDLCK, 4, 1));
    ok(lock(b, F_SETLK, F_WRLCK, 5, 5));
  }
  ok(lock(a, F_SETLK, F_UNLCK, 0, 0));
  BESIDE ok(lock(ok(openat(there, "f", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
}

CHECK_TWO("two views: fcntl read locks are shared") {
  put("f", "");
  ok(lock(ok(open("f", O_RDONLY)), F_SETLK, F_RDLCK, 0, 0));
  BESIDE { int b = ok(openat(there, "f", O_RDWR)); ok(lock(b, F_SETLK, F_RDLCK, 0, 0)); fails(EAGAIN, lock(b, F_SETLK, F_WRLCK, 0, 0)); }
}

CHECK_TWO("two views: F_GETLK sees the other side's lock") {
  put("f", "");
  ok(lock(ok(open("f", O_RDWR)), F_SETLK, F_WRLCK, 3, 4));
  BESIDE {
    struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    ok(fcntl(ok(openat(there, "f", O_RDWR)), F_GETLK, &l));
    is(F_WRLCK, l.l_type);
    is(3, l.l_start);
    is(4, l.l_len);
  }
}

CHECK_TWO("two views: F_SETLKW waits for the other side, and wakes soon") {
  int ready[2];
  pid_t pid;
  put("f", "");
  int a = ok(open("f", O_RDWR));
  ok(pipe(ready));
  ok(lock(a, F_SETLK, F_WRLCK, 0, 0));
  START(pid) {
    int b = ok(openat(there, "f", O_RDWR));
    pass(ready[1]);
    double from = now();
    ok(lock(b, F_SETLKW, F_WRLCK, 0, 0));
    yes(now() - from > 0.2);
    yes(now() - from < 8);                             // the kernel's own way is to ask again after 30 seconds
  }
  await(ready[0]);
  usleep(500000);
  ok(lock(a, F_SETLK, F_UNLCK, 0, 0));
  finish(pid);
}

CHECK_TWO("two views: closing here lets the other side in") {
  put("f", "");
  BESIDE ok(lock(ok(open("f", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
  BESIDE ok(lock(ok(openat(there, "f", O_RDWR)), F_SETLK, F_WRLCK, 0, 0));
}

CHECK_TWO("two views: flock keeps the other side out") {
  put("f", "");
  int a = ok(open("f", O_RDWR));
  ok(flock(a, LOCK_EX | LOCK_NB));
  BESIDE { int b = ok(openat(there, "f", O_RDWR)); fails(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB)); fails(EWOULDBLOCK, flock(b, LOCK_SH | LOCK_NB)); }
  ok(flock(a, LOCK_SH));
  BESIDE { int b = ok(openat(there, "f", O_RDWR)); fails(EWOULDBLOCK, flock(b, LOCK_EX | LOCK_NB)); ok(flock(b, LOCK_SH | LOCK_NB)); }
  ok(close(a));
  BESIDE ok(flock(ok(openat(there, "f", O_RDWR)), LOCK_EX | LOCK_NB));
}

CHECK_TWO("two views: two processes a side count to 100 together") {
  pid_t pids[4];
  put("f", "0");
  for (int i = 0; i < 4; i++) START(pids[i]) {
    int fd = ok(openat(i % 2 ? there : AT_FDCWD, "f", O_RDWR));
    for (int n = 0; n < 25; n++) {
      char text[16] = "";
      ok(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
      ok(pread(fd, text, 15, 0));
      int length = snprintf(text, sizeof text, "%d", atoi(text) + 1);
      is(length, pwrite(fd, text, length, 0));
      ok(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    }
  }
  for (int i = 0; i < 4; i++) finish(pids[i]);
  same("100", get("f"));
}
