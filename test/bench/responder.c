/*
 * The limit: answers 9P2000.L from memory, all that it is asked, and keeps nothing. What a load tool gets from it is what the
 * tool, the kernel and one process without work can do. responder PORT; it listens on loopback.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1 << 21, PEERS = 64, FILE_SIZE = 1 << 26 };
static struct { int fd; size_t filled; uint8_t *in; } peers[PEERS];
static uint8_t out[2 * MOST];
static size_t n;

static uint32_t u32(const uint8_t *p) { return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24; }
static void p8(uint8_t v) { out[n++] = v; }
static void p16(uint16_t v) { p8(v); p8(v >> 8); }
static void p32(uint32_t v) { p16(v); p16(v >> 16); }
static void p64(uint64_t v) { p32(v); p32(v >> 32); }
static void qid(int type) { p8(type); p32(0); p64(type ? 1 : 2); }

/* A walk without names is a clone of what may be a directory; one with names ends at a file. */
static void answer(const uint8_t *m, uint32_t size) {
  size_t began = n;
  uint32_t count;
  p32(0); p8(m[4] + 1); p16(m[5] | m[6] << 8);
  switch (m[4]) {
  case 100: p32(u32(m + 7)); p16(8); memcpy(out + n, "9P2000.L", 8); n += 8; break;
  case 104: case 72: qid(0x80); break;
  case 110: count = m[15] | m[16] << 8; p16(count); while (count-- > 0) qid(0); break;
  case 12: case 14: qid(0); p32(0); break;
  case 24: p64(0x7ff); qid(0); p32(0100644); p32(0); p32(0); p64(1); p64(0); p64(FILE_SIZE); p64(4096); p64(FILE_SIZE / 512); for (int i = 0; i < 10; i++) p64(0); break;
  case 40: p32(0); break;
  case 116: count = u32(m + 19); if (count > MOST / 2) count = MOST / 2; p32(count); n += count; break;
  case 118: p32(u32(m + 19)); break;
  default: break;
  }
  uint32_t length = n - began;
  memcpy(out + began, &length, 4);
  (void)size;
}

static int flush(int fd) {
  for (size_t at = 0; at < n;) {
    ssize_t sent = send(fd, out + at, n - at, MSG_NOSIGNAL);
    if (sent <= 0) return -1;
    at += sent;
  }
  n = 0;
  return 0;
}

static int serve(int i) {
  ssize_t got = recv(peers[i].fd, peers[i].in + peers[i].filled, 2 * MOST - peers[i].filled, 0);
  if (got <= 0) return -1;
  peers[i].filled += got;
  size_t at = 0;
  for (uint32_t size; peers[i].filled - at >= 7; at += size) {
    size = u32(peers[i].in + at);
    if (size < 7 || size > MOST) return -1;
    if (peers[i].filled - at < size) break;
    answer(peers[i].in + at, size);
    if (n > MOST / 2 && flush(peers[i].fd)) return -1;
  }
  memmove(peers[i].in, peers[i].in + at, peers[i].filled -= at);
  return flush(peers[i].fd);
}

int main(int argc, char **argv) {
  int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0), used = 0;
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&to, sizeof to) || listen(fd, 16)) { perror("responder"); return 1; }
  for (;;) {
    struct pollfd polled[PEERS + 1] = { { fd, POLLIN, 0 } };
    for (int i = 0; i < used; i++) polled[i + 1] = (struct pollfd){ peers[i].fd, POLLIN, 0 };
    if (poll(polled, used + 1, -1) < 0) return 1;
    for (int i = used - 1; i >= 0; i--) {
      if (!polled[i + 1].revents || !serve(i)) continue;
      close(peers[i].fd); free(peers[i].in);
      peers[i] = peers[--used];
      n = 0;
    }
    if (polled[0].revents) {
      int peer = accept(fd, NULL, NULL);
      if (peer >= 0 && used == PEERS) close(peer);
      else if (peer >= 0) {
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        peers[used].fd = peer; peers[used].filled = 0; peers[used++].in = malloc(2 * MOST);
      }
    }
  }
}
