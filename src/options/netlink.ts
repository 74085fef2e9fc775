// Options of the level SOL_NETLINK, netlink(7), in the order of their numbers. "Delivers X" means: recvmsg() returns X
// as control data.

import * as k from "../sys/constants.js";
import { decodeUints } from "./socketStructs.js";
import { booleanOption, readOnlyOption, withoutGet, type SocketOption, uintOption } from "./option.js";

/** The level of all options in this file. */
const L = k.SOL_NETLINK;
/** Bytes of the buffer for NETLINK_LIST_MEMBERSHIPS: one bit for each of 4096 groups. */
const GROUPS_SIZE = 512;

/** Joins a group, such as `RTNLGRP_LINK`. */
export const NETLINK_ADD_MEMBERSHIP: SocketOption<never, number> = withoutGet(
  uintOption("NETLINK_ADD_MEMBERSHIP", L, k.NETLINK_ADD_MEMBERSHIP),
);
/** Leaves a group. */
export const NETLINK_DROP_MEMBERSHIP: SocketOption<never, number> = withoutGet(
  uintOption("NETLINK_DROP_MEMBERSHIP", L, k.NETLINK_DROP_MEMBERSHIP),
);
/** Delivers the group of each message. */
export const NETLINK_PKTINFO: SocketOption<boolean, boolean> = booleanOption("NETLINK_PKTINFO", L, k.NETLINK_PKTINFO);
/** Reports an error to the sender in the kernel if a multicast message does not fit into the receive buffer. */
export const NETLINK_BROADCAST_ERROR: SocketOption<boolean, boolean> = booleanOption(
  "NETLINK_BROADCAST_ERROR",
  L,
  k.NETLINK_BROADCAST_ERROR,
);
/** Suppresses the error `ENOBUFS`, which reports that messages were lost because the receive buffer was full. */
export const NETLINK_NO_ENOBUFS: SocketOption<boolean, boolean> = booleanOption(
  "NETLINK_NO_ENOBUFS",
  L,
  k.NETLINK_NO_ENOBUFS,
);
/** Receives the messages of all network namespaces that have an id in this one. */
export const NETLINK_LISTEN_ALL_NSID: SocketOption<boolean, boolean> = booleanOption(
  "NETLINK_LISTEN_ALL_NSID",
  L,
  k.NETLINK_LISTEN_ALL_NSID,
);
/** The groups that the socket has joined, in order. */
export const NETLINK_LIST_MEMBERSHIPS: SocketOption<number[], never> = readOnlyOption(
  "NETLINK_LIST_MEMBERSHIPS",
  L,
  k.NETLINK_LIST_MEMBERSHIPS,
  GROUPS_SIZE,
  (bytes) => {
    const groups: number[] = [];
    // The lowest bit of the first word stands for group 1.
    decodeUints(bytes).forEach((word, index) => {
      for (let bit = 0; bit < 32; bit++) if ((word >>> bit) & 1) groups.push(32 * index + bit + 1);
    });
    return groups;
  },
);
/** Acknowledgements do not contain the payload of the request. */
export const NETLINK_CAP_ACK: SocketOption<boolean, boolean> = booleanOption("NETLINK_CAP_ACK", L, k.NETLINK_CAP_ACK);
/** Acknowledgements contain attributes that explain an error. */
export const NETLINK_EXT_ACK: SocketOption<boolean, boolean> = booleanOption("NETLINK_EXT_ACK", L, k.NETLINK_EXT_ACK);
/** Checks requests for dumps strictly, and applies their filters. */
export const NETLINK_GET_STRICT_CHK: SocketOption<boolean, boolean> = booleanOption(
  "NETLINK_GET_STRICT_CHK",
  L,
  k.NETLINK_GET_STRICT_CHK,
);
