// Extended attributes, and POSIX ACLs, which are two of them.
#include "check.h"
#include <sys/xattr.h>

static char value[70000];

/** A file that takes user.* attributes, or the end of the check. */
static void file(void) {
  put("f", "text");
  if (setxattr("f", "user.probe", "", 0, 0) && errno == EOPNOTSUPP) skip("no user.* attributes here");
  removexattr("f", "user.probe");
}

/** How many attributes of that name prefix are listed. */
static int listed(const char *name, const char *prefix) {
  long n = ok(listxattr(name, value, sizeof value));
  int found = 0;
  for (char *at = value; at < value + n; at += strlen(at) + 1) found += !strncmp(at, prefix, strlen(prefix));
  return found;
}

CHECK("xattr: is set, read, listed, replaced and removed") {
  file();
  is(0, listed("f", "user."));
  ok(setxattr("f", "user.name", "value", 5, 0));
  is(5, getxattr("f", "user.name", value, sizeof value));
  is(0, memcmp(value, "value", 5));
  is(1, listed("f", "user.name"));
  ok(setxattr("f", "user.name", "longer value", 12, 0));
  is(12, getxattr("f", "user.name", NULL, 0));
  ok(removexattr("f", "user.name"));
  fails(ENODATA, getxattr("f", "user.name", value, sizeof value));
  is(0, listed("f", "user."));
}

CHECK("xattr: a missing one is ENODATA, to read and to remove") {
  file();
  fails(ENODATA, getxattr("f", "user.x", value, 9));
  fails(ENODATA, removexattr("f", "user.x"));
}

CHECK("xattr: XATTR_CREATE on one that exists is EEXIST") {
  file();
  ok(setxattr("f", "user.a", "1", 1, XATTR_CREATE));
  fails(EEXIST, setxattr("f", "user.a", "2", 1, XATTR_CREATE));
  is(1, getxattr("f", "user.a", value, 9));
  is('1', value[0]);
}

CHECK("xattr: XATTR_REPLACE on one that is missing is ENODATA") {
  file();
  fails(ENODATA, setxattr("f", "user.a", "2", 1, XATTR_REPLACE));
  ok(setxattr("f", "user.a", "1", 1, 0));
  ok(setxattr("f", "user.a", "2", 1, XATTR_REPLACE));
}

CHECK("xattr: other flags are EINVAL") { file(); fails(EINVAL, setxattr("f", "user.a", "1", 1, 8)); }

CHECK("xattr: a short buffer is ERANGE, none gives the size") {
  file();
  ok(setxattr("f", "user.a", "12345", 5, 0));
  fails(ERANGE, getxattr("f", "user.a", value, 4));
  is(5, getxattr("f", "user.a", NULL, 0));
  fails(ERANGE, listxattr("f", value, 3));
  yes(listxattr("f", NULL, 0) >= 7);
}

CHECK("xattr: an empty value is one") {
  file();
  ok(setxattr("f", "user.a", "", 0, 0));
  is(0, getxattr("f", "user.a", value, 9));
  is(1, listed("f", "user.a"));
}

CHECK("xattr: an unknown name space is EOPNOTSUPP") {
  file();
  fails(EOPNOTSUPP, setxattr("f", "nonsense.a", "1", 1, 0));
  fails(EOPNOTSUPP, getxattr("f", "nonsense.a", value, 9));
}

CHECK("xattr: a missing file is ENOENT, a file on the way ENOTDIR") {
  file();
  fails(ENOENT, getxattr("x", "user.a", value, 9));
  fails(ENOTDIR, setxattr("f/x", "user.a", "1", 1, 0));
  fails(ENOENT, listxattr("x", value, 9));
}

CHECK("xattr: more than 64 KiB is E2BIG") { file(); fails(E2BIG, setxattr("f", "user.a", value, 65537, 0)); }

CHECK("xattr: a name of 255 bytes is fine, of 256 ERANGE") {
  char name[258] = "user.";
  file();
  memset(name + 5, 'n', 251);
  fails(ERANGE, setxattr("f", name, "1", 1, 0));
  name[255] = 0;
  ok(setxattr("f", name, "1", 1, 0));
  is(1, getxattr("f", name, value, 9));
  is(1, listed("f", name));
}

CHECK("xattr: values are bytes, NUL and all") {
  unsigned char bytes[2000];
  file();
  pattern(bytes, sizeof bytes, 1);
  memset(bytes + 100, 0, 100);
  ok(setxattr("f", "user.a", bytes, sizeof bytes, 0));
  is(sizeof bytes, getxattr("f", "user.a", value, sizeof value));
  is(0, memcmp(bytes, value, sizeof bytes));
}

CHECK("xattr: 40 on one file") {
  char name[32];
  file();
  for (int i = 0; i < 40; i++) { snprintf(name, sizeof name, "user.attribute-%d", i); ok(setxattr("f", name, name, strlen(name), 0)); }
  is(40, listed("f", "user.attribute-"));
  for (int i = 0; i < 40; i += 2) { snprintf(name, sizeof name, "user.attribute-%d", i); ok(removexattr("f", name)); }
  is(20, listed("f", "user.attribute-"));
  is(17, getxattr("f", "user.attribute-39", value, sizeof value));
}

CHECK("xattr: by descriptor, and on directories") {
  file();
  int fd = ok(open("f", O_RDONLY)), d = ok(open(".", O_RDONLY));
  ok(fsetxattr(fd, "user.a", "1", 1, 0));
  is(1, fgetxattr(fd, "user.a", value, 9));
  yes(flistxattr(fd, value, sizeof value) >= 7);
  ok(fremovexattr(fd, "user.a"));
  ok(fsetxattr(d, "user.a", "22", 2, 0));
  is(2, getxattr(".", "user.a", value, 9));
}

CHECK("xattr: stays through rename, chmod and write, and is one for all names") {
  file();
  ok(setxattr("f", "user.a", "1", 1, 0));
  ok(rename("f", "g"));
  ok(chmod("g", 0600));
  ok(truncate("g", 1));
  ok(link("g", "h"));
  is(1, getxattr("h", "user.a", value, 9));
  ok(setxattr("h", "user.a", "22", 2, 0));
  is(2, getxattr("g", "user.a", value, 9));
}

CHECK("xattr: a new file of an old name has none") {
  file();
  ok(setxattr("f", "user.a", "1", 1, 0));
  ok(unlink("f"));
  put("f", "");
  is(0, listed("f", "user."));
}

CHECK("xattr: setting one changes ctime") {
  file();
  struct stat before = look("f");
  usleep(20000);
  ok(setxattr("f", "user.a", "1", 1, 0));
  struct stat after = look("f");
  yes(after.st_ctim.tv_sec != before.st_ctim.tv_sec || after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
}

CHECK("xattr: user.* on symlinks and fifos is EPERM") {
  file();
  ok(symlink("f", "l"));
  ok(mkfifo("p", 0666));
  fails(EPERM, lsetxattr("l", "user.a", "1", 1, 0));
  fails(EPERM, setxattr("p", "user.a", "1", 1, 0));
  ok(setxattr("l", "user.a", "1", 1, 0));
  is(1, getxattr("f", "user.a", value, 9));
}

CHECK_AS_ROOT("xattr: trusted.* is for root, and nobody else sees it") {
  ok(close(make("f", 0666)));
  ok(setxattr("f", "trusted.a", "1", 1, 0));
  is(1, getxattr("f", "trusted.a", value, 9));
  is(1, listed("f", "trusted.a"));
  AS(USER) {
    fails(EPERM, setxattr("f", "trusted.b", "1", 1, 0));
    fails(ENODATA, getxattr("f", "trusted.a", value, 9));
    is(0, listed("f", "trusted."));
  }
  ok(removexattr("f", "trusted.a"));
}

CHECK_AS_ROOT("xattr: security.* is kept") {
  put("f", "");
  ok(setxattr("f", "security.checker", "1", 1, 0));
  is(1, getxattr("f", "security.checker", value, 9));
  ok(removexattr("f", "security.checker"));
}

// An ACL as the kernel takes it: little-endian, version 2; tags from posix_acl.h.
enum { USER_OBJ = 1, NAMED_USER = 2, GROUP_OBJ = 4, NAMED_GROUP = 8, MASK = 16, OTHERS = 32 };
struct acl { uint32_t version; struct { uint16_t tag, perm; uint32_t id; } entry[6]; };
#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

static int set_acl(const char *path, const char *name, struct acl a) {
  int n = 0;
  a.version = 2;
  while (n < 6 && a.entry[n].tag) n++;
  for (int i = 0; i < n; i++) if (a.entry[i].tag != NAMED_USER && a.entry[i].tag != NAMED_GROUP) a.entry[i].id = -1;
  return setxattr(path, name, &a, 4 + 8 * n, 0);
}

static struct acl get_acl(const char *path, const char *name) { struct acl a = { 0 }; ok(getxattr(path, name, &a, sizeof a)); return a; }
static void perm_of(int wanted, struct acl a, int tag) {
  for (int i = 0; i < 6; i++) if (a.entry[i].tag == tag) { is(wanted, a.entry[i].perm); return; }
  is(tag, -1);
}

static const struct acl user_may_read = {
  .entry = { { USER_OBJ, 6, 0 }, { NAMED_USER, 4, USER }, { GROUP_OBJ, 0, 0 }, { MASK, 4, 0 }, { OTHERS, 0, 0 } },
};

CHECK("acl: one that says no more than the mode becomes the mode") {
  ok(close(make("f", 0600)));
  ok(set_acl("f", ACCESS, (struct acl){ .entry = { { USER_OBJ, 6, 0 }, { GROUP_OBJ, 4, 0 }, { OTHERS, 4, 0 } } }));
  is(0644, mode_of("f"));
}

CHECK("acl: is read back, and its mask is the mode's group bits") {
  ok(close(make("f", 0600)));
  ok(set_acl("f", ACCESS, user_may_read));
  struct acl a = get_acl("f", ACCESS);
  is(2, a.version);
  perm_of(4, a, NAMED_USER);
  perm_of(4, a, MASK);
  is(0640, mode_of("f"));
}

CHECK("acl: chmod moves the mask and leaves the entries") {
  ok(close(make("f", 0600)));
  ok(set_acl("f", ACCESS, user_may_read));
  ok(chmod("f", 0670));
  struct acl a = get_acl("f", ACCESS);
  perm_of(7, a, MASK);
  perm_of(4, a, NAMED_USER);
  perm_of(0, a, GROUP_OBJ);
  is(0670, mode_of("f"));
}

CHECK("acl: removed, the mode stays") {
  ok(close(make("f", 0600)));
  ok(set_acl("f", ACCESS, user_may_read));
  ok(removexattr("f", ACCESS));
  fails(ENODATA, getxattr("f", ACCESS, value, 99));
  is(0640, mode_of("f"));
}

CHECK("acl: one in the wrong order is EINVAL") {
  put("f", "");
  fails(EINVAL, set_acl("f", ACCESS, (struct acl){ .entry = { { OTHERS, 4, 0 }, { USER_OBJ, 6, 0 } } }));
}

CHECK("acl: a default on a file is EACCES") { put("f", ""); fails(EACCES, set_acl("f", DEFAULT, user_may_read)); }

CHECK("acl: a folder's default is inherited by what is made in it") {
  make_dir("d");
  umask(077);
  struct acl all = { .entry = { { USER_OBJ, 7, 0 }, { NAMED_USER, 5, USER }, { GROUP_OBJ, 5, 0 }, { MASK, 7, 0 }, { OTHERS, 0, 0 } } };
  ok(set_acl("d", DEFAULT, all));
  ok(close(ok(open("d/f", O_CREAT | O_WRONLY, 0664))));
  ok(mkdir("d/e", 0775));
  perm_of(5, get_acl("d/f", ACCESS), NAMED_USER);
  perm_of(6, get_acl("d/f", ACCESS), MASK);
  is(0660, mode_of("d/f"));
  perm_of(5, get_acl("d/e", ACCESS), NAMED_USER);
  perm_of(5, get_acl("d/e", DEFAULT), NAMED_USER);
  fails(ENODATA, getxattr("d/f", DEFAULT, value, 99));
  is(0770, mode_of("d/e"));
}

CHECK_AS_ROOT("acl: a named user may what the entry and the mask allow") {
  put("f", "text");
  ok(chmod("f", 0600));
  AS(USER) fails(EACCES, open("f", O_RDONLY));
  ok(set_acl("f", ACCESS, user_may_read));
  AS(USER) { ok(open("f", O_RDONLY)); fails(EACCES, open("f", O_WRONLY)); }
  AS(OTHER) fails(EACCES, open("f", O_RDONLY));
  ok(chmod("f", 0600));
  AS(USER) fails(EACCES, open("f", O_RDONLY));
}

CHECK_AS_ROOT("acl: by a user who does not own the file is EPERM") {
  ok(close(make("f", 0666)));
  AS(USER) fails(EPERM, set_acl("f", ACCESS, user_may_read));
}
