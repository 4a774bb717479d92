// mknod, fifos, sockets, programs.
#include "check.h"
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

CHECK("mknod: a regular file") {
  ok(mknod("f", S_IFREG | 0640, 0));
  is(0640, mode_of("f"));
  yes(S_ISREG(look("f").st_mode));
  is(0, look("f").st_size);
  put("f", "text");
  same("text", get("f"));
}

CHECK("mknod: a type of 0 is a regular file") { ok(mknod("f", 0600, 0)); yes(S_ISREG(look("f").st_mode)); }
CHECK("mknod: a socket") { ok(mknod("s", S_IFSOCK | 0600, 0)); yes(S_ISSOCK(look("s").st_mode)); fails(ENXIO, open("s", O_RDWR)); }
CHECK("mknod: a directory is EPERM") { fails(EPERM, mknod("d", S_IFDIR | 0755, 0)); }

CHECK("mknod: a name that exists is EEXIST") {
  put("f", "");
  ok(symlink("x", "l"));
  fails(EEXIST, mknod("f", S_IFREG | 0644, 0));
  fails(EEXIST, mkfifo("f", 0644));
  fails(EEXIST, mkfifo("l", 0644));
}

CHECK("mknod: a missing folder is ENOENT, a file on the way ENOTDIR") {
  put("f", "");
  fails(ENOENT, mknod("d/f", S_IFREG | 0644, 0));
  fails(ENOTDIR, mkfifo("f/p", 0644));
}

CHECK("mknod: the umask applies") { umask(077); ok(mkfifo("p", 0666)); is(0600, mode_of("p")); }

CHECK_AS_ROOT("mknod: a device by a user is EPERM") {
  ok(mkdir("d", 0777));
  AS(USER) { fails(EPERM, mknod("d/c", S_IFCHR | 0666, makedev(1, 3))); fails(EPERM, mknod("d/b", S_IFBLK | 0666, makedev(7, 0))); }
  is(0, entries("d"));
}

CHECK_AS_ROOT("mknod: devices keep their numbers") {
  ok(mknod("c", S_IFCHR | 0666, makedev(1, 3)));
  ok(mknod("b", S_IFBLK | 0660, makedev(259, 70000)));
  yes(S_ISCHR(look("c").st_mode) && S_ISBLK(look("b").st_mode));
  is(makedev(1, 3), look("c").st_rdev);
  is(makedev(259, 70000), look("b").st_rdev);
}

CHECK("fifo: carries bytes from one process to another") {
  ok(mkfifo("p", 0600));
  pid_t pid;
  START(pid) { int fd = ok(open("p", O_WRONLY)); is(4, write(fd, "text", 4)); }
  char text[9] = "";
  int fd = ok(open("p", O_RDONLY));
  is(4, read(fd, text, 8));
  same("text", text);
  finish(pid);
  is(0, read(fd, text, 8));
}

CHECK("fifo: to write without waiting is ENXIO while nobody reads") {
  ok(mkfifo("p", 0600));
  fails(ENXIO, open("p", O_WRONLY | O_NONBLOCK));
  ok(open("p", O_RDONLY | O_NONBLOCK));
}

static struct sockaddr_un address(const char *name) {
  struct sockaddr_un a = { .sun_family = AF_UNIX };
  strcpy(a.sun_path, name);
  return a;
}

CHECK("socket: bind makes one, connect finds it") {
  struct sockaddr_un a = address("s");
  int door = ok(socket(AF_UNIX, SOCK_STREAM, 0)), guest = ok(socket(AF_UNIX, SOCK_STREAM, 0));
  char text[5] = "";
  ok(bind(door, (void *)&a, sizeof a));
  yes(S_ISSOCK(look("s").st_mode));
  ok(listen(door, 1));
  ok(connect(guest, (void *)&a, sizeof a));
  is(4, write(guest, "text", 4));
  is(4, read(ok(accept(door, NULL, NULL)), text, 4));
  same("text", text);
  fails(EADDRINUSE, bind(ok(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&a, sizeof a));
}

CHECK("socket: one that nobody listens on is ECONNREFUSED") {
  struct sockaddr_un a = address("s");
  ok(mknod("s", S_IFSOCK | 0600, 0));
  fails(ECONNREFUSED, connect(ok(socket(AF_UNIX, SOCK_STREAM, 0)), (void *)&a, sizeof a));
}

/** A copy of this program. */
static void copy_program(const char *to, mode_t mode) {
  static char bytes[65536];
  int from = ok(open("/proc/self/exe", O_RDONLY)), fd = make(to, mode);
  for (ssize_t n; (n = ok(read(from, bytes, sizeof bytes))) > 0; ) is(n, write(fd, bytes, n));
  ok(close(fd));
}

CHECK("program: runs from here") {
  copy_program("p", 0755);
  pid_t pid = ok(fork());
  if (pid == 0) {
    dup2(open("/dev/null", O_WRONLY), 2);
    execl("p", "p", NULL);
    _exit(99);
  }
  int status;
  ok(waitpid(pid, &status, 0));
  is(2, WEXITSTATUS(status));                          // its answer to wrong usage
}

CHECK("program: one without x is EACCES, a directory too") {
  put("f", "#!/bin/sh\n");
  fails(EACCES, execl("f", "f", NULL));
  make_dir("d");
  fails(EACCES, execl("d", "d", NULL));
  fails(ENOENT, execl("x", "x", NULL));
}
