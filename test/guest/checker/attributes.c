// stat, chmod, chown, times, access.
#include "check.h"
#include <sys/syscall.h>

CHECK("stat: a new file is its maker's, with one link, no size and a block size") {
  put("f", "");
  struct stat s = look("f");
  is(geteuid(), s.st_uid);
  is(getegid(), s.st_gid);
  is(1, s.st_nlink);
  is(0, s.st_size);
  yes(s.st_blksize > 0);
  yes(time(NULL) - s.st_mtime < 600 && s.st_mtime - time(NULL) < 600);
  is(look(".").st_dev, s.st_dev);
}

CHECK_AS_ROOT("stat: what a user makes is that user's") {
  ok(mkdir("d", 0777));
  AS(USER) {
    ok(chdir("d"));
    put("f", "");
    make_dir("e");
    ok(symlink("f", "l"));
    ok(mkfifo("p", 0644));
    static const char *const all[] = { "f", "e", "l", "p" };
    for (int i = 0; i < 4; i++) { is(USER, look(all[i]).st_uid); is(USER, look(all[i]).st_gid); }
  }
}

CHECK("stat: a missing name is ENOENT, a file on the way ENOTDIR") {
  struct stat s;
  put("f", "");
  fails(ENOENT, stat("x", &s));
  fails(ENOTDIR, stat("f/x", &s));
  fails(ENOTDIR, stat("f/", &s));
  fails(ENOENT, stat("", &s));
}

CHECK("stat: the same by name and by descriptor") {
  put("f", "text");
  struct stat a = look("f"), b;
  ok(fstat(ok(open("f", O_RDONLY)), &b));
  is(a.st_ino, b.st_ino);
  is(a.st_mode, b.st_mode);
  is(a.st_size, b.st_size);
  is(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
  is(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
}

CHECK("stat: 100 files have 100 numbers, and keep them") {
  ino_t all[100];
  char name[16];
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof name, "%d", i);
    put(name, "");
    all[i] = look(name).st_ino;
    for (int n = 0; n < i; n++) if (all[n] == all[i]) is(n, i);
  }
  for (int i = 0; i < 100; i++) { snprintf(name, sizeof name, "%d", i); is(all[i], look(name).st_ino); }
}

CHECK("stat: blocks follow what was written") {
  static char bytes[100000];
  memset(bytes, 'x', sizeof bytes);
  int fd = make("f", 0644);
  is(sizeof bytes, write(fd, bytes, sizeof bytes));
  ok(fsync(fd));
  yes(look("f").st_blocks * 512 >= 100000 && look("f").st_blocks * 512 < 1000000);
}

CHECK("statx: gives the basics") {
  struct statx s;
  put("f", "text");
  ok(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &s));
  is(STATX_BASIC_STATS, s.stx_mask & STATX_BASIC_STATS);
  is(4, s.stx_size);
}

CHECK("chmod: sets every bit, on files and directories") {
  static const int modes[] = { 0, 0400, 0200, 0111, 0644, 0755, 0777, 01777, 04755, 02755, 06755, 07777 };
  ok(close(make("f", 0644)));
  make_dir("d");
  for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++) {
    ok(chmod("f", modes[i]));
    is(modes[i], mode_of("f"));
    ok(chmod("d", modes[i]));
    is(modes[i], mode_of("d"));
  }
  yes(S_ISREG(look("f").st_mode) && S_ISDIR(look("d").st_mode));
}

CHECK("chmod: a missing name is ENOENT, a file on the way ENOTDIR") {
  put("f", "");
  fails(ENOENT, chmod("x", 0644));
  fails(ENOTDIR, chmod("f/x", 0644));
}

CHECK("fchmod: works on a descriptor opened to read") { put("f", ""); ok(fchmod(ok(open("f", O_RDONLY)), 0640)); is(0640, mode_of("f")); }

CHECK("chmod: changes ctime and not mtime") {
  put("f", "");
  older("f");
  struct stat before = look("f");
  usleep(20000);
  ok(chmod("f", 0600));
  struct stat after = look("f");
  is(1000000000, after.st_mtime);
  yes(after.st_ctim.tv_sec != before.st_ctim.tv_sec || after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
}

CHECK_AS_ROOT("chmod: by another is EPERM") {
  ok(close(make("f", 0666)));
  ok(mkdir("d", 0777));
  AS(USER) { fails(EPERM, chmod("f", 0777)); fails(EPERM, chmod("d", 0700)); fails(EPERM, fchmod(ok(open("f", O_RDWR)), 0777)); }
  is(0666, mode_of("f"));
}

CHECK_AS_ROOT("chmod: by an owner outside the file's group drops setgid") {
  ok(close(make("f", 0755)));
  ok(chown("f", USER, OTHER));
  AS(USER) ok(chmod("f", 02755));
  is(0755, mode_of("f"));
}

CHECK_AS_ROOT("chown: owner, group, both, or neither") {
  put("f", "");
  ok(chown("f", USER, -1));
  is(USER, look("f").st_uid);
  is(0, look("f").st_gid);
  ok(chown("f", -1, OTHER));
  is(USER, look("f").st_uid);
  is(OTHER, look("f").st_gid);
  ok(chown("f", 0, 0));
  is(0, look("f").st_uid + look("f").st_gid);
  ok(chown("f", -1, -1));
  is(0, look("f").st_uid + look("f").st_gid);
  make_dir("d");
  ok(chown("d", USER, USER));
  is(USER, look("d").st_uid);
  ok(fchown(ok(open("f", O_RDONLY)), OTHER, USER));
  is(OTHER, look("f").st_uid);
}

CHECK_AS_ROOT("chown: large numbers") {
  put("f", "");
  ok(chown("f", 3000000000u, 4000000000u));
  is(3000000000u, look("f").st_uid);
  is(4000000000u, look("f").st_gid);
}

CHECK_AS_ROOT("chown: drops setuid and setgid of a program, not of a directory") {
  ok(close(make("f", 06755)));
  make_dir("d");
  ok(chmod("d", 06755));
  ok(chown("f", USER, USER));
  ok(chown("d", USER, USER));
  is(0755, mode_of("f"));
  is(06755, mode_of("d"));
}

CHECK("chown: by its owner, to what it is") {
  put("f", "");
  ok(chown("f", geteuid(), getegid()));
  ok(chown("f", -1, -1));
  ok(chown("f", -1, getegid()));
}

CHECK("chown: a missing name is ENOENT, a file on the way ENOTDIR") {
  put("f", "");
  fails(ENOENT, chown("x", -1, -1));
  fails(ENOTDIR, chown("f/x", -1, -1));
}

CHECK_AS_ROOT("chown: by a user is EPERM to give it away or to a group not one's own") {
  put("f", "");
  ok(chown("f", USER, USER));
  AS(USER) {
    fails(EPERM, chown("f", OTHER, -1));
    fails(EPERM, chown("f", -1, OTHER));
    ok(chown("f", USER, USER));
  }
  put("g", "");
  AS(USER) { fails(EPERM, chown("g", USER, -1)); fails(EPERM, chown("g", -1, USER)); }
}

CHECK_AS_ROOT("chown: by a user to a group that only the process has") {
  put("f", "");
  ok(chown("f", USER, USER));
  BESIDE {
    gid_t more = OTHER;
    ok(syscall(SYS_setgroups, 1, &more));
    ok(setresgid(USER, USER, USER));
    ok(setresuid(USER, USER, USER));
    ok(chown("f", -1, OTHER));
  }
  is(OTHER, look("f").st_gid);
}

CHECK("times: seconds are kept, each for itself") {
  put("f", "");
  struct timespec t[2] = { { 1234567890, 0 }, { 987654321, 0 } };
  ok(utimensat(AT_FDCWD, "f", t, 0));
  is(1234567890, look("f").st_atime);
  is(987654321, look("f").st_mtime);
  t[0].tv_nsec = UTIME_OMIT;
  t[1].tv_sec = 555555555;
  ok(utimensat(AT_FDCWD, "f", t, 0));
  is(1234567890, look("f").st_atime);
  is(555555555, look("f").st_mtime);
}

CHECK("times: nanoseconds are kept") {
  put("f", "");
  struct timespec t[2] = { { 1234567890, 123456789 }, { 987654321, 999999999 } };
  ok(utimensat(AT_FDCWD, "f", t, 0));
  is(123456789, look("f").st_atim.tv_nsec);
  is(999999999, look("f").st_mtim.tv_nsec);
}

/** Sets the mtime to that second, and gives what it is then. */
static time_t kept(time_t second) {
  put("f", "");
  struct timespec t[2] = { { 0, UTIME_OMIT }, { second, 0 } };
  ok(utimensat(AT_FDCWD, "f", t, 0));
  return look("f").st_mtime;
}

CHECK("times: after 2038, and after 2106") { is(2500000000, kept(2500000000)); is(4500000000, kept(4500000000)); }
CHECK("times: before 1970") { is(-86400, kept(-86400)); }

CHECK("times: UTIME_NOW and no times mean now") {
  put("f", "");
  older("f");
  struct timespec t[2] = { { 0, UTIME_NOW }, { 0, UTIME_OMIT } };
  ok(utimensat(AT_FDCWD, "f", t, 0));
  yes(look("f").st_atime > 1000000000);
  is(1000000000, look("f").st_mtime);
  ok(utimensat(AT_FDCWD, "f", NULL, 0));
  yes(look("f").st_mtime > 1000000000);
}

CHECK("times: of directories, and by descriptor") {
  struct timespec t[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
  make_dir("d");
  put("f", "");
  older("d");
  is(1000000000, look("d").st_mtime);
  ok(futimens(ok(open("f", O_RDONLY)), t));
  is(1000000000, look("f").st_mtime);
}

CHECK("times: a missing name is ENOENT, a file on the way ENOTDIR") {
  put("f", "");
  fails(ENOENT, utimensat(AT_FDCWD, "x", NULL, 0));
  fails(ENOTDIR, utimensat(AT_FDCWD, "f/x", NULL, 0));
}

CHECK_AS_ROOT("times: who may write may set them to now, and to nothing else") {
  ok(close(make("f", 0666)));
  ok(close(make("g", 0644)));
  AS(USER) {
    struct timespec t[2] = { { 1, 0 }, { 1, 0 } };
    ok(utimensat(AT_FDCWD, "f", NULL, 0));
    fails(EPERM, utimensat(AT_FDCWD, "f", t, 0));
    fails(EACCES, utimensat(AT_FDCWD, "g", NULL, 0));
    fails(EPERM, utimensat(AT_FDCWD, "g", t, 0));
  }
}

CHECK("times: are kept by rename and link") {
  put("f", "");
  older("f");
  ok(rename("f", "g"));
  ok(link("g", "h"));
  is(1000000000, look("h").st_mtime);
}

CHECK("access: answers by the mode bits") {
  ok(close(make("f", 0644)));
  ok(access("f", F_OK));
  ok(access("f", R_OK | W_OK));
  fails(EACCES, access("f", X_OK));
  fails(ENOENT, access("x", F_OK));
  put("file", "");
  fails(ENOTDIR, access("file/x", F_OK));
}

CHECK_AS_ROOT("access: of a user by each class of the mode") {
  ok(close(make("f", 0604)));
  AS(USER) { ok(access("f", R_OK)); fails(EACCES, access("f", W_OK)); }
}
