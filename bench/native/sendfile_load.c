/*
 * sendfile_load PORT PID FILE CONNECTIONS WARMUP_MS MEASURE_MS: requests the same file from a server again and again,
 * and measures the server. A request is one byte. Two requests are outstanding on each connection.
 */
#include "bulk.h"

static void request(int fd, const char *bytes, size_t count) {
  if (send(fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count) die_errno("send");
}

int main(int argc, char **argv) {
  if (argc != 7) die("usage: sendfile_load PORT PID FILE CONNECTIONS WARMUP_MS MEASURE_MS");
  uint16_t port = (uint16_t)number_arg(argv[1], "port");
  struct file file = open_file(argv[3]);
  uint32_t count = (uint32_t)number_arg(argv[4], "connections"), compared = 0;
  struct sink *sinks = calloc(count, sizeof *sinks);
  int poller = epoll_create1(EPOLL_CLOEXEC);
  if (!sinks || poller < 0) die_errno("epoll_create1");
  for (uint32_t i = 0; i < count; i++) {
    sinks[i].fd = connected_socket(SOCK_STREAM, port);
    set_nonblocking(sinks[i].fd);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &sinks[i]};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, sinks[i].fd, &e) != 0) die_errno("epoll_ctl");
    request(sinks[i].fd, "ff", 2);
  }
  struct window w = window_of((pid_t)number_arg(argv[2], "pid"), number_arg(argv[5], "warmup") * 1000000u,
                              number_arg(argv[6], "measure") * 1000000u);
  do {
    struct epoll_event events[64];
    int n = epoll_wait(poller, events, 64, 5000);
    if (n < 0 && errno != EINTR) die_errno("epoll_wait");
    if (n == 0) die("no byte for 5 s");
    for (int i = 0; i < n; i++) {
      struct sink *s = events[i].data.ptr;
      uint64_t taken = sink_receive(s, &file);
      w.bytes += taken;
      if (taken == 0 || s->received % file.size != 0) continue;
      compared += s->received == file.size;
      request(s->fd, "f", 1);
    }
  } while (!window_step(&w, compared == count));
  return 0;
}
