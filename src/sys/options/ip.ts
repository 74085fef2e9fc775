// Options of the level IPPROTO_IP, ip(7). In the order of their numbers.

import * as k from "../constants.js";
import { intOption, type SocketOption } from "./option.js";

/** The type-of-service byte: DSCP and ECN. */
export const IP_TOS: SocketOption<number, number> = intOption("IP_TOS", k.IPPROTO_IP, k.IP_TOS, 0, 255);
/** Hops that a packet may take; -1 is the system's default. */
export const IP_TTL: SocketOption<number, number> = intOption("IP_TTL", k.IPPROTO_IP, k.IP_TTL, -1, 255);
