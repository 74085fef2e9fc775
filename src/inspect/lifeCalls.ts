// The wrappers of the calls that open, connect and close sockets.

import { EAGAIN, EBADF } from "../sys/errno.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { addressDetail, listenDetail, optionDetail, shutdownDetail } from "./callDetails.js";
import type { Recording } from "./recording.js";
import type { SocketRow } from "./socketRow.js";

/** Replaces the calls that open, connect and close sockets. */
export function wrapLifeCalls(recording: Recording): void {
  // `type & 0xf` is the type without SOCK_CLOEXEC and SOCK_NONBLOCK.
  recording.wrap("socket", (fd, start, [family, type, protocol]) => {
    if (fd < 0) return;
    const row = recording.add(fd, family, type & 0xf, protocol);
    recording.recordCall(row, "socket", start, fd, "", undefined);
  });
  recording.wrap("socketpair", (result, start, [family, type, protocol, pair]) => {
    if (result < 0) return;
    const numbers = view(pair);
    const [one, other] = [0, 4].map((at) =>
      recording.add(numbers.getInt32(at, LITTLE_ENDIAN), family, type & 0xf, protocol),
    ) as [SocketRow, SocketRow];
    one.pair = other;
    other.pair = one;
    for (const row of [one, other]) recording.recordCall(row, "socketpair", start, row.fd, "", undefined);
  });
  recording.wrap("accept", (fd, start, [listener]) => {
    const from = recording.rowOf(listener);
    if (from === undefined) return;
    if (fd < 0) {
      from.emptyCalls++;
      from.emptyCall = "accept";
      recording.recordCall(from, "accept", start, fd, "", undefined);
      return;
    }
    from.movingCalls++;
    from.movedAt = start;
    const row = recording.add(fd, from.family, from.type, from.protocol);
    row.listener = from;
    recording.recordCall(from, "accept", start, fd, `new socket ${row.number}`, undefined);
    recording.recordCall(row, "accept", start, fd, `of socket ${from.number}`, undefined);
  });
  recording.wrap("bind", (result, start, [fd, address]) =>
    recordAddressed(recording, "bind", fd, start, result, address),
  );
  recording.wrap("connect", (result, start, [fd, address]) =>
    recordAddressed(recording, "connect", fd, start, result, address),
  );
  recording.wrap("listen", (result, start, [fd, backlog]) => {
    const row = recording.rowOf(fd);
    if (row !== undefined) row.addressesKnown = false;
    recording.recordCall(row, "listen", start, result, listenDetail(backlog), recording.takeLine());
  });
  recording.wrap("shutdown", (result, start, [fd, how]) =>
    recording.recordCall(recording.rowOf(fd), "shutdown", start, result, shutdownDetail(how), recording.takeLine()),
  );
  recording.wrap("setsockopt", (result, start, [fd, level, name, value]) =>
    recording.recordCall(
      recording.rowOf(fd),
      "setsockopt",
      start,
      result,
      optionDetail(level, name, value),
      recording.takeLine(),
    ),
  );
  recording.wrap(
    "close",
    (result, start, [fd]) => {
      const row = recording.rows[fd];
      if (row === undefined || result === EBADF) return;
      const collected = row.object !== undefined && row.object.deref() === undefined;
      const detail = collected ? "by the collector" : "";
      recording.recordCall(row, "close", start, result, detail, collected ? undefined : recording.takeLine());
      recording.remove(row, collected);
    },
    ([fd]) => {
      const row = recording.rows[fd];
      if (row !== undefined) recording.observer?.onClosing(row);
    },
  );
  recording.wrap("release", (result, start, [fd]) => {
    const row = recording.rows[fd];
    if (row === undefined || result < 0) return;
    recording.recordCall(row, "detach", start, result, "", recording.takeLine());
    if (row.line !== undefined) recording.givenAway.set(fd, row.line);
    recording.remove(row, false);
  });
  recording.wrap("adopt", (result, start, [fd]) => {
    if (result < 0) return;
    const row = recording.rowOf(fd);
    recording.recordCall(row, "fromfd", start, result, "", undefined);
  });
  recording.wrap("dup", (fd, start, [from]) => {
    const of = recording.rows[from];
    if (fd < 0) return;
    const row = of === undefined ? recording.rowOf(fd) : recording.add(fd, of.family, of.type, of.protocol);
    recording.recordCall(row, "dup", start, fd, of === undefined ? "" : `of socket ${of.number}`, undefined);
  });
}

/** Records a bind() or connect(). */
function recordAddressed(
  recording: Recording,
  call: "bind" | "connect",
  fd: number,
  start: number,
  result: number,
  address: Uint8Array,
): void {
  const row = recording.rowOf(fd);
  if (row === undefined) return;
  row.addressesKnown = false;
  if (result === EAGAIN) row.emptyCalls++;
  recording.recordCall(row, call, start, result, addressDetail(address), recording.takeLine());
}
