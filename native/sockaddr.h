/*
 * Socket addresses are passed as the bytes of a sockaddr. The kernel writes an address into a buffer of at least
 * ADDRESS_BUFFER_SIZE bytes: first the length as a 32-bit number in host byte order, then the sockaddr.
 */
#ifndef BERKELEY_SOCKADDR_H
#define BERKELEY_SOCKADDR_H

#include "values.h"

#include <sys/socket.h>

#define ADDRESS_BUFFER_SIZE (sizeof(uint32_t) + sizeof(struct sockaddr_storage))
bool arg_address(const struct args *args, size_t index, const struct sockaddr **address, socklen_t *length);
bool arg_address_buffer(const struct args *args, size_t index, uint8_t **buffer);
void write_address(uint8_t *buffer, const struct sockaddr_storage *address, socklen_t length);

#endif
