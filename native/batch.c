/*
 * Many datagrams in one call: recvmmsg(2) and sendmmsg(2) over memory that JavaScript keeps from call to call, so that
 * nothing is allocated per datagram or per call.
 *
 * A batch of N datagrams is three views:
 *   slab     N slots of the same size: the bytes of datagram i are at the start of slot i
 *   table    N entries, a `struct datagram` each, which src/sys/batch/table.ts lays out in the same way
 *   control  N rooms of the same size for the control data that come with a datagram
 * How many datagrams there are follows from the length of the table, the size of slots and rooms from N. Every length in
 * the table that the kernel is to follow is checked against its slot on each call: the table is memory of JavaScript.
 */
#include "addon.h"
#include "cmsg.h"
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

/* The kernel takes no more at a time (UIO_MAXIOV in sendmmsg(2)). */
#define MAX_BATCH 1024

struct datagram {
  uint32_t length;         /* bytes in the slot */
  uint32_t full_length;          /* bytes that the datagram had, if recvmmsg was asked with MSG_TRUNC; otherwise as length */
  uint32_t flags;          /* msg_flags of a received datagram */
  uint32_t segment_size;        /* size of the datagrams that this one is made of (GSO, GRO); 0 if it is a single one */
  uint32_t name_length;    /* 0: no address */
  uint32_t control_length; /* bytes of control data received */
  int32_t error;           /* written by JavaScript only */
  uint32_t unused;
  struct sockaddr_storage name;
  alignas(struct cmsghdr) uint8_t control[32]; /* what goes out with a datagram that is to be cut into segments */
};
_Static_assert(sizeof(struct datagram) == 192, "src/sys/batch/table.ts counts on it");
_Static_assert(offsetof(struct datagram, name) == 32, "src/sys/batch/table.ts counts on it");
_Static_assert(CMSG_SPACE(sizeof(uint16_t)) <= 32, "the control data for a segment size must fit");

struct batch {
  uint8_t *slab;
  size_t slot_size;
  struct datagram *entries;
  size_t count;
};

/* Arguments index (slab) and index + 1 (table). A slab that was detached has slots of 0 bytes. */
static bool arg_batch(const struct args *args, size_t index, struct batch *batch) {
  uint8_t *table;
  size_t slab_size, table_size;
  if (!arg_bytes(args, index, &batch->slab, &slab_size) || !arg_bytes(args, index + 1, &table, &table_size)) return false;
  if (table_size == 0 || table_size % sizeof(struct datagram) != 0 || (uintptr_t)table % alignof(struct datagram) != 0) {
    napi_throw_range_error(args->env, NULL, "the table of a batch is a whole number of aligned entries");
    return false;
  }
  batch->entries = (struct datagram *)table;
  batch->count = table_size / sizeof(struct datagram);
  batch->slot_size = slab_size / batch->count;
  return true;
}

/*
 * What the kernel said about a received datagram besides its bytes. Descriptors that came with it have nobody to take
 * them here, and are closed.
 */
static void read_control(struct msghdr *message, struct datagram *entry) {
  for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL; control = next_control(message, control)) {
    if (control->cmsg_len < CMSG_LEN(0)) return;
    size_t size = control->cmsg_len - CMSG_LEN(0);
    if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO && size >= sizeof(int)) {
      int segment_size;
      memcpy(&segment_size, CMSG_DATA(control), sizeof segment_size);
      /* The kernel tells the size of a lone datagram too, which is then its length. */
      if (segment_size > 0 && (uint32_t)segment_size < entry->length) entry->segment_size = (uint32_t)segment_size;
    } else if (carries_descriptors(control)) {
      for (size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
        int fd;
        memcpy(&fd, CMSG_DATA(control) + at, sizeof fd);
        if (fd >= 0) close(fd);
      }
      memset(CMSG_DATA(control), 0xff, size); /* -1: no number of a closed descriptor is handed out */
    }
  }
}

/*
 * recvmmsg(fd, slab, table, control, flags) -> number of datagrams. EFAULT when the slab has no room: detached, it would
 * swallow what came.
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
  /* The header of the first message in each room must be aligned. */
  size_t control_room = control_size / batch.count;
  if (control_room % sizeof(size_t) != 0 || (uintptr_t)control % alignof(struct cmsghdr) != 0) control_room = 0;
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
        .msg_control = control_room == 0 ? NULL : control + i * control_room,
        .msg_controllen = control_room,
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
    /* The kernel hands our own flag back with the others. */
    entry->flags = (uint32_t)header->msg_flags & ~(uint32_t)MSG_CMSG_CLOEXEC;
    entry->segment_size = 0;
    /* An UNIX address may be said to be a byte longer than what was copied. */
    entry->name_length = header->msg_namelen <= sizeof entry->name ? header->msg_namelen : sizeof entry->name;
    /* Addresses are compared word by word. */
    memset((uint8_t *)&entry->name + entry->name_length, 0, -entry->name_length & 3);
    entry->control_length = (uint32_t)header->msg_controllen;
    entry->error = 0;
    if (header->msg_controllen > 0) read_control(header, entry);
  }
  return js_number(env, received);
}

static void set_segment_size(struct datagram *entry, struct msghdr *header) {
  header->msg_control = entry->control;
  header->msg_controllen = CMSG_SPACE(sizeof(uint16_t));
  struct cmsghdr *control = CMSG_FIRSTHDR(header);
  uint16_t segment_size = (uint16_t)entry->segment_size;
  control->cmsg_level = IPPROTO_UDP;
  control->cmsg_type = UDP_SEGMENT;
  control->cmsg_len = CMSG_LEN(sizeof segment_size);
  memcpy(CMSG_DATA(control), &segment_size, sizeof segment_size);
}

/* sendmmsg(fd, slab, table, from, to, flags) -> number of datagrams of [from, to) that went out, from the first on. */
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
    napi_throw_range_error(env, NULL, "sendmmsg takes a range of entries inside its table");
    return NULL;
  }
  if (batch.slot_size == 0) return js_number(env, -EFAULT);
  size_t count = end - first < MAX_BATCH ? end - first : MAX_BATCH;
  struct mmsghdr messages[MAX_BATCH];
  struct iovec slots[MAX_BATCH];
  for (size_t i = 0; i < count; i++) {
    struct datagram *entry = &batch.entries[first + i];
    if (entry->length > batch.slot_size || entry->name_length > sizeof entry->name || entry->segment_size > UINT16_MAX) {
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
    if (entry->segment_size > 0) set_segment_size(entry, header);
  }
  return js_number(env, result_or_errno(sys_sendmmsg(fd, messages, (unsigned)count, flags | MSG_DONTWAIT | MSG_NOSIGNAL)));
}

bool init_batch(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"recvmmsg", call_recvmmsg},
      {"sendmmsg", call_sendmmsg},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
