// fsx DIR SEED COUNT: operations at random on one file, each checked against a model in memory: read, write, append, truncate, map and write, map and
// read, copy within the file, close and open again, sync. Says what went wrong, and the operations before it.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 256 * 1024, KEPT = 16 };
static unsigned char model[MOST], buffer[MOST];
static long size;
static unsigned long long state;
static char history[KEPT][96];
static long n;
static int fd;

static unsigned dice(unsigned below) {
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return (unsigned)(state >> 33) % below;
}
static void die(const char *what, long at) {
  fprintf(stderr, "operation %ld: %s at %ld: %s\n", n, what, at, strerror(errno));
  for (long i = n > KEPT ? n - KEPT : 0; i <= n; i++) fprintf(stderr, "  %s\n", history[i % KEPT]);
  exit(1);
}
static void note(const char *what, long at, long length) {
  snprintf(history[n % KEPT], sizeof *history, "%ld %s at %ld for %ld, size %ld", n, what, at, length, size);
}
static void same(const unsigned char *got, long at, long length, const char *what) {
  for (long i = 0; i < length; i++) if (got[i] != model[at + i]) { errno = 0; die(what, at + i); }
}
static void fill(long at, long length) {
  for (long i = 0; i < length; i++) model[at + i] = dice(256);
}
/** The model where the file grew to `end`: zeros since the old end. */
static void grow(long end) {
  if (end <= size) return;
  memset(model + size, 0, end - size);
  size = end;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  char path[4096];
  snprintf(path, sizeof path, "%s/fsx-%s", argv[1], argv[2]);
  state = strtoull(argv[2], NULL, 10) * 2 + 1;
  long count = atol(argv[3]);
  if ((fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644)) < 0) die("create", 0);
  for (n = 0; n < count; n++) {
    long at = dice(MOST - 1), length = 1 + dice(n % 8 ? 8192 : MOST / 4);
    if (at + length > MOST) length = MOST - at;
    switch (dice(13)) {
    case 0: case 1: case 2:
      note("read", at, length);
      { long got = pread(fd, buffer, length, at), want = at >= size ? 0 : at + length > size ? size - at : length;
        if (got != want) die("a read of another length", got);
        same(buffer, at, got, "read"); }
      break;
    case 3: case 4: case 5:
      note("write", at, length);
      if (at > size) grow(at);
      fill(at, length);
      if (pwrite(fd, model + at, length, at) != length) die("write", at);
      if (at + length > size) size = at + length;
      break;
    case 6:
      note("truncate", at, 0);
      if (at > size) grow(at);
      size = at;
      if (ftruncate(fd, at)) die("truncate", at);
      break;
    case 7:
      if (size == 0) break;
      at %= size;
      if (at + length > size) length = size - at;
      note("map and read", at, length);
      { unsigned char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) die("map", at);
        same(map + at, at, length, "map and read");
        munmap(map, size); }
      break;
    case 8:
      if (size == 0) break;
      at %= size;
      if (at + length > size) length = size - at;
      note("map and write", at, length);
      { unsigned char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) die("map", at);
        fill(at, length);
        memcpy(map + at, model + at, length);
        if (dice(2) && msync(map, size, MS_SYNC)) die("msync", at);
        munmap(map, size); }
      break;
    case 9:
      if (size < 2) break;
      { long from = dice(size), room = size - from;
        if (length > room) length = room;
        if (at < from + length && from < at + length) break;   // which copy_file_range refuses
        note("copy", at, length);
        off_t in = from, out = at;
        if (at > size) grow(at);
        for (long left = length; left > 0;) {
          long done = copy_file_range(fd, &in, fd, &out, left, 0);
          if (done <= 0) die("copy", at);
          left -= done;
        }
        memmove(model + at, model + from, length);
        if (at + length > size) size = at + length; }
      break;
    case 10:
      note("close and open", 0, 0);
      if (close(fd) || (fd = open(path, O_RDWR)) < 0) die("open", 0);
      { struct stat st;
        if (fstat(fd, &st) || st.st_size != size) die("its size", st.st_size); }
      break;
    case 11:
      note("sync", 0, 0);
      if (fsync(fd)) die("fsync", 0);
      break;
    case 12:
      if (size + length > MOST) break;
      note("append", size, length);
      { int end = open(path, O_WRONLY | O_APPEND);
        if (end < 0) die("open to append", 0);
        fill(size, length);
        if (write(end, model + size, length) != length || close(end)) die("append", size);
        size += length; }
      break;
    }
  }
  if (pread(fd, buffer, MOST, 0) != size) die("the end", size);
  same(buffer, 0, size, "the end");
  printf("%ld operations\n", n);
  return 0;
}
