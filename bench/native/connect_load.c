/*
 * connect_load PORT PID FAR_PORT CONNECTIONS WARMUP_MS MEASURE_MS: measures short connections through a proxy from PORT
 * to FAR_PORT. The program is the client of the proxy (the near end) and its target (the far end).
 *
 * CONNECTIONS are open at any time. For each of them the near end connects and sends 64 bytes, which are different for
 * each connection. The far end checks the bytes, answers with their complement, and finishes its side. The near end
 * checks the answer, waits for the end, and closes. The far end finishes first, so TIME-WAIT is on its side, and the
 * near end does not run out of ports.
 *
 * After the measured time no connection begins, and the program ends after the end of the last one. Otherwise the proxy
 * would connect the rest of them to the far end of the next run, which has the same port, and no message would come.
 */
#include "common.h"
#include <sys/epoll.h>

#define SIZE 64
#define STALL_MS 5000

enum role { LISTENER, NEAR, FAR };

struct end {
  enum role role;
  int fd;
  uint64_t number;
  size_t received;
  bool answered;
  unsigned char data[SIZE];
};

static int poller;
static uint16_t proxy;
static uint64_t numbers;

static void fill(unsigned char *data, uint64_t number) {
  memcpy(data, &number, 8);
  for (uint64_t i = 1; i < SIZE / 8; i++) {
    uint64_t word = mix(number * 8 + i);
    memcpy(data + i * 8, &word, 8);
  }
}

static void watch(struct end *e, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = e};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, e->fd, &event) != 0) die_errno("epoll_ctl");
}

static void begin(struct end *e) {
  e->role = NEAR;
  e->number = ++numbers;
  e->received = 0;
  e->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (e->fd < 0) die_errno("socket");
  struct sockaddr_in address = loopback(proxy);
  if (connect(e->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) die_errno("connect");
  watch(e, EPOLLOUT);
}

static void send_message(struct end *e, const unsigned char *data) {
  if (send(e->fd, data, SIZE, MSG_NOSIGNAL) != SIZE) die_errno("send");
}

/* Returns the number of received bytes; 0 at the end of the stream, -1 if nothing has arrived. */
static ssize_t receive(struct end *e) {
  unsigned char spare[1];
  bool full = e->received == SIZE;
  ssize_t n = recv(e->fd, full ? spare : e->data + e->received, full ? 1 : SIZE - e->received, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return -1;
  if (n < 0) die_errno("recv");
  if (n > 0 && full) die("more bytes came than were sent");
  e->received += (size_t)n;
  return n;
}

static void near_connected(struct end *e) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) die_errno("getsockopt");
  if (error != 0) die("connect: %s", strerror(error));
  unsigned char data[SIZE];
  fill(data, e->number);
  send_message(e, data);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = e};
  if (epoll_ctl(poller, EPOLL_CTL_MOD, e->fd, &event) != 0) die_errno("epoll_ctl");
}

/* Returns true at the end of a connection, which is then closed. */
static bool near_readable(struct end *e) {
  ssize_t n = receive(e);
  if (n != 0) return false;
  unsigned char data[SIZE];
  fill(data, e->number);
  for (size_t i = 0; i < SIZE; i++) data[i] ^= 0xff;
  if (e->received != SIZE || memcmp(data, e->data, SIZE) != 0)
    die("the answer to message %llu, of %zu bytes, is wrong", (unsigned long long)e->number, e->received);
  close(e->fd);
  return true;
}

static void far_readable(struct end *e) {
  ssize_t n = receive(e);
  if (n == 0) {
    if (!e->answered) die("a message ended after %zu bytes", e->received);
    close(e->fd);
    free(e);
  } else if (n > 0 && e->received == SIZE) {
    uint64_t number;
    unsigned char data[SIZE];
    memcpy(&number, e->data, 8);
    fill(data, number);
    if (memcmp(data, e->data, SIZE) != 0) die("a message differs from what was sent");
    for (size_t i = 0; i < SIZE; i++) data[i] ^= 0xff;
    send_message(e, data);
    if (shutdown(e->fd, SHUT_WR) != 0) die_errno("shutdown");
    e->answered = true;
  }
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (fd < 0) die_errno("accept4");
    struct end *e = calloc(1, sizeof *e);
    if (!e) die("no memory");
    e->role = FAR;
    e->fd = fd;
    watch(e, EPOLLIN);
  }
}

int main(int argc, char **argv) {
  if (argc != 7) die("usage: connect_load PORT PID FAR_PORT CONNECTIONS WARMUP_MS MEASURE_MS");
  proxy = (uint16_t)number_arg(argv[1], "port");
  pid_t pid = (pid_t)number_arg(argv[2], "pid");
  uint16_t port = (uint16_t)number_arg(argv[3], "far port");
  uint32_t count = (uint32_t)number_arg(argv[4], "connections");
  uint64_t warmup = number_arg(argv[5], "warmup") * 1000000u, measure = number_arg(argv[6], "measure") * 1000000u;
  struct end listener = {.role = LISTENER, .fd = bound_socket_at(SOCK_STREAM | SOCK_NONBLOCK, &port)};
  poller = epoll_create1(EPOLL_CLOEXEC);
  struct end *ends = calloc(count, sizeof *ends);
  if (!ends || poller < 0) die_errno("epoll_create1");
  watch(&listener, EPOLLIN);
  clockid_t cpu = cpu_clock_of(pid);

  uint64_t begin_at = now_ns() + warmup, done = 0;
  for (uint32_t i = 0; i < count; i++) begin(&ends[i]);
  bool measuring = false, measured = false;
  uint32_t open = count;
  struct stamp from = {0}, to = {0};
  while (open > 0) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, STALL_MS);
    if (n < 0 && errno != EINTR) die_errno("epoll_wait");
    if (n == 0) die("nothing happened for %d ms", STALL_MS);
    for (int i = 0; i < n; i++) {
      struct end *e = events[i].data.ptr;
      if (e->role == LISTENER) accept_all(e->fd);
      else if (e->role == FAR) far_readable(e);
      else if (events[i].events & EPOLLOUT) near_connected(e);
      else if (near_readable(e)) {
        done += measuring && !measured;
        if (measured) open--;
        else begin(e);
      }
    }
    uint64_t now = now_ns();
    if (!measuring && now >= begin_at) {
      measuring = true;
      from = take_stamp(pid, cpu);
    } else if (measuring && !measured && now >= from.wall + measure) {
      measured = true;
      to = take_stamp(pid, cpu);
    }
  }
  if (done == 0) die("no connection ended in the measured window");
  printf("{\"count\":%llu,", (unsigned long long)done);
  print_usage(from, to);
  printf("}\n");
  return 0;
}
