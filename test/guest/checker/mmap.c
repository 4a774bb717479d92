// Files in memory.
#include "check.h"
#include <sys/mman.h>

enum { SIZE = 20000 };
static unsigned char bytes[SIZE];

/** A file of a known pattern, open for reading and writing. */
static int patterned(void) {
  int fd = make("f", 0644);
  pattern(bytes, SIZE, 7);
  is(SIZE, write(fd, bytes, SIZE));
  return fd;
}

static unsigned char *map(int fd, int prot, int flags) {
  unsigned char *p = mmap(NULL, SIZE, prot, flags, fd, 0);
  ok(p == MAP_FAILED ? -1 : 0);
  return p;
}

CHECK("mmap: a private mapping shows the file") { is(0, memcmp(bytes, map(patterned(), PROT_READ, MAP_PRIVATE), SIZE)); }

CHECK("mmap: a shared mapping to read shows the file") {
  patterned();
  is(0, memcmp(bytes, map(ok(open("f", O_RDONLY)), PROT_READ, MAP_SHARED), SIZE));
}

CHECK("mmap: behind the end of the file the page is zeros") {
  unsigned char *p = map(patterned(), PROT_READ, MAP_PRIVATE);
  for (int i = SIZE; i % 4096; i++) is(0, p[i]);
}

CHECK("mmap: at an offset") {
  int fd = patterned();
  unsigned char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 8192);
  ok(p == MAP_FAILED ? -1 : 0);
  is(0, memcmp(bytes + 8192, p, 4096));
}

CHECK("mmap: to write shared needs a descriptor that may write") {
  patterned();
  fails(EACCES, (long)mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ok(open("f", O_RDONLY)), 0));
}

CHECK("mmap: writing a private mapping leaves the file alone") {
  int fd = patterned();
  unsigned char *p = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE), now[SIZE];
  memset(p, 0, SIZE);
  is(SIZE, pread(fd, now, SIZE, 0));
  is(0, memcmp(bytes, now, SIZE));
}

CHECK("mmap: outlives the descriptor and the name") {
  int fd = patterned();
  unsigned char *p = map(fd, PROT_READ, MAP_PRIVATE);
  is(bytes[0], p[0]);
  ok(close(fd));
  ok(unlink("f"));
  is(0, memcmp(bytes, p, SIZE));
}

CHECK("mmap: writing a shared mapping writes the file") {
  int fd = patterned();
  unsigned char *p = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED), now[SIZE];
  memset(p + 5000, 'x', 5000);
  memset(bytes + 5000, 'x', 5000);
  ok(msync(p, SIZE, MS_SYNC));
  is(SIZE, pread(fd, now, SIZE, 0));
  is(0, memcmp(bytes, now, SIZE));
  ok(munmap(p, SIZE));
  ok(close(fd));
  is(SIZE, read(ok(open("f", O_RDONLY)), now, SIZE));
  is(0, memcmp(bytes, now, SIZE));
}

CHECK("mmap: what was written through a mapping of a closed file arrives") {
  int fd = patterned();
  unsigned char *p = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED), now[SIZE];
  ok(close(fd));
  memset(p, 'y', SIZE);
  ok(munmap(p, SIZE));
  is(SIZE, read(ok(open("f", O_RDONLY)), now, SIZE));
  for (int i = 0; i < SIZE; i++) if (now[i] != 'y') is(i, -1);
  is(SIZE, look("f").st_size);
}

CHECK("mmap: two processes share a mapping") {
  unsigned char *p = map(patterned(), PROT_READ | PROT_WRITE, MAP_SHARED);
  BESIDE p[100] = p[99] + 1;
  is((unsigned char)(bytes[99] + 1), p[100]);
}
