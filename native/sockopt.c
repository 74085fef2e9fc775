/*
 * setsockopt(2) and getsockopt(2).
 *
 * JavaScript passes the value of an option as bytes. The kernel must never follow a pointer in these bytes, and never
 * write outside the buffer. So these options need special care:
 *
 * - Options that set a classic BPF program: the kernel takes a struct with a pointer to the instructions. JavaScript
 *   passes only the instructions, and set_program() creates the struct.
 * - Options whose values contain other pointers, for example the tables of netfilter: setsockopt() refuses the option,
 *   or a value whose pointer is not 0, with EFAULT. getsockopt() does the same for the initial content of the buffer.
 * - SO_GET_FILTER, which has the number of SO_ATTACH_FILTER: its length counts instructions of eight bytes. If the
 *   length were passed in bytes, the kernel could write eight times the size of the buffer.
 * - Options whose buffer initially contains the number of items that the kernel may write. The kernel ignores the
 *   length of the buffer. So getsockopt() returns EINVAL for a number of items that does not fit into the buffer.
 */
#include "addon.h"

#include <limits.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKET_FANOUT_DATA
#define PACKET_FANOUT_DATA 22
#endif

/* The value of PACKET_FANOUT_DATA is a program, or a descriptor as an int. */
static bool takes_program(int32_t level, int32_t name, size_t size) {
  if (level == SOL_SOCKET) return name == SO_ATTACH_FILTER || name == SO_ATTACH_REUSEPORT_CBPF;
  return level == SOL_PACKET && name == PACKET_FANOUT_DATA && size != sizeof(int);
}

/*
 * Sets an option to a classic BPF program, whose instructions are `value`. Copies them, because the kernel's struct
 * requires non-const instructions, and the bytes of a view may not be aligned.
 */
static int64_t set_program(int32_t fd, int32_t level, int32_t name, const uint8_t *value, size_t size) {
  if (size % sizeof(struct sock_filter) != 0 || size / sizeof(struct sock_filter) > BPF_MAXINSNS) return -EINVAL;
  /* size + 1: malloc(0) may return NULL. */
  struct sock_fprog program = {.len = (unsigned short)(size / sizeof(struct sock_filter)), .filter = malloc(size + 1)};
  if (program.filter == NULL) return -ENOMEM;
  if (size > 0) memcpy(program.filter, value, size);
  int64_t result = result_or_errno(setsockopt(fd, level, name, &program, sizeof program));
  free(program.filter);
  return result;
}

/* These names are not in all headers. The headers that have them conflict with the included ones. */
enum {
  LEVEL_XDP = 283,
  LEVEL_MPTCP = 284,
  OPTION_XDP_UMEM_REG = 4,
  OPTION_MPTCP_FULL_INFO = 4,
  OPTION_TCP_ZEROCOPY_RECEIVE = 35,
  OPTION_TCP_AO_GET_KEYS = 41,
  /* Tables of netfilter with pointers to counters and entries: ip_tables.h, arp_tables.h, ebtables.h. */
  OPTION_IPT_SET_REPLACE = 64,
  OPTION_ARPT_SET_REPLACE = 96,
  OPTION_EBT_FIRST = 128,
  OPTION_EBT_LAST = 131,
};

/* The offset of a 64-bit pointer in the value of an option. */
struct pointer_field {
  int level, name;
  size_t offset;
};

/* Whether one of the fields of this option is not 0 in the value. */
static bool has_pointer(const struct pointer_field *fields, size_t count, int32_t level, int32_t name,
                        const uint8_t *value, size_t size) {
  for (size_t i = 0; i < count; i++) {
    if (fields[i].level != level || fields[i].name != name || size <= fields[i].offset) continue;
    uint64_t address = 0;
    size_t available = size - fields[i].offset;
    memcpy(&address, value + fields[i].offset, available < sizeof address ? available : sizeof address);
    if (address != 0) return true;
  }
  return false;
}

static bool is_ip_level(int32_t level) { return level == IPPROTO_IP || level == IPPROTO_IPV6; }

static bool set_value_has_pointer(int32_t level, int32_t name, const uint8_t *value, size_t size) {
  /* addr of struct xdp_umem_reg */
  static const struct pointer_field fields[] = {{LEVEL_XDP, OPTION_XDP_UMEM_REG, 0}};
  if (is_ip_level(level) && (name == OPTION_IPT_SET_REPLACE || name == OPTION_ARPT_SET_REPLACE ||
                             (name >= OPTION_EBT_FIRST && name <= OPTION_EBT_LAST))) {
    return true;
  }
  return has_pointer(fields, sizeof fields / sizeof fields[0], level, name, value, size);
}

static bool get_value_has_pointer(int32_t level, int32_t name, const uint8_t *buffer, size_t size) {
  /*
   * address, copybuf_address and msg_control of struct tcp_zerocopy_receive; subflow_info and tcp_info of struct
   * mptcp_full_info
   */
  static const struct pointer_field fields[] = {
      {IPPROTO_TCP, OPTION_TCP_ZEROCOPY_RECEIVE, 0},  {IPPROTO_TCP, OPTION_TCP_ZEROCOPY_RECEIVE, 24},
      {IPPROTO_TCP, OPTION_TCP_ZEROCOPY_RECEIVE, 40}, {LEVEL_MPTCP, OPTION_MPTCP_FULL_INFO, 24},
      {LEVEL_MPTCP, OPTION_MPTCP_FULL_INFO, 32},
  };
  if (is_ip_level(level) && name >= OPTION_EBT_FIRST && name <= OPTION_EBT_LAST) return true;
  return has_pointer(fields, sizeof fields / sizeof fields[0], level, name, buffer, size);
}

/* Whether the 32-bit item count at `count_offset` allows the kernel to write more items than the buffer holds. */
static bool count_exceeds_buffer(const uint8_t *buffer, size_t size, size_t count_offset, size_t header_size,
                                 size_t item_size) {
  uint32_t count;
  /* The kernel refuses a buffer that is shorter than the header. */
  if (size < header_size) return false;
  memcpy(&count, buffer + count_offset, sizeof count);
  return count > (size - header_size) / item_size;
}

static bool kernel_would_overflow(int32_t level, int32_t name, const uint8_t *buffer, size_t size) {
  if (level == IPPROTO_IP && name == IP_MSFILTER) {
    return count_exceeds_buffer(buffer, size, offsetof(struct ip_msfilter, imsf_numsrc), IP_MSFILTER_SIZE(0),
                                sizeof(struct in_addr));
  }
  if (is_ip_level(level) && name == MCAST_MSFILTER) {
    return count_exceeds_buffer(buffer, size, offsetof(struct group_filter, gf_numsrc), GROUP_FILTER_SIZE(0),
                                sizeof(struct sockaddr_storage));
  }
  /*
   * The kernel treats the length as the size of one struct tcp_ao_getsockopt, and writes up to nkeys structs. The
   * buffer holds only one. nkeys has 4 bytes, at offset 272 of the struct. So it ends at offset 276.
   */
  if (level == IPPROTO_TCP && name == OPTION_TCP_AO_GET_KEYS && size >= 276) {
    return count_exceeds_buffer(buffer, size, 272, 0, size);
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
  if (size > INT_MAX) return js_number(env, -EINVAL);
  if (takes_program(level, name, size)) return js_number(env, set_program(fd, level, name, value, size));
  if (set_value_has_pointer(level, name, value, size)) return js_number(env, -EFAULT);
  return js_number(env, result_or_errno(setsockopt(fd, level, name, value, (socklen_t)size)));
}

/* getsockopt(fd, level, name, buffer) -> length of the value */
static napi_value call_getsockopt(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, level, name;
  uint8_t *buffer;
  size_t size;
  if (!read_args(env, info, 4, &args) || !arg_i32(&args, 0, &fd) || !arg_i32(&args, 1, &level) ||
      !arg_i32(&args, 2, &name) || !arg_bytes(&args, 3, &buffer, &size)) {
    return NULL;
  }
  if (size > INT_MAX) size = INT_MAX;
  if (get_value_has_pointer(level, name, buffer, size)) return js_number(env, -EFAULT);
  if (kernel_would_overflow(level, name, buffer, size)) return js_number(env, -EINVAL);
  bool is_filter = level == SOL_SOCKET && name == SO_ATTACH_FILTER;
  socklen_t unit = is_filter ? sizeof(struct sock_filter) : 1;
  socklen_t length = (socklen_t)size / unit;
  if (getsockopt(fd, level, name, buffer, &length) < 0) return js_number(env, -errno);
  /* If the buffer is shorter than one instruction, the kernel writes nothing and returns the number of instructions. */
  if (is_filter && size > 0 && (size_t)length * unit > size) return js_number(env, -EINVAL);
  return js_number(env, (int64_t)length * unit);
}

bool init_sockopt(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"setsockopt", call_setsockopt},
      {"getsockopt", call_getsockopt},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
