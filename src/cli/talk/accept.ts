// The sockets of the command `listen`: a listener whose accepted connections are channels (channel.ts), or a bound
// datagram socket.

import { lstatSync, unlinkSync } from "node:fs";

import {
  AF_INET,
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
import { UsageError } from "../frame/failure.js";
import { applyOptions, type GivenOption } from "../frame/socketOptions.js";
import { clientNameOf, shownScheme } from "../servers/serve.js";
import { type BoundSocket, type Channel, MessageChannel, type MessageType, StreamChannel } from "./channel.js";
import { withUsageErrors } from "./open.js";

/** Maximum number of bytes of a received datagram of a UNIX socket. */
const MAX_DATAGRAM = 256 << 10;

type TlsOptions = NonNullable<ListenOptions["tls"]>;

export interface ListenPlan {
  readonly endpoint: Endpoint;
  /** The type of a UNIX message socket; undefined for a stream and for UDP. */
  readonly messageType: MessageType | undefined;
  readonly tls: TlsOptions | undefined;
  readonly options: readonly GivenOption[];
  readonly signal: AbortSignal;
  /** Called when a TLS handshake has failed. */
  readonly onHandshakeError: (error: unknown) => void;
}

/** A listener whose connections are channels. */
export interface Acceptor {
  /** The address of the listener, as a user types it. */
  readonly endpoint: string;
  accept(opts: IoOptions): Promise<Channel>;
  close(): Promise<void>;
}

export async function openAcceptor(plan: ListenPlan): Promise<Acceptor> {
  const { endpoint, messageType } = plan;
  if (messageType === "seqpacket" && endpoint.scheme === "unix") return openSeqpacket(plan, endpoint.address);
  const { listener, removeFile } = await openListener(plan);
  let count = 0;
  return {
    endpoint: showEndpoint(shownScheme(endpoint.scheme, listener.address), listener.address),
    async accept(opts) {
      const conn = await listener.accept(opts);
      const stream = conn instanceof Stream ? conn : new Stream(conn);
      return new StreamChannel(stream, clientNameOf(stream, ++count));
    },
    async close() {
      // Removes the file first, so that no client finds the path of a closed listener.
      removeFile?.();
      await listener.close();
    },
  };
}

interface OpenListener {
  readonly listener: Listener;
  /** Removes the file of a UNIX socket. Absent for other sockets, and if the listener removes the file. */
  readonly removeFile?: () => void;
}

async function openListener(plan: ListenPlan): Promise<OpenListener> {
  const { endpoint, tls, options, signal, onHandshakeError } = plan;
  if (options.length === 0 && (tls === undefined || endpoint.scheme === "tls")) {
    const tlsOption = tls === undefined ? {} : { tls: { ...tls, onHandshakeError } };
    return { listener: await withUsageErrors(() => listen(endpoint, { signal, ...tlsOption })) };
  }
  // listen() can't set the options of --option, and takes `tls` only with the scheme tls. So the listener is opened
  // without TLS, and TlsListener adds TLS.
  const withoutTls: OpenListener =
    options.length === 0
      ? { listener: await withUsageErrors(() => listen(endpoint, { signal })) }
      : await listenWithOptions(plan);
  if (tls === undefined) return withoutTls;
  try {
    return { ...withoutTls, listener: new TlsListener(withoutTls.listener, { tls, onHandshakeError }) };
  } catch (error) {
    withoutTls.removeFile?.();
    await withoutTls.listener.close();
    throw error;
  }
}

/**
 * Opens a listener, and sets the options of its socket. A new socket gets them before bind(2). Accepted connections
 * inherit the options.
 */
async function listenWithOptions({ endpoint, options, signal }: ListenPlan): Promise<OpenListener> {
  // The listening socket of `fd:` and `systemd:` exists already. For `udp:`, listen() throws.
  if (!("address" in endpoint) || endpoint.scheme === "udp") {
    const listener = await withUsageErrors(() => listen(endpoint, { signal }));
    applyOptions(listener.socket, options);
    return { listener };
  }
  const { address } = endpoint;
  if (endpoint.scheme === "unix") return listenUnixWithOptions(endpoint.address, options, signal);
  // A host name has no family, and gets a socket of IPv4.
  const family = "family" in address ? address.family : AF_INET;
  const socket = new Socket(family, SOCK_STREAM);
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

/** {@link listenWithOptions} for a UNIX socket with a path or an abstract name. */
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

async function openSeqpacket({ options, signal }: ListenPlan, address: UnixAddress): Promise<Acceptor> {
  const socket = new Socket(AF_UNIX, SOCK_SEQPACKET);
  const removeFile = await bindUnix(socket, address, options);
  socket.listen();
  signal.addEventListener("abort", () => socket.close(), { once: true });
  let count = 0;
  return {
    endpoint: showEndpoint("unix", address),
    async accept(opts) {
      const [conn, from] = await socket.accept(opts);
      return new MessageChannel(conn, clientNameOf({ remoteAddress: from }, ++count), "seqpacket");
    },
    async close() {
      removeFile();
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
  const removeFile = await bindUnix(socket, endpoint.address, options);
  return {
    endpoint: showEndpoint("unix", endpoint.address),
    async receive(opts) {
      const [data, from] = await socket.recvfrom(MAX_DATAGRAM, opts);
      const isUnnamed = from === undefined || ("path" in from && from.path === "");
      return [data, isUnnamed ? undefined : from];
    },
    send: (data, to, opts) => socket.sendto(data, to, opts),
    close() {
      removeFile();
      socket.close();
    },
  };
}

/**
 * Sets the options of a UNIX socket, and binds it. If a crashed program has left the file of its socket at the path,
 * removes that file first. Closes the socket on failure. Returns a function that removes the new file; a second call of
 * this function does nothing.
 */
async function bindUnix(socket: Socket, address: UnixAddress, options: readonly GivenOption[]): Promise<() => void> {
  const { path } = address;
  const isAbstract = path.startsWith("\0");
  try {
    applyOptions(socket, options);
    try {
      await socket.bind(address);
    } catch (error) {
      const isFileInUse = !isAbstract && error instanceof SocketError && error.code === "EADDRINUSE";
      if (!isFileInUse || !(await isStale(socket, path))) throw error;
      unlinkSync(path);
      await socket.bind(address);
    }
  } catch (error) {
    socket.close();
    throw error;
  }
  if (isAbstract) return () => {};
  const { ino, dev } = lstatSync(path);
  let removed = false;
  return () => {
    if (removed) return;
    removed = true;
    try {
      // Another program may have put its own file at the path.
      const current = lstatSync(path);
      if (current.ino === ino && current.dev === dev) unlinkSync(path);
    } catch {
      // The file does not exist any more.
    }
  };
}

/** Whether the kernel refuses connections to the UNIX socket of this file, as after the end of its process. */
async function isStale({ type }: Socket, path: string): Promise<boolean> {
  // connect(2) needs a socket of the same type.
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
