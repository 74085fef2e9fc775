/* Names for which no name server is queried (services, protocols, interfaces, the host name), and inet_aton(3). */
#include "addon.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Size of the largest buffer that run_query() tries for one entry of a database. */
#define ENTRY_BUFFER_MAX (1 << 20)

/* The arguments of a query. Each query uses some of them. */
struct query {
  char *name, *protocol;
  int port;
};

/* The result of a query: a number, or a string inside the buffer. */
struct entry {
  bool found;
  int number;
  const char *string;
};

/* Reads one entry from a database. Returns 0 or an errno; ERANGE means that the buffer is too small. */
typedef int (*query_function)(const struct query *query, char *buffer, size_t size, struct entry *entry);

/*
 * Runs a query and frees its strings. Returns the number or the string of the entry, -ENOENT if the database has no
 * such entry, or another -errno.
 */
static napi_value run_query(napi_env env, struct query *query, query_function run) {
  struct entry entry = {0};
  char *buffer = NULL;
  int error = ERANGE;
  for (size_t size = 1024; error == ERANGE && size <= ENTRY_BUFFER_MAX; size *= 2) {
    free(buffer);
    buffer = malloc(size);
    error = buffer == NULL ? ENOMEM : run(query, buffer, size, &entry);
  }
  napi_value result;
  if (error != 0) result = js_number(env, -error);
  else if (!entry.found) result = js_number(env, -ENOENT);
  else result = entry.string != NULL ? js_string_or_null(env, entry.string) : js_number(env, entry.number);
  free(buffer);
  free(query->name);
  free(query->protocol);
  return result;
}

/* For a protocol other than tcp and udp, musl returns EINVAL and glibc finds no entry. Callers get ENOENT from both. */
static int map_protocol_error(int error) {
#ifdef __GLIBC__
  return error;
#else
  return error == EINVAL ? ENOENT : error;
#endif
}

static int find_service(const struct query *query, char *buffer, size_t size, struct entry *entry) {
  struct servent service, *found = NULL;
  int error = getservbyname_r(query->name, query->protocol, &service, buffer, size, &found);
  entry->found = found != NULL;
  if (found != NULL) entry->number = ntohs((uint16_t)found->s_port);
  return map_protocol_error(error);
}

static int find_port(const struct query *query, char *buffer, size_t size, struct entry *entry) {
  struct servent service, *found = NULL;
  int error = getservbyport_r(htons((uint16_t)query->port), query->protocol, &service, buffer, size, &found);
  entry->found = found != NULL;
  if (found != NULL) entry->string = found->s_name;
  return map_protocol_error(error);
}

static int find_protocol(const struct query *query, char *buffer, size_t size, struct entry *entry) {
#ifdef __GLIBC__
  struct protoent protocol, *found = NULL;
  int error = getprotobyname_r(query->name, &protocol, buffer, size, &found);
  entry->found = found != NULL;
  if (found != NULL) entry->number = found->p_proto;
  return error;
#else
  /*
   * musl has no getprotobyname_r(). Its getprotobyname() uses an index into a built-in table and returns a static
   * entry. All threads share the index and the entry, so the mutex covers the call and the use of the entry.
   */
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  (void)buffer, (void)size;
  pthread_mutex_lock(&mutex);
  const struct protoent *found = getprotobyname(query->name);
  entry->found = found != NULL;
  if (found != NULL) entry->number = found->p_proto;
  pthread_mutex_unlock(&mutex);
  return 0;
#endif
}

/* getservbyname(name, protocol | null) -> port | -errno */
static napi_value call_getservbyname(napi_env env, napi_callback_info info) {
  struct args args;
  struct query query = {0};
  if (!read_args(env, info, 2, &args)) return NULL;
  if (!arg_string(&args, 0, &query.name) || !arg_string(&args, 1, &query.protocol)) {
    free(query.name);
    return NULL;
  }
  if (query.name == NULL) {
    free(query.protocol);
    return js_number(env, -EINVAL);
  }
  return run_query(env, &query, find_service);
}

/* getservbyport(port, protocol | null) -> name | -errno */
static napi_value call_getservbyport(napi_env env, napi_callback_info info) {
  struct args args;
  struct query query = {0};
  if (!read_args(env, info, 2, &args) || !arg_i32(&args, 0, &query.port) || !arg_string(&args, 1, &query.protocol)) {
    return NULL;
  }
  return run_query(env, &query, find_port);
}

/* getprotobyname(name) -> number | -errno */
static napi_value call_getprotobyname(napi_env env, napi_callback_info info) {
  struct args args;
  struct query query = {0};
  if (!read_args(env, info, 1, &args) || !arg_string(&args, 0, &query.name)) return NULL;
  if (query.name == NULL) return js_number(env, -EINVAL);
  return run_query(env, &query, find_protocol);
}

/* if_nametoindex(name) -> index | -errno */
static napi_value call_if_nametoindex(napi_env env, napi_callback_info info) {
  struct args args;
  char *name;
  if (!read_args(env, info, 1, &args) || !arg_string(&args, 0, &name)) return NULL;
  if (name == NULL) return js_number(env, -ENODEV);
  unsigned int index = if_nametoindex(name);
  int error = errno;
  free(name);
  return js_number(env, index == 0 ? -error : (int64_t)index);
}

/* if_indextoname(index) -> name | -errno */
static napi_value call_if_indextoname(napi_env env, napi_callback_info info) {
  struct args args;
  uint32_t index;
  char name[IF_NAMESIZE];
  if (!read_args(env, info, 1, &args) || !arg_u32(&args, 0, &index)) return NULL;
  if (if_indextoname(index, name) == NULL) return js_number(env, -errno);
  return js_string_or_null(env, name);
}

/* if_nameindex() -> [index, name, index, name, …] | -errno */
static napi_value call_if_nameindex(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value result;
  uint32_t count = 0;
  struct if_nameindex *list = if_nameindex();
  if (list == NULL) return js_number(env, -errno);
  bool ok = napi_create_array(env, &result) == napi_ok;
  for (struct if_nameindex *item = list; ok && item->if_index != 0; item++) {
    napi_value index = js_number(env, item->if_index), name = js_string_or_null(env, item->if_name);
    ok = index != NULL && name != NULL && napi_set_element(env, result, count++, index) == napi_ok &&
         napi_set_element(env, result, count++, name) == napi_ok;
  }
  if_freenameindex(list);
  return ok ? result : NULL;
}

/* gethostname() -> text | -errno */
static napi_value call_gethostname(napi_env env, napi_callback_info info) {
  (void)info;
  char name[NI_MAXHOST];
  if (gethostname(name, sizeof name) < 0) return js_number(env, -errno);
  name[sizeof name - 1] = '\0';
  return js_string_or_null(env, name);
}

/* sethostname(name) -> 0 | -errno */
static napi_value call_sethostname(napi_env env, napi_callback_info info) {
  struct args args;
  char *name;
  if (!read_args(env, info, 1, &args) || !arg_string(&args, 0, &name)) return NULL;
  if (name == NULL) return js_number(env, -EINVAL);
  int64_t result = result_or_errno(sethostname(name, strlen(name)));
  free(name);
  return js_number(env, result);
}

/* inet_aton(string) -> the address as a number in host byte order | -EINVAL */
static napi_value call_inet_aton(napi_env env, napi_callback_info info) {
  struct args args;
  char *string;
  struct in_addr address;
  if (!read_args(env, info, 1, &args) || !arg_string(&args, 0, &string)) return NULL;
  bool ok = string != NULL && inet_aton(string, &address) != 0;
  free(string);
  return js_number(env, ok ? (int64_t)ntohl(address.s_addr) : -EINVAL);
}

bool init_netdb(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"getservbyname", call_getservbyname},   {"getservbyport", call_getservbyport},
      {"getprotobyname", call_getprotobyname}, {"if_nametoindex", call_if_nametoindex},
      {"if_indextoname", call_if_indextoname}, {"if_nameindex", call_if_nameindex},
      {"gethostname", call_gethostname},       {"sethostname", call_sethostname},
      {"inet_aton", call_inet_aton},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
