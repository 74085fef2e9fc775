/*
 * tls_load PORT PID KIND CONNECTIONS SIZE WARMUP_MS MEASURE_MS: puts load on a TLS server and measures it. It is linked
 * with OpenSSL, and uses TLS 1.3.
 *
 * KIND is the task of the server. "echo": one message of SIZE bytes is outstanding on each connection; every message is
 * different, and every byte of a reply is compared. "receive": this end sends as much as it can. "send": the server
 * sends bytes of the value 7, which this end compares. The certificate is not verified, because that cost is not
 * measured.
 */
#include "common.h"
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>

#define MAX_SIZE 16384
#define BLOB 65536
#define STALL_MS 5000

enum kind { ECHO, RECEIVE, SEND };

struct connection {
  SSL *ssl;
  uint32_t index;
  size_t received;
  uint64_t number;
  unsigned char message[MAX_SIZE];
};

static enum kind kind;
static size_t size;
static unsigned char blob[BLOB];
static uint64_t count;

static void die_tls(const char *what) {
  char text[256] = "no reason given";
  unsigned long error = ERR_get_error();
  if (error != 0) ERR_error_string_n(error, text, sizeof text);
  die("%s: %s", what, text);
}

/* Checks a result of SSL_read() or SSL_write(). Returns the number of bytes; 0 if the call would block. */
static size_t moved(struct connection *c, int result, const char *what) {
  if (result > 0) return (size_t)result;
  int error = SSL_get_error(c->ssl, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return 0;
  if (error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SYSCALL) die("%s: the server ended connection %u", what, c->index);
  die_tls(what);
  return 0;
}

static void send_next(struct connection *c) {
  uint64_t first = ((uint64_t)c->index << 48) + c->number++ * (MAX_SIZE / 8);
  for (size_t i = 0; i < size; i += 8) {
    uint64_t word = mix(first + i / 8);
    memcpy(c->message + i, &word, size - i < 8 ? size - i : 8);
  }
  c->received = 0;
  if (moved(c, SSL_write(c->ssl, c->message, (int)size), "SSL_write") != size) die("a message had to wait");
}

static void receive_reply(struct connection *c) {
  unsigned char data[MAX_SIZE];
  for (size_t n; (n = moved(c, SSL_read(c->ssl, data, sizeof data), "SSL_read")) > 0;) {
    if (n > size - c->received || memcmp(data, c->message + c->received, n) != 0)
      die("connection %u: the reply to message %llu differs from it", c->index, (unsigned long long)c->number);
    if ((c->received += n) < size) continue;
    count++;
    send_next(c);
  }
}

/* Maximum number of calls on a connection before the next connection. */
#define TURN 16

static void fill(struct connection *c) {
  for (int i = 0; i < TURN; i++) {
    size_t n = moved(c, SSL_write(c->ssl, blob, sizeof blob), "SSL_write");
    if (n == 0) return;
    count += n;
  }
}

static void drain(struct connection *c) {
  unsigned char data[MAX_SIZE];
  for (int i = 0; i < TURN * 4; i++) {
    size_t n = moved(c, SSL_read(c->ssl, data, sizeof data), "SSL_read");
    if (n == 0) return;
    if (memcmp(data, blob, n) != 0) die("connection %u: the received bytes differ from the sent ones", c->index);
    count += n;
  }
}

static enum kind kind_of(const char *name) {
  if (strcmp(name, "echo") == 0) return ECHO;
  if (strcmp(name, "receive") == 0) return RECEIVE;
  if (strcmp(name, "send") == 0) return SEND;
  die("kind must be echo, receive or send, not \"%s\"", name);
}

int main(int argc, char **argv) {
  if (argc != 8) die("usage: tls_load PORT PID KIND CONNECTIONS SIZE WARMUP_MS MEASURE_MS");
  uint16_t port = (uint16_t)number_arg(argv[1], "port");
  pid_t pid = (pid_t)number_arg(argv[2], "pid");
  kind = kind_of(argv[3]);
  uint32_t many = (uint32_t)number_arg(argv[4], "connections");
  size = number_arg(argv[5], "size");
  uint64_t warmup = number_arg(argv[6], "warmup") * 1000000u, measure = number_arg(argv[7], "measure") * 1000000u;
  if (size < 1 || size > MAX_SIZE) die("size must be from 1 to %d", MAX_SIZE);
  clockid_t cpu = cpu_clock_of(pid);
  memset(blob, 7, sizeof blob);

  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1) die_tls("SSL_CTX_new");
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  int poller = epoll_create1(EPOLL_CLOEXEC);
  struct connection *connections = calloc(many, sizeof *connections);
  struct epoll_event *events = calloc(many, sizeof *events);
  if (poller < 0 || !connections || !events) die_errno("epoll_create1");
  for (uint32_t i = 0; i < many; i++) {
    struct connection *c = &connections[i];
    c->index = i;
    int fd = connected_socket(SOCK_STREAM, port);
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    if (!(c->ssl = SSL_new(context)) || SSL_set_fd(c->ssl, fd) != 1 || SSL_connect(c->ssl) != 1) die_tls("SSL_connect");
    set_nonblocking(fd);
    /* Level-triggered, because a turn may end before the socket is drained. A turn takes all bytes that OpenSSL has read. */
    struct epoll_event event = {.events = kind == RECEIVE ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) != 0) die_errno("epoll_ctl");
  }

  uint64_t begin_at = now_ns() + warmup;
  if (kind == ECHO)
    for (uint32_t i = 0; i < many; i++) send_next(&connections[i]);
  bool measuring = false;
  struct stamp from = {0};
  for (;;) {
    int n = epoll_wait(poller, events, (int)many, STALL_MS);
    if (n < 0 && errno != EINTR) die_errno("epoll_wait");
    if (n == 0) die("nothing happened for %d ms", STALL_MS);
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (kind == ECHO) receive_reply(c);
      else if (kind == SEND) drain(c);
      else if (events[i].events & EPOLLIN) {
        /* OpenSSL reads the session tickets here. The server sends no other bytes. */
        unsigned char none[1];
        if (moved(c, SSL_read(c->ssl, none, 1), "SSL_read") > 0) die("the server sent unexpected bytes");
      }
      if (kind == RECEIVE) fill(c);
    }
    uint64_t now = now_ns();
    if (!measuring && now >= begin_at) {
      measuring = true;
      count = 0;
      from = take_stamp(pid, cpu);
    } else if (measuring && now >= from.wall + measure) {
      break;
    }
  }
  struct stamp to = take_stamp(pid, cpu);
  printf("{\"count\":%llu,", (unsigned long long)count);
  print_usage(from, to);
  printf("}\n");
  return 0;
}
