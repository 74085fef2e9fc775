// Options of the level IPPROTO_IPV6, ipv6(7). In the order of their numbers.

import * as k from "../constants.js";
import { booleanOption, type SocketOption } from "./option.js";

/** Whether an IPv6 socket leaves IPv4 alone (no `::ffff:a.b.c.d`). */
export const IPV6_V6ONLY: SocketOption<boolean, boolean> = booleanOption("IPV6_V6ONLY", k.IPPROTO_IPV6, k.IPV6_V6ONLY);
