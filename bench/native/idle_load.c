/*
 * idle_load PORT COUNT...: makes idle connections to an echo server.
 *
 * For each COUNT, in rising order, it makes connections until so many are open. Each connection sends one message of 64
 * bytes and receives it back. So the server has accepted the connection and waits in a read. Then all connections
 * exchange EXCHANGES messages. The program prints a line, and waits for a line on its standard input. The connections
 * stay open until the program ends.
 */
#include "common.h"

#define SIZE 64
#define EXCHANGES 10

static void exchange(int fd, uint64_t number) {
  unsigned char data[SIZE], reply[SIZE];
  for (size_t i = 0; i < SIZE; i += 8) {
    uint64_t word = mix(number * SIZE + i);
    memcpy(data + i, &word, 8);
  }
  if (send(fd, data, SIZE, MSG_NOSIGNAL) != SIZE) die_errno("send");
  for (size_t got = 0; got < SIZE;) {
    ssize_t n = recv(fd, reply + got, SIZE - got, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) die_errno("recv");
    if (n == 0) die("the server closed connection %llu", (unsigned long long)number);
    got += (size_t)n;
  }
  if (memcmp(data, reply, SIZE) != 0) die("the reply on connection %llu differs from what was sent", (unsigned long long)number);
}

int main(int argc, char **argv) {
  if (argc < 3) die("usage: idle_load PORT COUNT...");
  struct sockaddr_in server = loopback((uint16_t)number_arg(argv[1], "port"));
  uint64_t made = 0;
  int *fds = NULL;
  for (int i = 2; i < argc; i++) {
    uint64_t count = number_arg(argv[i], "count");
    raise_descriptor_limit(count + 16);
    int *more = realloc(fds, count * sizeof *fds);
    if (!more) die("no memory");
    fds = more;
    for (; made < count; made++) {
      int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (fd < 0) die_errno("socket");
      bind_in_turn(fd, made);
      if (connect(fd, (struct sockaddr *)&server, sizeof server) != 0) die_errno("connect");
      exchange(fd, made);
      fds[made] = fd;
    }
    /* These make enough garbage for the young generation of a runtime to reach its full size before the first reading. */
    for (int times = 0; times < EXCHANGES; times++)
      for (uint64_t n = 0; n < made; n++) exchange(fds[n], n + (uint64_t)times * made);
    printf("{\"connections\":%llu}\n", (unsigned long long)made);
    fflush(stdout);
    if (getchar() == EOF) return 0;
  }
  return 0;
}
