// checker [--uid N] [--expect FILE --on WORD,WORD...] [--other DIR] [--many N [--filled DIR]] [--only TEXT | --without TEXT]
//         [--read-only DIR] [--small DIR] [--times] DIR
//
// Runs every check in DIR and prints a line for each: "ok NAME", "not ok NAME: why", "expected NAME: why" (it failed
// as FILE said it would) or "skip NAME: why". Exit status: 0, 1 where anything was not ok, 2 for wrong usage.
// --other DIR is a second view (mount) of DIR: the checks of two.c want it. expected.txt describes FILE. --many N is how
// many entries a large directory has; DIR of --filled is one with files 0 to N-1, to be taken instead of making one.
// --read-only and --small are the places that limits.c wants. --times adds a line "# N ms" after each.

#include "check.h"
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <sys/resource.h>

extern const struct check *const __start_checks[], *const __stop_checks[];

int many = 1000, there = -1;
const char *filled;
static int report = -1;                               // where a check's process says what went wrong
enum { SKIPPED = 77 };
static int limit(void) { return 120 + many / 40; }    // seconds for one check, far beyond what any takes

// --- expectations ---------------------------------------------------------------------------------------------

static const char *errno_name(int e) {
  static char number[16];
  const char *name = strerrorname_np(e);
  if (name) return name;
  snprintf(number, sizeof number, "errno %d", e);
  return number;
}

#define fail(file, line, ...) (dprintf(report, __VA_ARGS__), dprintf(report, " (%s:%d)", basename(file), line), _exit(1))

long ok_(long result, const char *call, const char *file, int line) {
  if (result == -1) fail(file, line, "%s: got %s, wanted success", call, errno_name(errno));
  return result;
}

void fails_(int wanted, long result, const char *call, const char *file, int line) {
  if (result != -1) fail(file, line, "%s: got success, wanted %s", call, errno_name(wanted));
  if (errno != wanted) {
    const char *got = errno_name(errno);
    fail(file, line, "%s: got %s, wanted %s", call, got, errno_name(wanted));
  }
}

void is_(long long wanted, long long got, const char *what, const char *file, int line) {
  if (got != wanted) fail(file, line, "%s: got %lld, wanted %lld", what, got, wanted);
}

void same_(const char *wanted, const char *got, const char *what, const char *file, int line) {
  if (strcmp(wanted, got)) fail(file, line, "%s: got \"%.60s\", wanted \"%.60s\"", what, got, wanted);
}

_Noreturn void skip(const char *why) { dprintf(report, "%s", why); _exit(SKIPPED); }

// --- processes ------------------------------------------------------------------------------------------------

static void become(uid_t uid) {
  if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid)) { dprintf(report, "cannot become %u", uid); _exit(1); }
}

int enter(int uid) {
  pid_t pid = start();
  if (pid == 0) {
    if (uid >= 0) become(uid);
    return 1;
  }
  finish(pid);
  return 0;
}

_Noreturn void leave(void) { _exit(0); }

pid_t start(void) {
  fflush(NULL);
  pid_t pid = ok(fork());
  if (pid == 0) alarm(limit());
  return pid;
}

void finish(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) ;
  if (WIFSIGNALED(status)) { dprintf(report, "a process was killed by signal %d", WTERMSIG(status)); _exit(1); }
  if (WEXITSTATUS(status)) _exit(WEXITSTATUS(status)); // it has said why
}

void pass(int fd) { is(1, write(fd, "", 1)); }

void await(int fd) {
  struct pollfd p = { fd, POLLIN, 0 };
  char byte;
  is(1, poll(&p, 1, 10000));
  is(1, read(fd, &byte, 1));
}

// --- short hands ----------------------------------------------------------------------------------------------

void put(const char *name, const char *text) {
  int fd = ok(open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  is(strlen(text), write(fd, text, strlen(text)));
  ok(close(fd));
}

const char *get(const char *name) {
  static char text[65537];
  int fd = ok(open(name, O_RDONLY | O_CLOEXEC));
  ssize_t n = ok(read(fd, text, sizeof text - 1));
  ok(close(fd));
  text[n] = 0;
  return text;
}

int make(const char *name, mode_t mode) {
  int fd = ok(open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  ok(fchmod(fd, mode));
  return fd;
}

void make_dir(const char *name) { ok(mkdir(name, 0755)); }
struct stat look(const char *name) { struct stat s; ok(lstat(name, &s)); return s; }
int mode_of(const char *name) { return look(name).st_mode & 07777; }
int exists(const char *name) { struct stat s; return lstat(name, &s) == 0; }

int entries(const char *dir) {
  DIR *d = opendir(dir);
  yes(d);
  int n = 0;
  for (struct dirent *e; (e = readdir(d)); )
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) n++;
  ok(closedir(d));
  return n;
}

void older(const char *name) {
  struct timespec t[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
  ok(utimensat(AT_FDCWD, name, t, AT_SYMLINK_NOFOLLOW));
}

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

void pattern(unsigned char *bytes, size_t n, unsigned seed) {
  for (size_t i = 0; i < n; i++) bytes[i] = (seed = seed * 1103515245 + 12345) >> 16;
}

// --- what is expected to fail ---------------------------------------------------------------------------------

struct exception { char *name, *why; int met; };
static struct exception exceptions[256];
static int exception_count;

static int listed(const char *word, size_t length, const char *among) {
  for (const char *at = among; at; at = strchr(at, ','), at += at != NULL)
    if (strcspn(at, ",") == length && !strncmp(at, word, length)) return 1;
  return 0;
}

/** Whether one of `words` (a comma between) is among those that hold here. */
static int holds(const char *words, const char *here) {
  for (const char *at = words; at; at = strchr(at, ','), at += at != NULL)
    if (listed(at, strcspn(at, ","), here)) return 1;
  return 0;
}

static void read_expected(const char *file, const char *here) {
  FILE *f = fopen(file, "re");
  if (!f) { perror(file); exit(2); }
  char line[1024];
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    if (!*line || *line == '#') continue;
    char *name = strtok(line, "|"), *on = strtok(NULL, "|"), *why = strtok(NULL, "|");
    if (!why) { fprintf(stderr, "%s: not of the form NAME | CONDITIONS | WHY: %s\n", file, line); exit(2); }
    for (char *end = strchr(name, 0); end > name && end[-1] == ' '; ) *--end = 0;
    while (*on == ' ') on++;
    on[strcspn(on, " ")] = 0;
    while (*why == ' ') why++;
    int known = 0;
    for (const struct check *const *c = __start_checks; c < __stop_checks; c++) known |= !strcmp((*c)->name, name);
    if (!known) { fprintf(stderr, "%s: no check is named \"%s\"\n", file, name); exit(2); }
    if (holds(on, here)) exceptions[exception_count++] = (struct exception){ strdup(name), strdup(why), 0 };
  }
  fclose(f);
}

static const char *expected(const char *name) {
  for (int i = 0; i < exception_count; i++)
    if (!strcmp(exceptions[i].name, name)) return exceptions[i].why;
  return NULL;
}

// --- running --------------------------------------------------------------------------------------------------

static int clear(const char *path, const struct stat *s, int type, struct FTW *f) {
  (void)s; (void)f;
  if (type == FTW_DP || type == FTW_DNR) rmdir(path); else unlink(path);
  return 0;
}

static int open_up(const char *path, const struct stat *s, int type, struct FTW *f) {
  (void)f;
  if (type == FTW_D || type == FTW_DNR) { if ((s->st_mode & 0700) != 0700 && chmod(path, 0700)) perror(path); }
  return 0;
}

/** Removes what a check left, in as few calls as that takes. */
static void remove_all(const char *home) {
  if (rmdir(home) == 0) return;
  nftw(home, clear, 8, FTW_DEPTH | FTW_PHYS);
  if (!exists(home)) return;
  nftw(home, open_up, 8, FTW_PHYS);                   // it left folders that even their owner can't enter
  nftw(home, clear, 8, FTW_DEPTH | FTW_PHYS);
}

static int run_one(const struct check *c, const char *home, const char *other) {
  int pipes[2], status;
  char why[512] = "";
  size_t got = 0;
  if ((c->who != READ_ONLY && mkdir(home, 0755)) || pipe2(pipes, O_CLOEXEC)) { printf("not ok %s: cannot begin: %s\n", c->name, errno_name(errno)); return 0; }
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    report = pipes[1];
    close(pipes[0]);
    setpgid(0, 0);
    alarm(limit());
    umask(0);
    signal(SIGPIPE, SIG_IGN);
    ok(chdir(home));
    if (other) there = ok(open(other, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    c->run();
    _exit(0);
  }
  close(pipes[1]);
  waitpid(pid, &status, 0);
  kill(-pid, SIGKILL);                                // what it may have left
  for (ssize_t n; got < sizeof why - 1 && (n = read(pipes[0], why + got, sizeof why - 1 - got)) > 0; ) got += n;
  close(pipes[0]);
  if (c->who != READ_ONLY) remove_all(home);

  const char *foreseen = expected(c->name);
  if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) { printf("%s %s: %s\n", foreseen ? "expected" : "skip", c->name, why); return 1; }
  if (WIFSIGNALED(status)) snprintf(why, sizeof why, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
  else if (WEXITSTATUS(status) == 0) {
    if (foreseen) printf("not ok %s: passes, but was expected to fail (%s)\n", c->name, foreseen);
    else printf("ok %s\n", c->name);
    return !foreseen;
  }
  printf("%s %s: %s\n", foreseen ? "expected" : "not ok", c->name, why);
  return foreseen != NULL;
}

int main(int argc, char **argv) {
  const char *dir = NULL, *expect = NULL, *here = "", *other = NULL, *only = "", *without = NULL;
  const char *read_only = NULL, *small = NULL;
  long uid = -1;
  int times = 0;
  for (int i = 1; i < argc; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : "";
    if (!strcmp(argv[i], "--uid")) uid = atol(value), i++;
    else if (!strcmp(argv[i], "--expect")) expect = value, i++;
    else if (!strcmp(argv[i], "--on")) here = value, i++;
    else if (!strcmp(argv[i], "--other")) other = value, i++;
    else if (!strcmp(argv[i], "--read-only")) read_only = value, i++;
    else if (!strcmp(argv[i], "--small")) small = value, i++;
    else if (!strcmp(argv[i], "--many")) many = atoi(value), i++;
    else if (!strcmp(argv[i], "--filled")) filled = value, i++;
    else if (!strcmp(argv[i], "--only")) only = value, i++;
    else if (!strcmp(argv[i], "--without")) without = value, i++;
    else if (!strcmp(argv[i], "--times")) times = 1;
    else if (argv[i][0] != '-' && !dir) dir = argv[i];
    else dir = NULL, i = argc;
  }
  if (!dir) {
    fprintf(stderr, "usage: checker [--uid N] [--expect FILE --on WORD,WORD] [--other DIR] [--many N [--filled DIR]] [--only TEXT | --without TEXT]\n"
                    "               [--read-only DIR] [--small DIR] [--times] DIR\n");
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct rlimit files = { 4096, 4096 };
  setrlimit(RLIMIT_NOFILE, &files);
  if (expect) read_expected(expect, here);
  report = 2;
  if (uid > 0) become(uid);

  char home[PATH_MAX], view[PATH_MAX];
  int n = 0, bad = 0;
  for (const struct check *const *c = __start_checks; c < __stop_checks; c++, n++) {
    if (!strstr((*c)->name, only) || (without && strstr((*c)->name, without))) continue;
    if (((*c)->who == ROOT && geteuid() != 0) || ((*c)->who == TWO && !other)) continue;
    const char *place = (*c)->who == READ_ONLY ? read_only : (*c)->who == SMALL ? small : dir;
    if (!place) continue;
    snprintf(home, sizeof home, "%s", place);
    if ((*c)->who != READ_ONLY) snprintf(home, sizeof home, "%s/check-%d", place, n);
    if (other) snprintf(view, sizeof view, "%s/check-%d", other, n);
    double from = now();
    bad += !run_one(*c, home, other ? view : NULL);
    if (times) printf("# %.0f ms\n", (now() - from) * 1000);
  }
  return bad > 0;
}
