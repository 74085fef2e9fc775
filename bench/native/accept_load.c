/*
 * accept_load PORT PID AT_A_TIME WARMUP_MS MEASURE_MS: measures the cost of a connection for an echo server.
 *
 * AT_A_TIME connections are open at any time. Each connects, sends 4 bytes, receives and compares them, and closes. The
 * client closes first, so the server only has to echo. The clients use four addresses in turn, because their ports stay
 * in TIME-WAIT (the kernel uses such a port of loopback again after a second; tcp_tw_reuse in ip-sysctl).
 */
#include "common.h"
#include <netinet/tcp.h>
#include <sys/epoll.h>

#define SIZE 4
#define STALL_MS 5000

struct connection {
  int fd;
  bool connected;
  uint32_t received;
  uint64_t number, began_at;
  unsigned char data[SIZE];
};

static struct sockaddr_in server;
static int poller;
static uint64_t made;
static struct histogram latencies;

static void watch(struct connection *c, int operation, uint32_t events) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  if (epoll_ctl(poller, operation, c->fd, &e) != 0) die_errno("epoll_ctl");
}

static void begin(struct connection *c) {
  c->number = made++;
  c->connected = false;
  c->received = 0;
  c->began_at = now_ns();
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die_errno("socket");
  bind_in_turn(c->fd, c->number);
  set_int(c->fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS) die_errno("connect");
  watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void on_connected(struct connection *c) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) die_errno("getsockopt");
  if (error != 0) die("connect: %s", strerror(error));
  c->connected = true;
  uint64_t word = mix(c->number);
  memcpy(c->data, &word, SIZE);
  if (send(c->fd, c->data, SIZE, MSG_NOSIGNAL) != SIZE) die_errno("send");
  watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

/* Receives a reply. Returns true when it is complete; the connection is then closed. */
static bool on_data(struct connection *c) {
  unsigned char data[SIZE + 1];
  ssize_t n = recv(c->fd, data, SIZE - c->received + 1, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n < 0) die_errno("recv");
  if (n == 0) die("the server closed connection %llu after %u bytes", (unsigned long long)c->number, c->received);
  if ((size_t)n > SIZE - c->received || memcmp(data, c->data + c->received, (size_t)n) != 0)
    die("the reply on connection %llu differs from what was sent", (unsigned long long)c->number);
  c->received += (uint32_t)n;
  if (c->received < SIZE) return false;
  close(c->fd);
  return true;
}

int main(int argc, char **argv) {
  if (argc != 6) die("usage: accept_load PORT PID AT_A_TIME WARMUP_MS MEASURE_MS");
  server = loopback((uint16_t)number_arg(argv[1], "port"));
  pid_t pid = (pid_t)number_arg(argv[2], "pid");
  uint32_t count = (uint32_t)number_arg(argv[3], "at a time");
  uint64_t warmup = number_arg(argv[4], "warmup") * 1000000u, measure = number_arg(argv[5], "measure") * 1000000u;
  clockid_t cpu = cpu_clock_of(pid);
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct connection *connections = calloc(count, sizeof *connections);
  struct epoll_event *events = calloc(count, sizeof *events);
  if (poller < 0 || !connections || !events) die_errno("epoll_create1");

  uint64_t now = now_ns(), begin_at = now + warmup, done = 0;
  for (uint32_t i = 0; i < count; i++) begin(&connections[i]);
  bool measuring = false;
  struct stamp from = {0};
  for (;;) {
    int n = epoll_wait(poller, events, (int)count, STALL_MS);
    if (n < 0 && errno != EINTR) die_errno("epoll_wait");
    if (n == 0) die("nothing happened for %d ms", STALL_MS);
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (!c->connected) {
        on_connected(c);
        continue;
      }
      if (!on_data(c)) continue;
      if (measuring) {
        histogram_add(&latencies, now_ns() - c->began_at);
        done++;
      }
      begin(c);
    }
    now = now_ns();
    if (!measuring && now >= begin_at) {
      measuring = true;
      from = take_stamp(pid, cpu);
    } else if (measuring && now >= from.wall + measure) {
      break;
    }
  }
  struct stamp to = take_stamp(pid, cpu);
  if (done == 0) die("no connection ended in the measured window");
  printf("{\"count\":%llu,", (unsigned long long)done);
  print_usage(from, to);
  printf(",\"p50Ns\":%llu,\"p99Ns\":%llu}\n", (unsigned long long)histogram_at(&latencies, 0.50),
         (unsigned long long)histogram_at(&latencies, 0.99));
  return 0;
}
