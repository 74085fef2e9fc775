/*
 * The state of one environment, and the functions that the files of the addon share.
 *
 * Every call takes numbers and byte views, checks their bounds, makes a system call and returns a number >= 0 or
 * -errno. Exceptions:
 *   resolver.c, netdb.c   return results of the C library's name functions: strings, lists and bytes.
 *   splice.c, relay.c     make several system calls in a row. A return to JavaScript between them would cost more than
 *                         the system calls.
 *   poller.c, signals.c   openPoller() takes a function and returns an array. countSignal() takes a text.
 * No call creates a promise, and no call throws when a system call fails. A wrong argument (not a number, a range
 * outside its view) is a bug in our own TypeScript: the call throws a TypeError or RangeError, and accesses no memory
 * outside the view.
 *
 * All state belongs to the instance data of one environment (`struct addon`), so each worker thread has its own state.
 * The exceptions are constant facts of the process (process.c), and the signal handlers, which belong to the process
 * (alarm.c, signals.c).
 */
#ifndef BERKELEY_ADDON_H
#define BERKELEY_ADDON_H

#include <node_api.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

/* An array that grow_array() makes longer. New items are 0. */
struct u64_array {
  uint64_t *items;
  size_t length;
};

struct poller;
struct lookups;

struct addon {
  napi_env env;
  /* Indexed by poller number; unused entries are NULL. */
  struct poller **pollers;
  size_t poller_count;
  struct lookups *lookups; /* NULL before the first lookup */
  /* One bit per descriptor number. A set bit means that this environment owns the descriptor. */
  struct u64_array owned;
  /* Indexed by descriptor number: the file identity of a shared descriptor, 0 for any other. descriptors.c */
  struct u64_array shared;
  timer_t alarm; /* valid if `has_alarm` is set; alarm.c */
  bool has_alarm;
  bool ended; /* the environment is ending: a call that would open a poller or start a lookup returns -ECANCELED */
};

struct addon *get_addon(napi_env env);

/* process.c */

/*
 * Keeps this library mapped until the process ends. Node.js unloads an addon when the last worker that loaded it ends.
 * So this function must be called before code of the addon runs outside an environment, as a signal handler or on a
 * detached thread. Returns false on failure.
 */
bool pin_library(void);
/* Starts a thread that blocks every signal, so that only threads of the runtime handle signals. Returns 0 or -errno. */
int start_thread(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data);

/* values.c */

/* Limits of the number of arguments, and of the optional ones among them. */
#define MAX_ARGS 12
#define MAX_OPTIONAL_ARGS 2
struct args {
  napi_env env;
  size_t count;
  napi_value values[MAX_ARGS];
};

/* If an argument is missing or wrong, these functions return false, with a TypeError or RangeError pending. */
bool read_args(napi_env env, napi_callback_info info, size_t required, struct args *args);
bool arg_i32(const struct args *args, size_t index, int32_t *out);
bool arg_u32(const struct args *args, size_t index, uint32_t *out);
/* An integer from 0 to 2^53-1. */
bool arg_offset(const struct args *args, size_t index, int64_t *out);
/* The bytes of a byte view, such as a Uint8Array or Buffer. A detached or out-of-bounds view has length 0. */
bool arg_bytes(const struct args *args, size_t index, uint8_t **data, size_t *length);
/* arg_bytes() for a value that is not an argument, such as an element of an array. */
bool value_bytes(napi_env env, napi_value value, uint8_t **data, size_t *length);
/*
 * A string as an allocated C string; null and undefined as NULL. A string that contains NUL is refused, because C would
 * read only the part before NUL.
 */
bool arg_string(const struct args *args, size_t index, char **out);

napi_value js_number(napi_env env, int64_t value);
napi_value js_string_or_null(napi_env env, const char *string);

/* Converts the result of a system call: -errno if it failed. Must follow the call directly, before errno can change. */
static inline int64_t result_or_errno(int64_t value) { return value >= 0 ? value : -(int64_t)errno; }

/*
 * Both functions call the JavaScript function `callback`, and return true if it returned normally. If it throws, the
 * exception becomes an uncaught exception. call_js_from_node_api() is for callbacks of Node-API (a threadsafe
 * function), after which the runtime runs the microtasks. call_js_from_uv() is for callbacks of libuv, after which the
 * runtime does not run them. So it also runs the microtasks.
 */
bool call_js_from_node_api(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);
bool call_js_from_uv(napi_env env, napi_ref callback, size_t count, const napi_value *arguments);

struct exported_function {
  const char *name;
  napi_callback function;
};
bool export_functions(napi_env env, napi_value exports, const struct exported_function *functions, size_t count);
#define EXPORT_FUNCTIONS(env, exports, functions) \
  export_functions(env, exports, functions, sizeof(functions) / sizeof((functions)[0]))

/*
 * Socket addresses are passed to calls as the bytes of a sockaddr. Calls return an address in an address buffer of at
 * least ADDRESS_BUFFER_SIZE bytes: first the length as a 32-bit number in host byte order, then the sockaddr.
 */
#define ADDRESS_BUFFER_SIZE (sizeof(uint32_t) + sizeof(struct sockaddr_storage))
bool arg_address(const struct args *args, size_t index, const struct sockaddr **address, socklen_t *length);
bool arg_address_buffer(const struct args *args, size_t index, uint8_t **buffer, size_t *length);
void write_address(uint8_t *buffer, const struct sockaddr_storage *address, socklen_t length);

/* descriptors.c */

/* Grows the array so that it has an item at `index`. Returns false if there is no memory. */
bool grow_array(struct u64_array *array, size_t index);
/* Records fd as owned by this environment, and as not shared. Returns fd, or -ENOMEM. */
int own(struct addon *addon, int fd);
/* own() for a new descriptor: closes it on failure. */
int own_new(struct addon *addon, int fd);
/* own_new() for two new descriptors. Returns 0. On failure closes both and returns -ENOMEM. */
int own_new_pair(struct addon *addon, const int fds[2]);
/* Removes the descriptor from the record of owned descriptors, and does not close it. */
void disown(struct addon *addon, int fd);
bool owns(const struct addon *addon, int fd);
/* Closes the owned descriptors whose numbers still belong to their files. */
void close_owned(struct addon *addon);

/* Records an owned descriptor as shared. Returns the identity of its file, a number above 0, or -errno. */
int64_t mark_shared(struct addon *addon, int fd);
/* Whether the number belongs to the file with this identity. */
bool has_identity(int fd, int64_t identity);
static inline bool is_shared(const struct addon *addon, int fd) {
  return (size_t)fd < addon->shared.length && addon->shared.items[fd] != 0;
}
/* Whether the number of a shared descriptor no longer belongs to its file, because other code has closed it. */
bool is_replaced(const struct addon *addon, int fd);
bool is_blocking(int fd);
/* Whether a call without MSG_DONTWAIT could block, because other code has cleared O_NONBLOCK. */
static inline bool may_block(const struct addon *addon, int fd) { return is_shared(addon, fd) && is_blocking(fd); }
/* Calls poll(2) without waiting. Returns false only if poll(2) reports none of the events, no error and no hang-up. */
bool is_ready(int fd, short events);
void free_shared(struct addon *addon);

/* alarm.c */

/*
 * Between start_alarm() and stop_alarm(), a system call of this thread that blocks fails with EINTR after one
 * millisecond. start_alarm() returns 0, or -1 with errno set. stop_alarm() does not change errno.
 */
int start_alarm(struct addon *addon);
void stop_alarm(struct addon *addon);
void delete_alarm(struct addon *addon);

/* sendrecv.c: control messages */

/* The kernel has SCM_PIDFD since 6.5. Older headers of C libraries lack it. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/*
 * Returns the next control message, or NULL. Replaces CMSG_NXTHDR(), because that of some C libraries compares signed
 * with unsigned numbers, and does not check that cmsg_len stays inside the control data.
 */
static inline struct cmsghdr *next_control(const struct msghdr *message, struct cmsghdr *control) {
  size_t left = (size_t)message->msg_controllen - (size_t)((uint8_t *)control - (uint8_t *)message->msg_control);
  size_t length = control->cmsg_len;
  if (length < sizeof *control || length > left) return NULL;
  size_t step = (length + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1); /* `length` and the padding */
  if (step > left || left - step < sizeof *control) return NULL;
  return (struct cmsghdr *)((uint8_t *)control + step);
}

static inline bool carries_descriptors(const struct cmsghdr *control) {
  return control->cmsg_level == SOL_SOCKET && (control->cmsg_type == SCM_RIGHTS || control->cmsg_type == SCM_PIDFD);
}

/*
 * Called after a receiving call on fd has failed. Returns whether the caller must repeat the call without
 * MSG_CMSG_CLOEXEC: errno is EINVAL and fd is a packet socket. A packet socket refuses the flag with EINVAL, and never
 * delivers descriptors. Does not change errno.
 */
bool refuses_cloexec(int fd);

/* splice.c */

/*
 * A transfer of fewer bytes is copied, because splice(2) then costs more than a copy. relay.c switches a flow to
 * copying after such a transfer. src/ops/spliceOperation.ts has the same number.
 */
#define SPLICE_THRESHOLD (16u << 10)

/* Flags of splice_through(), the same as in src/ops/spliceOperation.ts. */

/* Copy first, and use splice(2) after a read of SPLICE_THRESHOLD bytes. */
#define SPLICE_COPY_FIRST 1u
/* A recv(2) that returned fewer bytes than requested has emptied the source. A further recv(2) is not needed. */
#define SPLICE_SHORT_READ_IS_EMPTY 2u
/* The peer has ended the connection: a recv(2) that returned fewer bytes than requested has received the last bytes. */
#define SPLICE_SHORT_READ_IS_END 4u
/* Copy all bytes: one of the sockets is blocking, so splice(2) could block. */
#define SPLICE_COPY_ALL 8u

/* A result of splice_through(). */
#define BUDGET_SPENT 1

/* The progress of splice_through(). If both counts are equal, the pipe is empty. */
struct splice_progress {
  uint32_t received; /* bytes taken from the source */
  uint32_t sent;     /* bytes that the destination accepted */
};

/*
 * Fills the pipe, which must be empty, from `source`, and then empties the pipe into `destination`. Repeats both steps
 * until an operation fails or `budget` bytes were received. `capacity` is the capacity of the pipe. Returns
 * BUDGET_SPENT, 0 at the end of `source`, or -errno.
 */
int64_t splice_through(int source, int read_end, int write_end, int destination, uint32_t capacity, uint32_t budget,
                       uint32_t flags, struct splice_progress *progress);

/* Each function adds the calls of one file to the exports. */
bool init_socket(napi_env env, napi_value exports);
bool init_descriptors(napi_env env, napi_value exports);
bool init_sendrecv(napi_env env, napi_value exports);
bool init_batch(napi_env env, napi_value exports);
bool init_splice(napi_env env, napi_value exports);
bool init_sockopt(napi_env env, napi_value exports);
bool init_poll(napi_env env, napi_value exports);
bool init_poller(napi_env env, napi_value exports);
bool init_relay(napi_env env, napi_value exports);
bool init_signals(napi_env env, napi_value exports);
bool init_resolver(napi_env env, napi_value exports);
bool init_lookups(napi_env env, napi_value exports);
bool init_netdb(napi_env env, napi_value exports);
bool init_constants(napi_env env, napi_value exports);

#endif
