// Recording of system calls: the entries of the table of calls (sys/calls.ts) are replaced by functions that make the
// call and then write a record. Off, the table has the original entries, so recording costs nothing then.
//
// The wrappers run in the program's calls, so no failure of the inspector may come out of them: `observe` catches all.

import { clock } from "../builtins.js";
import { attachListener, callerLine, detachListener, type ObjectRecord, takeLine } from "../registry/index.js";
import { type Calls, calls } from "../sys/calls.js";
import { EAGAIN, EBADF } from "../sys/errno.js";
import { MSG_PEEK, SOCK_DGRAM } from "../sys/constants.js";
import { LITTLE, view } from "../sys/nativeInts.js";
import { CALL_NAMES, type CallExtras, type CallName, CallRing } from "./callRing.js";
import { addressDetail, listenDetail, optionDetail, shutdownDetail } from "./callDetails.js";
import { kindOfDescriptor } from "./kernelState.js";
import { SocketRow } from "./socketRow.js";

/** What gets the bytes that calls move, for a capture. */
export interface DataObserver {
  /** A call has moved bytes. `address` is the peer of a datagram, as a sockaddr. */
  moved(row: SocketRow, call: CallName, bytes: Uint8Array, sent: boolean, address: Uint8Array | undefined): void;
  /** Another call has returned. */
  called(row: SocketRow, call: CallName, result: number, detail: string): void;
}

export interface RecordingOptions {
  /** Records of the ring. */
  readonly records: number;
  /** Bytes of payload that are kept of a call; 0 keeps none. */
  readonly payload: number;
}

const CODE = Object.fromEntries(CALL_NAMES.map((name, code) => [name, code])) as Readonly<Record<CallName, number>>;
/** Calls that move data, of each socket, whose line is recorded whatever the traffic is. */
const FIRST_LINES = 4;

/** The sockets of the package have a descriptor, whatever class they have. */
interface HasDescriptor {
  readonly descriptor?: { readonly fd?: unknown };
}

type AnyCall = (...args: never[]) => unknown;

export class Recording {
  /** The table without the wrappers. */
  readonly kernel: Calls = { ...calls };
  /** The open sockets, by descriptor. */
  readonly rows: (SocketRow | undefined)[] = [];
  /** The ends that are closed and must stay in the table for a while. */
  readonly kept: Set<SocketRow> = new Set();
  readonly ring: CallRing;
  /** Numbers of rows that are gone since the table last looked. */
  readonly gone: number[] = [];
  observer: DataObserver | undefined;
  #active = true;
  #count = 0;
  /** When the last call returned. */
  #end = 0;
  readonly #payload: number;
  readonly #wrappers = new Map<keyof Calls, AnyCall>();
  readonly #listener = { made: (record: ObjectRecord): void => this.#guard(() => this.#made(record)) };

  constructor({ records, payload }: RecordingOptions) {
    this.ring = new CallRing(records);
    this.#payload = payload;
    attachListener(this.#listener);
    this.#wrapTransfers();
    this.#wrapOthers();
  }

  /** Puts the original entries back. An entry that other code has replaced meanwhile stays, and calls ours without a record. */
  stop(): void {
    this.#active = false;
    detachListener(this.#listener);
    for (const [name, wrapper] of this.#wrappers) {
      if ((calls[name] as unknown) === wrapper) (calls as unknown as Record<string, unknown>)[name] = this.kernel[name];
    }
    this.rows.length = 0;
    this.kept.clear();
  }

  /** The row of a descriptor. A socket from before the inspector gets one now. */
  rowOf(fd: number): SocketRow | undefined {
    return this.rows[fd] ?? this.#adopt(fd);
  }

  /** Makes a row for an object that has a descriptor of its own kind: a connection of TLS. */
  addRow(fd: number, family: number, type: number, protocol: number): SocketRow {
    const row = new SocketRow(++this.#count, fd, family, type, protocol, clock());
    return row;
  }

  #adopt(fd: number): SocketRow | undefined {
    if (!Number.isInteger(fd) || fd < 0) return undefined;
    const kind = kindOfDescriptor(this.kernel, fd);
    return kind === undefined ? undefined : this.#add(fd, kind.family, kind.type, kind.protocol);
  }

  #add(fd: number, family: number, type: number, protocol: number): SocketRow {
    const before = this.rows[fd];
    // Closed by other code.
    if (before !== undefined) this.#remove(before, false);
    const row = this.addRow(fd, family, type, protocol);
    this.rows[fd] = row;
    return row;
  }

  #remove(row: SocketRow, collected: boolean): void {
    this.rows[row.fd] = undefined;
    row.closed = clock();
    row.state = "closed";
    row.pending = [];
    if (collected) this.kept.add(row);
    else this.gone.push(row.number);
  }

  #made({ object, line, since }: ObjectRecord): void {
    const fd = (object.deref() as HasDescriptor | undefined)?.descriptor?.fd;
    if (typeof fd !== "number") return;
    const row = this.rowOf(fd);
    if (row === undefined) return;
    row.object = object;
    row.line = line;
    row.since = since;
  }

  /** The line of the call that runs now, if one may be recorded. */
  #line(row: SocketRow | undefined): string | undefined {
    if (row === undefined) return takeLine() ? callerLine() : undefined;
    if (row.watchers === 0 && row.lines >= FIRST_LINES && row.fruitless < 100) return undefined;
    if (!takeLine()) return undefined;
    row.lines++;
    return callerLine();
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch {
      // The program's call has succeeded or failed already; a record is missing.
    }
  }

  #set<Name extends keyof Calls>(name: Name, wrapper: Calls[Name]): void {
    this.#wrappers.set(name, wrapper as AnyCall);
    calls[name] = wrapper;
  }

  // ---- calls that move data

  #moved(
    fd: number,
    code: number,
    start: number,
    result: number,
    bytes: Uint8Array | undefined,
    sent: boolean,
    flags: number,
    address: Uint8Array | undefined,
    count: number = result,
  ): void {
    if (!this.#active) return;
    try {
      const end = clock();
      const row = this.rows[fd] ?? this.#adopt(fd);
      if (row === undefined) return;
      let line: string | undefined;
      if (row.watchers > 0 || row.lines < FIRST_LINES || row.fruitless >= 100) line = this.#line(row);
      if (result > 0 || (result === 0 && row.type === SOCK_DGRAM)) {
        const direction = sent ? row.sent : row.received;
        direction.bytes += count;
        direction.calls++;
        row.fruitful++;
        row.moved = end;
      } else {
        if (result === 0 && !sent) row.ended = true;
        row.fruitless++;
        row.fruitlessCall = CALL_NAMES[code]!;
        if (line !== undefined) row.fruitlessLine = line;
      }
      const moved = bytes === undefined || result <= 0 ? undefined : bytes.subarray(0, result);
      let extras: CallExtras | undefined;
      if (line !== undefined || (this.#payload > 0 && moved !== undefined)) {
        extras = {
          line,
          detail: address === undefined ? undefined : addressDetail(address),
          payload: this.#payload > 0 && moved !== undefined ? moved.slice(0, this.#payload) : undefined,
        };
      }
      this.ring.push(row, code, start, end - start, result, extras);
      if (this.observer !== undefined && moved !== undefined && (flags & MSG_PEEK) === 0) {
        this.observer.moved(row, CALL_NAMES[code]!, moved, sent, address);
      }
    } catch {
      // See #guard.
    }
  }

  #wrapTransfers(): void {
    const { kernel } = this;
    this.#set("recv", (fd, bytes, length, flags) => {
      const start = clock();
      const result =
        length === undefined
          ? kernel.recv(fd, bytes)
          : flags === undefined
            ? kernel.recv(fd, bytes, length)
            : kernel.recv(fd, bytes, length, flags);
      this.#moved(fd, CODE.recv, start, result, bytes, false, flags ?? 0, undefined);
      return result;
    });
    this.#set("recvAt", (fd, bytes, offset, length) => {
      const start = clock();
      const result = kernel.recvAt(fd, bytes, offset, length);
      const part = result > 0 && this.#wantsBytes ? bytes.subarray(offset) : undefined;
      this.#moved(fd, CODE.recv, start, result, part, false, 0, undefined);
      return result;
    });
    this.#set("send", (fd, bytes, offset, flags) => {
      const start = clock();
      const result =
        offset === undefined
          ? kernel.send(fd, bytes)
          : flags === undefined
            ? kernel.send(fd, bytes, offset)
            : kernel.send(fd, bytes, offset, flags);
      const part = offset === undefined || offset === 0 || !this.#wantsBytes ? bytes : bytes.subarray(offset);
      this.#moved(fd, CODE.send, start, result, part, true, 0, undefined);
      return result;
    });
    this.#set("recvfrom", (fd, bytes, length, flags, address) => {
      const start = clock();
      const result = kernel.recvfrom(fd, bytes, length, flags, address);
      this.#moved(
        fd,
        CODE.recvfrom,
        start,
        result,
        bytes,
        false,
        flags,
        result < 0 ? undefined : writtenAddress(address),
      );
      return result;
    });
    this.#set("sendto", (fd, bytes, flags, address) => {
      const start = clock();
      const result = kernel.sendto(fd, bytes, flags, address);
      this.#moved(fd, CODE.sendto, start, result, bytes, true, 0, address);
      return result;
    });
    this.#set("recvmsg", (fd, parts, flags, address, control, out) => {
      const start = clock();
      const result = kernel.recvmsg(fd, parts, flags, address, control, out);
      const from = address === null || result < 0 ? undefined : writtenAddress(address);
      this.#moved(fd, CODE.recvmsg, start, result, this.#joined(parts, 0, result), false, flags, from);
      return result;
    });
    this.#set("sendmsg", (fd, parts, skip, flags, address, control) => {
      const start = clock();
      const result = kernel.sendmsg(fd, parts, skip, flags, address, control);
      this.#moved(fd, CODE.sendmsg, start, result, this.#joined(parts, skip, result), true, 0, address ?? undefined);
      return result;
    });
    // The bytes of batches are not counted, and not kept.
    this.#set("recvmmsg", (fd, slab, table, control, flags) => {
      const start = clock();
      const result = kernel.recvmmsg(fd, slab, table, control, flags);
      this.#moved(fd, CODE.recvmmsg, start, result, undefined, false, flags, undefined, 0);
      return result;
    });
    this.#set("sendmmsg", (fd, slab, table, from, to, flags) => {
      const start = clock();
      const result = kernel.sendmmsg(fd, slab, table, from, to, flags);
      this.#moved(fd, CODE.sendmmsg, start, result, undefined, true, 0, undefined, 0);
      return result;
    });
    this.#set("sendfile", (out, file, offset, count) => {
      const start = clock();
      const result = kernel.sendfile(out, file, offset, count);
      this.#moved(out, CODE.sendfile, start, result, undefined, true, 0, undefined);
      return result;
    });
    this.#set("splice", (from, to, count) => {
      const start = clock();
      const result = kernel.splice(from, to, count);
      // One end is a pipe, and pipes have no row.
      const fromSocket = this.rows[from] !== undefined;
      this.#moved(fromSocket ? from : to, CODE.splice, start, result, undefined, !fromSocket, 0, undefined);
      return result;
    });
    this.#set("spliceThrough", (from, readEnd, writeEnd, to, chunkSize, budget, out, ...rest) => {
      const start = clock();
      const result = kernel.spliceThrough(from, readEnd, writeEnd, to, chunkSize, budget, out, ...rest);
      const counts = view(out);
      const [read, written] = [counts.getUint32(0, LITTLE), counts.getUint32(4, LITTLE)];
      this.#moved(from, CODE.splice, start, read > 0 ? read : result, undefined, false, 0, undefined);
      if (written > 0) this.#moved(to, CODE.splice, start, written, undefined, true, 0, undefined);
      return result;
    });
  }

  /** Whether any reader of the bytes exists. */
  get #wantsBytes(): boolean {
    return this.#payload > 0 || this.observer !== undefined;
  }

  #joined(parts: readonly Uint8Array[], skip: number, count: number): Uint8Array | undefined {
    if (count <= 0 || !this.#wantsBytes) return undefined;
    const [first] = parts;
    if (parts.length === 1 && first !== undefined) return skip === 0 ? first : first.subarray(skip);
    return Buffer.concat(parts as Uint8Array[]).subarray(skip);
  }

  // ---- calls that open, connect and close

  /** Writes the record of a call; the line of the program is that of the socket's making, or of this call. */
  #called(
    row: SocketRow | undefined,
    call: CallName,
    start: number,
    result: number,
    detail: string,
    line: string | undefined,
  ): void {
    if (row === undefined) return;
    this.ring.push(row, CODE[call], start, this.#end - start, result, { detail, line });
    this.observer?.called(row, call, result, detail);
  }

  #wrap<Name extends keyof Calls>(
    name: Name,
    after: (result: number, start: number, args: Parameters<Calls[Name]>) => void,
  ): void {
    const original = this.kernel[name] as (...args: Parameters<Calls[Name]>) => number;
    const wrapper = (...args: Parameters<Calls[Name]>): number => {
      if (!this.#active) return original(...args);
      const start = clock();
      const result = original(...args);
      this.#end = clock();
      try {
        after(result, start, args);
      } catch {
        // See #guard.
      }
      return result;
    };
    this.#set(name, wrapper as Calls[Name]);
  }

  #wrapOthers(): void {
    this.#wrap("socket", (fd, start, [family, type, protocol]) => {
      if (fd < 0) return;
      const row = this.#add(fd, family, type & 0xf, protocol);
      this.#called(row, "socket", start, fd, "", undefined);
    });
    this.#wrap("socketpair", (result, start, [family, type, protocol, pair]) => {
      if (result < 0) return;
      const numbers = view(pair);
      const [one, other] = [0, 4].map((at) =>
        this.#add(numbers.getInt32(at, LITTLE), family, type & 0xf, protocol),
      ) as [SocketRow, SocketRow];
      one.pair = other;
      other.pair = one;
      for (const row of [one, other]) this.#called(row, "socketpair", start, row.fd, "", undefined);
    });
    this.#wrap("accept", (fd, start, [listener]) => {
      const from = this.rowOf(listener);
      if (from === undefined) return;
      if (fd < 0) {
        from.fruitless++;
        from.fruitlessCall = "accept";
        this.#called(from, "accept", start, fd, "", undefined);
        return;
      }
      from.fruitful++;
      from.moved = start;
      const row = this.#add(fd, from.family, from.type, from.protocol);
      this.#called(from, "accept", start, fd, `new socket ${row.number}`, undefined);
      this.#called(row, "accept", start, fd, `of socket ${from.number}`, undefined);
    });
    this.#wrap("bind", (result, start, [fd, address]) => this.#addressed("bind", fd, start, result, address));
    this.#wrap("connect", (result, start, [fd, address]) => this.#addressed("connect", fd, start, result, address));
    this.#wrap("listen", (result, start, [fd, backlog]) => {
      const row = this.rowOf(fd);
      if (row !== undefined) row.addressesKnown = false;
      this.#called(row, "listen", start, result, listenDetail(backlog), this.#line(undefined));
    });
    this.#wrap("shutdown", (result, start, [fd, how]) =>
      this.#called(this.rowOf(fd), "shutdown", start, result, shutdownDetail(how), this.#line(undefined)),
    );
    this.#wrap("setsockopt", (result, start, [fd, level, name, value]) =>
      this.#called(
        this.rowOf(fd),
        "setsockopt",
        start,
        result,
        optionDetail(level, name, value),
        this.#line(undefined),
      ),
    );
    this.#wrap("close", (result, start, [fd]) => {
      const row = this.rows[fd];
      if (row === undefined || result === EBADF) return;
      const collected = row.object !== undefined && row.object.deref() === undefined;
      this.#called(
        row,
        "close",
        start,
        result,
        collected ? "by the collector" : "",
        collected ? undefined : this.#line(undefined),
      );
      this.#remove(row, collected);
    });
    this.#wrap("release", (result, start, [fd]) => {
      const row = this.rows[fd];
      if (row === undefined || result < 0) return;
      this.#called(row, "detach", start, result, "", this.#line(undefined));
      this.#remove(row, false);
    });
    this.#wrap("adopt", (result, start, [fd]) => {
      if (result < 0) return;
      const row = this.rowOf(fd);
      this.#called(row, "fromfd", start, result, "", undefined);
    });
    this.#wrap("dup", (fd, start, [from]) => {
      const of = this.rows[from];
      if (fd < 0) return;
      const row = of === undefined ? this.rowOf(fd) : this.#add(fd, of.family, of.type, of.protocol);
      this.#called(row, "dup", start, fd, of === undefined ? "" : `of socket ${of.number}`, undefined);
    });
  }

  #addressed(call: "bind" | "connect", fd: number, start: number, result: number, address: Uint8Array): void {
    const row = this.rowOf(fd);
    if (row === undefined) return;
    row.addressesKnown = false;
    if (result === EAGAIN) row.fruitless++;
    this.#called(row, call, start, result, addressDetail(address), this.#line(undefined));
  }
}

/** The sockaddr that a call wrote to an address buffer: a copy. */
function writtenAddress(buffer: Uint8Array): Uint8Array {
  const length = view(buffer).getUint32(0, LITTLE);
  return buffer.slice(4, 4 + Math.min(length, buffer.length - 4));
}
