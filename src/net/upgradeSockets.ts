// For `upgrade()` (src/server/upgrade.ts): registers the sockets that a listener or a server passes to the new program,
// and the function that stops the listener or the server after that.

import type { Buffer } from "node:buffer";
import { type Address, type Endpoint, type EndpointLike, formatEndpoint, parseLocalEndpoint } from "../addr/index.js";
import type { Socket } from "../socket/index.js";
import { absolutePath, type UnixFile } from "./unixPath.js";

/** A listening or bound socket that can go to another process. */
export interface PassableSocket {
  readonly socket: Socket;
  /** The names under which the new program finds the socket; see {@link namesOf}. */
  readonly names: readonly string[];
  /** The file of a UNIX socket, which `close()` would remove. */
  readonly file: UnixFile | undefined;
}

/** How a listener or a server passes its sockets to the new program. */
export interface Handover {
  /** Returns the sockets; undefined if the object accepts no more. */
  sockets(): readonly PassableSocket[] | undefined;
  /**
   * Called when the new program has the sockets: stops accepting. Resolves when all accepted work is done, or after
   * `timeout` ms.
   */
  stop(timeout: number | null | undefined): Promise<void>;
}

const handovers = new WeakMap<object, Handover>();

/** Stores the handover of an object. */
export function registerHandover(owner: object, handover: Handover): void {
  handovers.set(owner, handover);
}

/** Registers the socket of a listener or of a UDP socket, so that `upgrade()` can pass it. */
export function registerSocket(
  owner: { readonly socket: Socket; readonly address: Address; close(): Promise<void> },
  endpoint: Endpoint,
  file?: UnixFile,
): void {
  const { socket } = owner;
  // The absolute path of the file, because the current directory may have changed since bind(2).
  const names = file === undefined ? namesOf(endpoint, owner.address) : [pathName(file.path)];
  registerHandover(owner, {
    sockets: () => (socket.closed ? undefined : [{ socket, names, file }]),
    stop: () => owner.close(),
  });
}

/** Registers a server. It passes the sockets of `source`, which is the listener or the UDP socket that it uses. */
export function registerServer(
  server: object,
  source: object,
  isListening: () => boolean,
  stop: Handover["stop"],
): void {
  const handover = handovers.get(source);
  if (handover === undefined) return;
  registerHandover(server, { sockets: () => (isListening() ? handover.sockets() : undefined), stop });
}

const gates = new WeakMap<object, Promise<void>>();

/** Stores the gate for which a UDP server on this socket waits before it receives; see inheritance.ts. */
export function registerGate(socket: object, gate: Promise<void>): void {
  gates.set(socket, gate);
}

/** The gate of a socket; undefined if the socket does not come from an old program. */
export function receivingGateOf(socket: object): Promise<void> | undefined {
  return gates.get(socket);
}

/** The handover of an object; undefined if the object has no socket that can be passed. */
export function handoverOf(owner: object): Handover | undefined {
  return handovers.get(owner);
}

/**
 * The names of the socket at an endpoint: the endpoint as text, and the address that the socket got. `tls://` and
 * `tcp://` give the same name, because the socket is the same with TLS. A path is made absolute, because the new
 * program may have another current directory.
 */
export function namesOf(endpoint: Endpoint, address?: Address): string[] {
  const names = [nameOf(endpoint)];
  if (address !== undefined && endpoint.scheme !== "unix") {
    const streamEndpoint = parseLocalEndpoint(address as EndpointLike);
    const isUdp = endpoint.scheme === "udp";
    names.push(nameOf(isUdp ? ({ ...streamEndpoint, scheme: "udp" } as Endpoint) : streamEndpoint));
  }
  return names;
}

function nameOf(endpoint: Endpoint): string {
  if (endpoint.scheme !== "unix") return formatEndpoint(endpoint).replace(/^tls:/, "tcp:");
  const { address } = endpoint;
  return address.path.startsWith("\0") ? String(address) : pathName(absolutePath(address));
}

function pathName(path: Buffer): string {
  // Latin-1 has a character for each byte.
  return `unix:${path.toString("latin1")}`;
}
