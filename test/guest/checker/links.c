// link, symlink, readlink.
#include "check.h"

CHECK("link: two names of one file") {
  put("a", "text");
  ok(link("a", "b"));
  is(2, look("a").st_nlink);
  is(2, look("b").st_nlink);
  is(look("a").st_ino, look("b").st_ino);
  same("text", get("b"));
  ok(unlink("a"));
  is(1, look("b").st_nlink);
  same("text", get("b"));
}

CHECK("link: what is written or changed by one name is seen by the other") {
  put("a", "text");
  make_dir("d");
  ok(link("a", "d/b"));
  int fd = ok(open("d/b", O_WRONLY));
  is(4, write(fd, "TEXT", 4));
  ok(close(fd));
  same("TEXT", get("a"));
  ok(chmod("a", 0600));
  is(0600, mode_of("d/b"));
}

CHECK("link: a file's first name removed, all goes by the second") {
  make_dir("d");
  put("a", "text");
  ok(link("a", "d/b"));
  int fd = ok(open("a", O_RDWR));
  ok(unlink("a"));
  put("a", "other");
  struct stat s;
  ok(fstat(fd, &s));
  is(look("d/b").st_ino, s.st_ino);
  ok(fchmod(fd, 0600));
  is(0600, mode_of("d/b"));
  ok(rename("d/b", "c"));
  is(4, write(fd, "TEXT", 4));
  same("TEXT", get("c"));
  same("other", get("a"));
}

CHECK("link: 100 names") {
  put("f", "text");
  char name[16];
  for (int i = 0; i < 99; i++) { snprintf(name, sizeof name, "%d", i); ok(link("f", name)); }
  is(100, look("f").st_nlink);
  ok(unlink("f"));
  same("text", get("98"));
  is(99, look("0").st_nlink);
}

CHECK("link: a name that exists is EEXIST") {
  put("a", "");
  put("b", "");
  make_dir("d");
  fails(EEXIST, link("a", "b"));
  fails(EEXIST, link("a", "d"));
  fails(EEXIST, link("a", "a"));
}

CHECK("link: a directory is EPERM") { make_dir("d"); fails(EPERM, link("d", "e")); }
CHECK("link: a missing name is ENOENT") { fails(ENOENT, link("a", "b")); put("a", ""); fails(ENOENT, link("a", "d/b")); }
CHECK("link: a file on the way is ENOTDIR") { put("a", ""); put("f", ""); fails(ENOTDIR, link("a", "f/b")); fails(ENOTDIR, link("f/a", "b")); }

CHECK("link: changes the file's ctime and the folder's mtime") {
  make_dir("d");
  put("a", "");
  older("d");
  struct stat before = look("a");
  usleep(20000);
  ok(link("a", "d/b"));
  struct stat after = look("a");
  yes(after.st_ctim.tv_sec != before.st_ctim.tv_sec || after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
  yes(look("d").st_mtime > 1000000000);
}

CHECK("link: to a symlink is a second name of the symlink") {
  put("f", "text");
  ok(symlink("f", "l"));
  ok(link("l", "m"));
  yes(S_ISLNK(look("m").st_mode));
  is(look("l").st_ino, look("m").st_ino);
  ok(linkat(AT_FDCWD, "l", AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
  is(look("f").st_ino, look("n").st_ino);
}

CHECK("link: of an open file by /proc") {
  put("f", "text");
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", (int)ok(open("f", O_RDONLY)));
  ok(linkat(AT_FDCWD, name, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
  same("text", get("g"));
}

CHECK("link: fifos and sockets may have two names") {
  ok(mkfifo("p", 0644));
  ok(link("p", "q"));
  is(look("p").st_ino, look("q").st_ino);
  is(2, look("q").st_nlink);
}

CHECK("symlink: holds its target to the byte") {
  char target[] = "some/where \xff\xfe not UTF-8", got[100] = "";
  ok(symlink(target, "l"));
  is(strlen(target), readlink("l", got, sizeof got));
  same(target, got);
  is(strlen(target), look("l").st_size);
  yes(S_ISLNK(look("l").st_mode));
}

CHECK("symlink: a target of 4095 bytes") {
  static char target[4096], got[5000];
  memset(target, 'x', 4095);
  for (int i = 200; i < 4095; i += 200) target[i] = '/';
  ok(symlink(target, "l"));
  is(4095, readlink("l", got, sizeof got));
  same(target, got);
  is(4095, look("l").st_size);
}

CHECK("symlink: an empty target is ENOENT, one of 4096 bytes ENAMETOOLONG") {
  static char target[4097];
  memset(target, 'x', 4096);
  fails(ENOENT, symlink("", "l"));
  fails(ENAMETOOLONG, symlink(target, "l"));
}

CHECK("symlink: a name that exists is EEXIST") {
  put("f", "");
  make_dir("d");
  ok(symlink("x", "l"));
  fails(EEXIST, symlink("x", "f"));
  fails(EEXIST, symlink("x", "d"));
  fails(EEXIST, symlink("x", "l"));
}

CHECK("symlink: a missing folder is ENOENT, a file on the way ENOTDIR") {
  put("f", "");
  fails(ENOENT, symlink("x", "d/l"));
  fails(ENOTDIR, symlink("x", "f/l"));
}

CHECK("readlink: a file or directory is EINVAL") { char t[9]; put("f", ""); fails(EINVAL, readlink("f", t, 9)); fails(EINVAL, readlink(".", t, 9)); }

CHECK("readlink: a missing name is ENOENT, a file on the way ENOTDIR") {
  char t[9];
  put("f", "");
  fails(ENOENT, readlink("x", t, 9));
  fails(ENOTDIR, readlink("f/x", t, 9));
}

CHECK("readlink: a short buffer gets the beginning") { char t[9] = ""; ok(symlink("0123456789", "l")); is(4, readlink("l", t, 4)); same("0123", t); }

CHECK("symlink: is followed to files, through folders and up") {
  make_dir("d");
  put("d/f", "text");
  ok(symlink("d", "to-dir"));
  ok(symlink("d/f", "to-file"));
  ok(symlink("../d/f", "d/up"));
  same("text", get("to-file"));
  same("text", get("to-dir/f"));
  same("text", get("to-dir/up"));
  is(2, entries("to-dir/"));
}

CHECK("symlink: a dangling one exists, its target does not") {
  struct stat s;
  ok(symlink("nowhere", "l"));
  fails(ENOENT, stat("l", &s));
  ok(lstat("l", &s));
  fails(ENOENT, open("l", O_RDONLY));
}

CHECK("symlink: a loop is ELOOP") {
  struct stat s;
  ok(symlink("self", "self"));
  ok(symlink("b", "a"));
  ok(symlink("a", "b"));
  fails(ELOOP, open("self", O_RDONLY));
  fails(ELOOP, stat("a", &s));
  fails(ELOOP, open("a/x", O_RDONLY));
  fails(ELOOP, chmod("self", 0644));
  fails(ELOOP, truncate("a", 0));
}

CHECK("symlink: a chain of 40 is followed, one of 41 is ELOOP") {
  put("0", "text");
  for (int i = 1; i <= 41; i++) {
    char name[16], target[16];
    snprintf(name, sizeof name, "%d", i);
    snprintf(target, sizeof target, "%d", i - 1);
    ok(symlink(target, name));
  }
  same("text", get("40"));
  fails(ELOOP, open("41", O_RDONLY));
}

CHECK("symlink: has times of its own") {
  put("f", "");
  ok(symlink("f", "l"));
  older("l");
  is(1000000000, look("l").st_mtime);
  yes(look("f").st_mtime > 1000000000);
}

CHECK("symlink: chmod changes its target") {
  ok(close(make("f", 0644)));
  ok(symlink("f", "l"));
  ok(chmod("l", 0600));
  is(0600, mode_of("f"));
  is(0777, mode_of("l"));
}

CHECK_AS_ROOT("symlink: lchown changes the link, chown its target") {
  put("f", "");
  ok(symlink("f", "l"));
  ok(lchown("l", USER, OTHER));
  is(0, look("f").st_uid);
  is(USER, look("l").st_uid);
  is(OTHER, look("l").st_gid);
  ok(chown("l", OTHER, USER));
  is(OTHER, look("f").st_uid);
  is(USER, look("l").st_uid);
}
