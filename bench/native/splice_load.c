/*
 * splice_load FILE CONNECTIONS WARMUP_MS MEASURE_MS FAR_PORT PROXY_PORT PID: measures a proxy from PROXY_PORT to
 * FAR_PORT. The program is the client of the proxy and its target. It sends the file through the proxy again and again.
 */
#include "bulk.h"

#define MAX_SEND (256 << 10)

struct source {
  int fd;
  uint64_t sent;
};

/* `tag` is twice the index of a connection, and one more for its receiving end. */
static void watch(int poller, int fd, uint32_t events, uint64_t tag) {
  struct epoll_event e = {.events = events, .data.u64 = tag};
  set_nonblocking(fd);
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) != 0) die_errno("epoll_ctl");
}

int main(int argc, char **argv) {
  if (argc != 8) die("usage: splice_load FILE CONNECTIONS WARMUP_MS MEASURE_MS FAR_PORT PROXY_PORT PID");
  struct file file = open_file(argv[1]);
  uint32_t count = (uint32_t)number_arg(argv[2], "connections"), compared = 0;
  uint64_t warmup = number_arg(argv[3], "warmup") * 1000000u, measure = number_arg(argv[4], "measure") * 1000000u;
  struct source *sources = calloc(count, sizeof *sources);
  struct sink *sinks = calloc(count, sizeof *sinks);
  int poller = epoll_create1(EPOLL_CLOEXEC);
  if (!sources || !sinks || poller < 0) die_errno("epoll_create1");
  uint16_t far = (uint16_t)number_arg(argv[5], "far port"), proxy = (uint16_t)number_arg(argv[6], "port");
  pid_t pid = (pid_t)number_arg(argv[7], "pid");
  int listener = bound_socket_at(SOCK_STREAM, &far);
  for (uint32_t i = 0; i < count; i++) {
    sources[i].fd = connected_socket(SOCK_STREAM, proxy);
    sinks[i].fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (sinks[i].fd < 0) die_errno("accept4");
    watch(poller, sources[i].fd, EPOLLOUT, (uint64_t)i * 2);
    watch(poller, sinks[i].fd, EPOLLIN, (uint64_t)i * 2 + 1);
  }
  struct window w = window_of(pid, warmup, measure);
  do {
    struct epoll_event events[64];
    int n = epoll_wait(poller, events, 64, 5000);
    if (n < 0 && errno != EINTR) die_errno("epoll_wait");
    if (n == 0) die("no byte for 5 s");
    for (int i = 0; i < n; i++) {
      uint64_t tag = events[i].data.u64;
      if (tag & 1) {
        struct sink *s = &sinks[tag / 2];
        uint64_t before = s->received, taken = sink_receive(s, &file);
        w.bytes += taken;
        compared += before < file.size && before + taken >= file.size;
      } else {
        struct source *s = &sources[tag / 2];
        uint64_t offset = s->sent % file.size, left = file.size - offset;
        ssize_t sent = send(s->fd, file.bytes + offset, left < MAX_SEND ? left : MAX_SEND, MSG_NOSIGNAL);
        if (sent > 0) s->sent += (uint64_t)sent;
        else if (errno != EAGAIN && errno != EINTR) die_errno("send");
      }
    }
  } while (!window_step(&w, compared == count));
  return 0;
}
