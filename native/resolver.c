/*
 * The resolver: getaddrinfo(3), getnameinfo(3), gethostbyname2_r(3) and gethostbyaddr_r(3).
 *
 * Each may take seconds. With a function as the last argument a question is asked on a thread of lookups.c and answered
 * through that function, and the call returns a ticket; without one it blocks this thread and the answer is what the call
 * returns. Both give the same three things: a status (0 or an EAI_ number, also for the calls whose own numbers are those of
 * h_errno), an errno, which counts with EAI_SYSTEM, and the result or null.
 */
#include "lookups.h"
#include "sockaddr.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A C library without it, such as musl, never stores it: then it only means "no attempt has stored a reason yet". */
#ifndef NETDB_INTERNAL
#define NETDB_INTERNAL (-1)
#endif

/* What the C library may want for the names and addresses of one host. */
#define HOST_BUFFER_MAX (1 << 20)

/* The file that the C library looks names up in before it asks a server, where the system is set up so; hosts(5). */
#define HOSTS_FILE "/etc/hosts"

struct request {
  struct lookup lookup; /* first: each is taken for the other */
  void (*run)(struct request *);
  napi_value (*result)(napi_env, const struct request *);
  /* what is asked */
  char *host, *service;
  struct addrinfo hints;
  struct sockaddr_storage address;
  socklen_t address_length;
  uint8_t raw[sizeof(struct in6_addr)];
  int family, flags;
  /* what is answered */
  int status, error;
  struct addrinfo *found;
  char name[NI_MAXHOST], port[NI_MAXSERV];
  struct hostent entry;
  char *buffer;
};

static void free_request(struct request *request) {
  if (request->found != NULL) freeaddrinfo(request->found);
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

/* [status, errno, result | null] */
static bool create_result(napi_env env, struct request *request, napi_value parts[3]) {
  if (request->status != 0 || (parts[2] = request->result(env, request)) == NULL) {
    bool pending = false;
    if (request->status == 0) request->status = EAI_MEMORY;
    if (napi_is_exception_pending(env, &pending) != napi_ok || pending) return false;
    if (napi_get_null(env, &parts[2]) != napi_ok) return false;
  }
  parts[0] = js_number(env, request->status);
  parts[1] = js_number(env, request->error);
  return parts[0] != NULL && parts[1] != NULL;
}

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

/* Asks now or, if there is a function at `callback`, on another thread. Owns the question in either case. */
static napi_value resolve(const struct args *args, size_t callback, struct request *request) {
  napi_env env = args->env;
  napi_valuetype type;
  if (callback >= args->count) return resolve_now(env, request);
  if (napi_typeof(env, args->values[callback], &type) != napi_ok || type != napi_function) {
    free_request(request);
    napi_throw_type_error(env, NULL, "a native call takes a function here");
    return NULL;
  }
  int64_t ticket = start_lookup(env, &request->lookup, args->values[callback]);
  if (ticket < 0) free_request(request);
  return js_number(env, ticket);
}

static void run_lookup(struct lookup *lookup) {
  struct request *request = (struct request *)lookup;
  request->run(request);
}

static void fail_lookup(struct lookup *lookup) { ((struct request *)lookup)->status = EAI_AGAIN; }

static bool create_lookup_result(napi_env env, struct lookup *lookup, napi_value parts[3]) {
  return create_result(env, (struct request *)lookup, parts);
}

static void destroy_lookup(struct lookup *lookup) { free_request((struct request *)lookup); }

/* Whether a line of the file of hosts begins with the address, or has the name. */
static bool is_in_hosts_file(const char *name, int family, const void *address, size_t length) {
  FILE *file = fopen(HOSTS_FILE, "re");
  char *line = NULL;
  size_t capacity = 0;
  bool found = false;
  if (file == NULL) return false;
  while (!found && getline(&line, &capacity, file) >= 0) {
    uint8_t bytes[sizeof(struct in6_addr)];
    char *rest = NULL;
    line[strcspn(line, "#")] = 0;
    const char *word = strtok_r(line, " \t\r\n", &rest);
    if (name == NULL) {
      found = word != NULL && inet_pton(family, word, bytes) == 1 && memcmp(bytes, address, length) == 0;
    } else if (word != NULL) {
      while (!found && (word = strtok_r(NULL, " \t\r\n", &rest)) != NULL) found = strcasecmp(word, name) == 0;
    }
  }
  free(line);
  fclose(file);
  return found;
}

/* Whether the C library can answer by itself. A guess that only decides which thread asks it. */
static bool is_local(const struct lookup *lookup) {
  const struct request *request = (const struct request *)lookup;
  struct in_addr unused;
  if (request->host != NULL) {
    return (request->hints.ai_flags & AI_NUMERICHOST) != 0 || strchr(request->host, ':') != NULL ||
           inet_aton(request->host, &unused) != 0 || is_in_hosts_file(request->host, 0, NULL, 0);
  }
  if (request->family != 0) return is_in_hosts_file(NULL, request->family, request->raw, request->address_length);
  const struct sockaddr *address = (const struct sockaddr *)&request->address;
  if ((request->flags & NI_NUMERICHOST) != 0) return true;
  if (address->sa_family == AF_INET) {
    return is_in_hosts_file(NULL, AF_INET, &((const struct sockaddr_in *)address)->sin_addr, sizeof(struct in_addr));
  }
  if (address->sa_family == AF_INET6) {
    return is_in_hosts_file(NULL, AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, sizeof(struct in6_addr));
  }
  /* getaddrinfo(3) without a host, and what getnameinfo(3) refuses. */
  return true;
}

static void run_getaddrinfo(struct request *request) {
  request->status = getaddrinfo(request->host, request->service, &request->hints, &request->found);
  request->error = request->status == EAI_SYSTEM ? errno : 0;
}

/* [family, type, protocol, sockaddr, canonname | null] for each entry of the list. */
static napi_value addrinfo_result(napi_env env, const struct request *request) {
  napi_value result;
  uint32_t count = 0;
  if (napi_create_array(env, &result) != napi_ok) return NULL;
  for (const struct addrinfo *item = request->found; item != NULL; item = item->ai_next) {
    napi_value entry;
    if (napi_create_array_with_length(env, 5, &entry) != napi_ok ||
        !set_element(env, entry, 0, js_number(env, item->ai_family)) || !set_element(env, entry, 1, js_number(env, item->ai_socktype)) ||
        !set_element(env, entry, 2, js_number(env, item->ai_protocol)) ||
        !set_element(env, entry, 3, js_bytes(env, item->ai_addr, item->ai_addrlen)) ||
        !set_element(env, entry, 4, js_string_or_null(env, item->ai_canonname)) || !set_element(env, result, count++, entry)) {
      return NULL;
    }
  }
  return result;
}

static void run_getnameinfo(struct request *request) {
  request->status =
      getnameinfo((struct sockaddr *)&request->address, request->address_length, request->name,
                  sizeof request->name, request->port, sizeof request->port, request->flags);
  request->error = request->status == EAI_SYSTEM ? errno : 0;
}

/* [host, service] */
static napi_value nameinfo_result(napi_env env, const struct request *request) {
  napi_value result;
  if (napi_create_array_with_length(env, 2, &result) != napi_ok ||
      !set_element(env, result, 0, js_string_or_null(env, request->name)) ||
      !set_element(env, result, 1, js_string_or_null(env, request->port))) {
    return NULL;
  }
  return result;
}

/* h_errno has the same four reasons under numbers of its own. */
static int eai_from_h_errno(int h_error) {
  switch (h_error) {
    case TRY_AGAIN: return EAI_AGAIN;
    case NO_RECOVERY: return EAI_FAIL;
#ifdef EAI_NODATA
    case NO_DATA: return EAI_NODATA;
#endif
    case NETDB_INTERNAL: return EAI_SYSTEM;
    default: return EAI_NONAME;
  }
}

/* By name if there is one, otherwise by address; again with more room as long as there is too little. */
static void run_gethostby(struct request *request) {
  int error = ERANGE, h_error = NETDB_INTERNAL;
  struct hostent *found = NULL;
  for (size_t size = 1024; error == ERANGE && found == NULL && size <= HOST_BUFFER_MAX; size *= 2) {
    free(request->buffer);
    request->buffer = malloc(size);
    if (request->buffer == NULL) {
      request->status = EAI_MEMORY;
      return;
    }
    error = request->host != NULL ? gethostbyname2_r(request->host, request->family, &request->entry,
                                                      request->buffer, size, &found, &h_error)
                                   : gethostbyaddr_r(request->raw, request->address_length, request->family,
                                                     &request->entry, request->buffer, size, &found, &h_error);
  }
  if (found != NULL) return;
  request->status = eai_from_h_errno(h_error);
  request->error = request->status == EAI_SYSTEM ? error : 0;
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
static napi_value hostent_result(napi_env env, const struct request *request) {
  napi_value result, addresses;
  uint32_t count = 0;
  const struct hostent *entry = &request->entry;
  if (napi_create_array(env, &addresses) != napi_ok) return NULL;
  for (char *const *item = entry->h_addr_list; item != NULL && *item != NULL; item++) {
    if (!set_element(env, addresses, count++, js_bytes(env, *item, (size_t)entry->h_length))) return NULL;
  }
  if (napi_create_array_with_length(env, 3, &result) != napi_ok ||
      !set_element(env, result, 0, js_string_or_null(env, entry->h_name)) || !set_element(env, result, 1, js_strings(env, entry->h_aliases)) ||
      !set_element(env, result, 2, addresses)) {
    return NULL;
  }
  return result;
}

static struct request *new_request(void (*run)(struct request *),
                                     napi_value (*result)(napi_env, const struct request *)) {
  struct request *request = calloc(1, sizeof *request);
  if (request == NULL) return NULL;
  request->lookup = (struct lookup){
      .run = run_lookup,
      .is_local = is_local,
      .fail = fail_lookup,
      .create_result = create_lookup_result,
      .destroy = destroy_lookup,
  };
  request->run = run;
  request->result = result;
  return request;
}

/* getaddrinfo(host | null, service | null, family, type, protocol, flags, callback?) */
static napi_value call_getaddrinfo(napi_env env, napi_callback_info info) {
  struct args args;
  if (!read_args(env, info, 6, &args)) return NULL;
  struct request *request = new_request(run_getaddrinfo, addrinfo_result);
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
  struct request *request = new_request(run_getnameinfo, nameinfo_result);
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
  struct request *request = new_request(run_gethostby, hostent_result);
  if (request == NULL) return js_number(env, -ENOMEM);
  if (!arg_string(&args, 0, &request->host) || !arg_i32(&args, 1, &request->family)) {
    free_request(request);
    return NULL;
  }
  /* glibc asserts that it is one of these two. */
  if (request->host == NULL || (request->family != AF_INET && request->family != AF_INET6)) {
    free_request(request);
    return js_number(env, -EINVAL);
  }
  return resolve(&args, 2, request);
}

/* gethostbyaddr(bytes, family, callback?) */
static napi_value call_gethostbyaddr(napi_env env, napi_callback_info info) {
  struct args args;
  uint8_t *raw;
  size_t length;
  if (!read_args(env, info, 2, &args)) return NULL;
  struct request *request = new_request(run_gethostby, hostent_result);
  if (request == NULL) return js_number(env, -ENOMEM);
  if (!arg_bytes(&args, 0, &raw, &length) || !arg_i32(&args, 1, &request->family)) {
    free_request(request);
    return NULL;
  }
  size_t required = request->family == AF_INET    ? sizeof(struct in_addr)
                    : request->family == AF_INET6 ? sizeof(struct in6_addr)
                                                   : 0;
  if (required == 0 || length != required) {
    free_request(request);
    return js_number(env, -EINVAL);
  }
  memcpy(request->raw, raw, length);
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
