/*
 * udp_bulk receive | udp_bulk send PORT: bulk datagrams over loopback, sent with GSO and received with GRO.
 *
 * The sender sends bursts of 44 datagrams of 1472 bytes. Each burst is one send(2), which UDP_SEGMENT divides. At most
 * WINDOW bursts are unacknowledged, so the receive buffer does not overflow, and only delivered bytes are counted. Each
 * datagram begins with its number (u32, little endian). The receiver checks the first and the last number of each call.
 * It acknowledges each burst with two u32: the next expected number, and the number of datagrams received so far.
 *
 * A line with a number of milliseconds on standard input starts a run of the sender. The run ends when all datagrams
 * are acknowledged, and prints {"count","lost","elapsedNs"}.
 */
#include "common.h"
#include <netinet/udp.h>

#define SEGMENT 1472
#define BURST 44
#define WINDOW 3

static void receive_all(void) {
  static unsigned char data[65536];
  uint16_t port;
  int fd = bound_socket(SOCK_DGRAM, &port);
  set_receive_buffer(fd);
  set_int(fd, SOL_UDP, UDP_GRO, 1, "UDP_GRO");
  print_ready(port);
  uint32_t expected = 0, received = 0, acknowledged = 0;
  for (;;) {
    struct sockaddr_in peer;
    struct iovec vector = {data, sizeof data};
    union {
      struct cmsghdr header;
      char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr m = {.msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &vector, .msg_iovlen = 1,
                       .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &m, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) die_errno("recvmsg");
    int segment = (int)n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
      if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) memcpy(&segment, CMSG_DATA(c), sizeof segment);
    if (segment != SEGMENT || n % SEGMENT != 0) die("a datagram of %d bytes came, %d were sent", segment, SEGMENT);
    uint32_t count = (uint32_t)(n / SEGMENT), first, last;
    memcpy(&first, data, 4);
    memcpy(&last, data + n - SEGMENT, 4);
    if (last - first != count - 1) die("the datagrams from %u to %u are not %u", first, last, count);
    expected = first + count;
    received += count;
    if (expected - acknowledged >= BURST) {
      uint32_t answer[2] = {expected, received};
      acknowledged = expected - expected % BURST;
      if (sendto(fd, answer, sizeof answer, 0, (struct sockaddr *)&peer, m.msg_namelen) < 0) die_errno("sendto");
    }
  }
}

static void send_runs(uint16_t port) {
  static unsigned char burst[BURST * SEGMENT];
  int fd = connected_socket(SOCK_DGRAM, port);
  set_int(fd, SOL_UDP, UDP_SEGMENT, SEGMENT, "UDP_SEGMENT");
  struct timeval timeout = {.tv_usec = 200000};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0) die_errno("SO_RCVTIMEO");
  for (size_t i = 0; i < sizeof burst; i++) burst[i] = (unsigned char)mix(i);
  print_ready(port);
  uint32_t next = 0, acknowledged = 0, delivered = 0;
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    uint64_t from = now_ns(), until = from + number_arg(line, "milliseconds") * 1000000u;
    uint32_t first = next, delivered_first = delivered;
    bool open = true;
    for (;;) {
      if (open && now_ns() >= until) open = false;
      if (open && next - acknowledged < WINDOW * BURST) {
        for (uint32_t i = 0; i < BURST; i++) {
          uint32_t number = next + i;
          memcpy(burst + i * SEGMENT, &number, 4);
        }
        if (send(fd, burst, sizeof burst, 0) != (ssize_t)sizeof burst) die_errno("send");
        next += BURST;
        continue;
      }
      if (acknowledged == next) break;
      uint32_t answer[2];
      ssize_t n = recv(fd, answer, sizeof answer, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) answer[0] = next, answer[1] = delivered; /* Lost: continue as if acknowledged. */
      else if (n != sizeof answer) die_errno("recv");
      if ((int32_t)(answer[0] - acknowledged) > 0) acknowledged = answer[0], delivered = answer[1];
    }
    printf("{\"count\":%u,\"lost\":%u,\"elapsedNs\":%llu}\n", delivered - delivered_first,
           next - first - (delivered - delivered_first), (unsigned long long)(now_ns() - from));
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "receive") == 0) receive_all();
  else if (argc == 3 && strcmp(argv[1], "send") == 0) send_runs((uint16_t)number_arg(argv[2], "port"));
  else die("usage: udp_bulk receive | udp_bulk send PORT");
  return 0;
}
