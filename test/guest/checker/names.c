// Names are bytes: long ones, odd ones, and those that are no UTF-8.
#include "check.h"

static char name255[256], name256[257];
static void long_names(void) { memset(name255, 'n', 255); memset(name256, 'n', 256); }

CHECK("names: 255 bytes are fine for every kind of file") {
  long_names();
  put(name255, "text");
  same("text", get(name255));
  is(1, entries("."));
  ok(rename(name255, "f"));
  ok(link("f", name255));
  ok(unlink(name255));
  ok(mkdir(name255, 0755));
  ok(rmdir(name255));
  ok(symlink("x", name255));
  ok(unlink(name255));
  ok(mkfifo(name255, 0644));
}

CHECK("names: 256 bytes are ENAMETOOLONG, for every call") {
  long_names();
  struct stat s;
  char t[9];
  put("f", "");
  fails(ENAMETOOLONG, open(name256, O_RDONLY));
  fails(ENAMETOOLONG, open(name256, O_CREAT | O_WRONLY, 0644));
  fails(ENAMETOOLONG, stat(name256, &s));
  fails(ENAMETOOLONG, mkdir(name256, 0755));
  fails(ENAMETOOLONG, rmdir(name256));
  fails(ENAMETOOLONG, unlink(name256));
  fails(ENAMETOOLONG, rename("f", name256));
  fails(ENAMETOOLONG, rename(name256, "g"));
  fails(ENAMETOOLONG, link("f", name256));
  fails(ENAMETOOLONG, symlink("x", name256));
  fails(ENAMETOOLONG, readlink(name256, t, 9));
  fails(ENAMETOOLONG, mkfifo(name256, 0644));
  fails(ENAMETOOLONG, chmod(name256, 0644));
  fails(ENAMETOOLONG, truncate(name256, 0));
  is(1, entries("."));
}

CHECK("names: a path of 4096 bytes is ENAMETOOLONG, one a little shorter is fine") {
  static char path[4200];
  for (int i = 0; i < 4096; i++) path[i] = i % 2 ? '/' : '.';
  fails(ENAMETOOLONG, open(path, O_RDONLY));
  path[4094] = 0;
  ok(open(path, O_RDONLY));
}

CHECK("names: every byte but / and NUL can be one") {
  char seen[256] = "", name[2] = "";
  int made = 0;
  for (int c = 1; c < 256; c++) {
    if (c == '/' || c == '.') continue;
    name[0] = c;
    ok(mknod(name, S_IFREG | 0644, 0));
    made++;
  }
  DIR *d = opendir(".");
  yes(d);
  for (struct dirent *e; (e = readdir(d)); ) {
    if (e->d_name[0] == '.') continue;
    is(1, strlen(e->d_name));
    seen[(unsigned char)e->d_name[0]]++;
  }
  for (int c = 1; c < 256; c++) if (c != '/' && c != '.') is(1, seen[c]);
  for (int c = 1; c < 256; c++) { name[0] = c; if (c != '/' && c != '.') ok(unlink(name)); }
  is(0, entries("."));
}

CHECK("names: that are no UTF-8 are made, found, moved and removed to the byte") {
  static const char *const odd[] = { "\xff", "a\x80z", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xed\xb2\x80", "\x80", "\xf4\x90\x80\x80", "\xc0\xaf" };
  enum { N = sizeof odd / sizeof *odd };
  for (int i = 0; i < N; i++) { char text[4]; snprintf(text, 4, "%d", i); put(odd[i], text); }
  is(N, entries("."));
  for (int i = 0; i < N; i++) is(i, atoi(get(odd[i])));
  make_dir("d\xfe");
  ok(rename(odd[0], "d\xfe/\xfd"));
  same("0", get("d\xfe/\xfd"));
  for (int i = 1; i < N; i++) ok(unlink(odd[i]));
  is(1, entries("."));
}

CHECK("names: are not folded, neither by case nor by how a letter is composed") {
  static const char *const all[] = { "name", "Name", "NAME", "\xc3\xa9", "e\xcc\x81", "\xe2\x84\xab", "\xc3\x85" };
  for (int i = 0; i < 7; i++) { char text[4]; snprintf(text, 4, "%d", i); put(all[i], text); }
  is(7, entries("."));
  for (int i = 0; i < 7; i++) is(i, atoi(get(all[i])));
}

CHECK("names: with blanks, quotes, newlines, dots and other signs") {
  static const char *const all[] = { " ", "  a", "a ", "a\nb", "\t", "'", "\"", "\\", "...", "..a", "a..", ".a", "-rf", "*", "?",
    "a:b", "a@b", "#", "%00", "~", "CON", "a|b", "@", "$x" };
  enum { N = sizeof all / sizeof *all };
  for (int i = 0; i < N; i++) { char text[4]; snprintf(text, 4, "%d", i); put(all[i], text); }
  is(N, entries("."));
  for (int i = 0; i < N; i++) is(i, atoi(get(all[i])));
  for (int i = 0; i < N; i++) ok(unlink(all[i]));
}

CHECK("names: double slashes, dots and detours on the way are nothing") { make_dir("d"); put("d/f", "text"); same("text", get(".//d/.//../d///f")); }
