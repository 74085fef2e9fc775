/*
 * tcp_echo_server lt|et|nested rw|sr: a TCP echo server on epoll.
 *
 * lt  level-triggered, one read per event.
 * et  edge-triggered. A read that does not fill the buffer has drained the socket (epoll(7)). Exception: if the peer
 *     has finished, its end may follow the data in the queue, and no further event would report it.
 * nested  edge-triggered, with the system calls of this package in the loop of Node.js: the server blocks on an epoll
 *     descriptor that watches the epoll descriptor of the connections, and fetches events until there are no more.
 * rw  read(2) and write(2);  sr  recv(2) and send(2).
 *
 * The server keeps bytes that the socket does not accept at once, and reads no more from that peer until they are sent.
 */
#include "common.h"
#include <signal.h>
#include <sys/epoll.h>

#define MAX_EVENTS 256

struct connection {
  int fd;
  uint32_t sent, length;
  char data[1024];
};

static int poller;
static bool edge, plain;

static ssize_t receive(int fd, void *data, size_t size) { return plain ? read(fd, data, size) : recv(fd, data, size, 0); }

static ssize_t transmit(int fd, const void *data, size_t size) {
  return plain ? write(fd, data, size) : send(fd, data, size, MSG_NOSIGNAL);
}

static void watch(struct connection *c, int operation, uint32_t events) {
  struct epoll_event e = {.events = events | EPOLLRDHUP | (edge ? EPOLLET : 0), .data.ptr = c};
  if (epoll_ctl(poller, operation, c->fd, &e) != 0) die_errno("epoll_ctl");
}

static void end(struct connection *c) {
  close(c->fd);
  free(c);
}

/* Sends the kept bytes. Returns 1 if all are sent, 0 if the socket is full, -1 if the connection has failed. */
static int flush(struct connection *c) {
  while (c->sent < c->length) {
    ssize_t n = transmit(c->fd, c->data + c->sent, c->length - c->sent);
    if (n >= 0) c->sent += (uint32_t)n;
    else if (errno == EAGAIN) return 0;
    else if (errno != EINTR) return -1;
  }
  return 1;
}

static void serve(struct connection *c, uint32_t events) {
  bool finished = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
  if (c->sent < c->length) {
    int state = flush(c);
    if (state < 0) return end(c);
    if (state == 0) return;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    return;
  }
  for (;;) {
    ssize_t n = receive(c->fd, c->data, sizeof c->data);
    if (n == 0) return end(c);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) end(c);
      return;
    }
    c->sent = 0;
    c->length = (uint32_t)n;
    int state = flush(c);
    if (state < 0) return end(c);
    if (state == 0) return watch(c, EPOLL_CTL_MOD, EPOLLOUT);
    if (!edge || (n < (ssize_t)sizeof c->data && !finished)) return;
  }
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      die_errno("accept4");
    }
    struct connection *c = calloc(1, sizeof *c);
    if (!c) die("no memory for a connection");
    c->fd = fd;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
  }
}

static void handle(const struct epoll_event *events, int count, int listener) {
  for (int i = 0; i < count; i++) {
    if (events[i].data.ptr) serve(events[i].data.ptr, events[i].events);
    else accept_all(listener);
  }
}

static int wait_for_events(int epfd, struct epoll_event *events, int timeout) {
  int n = epoll_wait(epfd, events, MAX_EVENTS, timeout);
  if (n < 0 && errno != EINTR) die_errno("epoll_wait");
  return n;
}

static void add_readable(int epfd, int fd) {
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
  if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) != 0) die_errno("epoll_ctl");
}

int main(int argc, char **argv) {
  if (argc != 3) die("usage: tcp_echo_server lt|et|nested rw|sr");
  bool nested = strcmp(argv[1], "nested") == 0;
  edge = nested || strcmp(argv[1], "et") == 0;
  plain = strcmp(argv[2], "rw") == 0;
  signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit(0);
  uint16_t port;
  int listener = bound_socket(SOCK_STREAM | SOCK_NONBLOCK, &port), outer = epoll_create1(EPOLL_CLOEXEC);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0 || outer < 0) die_errno("epoll_create1");
  add_readable(poller, listener);
  if (nested) add_readable(outer, poller);
  print_ready(port);
  struct epoll_event events[MAX_EVENTS];
  for (;;) {
    if (nested) {
      wait_for_events(outer, events, -1);
      for (int n; (n = wait_for_events(poller, events, 0)) > 0;) handle(events, n, listener);
    } else {
      handle(events, wait_for_events(poller, events, -1), listener);
    }
  }
}
