/*
 * udp_echo_load PORT PID SOCKETS IN_FLIGHT SIZE WARMUP_MS MEASURE_MS: puts load on a UDP echo server and measures it.
 *
 * IN_FLIGHT datagrams of SIZE bytes are outstanding, on SOCKETS sockets. Every datagram is different. Every byte of a
 * reply is compared with the outstanding datagram of its slot; a wrong reply ends the run. A datagram without a reply
 * for half a second counts as lost, and another one is sent.
 */
#include "common.h"
#include <poll.h>

#define BATCH 64
#define MAX_SIZE 1472
#define LOST_NS 500000000u

/* The first eight bytes of a datagram: its slot and, above that, its number. */
struct slot {
  uint64_t number, sent_at;
  unsigned char data[MAX_SIZE];
};

static size_t size;
static struct slot *slots;
static struct histogram latencies;

static void fill(uint32_t index, uint64_t now) {
  struct slot *s = &slots[index];
  uint64_t word = ++s->number << 16 | index;
  memcpy(s->data, &word, 8);
  for (size_t i = 8; i < size; i += 8) {
    uint64_t next = mix(word * (MAX_SIZE / 8) + i / 8);
    memcpy(s->data + i, &next, size - i < 8 ? size - i : 8);
  }
  s->sent_at = now;
}

static void send_slots(int fd, const uint32_t *indexes, int count) {
  struct mmsghdr messages[BATCH];
  struct iovec vectors[BATCH];
  memset(messages, 0, sizeof(struct mmsghdr) * (size_t)count);
  for (int i = 0; i < count; i++) {
    vectors[i] = (struct iovec){slots[indexes[i]].data, size};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (int sent = 0; sent < count;) {
    int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
    if (n > 0) sent += n;
    else if (errno != EAGAIN && errno != EINTR) die_errno("sendmmsg");
  }
}

int main(int argc, char **argv) {
  if (argc != 8) die("usage: udp_echo_load PORT PID SOCKETS IN_FLIGHT SIZE WARMUP_MS MEASURE_MS");
  uint16_t port = (uint16_t)number_arg(argv[1], "port");
  pid_t pid = (pid_t)number_arg(argv[2], "pid");
  uint32_t sockets = (uint32_t)number_arg(argv[3], "sockets"), flight = (uint32_t)number_arg(argv[4], "in flight");
  size = number_arg(argv[5], "size");
  uint64_t warmup = number_arg(argv[6], "warmup") * 1000000u, measure = number_arg(argv[7], "measure") * 1000000u;
  if (size < 8 || size > MAX_SIZE) die("size must be from 8 to %d", MAX_SIZE);
  if (sockets < 1 || flight < sockets || flight > 65536 || flight % sockets != 0)
    die("the datagrams in flight must be a multiple of the sockets, at most 65536");
  clockid_t cpu = cpu_clock_of(pid);
  uint32_t share = flight / sockets;
  slots = calloc(flight, sizeof *slots);
  struct pollfd *polls = calloc(sockets, sizeof *polls);
  if (!slots || !polls) die("no memory");

  static struct mmsghdr messages[BATCH];
  static struct iovec vectors[BATCH];
  static unsigned char slab[BATCH][MAX_SIZE + 1];
  for (int i = 0; i < BATCH; i++) {
    vectors[i] = (struct iovec){slab[i], sizeof slab[i]};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }

  uint64_t now = now_ns(), begin_at = now + warmup, end_at = begin_at + measure, swept = now, echoes = 0, lost = 0;
  uint32_t indexes[BATCH];
  for (uint32_t s = 0; s < sockets; s++) {
    polls[s] = (struct pollfd){.fd = connected_socket(SOCK_DGRAM | SOCK_NONBLOCK, port), .events = POLLIN};
    set_receive_buffer(polls[s].fd);
    for (uint32_t i = 0; i < share;) {
      int n = 0;
      for (; n < BATCH && i < share; n++, i++) fill(indexes[n] = s * share + i, now);
      send_slots(polls[s].fd, indexes, n);
    }
  }

  bool measuring = false;
  struct stamp from = {0}, own_from = {0};
  for (;;) {
    int ready = poll(polls, sockets, 100);
    if (ready < 0 && errno != EINTR) die_errno("poll");
    for (uint32_t s = 0; s < sockets && ready > 0; s++) {
      if (!polls[s].revents) continue;
      int n = recvmmsg(polls[s].fd, messages, BATCH, 0, NULL);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (n < 0) die_errno("recvmmsg");
      now = now_ns();
      int resend = 0;
      for (int i = 0; i < n; i++) {
        uint64_t word;
        memcpy(&word, slab[i], 8);
        uint32_t index = (uint32_t)(word & 0xffff);
        if (messages[i].msg_len != size) die("a reply of %u bytes came for a datagram of %zu", messages[i].msg_len, size);
        if (index >= flight || index / share != s) die("a reply came to another socket than the one it was sent from");
        if (memcmp(slab[i], slots[index].data, size) != 0) {
          if (word >> 16 < slots[index].number) continue; /* Late: it has counted as lost. */
          die("a reply differs from the datagram in slot %u", index);
        }
        if (measuring) {
          histogram_add(&latencies, now - slots[index].sent_at);
          echoes++;
        }
        fill(index, now);
        indexes[resend++] = index;
      }
      if (resend > 0) send_slots(polls[s].fd, indexes, resend);
    }
    now = now_ns();
    if (now - swept > LOST_NS / 5) {
      swept = now;
      for (uint32_t i = 0; i < flight; i++) {
        if (now - slots[i].sent_at < LOST_NS) continue;
        lost += measuring;
        fill(i, now);
        send_slots(polls[i / share].fd, &i, 1);
      }
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
  if (echoes == 0) die("no reply came in the measured window");
  printf("{\"count\":%llu,\"lost\":%llu,", (unsigned long long)echoes, (unsigned long long)lost);
  print_usage(from, to);
  printf(",\"loadCpuNs\":%llu,\"p50Ns\":%llu,\"p99Ns\":%llu}\n", (unsigned long long)(own_to.cpu - own_from.cpu),
         (unsigned long long)histogram_at(&latencies, 0.50), (unsigned long long)histogram_at(&latencies, 0.99));
  return 0;
}
