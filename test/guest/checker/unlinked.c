// Files that are open and have no name any more.
#include "check.h"
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/xattr.h>

/** A file of "text", open, whose name is gone. */
static int nameless(void) {
  put("f", "text");
  int fd = ok(open("f", O_RDWR));
  ok(unlink("f"));
  return fd;
}

CHECK("unlinked: reads and writes go on") {
  int fd = nameless();
  char text[10] = "";
  is(4, pread(fd, text, 9, 0));
  same("text", text);
  is(4, pwrite(fd, "more", 4, 4));
  is(8, pread(fd, text, 9, 0));
  same("textmore", text);
  is(8, lseek(fd, 0, SEEK_END));
}

CHECK("unlinked: fstat tells no links, and the size") {
  int fd = nameless();
  struct stat s;
  ok(fstat(fd, &s));
  is(0, s.st_nlink);
  is(4, s.st_size);
  is(5, pwrite(fd, "!", 1, 4) + 4);
  ok(fstat(fd, &s));
  is(5, s.st_size);
}

CHECK("unlinked: ftruncate") {
  int fd = nameless();
  struct stat s;
  ok(ftruncate(fd, 2));
  ok(fstat(fd, &s));
  is(2, s.st_size);
  ok(ftruncate(fd, 100));
  ok(fstat(fd, &s));
  is(100, s.st_size);
}

CHECK("unlinked: fchmod") { int fd = nameless(); struct stat s; ok(fchmod(fd, 0751)); ok(fstat(fd, &s)); is(0751, s.st_mode & 07777); }

CHECK_AS_ROOT("unlinked: fchown") {
  int fd = nameless();
  struct stat s;
  ok(fchown(fd, USER, OTHER));
  ok(fstat(fd, &s));
  is(USER, s.st_uid);
  is(OTHER, s.st_gid);
}

CHECK("unlinked: futimens") {
  int fd = nameless();
  struct timespec t[2] = { { 1000000000, 0 }, { 1100000000, 0 } };
  struct stat s;
  ok(futimens(fd, t));
  ok(fstat(fd, &s));
  is(1000000000, s.st_atime);
  is(1100000000, s.st_mtime);
}

CHECK("unlinked: fsync and fdatasync") { int fd = nameless(); is(1, write(fd, "x", 1)); ok(fsync(fd)); ok(fdatasync(fd)); }

CHECK("unlinked: locks") {
  int fd = nameless();
  struct flock l = { .l_type = F_WRLCK };
  ok(flock(fd, LOCK_EX | LOCK_NB));
  ok(flock(fd, LOCK_UN));
  ok(fcntl(fd, F_SETLK, &l));
}

CHECK("unlinked: opens again by /proc") {
  int fd = nameless();
  char name[64], text[5] = "";
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  is(4, read(ok(open(name, O_RDWR)), text, 4));
  same("text", text);
}

CHECK("unlinked: gets no new name") {
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", nameless());
  fails(ENOENT, linkat(AT_FDCWD, name, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
}

CHECK("unlinked: extended attributes") {
  put("f", "text");
  if (setxattr("f", "user.a", "1", 1, 0) && errno == EOPNOTSUPP) skip("no user.* attributes here");
  int fd = ok(open("f", O_RDWR));
  char value[4];
  ok(unlink("f"));
  is(1, fgetxattr(fd, "user.a", value, 4));
  ok(fsetxattr(fd, "user.b", "22", 2, 0));
  is(2, fgetxattr(fd, "user.b", value, 4));
}

CHECK("unlinked: a new file of the same name is another one") {
  int fd = nameless();
  struct stat s;
  put("f", "another");
  ok(fstat(fd, &s));
  yes(s.st_ino != look("f").st_ino);
  is(1, pwrite(fd, "T", 1, 0));
  same("another", get("f"));
}

CHECK("unlinked: a descriptor passed to a child goes on after the parent closed it") {
  int fd = nameless();
  pid_t pid;
  int go[2];
  ok(pipe(go));
  START(pid) {
    char text[5] = "";
    await(go[0]);
    is(4, pread(fd, text, 4, 0));
    same("text", text);
  }
  ok(close(fd));
  pass(go[1]);
  finish(pid);
}

CHECK("unlinked: 50 of one name keep their contents") {
  int fds[50];
  for (int i = 0; i < 50; i++) {
    char text[16];
    snprintf(text, sizeof text, "%d", i);
    put("f", text);
    fds[i] = ok(open("f", O_RDONLY));
    ok(unlink("f"));
  }
  for (int i = 0; i < 50; i++) {
    char text[16] = "";
    ok(read(fds[i], text, 15));
    is(i, atoi(text));
  }
}

CHECK("unlinked: opened only to write still grows") {
  int fd = ok(open("f", O_WRONLY | O_CREAT, 0644));
  ok(unlink("f"));
  for (int i = 0; i < 10; i++) is(4, write(fd, "text", 4));
  struct stat s;
  ok(fstat(fd, &s));
  is(40, s.st_size);
}

CHECK("unlinked: made with O_EXCL, unlinked at once, read back") {
  int fd = ok(open("f", O_RDWR | O_CREAT | O_EXCL, 0600));
  ok(unlink("f"));
  char text[5] = "";
  is(4, write(fd, "text", 4));
  is(4, pread(fd, text, 4, 0));
  same("text", text);
}

CHECK("unlinked: its folder can be removed, and it goes on") {
  make_dir("d");
  put("d/f", "text");
  int fd = ok(open("d/f", O_RDWR));
  ok(unlink("d/f"));
  ok(rmdir("d"));
  char text[5] = "";
  is(4, read(fd, text, 4));
  same("text", text);
  is(1, write(fd, "!", 1));
}
