/*
 * sendfile_server FILE: for every byte that a client sends, answers with the whole file. It uses sendfile(2) and
 * edge-triggered epoll.
 */
#include "common.h"
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

struct connection {
  int fd;
  uint64_t wanted;
  off_t offset;
};

static int file;
static off_t file_size;

/* Returns false when the connection has ended or failed. */
static bool serve(struct connection *c, uint32_t events) {
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
    char requests[64];
    for (;;) {
      ssize_t n = recv(c->fd, requests, sizeof requests, 0);
      if (n > 0) {
        c->wanted += (uint64_t)n;
        continue;
      }
      if (n == 0) return false;
      if (errno == EAGAIN) break;
      if (errno != EINTR) return false;
    }
  }
  while (c->wanted > 0) {
    ssize_t n = sendfile(c->fd, file, &c->offset, (size_t)(file_size - c->offset));
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    if (c->offset == file_size) {
      c->offset = 0;
      c->wanted--;
    }
  }
  return true;
}

int main(int argc, char **argv) {
  if (argc != 2) die("usage: sendfile_server FILE");
  struct stat s;
  file = open(argv[1], O_RDONLY | O_CLOEXEC);
  if (file < 0 || fstat(file, &s) != 0) die_errno(argv[1]);
  file_size = s.st_size;
  signal(SIGPIPE, SIG_IGN);
  uint16_t port;
  int listener = bound_socket(SOCK_STREAM, &port), poller = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
  if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e) != 0) die_errno("epoll");
  print_ready(port);
  for (;;) {
    struct epoll_event events[64];
    int n = epoll_wait(poller, events, 64, -1);
    if (n < 0 && errno != EINTR) die_errno("epoll_wait");
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (c) {
        if (serve(c, events[i].events)) continue;
        close(c->fd);
        free(c);
        continue;
      }
      c = calloc(1, sizeof *c);
      if (!c) die("no memory for a connection");
      c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (c->fd < 0) die_errno("accept4");
      e = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
      if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e) != 0) die_errno("epoll_ctl");
    }
  }
}
