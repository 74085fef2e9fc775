/* Socket addresses across the seam: the bytes of a sockaddr, in both directions. */
#include "sockaddr.h"

#include <string.h>

bool arg_address(const struct args *args, size_t index, const struct sockaddr **address, socklen_t *length) {
  uint8_t *data;
  size_t size;
  if (!arg_bytes(args, index, &data, &size)) return false;
  if (size > sizeof(struct sockaddr_storage)) {
    napi_throw_range_error(args->env, NULL, "a socket address is at most as long as sockaddr_storage");
    return false;
  }
  *address = (const struct sockaddr *)data;
  *length = (socklen_t)size;
  return true;
}

bool arg_address_buffer(const struct args *args, size_t index, uint8_t **buffer) {
  size_t size;
  if (!arg_bytes(args, index, buffer, &size)) return false;
  if (size < ADDRESS_BUFFER_SIZE) {
    napi_throw_range_error(args->env, NULL, "the room for a socket address is too small");
    return false;
  }
  return true;
}

void write_address(uint8_t *buffer, const struct sockaddr_storage *address, socklen_t length) {
  /* An UNIX address may be one byte longer than what was asked for: the kernel says so, and copies what fits. */
  uint32_t stored = length > sizeof *address ? (uint32_t)sizeof *address : (uint32_t)length;
  memcpy(buffer, &stored, sizeof stored);
  memcpy(buffer + sizeof stored, address, stored);
}
