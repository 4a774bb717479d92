// Who may do what: mode bits, sticky and setgid folders, privileges that a write takes away.
#include "check.h"
#include <sys/xattr.h>

/** A file of that mode and owner, holding "text". */
static void owned(const char *name, mode_t mode, uid_t uid, gid_t gid) {
  put(name, "text");
  ok(chown(name, uid, gid));
  ok(chmod(name, mode));
}

/** A directory of that mode and owner. */
static void owned_dir(const char *name, mode_t mode, uid_t uid, gid_t gid) {
  make_dir(name);
  ok(chown(name, uid, gid));
  ok(chmod(name, mode));
}

CHECK_AS_ROOT("permission: the owner's bits count for the owner, whatever the others' allow") {
  owned("f", 0077, USER, USER);
  AS(USER) { fails(EACCES, open("f", O_RDONLY)); fails(EACCES, open("f", O_WRONLY)); }
  AS(OTHER) { ok(open("f", O_RDWR)); }
}

CHECK_AS_ROOT("permission: the group's bits count for the group") {
  owned("f", 0640, 0, NOBODY);
  owned("g", 0606, 0, NOBODY);
  AS(NOBODY) {
    ok(open("f", O_RDONLY));
    fails(EACCES, open("f", O_WRONLY));
    fails(EACCES, open("g", O_RDONLY));
  }
  AS(OTHER) { fails(EACCES, open("f", O_RDONLY)); ok(open("g", O_RDWR)); }
}

CHECK_AS_ROOT("permission: a refused open leaves a lesser one possible") {
  owned("f", 0644, 0, 0);
  AS(USER) {
    fails(EACCES, open("f", O_RDWR));
    fails(EACCES, open("f", O_WRONLY));
    char text[5] = "";
    is(4, read(ok(open("f", O_RDONLY)), text, 4));
    same("text", text);
  }
}

CHECK_AS_ROOT("permission: O_TRUNC without write permission is EACCES and empties nothing") {
  owned("f", 0644, 0, 0);
  AS(USER) fails(EACCES, open("f", O_WRONLY | O_TRUNC));
  same("text", get("f"));
}

CHECK_AS_ROOT("permission: truncate without write permission is EACCES") {
  owned("f", 0644, 0, 0);
  AS(USER) fails(EACCES, truncate("f", 0));
  same("text", get("f"));
}

CHECK_AS_ROOT("permission: a folder without x lets nobody through") {
  owned_dir("d", 0766, 0, 0);
  put("d/f", "");
  AS(USER) { struct stat s; fails(EACCES, stat("d/f", &s)); fails(EACCES, open("d/f", O_RDONLY)); fails(EACCES, chdir("d")); }
}

CHECK_AS_ROOT("permission: a folder without r can be passed, not listed") {
  owned_dir("d", 0711, 0, 0);
  put("d/f", "text");
  AS(USER) { fails(EACCES, open("d", O_RDONLY)); same("text", get("d/f")); }
}

CHECK_AS_ROOT("permission: a folder without w refuses every change in it") {
  owned_dir("d", 0755, 0, 0);
  owned("d/f", 0666, USER, USER);
  make_dir("d/e");
  owned_dir("mine", 0777, USER, USER);
  owned("mine/f", 0666, USER, USER);
  AS(USER) {
    fails(EACCES, open("d/new", O_CREAT | O_WRONLY, 0644));
    fails(EACCES, mkdir("d/new", 0755));
    fails(EACCES, symlink("x", "d/new"));
    fails(EACCES, mkfifo("d/new", 0644));
    fails(EACCES, link("d/f", "d/new"));
    fails(EACCES, unlink("d/f"));
    fails(EACCES, rmdir("d/e"));
    fails(EACCES, rename("d/f", "d/new"));
    fails(EACCES, rename("d/f", "mine/g"));
    fails(EACCES, rename("mine/f", "d/new"));
    ok(open("d/f", O_RDWR));
  }
}

CHECK_AS_ROOT("permission: root passes over the mode bits") {
  owned_dir("d", 0, USER, USER);
  owned("d/f", 0, USER, USER);
  same("text", get("d/f"));
  put("d/f", "new");
  is(1, entries("d"));
  ok(unlink("d/f"));
}

CHECK_AS_ROOT("permission: moving another's folder needs to write in it") {
  owned_dir("a", 0777, USER, USER);
  owned_dir("b", 0777, USER, USER);
  owned_dir("a/sub", 0755, 0, 0);
  AS(USER) { fails(EACCES, rename("a/sub", "b/sub")); ok(rename("a/sub", "a/other")); }
}

CHECK_AS_ROOT("sticky: others' files stay, one's own may go") {
  owned_dir("d", 01777, 0, 0);
  owned("d/theirs", 0666, OTHER, OTHER);
  owned("d/mine", 0666, USER, USER);
  AS(USER) {
    fails(EPERM, unlink("d/theirs"));
    fails(EPERM, rename("d/theirs", "d/x"));
    fails(EPERM, rename("d/mine", "d/theirs"));
    ok(rename("d/mine", "d/still-mine"));
    ok(unlink("d/still-mine"));
  }
  same("text", get("d/theirs"));
}

CHECK_AS_ROOT("sticky: others' empty folders stay") {
  owned_dir("d", 01777, 0, 0);
  owned_dir("d/e", 0777, OTHER, OTHER);
  AS(USER) { fails(EPERM, rmdir("d/e")); fails(EPERM, rename("d/e", "d/x")); }
}

CHECK_AS_ROOT("sticky: the folder's owner may remove anything in it") {
  owned_dir("d", 01777, USER, USER);
  owned("d/f", 0600, OTHER, OTHER);
  AS(USER) ok(unlink("d/f"));
}

CHECK_AS_ROOT("setgid folder: what is made in it takes its group, a folder the bit too") {
  owned_dir("d", 02777, 0, OTHER);
  AS(USER) {
    put("d/f", "");
    make_dir("d/e");
    ok(symlink("x", "d/l"));
    ok(mkfifo("d/p", 0644));
    put("d/e/f", "");
  }
  is(OTHER, look("d/f").st_gid);
  is(USER, look("d/f").st_uid);
  is(OTHER, look("d/e").st_gid);
  is(02755, mode_of("d/e"));
  is(OTHER, look("d/l").st_gid);
  is(OTHER, look("d/p").st_gid);
  is(OTHER, look("d/e/f").st_gid);
}

CHECK_AS_ROOT("setuid: a write by another takes setuid and setgid away") {
  owned("f", 06777, 0, 0);
  AS(USER) { int fd = ok(open("f", O_WRONLY)); is(1, write(fd, "x", 1)); ok(fsync(fd)); }
  is(0777, mode_of("f"));
}

CHECK_AS_ROOT("setuid: a truncate by another takes setuid and setgid away") {
  owned("f", 06777, 0, 0);
  AS(USER) ok(truncate("f", 1));
  is(0777, mode_of("f"));
}

CHECK_AS_ROOT("setuid: setgid without group execution stays when one of the group writes") {
  owned("f", 02666, 0, NOBODY);
  AS(NOBODY) { int fd = ok(open("f", O_WRONLY)); is(1, write(fd, "x", 1)); }
  is(02666, mode_of("f"));
}

CHECK_AS_ROOT("setuid: reading takes nothing away") { owned("f", 06777, 0, 0); AS(USER) same("text", get("f")); is(06777, mode_of("f")); }

CHECK_AS_ROOT("setuid: a write by root takes nothing away") {
  owned("f", 06777, USER, USER);
  int fd = ok(open("f", O_WRONLY));
  is(1, write(fd, "x", 1));
  ok(close(fd));
  is(06777, mode_of("f"));
}

CHECK_AS_ROOT("link: to a file one may not write is EPERM") {
  FILE *rule = fopen("/proc/sys/fs/protected_hardlinks", "r");
  if (!rule || fgetc(rule) != '1') skip("fs.protected_hardlinks is off here");
  owned_dir("d", 0777, 0, 0);
  owned("d/f", 0644, 0, 0);
  owned("d/g", 0666, 0, 0);
  owned("d/h", 04666, 0, 0);
  AS(USER) {
    fails(EPERM, link("d/f", "d/new"));
    fails(EPERM, link("d/h", "d/new"));
    ok(link("d/g", "d/new"));
  }
}

CHECK_AS_ROOT("permission: an extended attribute is set by who may write, and read by who may read") {
  owned("f", 0644, 0, 0);
  if (setxattr("f", "user.a", "1", 1, 0) && errno == EOPNOTSUPP) skip("no user.* attributes here");
  owned("g", 0600, 0, 0);
  ok(setxattr("g", "user.a", "1", 1, 0));
  AS(USER) {
    char value[4];
    fails(EACCES, setxattr("f", "user.b", "1", 1, 0));
    fails(EACCES, removexattr("f", "user.a"));
    is(1, getxattr("f", "user.a", value, 4));
    fails(EACCES, getxattr("g", "user.a", value, 4));
  }
}

CHECK_AS_ROOT("permission: goes by the process that opened, not by who writes then") {
  owned("f", 0600, 0, 0);
  int fd = ok(open("f", O_RDWR));
  AS(USER) {
    char text[5] = "";
    is(4, pread(fd, text, 4, 0));
    is(4, pwrite(fd, "TEXT", 4, 0));
  }
  same("TEXT", get("f"));
}
