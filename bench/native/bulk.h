/*
 * The receiving end of the workloads that move the bytes of a file. When the file arrives on a connection for the first
 * time, every byte is compared. After that the kernel discards the bytes (MSG_TRUNC, tcp(7)) and this end only counts
 * them, so that it does not limit the rate.
 */
#ifndef BENCH_BULK_H
#define BENCH_BULK_H

#include "common.h"
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAX_RECEIVE (1 << 20)

struct file {
  int fd;
  uint64_t size;
  const unsigned char *bytes;
};

static inline struct file open_file(const char *path) {
  struct file f = {.fd = open(path, O_RDONLY | O_CLOEXEC)};
  struct stat s;
  if (f.fd < 0 || fstat(f.fd, &s) != 0) die_errno(path);
  f.size = (uint64_t)s.st_size;
  if (f.size == 0) die("%s is empty", path);
  f.bytes = mmap(NULL, f.size, PROT_READ, MAP_SHARED | MAP_POPULATE, f.fd, 0);
  if (f.bytes == MAP_FAILED) die_errno("mmap");
  return f;
}

struct sink {
  int fd;
  uint64_t received;
};

/* Receives at most MAX_RECEIVE bytes. Returns their number; 0 if none have arrived. */
static inline uint64_t sink_receive(struct sink *s, const struct file *f) {
  static unsigned char data[MAX_RECEIVE];
  bool compare = s->received < f->size;
  uint64_t left = f->size - s->received % f->size;
  size_t want = left < MAX_RECEIVE ? left : MAX_RECEIVE;
  ssize_t n = recv(s->fd, compare ? data : NULL, want, compare ? 0 : MSG_TRUNC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (n < 0) die_errno("recv");
  if (n == 0) die("the peer finished after %llu bytes", (unsigned long long)s->received);
  if (compare && memcmp(data, f->bytes + s->received, (size_t)n) != 0)
    die("bytes after %llu differ from the file", (unsigned long long)s->received);
  s->received += (uint64_t)n;
  return (uint64_t)n;
}

/* The measured window of a transfer. It begins after the warm-up, when every byte of the file was compared. */
struct window {
  pid_t pid;
  clockid_t cpu;
  uint64_t begin_at, length, bytes;
  bool open;
  struct stamp from, own_from;
};

static inline struct window window_of(pid_t pid, uint64_t warmup, uint64_t length) {
  return (struct window){.pid = pid, .cpu = cpu_clock_of(pid), .begin_at = now_ns() + warmup, .length = length};
}

/* Begins or ends the window when it is time. Returns true after the end; the results are then printed. */
static inline bool window_step(struct window *w, bool compared) {
  uint64_t now = now_ns();
  if (!w->open && compared && now >= w->begin_at) {
    w->open = true;
    w->bytes = 0;
    w->own_from = take_stamp(getpid(), CLOCK_PROCESS_CPUTIME_ID);
    w->from = take_stamp(w->pid, w->cpu);
  } else if (w->open && now >= w->from.wall + w->length) {
    struct stamp to = take_stamp(w->pid, w->cpu), own_to = take_stamp(getpid(), CLOCK_PROCESS_CPUTIME_ID);
    if (w->bytes == 0) die("no byte came in the measured window");
    printf("{\"bytes\":%llu,", (unsigned long long)w->bytes);
    print_usage(w->from, to);
    printf(",\"loadCpuNs\":%llu}\n", (unsigned long long)(own_to.cpu - w->own_from.cpu));
    fflush(stdout);
    return true;
  }
  return false;
}

#endif
