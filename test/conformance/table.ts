// The table: all rows, by man page.
import { accept, connect, create } from "./pages/connecting.js";
import { bind, getpeername, getsockname, listen, shutdown } from "./pages/naming.js";
import { databases, inet, resolver } from "./pages/names.js";
import { getsockopt, setsockopt } from "./pages/options.js";
import { poll, recv, recvmmsg, recvmsg } from "./pages/receiving.js";
import { send, sendfile, sendmmsg, sendmsg, splice } from "./pages/sending.js";
import { making, pairing } from "./pages/socket.js";
import type { Page, Row } from "./row.js";

export const pages: readonly Page[] = [
  making,
  pairing,
  bind,
  listen,
  getsockname,
  getpeername,
  shutdown,
  accept,
  connect,
  create,
  send,
  sendmsg,
  sendmmsg,
  sendfile,
  splice,
  recv,
  recvmsg,
  recvmmsg,
  poll,
  setsockopt,
  getsockopt,
  resolver,
  databases,
  inet,
];

export const rows: readonly Row[] = pages.flatMap((page) => page.rows);
