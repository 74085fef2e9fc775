/*
 * Functions that the programs of this folder share: exits with a message, clocks, the CPU clock of another process, a
 * deterministic pattern of bytes, a histogram of latencies, sockets, and the line of JSON with the port.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define die(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))
#define die_errno(what) die("%s: %s", what, strerror(errno))

static inline uint64_t clock_ns(clockid_t id) {
  struct timespec t;
  if (clock_gettime(id, &t) != 0) die_errno("clock_gettime");
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static inline uint64_t number_arg(const char *text, const char *name) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (errno != 0 || *text == 0 || *end != 0) die("%s must be a whole number, not \"%s\"", name, text);
  return value;
}

/* A reading of the clocks: the wall clock, and the CPU time of a process with all its threads. */
struct stamp {
  uint64_t wall, cpu;
  unsigned long long user_ticks, system_ticks;
};

static inline clockid_t cpu_clock_of(pid_t pid) {
  clockid_t id;
  int error = clock_getcpuclockid(pid, &id);
  if (error != 0) die("clock_getcpuclockid of process %d: %s", (int)pid, strerror(error));
  return id;
}

static inline struct stamp take_stamp(pid_t pid, clockid_t cpu) {
  struct stamp s = {0};
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) die_errno(path);
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  if (n <= 0) die("%s is empty", path);
  text[n] = 0;
  /* The name of the command may contain spaces and parentheses, so the fields are counted from the last ")". */
  const char *fields = strrchr(text, ')');
  if (!fields || sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &s.user_ticks,
                        &s.system_ticks) != 2)
    die("%s has no CPU times", path);
  s.cpu = clock_ns(cpu);
  s.wall = now_ns();
  return s;
}

/* Prints the usage between two stamps as members of a JSON object, without braces. */
static inline void print_usage(struct stamp from, struct stamp to) {
  printf("\"elapsedNs\":%llu,\"cpuNs\":%llu,\"userTicks\":%llu,\"systemTicks\":%llu", (unsigned long long)(to.wall - from.wall),
         (unsigned long long)(to.cpu - from.cpu), to.user_ticks - from.user_ticks, to.system_ticks - from.system_ticks);
}

/* splitmix64: word `i` of a pattern in which practically all words are different. */
static inline uint64_t mix(uint64_t i) {
  uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/*
 * A histogram of latencies. Each power of two has 32 buckets, so the error is at most 3 percent. Adding a latency does
 * not allocate.
 */
#define HISTOGRAM_SIZE (64 * 32)
struct histogram {
  uint64_t count, buckets[HISTOGRAM_SIZE];
};

static inline void histogram_add(struct histogram *h, uint64_t ns) {
  unsigned index;
  if (ns < 32) {
    index = (unsigned)ns;
  } else {
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 5u;
    index = (shift + 1) * 32 + (unsigned)((ns >> shift) & 31);
  }
  h->buckets[index]++;
  h->count++;
}

static inline uint64_t histogram_at(const struct histogram *h, double share) {
  uint64_t rank = (uint64_t)((double)h->count * share), seen = 0;
  for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
    seen += h->buckets[i];
    if (h->buckets[i] != 0 && seen > rank) return i < 32 ? i : (uint64_t)(32 + i % 32) << (i / 32 - 1);
  }
  return 0;
}

static inline void set_int(int fd, int level, int name, int value, const char *what) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0) die_errno(what);
}

/* Raises the limit of descriptors to the hard limit. Exits if that is less than `needed`. */
static inline void raise_descriptor_limit(uint64_t needed) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) die_errno("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) die_errno("setrlimit");
  if (limit.rlim_max < needed)
    die("%llu descriptors are needed, and the limit is %llu", (unsigned long long)needed, (unsigned long long)limit.rlim_max);
}

/*
 * Binds the client socket of connection `number` to one of the addresses 127.0.0.1 to 127.0.0.4, in turn. One address
 * would have too few ports: about 28,000, and a port stays in TIME-WAIT after its connection has ended.
 */
static inline void bind_in_turn(int fd, uint64_t number) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number % 4));
  /* 24 is IP_BIND_ADDRESS_NO_PORT: connect(2) chooses the port, which has to be free for this peer only. */
  set_int(fd, IPPROTO_IP, 24, 1, "IP_BIND_ADDRESS_NO_PORT");
  if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0) die_errno("bind");
}

static inline struct sockaddr_in loopback(uint16_t port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

/*
 * A socket bound to *port of 127.0.0.1. If *port is 0, the kernel chooses a port, and *port is set to it. Otherwise
 * connections of an earlier socket in TIME-WAIT do not prevent the bind. A stream socket listens.
 */
static inline int bound_socket_at(int type, uint16_t *port) {
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;
  if (fd < 0) die_errno("socket");
  if (*port != 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) die_errno("SO_REUSEADDR");
  struct sockaddr_in address = loopback(*port);
  socklen_t size = sizeof address;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) die_errno("bind");
  if ((type & SOCK_STREAM) && !(type & SOCK_DGRAM) && listen(fd, SOMAXCONN) != 0) die_errno("listen");
  if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) die_errno("getsockname");
  *port = ntohs(address.sin_port);
  return fd;
}

static inline int bound_socket(int type, uint16_t *port) {
  *port = 0;
  return bound_socket_at(type, port);
}

static inline int connected_socket(int type, uint16_t port) {
  int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (fd < 0) die_errno("socket");
  struct sockaddr_in address = loopback(port);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) die_errno("connect");
  return fd;
}

static inline void set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) die_errno("fcntl");
}

/* All subjects set the same size. net.core.rmem_max limits it. */
static inline void set_receive_buffer(int fd) { set_int(fd, SOL_SOCKET, SO_RCVBUF, 4 << 20, "SO_RCVBUF"); }

static inline void print_ready(uint16_t port) {
  printf("{\"port\":%u}\n", port);
  fflush(stdout);
}

#endif
