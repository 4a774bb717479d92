// Places that say no: one that is read-only (--read-only DIR, which holds a file "f" and an empty folder "d"), and a small one
// (--small DIR: empty, with room for less than 8 MiB and 1000 files).
#include "check.h"
#include <sys/statvfs.h>
#include <sys/xattr.h>

CHECK_IN(READ_ONLY, "read-only: files are read, listed and looked at") {
  same("text", get("f"));
  is(2, entries("."));
  ok(access("f", R_OK));
  ok(fsync(ok(open("f", O_RDONLY))));
}

CHECK_IN(READ_ONLY, "read-only: opening to write is EROFS") {
  fails(EROFS, open("f", O_WRONLY));
  fails(EROFS, open("f", O_RDWR));
  fails(EROFS, open("f", O_RDONLY | O_TRUNC));
  fails(EROFS, open("f", O_WRONLY | O_APPEND));
  fails(EROFS, truncate("f", 0));
  same("text", get("f"));
}

CHECK_IN(READ_ONLY, "read-only: making anything is EROFS") {
  fails(EROFS, open("new", O_CREAT | O_WRONLY, 0644));
  fails(EROFS, open("new", O_CREAT | O_RDONLY, 0644));
  fails(EROFS, mkdir("new", 0755));
  fails(EROFS, symlink("f", "new"));
  fails(EROFS, link("f", "new"));
  fails(EROFS, mkfifo("new", 0644));
  fails(EROFS, mknod("new", S_IFREG | 0644, 0));
  is(2, entries("."));
}

CHECK_IN(READ_ONLY, "read-only: removing and renaming are EROFS") {
  fails(EROFS, unlink("f"));
  fails(EROFS, rmdir("d"));
  fails(EROFS, rename("f", "new"));
  fails(EROFS, rename("f", "d/f"));
  is(2, entries("."));
}

CHECK_IN(READ_ONLY, "read-only: changing attributes is EROFS") {
  fails(EROFS, chmod("f", 0600));
  fails(EROFS, chown("f", -1, getegid()));
  fails(EROFS, utimensat(AT_FDCWD, "f", NULL, 0));
  fails(EROFS, setxattr("f", "user.a", "1", 1, 0));
  fails(EROFS, removexattr("f", "user.a"));
}

static char bytes[65536];

/** Writes until there is no room; how much there was. */
static long fill(int fd) {
  long total = 0;
  for (ssize_t n; (n = write(fd, bytes, sizeof bytes)) > 0; total += n) yes(total < 64 << 20);
  is(ENOSPC, errno);
  return total;
}

CHECK_IN(SMALL, "small: writing beyond the room is ENOSPC, and statvfs tells") {
  struct statvfs s;
  int fd = make("f", 0644);
  long total = fill(fd);
  yes(total > 0);
  is(total, look("f").st_size & ~65535L);
  ok(statvfs(".", &s));
  yes(s.f_bavail * s.f_frsize < sizeof bytes);
}

CHECK_IN(SMALL, "small: full, what is there can still be read, written over, renamed and removed") {
  put("a", "text");
  int fd = make("f", 0644);
  fill(fd);
  is(4, pwrite(fd, "TEXT", 4, 0));
  same("text", get("a"));
  int a = ok(open("a", O_WRONLY));
  is(4, write(a, "TEXT", 4));
  ok(rename("a", "b"));
  same("TEXT", get("b"));
  ok(unlink("b"));
}

CHECK_IN(SMALL, "small: what is removed or cut off is room again") {
  int fd = make("f", 0644);
  long total = fill(fd);
  ok(ftruncate(fd, 0));
  ok(lseek(fd, 0, SEEK_SET));
  is(total, fill(fd));
  ok(close(fd));
  ok(unlink("f"));
  fd = make("g", 0644);
  is(total, fill(fd));
}

CHECK_IN(SMALL, "small: holes take no room") {
  int fd = make("f", 0644);
  ok(ftruncate(fd, (off_t)1 << 30));
  is(1, pwrite(fd, "x", 1, 500 << 20));
  is((off_t)1 << 30, look("f").st_size);
}

CHECK_IN(SMALL, "small: more files than there may be is ENOSPC, for every kind of file") {
  char name[16];
  int n = 0;
  for (; n < 2000; n++) {
    snprintf(name, sizeof name, "%d", n);
    if (mknod(name, S_IFREG | 0644, 0)) break;
  }
  is(ENOSPC, errno);
  fails(ENOSPC, open("new", O_CREAT | O_WRONLY, 0644));
  fails(ENOSPC, mkdir("new", 0755));
  fails(ENOSPC, symlink("x", "new"));
  fails(ENOSPC, mkfifo("new", 0644));
  is(n, entries("."));
  ok(unlink("0"));
  ok(mkdir("new", 0755));
}
