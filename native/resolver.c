/*
 * The resolver: getaddrinfo(3), getnameinfo(3), gethostbyname2_r(3) and gethostbyaddr_r(3).
 *
 * Each call may take seconds. If its last argument is a function, a lookup thread runs the request (lookups.c) and the
 * call returns a ticket. The function is called later with the three parts of the result. Without a function, the call
 * blocks this thread and returns an array of the three parts:
 * - status, 0 or an EAI_ number, also for the calls that report h_errno
 * - errno, 0 unless the status is EAI_SYSTEM
 * - the value, null unless the status is 0
 */
#include "lookups.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* musl neither defines nor reports this h_errno value. There it is only an initial value in run_gethostby(). */
#ifndef NETDB_INTERNAL
#define NETDB_INTERNAL (-1)
#endif

/* Size of the largest buffer that run_gethostby() tries for the names and addresses of one host. */
#define HOST_BUFFER_MAX (1 << 20)

/* Most systems are configured so that the C library searches this file before it queries a server; hosts(5). */
#define HOSTS_FILE "/etc/hosts"

struct request {
  struct lookup lookup; /* must be the first member: pointers to it are cast to pointers to the request */
  void (*run)(struct request *);
  napi_value (*create_value)(napi_env, const struct request *);
  /* arguments; each call uses some of them */
  char *host, *service;
  struct addrinfo hints;
  struct sockaddr_storage address;
  socklen_t address_length;
  uint8_t address_bytes[sizeof(struct in6_addr)];
  int family, flags;
  /* results */
  int status, error;
  struct addrinfo *addresses;
  char name[NI_MAXHOST], port[NI_MAXSERV];
  struct hostent entry;
  char *buffer;
};

static void free_request(struct request *request) {
  if (request->addresses != NULL) freeaddrinfo(request->addresses);
  free(request->host);
  free(request->service);
  free(request->buffer);
  free(request);
}

static bool set_element(napi_env env, napi_value object, uint32_t index, napi_value value) {
  return value != NULL && napi_set_element(env, object, index, value) == napi_ok;
}

static napi_value js_bytes(napi_env env, const void *data, size_t length) {
  napi_value buffer, view;
  void *copy;
  if (napi_create_arraybuffer(env, length, &copy, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &view) != napi_ok) {
    return NULL;
  }
  if (length > 0) memcpy(copy, data, length);
  return view;
}

/* Stores status, errno and value | null in `parts`. Returns false on failure, mostly with an exception pending. */
static bool create_result(napi_env env, struct request *request, napi_value parts[3]) {
  parts[2] = request->status == 0 ? request->create_value(env, request) : NULL;
  if (parts[2] == NULL) {
    bool pending = false;
    if (request->status == 0) request->status = EAI_MEMORY; /* Node-API could not create the value. */
    if (napi_is_exception_pending(env, &pending) != napi_ok || pending) return false;
    if (napi_get_null(env, &parts[2]) != napi_ok) return false;
  }
  parts[0] = js_number(env, request->status);
  parts[1] = js_number(env, request->error);
  return parts[0] != NULL && parts[1] != NULL;
}

/* Runs a request on this thread and returns the array of its result. Frees the request. */
static napi_value resolve_now(napi_env env, struct request *request) {
  napi_value parts[3], result = NULL;
  request->run(request);
  if (create_result(env, request, parts) &&
      (napi_create_array_with_length(env, 3, &result) != napi_ok || !set_element(env, result, 0, parts[0]) ||
       !set_element(env, result, 1, parts[1]) || !set_element(env, result, 2, parts[2]))) {
    result = NULL;
  }
  free_request(request);
  return result;
}

/*
 * Runs a request on a lookup thread if the arguments have a function at `callback_index`, otherwise on this thread.
 * Takes ownership of the request.
 */
static napi_value resolve(const struct args *args, size_t callback_index, struct request *request) {
  napi_env env = args->env;
  napi_valuetype type;
  if (callback_index >= args->count) return resolve_now(env, request);
  if (napi_typeof(env, args->values[callback_index], &type) != napi_ok || type != napi_function) {
    free_request(request);
    napi_throw_type_error(env, NULL, "Cannot make a native call: callback is not a function, required a function");
    return NULL;
  }
  int64_t ticket = start_lookup(env, &request->lookup, args->values[callback_index]);
  if (ticket < 0) free_request(request);
  return js_number(env, ticket);
}

static void run_request(struct lookup *lookup) {
  struct request *request = (struct request *)lookup;
  request->run(request);
}

static void fail_request(struct lookup *lookup) { ((struct request *)lookup)->status = EAI_AGAIN; }

static bool create_request_result(napi_env env, struct lookup *lookup, napi_value parts[3]) {
  return create_result(env, (struct request *)lookup, parts);
}

static void destroy_request(struct lookup *lookup) { free_request((struct request *)lookup); }

/* Whether the hosts file has an entry for `name`, or for `address` if `name` is NULL. */
static bool is_in_hosts_file(const char *name, int family, const void *address, size_t length) {
  FILE *file = fopen(HOSTS_FILE, "re");
  char *line = NULL;
  size_t capacity = 0;
  bool found = false;
  if (file == NULL) return false;
  while (!found && getline(&line, &capacity, file) >= 0) {
    uint8_t bytes[sizeof(struct in6_addr)];
    char *next = NULL;
    line[strcspn(line, "#")] = 0; /* removes the comment */
    const char *word = strtok_r(line, " \t\r\n", &next);
    if (name == NULL) {
      found = word != NULL && inet_pton(family, word, bytes) == 1 && memcmp(bytes, address, length) == 0;
    } else if (word != NULL) {
      while (!found && (word = strtok_r(NULL, " \t\r\n", &next)) != NULL) found = strcasecmp(word, name) == 0;
    }
  }
  free(line);
  fclose(file);
  return found;
}

/* Whether a lookup needs no server: its host is numeric or in HOSTS_FILE. The estimate only selects the thread. */
static bool is_local(const struct lookup *lookup) {
  const struct request *request = (const struct request *)lookup;
  struct in_addr unused;
  if (request->host != NULL) {
    return (request->hints.ai_flags & AI_NUMERICHOST) != 0 || strchr(request->host, ':') != NULL ||
           inet_aton(request->host, &unused) != 0 || is_in_hosts_file(request->host, 0, NULL, 0);
  }
  if (request->family != 0) /* gethostbyaddr(3); the rest is for getnameinfo(3), or getaddrinfo(3) without a host */
    return is_in_hosts_file(NULL, request->family, request->address_bytes, request->address_length);
  const struct sockaddr *address = (const struct sockaddr *)&request->address;
  if ((request->flags & NI_NUMERICHOST) != 0) return true;
  if (address->sa_family == AF_INET) {
    return is_in_hosts_file(NULL, AF_INET, &((const struct sockaddr_in *)address)->sin_addr, sizeof(struct in_addr));
  }
  if (address->sa_family == AF_INET6) {
    return is_in_hosts_file(NULL, AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr,
                            sizeof(struct in6_addr));
  }
  /* getaddrinfo(3) without a host, and addresses that getnameinfo(3) refuses */
  return true;
}

/* Stores the outcome of a call of the C library. `shortage`: the result of descriptor_shortage() before the call. */
static void set_outcome(struct request *request, int status, int error, int shortage) {
  request->status = lookup_outcome(status, &error, shortage);
  request->error = request->status == EAI_SYSTEM ? error : 0;
}

static void run_getaddrinfo(struct request *request) {
  int shortage = descriptor_shortage();
  errno = 0;
  int status = getaddrinfo(request->host, request->service, &request->hints, &request->addresses);
  set_outcome(request, status, errno, shortage);
}

/* [family, type, protocol, sockaddr, canonname | null] for each entry of the list */
static napi_value create_address_list(napi_env env, const struct request *request) {
  napi_value result;
  uint32_t count = 0;
  if (napi_create_array(env, &result) != napi_ok) return NULL;
  for (const struct addrinfo *item = request->addresses; item != NULL; item = item->ai_next) {
    napi_value entry;
    if (napi_create_array_with_length(env, 5, &entry) != napi_ok ||
        !set_element(env, entry, 0, js_number(env, item->ai_family)) ||
        !set_element(env, entry, 1, js_number(env, item->ai_socktype)) ||
        !set_element(env, entry, 2, js_number(env, item->ai_protocol)) ||
        !set_element(env, entry, 3, js_bytes(env, item->ai_addr, item->ai_addrlen)) ||
        !set_element(env, entry, 4, js_string_or_null(env, item->ai_canonname)) ||
        !set_element(env, result, count++, entry)) {
      return NULL;
    }
  }
  return result;
}

static void run_getnameinfo(struct request *request) {
  int shortage = descriptor_shortage();
  errno = 0;
  int status = getnameinfo((struct sockaddr *)&request->address, request->address_length, request->name,
                           sizeof request->name, request->port, sizeof request->port, request->flags);
  set_outcome(request, status, errno, shortage);
}

/* [host, service] */
static napi_value create_names(napi_env env, const struct request *request) {
  napi_value result;
  if (napi_create_array_with_length(env, 2, &result) != napi_ok ||
      !set_element(env, result, 0, js_string_or_null(env, request->name)) ||
      !set_element(env, result, 1, js_string_or_null(env, request->port))) {
    return NULL;
  }
  return result;
}

/* Converts an h_errno number to the EAI_ number of the same cause. */
static int eai_from_h_errno(int h_error) {
  switch (h_error) {
    case TRY_AGAIN:
      return EAI_AGAIN;
    case NO_RECOVERY:
      return EAI_FAIL;
#ifdef EAI_NODATA
    case NO_DATA:
      return EAI_NODATA;
#endif
    case NETDB_INTERNAL:
      return EAI_SYSTEM;
    default:
      return EAI_NONAME;
  }
}

/* Looks up `host`, or the address if `host` is NULL. Repeats the call with a larger buffer on ERANGE. */
static void run_gethostby(struct request *request) {
  int error = ERANGE, h_error = NETDB_INTERNAL, shortage = descriptor_shortage();
  struct hostent *found = NULL;
  for (size_t size = 1024; error == ERANGE && found == NULL && size <= HOST_BUFFER_MAX; size *= 2) {
    free(request->buffer);
    request->buffer = malloc(size);
    if (request->buffer == NULL) {
      request->status = EAI_MEMORY;
      return;
    }
    error = request->host != NULL ? gethostbyname2_r(request->host, request->family, &request->entry, request->buffer,
                                                     size, &found, &h_error)
                                  : gethostbyaddr_r(request->address_bytes, request->address_length, request->family,
                                                    &request->entry, request->buffer, size, &found, &h_error);
  }
  if (found != NULL) return;
  set_outcome(request, eai_from_h_errno(h_error), error, shortage);
}

static napi_value js_strings(napi_env env, char *const *list) {
  napi_value result;
  uint32_t count = 0;
  if (napi_create_array(env, &result) != napi_ok) return NULL;
  for (; list != NULL && *list != NULL; list++) {
    if (!set_element(env, result, count++, js_string_or_null(env, *list))) return NULL;
  }
  return result;
}

/* [name, [alias, …], [bytes of an address, …]] */
static napi_value create_host(napi_env env, const struct request *request) {
  napi_value result, addresses;
  uint32_t count = 0;
  const struct hostent *entry = &request->entry;
  if (napi_create_array(env, &addresses) != napi_ok) return NULL;
  for (char *const *item = entry->h_addr_list; item != NULL && *item != NULL; item++) {
    if (!set_element(env, addresses, count++, js_bytes(env, *item, (size_t)entry->h_length))) return NULL;
  }
  if (napi_create_array_with_length(env, 3, &result) != napi_ok ||
      !set_element(env, result, 0, js_string_or_null(env, entry->h_name)) ||
      !set_element(env, result, 1, js_strings(env, entry->h_aliases)) || !set_element(env, result, 2, addresses)) {
    return NULL;
  }
  return result;
}

static struct request *new_request(void (*run)(struct request *),
                                   napi_value (*create_value)(napi_env, const struct request *)) {
  struct request *request = calloc(1, sizeof *request);
  if (request == NULL) return NULL;
  request->lookup = (struct lookup){
      .run = run_request,
      .is_local = is_local,
      .fail = fail_request,
      .create_result = create_request_result,
      .destroy = destroy_request,
  };
  request->run = run;
  request->create_value = create_value;
  return request;
}

/* getaddrinfo(host | null, service | null, family, type, protocol, flags, callback?) */
static napi_value call_getaddrinfo(napi_env env, napi_callback_info info) {
  struct args args;
  if (!read_args(env, info, 6, &args)) return NULL;
  struct request *request = new_request(run_getaddrinfo, create_address_list);
  if (request == NULL) return js_number(env, -ENOMEM);
  struct addrinfo *hints = &request->hints;
  if (!arg_string(&args, 0, &request->host) || !arg_string(&args, 1, &request->service) ||
      !arg_i32(&args, 2, &hints->ai_family) || !arg_i32(&args, 3, &hints->ai_socktype) ||
      !arg_i32(&args, 4, &hints->ai_protocol) || !arg_i32(&args, 5, &hints->ai_flags)) {
    free_request(request);
    return NULL;
  }
  return resolve(&args, 6, request);
}

/* getnameinfo(address, flags, callback?) */
static napi_value call_getnameinfo(napi_env env, napi_callback_info info) {
  struct args args;
  if (!read_args(env, info, 2, &args)) return NULL;
  struct request *request = new_request(run_getnameinfo, create_names);
  if (request == NULL) return js_number(env, -ENOMEM);
  const struct sockaddr *address;
  if (!arg_address(&args, 0, &address, &request->address_length) || !arg_i32(&args, 1, &request->flags)) {
    free_request(request);
    return NULL;
  }
  if (request->address_length > 0) memcpy(&request->address, address, request->address_length);
  return resolve(&args, 2, request);
}

/* gethostbyname(host, family, callback?) */
static napi_value call_gethostbyname(napi_env env, napi_callback_info info) {
  struct args args;
  if (!read_args(env, info, 2, &args)) return NULL;
  struct request *request = new_request(run_gethostby, create_host);
  if (request == NULL) return js_number(env, -ENOMEM);
  if (!arg_string(&args, 0, &request->host) || !arg_i32(&args, 1, &request->family)) {
    free_request(request);
    return NULL;
  }
  /* glibc has an assertion that the family is AF_INET or AF_INET6. */
  if (request->host == NULL || (request->family != AF_INET && request->family != AF_INET6)) {
    free_request(request);
    return js_number(env, -EINVAL);
  }
  return resolve(&args, 2, request);
}

/* gethostbyaddr(bytes, family, callback?) */
static napi_value call_gethostbyaddr(napi_env env, napi_callback_info info) {
  struct args args;
  uint8_t *address_bytes;
  size_t length;
  if (!read_args(env, info, 2, &args)) return NULL;
  struct request *request = new_request(run_gethostby, create_host);
  if (request == NULL) return js_number(env, -ENOMEM);
  if (!arg_bytes(&args, 0, &address_bytes, &length) || !arg_i32(&args, 1, &request->family)) {
    free_request(request);
    return NULL;
  }
  bool valid = (request->family == AF_INET && length == sizeof(struct in_addr)) ||
               (request->family == AF_INET6 && length == sizeof(struct in6_addr));
  if (!valid) {
    free_request(request);
    return js_number(env, -EINVAL);
  }
  memcpy(request->address_bytes, address_bytes, length);
  request->address_length = (socklen_t)length;
  return resolve(&args, 2, request);
}

/* gaiStrerror(status) -> text */
static napi_value call_gai_strerror(napi_env env, napi_callback_info info) {
  struct args args;
  int32_t status;
  if (!read_args(env, info, 1, &args) || !arg_i32(&args, 0, &status)) return NULL;
  return js_string_or_null(env, gai_strerror(status));
}

bool init_resolver(napi_env env, napi_value exports) {
  static const struct exported_function functions[] = {
      {"getaddrinfo", call_getaddrinfo},     {"getaddrinfoSync", call_getaddrinfo},
      {"getnameinfo", call_getnameinfo},     {"getnameinfoSync", call_getnameinfo},
      {"gethostbyname", call_gethostbyname}, {"gethostbynameSync", call_gethostbyname},
      {"gethostbyaddr", call_gethostbyaddr}, {"gethostbyaddrSync", call_gethostbyaddr},
      {"gaiStrerror", call_gai_strerror},
  };
  return EXPORT_FUNCTIONS(env, exports, functions);
}
