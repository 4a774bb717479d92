// read, write, lseek, truncate: contents, holes and sizes.
#include "check.h"
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

enum { BIG = 1 << 20 };
static unsigned char bytes[BIG + 64], got[BIG + 64];

CHECK("read: at the end gives 0, across it what is left") {
  put("f", "0123456789");
  int fd = ok(open("f", O_RDONLY));
  char text[20] = "";
  is(4, pread(fd, text, sizeof text, 6));
  same("6789", text);
  is(0, pread(fd, text, sizeof text, 10));
  is(0, pread(fd, text, sizeof text, 1000000));
  is(10, read(fd, text, sizeof text));
  is(0, read(fd, text, sizeof text));
}

CHECK("read: a directory is EISDIR") { char byte; fails(EISDIR, read(ok(open(".", O_RDONLY)), &byte, 1)); }
CHECK("write: 0 bytes give 0 and change nothing") { put("f", "text"); is(0, write(ok(open("f", O_WRONLY)), "", 0)); same("text", get("f")); }

CHECK("write: past the end leaves zeros between") {
  put("f", "ab");
  is(1, pwrite(ok(open("f", O_WRONLY)), "z", 1, 10000));
  int fd = ok(open("f", O_RDONLY));
  is(10001, read(fd, got, BIG));
  is(0, memcmp(got, "ab", 2));
  for (int i = 2; i < 10000; i++) if (got[i]) is(0, got[i]);
  is('z', got[10000]);
}

CHECK("write: a large hole takes no space") {
  int fd = make("f", 0644);
  is(1, pwrite(fd, "z", 1, 64 << 20));
  ok(fsync(fd));
  is((64 << 20) + 1, look("f").st_size);
  yes(look("f").st_blocks * 512 < 8 << 20);
}

CHECK("write: in the middle changes only that") {
  put("f", "0123456789");
  is(3, pwrite(ok(open("f", O_WRONLY)), "abc", 3, 4));
  same("0123abc789", get("f"));
}

CHECK("pwrite and pread: do not move the offset") {
  int fd = make("f", 0644);
  char text[5] = "";
  is(4, write(fd, "0123", 4));
  is(1, pwrite(fd, "x", 1, 0));
  is(4, lseek(fd, 0, SEEK_CUR));
  is(4, pread(fd, text, 4, 0));
  is(4, lseek(fd, 0, SEEK_CUR));
  same("x123", text);
}

CHECK("write: a megabyte comes back by pieces of odd lengths") {
  pattern(bytes, BIG, 1);
  int fd = make("f", 0644);
  is(BIG, write(fd, bytes, BIG));
  is(BIG, look("f").st_size);
  ok(lseek(fd, 0, SEEK_SET));
  for (size_t at = 0, n; at < BIG; at += n) {
    n = 1 + at % 50021;
    if (n > BIG - at) n = BIG - at;
    is(n, read(fd, got + at, n));
  }
  is(0, memcmp(bytes, got, BIG));
}

CHECK("write: by pieces of odd lengths comes back in one") {
  pattern(bytes, BIG, 2);
  int fd = make("f", 0644);
  for (size_t at = 0, n; at < BIG; at += n) {
    n = 1 + at % 99991;
    if (n > BIG - at) n = BIG - at;
    is(n, write(fd, bytes + at, n));
  }
  is(BIG, pread(fd, got, BIG, 0));
  is(0, memcmp(bytes, got, BIG));
}

CHECK("write: pieces in reverse order make one file") {
  pattern(bytes, 65536, 3);
  int fd = make("f", 0644);
  for (int at = 65536 - 4096; at >= 0; at -= 4096) is(4096, pwrite(fd, bytes + at, 4096, at));
  is(65536, pread(fd, got, BIG, 0));
  is(0, memcmp(bytes, got, 65536));
}

CHECK("writev and readv: gather and scatter") {
  int fd = make("f", 0644);
  char a[3] = "", b[5] = "";
  struct iovec out[2] = { { "ab", 2 }, { "cdef", 4 } }, in[2] = { { a, 2 }, { b, 4 } };
  is(6, writev(fd, out, 2));
  is(6, preadv(fd, in, 2, 0));
  same("ab", a);
  same("cdef", b);
}

CHECK("write: beyond 4 GiB") {
  int fd = make("f", 0644);
  off_t at = ((off_t)5 << 30) + 7;
  is(4, pwrite(fd, "text", 4, at));
  is(at + 4, look("f").st_size);
  char text[5] = "";
  is(4, pread(fd, text, 4, at));
  same("text", text);
  is(4, pread(fd, text, 4, 5));
  is(0, text[0]);
}

CHECK("write: beyond 2^53 is exact or EFBIG") {
  int fd = make("f", 0644);
  off_t at = ((off_t)1 << 53) + 1;
  if (pwrite(fd, "x", 1, at) == 1) is(at + 1, look("f").st_size); else is(EFBIG, errno);
  yes(pwrite(fd, "x", 1, INT64_MAX - 1) < 1 || look("f").st_size == INT64_MAX);
}

CHECK("write: past RLIMIT_FSIZE is EFBIG") {
  struct rlimit limit = { 4096, 4096 };
  int fd = make("f", 0644);
  signal(SIGXFSZ, SIG_IGN);
  ok(setrlimit(RLIMIT_FSIZE, &limit));
  is(4096, pwrite(fd, bytes, 8192, 0));
  fails(EFBIG, pwrite(fd, "x", 1, 4096));
}

CHECK("append: goes to the end, whatever the offset") {
  put("f", "one ");
  int fd = ok(open("f", O_RDWR | O_APPEND));
  ok(lseek(fd, 0, SEEK_SET));
  is(4, write(fd, "two ", 4));
  is(8, lseek(fd, 0, SEEK_CUR));
  is(5, pwrite(fd, "three", 5, 0));
  same("one two three", get("f"));
}

CHECK("append: two descriptors take turns") {
  int a = ok(open("f", O_WRONLY | O_CREAT | O_APPEND, 0644)), b = ok(open("f", O_WRONLY | O_APPEND));
  for (int i = 0; i < 4; i++) { is(2, write(a, "a ", 2)); is(2, write(b, "b ", 2)); }
  same("a b a b a b a b ", get("f"));
}

CHECK("append: after a truncate goes to the new end") {
  put("f", "0123456789");
  int fd = ok(open("f", O_WRONLY | O_APPEND));
  ok(truncate("f", 3));
  is(1, write(fd, "x", 1));
  same("012x", get("f"));
}

CHECK("append: two processes lose nothing and tear nothing") {
  pid_t pid;
  ok(close(ok(open("f", O_CREAT | O_WRONLY, 0644))));
  START(pid) {
    int fd = ok(open("f", O_WRONLY | O_APPEND));
    for (int i = 0; i < 60; i++) is(8, write(fd, "aaaaaaa\n", 8));
  }
  int fd = ok(open("f", O_WRONLY | O_APPEND));
  for (int i = 0; i < 60; i++) is(8, write(fd, "bbbbbbb\n", 8));
  finish(pid);
  const char *text = get("f");
  is(2 * 60 * 8, strlen(text));
  int a = 0, b = 0;
  for (int i = 0; i < 120; i++) {
    a += !memcmp(text + 8 * i, "aaaaaaa\n", 8);
    b += !memcmp(text + 8 * i, "bbbbbbb\n", 8);
  }
  is(60, a);
  is(60, b);
}

CHECK("write: four processes write their own parts of one file") {
  ok(close(make("f", 0644)));
  for (int round = 0; round < 2; round++) {
    pid_t pids[4];
    for (int i = 0; i < 4; i++) START(pids[i]) {
      unsigned char part[10000];
      int fd = ok(open("f", O_RDWR));
      pattern(part, sizeof part, i + round);
      for (int at = 0; at < 10000; at += 500) is(500, pwrite(fd, part + at, 500, i * 10000 + at));
    }
    for (int i = 0; i < 4; i++) finish(pids[i]);
    int fd = ok(open("f", O_RDONLY));
    is(40000, read(fd, got, BIG));
    for (int i = 0; i < 4; i++) {
      pattern(bytes, 10000, i + round);
      is(0, memcmp(got + i * 10000, bytes, 10000));
    }
    ok(close(fd));
  }
}

CHECK("lseek: SEEK_END and SEEK_CUR; before 0 is EINVAL") {
  put("f", "0123456789");
  int fd = ok(open("f", O_RDONLY));
  is(10, lseek(fd, 0, SEEK_END));
  is(7, lseek(fd, -3, SEEK_CUR));
  is(110, lseek(fd, 100, SEEK_END));
  fails(EINVAL, lseek(fd, -1, SEEK_SET));
  fails(EINVAL, lseek(fd, -11, SEEK_END));
}

CHECK("lseek: SEEK_DATA and SEEK_HOLE find the edges of a hole") {
  int fd = make("f", 0644);
  is(1, pwrite(fd, "x", 1, BIG));
  ok(fsync(fd));
  is(BIG, lseek(fd, 0, SEEK_DATA));
  is(0, lseek(fd, 0, SEEK_HOLE));
}

CHECK("truncate: shorter and longer; what was cut off comes back as zeros") {
  put("f", "0123456789");
  ok(truncate("f", 4));
  same("0123", get("f"));
  ok(truncate("f", 8));
  is(8, look("f").st_size);
  is(8, read(ok(open("f", O_RDONLY)), got, 100));
  is(0, memcmp(got, "0123\0\0\0\0", 8));
}

CHECK("truncate: across a page's edge leaves zeros behind the cut") {
  memset(bytes, 'x', 20000);
  int fd = make("f", 0644);
  is(20000, write(fd, bytes, 20000));
  ok(ftruncate(fd, 5000));
  ok(ftruncate(fd, 20000));
  is(20000, pread(fd, got, BIG, 0));
  is(0, memcmp(bytes, got, 5000));
  for (int i = 5000; i < 20000; i++) if (got[i]) is(0, got[i]);
}

CHECK("truncate: to the same size is fine") { put("f", "text"); ok(truncate("f", 4)); same("text", get("f")); }
CHECK("truncate: beyond 4 GiB") { put("f", ""); ok(truncate("f", (off_t)6 << 30)); is((off_t)6 << 30, look("f").st_size); }
CHECK("truncate: a negative size is EINVAL") { put("f", ""); fails(EINVAL, truncate("f", -1)); fails(EINVAL, ftruncate(ok(open("f", O_RDWR)), -1)); }
CHECK("truncate: a directory is EISDIR") { make_dir("d"); fails(EISDIR, truncate("d", 0)); }
CHECK("truncate: a missing name is ENOENT") { fails(ENOENT, truncate("f", 0)); }
CHECK("truncate: a file on the way is ENOTDIR") { put("f", ""); fails(ENOTDIR, truncate("f/x", 0)); }
CHECK("truncate: follows a symlink") { put("f", "text"); ok(symlink("f", "l")); ok(truncate("l", 2)); same("te", get("f")); }

CHECK("ftruncate: a descriptor opened to read is EINVAL") {
  put("f", "text");
  fails(EINVAL, ftruncate(ok(open("f", O_RDONLY)), 0));
  same("text", get("f"));
}

CHECK("ftruncate: goes by how the descriptor was opened, not by the mode since") {
  int fd = make("f", 0644);
  is(4, write(fd, "text", 4));
  ok(chmod("f", 0));
  ok(ftruncate(fd, 2));
  is(2, look("f").st_size);
}

CHECK("ftruncate: does not move the offset") {
  int fd = make("f", 0644);
  is(4, write(fd, "text", 4));
  ok(ftruncate(fd, 0));
  is(1, write(fd, "x", 1));
  is(5, look("f").st_size);
  is(5, pread(fd, got, 100, 0));
  is(0, memcmp(got, "\0\0\0\0x", 5));
}

CHECK("write: changes mtime and ctime") {
  put("f", "");
  older("f");
  struct stat before = look("f");
  usleep(20000);
  int fd = ok(open("f", O_WRONLY));
  is(1, write(fd, "x", 1));
  ok(close(fd));
  struct stat after = look("f");
  yes(after.st_mtime > before.st_mtime);
  yes(after.st_ctim.tv_sec > before.st_ctim.tv_sec || after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
}

CHECK("truncate: changes mtime") { put("f", "text"); older("f"); ok(truncate("f", 2)); yes(look("f").st_mtime > 1000000000); }
CHECK("read: does not change mtime") { put("f", "text"); older("f"); same("text", get("f")); is(1000000000, look("f").st_mtime); }

CHECK("fallocate: makes room") { int fd = make("f", 0644); ok(fallocate(fd, 0, 0, 8192)); is(8192, look("f").st_size); }

CHECK("copy_file_range: copies") {
  put("f", "0123456789");
  int from = ok(open("f", O_RDONLY)), to = make("g", 0644);
  off_t at = 2;
  is(5, copy_file_range(from, &at, to, NULL, 5, 0));
  same("23456", get("g"));
}

CHECK("sendfile: copies between files") {
  pattern(bytes, 300000, 5);
  int from = make("f", 0644), to = make("g", 0644);
  is(300000, write(from, bytes, 300000));
  off_t at = 0;
  while (at < 300000) ok(sendfile(to, from, &at, 300000 - at));
  is(300000, pread(to, got, BIG, 0));
  is(0, memcmp(bytes, got, 300000));
}
