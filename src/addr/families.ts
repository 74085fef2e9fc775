// The address families that have a class here, with their numbers in Linux (bits/socket.h, man 7 address_families).

/** No family. The resolver then returns any family. connect(2) with this family disconnects a datagram socket. */
export const AF_UNSPEC = 0;
/** Sockets on one machine, named by a path or an abstract name; unix(7). */
export const AF_UNIX = 1;
/** POSIX's name of `AF_UNIX`. */
export const AF_LOCAL = 1;
/** IPv4; ip(7). */
export const AF_INET = 2;
/** IPv6; ipv6(7). */
export const AF_INET6 = 10;
/** Messages to and from the kernel; netlink(7). */
export const AF_NETLINK = 16;
/** Frames of a device, below IP; packet(7). */
export const AF_PACKET = 17;
/** Between a virtual machine and its host; vsock(7). */
export const AF_VSOCK = 40;
