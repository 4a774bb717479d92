// rename(2): what it replaces, what it refuses, and that open files and directories follow.
#include "check.h"

CHECK("rename: a file keeps its number and contents") {
  put("a", "text");
  ino_t ino = look("a").st_ino;
  ok(rename("a", "b"));
  yes(!exists("a"));
  is(ino, look("b").st_ino);
  same("text", get("b"));
}

CHECK("rename: over a file replaces it") {
  put("a", "new");
  put("b", "old");
  ino_t ino = look("a").st_ino;
  ok(rename("a", "b"));
  yes(!exists("a"));
  is(ino, look("b").st_ino);
  same("new", get("b"));
  is(1, entries("."));
}

CHECK("rename: over an open file leaves that open file alone") {
  put("a", "new");
  put("b", "old");
  int fd = ok(open("b", O_RDWR));
  char text[4] = "";
  ok(rename("a", "b"));
  is(3, pread(fd, text, 3, 0));
  same("old", text);
  struct stat s;
  ok(fstat(fd, &s));
  is(0, s.st_nlink);
  is(3, pwrite(fd, "OLD", 3, 0));
  same("new", get("b"));
}

CHECK("rename: a directory takes what is in it along") {
  make_dir("a");
  make_dir("a/sub");
  put("a/sub/f", "text");
  ino_t ino = look("a/sub/f").st_ino;
  ok(rename("a", "b"));
  same("text", get("b/sub/f"));
  is(ino, look("b/sub/f").st_ino);
  fails(ENOENT, open("a/sub/f", O_RDONLY));
}

CHECK("rename: between folders, and .. is the new parent") {
  make_dir("a");
  make_dir("b");
  make_dir("a/sub");
  put("a/f", "text");
  ok(rename("a/f", "b/g"));
  ok(rename("a/sub", "b/sub"));
  same("text", get("b/g"));
  is(look("b").st_ino, look("b/sub/..").st_ino);
  is(0, entries("a"));
  is(2, entries("b"));
  ok(rmdir("a"));
}

CHECK("rename: a directory over an empty one replaces it") {
  make_dir("a");
  put("a/f", "text");
  make_dir("b");
  ok(rename("a", "b"));
  same("text", get("b/f"));
  yes(!exists("a"));
}

CHECK("rename: a directory over one that is not empty is ENOTEMPTY") {
  make_dir("a");
  make_dir("b");
  put("b/f", "");
  if (rename("a", "b") == 0 || errno != EEXIST) fails(ENOTEMPTY, rename("a", "b")); // EEXIST is as good by POSIX
  yes(exists("a") && exists("b/f"));
}

CHECK("rename: a directory over a file is ENOTDIR") { make_dir("a"); put("b", ""); fails(ENOTDIR, rename("a", "b")); yes(exists("a")); }
CHECK("rename: a file over a directory is EISDIR") { put("a", ""); make_dir("b"); fails(EISDIR, rename("a", "b")); yes(exists("a")); }

CHECK("rename: into itself is EINVAL") {
  make_dir("a");
  make_dir("a/b");
  fails(EINVAL, rename("a", "a/x"));
  fails(EINVAL, rename("a", "a/b/x"));
  yes(exists("a/b"));
}

CHECK("rename: over its own parent is ENOTEMPTY") { make_dir("a"); make_dir("a/b"); fails(ENOTEMPTY, rename("a/b", "a")); yes(exists("a/b")); }
CHECK("rename: a missing name is ENOENT") { fails(ENOENT, rename("a", "b")); make_dir("d"); fails(ENOENT, rename("a", "d/b")); }
CHECK("rename: to a missing folder is ENOENT") { put("a", "text"); fails(ENOENT, rename("a", "d/b")); same("text", get("a")); }
CHECK("rename: a file on the way is ENOTDIR") { put("a", ""); put("f", ""); fails(ENOTDIR, rename("a", "f/b")); fails(ENOTDIR, rename("f/a", "b")); }

CHECK("rename: a file to a name that ends in a slash is ENOTDIR") {
  put("a", "");
  fails(ENOTDIR, rename("a", "b/"));
  make_dir("d");
  ok(rename("d", "e/"));
}

CHECK("rename: . and .. are EBUSY") {
  make_dir("d");
  fails(EBUSY, rename("d/.", "x"));
  fails(EBUSY, rename("d/..", "x"));
  fails(EBUSY, rename("d", "."));
}

CHECK("rename: to itself changes nothing") {
  put("a", "text");
  ok(rename("a", "a"));
  same("text", get("a"));
  make_dir("d");
  ok(rename("d", "d"));
  yes(exists("d"));
}

CHECK("rename: onto another name of the same file changes nothing") {
  put("a", "text");
  ok(link("a", "b"));
  ok(rename("a", "b"));
  yes(exists("a") && exists("b"));
  is(2, look("a").st_nlink);
}

CHECK("rename: one of two names leaves the other") {
  put("a", "text");
  ok(link("a", "b"));
  ok(rename("a", "c"));
  same("text", get("b"));
  same("text", get("c"));
  is(2, look("b").st_nlink);
}

CHECK("rename: over one of two names leaves the other") {
  put("a", "text");
  ok(link("a", "b"));
  put("c", "new");
  ok(rename("c", "a"));
  same("new", get("a"));
  same("text", get("b"));
  is(1, look("b").st_nlink);
}

CHECK("rename: a symlink moves itself, not its target") {
  put("f", "text");
  ok(symlink("f", "l"));
  ok(rename("l", "m"));
  yes(S_ISLNK(look("m").st_mode));
  same("text", get("m"));
  yes(exists("f"));
}

CHECK("rename: over a symlink replaces it, not its target") {
  put("f", "text");
  put("a", "new");
  ok(symlink("f", "l"));
  ok(rename("a", "l"));
  yes(S_ISREG(look("l").st_mode));
  same("text", get("f"));
}

CHECK("rename: fifos and sockets move too") {
  ok(mkfifo("p", 0644));
  ok(mknod("s", S_IFSOCK | 0644, 0));
  ok(rename("p", "q"));
  ok(rename("s", "t"));
  yes(S_ISFIFO(look("q").st_mode) && S_ISSOCK(look("t").st_mode));
}

CHECK("rename: an open file follows") {
  make_dir("d");
  put("a", "text");
  int fd = ok(open("a", O_RDWR));
  ok(rename("a", "d/b"));
  char text[5] = "";
  struct stat s;
  is(4, read(fd, text, 4));
  same("text", text);
  ok(fstat(fd, &s));
  is(look("d/b").st_ino, s.st_ino);
  is(1, write(fd, "!", 1));
  ok(fchmod(fd, 0600));
  ok(ftruncate(fd, 3));
  ok(close(fd));
  same("tex", get("d/b"));
  is(0600, mode_of("d/b"));
}

CHECK("rename: an open directory and all below it follow") {
  make_dir("a");
  make_dir("a/b");
  make_dir("a/b/c");
  put("a/b/c/f", "text");
  int b = ok(open("a/b", O_RDONLY)), f = ok(open("a/b/c/f", O_RDWR));
  ino_t ino = look("a/b/c/f").st_ino;
  ok(rename("a", "z"));
  char text[5] = "";
  struct stat s;
  is(4, read(f, text, 4));
  ok(fstatat(b, "c/f", &s, 0));
  is(ino, s.st_ino);
  int again = ok(openat(b, "c/f", O_RDONLY));
  is(4, read(again, text, 4));
  same("text", text);
  ok(mkdirat(b, "new", 0755));
  yes(exists("z/b/new"));
}

CHECK("rename: the working directory follows") {
  make_dir("a");
  make_dir("d");
  BESIDE {
    ok(chdir("a"));
    ok(rename("../a", "../d/b"));
    put("f", "text");
    same("text", get("../../d/b/f"));
  }
}

CHECK("rename: a name taken again after a rename is another file") {
  put("a", "first");
  ino_t first = look("a").st_ino;
  int fd = ok(open("a", O_RDONLY));
  ok(rename("a", "b"));
  put("a", "second");
  yes(look("a").st_ino != first);
  char text[6] = "";
  is(5, read(fd, text, 5));
  same("first", text);
  same("second", get("a"));
  same("first", get("b"));
}

CHECK("rename: a log is rotated through five names ten times") {
  for (int i = 0; i < 10; i++) {
    char text[16], from[16], to[16];
    for (int n = 4; n > 0; n--) {
      snprintf(from, sizeof from, "log.%d", n - 1);
      snprintf(to, sizeof to, "log.%d", n);
      if (rename(from, to)) is(ENOENT, errno);
    }
    snprintf(text, sizeof text, "%d", i);
    put("log.0", text);
  }
  same("9", get("log.0"));
  same("5", get("log.4"));
  is(5, entries("."));
}

CHECK("rename: two directories change places by a third name") {
  make_dir("a");
  make_dir("b");
  put("a/f", "a");
  put("b/f", "b");
  int a = ok(open("a", O_RDONLY));
  ok(rename("a", "t"));
  ok(rename("b", "a"));
  ok(rename("t", "b"));
  same("b", get("a/f"));
  same("a", get("b/f"));
  struct stat s;
  ok(fstatat(a, "f", &s, 0));
  is(look("b/f").st_ino, s.st_ino);
}

CHECK("rename: two processes move one file to and fro, and it is never lost") {
  put("a", "text");
  pid_t pid;
  START(pid) for (int i = 0; i < 40; i++) { if (rename("a", "b")) is(ENOENT, errno); }
  for (int i = 0; i < 40; i++) if (rename("b", "a")) is(ENOENT, errno);
  finish(pid);
  is(1, entries("."));
  same("text", get(exists("a") ? "a" : "b"));
}

CHECK("renameat2: RENAME_NOREPLACE refuses a name that exists, and moves to one that does not") {
  put("a", "a");
  put("b", "b");
  fails(EEXIST, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
  ok(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
  same("a", get("c"));
}

CHECK("renameat2: RENAME_EXCHANGE swaps two names") {
  put("a", "a");
  put("b", "b");
  ok(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
  same("b", get("a"));
  same("a", get("b"));
}
