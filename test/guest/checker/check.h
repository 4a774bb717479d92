// A POSIX file system's promises, one named check each. A check runs in a process and a folder of its own, umask 0:
//
//   CHECK("rmdir: a directory that is not empty is ENOTEMPTY") {
//     make_dir("d");
//     put("d/f", "");
//     fails(ENOTEMPTY, rmdir("d"));
//   }
//
// The first expectation that does not hold ends it, with a line that says what was got and what wanted, and where.

#ifndef CHECK_H
#define CHECK_H
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum who { ANYONE, ROOT, TWO, READ_ONLY, SMALL };  // TWO: needs a second view of the folder (--other); the last two are in places of their own
struct check { const char *name; enum who who; void (*run)(void); };

// Each check leaves its address in the section "checks": the linker makes the table.
#define CHECK_(who, name, n) CHECK__(who, name, n)
#define CHECK__(who, name, n) \
  static void check_##n(void); \
  static const struct check record_##n = { name, who, check_##n }; \
  static const struct check *const entry_##n __attribute__((used, section("checks"))) = &record_##n; \
  static void check_##n(void)
#define CHECK(name) CHECK_(ANYONE, name, __LINE__)
#define CHECK_AS_ROOT(name) CHECK_(ROOT, name, __LINE__)
#define CHECK_TWO(name) CHECK_(TWO, name, __LINE__)
#define CHECK_IN(place, name) CHECK_(place, name, __LINE__)

// Expectations. ok: the call does not give -1; its value. fails: it gives -1 and this errno. is: equal numbers.
// same: equal strings. yes: true.
#define ok(call) ok_((long)(call), #call, __FILE__, __LINE__)
#define fails(wanted, call) fails_(wanted, (long)(call), #call, __FILE__, __LINE__)
#define is(wanted, got) is_((long long)(wanted), (long long)(got), #got, __FILE__, __LINE__)
#define same(wanted, got) same_(wanted, got, #got, __FILE__, __LINE__)
#define yes(what) is(1, !!(what))
long ok_(long result, const char *call, const char *file, int line);
void fails_(int wanted, long result, const char *call, const char *file, int line);
void is_(long long wanted, long long got, const char *what, const char *file, int line);
void same_(const char *wanted, const char *got, const char *what, const char *file, int line);
_Noreturn void skip(const char *why);    // this machine can't say: ends the check, neither well nor badly

// AS(uid) { ... } and BESIDE { ... } run the block in a process of its own (with that uid and gid, and no other groups)
// and wait for it; START(pid) { ... } does not wait: finish(pid) does. What fails in there fails the check.
#define AS(uid) for (int once_ = enter(uid); once_; leave())
#define BESIDE for (int once_ = enter(-1); once_; leave())
#define START(pid) for (pid = start(); pid == 0; leave())
int enter(int uid);
_Noreturn void leave(void);
pid_t start(void);
void finish(pid_t pid);

enum { USER = 1000, OTHER = 1001, NOBODY = 65534 };   // NOBODY is in every host's user database, with a group of the same number

// Short hands, each of which fails the check where it fails. put writes a file of mode 0644, get reads one (at most 64 KiB).
void put(const char *name, const char *text);
const char *get(const char *name);
int make(const char *name, mode_t mode);              // an empty file with exactly this mode, open for reading and writing
void make_dir(const char *name);                      // 0755
struct stat look(const char *name);                   // lstat
int mode_of(const char *name);                        // permission bits
int exists(const char *name);
int entries(const char *dir);                         // how many, less the dots
void older(const char *name);                         // sets atime and mtime to the second 1000000000
double now(void);                                     // seconds; only differences mean something
void pattern(unsigned char *bytes, size_t n, unsigned seed);
void pass(int fd);                                    // tells another process to go on, by a byte in a pipe
void await(int fd);                                   // waits for that, 10 s at most

extern int many;                                      // entries of a large directory
extern const char *filled;                            // one that has them already, or NULL
extern int there;                                     // this check's folder, seen by the second view
#endif
