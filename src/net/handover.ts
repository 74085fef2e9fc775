// What an object with listening sockets hands over to another process; upgrade() of src/server/ does so.

import type { Buffer } from "node:buffer";
import { type Address, type Endpoint, formatEndpoint, parseLocalEndpoint } from "../addr/index.js";
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

/** How an object hands its sockets over. */
export interface Handover {
  /** The sockets; undefined once the object does not accept any more. */
  sockets(): readonly PassableSocket[] | undefined;
  /** The new program has the sockets: stops to accept, and resolves when the work is done, after `timeout` ms at last. */
  leave(timeout: number | null | undefined): Promise<void>;
}

const handovers = new WeakMap<object, Handover>();

export function registerHandover(owner: object, handover: Handover): void {
  handovers.set(owner, handover);
}

/** The sockets of a listener or of a socket at an endpoint, which `close` closes. */
export function registerSocket(
  owner: { readonly socket: Socket; readonly address: Address; close(): Promise<void> },
  endpoint: Endpoint,
  file?: UnixFile,
): void {
  const { socket } = owner;
  // The current directory may have changed since.
  const names = file === undefined ? namesOf(endpoint, owner.address) : [pathName(file.path)];
  registerHandover(owner, {
    sockets: () => (socket.closed ? undefined : [{ socket, names, file }]),
    leave: () => owner.close(),
  });
}

/** A server hands over the sockets of what it accepts or receives from. */
export function registerServer(
  server: object,
  below: object,
  isListening: () => boolean,
  leave: Handover["leave"],
): void {
  const handover = handovers.get(below);
  if (handover === undefined) return;
  registerHandover(server, { sockets: () => (isListening() ? handover.sockets() : undefined), leave });
}

const gates = new WeakMap<object, Promise<void>>();

/** A server that receives from this socket must wait; see inheritance.ts. */
export function registerGate(socket: object, gate: Promise<void>): void {
  gates.set(socket, gate);
}

/** Resolves when a server may receive from the socket; undefined if it may. */
export function receivingGateOf(socket: object): Promise<void> | undefined {
  return gates.get(socket);
}

/** Undefined if the object has no sockets that can be passed. */
export function handoverOf(owner: object): Handover | undefined {
  return handovers.get(owner);
}

/**
 * The names of the socket at an endpoint: the endpoint as text, and the address that it got. TLS is above the socket, so
 * `tls://` and `tcp://` give the same name. A path is made absolute, because a relative one means another file in
 * another directory.
 */
export function namesOf(endpoint: Endpoint, address?: Address): string[] {
  const names = [nameOf(endpoint)];
  if (address !== undefined && endpoint.scheme !== "unix") {
    const found = parseLocalEndpoint(address as Parameters<typeof parseLocalEndpoint>[0]);
    const actual = endpoint.scheme === "udp" ? ({ ...found, scheme: "udp" } as Endpoint) : found;
    names.push(nameOf(actual));
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
