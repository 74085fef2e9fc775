/*
 * Batches of datagrams: recvmmsg(2) and sendmmsg(2). JavaScript reuses the memory of a batch for each call, so a call
 * allocates no memory.
 *
 * A batch of N datagrams has three views:
 *   slab     N slots of equal size. The bytes of datagram i begin at the start of slot i.
 *   table    N entries of type `struct datagram`. src/batch/table.ts has the same layout.
 *   control  N buffers of equal size for the control data of received datagrams.
 * The length of the table determines N. Each slot has 1/N of the slab, and each control buffer has 1/N of `control`.
 * JavaScript can write to the table, so each call checks every length in the table before the kernel uses it.
 */
#include "addon.h"
#include "syscalls.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdalign.h>
#include <string.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* The limit of the kernel: UIO_MAXIOV, sendmmsg(2). */
#define MAX_BATCH 1024

struct datagram {
  uint32_t length;         /* bytes in the slot */
  uint32_t full_length;    /* original length of the datagram if recvmmsg had MSG_TRUNC, otherwise the same as length */
  uint32_t flags;          /* msg_flags of a received datagram */
  uint32_t segment_size;   /* size of the datagrams that this one consists of (GSO, GRO), 0 for a single datagram */
  uint32_t name_length;    /* bytes of the address in `name`, 0 without an address */
  uint32_t control_length; /* bytes of control data received */
  int32_t error;           /* -errno of a datagram that was not sent, or 0; set by JavaScript, recvmmsg stores 0 */
  uint32_t source_length;  /* size of the member of `source` in use, 0 to send without a source address */
  struct sockaddr_storage name;                /* the address of the peer: msg_name */
  alignas(struct cmsghdr) uint8_t control[64]; /* memory for the control data that are sent */
  union {
    struct in_pktinfo v4;
    struct in6_pktinfo v6;
    uint8_t bytes[24];
  } source; /* the source address of a datagram to send; recvmmsg does not change it */
};
_Static_assert(sizeof(struct datagram) == 248, "src/batch/table.ts has the same number");
_Static_assert(offsetof(struct datagram, name) == 32, "src/batch/table.ts has the same number");
_Static_assert(offsetof(struct datagram, source) == 224, "src/batch/table.ts has the same number");
_Static_assert(CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(struct in6_pktinfo)) <= 64,
               "the control data must fit");

struct batch {
  uint8_t *slab;
  size_t slot_size;
  struct datagram *entries;
  size_t count;
};

/* Reads arguments `index` (slab) and `index + 1` (table). The slots of a detached slab have 0 bytes. */
static bool arg_batch(const struct args *args, size_t index, struct batch *batch) {
  uint8_t *table;
  size_t slab_size, table_size;
  if (!arg_bytes(args, index, &batch->slab, &slab_size) || !arg_bytes(args, index + 1, &table, &table_size)) {
    return false;
  }
  if (table_size == 0 || table_size % sizeof(struct datagram) != 0 ||
      (uintptr_t)table % alignof(struct datagram) != 0) {
    napi_throw_range_error(
        args->env, NULL, "Cannot make a native call: table has a wrong length or alignment, required aligned entries");
    return false;
  }
  batch->entries = (struct datagram *)table;
  batch->count = table_size / sizeof(struct datagram);
  batch->slot_size = slab_size / batch->count;
  return true;
}

/*
 * Reads the control data of a received datagram, and stores its GRO segment size in the entry. Closes received
 * descriptors, because a batch has no way to return them.
 */
static void read_control(struct msghdr *message, struct datagram *entry) {
  for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL; control = next_control(message, control)) {
    if (control->cmsg_len < CMSG_LEN(0)) return;
    size_t size = control->cmsg_len - CMSG_LEN(0);
    if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO && size >= sizeof(int)) {
      int segment_size;
      memcpy(&segment_size, CMSG_DATA(control), sizeof segment_size);
      /* For a single datagram the kernel may report the whole length. Then `segment_size` of the entry stays 0. */
      if (segment_size > 0 && (uint32_t)segment_size < entry->length) entry->segment_size = (uint32_t)segment_size;
    } else if (carries_descriptors(control)) {
      for (size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
        int fd;
        memcpy(&fd, CMSG_DATA(control) + at, sizeof fd);
        if (fd >= 0) close(fd);
      }
      memset(CMSG_DATA(control), 0xff, size); /* -1, so that no number of a closed descriptor reaches JavaScript */
    }
  }
}

/*
 * recvmmsg(fd, slab, table, control, flags) -> number of datagrams. Returns -EFAULT if the slots have 0 bytes, as
 * those of a detached slab, because the kernel would discard the data of the datagrams.
 */
static napi_value call_recvmmsg(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, flags;
  struct batch batch;
  uint8_t *control;
  size_t control_size;
  if (!read_args(env, info, 5, &args) || !arg_i32(&args, 0, &fd) || !arg_batch(&args, 1, &batch) ||
      !arg_bytes(&args, 3, &control, &control_size) || !arg_i32(&args, 4, &flags)) {
    return NULL;
  }
  if (batch.slot_size == 0) return js_number(env, -EFAULT);
  /* Each control buffer begins with a struct cmsghdr. If a buffer is not aligned, no control data are received. */
  size_t buffer_size = control_size / batch.count;
  if (buffer_size % sizeof(size_t) != 0 || (uintptr_t)control % alignof(struct cmsghdr) != 0) buffer_size = 0;
  size_t count = batch.count < MAX_BATCH ? batch.count : MAX_BATCH;
  struct mmsghdr messages[MAX_BATCH];
  struct iovec slots[MAX_BATCH];
  for (size_t i = 0; i < count; i++) {
    slots[i] = (struct iovec){batch.slab + i * batch.slot_size, batch.slot_size};
    messages[i].msg_hdr = (struct msghdr){
        .msg_name = &batch.entries[i].name,
        .msg_namelen = sizeof batch.entries[i].name,
        .msg_iov = &slots[i],
        .msg_iovlen = 1,
        .msg_control = buffer_size == 0 ? NULL : control + i * buffer_size,
        .msg_controllen = buffer_size,
    };
  }
  int received = recvmmsg(fd, messages, (unsigned)count, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
  if (received < 0 && refuses_cloexec(fd)) {
    received = recvmmsg(fd, messages, (unsigned)count, flags | MSG_DONTWAIT, NULL);
  }
  if (received < 0) return js_number(env, -errno);
  for (int i = 0; i < received; i++) {
    struct datagram *entry = &batch.entries[i];
    struct msghdr *header = &messages[i].msg_hdr;
    entry->full_length = messages[i].msg_len;
    entry->length = messages[i].msg_len <= batch.slot_size ? messages[i].msg_len : (uint32_t)batch.slot_size;
    /* The kernel returns MSG_CMSG_CLOEXEC, a flag of the call, among the flags of the datagram. */
    entry->flags = (uint32_t)header->msg_flags & ~(uint32_t)MSG_CMSG_CLOEXEC;
    entry->segment_size = 0;
    /* If the kernel truncates an address, it returns the full length. */
    entry->name_length = header->msg_namelen <= sizeof entry->name ? header->msg_namelen : sizeof entry->name;
    /* JavaScript compares addresses in words of 4 bytes, so the rest of the last word is cleared. */
    memset((uint8_t *)&entry->name + entry->name_length, 0, (4 - entry->name_length % 4) % 4);
    entry->control_length = (uint32_t)header->msg_controllen;
    entry->error = 0;
    entry->source_length = 0;
    if (header->msg_controllen > 0) read_control(header, entry);
  }
  return js_number(env, received);
}

/* Appends a control message. A static assertion above guarantees that the two messages of set_control() fit. */
static void add_control(struct datagram *entry, struct msghdr *header, int level, int type, const void *data,
                        size_t size) {
  struct cmsghdr *control = (struct cmsghdr *)(void *)(entry->control + header->msg_controllen);
  memset(control, 0, CMSG_SPACE(size));
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(size);
  memcpy(CMSG_DATA(control), data, size);
  header->msg_control = entry->control;
  header->msg_controllen += CMSG_SPACE(size);
}

/* Writes segment size and source address of a datagram as control data. Returns false if `source_length` is wrong. */
static bool set_control(struct datagram *entry, struct msghdr *header) {
  if (entry->segment_size > 0) {
    uint16_t segment_size = (uint16_t)entry->segment_size;
    add_control(entry, header, IPPROTO_UDP, UDP_SEGMENT, &segment_size, sizeof segment_size);
  }
  switch (entry->source_length) {
  case 0:
    return true;
  case sizeof entry->source.v4:
    add_control(entry, header, IPPROTO_IP, IP_PKTINFO, &entry->source.v4, sizeof entry->source.v4);
    return true;
  case sizeof entry->source.v6:
    add_control(entry, header, IPPROTO_IPV6, IPV6_PKTINFO, &entry->source.v6, sizeof entry->source.v6);
    return true;
  default:
    return false;
  }
}

/*
 * sendmmsg(fd, slab, table, first, end, flags): sends the entries from `first` up to but not including `end` -> number
 * of datagrams sent
 */
static napi_value call_sendmmsg(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t fd, flags;
  uint32_t first, end;
  struct batch batch;
  if (!read_args(env, info, 6, &args) || !arg_i32(&args, 0, &fd) || !arg_batch(&args, 1, &batch) ||
      !arg_u32(&args, 3, &first) || !arg_u32(&args, 4, &end) || !arg_i32(&args, 5, &flags)) {
    return NULL;
  }
  if (first > end || end > batch.count) {
    napi_throw_range_error(
        env, NULL, "Cannot call sendmmsg: range is outside the table, required first <= end <= number of entries");
    return NULL;
  }
  if (batch.slot_size == 0) return js_number(env, -EFAULT);
  size_t count = end - first < MAX_BATCH ? end - first : MAX_BATCH;
  struct mmsghdr messages[MAX_BATCH];
  struct iovec slots[MAX_BATCH];
  for (size_t i = 0; i < count; i++) {
    struct datagram *entry = &batch.entries[first + i];
    if (entry->length > batch.slot_size || entry->name_length > sizeof entry->name ||
        entry->segment_size > UINT16_MAX) {
      return js_number(env, -EFAULT);
    }
    slots[i] = (struct iovec){batch.slab + (first + i) * batch.slot_size, entry->length};
    struct msghdr *header = &messages[i].msg_hdr;
    *header = (struct msghdr){
        .msg_name = entry->name_length == 0 ? NULL : &entry->name,
        .msg_namelen = entry->name_length,
        .msg_iov = &slots[i],
        .msg_iovlen = 1,
    };
    if (!set_control(entry, header)) return js_number(env, -EFAULT);
  }
  return js_number(env,
                   result_or_errno(sys_sendmmsg(fd, messages, (unsigned)count, flags | MSG_DONTWAIT | MSG_NOSIGNAL)));
}

bool init_batch(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"recvmmsg", call_recvmmsg},
      {"sendmmsg", call_sendmmsg},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
