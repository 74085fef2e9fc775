/*
 * What the files of the addon share.
 *
 * Every call takes numbers and byte views, checks their bounds, makes a system call and returns a number >= 0 or -errno.
 * Three files do more. names.c and local.c return what the C library says about names, as text, lists and bytes. move.c and
 * relay.c make several system calls in a row, because JavaScript between them would cost more than the calls. No call makes
 * a promise, builds a text for people or throws for what the kernel said. A wrong argument (not a number, a range outside
 * its view) is a mistake of our own TypeScript: the call throws a TypeError or RangeError, and never reads or writes outside
 * the view.
 *
 * All state hangs on the instance data of one environment (`struct addon`), so each worker thread has its own. The only
 * exception is a fact of the process that never changes (direct.h). The descriptors that an environment made, received or
 * adopted are recorded, and closed when it ends.
 */
#ifndef BERKELEY_ADDON_H
#define BERKELEY_ADDON_H

#include <node_api.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

/* A bit per descriptor number: set while this environment owns the descriptor. */
struct ownership {
  uint64_t *words;
  size_t length; /* in words */
};

/* Which file each descriptor is that others may use too, by its number; 0 for those that are ours alone. shared.c */
struct shared {
  uint64_t *identities;
  size_t length;
};

struct addon {
  napi_env env;
  /* By their numbers; a place may be NULL. */
  struct poller **pollers;
  size_t poller_count;
  struct lookups *lookups; /* none before the first lookup */
  struct ownership owned;
  struct shared shared;
  timer_t alarm;
  bool has_alarm;
  bool ended; /* the environment is being torn down: calls answer -ECANCELED */
};

/* instance.c */
struct addon *addon_of(napi_env env);
/*
 * Keeps this library in memory, and so its variables, for as long as the process lives. To be called before anything outside of
 * an environment refers to its code: Node unloads an addon when the last worker that loaded it ends. False when it fails.
 */
bool pin(void);
/* Records fd as owned by this environment. Returns fd, or -ENOMEM. */
int own(struct addon *addon, int fd);
/* The same for a descriptor that was made just now: it is closed when it cannot be recorded. */
int own_new(struct addon *addon, int fd);
void disown(struct addon *addon, int fd);
bool owns(const struct addon *addon, int fd);
void close_owned(struct addon *addon);

/*
 * shared.c. Others may use the open file description of a descriptor that is shared, and its number; see there. share() returns which
 * file it is, as a number above 0, or -errno, and changes nothing when it fails.
 */
int64_t share(struct addon *addon, int fd);
bool is_file(int fd, int64_t file);
static inline bool is_shared(const struct addon *addon, int fd) {
  return (size_t)fd < addon->shared.length && addon->shared.identities[fd] != 0;
}
/* Whether the number of a shared descriptor has been closed by others, and is another file's or nobody's now. */
bool replaced(const struct addon *addon, int fd);
bool lacks_nonblock(int fd);
/* Whether a call without MSG_DONTWAIT could wait, because others have cleared O_NONBLOCK. */
static inline bool may_wait(const struct addon *addon, int fd) { return is_shared(addon, fd) && lacks_nonblock(fd); }
/* poll(2), without waiting: whether there is one of the events, an error or a hang-up. */
bool is_ready(int fd, short events);
/* Between these two a call of this thread that waits ends with EINTR after a millisecond. Returns 0 or -errno. */
int begin_alarm(struct addon *addon);
/* Leaves errno alone. */
void end_alarm(struct addon *addon);
void forget_shared(struct addon *addon);

/* args.c: reading arguments. Each returns false with a TypeError or RangeError pending. */
#define MAX_ARGS 12
#define MAX_OPTIONAL 2
struct args {
  napi_env env;
  size_t count;
  napi_value values[MAX_ARGS];
};

bool read_args(napi_env env, napi_callback_info info, size_t required, struct args *args);
bool arg_i32(const struct args *args, size_t index, int32_t *out);
bool arg_u32(const struct args *args, size_t index, uint32_t *out);
/* A whole number of at least 0 and at most 2^53-1. */
bool arg_offset(const struct args *args, size_t index, int64_t *out);
/* The bytes of a TypedArray or Buffer. A detached or out-of-bounds view has length 0. */
bool arg_bytes(const struct args *args, size_t index, uint8_t **data, size_t *length);
bool value_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);
/* A string as an allocated C string, null and undefined as NULL. A NUL inside would cut the string, so it is refused. */
bool arg_text(const struct args *args, size_t index, char **out);

napi_value text_or_null(napi_env env, const char *text);

napi_value number(napi_env env, int64_t value);
/* What a system call returned, or -errno if it failed. Read errno before anything else can change it. */
static inline int64_t outcome(int64_t value) { return value >= 0 ? value : -(int64_t)errno; }

/*
 * Calls JavaScript: call_back() where the runtime has called us to do so, as the callback of work or of a threadsafe function, after
 * which it runs the microtasks itself; call_from_loop() in a callback of libuv, of which Node knows nothing. What JavaScript
 * throws becomes an uncaught exception. Returns whether it could be called and returned in order.
 */
bool call_back(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);
bool call_from_loop(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);

/* A table of functions that a file adds to the exports. */
struct entry {
  const char *name;
  napi_callback function;
};
bool export_all(napi_env env, napi_value exports, const struct entry *entries, size_t count);
#define EXPORT_ALL(env, exports, entries) export_all(env, exports, entries, sizeof(entries) / sizeof((entries)[0]))

/*
 * address.c. Addresses cross the seam as the bytes of a sockaddr. An address that the kernel fills in is a view of at least
 * ADDRESS_ROOM bytes: its length as a 32-bit number in the machine's order, then the sockaddr.
 */
#define ADDRESS_ROOM (sizeof(uint32_t) + sizeof(struct sockaddr_storage))
bool arg_address(const struct args *args, size_t index, const struct sockaddr **address, socklen_t *length);
bool arg_address_room(const struct args *args, size_t index, uint8_t **room);
void put_address(uint8_t *room, const struct sockaddr_storage *address, socklen_t length);

/*
 * The next control message, or NULL. CMSG_NXTHDR() of some C libraries compares signed with unsigned numbers, and trusts
 * cmsg_len further than the control data reach.
 */
static inline struct cmsghdr *next_control(const struct msghdr *message, struct cmsghdr *control) {
  size_t left = (size_t)message->msg_controllen - (size_t)((uint8_t *)control - (uint8_t *)message->msg_control);
  size_t length = control->cmsg_len;
  if (length < sizeof *control || length > left) return NULL;
  size_t step = (length + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1);
  if (step > left || left - step < sizeof *control) return NULL;
  return (struct cmsghdr *)((uint8_t *)control + step);
}

/*
 * transfer.c. Records the descriptors in a message's control data as owned. Every recvmsg() that succeeds with room for
 * control data is followed by it. recvmmsg() is not: batch.c closes the descriptors that a batch brings.
 */
void own_received(struct addon *addon, struct msghdr *message);
/* Whether a receiving call failed because of MSG_CMSG_CLOEXEC, and is to be made again without it. */
bool refuses_cloexec(int fd);

/*
 * move.c. Fills the pipe, which is empty, from `from` and empties it into `to`, again and again, until something stops it or
 * `budget` bytes have been taken. 1 when the budget is spent, 0 at the end of `from`, or -errno; `progress` is bytes taken
 * and bytes passed on. `how` is of the bits below.
 */
int64_t splice_through(int from, int read_end, int write_end, int to, uint32_t at_once, uint32_t budget, uint32_t how,
                       uint32_t progress[2]);
/* Few bytes are expected, which are copied. */
#define THROUGH_FEW 1u
/* A recv(2) that gets less than it asked for has emptied the source, which need not be asked again. */
#define THROUGH_SHORT_MEANS_EMPTY 2u
/* The peer has ended, and such a recv(2) has got the last that there was before that. */
#define THROUGH_SHORT_MEANS_END 4u
/* All bytes are copied: splice(2) could wait, because one of the sockets is blocking. */
#define THROUGH_COPY 8u
/* A flow of which at least so many bytes came at a time is expected to go on like that. */
#define MANY (16u << 10)

/* relay.c */
/* Slots of the reactor that have a note: each forwarded connection takes two. Memory that is not used costs address space only. */
#define RELAYS (1u << 16)
/* So many of them stand before the pipes. */
#define FIRST_RELAYS 1024u
#define RELAY_WORDS 10
#define RELAY_PIPES 16
#define RELAY_PIPE_WORDS 3
#define RELAY_TABLE_WORDS (RELAYS * RELAY_WORDS + RELAY_PIPES * RELAY_PIPE_WORDS)
struct relays {
  const struct addon *addon;
  int32_t *table;
  uint32_t budget; /* bytes that are left for this turn of the loop */
  uint32_t first, queued;
  uint16_t queue[RELAYS]; /* slots of the notes that go on */
};
/*
 * Does what JavaScript has noted down for an event of `token`. True when JavaScript need not hear of the event; otherwise
 * `events` is what it is to hear.
 */
bool relay(struct relays *relays, uint64_t token, uint32_t *events);
/*
 * Goes on with those that are queued, within the budget: true for one of which JavaScript is to hear, and there may be more;
 * false when the queue is empty or the budget spent.
 */
bool relay_next(struct relays *relays, uint64_t *token);

/* Each file of calls adds its own. */
bool init_lifecycle(napi_env env, napi_value exports);
bool init_transfer(napi_env env, napi_value exports);
bool init_batch(napi_env env, napi_value exports);
bool init_move(napi_env env, napi_value exports);
bool init_options(napi_env env, napi_value exports);
bool init_pollset(napi_env env, napi_value exports);
bool init_poller(napi_env env, napi_value exports);
bool init_relay(napi_env env, napi_value exports);
bool init_signals(napi_env env, napi_value exports);
bool init_names(napi_env env, napi_value exports);
bool init_shared(napi_env env, napi_value exports);
bool init_lookups(napi_env env, napi_value exports);
bool init_local(napi_env env, napi_value exports);
bool init_constants(napi_env env, napi_value exports);

/* poller.c */
struct poller;
/* Ends the poller: its number is free at once, its descriptor is closed when its backend has let go of it. */
void poller_end(struct poller *poller);

#endif
