// mkdir, rmdir, unlink, reading directories, statfs.
#include "check.h"
#include <libgen.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

CHECK("mkdir: makes an empty directory of the mode less the umask") {
  umask(027);
  ok(mkdir("d", 0777));
  is(0750, mode_of("d"));
  yes(S_ISDIR(look("d").st_mode));
  is(0, entries("d"));
  yes(look("d").st_nlink >= 1);
}

CHECK("mkdir: keeps the sticky bit") { ok(mkdir("d", 01777)); is(01777, mode_of("d")); }
CHECK("mkdir: a trailing slash is fine") { ok(mkdir("d/", 0755)); yes(exists("d")); }
CHECK("mkdir: a missing folder on the way is ENOENT") { fails(ENOENT, mkdir("a/b", 0755)); fails(ENOENT, mkdir("", 0755)); }
CHECK("mkdir: a file on the way is ENOTDIR") { put("f", ""); fails(ENOTDIR, mkdir("f/d", 0755)); }

CHECK("mkdir: a name that exists is EEXIST") {
  put("f", "");
  make_dir("d");
  ok(symlink("nowhere", "l"));
  fails(EEXIST, mkdir("f", 0755));
  fails(EEXIST, mkdir("d", 0755));
  fails(EEXIST, mkdir("l", 0755));
  fails(EEXIST, mkdir(".", 0755));
  fails(EEXIST, mkdir("..", 0755));
}

CHECK("mkdirat and unlinkat: go from an open directory") {
  make_dir("d");
  int d = ok(open("d", O_RDONLY));
  ok(mkdirat(d, "sub", 0755));
  ok(close(ok(openat(d, "f", O_CREAT | O_WRONLY, 0644))));
  is(2, entries("d"));
  fails(EISDIR, unlinkat(d, "sub", 0));
  fails(ENOTDIR, unlinkat(d, "f", AT_REMOVEDIR));
  fails(EINVAL, unlinkat(d, "f", 1));
  ok(unlinkat(d, "sub", AT_REMOVEDIR));
  ok(unlinkat(d, "f", 0));
  is(0, entries("d"));
}

CHECK("rmdir: removes an empty directory") { make_dir("d"); ok(rmdir("d")); yes(!exists("d")); fails(ENOENT, rmdir("d")); }

CHECK("rmdir: a directory that is not empty is ENOTEMPTY") {
  make_dir("d");
  put("d/f", "");
  fails(ENOTEMPTY, rmdir("d"));
  ok(unlink("d/f"));
  ok(rmdir("d"));
}

CHECK("rmdir: a file is ENOTDIR") { put("f", ""); fails(ENOTDIR, rmdir("f")); fails(ENOTDIR, rmdir("f/x")); }
CHECK("rmdir: a symlink to a directory is ENOTDIR") { make_dir("d"); ok(symlink("d", "l")); fails(ENOTDIR, rmdir("l")); }
CHECK("rmdir: . is EINVAL and .. is ENOTEMPTY") { make_dir("d"); fails(EINVAL, rmdir("d/.")); fails(ENOTEMPTY, rmdir("d/..")); }

CHECK("rmdir: in a removed directory there is nothing and nothing is made") {
  make_dir("d");
  int d = ok(open("d", O_RDONLY));
  ok(rmdir("d"));
  fails(ENOENT, openat(d, "f", O_CREAT | O_WRONLY, 0644));
  fails(ENOENT, mkdirat(d, "e", 0755));
  struct stat s;
  ok(fstat(d, &s));
  yes(S_ISDIR(s.st_mode));
}

CHECK("rmdir: the working directory, whose name can be taken again") {
  make_dir("d");
  BESIDE {
    ok(chdir("d"));
    ok(rmdir("../d"));
    fails(ENOENT, open("f", O_CREAT | O_WRONLY, 0644));
    ok(mkdir("../d", 0755));
    fails(ENOENT, open("f", O_CREAT | O_WRONLY, 0644));
  }
  is(0, entries("d"));
}

CHECK("unlink: removes a name") { put("f", ""); ok(unlink("f")); yes(!exists("f")); fails(ENOENT, unlink("f")); }
CHECK("unlink: a directory is EISDIR") { make_dir("d"); fails(EISDIR, unlink("d")); yes(exists("d")); }
CHECK("unlink: a file on the way is ENOTDIR") { put("f", ""); fails(ENOTDIR, unlink("f/x")); fails(ENOTDIR, unlink("f/")); }

CHECK("unlink: of a symlink leaves its target") {
  put("f", "text");
  ok(symlink("f", "l"));
  ok(unlink("l"));
  yes(!exists("l"));
  same("text", get("f"));
}

CHECK("unlink: of a read-only file in a writable folder works") { ok(close(make("f", 0444))); ok(unlink("f")); yes(!exists("f")); }

CHECK("directory: links count the folders in it, or stay 1") {
  make_dir("d");
  nlink_t empty = look("d").st_nlink;
  make_dir("d/a");
  make_dir("d/b");
  put("d/f", "");
  yes(look("d").st_nlink == empty + 2 || look("d").st_nlink == 1);
  ok(rmdir("d/a"));
  yes(look("d").st_nlink == empty + 1 || look("d").st_nlink == 1);
}

CHECK("directory: making and removing change its mtime") {
  make_dir("d");
  older("d");
  put("d/f", "");
  yes(look("d").st_mtime > 1000000000);
  older("d");
  make_dir("d/e");
  yes(look("d").st_mtime > 1000000000);
  older("d");
  ok(rename("d/f", "d/g"));
  yes(look("d").st_mtime > 1000000000);
  older("d");
  ok(unlink("d/g"));
  yes(look("d").st_mtime > 1000000000);
}

CHECK("directory: .. is the parent, at any depth") {
  ino_t up = look(".").st_ino;
  make_dir("a");
  make_dir("a/b");
  is(look("a").st_ino, look("a/b/..").st_ino);
  is(up, look("a/b/../..").st_ino);
  ok(chdir("a/b"));
  is(up, look("../..").st_ino);
}

CHECK("directory: a tree 40 levels deep can be made, found and removed") {
  char path[40 * 9 + 8] = ".";
  BESIDE {
    for (int i = 0; i < 40; i++) { make_dir("level-00"); ok(chdir("level-00")); }
    put("f", "deep");
  }
  for (int i = 0; i < 40; i++) strcat(path, "/level-00");
  strcat(path, "/f");
  same("deep", get(path));
  BESIDE {
    ok(chdir(dirname(path)));
    ok(unlink("f"));
    for (int i = 0; i < 40; i++) { ok(chdir("..")); ok(rmdir("level-00")); }
  }
  is(0, entries("."));
}

CHECK("readdir: gives every name once, dots too, with its type and number") {
  put("file", "");
  make_dir("dir");
  ok(symlink("file", "link"));
  ok(mkfifo("fifo", 0644));
  ok(mknod("sock", S_IFSOCK | 0644, 0));
  DIR *d = opendir(".");
  int seen = 0;
  yes(d);
  for (struct dirent *e; (e = readdir(d)); seen++) {
    static const struct { const char *name; int type; } all[] =
      { { ".", DT_DIR }, { "..", DT_DIR }, { "file", DT_REG }, { "dir", DT_DIR }, { "link", DT_LNK }, { "fifo", DT_FIFO }, { "sock", DT_SOCK } };
    int known = 0;
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
      if (!strcmp(all[i].name, e->d_name)) { known = 1; is(all[i].type, e->d_type); }
    is(1, known);
    if (strcmp(e->d_name, "..")) is(look(e->d_name).st_ino, e->d_ino);
  }
  is(7, seen);
}

/** A directory of `n` files named 0, 1, ...; made by mknod, which is one message each. */
static void fill(const char *dir, int n) {
  make_dir(dir);
  int d = ok(open(dir, O_RDONLY));
  for (int i = 0; i < n; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    ok(mknodat(d, name, S_IFREG | 0644, 0));
  }
  ok(close(d));
}

CHECK("readdir: a large directory lists each name once, and is gone when all were removed") {
  if (filled) ok(rename(filled, "d")); else fill("d", many);
  char *seen = calloc(many, 1);
  DIR *d = opendir("d");
  yes(d);
  for (struct dirent *e; (e = readdir(d)); ) {
    if (e->d_name[0] == '.') continue;
    int i = atoi(e->d_name);
    yes(i >= 0 && i < many && !seen[i]);
    seen[i] = 1;
  }
  for (int i = 0; i < many; i++) if (!seen[i]) is(i, -1);
  ok(closedir(d));
  ok(chdir("d"));
  for (int i = 0; i < many; i++) {
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    ok(unlink(name));
  }
  ok(chdir(".."));
  ok(rmdir("d"));
}

CHECK("readdir: removing each entry while scanning empties the directory") {
  fill("d", many);
  DIR *d = opendir("d");
  yes(d);
  for (struct dirent *e; (e = readdir(d)); )
    if (e->d_name[0] != '.') ok(unlinkat(dirfd(d), e->d_name, 0));
  ok(closedir(d));
  ok(rmdir("d"));
}

CHECK("readdir: entries that stay are neither skipped nor repeated while others come and go") {
  fill("d", many);
  char *seen = calloc(many, 1);
  DIR *d = opendir("d");
  yes(d);
  int n = 0;
  for (struct dirent *e; (e = readdir(d)); n++) {
    char name[16];
    int i = atoi(e->d_name);
    if (e->d_name[0] == '.' || i >= many) continue;
    if (i % 2 == 0) { is(0, seen[i]); seen[i] = 1; }
    if (n % 4) continue;
    snprintf(name, sizeof name, "%d", many + n);
    ok(mknodat(dirfd(d), name, S_IFREG | 0644, 0));
    snprintf(name, sizeof name, "%d", 2 * (n / 4) + 1);
    ok(unlinkat(dirfd(d), name, 0));
  }
  for (int i = 0; i < many; i += 2) if (!seen[i]) is(i, -1);
}

CHECK("readdir: rewinddir after a whole scan sees what was made since") {
  fill("d", 3);
  DIR *d = opendir("d");
  yes(d);
  while (readdir(d)) ;
  put("d/new", "");
  rewinddir(d);
  int seen = 0, found = 0;
  for (struct dirent *e; (e = readdir(d)); seen++) found += !strcmp(e->d_name, "new");
  is(1, found);
  is(6, seen);
}

CHECK("readdir: seekdir after a whole scan goes back to any entry") {
  fill("d", 100);
  DIR *d = opendir("d");
  yes(d);
  static struct { long at; char name[256]; } all[110];
  int n = 0;
  for (struct dirent *e; all[n].at = telldir(d), (e = readdir(d)); n++) strcpy(all[n].name, e->d_name);
  is(102, n);
  for (int i = n - 1; i >= 0; i -= 13) {
    seekdir(d, all[i].at);
    same(all[i].name, readdir(d)->d_name);
    while (readdir(d)) ;
  }
}

struct entry { uint64_t ino; int64_t off; unsigned short length; unsigned char type; char name[]; };

CHECK("readdir: a seek in the middle of a scan goes back to that entry") {
  fill("d", 40);
  int d = ok(open("d", O_RDONLY));
  char first[512], again[512];
  long n = ok(syscall(SYS_getdents64, d, first, sizeof first));
  struct entry *one = (void *)first, *two = (void *)(first + one->length);
  yes(n > one->length);
  ok(lseek(d, one->off, SEEK_SET));
  ok(syscall(SYS_getdents64, d, again, sizeof again));
  same(two->name, ((struct entry *)again)->name);
  ok(lseek(d, 0, SEEK_SET));
  ok(syscall(SYS_getdents64, d, again, sizeof again));
  same(one->name, ((struct entry *)again)->name);
}

CHECK("readdir: small buffers give the same names as large ones") {
  fill("d", many);
  int d = ok(open("d", O_RDONLY)), count = 0;
  char buffer[64], *seen = calloc(many, 1);
  for (long n; (n = ok(syscall(SYS_getdents64, d, buffer, sizeof buffer))) > 0; )
    for (long at = 0; at < n; at += ((struct entry *)(buffer + at))->length) {
      const char *name = ((struct entry *)(buffer + at))->name;
      count++;
      if (*name != '.') { is(0, seen[atoi(name)]); seen[atoi(name)] = 1; }
    }
  is(many + 2, count);
}

CHECK("readdir: a buffer too small for an entry is EINVAL") {
  put("a-name-that-is-longer-than-the-buffer", "");
  char buffer[20];
  fails(EINVAL, syscall(SYS_getdents64, ok(open(".", O_RDONLY)), buffer, sizeof buffer));
}

CHECK("readdir: a file is ENOTDIR") {
  char buffer[512];
  put("f", "");
  fails(ENOTDIR, syscall(SYS_getdents64, ok(open("f", O_RDONLY)), buffer, sizeof buffer));
}

CHECK("readdir: opendir of a file is ENOTDIR, of nothing ENOENT") {
  put("f", "");
  is(0, opendir("f") != NULL);
  is(ENOTDIR, errno);
  is(0, opendir("x") != NULL);
  is(ENOENT, errno);
}

CHECK("statvfs: tells a block size, room and the longest name") {
  struct statvfs s;
  ok(statvfs(".", &s));
  yes(s.f_bsize > 0 && s.f_frsize > 0);
  yes(s.f_blocks > 0 && s.f_bfree <= s.f_blocks && s.f_bavail <= s.f_bfree);
  is(255, s.f_namemax);
  put("f", "");
  ok(fstatvfs(ok(open("f", O_RDONLY)), &s));
  is(255, s.f_namemax);
  fails(ENOENT, statvfs("x", &s));
}

CHECK("chdir: to a file is ENOTDIR, to nothing ENOENT; getcwd follows") {
  put("f", "");
  make_dir("d");
  fails(ENOTDIR, chdir("f"));
  fails(ENOENT, chdir("x"));
  BESIDE {
    char path[4096];
    ok(chdir("d"));
    yes(getcwd(path, sizeof path));
    same("d", basename(path));
  }
}
