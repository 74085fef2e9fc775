// The type of a row of the conformance table: a call, a situation, and the result that the man page documents.
//
// A row is written once and run on both sockets. It awaits every call; the blocking calls return values, which can be
// awaited too. So a row must never start a call and do something else before it awaits the call.
import * as awaitable from "berkeley";
import * as blocking from "berkeley/sync";

/** The public calls, as the awaitable entry has them. The blocking ones have the same names and arguments. */
export type Api = Pick<typeof awaitable, keyof typeof awaitable & keyof typeof blocking>;
export type Socket = awaitable.Socket;

export const apis: readonly (readonly [name: string, api: Api])[] = [
  ["awaitable", awaitable],
  ["blocking", blocking as unknown as Api],
];

/** What comes of a row: the code of a SocketError, the name of another error, or a result. */
export type Outcome = string | { readonly is: unknown };

export interface Row {
  /** The public name of the call that the row is about. */
  readonly call: string;
  readonly when: string;
  readonly gives: Outcome;
  run(scene: Scene): unknown;
  /** Whether it requires a process of its own, without privileges and with few descriptors. */
  readonly apart?: boolean;
  /** Why this machine can't show it, if it can't. */
  unless?(): string | false;
}

export interface Page {
  /** The man page whose section ERRORS (or whose text) the rows are from. */
  readonly page: string;
  readonly rows: readonly Row[];
}

/** A result that is expected. */
export const is = (value: unknown): Outcome => ({ is: value });

export const row = (
  call: string,
  when: string,
  gives: Outcome,
  run: (scene: Scene) => unknown,
  more: Pick<Row, "apart" | "unless"> = {},
): Row => ({ call, when, gives, run, ...more });

/** What a row works with: calls of one of the sockets, and what has to be closed or removed when the row has ended. */
export interface Scene {
  readonly api: Api;
  socket(family?: number, type?: number, protocol?: number): Socket;
  pair(type?: number): [Socket, Socket];
  /** Closes it at the end of the row. */
  own(socket: Socket): Socket;
  /** A TCP listener on the loopback address. */
  listener(backlog?: number): Promise<Socket>;
  /** A TCP connection: the side that connected, and the one that was accepted. */
  connection(): Promise<[client: Socket, conn: Socket]>;
  /** A bound UDP socket. */
  udp(): Promise<Socket>;
  /** A socket that is closed. */
  closed(): Socket;
  /** A connected UDP socket whose datagram has come back as refused. */
  refused(): Promise<Socket>;
  /** A TCP port of the loopback address without a listener. */
  deadPort(): Promise<awaitable.InetAddress>;
  /** An unused path, in a folder of the row. */
  path(name?: string): string;
  /** A file of so many bytes. */
  file(length?: number): number;
  /** A descriptor of something that is no socket. */
  notSocket(): number;
  /** Opens descriptors until there are none left. */
  exhaust(): void;
  /** Has `work` done when the row has ended. */
  finally(work: () => void): void;
}
