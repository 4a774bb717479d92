// open(2), creat and O_* flags.
#include "check.h"

CHECK("open: a missing name is ENOENT") { fails(ENOENT, open("f", O_RDONLY)); }
CHECK("open: an empty name is ENOENT") { fails(ENOENT, open("", O_RDONLY)); }
CHECK("open: a missing folder on the way is ENOENT") { fails(ENOENT, open("d/f", O_RDWR | O_CREAT, 0644)); }

CHECK("open: a file on the way is ENOTDIR") {
  put("f", "");
  fails(ENOTDIR, open("f/x", O_RDONLY));
  fails(ENOTDIR, open("f/x", O_RDWR | O_CREAT, 0644));
}

CHECK("open: a directory to write is EISDIR") { make_dir("d"); fails(EISDIR, open("d", O_WRONLY)); fails(EISDIR, open("d", O_RDWR)); }
CHECK("open: O_CREAT on a directory is EISDIR") { make_dir("d"); fails(EISDIR, open("d", O_RDONLY | O_CREAT, 0644)); }
CHECK("open: O_CREAT of a name that ends in a slash is EISDIR") { fails(EISDIR, open("f/", O_RDWR | O_CREAT, 0644)); }
CHECK("open: O_TRUNC on a directory is EISDIR") { make_dir("d"); fails(EISDIR, open("d", O_WRONLY | O_TRUNC)); }
CHECK("open: O_DIRECTORY on a file is ENOTDIR") { put("f", ""); fails(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY)); }
CHECK("open: O_NOFOLLOW on a symlink is ELOOP") { put("f", ""); ok(symlink("f", "l")); fails(ELOOP, open("l", O_RDONLY | O_NOFOLLOW)); }

CHECK("open: O_CREAT makes an empty file of the mode less the umask") {
  umask(027);
  ok(open("f", O_RDWR | O_CREAT, 0666));
  is(0640, mode_of("f"));
  is(0, look("f").st_size);
  yes(S_ISREG(look("f").st_mode));
}

CHECK("open: O_CREAT keeps setuid, setgid and sticky bits") {
  ok(open("u", O_RDWR | O_CREAT, 04755));
  ok(open("g", O_RDWR | O_CREAT, 02755));
  ok(open("t", O_RDWR | O_CREAT, 01644));
  is(04755, mode_of("u"));
  is(02755, mode_of("g"));
  is(01644, mode_of("t"));
}

CHECK("open: what O_CREAT made with mode 0 can be written by its maker") {
  int fd = ok(open("f", O_RDWR | O_CREAT | O_EXCL, 0));
  is(2, write(fd, "hi", 2));
  char text[3] = "";
  is(2, pread(fd, text, 2, 0));
  same("hi", text);
  is(0, mode_of("f"));
}

CHECK("open: what O_CREAT made read-only can be written by its maker") {
  int fd = ok(open("f", O_WRONLY | O_CREAT, 0444));
  is(2, write(fd, "hi", 2));
  ok(close(fd));
  same("hi", get("f"));
}

CHECK("open: O_CREAT on a file opens it as it is") {
  put("f", "text");
  ino_t ino = look("f").st_ino;
  int fd = ok(open("f", O_RDWR | O_CREAT, 0600));
  struct stat s;
  ok(fstat(fd, &s));
  is(4, s.st_size);
  is(ino, s.st_ino);
  is(0644, mode_of("f"));
}

CHECK("open: O_EXCL on a name that exists is EEXIST") {
  put("f", "");
  make_dir("d");
  ok(symlink("nowhere", "l"));
  fails(EEXIST, open("f", O_RDWR | O_CREAT | O_EXCL, 0644));
  fails(EEXIST, open("d", O_RDWR | O_CREAT | O_EXCL, 0644));
  fails(EEXIST, open("l", O_RDWR | O_CREAT | O_EXCL, 0644));
  yes(!exists("nowhere"));
}

CHECK("open: after O_EXCL failed the folder still works") {
  put("f", "");
  for (int i = 0; i < 3; i++) fails(EEXIST, open("f", O_RDWR | O_CREAT | O_EXCL, 0644));
  make_dir("d");
  put("d/f", "text");
  same("text", get("d/f"));
}

CHECK("open: O_CREAT through a dangling symlink makes its target") {
  ok(symlink("target", "l"));
  put("l", "text");
  same("text", get("target"));
  yes(S_ISLNK(look("l").st_mode));
}

CHECK("open: O_TRUNC empties a file, and keeps its mode and number") {
  put("f", "text");
  ok(chmod("f", 0600));
  ino_t ino = look("f").st_ino;
  int fd = ok(open("f", O_WRONLY | O_CREAT | O_TRUNC, 0777));
  is(0, look("f").st_size);
  is(ino, look("f").st_ino);
  is(0600, mode_of("f"));
  is(1, write(fd, "x", 1));
  ok(close(fd));
  same("x", get("f"));
}

CHECK("open: O_TRUNC of an empty file is fine") { put("f", ""); ok(open("f", O_RDWR | O_TRUNC)); is(0, look("f").st_size); }

CHECK("open: reading a descriptor opened to write is EBADF") {
  put("f", "text");
  char byte;
  fails(EBADF, read(ok(open("f", O_WRONLY)), &byte, 1));
}

CHECK("open: writing a descriptor opened to read is EBADF") { put("f", "text"); fails(EBADF, write(ok(open("f", O_RDONLY)), "x", 1)); }

CHECK("open: O_PATH gives a descriptor to stat and to walk from, not to read") {
  make_dir("d");
  put("d/f", "text");
  int dir = ok(open("d", O_PATH)), file = ok(openat(dir, "f", O_PATH));
  struct stat s;
  ok(fstat(file, &s));
  is(4, s.st_size);
  char byte;
  fails(EBADF, read(file, &byte, 1));
}

CHECK("openat: goes from an open directory") {
  make_dir("d");
  int d = ok(open("d", O_RDONLY | O_DIRECTORY));
  int fd = ok(openat(d, "f", O_WRONLY | O_CREAT, 0644));
  is(4, write(fd, "text", 4));
  same("text", get("d/f"));
}

CHECK("openat: from a file is ENOTDIR") { put("f", ""); fails(ENOTDIR, openat(ok(open("f", O_RDONLY)), "x", O_RDONLY)); }

CHECK("open: a descriptor opens again by /proc") {
  put("f", "text");
  int fd = ok(open("f", O_RDONLY));
  char name[64], text[5] = "";
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  int again = ok(open(name, O_RDWR));
  is(4, read(again, text, 4));
  same("text", text);
}

CHECK("open: one file opened 200 times") {
  put("f", "text");
  int last = -1;
  for (int i = 0; i < 200; i++) last = ok(open("f", O_RDONLY));
  char text[5] = "";
  is(4, read(last, text, 4));
}

CHECK("open: 120 files open at once keep their own contents") {
  int fds[120];
  char name[16], text[16];
  for (int i = 0; i < 120; i++) {
    snprintf(name, sizeof name, "%d", i);
    fds[i] = ok(open(name, O_RDWR | O_CREAT, 0644));
    is(strlen(name), write(fds[i], name, strlen(name)));
  }
  for (int i = 0; i < 120; i++) {
    snprintf(name, sizeof name, "%d", i);
    memset(text, 0, sizeof text);
    is(strlen(name), pread(fds[i], text, sizeof text - 1, 0));
    same(name, text);
  }
}

CHECK("open: O_EXCL lets exactly one of two creators win") {
  int won[2];
  pid_t pid;
  ok(pipe(won));
  START(pid) {
    for (int i = 0; i < 40; i++) {
      char name[16];
      snprintf(name, sizeof name, "%d", i);
      if (open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) >= 0) pass(won[1]); else is(EEXIST, errno);
    }
  }
  for (int i = 0; i < 40; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    if (open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) >= 0) pass(won[1]); else is(EEXIST, errno);
  }
  finish(pid);
  char bytes[100];
  is(40, read(won[0], bytes, sizeof bytes));
}

CHECK("open: O_SYNC and O_DSYNC write") {
  int s = ok(open("s", O_WRONLY | O_CREAT | O_SYNC, 0644)), d = ok(open("d", O_WRONLY | O_CREAT | O_DSYNC, 0644));
  is(4, write(s, "text", 4));
  is(4, write(d, "text", 4));
  same("text", get("s"));
  same("text", get("d"));
}

CHECK("open: O_NONBLOCK and O_NOCTTY change nothing on a file") {
  put("f", "text");
  char text[5] = "";
  is(4, read(ok(open("f", O_RDONLY | O_NONBLOCK | O_NOCTTY)), text, 4));
  same("text", text);
}

CHECK("open: O_NOATIME is for the owner") { put("f", "text"); ok(open("f", O_RDONLY | O_NOATIME)); }
CHECK_AS_ROOT("open: O_NOATIME by another is EPERM") { put("f", "text"); AS(USER) fails(EPERM, open("f", O_RDONLY | O_NOATIME)); }

CHECK("open: O_TMPFILE makes a file without a name") {
  int fd = ok(open(".", O_RDWR | O_TMPFILE, 0600));
  is(4, write(fd, "text", 4));
  is(0, entries("."));
}

CHECK("fsync: works on files opened either way, on directories, and after nothing was written") {
  put("f", "text");
  ok(fsync(ok(open("f", O_RDONLY))));
  int fd = ok(open("f", O_WRONLY));
  ok(fsync(fd));
  is(1, write(fd, "T", 1));
  ok(fsync(fd));
  ok(fdatasync(fd));
  ok(fsync(ok(open(".", O_RDONLY | O_DIRECTORY))));
  ok(fdatasync(ok(open(".", O_RDONLY | O_DIRECTORY))));
}
