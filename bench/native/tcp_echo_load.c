/*
 * tcp_echo_load PORT PID CONNECTIONS SIZE WARMUP_MS MEASURE_MS: puts load on a TCP echo server and measures it.
 *
 * One message of SIZE bytes is outstanding on each connection. Every message is different, and every byte of every
 * reply is compared, so an old, mixed or swapped reply ends the run. The CPU time of the server is read at the begin
 * and at the end of the measured window. The numbers of replies of the connections (least, median, most) show how fair
 * the server is.
 */
#include "common.h"
#include <netinet/tcp.h>
#include <sys/epoll.h>

#define MAX_SIZE 65536
#define STALL_MS 5000

struct connection {
  int fd;
  uint32_t index, received;
  uint64_t number, sent_at, served;
  unsigned char *message;
};

static size_t size;
static struct histogram latencies;
static uint64_t worst;

static int by_number(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void send_next(struct connection *c, uint64_t now) {
  uint64_t first = ((uint64_t)c->index << 48) + c->number++ * (MAX_SIZE / 8);
  for (size_t i = 0; i < size; i += 8) {
    uint64_t word = mix(first + i / 8);
    memcpy(c->message + i, &word, size - i < 8 ? size - i : 8);
  }
  c->received = 0;
  c->sent_at = now;
  for (size_t sent = 0; sent < size;) {
    ssize_t n = send(c->fd, c->message + sent, size - sent, MSG_NOSIGNAL);
    if (n > 0) sent += (size_t)n;
    else if (errno != EINTR && errno != EAGAIN) die_errno("send");
  }
}

/* Receives a part of the reply. Returns true when the reply is complete. */
static bool receive(struct connection *c) {
  unsigned char data[MAX_SIZE];
  ssize_t n = recv(c->fd, data, size - c->received + 1 > sizeof data ? sizeof data : size - c->received + 1, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n < 0) die_errno("recv");
  if (n == 0) die("the server closed connection %u after %llu messages", c->index, (unsigned long long)c->number);
  if ((size_t)n > size - c->received) die("connection %u: more bytes came than were sent", c->index);
  if (memcmp(data, c->message + c->received, (size_t)n) != 0)
    die("connection %u: the reply to message %llu differs from it", c->index, (unsigned long long)c->number);
  c->received += (uint32_t)n;
  return c->received == size;
}

int main(int argc, char **argv) {
  if (argc != 7) die("usage: tcp_echo_load PORT PID CONNECTIONS SIZE WARMUP_MS MEASURE_MS");
  uint16_t port = (uint16_t)number_arg(argv[1], "port");
  pid_t pid = (pid_t)number_arg(argv[2], "pid");
  uint32_t count = (uint32_t)number_arg(argv[3], "connections");
  size = number_arg(argv[4], "size");
  uint64_t warmup = number_arg(argv[5], "warmup") * 1000000u, measure = number_arg(argv[6], "measure") * 1000000u;
  if (size < 1 || size >= MAX_SIZE) die("size must be from 1 to %d", MAX_SIZE - 1);
  clockid_t cpu = cpu_clock_of(pid);
  raise_descriptor_limit(count + 16);

  int poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) die_errno("epoll_create1");
  struct connection *connections = calloc(count, sizeof *connections);
  struct epoll_event *events = calloc(count, sizeof *events);
  if (!connections || !events) die("no memory");
  for (uint32_t i = 0; i < count; i++) {
    struct connection *c = &connections[i];
    c->index = i;
    c->message = malloc(size);
    if (!c->message) die("no memory");
    c->fd = connected_socket(SOCK_STREAM, port);
    set_nonblocking(c->fd);
    set_int(c->fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e) != 0) die_errno("epoll_ctl");
  }

  uint64_t now = now_ns(), begin_at = now + warmup, end_at = begin_at + measure, echoes = 0;
  for (uint32_t i = 0; i < count; i++) send_next(&connections[i], now);
  bool measuring = false;
  struct stamp from = {0}, own_from = {0};
  for (;;) {
    int n = epoll_wait(poller, events, (int)count, STALL_MS);
    if (n < 0 && errno != EINTR) die_errno("epoll_wait");
    if (n == 0) die("no reply for %d ms", STALL_MS);
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (!receive(c)) continue;
      now = now_ns();
      if (measuring) {
        uint64_t took = now - c->sent_at;
        histogram_add(&latencies, took);
        if (took > worst) worst = took;
        c->served++;
        echoes++;
      }
      send_next(c, now);
    }
    if (!measuring && now >= begin_at) {
      measuring = true;
      own_from = take_stamp(getpid(), CLOCK_PROCESS_CPUTIME_ID);
      from = take_stamp(pid, cpu);
      end_at = from.wall + measure;
    } else if (measuring && now >= end_at) {
      break;
    }
  }
  struct stamp to = take_stamp(pid, cpu), own_to = take_stamp(getpid(), CLOCK_PROCESS_CPUTIME_ID);
  uint64_t *served = calloc(count, sizeof *served);
  if (!served) die("no memory");
  for (uint32_t i = 0; i < count; i++) served[i] = connections[i].served;
  qsort(served, count, sizeof *served, by_number);
  printf("{\"count\":%llu,\"leastServed\":%llu,\"medianServed\":%llu,\"mostServed\":%llu,", (unsigned long long)echoes,
         (unsigned long long)served[0], (unsigned long long)served[count / 2], (unsigned long long)served[count - 1]);
  print_usage(from, to);
  printf(",\"loadCpuNs\":%llu,\"p50Ns\":%llu,\"p99Ns\":%llu,\"p999Ns\":%llu,\"worstNs\":%llu}\n",
         (unsigned long long)(own_to.cpu - own_from.cpu),
         (unsigned long long)histogram_at(&latencies, 0.50), (unsigned long long)histogram_at(&latencies, 0.99),
         (unsigned long long)histogram_at(&latencies, 0.999), (unsigned long long)worst);
  return 0;
}
