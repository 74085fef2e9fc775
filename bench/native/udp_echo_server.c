/*
 * udp_echo_server block|poll: a UDP echo server in batches of 64.
 *
 * block  blocking recvmmsg(2) with MSG_WAITFORONE: it waits for one datagram, and returns all that have arrived.
 * poll   non-blocking recvmmsg(2) and edge-triggered epoll. A batch that is not full has drained the socket.
 */
#include "common.h"
#include <sys/epoll.h>

#define BATCH 64
#define SLOT 2048

static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];
static struct sockaddr_in peers[BATCH];
static unsigned char slab[BATCH][SLOT];

static int receive_batch(int fd, int flags) {
  for (int i = 0; i < BATCH; i++) {
    vectors[i].iov_len = SLOT;
    messages[i].msg_hdr.msg_namelen = sizeof peers[i];
  }
  int n = recvmmsg(fd, messages, BATCH, flags, NULL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  if (n < 0) die_errno("recvmmsg");
  for (int i = 0; i < n; i++) vectors[i].iov_len = messages[i].msg_len;
  return n;
}

static void send_batch(int fd, int count) {
  for (int sent = 0; sent < count;) {
    int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
    if (n > 0) sent += n;
    else if (errno == EAGAIN || errno == EINTR) continue;
    else die_errno("sendmmsg");
  }
}

int main(int argc, char **argv) {
  if (argc != 2) die("usage: udp_echo_server block|poll");
  bool block = strcmp(argv[1], "block") == 0;
  uint16_t port;
  int fd = bound_socket(SOCK_DGRAM | (block ? 0 : SOCK_NONBLOCK), &port);
  set_receive_buffer(fd);
  for (int i = 0; i < BATCH; i++) {
    vectors[i].iov_base = slab[i];
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_hdr.msg_name = &peers[i];
  }
  print_ready(port);
  if (block) {
    for (;;) send_batch(fd, receive_batch(fd, MSG_WAITFORONE));
  }
  int poller = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event e = {.events = EPOLLIN | EPOLLET};
  if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e) != 0) die_errno("epoll");
  for (;;) {
    int n = epoll_wait(poller, &e, 1, -1);
    if (n < 0 && errno != EINTR) die_errno("epoll_wait");
    do send_batch(fd, n = receive_batch(fd, 0));
    while (n == BATCH);
  }
}
