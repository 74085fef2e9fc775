// The wrappers of the calls that open, connect and close sockets.

import { EAGAIN, EBADF } from "../sys/errno.js";
import { LITTLE_ENDIAN, view } from "../sys/nativeInts.js";
import { addressDetail, listenDetail, optionDetail, shutdownDetail } from "./callDetails.js";
import type { Recording } from "./recording.js";
import type { SocketRow } from "./socketRow.js";

/** The bits of the type of a socket without SOCK_CLOEXEC and SOCK_NONBLOCK. */
const TYPE_MASK = 0xf;

/** Replaces the calls that open, connect and close sockets. */
export function wrapLifeCalls(recording: Recording): void {
  recording.wrap("socket", (fd, start, [family, type, protocol]) => {
    if (fd < 0) return;
    const row = recording.add(fd, family, type & TYPE_MASK, protocol);
    recording.recordCall(row, "socket", start, fd);
  });
  recording.wrap("socketpair", (result, start, [family, type, protocol, pair]) => {
    if (result < 0) return;
    const descriptors = view(pair);
    // Each descriptor takes 4 bytes.
    const [one, other] = [0, 4].map((at) =>
      recording.add(descriptors.getInt32(at, LITTLE_ENDIAN), family, type & TYPE_MASK, protocol),
    ) as [SocketRow, SocketRow];
    one.pair = other;
    other.pair = one;
    for (const row of [one, other]) recording.recordCall(row, "socketpair", start, row.fd);
  });
  recording.wrap("accept", (fd, start, [listenerFd]) => {
    const listener = recording.rowOf(listenerFd);
    if (listener === undefined) return;
    if (fd < 0) {
      listener.countEmpty("accept", undefined);
      recording.recordCall(listener, "accept", start, fd);
      return;
    }
    listener.movingCalls++;
    listener.movedAt = start;
    const row = recording.add(fd, listener.family, listener.type, listener.protocol);
    row.listener = listener;
    recording.recordCall(listener, "accept", start, fd, `new socket ${row.number}`);
    recording.recordCall(row, "accept", start, fd, `of socket ${listener.number}`);
  });
  for (const call of ["bind", "connect"] as const) {
    recording.wrap(call, (result, start, [fd, address]) => {
      const row = recording.rowOf(fd);
      if (row === undefined) return;
      row.addressesKnown = false;
      const line = recording.takeLine();
      if (result === EAGAIN) row.countEmpty(call, line);
      recording.recordCall(row, call, start, result, addressDetail(address), line);
    });
  }
  recording.wrap("listen", (result, start, [fd, backlog]) => {
    const row = recording.rowOf(fd);
    // listen() binds a socket that has no address yet.
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
      // The kernel has released the descriptor, unless the error is EBADF.
      if (row === undefined || result === EBADF) return;
      row.collected = row.object !== undefined && row.object.deref() === undefined;
      const line = row.collected ? undefined : recording.takeLine();
      recording.recordCall(row, "close", start, result, row.collected ? "by the collector" : "", line);
      recording.remove(row);
    },
    ([fd]) => {
      const row = recording.rows[fd];
      if (row !== undefined) recording.observer?.onClosing(row);
    },
  );
  // After release(), the addon does not own the descriptor any more.
  recording.wrap("release", (result, start, [fd]) => {
    const row = recording.rows[fd];
    if (row === undefined || result < 0) return;
    recording.recordCall(row, "detach", start, result, "", recording.takeLine());
    if (row.line !== undefined) recording.linesOfReleased.set(fd, row.line);
    recording.remove(row);
  });
  // After adopt(), the addon owns a descriptor that other code has opened.
  recording.wrap("adopt", (result, start, [fd]) => {
    if (result < 0) return;
    const row = recording.rowOf(fd);
    recording.recordCall(row, "fromfd", start, result);
  });
  recording.wrap("dup", (fd, start, [originalFd]) => {
    if (fd < 0) return;
    const original = recording.rows[originalFd];
    const row =
      original === undefined
        ? recording.rowOf(fd)
        : recording.add(fd, original.family, original.type, original.protocol);
    const detail = original === undefined ? "" : `of socket ${original.number}`;
    recording.recordCall(row, "dup", start, fd, detail);
  });
}
