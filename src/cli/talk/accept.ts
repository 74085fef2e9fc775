// Opens the listener of the command `listen`, whose connections are channels, or binds its datagram socket.

import { lstatSync, unlinkSync } from "node:fs";

import {
  AF_UNIX,
  bindUdp,
  type Endpoint,
  type IoOptions,
  listen,
  type ListenOptions,
  type Listener,
  SO_REUSEADDR,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  Socket,
  SocketError,
  Stream,
  TlsListener,
  type UnixAddress,
} from "berkeley";

import { showEndpoint } from "../frame/endpoints.js";
import { escapeLine } from "../frame/escape.js";
import { UsageError } from "../frame/failure.js";
import { applyOptions, type GivenOption } from "../frame/socketOptions.js";
import { type BoundSocket, type Channel, MessageChannel, StreamChannel } from "./channel.js";
import { withUsageErrors } from "./open.js";

type TlsOptions = NonNullable<ListenOptions["tls"]>;

export interface ListenPlan {
  readonly endpoint: Endpoint;
  /** The type of a UNIX message socket; undefined for a stream. */
  readonly messages: "datagram" | "seqpacket" | undefined;
  readonly tls: TlsOptions | undefined;
  readonly options: readonly GivenOption[];
  readonly signal: AbortSignal;
  /** Called when a TLS handshake has failed. */
  readonly onHandshakeError: (error: unknown) => void;
}

/** A listener whose connections are channels. */
export interface Acceptor {
  /** The address, as a user types it. */
  readonly endpoint: string;
  accept(opts: IoOptions): Promise<Channel>;
  close(): Promise<void>;
}

export async function openAcceptor(plan: ListenPlan): Promise<Acceptor> {
  const { endpoint, messages } = plan;
  if (messages === "seqpacket" && endpoint.scheme === "unix") return acceptMessages(plan, endpoint.address);
  const { listener, removeFile } = await openListener(plan);
  let count = 0;
  return {
    endpoint: showListener(endpoint, listener.address),
    async accept(opts) {
      const conn = await listener.accept(opts);
      const stream = conn instanceof Stream ? conn : new Stream(conn);
      return new StreamChannel(stream, clientName(stream.remoteAddress, ++count));
    },
    async close() {
      removeFile?.();
      await listener.close();
    },
  };
}

interface OpenListener {
  readonly listener: Listener;
  /** Removes the file of a UNIX socket, if the listener does not remove it itself. */
  readonly removeFile?: () => void;
}

async function openListener(plan: ListenPlan): Promise<OpenListener> {
  const { endpoint, tls, options, signal, onHandshakeError } = plan;
  const secure = tls === undefined ? undefined : { ...tls, onHandshakeError };
  if (options.length === 0 && (tls === undefined || endpoint.scheme === "tls")) {
    const tlsOption = secure === undefined ? {} : { tls: secure };
    return { listener: await withUsageErrors(() => listen(endpoint, { signal, ...tlsOption })) };
  }
  // listen() takes `tls` only with the scheme tls. TlsListener adds TLS to the other listeners.
  const plain: OpenListener =
    options.length === 0
      ? { listener: await withUsageErrors(() => listen(endpoint, { signal })) }
      : await listenWithOptions(plan);
  if (secure === undefined) return plain;
  const { onHandshakeError: report, ...context } = secure;
  try {
    return { ...plain, listener: new TlsListener(plain.listener, { tls: context, onHandshakeError: report }) };
  } catch (error) {
    plain.removeFile?.();
    await plain.listener.close();
    throw error;
  }
}

/** Makes the listening socket, and sets its options before bind(2). Accepted connections inherit the options. */
async function listenWithOptions({ endpoint, options, signal }: ListenPlan): Promise<OpenListener> {
  // The listening socket of `fd:` and `systemd:` exists already.
  if (!("address" in endpoint) || endpoint.scheme === "udp") {
    const listener = await withUsageErrors(() => listen(endpoint, { signal }));
    applyOptions(listener.socket, options);
    return { listener };
  }
  const { address } = endpoint;
  if (endpoint.scheme === "unix") return listenUnixWithOptions(endpoint.address, options, signal);
  const family = "family" in address ? address.family : undefined;
  const socket = family === undefined ? new Socket() : new Socket(family, SOCK_STREAM);
  try {
    if (endpoint.scheme === "tcp" || endpoint.scheme === "tls") socket.setsockopt(SO_REUSEADDR, true);
    applyOptions(socket, options);
    await socket.bind("family" in address ? address : [address.host, address.port]);
    socket.listen();
    return { listener: await listen({ fd: socket.detach() }, { signal }) };
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** As {@link listenWithOptions}, for a path or an abstract name. */
async function listenUnixWithOptions(
  address: UnixAddress,
  options: readonly GivenOption[],
  signal: AbortSignal,
): Promise<OpenListener> {
  const socket = new Socket(AF_UNIX, SOCK_STREAM);
  const removeFile = await bindUnix(socket, address, options);
  try {
    socket.listen();
    return { listener: await listen({ fd: socket.detach() }, { signal }), removeFile };
  } catch (error) {
    socket.close();
    removeFile();
    throw error;
  }
}

async function acceptMessages({ options, signal }: ListenPlan, address: UnixAddress): Promise<Acceptor> {
  const socket = new Socket(AF_UNIX, SOCK_SEQPACKET);
  const remove = await bindUnix(socket, address, options);
  socket.listen();
  signal.addEventListener("abort", () => socket.close(), { once: true });
  let count = 0;
  return {
    endpoint: showEndpoint("unix", address),
    async accept(opts) {
      const [conn, from] = await socket.accept(opts);
      return new MessageChannel(conn, clientName(from, ++count), true);
    },
    async close() {
      remove();
      socket.close();
    },
  };
}

/** Binds a datagram socket to the endpoint. */
export async function bindDatagrams({
  endpoint,
  options,
  signal,
}: ListenPlan): Promise<BoundSocket & { readonly endpoint: string }> {
  if (endpoint.scheme === "udp") {
    const socket = await withUsageErrors(() => bindUdp(endpoint, { signal }));
    applyOptions(socket.socket, options);
    return {
      endpoint: showEndpoint("udp", socket.address),
      async receive(opts) {
        const { data, address } = await socket.receive(opts);
        return [data, address];
      },
      send: (data, to, opts) => socket.send(data, to, opts),
      close: () => socket.close(),
    };
  }
  if (endpoint.scheme !== "unix") throw new UsageError(`an endpoint of ${endpoint.scheme} has no datagrams`);
  const socket = new Socket(AF_UNIX, SOCK_DGRAM);
  const remove = await bindUnix(socket, endpoint.address, options);
  return {
    endpoint: showEndpoint("unix", endpoint.address),
    async receive(opts) {
      const [data, from] = await socket.recvfrom(256 << 10, opts);
      const unnamed = from === undefined || ("path" in from && from.path === "");
      return [data, unnamed ? undefined : from];
    },
    send: (data, to, opts) => socket.sendto(data, to, opts),
    close() {
      remove();
      socket.close();
    },
  };
}

/**
 * Binds a UNIX socket. If a crashed program has left its file at the path, removes that file first. Returns a function
 * that removes the new file, once. Closes the socket on failure.
 */
async function bindUnix(socket: Socket, address: UnixAddress, options: readonly GivenOption[]): Promise<() => void> {
  const { path } = address;
  const isFile = !path.startsWith("\0");
  try {
    applyOptions(socket, options);
    try {
      await socket.bind(address);
    } catch (error) {
      if (!(isFile && error instanceof SocketError && error.code === "EADDRINUSE" && (await isStale(socket, path))))
        throw error;
      unlinkSync(path);
      await socket.bind(address);
    }
  } catch (error) {
    socket.close();
    throw error;
  }
  if (!isFile) return () => {};
  const { ino, dev } = lstatSync(path);
  let removed = false;
  return () => {
    if (removed) return;
    removed = true;
    try {
      const current = lstatSync(path);
      if (current.ino === ino && current.dev === dev) unlinkSync(path);
    } catch {
      // The file does not exist any more.
    }
  };
}

/** Whether no process has the UNIX socket of this file open. */
async function isStale({ type }: Socket, path: string): Promise<boolean> {
  const probe = new Socket(AF_UNIX, type);
  try {
    await probe.connect({ path });
    return false;
  } catch (error) {
    return error instanceof SocketError && error.code === "ECONNREFUSED";
  } finally {
    probe.close();
  }
}

function showListener(endpoint: Endpoint, address: Listener["address"]): string {
  const { scheme } = endpoint;
  const shownScheme =
    address !== undefined && "path" in address ? "unix" : scheme === "fd" || scheme === "systemd" ? "tcp" : scheme;
  return showEndpoint(shownScheme, address);
}

/** The name of a client in messages. Most clients of UNIX sockets have no address, so they get a number. */
function clientName(address: Stream["remoteAddress"], number: number): string {
  const unnamed = address === undefined || ("path" in address && address.path === "");
  return unnamed ? `client ${number}` : escapeLine(String(address));
}
