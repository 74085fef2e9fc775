// The address families with which the tests of sockets run: for each an address to bind to, sockets and connections.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type Address, AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_STREAM, Socket, UnixAddress } from "berkeley";

export interface Family {
  readonly name: string;
  readonly family: number;
  /** A free address: with port 0, or with a path that no other socket has. */
  readonly address: () => string | UnixAddress;
}

const folder = mkdtempSync(join(tmpdir(), "berkeley-"));
after(() => rmSync(folder, { recursive: true }));
let names = 0;

/** A new path, in a folder that is removed after the tests of the file. */
export const socketPath = (): string => join(folder, `${++names}.sock`);

const ipv4: Family = { name: "IPv4", family: AF_INET, address: () => "127.0.0.1:0" };
const ipv6: Family = { name: "IPv6", family: AF_INET6, address: () => "[::1]:0" };
const unixPath: Family = { name: "a UNIX path", family: AF_UNIX, address: () => new UnixAddress(socketPath()) };
const unixAbstract: Family = {
  name: "an abstract UNIX name",
  family: AF_UNIX,
  address: () => new UnixAddress(`\0berkeley-${process.pid}-${++names}`),
};

export const families: readonly Family[] = [ipv4, ipv6, unixPath, unixAbstract];
export const networkFamilies: readonly Family[] = [ipv4, ipv6];

export interface Connection extends AsyncDisposable {
  readonly client: Socket;
  readonly conn: Socket;
  readonly server: Socket;
  /** The address of the peer, from accept(). */
  readonly peer: Address;
}

/** Makes a listening socket. */
export async function listening({ family, address }: Family = ipv4, backlog?: number): Promise<Socket> {
  const server = new Socket(family, SOCK_STREAM);
  await server.bind(address());
  server.listen(backlog);
  return server;
}

/** Makes a listening socket, a client, and the connection between them. */
export async function connected(family: Family = ipv4): Promise<Connection> {
  const server = await listening(family);
  const client = new Socket(family.family, SOCK_STREAM);
  const accepted = server.accept();
  await client.connect(server.getsockname());
  const [conn, peer] = await accepted;
  return {
    client,
    conn,
    server,
    peer,
    [Symbol.asyncDispose]: async () => {
      for (const socket of [client, conn, server]) socket.close();
    },
  };
}

/** Makes a bound datagram socket. */
export async function datagram({ family, address }: Family = ipv4): Promise<Socket> {
  const socket = new Socket(family, SOCK_DGRAM);
  await socket.bind(address());
  return socket;
}

/** Receives all bytes until the peer has finished. */
export async function receiveAll(socket: Socket, size: number = 65536): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    const part = await socket.recv(size);
    if (part.length === 0) return Buffer.concat(parts);
    parts.push(part);
  }
}

/** Pseudo-random bytes (xorshift), so that a test notices bytes at a wrong place. */
export function pattern(length: number, seed: number = 1): Buffer {
  const out = Buffer.allocUnsafe(length);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[at] = state;
  }
  return out;
}
