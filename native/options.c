/*
 * setsockopt(2), getsockopt(2), and poll(2) for one descriptor (pollset.c has it for many).
 *
 * The value of an option is bytes. The kernel must never follow an address that came from JavaScript, and never write
 * outside the room, so some options are special:
 *
 * - Options that take a classic BPF program take a struct with a pointer to it. Their value here is the instructions, and
 *   set_program() makes the struct.
 * - The values of other options hold addresses, as the tables of netfilter do. setsockopt refuses such an option, or a value
 *   whose address is not 0, with EFAULT. getsockopt does the same for the content of the room.
 * - SO_GET_FILTER (the number of SO_ATTACH_FILTER) counts its length in instructions of eight bytes. Taken for bytes, it
 *   would let the kernel write eight times the room.
 * - For some options the kernel takes the number of items that it may write from the room, not from the length. getsockopt
 *   refuses a number that does not fit with EINVAL.
 */
#include "addon.h"

#include <limits.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKET_FANOUT_DATA
#define PACKET_FANOUT_DATA 22
#endif

/* PACKET_FANOUT_DATA takes a program or, as an int, a descriptor. */
static bool takes_program(int32_t level, int32_t name, size_t size) {
  if (level == SOL_SOCKET) return name == SO_ATTACH_FILTER || name == SO_ATTACH_REUSEPORT_CBPF;
  return level == SOL_PACKET && name == PACKET_FANOUT_DATA && size != sizeof(int);
}

/* A copy, because the kernel declares the instructions as not constant, and a view need not be aligned for them. */
static int64_t set_program(int32_t fd, int32_t level, int32_t name, const uint8_t *value, size_t size) {
  if (size % sizeof(struct sock_filter) != 0 || size / sizeof(struct sock_filter) > BPF_MAXINSNS) return -EINVAL;
  struct sock_fprog program = {.len = (unsigned short)(size / sizeof(struct sock_filter)), .filter = malloc(size + 1)};
  if (program.filter == NULL) return -ENOMEM;
  if (size > 0) memcpy(program.filter, value, size);
  int64_t result = outcome(setsockopt(fd, level, name, &program, sizeof program));
  free(program.filter);
  return result;
}

/* Known to newer headers, or to headers that do not go together with those above. */
enum {
  LEVEL_XDP = 283,
  LEVEL_MPTCP = 284,
  NUMBER_XDP_UMEM_REG = 4,
  NUMBER_MPTCP_FULL_INFO = 4,
  NUMBER_TCP_ZEROCOPY_RECEIVE = 35,
  NUMBER_TCP_AO_GET_KEYS = 41,
  /* Tables of netfilter, with pointers to counters and entries: ip_tables.h, arp_tables.h, ebtables.h. */
  NUMBER_IPT_SET_REPLACE = 64,
  NUMBER_ARPT_SET_REPLACE = 96,
  NUMBER_EBT_FIRST = 128,
  NUMBER_EBT_LAST = 131,
};

/* Where an address stands in the value of an option, as 64 bits. */
struct address_field {
  int level, name;
  size_t offset;
};

static bool has_address(const struct address_field *fields, size_t count, int32_t level, int32_t name,
                        const uint8_t *value, size_t size) {
  for (size_t i = 0; i < count; i++) {
    if (fields[i].level != level || fields[i].name != name || size <= fields[i].offset) continue;
    uint64_t address = 0;
    size_t there = size - fields[i].offset;
    memcpy(&address, value + fields[i].offset, there < sizeof address ? there : sizeof address);
    if (address != 0) return true;
  }
  return false;
}

static bool is_of_ip(int32_t level) { return level == IPPROTO_IP || level == IPPROTO_IPV6; }

static bool sets_by_address(int32_t level, int32_t name, const uint8_t *value, size_t size) {
  static const struct address_field fields[] = {{LEVEL_XDP, NUMBER_XDP_UMEM_REG, 0}};
  if (is_of_ip(level) && (name == NUMBER_IPT_SET_REPLACE || name == NUMBER_ARPT_SET_REPLACE ||
                          (name >= NUMBER_EBT_FIRST && name <= NUMBER_EBT_LAST))) {
    return true;
  }
  return has_address(fields, sizeof fields / sizeof fields[0], level, name, value, size);
}

static bool gets_by_address(int32_t level, int32_t name, const uint8_t *room, size_t size) {
  /* struct tcp_zerocopy_receive, struct mptcp_full_info */
  static const struct address_field fields[] = {
      {IPPROTO_TCP, NUMBER_TCP_ZEROCOPY_RECEIVE, 0},  {IPPROTO_TCP, NUMBER_TCP_ZEROCOPY_RECEIVE, 24},
      {IPPROTO_TCP, NUMBER_TCP_ZEROCOPY_RECEIVE, 40}, {LEVEL_MPTCP, NUMBER_MPTCP_FULL_INFO, 24},
      {LEVEL_MPTCP, NUMBER_MPTCP_FULL_INFO, 32},
  };
  if (is_of_ip(level) && name >= NUMBER_EBT_FIRST && name <= NUMBER_EBT_LAST) return true;
  return has_address(fields, sizeof fields / sizeof fields[0], level, name, room, size);
}

/* Whether the room has no place for as many items as its own 32 bits at `count_at` allow the kernel to write. */
static bool promises_more(const uint8_t *room, size_t size, size_t count_at, size_t header, size_t item) {
  uint32_t count;
  /* Less than the header the kernel refuses itself. */
  if (size < header) return false;
  memcpy(&count, room + count_at, sizeof count);
  return count > (size - header) / item;
}

static bool writes_past(int32_t level, int32_t name, const uint8_t *room, size_t size) {
  if (level == IPPROTO_IP && name == IP_MSFILTER) {
    return promises_more(room, size, offsetof(struct ip_msfilter, imsf_numsrc), IP_MSFILTER_SIZE(0),
                         sizeof(struct in_addr));
  }
  if (is_of_ip(level) && name == MCAST_MSFILTER) {
    return promises_more(room, size, offsetof(struct group_filter, gf_numsrc), GROUP_FILTER_SIZE(0),
                         sizeof(struct sockaddr_storage));
  }
  /* The length is that of one struct tcp_ao_getsockopt, whose member nkeys tells how many there is room for. */
  if (level == IPPROTO_TCP && name == NUMBER_TCP_AO_GET_KEYS && size >= 276) {
    return promises_more(room, size, 272, 0, size);
  }
  return false;
}

/* setsockopt(fd, level, name, value as bytes) */
static napi_value call_setsockopt(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, level, name;
  uint8_t *value;
  size_t size;
  if (!read_args(env, info, 4, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &level) ||
      !arg_i32(&args, 2, &name) || !arg_bytes(&args, 3, &value, &size)) {
    return NULL;
  }
  if (size > INT_MAX) return number(env, -EINVAL);
  if (takes_program(level, name, size)) return number(env, set_program(fd, level, name, value, size));
  if (sets_by_address(level, name, value, size)) return number(env, -EFAULT);
  return number(env, outcome(setsockopt(fd, level, name, value, (socklen_t)size)));
}

/* getsockopt(fd, level, name, room) -> length of the value */
static napi_value call_getsockopt(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, level, name;
  uint8_t *room;
  size_t size;
  if (!read_args(env, info, 4, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &level) ||
      !arg_i32(&args, 2, &name) || !arg_bytes(&args, 3, &room, &size)) {
    return NULL;
  }
  if (size > INT_MAX) size = INT_MAX;
  if (gets_by_address(level, name, room, size)) return number(env, -EFAULT);
  if (writes_past(level, name, room, size)) return number(env, -EINVAL);
  bool filter = level == SOL_SOCKET && name == SO_ATTACH_FILTER;
  socklen_t unit = filter ? sizeof(struct sock_filter) : 1;
  socklen_t length = (socklen_t)size / unit;
  if (getsockopt(fd, level, name, room, &length) < 0) return number(env, -errno);
  /* Asked with room for less than one instruction, the kernel only counts, and has written nothing. */
  if (filter && size > 0 && (size_t)length * unit > size) return number(env, -EINVAL);
  return number(env, (int64_t)length * unit);
}

/* poll(fd, events, timeout in ms) -> revents, 0 when nothing is ready. With a timeout other than 0 it blocks the thread. */
static napi_value call_poll(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, events, timeout;
  if (!read_args(env, info, 3, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &events) ||
      !arg_i32(&args, 2, &timeout)) {
    return NULL;
  }
  struct pollfd entry = {.fd = fd, .events = (short)events};
  int count = poll(&entry, 1, timeout);
  return number(env, count < 0 ? -errno : count == 0 ? 0 : entry.revents);
}

bool init_options(napi_env env, napi_value exports) {
  static const struct entry entries[] = {
      {"setsockopt", call_setsockopt},
      {"getsockopt", call_getsockopt},
      {"poll", call_poll},
  };
  return EXPORT_ALL(env, exports, entries);
}
