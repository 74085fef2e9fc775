// The multicast options of RFC 3678 for both IPv4 and IPv6. Each option has the same number in the levels IPPROTO_IP
// and IPPROTO_IPV6. The family of the group determines the level.

import * as k from "../sys/constants.js";
import {
  encodeGroupMembership,
  encodeGroupSource,
  type GroupMembership,
  groupOption,
  type GroupSource,
  type GroupSourceFilterOption,
  groupSourceFilterOption,
} from "./multicast.js";
import type { SocketOption } from "./option.js";

/** Joins a multicast group of IPv4 or IPv6. `EADDRINUSE` if the socket has already joined it. */
export const MCAST_JOIN_GROUP: SocketOption<never, GroupMembership> = groupOption(
  "MCAST_JOIN_GROUP",
  k.MCAST_JOIN_GROUP,
  encodeGroupMembership,
);
/** Blocks one source of a group that the socket has joined. */
export const MCAST_BLOCK_SOURCE: SocketOption<never, GroupSource> = groupOption(
  "MCAST_BLOCK_SOURCE",
  k.MCAST_BLOCK_SOURCE,
  encodeGroupSource,
);
/** Unblocks a source of a group. `EADDRNOTAVAIL` if the source was not blocked. */
export const MCAST_UNBLOCK_SOURCE: SocketOption<never, GroupSource> = groupOption(
  "MCAST_UNBLOCK_SOURCE",
  k.MCAST_UNBLOCK_SOURCE,
  encodeGroupSource,
);
/** Leaves a multicast group, with all its sources. */
export const MCAST_LEAVE_GROUP: SocketOption<never, GroupMembership> = groupOption(
  "MCAST_LEAVE_GROUP",
  k.MCAST_LEAVE_GROUP,
  encodeGroupMembership,
);
/** Joins a multicast group for one source. If the socket has joined it for other sources, this source is added. */
export const MCAST_JOIN_SOURCE_GROUP: SocketOption<never, GroupSource> = groupOption(
  "MCAST_JOIN_SOURCE_GROUP",
  k.MCAST_JOIN_SOURCE_GROUP,
  encodeGroupSource,
);
/** Removes a source of a group. Removing the last source leaves the group. */
export const MCAST_LEAVE_SOURCE_GROUP: SocketOption<never, GroupSource> = groupOption(
  "MCAST_LEAVE_SOURCE_GROUP",
  k.MCAST_LEAVE_SOURCE_GROUP,
  encodeGroupSource,
);
/** Sets all sources of a group at once. To read the sources: `getsockopt(MCAST_MSFILTER.of(group, interface))`. */
export const MCAST_MSFILTER: GroupSourceFilterOption = groupSourceFilterOption("MCAST_MSFILTER", k.MCAST_MSFILTER);
