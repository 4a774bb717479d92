// PID 1 of the test guest: makes a root of the host's (read-only, under a tmpfs), then runs commands for the
// harness. Static, so that it needs nothing but a kernel. It hears and says JSON lines on the virtio port "agent":
//
//   -> {"id":1,"argv":["ls","/"],"cwd":"/","uid":1000,"limit":30}       several may run at once; limit: seconds
//   <- {"ready":"6.1.0-56-amd64"}   {"id":1,"out":"bin\n"}   {"id":1,"err":"..."}   {"id":1,"exit":0,"ms":12}
//   <- {"fatal":"mount /lower: Invalid argument"}
//
// Bytes outside ASCII are \u0080 to \u00ff. exit is 128 + the signal for a process that was killed; "late":true
// says that its time ran out, "stuck":true that not even SIGKILL ended it. When the host hangs up the guest ends.
//
// Run on the host it prints how many kHz the processor's time stamp counter has. QEMU hands the counter through, and the
// guest's kernel, which would measure it against an emulated timer, is six times off where the host is busy.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { JOBS = 16, ARGS = 256, LINE = 1 << 16 };

static int port = -1;

// --- saying ---------------------------------------------------------------------------------------------------

static void send_all(const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t w = write(port, bytes, n);
    if (w < 0 && errno != EINTR && errno != EAGAIN) return;
    if (w > 0) { bytes += w; n -= w; }
  }
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof line - 1, format, args);
  va_end(args);
  line[n] = '\n';
  send_all(line, n + 1);
}

static void say_bytes(int id, const char *key, const unsigned char *bytes, size_t n) {
  static char line[6 * 4096 + 64];
  char *p = line + sprintf(line, "{\"id\":%d,\"%s\":\"", id, key);
  for (size_t i = 0; i < n; i++)
    p += bytes[i] < 32 || bytes[i] > 126 || bytes[i] == '"' || bytes[i] == '\\' ? sprintf(p, "\\u%04x", bytes[i]) : (*p = bytes[i], 1);
  p += sprintf(p, "\"}\n");
  send_all(line, p - line);
}

static _Noreturn void finish(void) {
  sync();
  reboot(RB_AUTOBOOT);                                   // QEMU runs with -no-reboot: it ends
  for (;;) pause();
}

static _Noreturn void fatal(const char *what) {
  const char *why = strerror(errno);
  dprintf(2, "agent: %s: %s\n", what, why);
  if (port >= 0) say("{\"fatal\":\"%s: %s\"}", what, why);
  sleep(1);
  finish();
}

// --- hearing: as much JSON as the harness writes ------------------------------------------------------------------

struct request { int id, uid, limit; char *cwd; char *argv[ARGS]; };

static char *text(char **at) {                           // decodes in place: what is decoded is never longer
  char *p = *at, *from = p + 1, *to = from, *start = from;
  if (*p != '"') return NULL;
  for (; *from && *from != '"'; from++) {
    if (*from != '\\') { *to++ = *from; continue; }
    unsigned code;
    switch (*++from) {
    case 'n': *to++ = '\n'; break;
    case 't': *to++ = '\t'; break;
    case 'r': *to++ = '\r'; break;
    case 'b': *to++ = '\b'; break;
    case 'f': *to++ = '\f'; break;
    case 'u':
      if (sscanf(from + 1, "%4x", &code) != 1) return NULL;
      *to++ = code;                                      // the harness sends bytes as \u0000 to \u00ff
      from += 4;
      break;
    default: *to++ = *from;
    }
  }
  if (*from != '"') return NULL;
  *at = from + 1;
  *to = 0;
  return start;
}

static int parse(char *line, struct request *r) {
  *r = (struct request){ .id = -1, .limit = 60, .cwd = "/" };
  char *p = line;
  if (*p++ != '{') return 0;
  while (*p && *p != '}') {
    char *key = text(&p);
    if (!key || *p++ != ':') return 0;
    if (!strcmp(key, "argv")) {
      int n = 0;
      if (*p++ != '[') return 0;
      while (*p != ']') {
        if (n == ARGS - 1 || !(r->argv[n++] = text(&p))) return 0;
        if (*p == ',') p++;
      }
      p++;
    } else if (!strcmp(key, "cwd")) {
      if (!(r->cwd = text(&p))) return 0;
    } else {
      int value = strtol(p, &p, 10);
      if (!strcmp(key, "id")) r->id = value;
      if (!strcmp(key, "uid")) r->uid = value;
      if (!strcmp(key, "limit")) r->limit = value;
    }
    if (*p == ',') p++;
  }
  return r->id >= 0 && r->argv[0];
}

// --- jobs -----------------------------------------------------------------------------------------------------

struct job { int id, out, err, late; pid_t pid; double start, end; };
static struct job jobs[JOBS];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void start(struct request *r) {
  struct job *j = jobs;
  while (j < jobs + JOBS && j->pid) j++;
  int out[2], err[2];
  if (j == jobs + JOBS || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) { say("{\"id\":%d,\"exit\":-1}", r->id); return; }
  pid_t pid = fork();
  if (pid == 0) {
    setsid();
    dup2(open("/dev/null", O_RDONLY), 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    gid_t gid = r->uid;
    if ((r->uid && (setgroups(1, &gid) || setresgid(gid, gid, gid) || setresuid(r->uid, r->uid, r->uid))) || chdir(r->cwd)) {
      dprintf(2, "agent: %s: %s\n", r->cwd, strerror(errno));
      _exit(126);
    }
    execvp(r->argv[0], r->argv);
    dprintf(2, "agent: %s: %s\n", r->argv[0], strerror(errno));
    _exit(127);
  }
  close(out[1]);
  close(err[1]);
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  fcntl(err[0], F_SETFL, O_NONBLOCK);
  *j = (struct job){ r->id, out[0], err[0], 0, pid, now(), now() + r->limit };
}

static int relay(struct job *j, int fd, const char *key) { // 0: nothing more, for now or for good
  unsigned char bytes[4096];
  ssize_t n = read(fd, bytes, sizeof bytes);
  if (n > 0) say_bytes(j->id, key, bytes, n);
  return n > 0;
}

static void over(struct job *j, int status, const char *more) {
  while (relay(j, j->out, "out")) ;                      // a daemon it left may hold the pipe: what is there, no longer
  while (relay(j, j->err, "err")) ;
  close(j->out);
  close(j->err);
  int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  say("{\"id\":%d,\"exit\":%d,\"ms\":%d%s%s}", j->id, code, (int)((now() - j->start) * 1000), j->late ? ",\"late\":true" : "", more);
  j->pid = 0;
}

static void write_file(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd >= 0) { if (write(fd, value, strlen(value)) < 0) perror(path); close(fd); }
}

static void watch(struct job *j) {
  if (now() < j->end) return;
  if (j->late) { over(j, SIGKILL, ",\"stuck\":true"); return; }
  j->late = 1;
  j->end = now() + 3;
  write_file("/proc/sysrq-trigger", "w");                // where blocked tasks stand, into dmesg
  kill(-j->pid, SIGKILL);
}

static void serve(void) {
  static char line[LINE];
  size_t have = 0;
  sigset_t chld;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  sigprocmask(SIG_BLOCK, &chld, NULL);
  int sig = signalfd(-1, &chld, SFD_NONBLOCK | SFD_CLOEXEC);
  for (;;) {
    struct pollfd fds[2 + 2 * JOBS] = { { port, POLLIN, 0 }, { sig, POLLIN, 0 } };
    struct job *of[2 + 2 * JOBS];
    int n = 2;
    for (struct job *j = jobs; j < jobs + JOBS; j++) {
      if (!j->pid) continue;
      of[n] = j; fds[n++] = (struct pollfd){ j->out, POLLIN, 0 };
      of[n] = j; fds[n++] = (struct pollfd){ j->err, POLLIN, 0 };
    }
    poll(fds, n, n > 2 ? 500 : -1);
    for (int i = 2; i < n; i++)
      if (fds[i].revents & POLLIN) relay(of[i], fds[i].fd, i % 2 ? "err" : "out");
    struct signalfd_siginfo info;
    while (read(sig, &info, sizeof info) > 0) ;
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
      for (struct job *j = jobs; j < jobs + JOBS; j++)
        if (j->pid == pid) over(j, status, "");
    for (struct job *j = jobs; j < jobs + JOBS; j++)
      if (j->pid) watch(j);
    if (fds[0].revents & (POLLIN | POLLHUP)) {
      ssize_t got = read(port, line + have, LINE - 1 - have);
      if (got <= 0) finish();                            // the host hung up
      have += got;
      line[have] = 0;
      for (char *end; (end = memchr(line, '\n', have)); ) {
        *end = 0;
        struct request r;
        if (parse(line, &r)) start(&r); else say("{\"fatal\":\"cannot read a request\"}");
        have -= end + 1 - line;
        memmove(line, end + 1, have);
      }
    }
  }
}

// --- the machine ----------------------------------------------------------------------------------------------

static void insert(const char *name) {
  char path[256];
  snprintf(path, sizeof path, "/modules/%s.ko", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)) fatal(path);
  close(fd);
}

static void insert_all(void) {
  FILE *order = fopen("/modules/order", "re");
  char name[128];
  if (!order) fatal("/modules/order");
  while (fscanf(order, "%127s", name) == 1) insert(name);
  fclose(order);
}

static void open_port(void) {
  for (int tries = 0; tries < 500 && port < 0; tries++, usleep(10000)) {
    DIR *d = opendir("/sys/class/virtio-ports");
    for (struct dirent *e; d && (e = readdir(d)); ) {
      char path[300], name[32] = "";
      snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", e->d_name);
      FILE *f = fopen(path, "re");
      if (!f) continue;
      if (fscanf(f, "%31s", name) == 1 && !strcmp(name, "agent")) {
        snprintf(path, sizeof path, "/dev/%s", e->d_name);
        port = open(path, O_RDWR | O_CLOEXEC);
      }
      fclose(f);
    }
    if (d) closedir(d);
  }
  if (port < 0) fatal("no port named agent");
}

static void put(const char *what, const char *on, const char *type, unsigned long flags, const char *options) {
  mkdir(on, 0755);
  if (mount(what, on, type, flags, options)) fatal(on);
}

static void network(const char *interface, const char *address, const char *mask) {
  int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq r = { 0 };
  struct sockaddr_in *in = (struct sockaddr_in *)&r.ifr_addr;
  strcpy(r.ifr_name, interface);
  in->sin_family = AF_INET;
  inet_aton(address, &in->sin_addr);
  if (ioctl(s, SIOCSIFADDR, &r) == 0) {                  // fails where the guest has no such interface: fine
    inet_aton(mask, &in->sin_addr);
    ioctl(s, SIOCSIFNETMASK, &r);
    ioctl(s, SIOCGIFFLAGS, &r);
    r.ifr_flags |= IFF_UP | IFF_RUNNING;
    ioctl(s, SIOCSIFFLAGS, &r);
  }
  close(s);
}

static long counter_khz(void) {
  double from = now(), elapsed;
  unsigned long long start = __rdtsc();
  do usleep(20000); while ((elapsed = now() - from) < 0.2);
  return (__rdtsc() - start) / elapsed / 1000;
}

int main(void) {
  if (getpid() != 1) return printf("%ld\n", counter_khz()) < 0;
  put("proc", "/proc", "proc", 0, NULL);
  put("sys", "/sys", "sysfs", 0, NULL);
  put("dev", "/dev", "devtmpfs", 0, NULL);
  insert_all();
  open_port();
  put("root", "/lower", "9p", MS_RDONLY, "trans=virtio,version=9p2000.L,msize=524288,cache=loose");
  put("upper", "/upper", "tmpfs", 0, "size=512m,mode=755");
  mkdir("/upper/files", 0755);
  mkdir("/upper/work", 0755);
  put("root", "/root", "overlay", 0, "lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work,index=off,xino=off,metacopy=off");
  if (chroot("/root") || chdir("/")) fatal("chroot");
  put("proc", "/proc", "proc", 0, NULL);
  put("sys", "/sys", "sysfs", 0, NULL);
  put("dev", "/dev", "devtmpfs", 0, NULL);
  put("devpts", "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666");
  put("shm", "/dev/shm", "tmpfs", 0, "mode=1777");
  if (symlink("/proc/self/fd", "/dev/fd")) fatal("/dev/fd");
  network("lo", "127.0.0.1", "255.0.0.0");
  network("eth0", "10.0.2.15", "255.255.255.0");        // no route beyond QEMU's own network, and no names
  write_file("/proc/sys/fs/protected_hardlinks", "1");   // as distributions have them
  write_file("/proc/sys/fs/protected_symlinks", "1");
  write_file("/proc/sys/kernel/printk", "4 4 1 7");
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  setenv("HOME", "/root", 1);
  setenv("LC_ALL", "C", 1);
  umask(022);
  struct utsname u;
  uname(&u);
  say("{\"ready\":\"%s\"}", u.release);
  serve();
}
