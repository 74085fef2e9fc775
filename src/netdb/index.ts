// Names: hosts, services, protocols, interfaces, and addresses as text. blockingNames.ts has the blocking forms of
// lookups.

export { type LookupOptions } from "./awaitLookup.js";
export { htonl, htons, ntohl, ntohs } from "./byteOrder.js";
export { gethostname, sethostname } from "./hostname.js";
export { getfqdn, gethostbyaddr, gethostbyname, gethostbyname_ex, type HostEntry } from "./hosts.js";
export { inet_aton, inet_ntoa, inet_ntop, inet_pton } from "./inet.js";
export { if_indextoname, if_nameindex, if_nametoindex } from "./interfaces.js";
export { has_dualstack_ipv6, has_ipv6 } from "./ipv6Support.js";
export { type AddrInfo, type AddrInfoHints, getaddrinfo, getnameinfo } from "./addrinfo.js";
export { getprotobyname, getservbyname, getservbyport } from "./services.js";
