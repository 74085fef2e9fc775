// The errors of the library. A leaf: it imports nothing. Codes are listed in docs/errors.md.

/** What a {@link SocketError} may know beside its code: where the call was going, how far it came, and why. */
export interface SocketErrorDetails {
  /** Host part of the address that the call was given. */
  readonly address?: string | undefined;
  /** Port of the address that the call was given. */
  readonly port?: number | undefined;
  /** Path of the UNIX address that the call was given. */
  readonly path?: string | undefined;
  /** What had gone out when a call was cut short: bytes, unless `unit` says otherwise. */
  readonly transferred?: number | undefined;
  /** What `transferred` counts. */
  readonly unit?: "bytes" | "datagrams" | undefined;
  /** The error behind this one. */
  readonly cause?: unknown;
}

// An error of another copy of the package is one all the same: each class has a mark, under a symbol that all copies share, and
// `instanceof` looks for that. Subclasses of users have none of their own, and are looked for as always.
const MARKS: Readonly<Record<string, symbol>> = Object.fromEntries(
  ["SocketError", "TimeoutError", "BusyError", "LimitError", "IncompleteReadError", "FrameError", "TlsError"].map(
    (name) => [name, Symbol.for(`berkeley.${name}`)],
  ),
);

// oxlint-disable-next-line typescript/unbound-method -- it is called with the class that is asked
const ordinary = Function.prototype[Symbol.hasInstance];

function mark(own: { readonly name: string; readonly prototype: object }): void {
  const symbol = MARKS[own.name]!;
  Object.defineProperty(own.prototype, symbol, { value: true });
  Object.defineProperty(own, Symbol.hasInstance, {
    value(this: unknown, value: unknown): boolean {
      if (this !== own) return ordinary.call(this, value);
      return typeof value === "object" && value !== null && symbol in value;
    },
  });
}

/**
 * A system call that the kernel refused, or a wait that was cut short.
 *
 * `code` is the stable name (`"ECONNREFUSED"`), `errno` its negative number as Node has it, `syscall` the call as its man
 * page spells it. The message has Node's shape: `connect ECONNREFUSED 127.0.0.1:8888`.
 *
 * Two codes are also made here, without a call: `ETIMEDOUT` when a `timeout` ran out, which is a {@link TimeoutError}, and
 * `ECANCELED` when the socket was closed during the call.
 *
 * @see errno(3)
 * @example
 * ```ts
 * import { Socket, SocketError } from "berkeley";
 *
 * await using socket = new Socket();
 * try {
 *   await socket.recv(1);
 * } catch (error) {
 *   if (error instanceof SocketError) console.log(error.code); // prints: ENOTCONN
 * }
 * ```
 */
export class SocketError extends Error {
  /** Stable name of the error, as errno(3) spells it. */
  readonly code: string;
  /** The number behind `code`, negative. */
  readonly errno: number;
  /** The call that failed. */
  readonly syscall: string;
  // Declared, not defined: what an error does not know is no property of it.
  declare readonly address?: string;
  declare readonly port?: number;
  declare readonly path?: string;
  /** Bytes that had gone out when a `sendAll`, a `sendfile` or a splice was cut short; datagrams of a `sendmmsg`. */
  declare readonly transferred?: number;

  constructor(code: string, errno: number, syscall: string, details?: SocketErrorDetails) {
    super(describe(code, syscall, details), details?.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    if (details === undefined) return;
    if (details.address !== undefined) this.address = details.address;
    if (details.port !== undefined) this.port = details.port;
    if (details.path !== undefined) this.path = details.path;
    if (details.transferred !== undefined) this.transferred = details.transferred;
  }

  static {
    SocketError.prototype.name = "SocketError";
    mark(SocketError);
  }
}

/**
 * A deadline of the caller passed: the `timeout` of a call, of a socket, or a named limit such as `handshakeTimeout`. The connection
 * may be as good as before.
 *
 * The kernel has the same code for a connection that died, because the peer acknowledged nothing: tcp(7). That error is a
 * {@link SocketError} and no TimeoutError. The `name` of both is `"SocketError"`.
 *
 * @example
 * ```ts
 * import { socketpair, TimeoutError } from "berkeley";
 *
 * const [left, right] = socketpair();
 * const error = await left.recv(1, { timeout: 1 }).catch((error) => error);
 * console.log(error instanceof TimeoutError, error.code); // prints: true ETIMEDOUT
 * left.close();
 * right.close();
 * ```
 */
export class TimeoutError extends SocketError {
  /** @param errno the platform's number for `ETIMEDOUT`, negative */
  constructor(errno: number, syscall: string, details?: SocketErrorDetails) {
    super("ETIMEDOUT", errno, syscall, details);
  }

  static {
    mark(TimeoutError);
  }
}

/** An error of the same class and code for another call, or with other details. */
export function restated(error: SocketError, syscall: string, details: SocketErrorDetails): SocketError {
  if (error instanceof TimeoutError) return new TimeoutError(error.errno, syscall, details);
  return new SocketError(error.code, error.errno, syscall, details);
}

function describe(code: string, syscall: string, details: SocketErrorDetails | undefined): string {
  let text = `${syscall} ${code}`;
  if (details === undefined) return text;
  if (details.path !== undefined) {
    // A lone surrogate stands for a byte that belongs to no text, and would be printed as U+FFFD.
    const path = details.path.replace(
      /[\udc80-\udcff]/gu,
      (byte) => `\\x${(byte.charCodeAt(0) - 0xdc00).toString(16)}`,
    );
    text += ` ${path.startsWith("\0") ? `@${path.slice(1)}` : path}`;
  } else if (details.address !== undefined) {
    const host = details.address.includes(":") && details.port !== undefined ? `[${details.address}]` : details.address;
    text += details.port === undefined ? ` ${host}` : ` ${host}:${details.port}`;
  }
  if (details.transferred !== undefined) text += ` (${details.transferred} ${details.unit ?? "bytes"} had been sent)`;
  return text;
}

/** What a proxy said when it refused. */
export interface ProxyErrorDetails extends SocketErrorDetails {
  readonly status?: number | undefined;
  readonly statusText?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly reply?: number | undefined;
}

/**
 * A proxy that did not open the tunnel. The code is the one that comes nearest to its answer, which is here.
 *
 * @example
 * ```ts
 * import { connect, listen, ProxyError } from "berkeley";
 *
 * await using proxy = await listen("tcp://127.0.0.1:8888");
 * const connecting = connect("tcp://example.org:443", { via: "http://127.0.0.1:8888" }).catch((error) => error);
 * await using client = await proxy.accept();
 * await client.write("HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=x\r\n\r\n");
 * const error = await connecting;
 * if (error instanceof ProxyError) console.log(error.code, error.status, error.headers?.["proxy-authenticate"]);
 * // prints: EACCES 407 Basic realm=x
 * ```
 */
export class ProxyError extends SocketError {
  /** Status of an HTTP proxy's answer. */
  declare readonly status?: number;
  /** The words behind the status. */
  declare readonly statusText?: string;
  /** Fields of the answer by their names in small letters; one that came several times is joined by commas. */
  declare readonly headers?: Readonly<Record<string, string>>;
  /** Reply of a SOCKS proxy; RFC 1928, section 6. */
  declare readonly reply?: number;

  constructor(code: string, errno: number, syscall: string, details: ProxyErrorDetails = {}) {
    super(code, errno, syscall, details);
    const { headers, reply, status, statusText } = details;
    if (status !== undefined) this.status = status;
    if (statusText !== undefined) this.statusText = statusText;
    if (headers !== undefined) this.headers = headers;
    if (reply !== undefined) this.reply = reply;
  }

  static {
    ProxyError.prototype.name = "ProxyError";
  }
}

/**
 * Two calls wanted the same direction of one connection at a time, where only one can have it: a second `read` while
 * the first waits would make it a matter of luck which of them gets which bytes.
 *
 * @example
 * ```ts
 * import { BusyError } from "berkeley";
 *
 * const error = new BusyError("read");
 * console.log(error.code, error.operation); // prints: ERR_BUSY read
 * ```
 */
export class BusyError extends Error {
  /** Always `"ERR_BUSY"`. */
  readonly code: "ERR_BUSY";
  /** What was asked for: `"read"`, `"accept"`. */
  readonly operation: string;

  constructor(operation: string) {
    super(`${operation} needs the connection for itself, but another ${operation} is pending: await that one first`);
    this.code = "ERR_BUSY";
    this.operation = operation;
  }

  static {
    BusyError.prototype.name = "BusyError";
    mark(BusyError);
  }
}

/**
 * A call would pass by bytes that a stream has read ahead from the connection and nobody has taken: they come before whatever the
 * kernel still has. Take them from the stream, or use the stream (`pump`, `pipeTo`, `toNetSocket`), which sends them first.
 *
 * @example
 * ```ts
 * import { BufferedError, socketpair } from "berkeley";
 *
 * const [left, right] = socketpair();
 * await left.sendAll("a line\nand more");
 * await right.stream().readLine();
 * const error = await right.recv(100).catch((error) => error);
 * console.log(error instanceof BufferedError && error.buffered); // prints: 8
 * left.close();
 * right.close();
 * ```
 */
export class BufferedError extends Error {
  /** Always `"ERR_BUFFERED"`. */
  readonly code: "ERR_BUFFERED";
  /** How many bytes are in the way. */
  readonly buffered: number;

  constructor(action: string, buffered: number) {
    super(`Cannot ${action}: its stream holds ${buffered} bytes that were read ahead, required 0: take them first`);
    this.code = "ERR_BUFFERED";
    this.buffered = buffered;
  }

  static {
    BufferedError.prototype.name = "BufferedError";
  }
}

/**
 * A peer sent more than a named limit allows: a line, a frame or a header that is too long. The stream it came from
 * stays closed for reading, because what follows can't be told apart any more; it can still be written to.
 *
 * @example
 * ```ts
 * import { LimitError } from "berkeley";
 *
 * const error = new LimitError("maxLine", 65536, 70000);
 * console.log(error.code, error.limit, error.max); // prints: ERR_LIMIT maxLine 65536
 * ```
 */
export class LimitError extends Error {
  /** Always `"ERR_LIMIT"`. */
  readonly code: "ERR_LIMIT";
  /** Name of the option that sets the limit, such as `"maxLine"`. */
  readonly limit: string;
  /** The limit's value, bytes unless the option says otherwise. */
  readonly max: number;
  /** What was found: the size announced, or how much had come when the limit was passed. */
  readonly found: number;

  constructor(limit: string, max: number, found: number) {
    super(`Cannot take ${found} bytes: ${limit} allows at most ${max}`);
    this.code = "ERR_LIMIT";
    this.limit = limit;
    this.max = max;
    this.found = found;
  }

  static {
    LimitError.prototype.name = "LimitError";
    mark(LimitError);
  }
}

/**
 * The peer finished before all that was asked for had come. What had come is in `received`; it is taken from the stream.
 *
 * @example
 * ```ts
 * import { IncompleteReadError } from "berkeley";
 *
 * const error = new IncompleteReadError(new Uint8Array(3), 8);
 * console.log(error.code, error.received.length, error.expected); // prints: ERR_INCOMPLETE_READ 3 8
 * ```
 */
export class IncompleteReadError extends Error {
  /** Always `"ERR_INCOMPLETE_READ"`. */
  readonly code: "ERR_INCOMPLETE_READ";
  /** The bytes that had come before the end. */
  readonly received: Uint8Array;
  /** Bytes that were needed at least; absent where nobody can know, as in a search for a delimiter. */
  declare readonly expected?: number;

  constructor(received: Uint8Array, expected?: number) {
    super(
      expected === undefined
        ? `The peer finished after ${received.length} bytes, before the delimiter`
        : `The peer finished after ${received.length} bytes of at least ${expected}`,
    );
    this.code = "ERR_INCOMPLETE_READ";
    this.received = received;
    if (expected !== undefined) this.expected = expected;
  }

  static {
    IncompleteReadError.prototype.name = "IncompleteReadError";
    mark(IncompleteReadError);
  }
}

/**
 * Bytes that can't be a frame of the codec that reads them, such as a length with a letter in it. The stream they came
 * from stays closed for reading.
 *
 * @example
 * ```ts
 * import { FrameError } from "berkeley";
 *
 * console.log(new FrameError("a varint has at most 10 bytes, found 11").code); // prints: ERR_FRAME
 * ```
 */
export class FrameError extends Error {
  /** Always `"ERR_FRAME"`. */
  readonly code: "ERR_FRAME";

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = "ERR_FRAME";
  }

  static {
    FrameError.prototype.name = "FrameError";
    mark(FrameError);
  }
}

/**
 * TLS failed: in the handshake, in a check of the peer, or later. What the connection below failed with is a
 * {@link SocketError} as everywhere.
 *
 * `code` is OpenSSL's or Node's own where they have one, as users know them: `CERT_HAS_EXPIRED`,
 * `DEPTH_ZERO_SELF_SIGNED_CERT`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`, `ERR_TLS_CERT_ALTNAME_INVALID`, `ERR_SSL_…`. Made here:
 *
 * - `ERR_TLS_PLAINTEXT_PEER`: the peer sent something else than TLS,
 * - `ERR_TLS_TRUNCATED`: the peer's end came without close_notify, so nobody knows whether it had finished,
 * - `ERR_TLS_BUFFERED`: bytes were read before the upgrade to TLS and belong to nobody,
 * - `ERR_TLS_SILENT`: a client that had sent nothing made way for another one,
 * - `ERR_TLS_CONTEXT`: an option holds what TLS can't use, where OpenSSL has no code for it.
 *
 * @example
 * ```ts
 * import { TlsError, wrapTls } from "berkeley";
 * import { memoryPair } from "berkeley/testing";
 *
 * const [a, b] = memoryPair();
 * await b.write("220 mail.example ready\r\n");
 * const error = await wrapTls(a, { servername: "mail.example" }).catch((error) => error);
 * console.log(error instanceof TlsError && error.code); // prints: ERR_TLS_PLAINTEXT_PEER
 * ```
 */
export class TlsError extends Error {
  /** Stable name of the error. */
  readonly code: string;
  /** What was wrong, for people, without the action. */
  readonly reason: string;

  constructor(code: string, action: string, reason: string, options?: { cause?: unknown }) {
    super(`${action}: ${reason} (${code})`, options);
    this.code = code;
    this.reason = reason;
  }

  static {
    TlsError.prototype.name = "TlsError";
    mark(TlsError);
  }
}

/**
 * Loading the addon failed: `import "berkeley"` throws this error. The message says which file was found or missed, what is
 * wrong with it, and which command mends it. The error has no stack, because no code of the program took part.
 *
 * - `platform`, `runtime`: no addon can work on this platform, or in this runtime or this version of it,
 * - `poller`: BERKELEY_POLLER has a value that is not known or can't be had in this runtime,
 * - `missing`: there is neither a local build nor a prebuilt file for this architecture and C library,
 * - `unreadable`: the file can't be opened or read,
 * - `truncated`: the file is empty or cut off,
 * - `foreign`: the file is no addon of this package,
 * - `architecture`, `libc`: the file is for another processor or another C library,
 * - `version`: the file was built for another version of this package,
 * - `refused`: dlopen(3) refused the file, such as on a file system that is mounted with noexec.
 *
 * @see dlopen(3)
 * @example
 * ```ts
 * try {
 *   await import("berkeley");
 * } catch (error) {
 *   if ((error as { code?: string }).code === "ERR_ADDON") console.error((error as Error).message);
 * }
 * ```
 */
export class AddonError extends Error {
  /** Always `"ERR_ADDON"`. */
  readonly code: "ERR_ADDON";
  /** What is wrong, for programs. */
  readonly reason:
    | "platform"
    | "runtime"
    | "poller"
    | "missing"
    | "unreadable"
    | "truncated"
    | "foreign"
    | "architecture"
    | "libc"
    | "version"
    | "refused";
  /** The files that were looked for, in order. */
  readonly tried: readonly string[];

  constructor(message: string, reason: AddonError["reason"], tried: readonly string[] = []) {
    super(message);
    this.code = "ERR_ADDON";
    this.reason = reason;
    this.tried = tried;
    this.stack = `AddonError: ${message}`;
  }

  static {
    AddonError.prototype.name = "AddonError";
  }
}
