/*
 * burst_load PORT PID COUNT BURSTS: makes COUNT connections at once, BURSTS times.
 *
 * In a burst each connection begins without waiting for the one before. When it is established, it sends 4 bytes, which
 * the server echoes. Its latency is the time from the beginning of the burst to its answer. After all answers, the
 * program closes all connections and prints a line. The next burst begins when the server is idle.
 */
#include "common.h"
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>

#define SIZE 4
#define STALL_MS 10000
/* The server is idle when it has used nearly no CPU for this time. */
#define IDLE_MS 30

struct connection {
  int fd;
  bool connected;
  uint32_t received;
  unsigned char data[SIZE];
};

static struct sockaddr_in server;
static int poller;
static uint64_t made;

static void watch(struct connection *c, int operation, uint32_t events) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  if (epoll_ctl(poller, operation, c->fd, &e) != 0) die_errno("epoll_ctl");
}

static void begin(struct connection *c) {
  c->connected = false;
  c->received = 0;
  uint64_t number = made++, word = mix(number);
  memcpy(c->data, &word, SIZE);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die_errno("socket");
  bind_in_turn(c->fd, number);
  set_int(c->fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS) die_errno("connect");
  watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

/* Handles an event of a connection. Returns true when the answer is complete. */
static bool proceed(struct connection *c) {
  if (!c->connected) {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) die_errno("getsockopt");
    if (error != 0) die("connect: %s", strerror(error));
    c->connected = true;
    if (send(c->fd, c->data, SIZE, MSG_NOSIGNAL) != SIZE) die_errno("send");
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    return false;
  }
  unsigned char data[SIZE + 1];
  ssize_t n = recv(c->fd, data, SIZE - c->received + 1, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n < 0) die_errno("recv");
  if (n == 0) die("the server closed a connection after %u bytes", c->received);
  if ((size_t)n > SIZE - c->received || memcmp(data, c->data + c->received, (size_t)n) != 0)
    die("a reply differs from what was sent");
  c->received += (uint32_t)n;
  return c->received == SIZE;
}

static void wait_until_idle(clockid_t cpu) {
  uint64_t last = clock_ns(cpu), since = now_ns(), limit = since + (uint64_t)STALL_MS * 1000000u;
  for (;;) {
    poll(NULL, 0, 5);
    uint64_t used = clock_ns(cpu), now = now_ns();
    /* Less than 0.2 ms is the work of a timer, or of a garbage collection in the background. */
    if (used > last + 200000u) since = now;
    last = used;
    if (now - since >= (uint64_t)IDLE_MS * 1000000u) return;
    if (now > limit) die("the server does not become idle");
  }
}

int main(int argc, char **argv) {
  if (argc != 5) die("usage: burst_load PORT PID COUNT BURSTS");
  server = loopback((uint16_t)number_arg(argv[1], "port"));
  pid_t pid = (pid_t)number_arg(argv[2], "pid");
  uint32_t count = (uint32_t)number_arg(argv[3], "count"), bursts = (uint32_t)number_arg(argv[4], "bursts");
  clockid_t cpu = cpu_clock_of(pid);
  raise_descriptor_limit(count + 16);
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct connection *connections = calloc(count, sizeof *connections);
  struct epoll_event *events = calloc(count, sizeof *events);
  if (poller < 0 || !connections || !events) die_errno("epoll_create1");
  for (uint32_t burst = 0; burst < bursts; burst++) {
    wait_until_idle(cpu);
    struct histogram times = {0};
    uint64_t worst = 0;
    struct stamp from = take_stamp(pid, cpu);
    for (uint32_t i = 0; i < count; i++) begin(&connections[i]);
    for (uint32_t answered = 0; answered < count;) {
      int n = epoll_wait(poller, events, (int)count, STALL_MS);
      if (n < 0 && errno != EINTR) die_errno("epoll_wait");
      if (n == 0) die("nothing happened for %d ms", STALL_MS);
      for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if (!proceed(c)) continue;
        uint64_t took = now_ns() - from.wall;
        histogram_add(&times, took);
        if (took > worst) worst = took;
        watch(c, EPOLL_CTL_MOD, 0);
        answered++;
      }
    }
    struct stamp to = take_stamp(pid, cpu);
    printf("{\"count\":%u,", count);
    print_usage(from, to);
    printf(",\"p50Ns\":%llu,\"p99Ns\":%llu,\"worstNs\":%llu}\n", (unsigned long long)histogram_at(&times, 0.50),
           (unsigned long long)histogram_at(&times, 0.99), (unsigned long long)worst);
    fflush(stdout);
    for (uint32_t i = 0; i < count; i++) close(connections[i].fd);
  }
  return 0;
}
