/*
 * splice_server PIPE_KIB PORT: a TCP proxy to a port of 127.0.0.1. It uses edge-triggered epoll and splice(2), with a
 * pipe of PIPE_KIB for each direction. The bytes stay in the kernel.
 */
#include "common.h"
#include <signal.h>
#include <sys/epoll.h>

/* One direction: bytes go from `from` through the pipe to `to`. The pipe contains `held` bytes. */
struct direction {
  int from, to, read_end, write_end;
  size_t held;
  bool ended;
};

/* The two sockets of a connection. An event on one of them moves bytes in both directions. */
struct pair {
  struct direction way[2];
  bool dead;
};

static int poller;
static size_t pipe_size;

static bool pump(struct direction *d) {
  for (;;) {
    bool moved = false;
    if (!d->ended && d->held < pipe_size) {
      ssize_t n = splice(d->from, NULL, d->write_end, NULL, pipe_size - d->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n > 0) {
        d->held += (size_t)n;
        moved = true;
      } else if (n == 0) {
        d->ended = true;
        if (d->held == 0) shutdown(d->to, SHUT_WR);
      } else if (errno != EAGAIN && errno != EINTR) {
        return false;
      }
    }
    if (d->held > 0) {
      ssize_t n = splice(d->read_end, NULL, d->to, NULL, d->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n > 0) {
        d->held -= (size_t)n;
        moved = true;
        if (d->held == 0 && d->ended) shutdown(d->to, SHUT_WR);
      } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return false;
      }
    }
    if (!moved) return true;
  }
}

static struct direction direction_of(int from, int to) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) die_errno("pipe2");
  if (fcntl(ends[1], F_SETPIPE_SZ, (int)pipe_size) < 0) die_errno("F_SETPIPE_SZ");
  return (struct direction){.from = from, .to = to, .read_end = ends[0], .write_end = ends[1]};
}

static void accept_one(int listener, uint16_t target) {
  int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (client < 0) die_errno("accept4");
  int server = connected_socket(SOCK_STREAM, target);
  set_nonblocking(client);
  set_nonblocking(server);
  struct pair *p = calloc(1, sizeof *p);
  if (!p) die("no memory for a pair");
  p->way[0] = direction_of(client, server);
  p->way[1] = direction_of(server, client);
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = p};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, client, &e) != 0 || epoll_ctl(poller, EPOLL_CTL_ADD, server, &e) != 0)
    die_errno("epoll_ctl");
}

/*
 * Closes the sockets and pipes of a pair. Its memory is not freed, because another event of the same epoll_wait(2) may
 * point to it.
 */
static void end(struct pair *p) {
  p->dead = true;
  for (int i = 0; i < 2; i++) {
    close(p->way[i].from);
    close(p->way[i].read_end);
    close(p->way[i].write_end);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) die("usage: splice_server PIPE_KIB PORT");
  signal(SIGPIPE, SIG_IGN);
  pipe_size = number_arg(argv[1], "pipe size") * 1024;
  uint16_t target = (uint16_t)number_arg(argv[2], "port"), port;
  int listener = bound_socket(SOCK_STREAM, &port);
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
  if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e) != 0) die_errno("epoll");
  print_ready(port);
  for (;;) {
    struct epoll_event events[64];
    int n = epoll_wait(poller, events, 64, -1);
    if (n < 0 && errno != EINTR) die_errno("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct pair *p = events[i].data.ptr;
      if (!p) {
        accept_one(listener, target);
      } else if (!p->dead) {
        bool ok = pump(&p->way[0]) && pump(&p->way[1]);
        bool done = p->way[0].ended && p->way[1].ended && p->way[0].held + p->way[1].held == 0;
        if (!ok || done) end(p);
      }
    }
  }
}
