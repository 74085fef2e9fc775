// The sockets and files for a row. They are closed and removed at the end of the row.
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InetAddress } from "berkeley";
import type { Api, Outcome, Row, Scene, Socket } from "./row.js";

class RowScene implements Scene {
  readonly api: Api;
  #ends: (() => void)[] = [];
  #folder: string | undefined;
  #names = 0;

  constructor(api: Api) {
    this.api = api;
  }

  finally(work: () => void): void {
    this.#ends.push(work);
  }

  end(): void {
    for (const work of this.#ends.splice(0).toReversed()) work();
  }

  own(socket: Socket): Socket {
    this.finally(() => socket.close());
    return socket;
  }

  socket(family?: number, type?: number, protocol?: number): Socket {
    return this.own(new this.api.Socket(family, type, protocol));
  }

  pair(type: number = this.api.SOCK_STREAM): [Socket, Socket] {
    const [a, b] = this.api.socketpair(this.api.AF_UNIX, type);
    return [this.own(a), this.own(b)];
  }

  async listener(backlog?: number): Promise<Socket> {
    const server = this.socket();
    await server.bind("127.0.0.1:0");
    server.listen(backlog);
    return server;
  }

  async connection(): Promise<[Socket, Socket]> {
    const server = await this.listener();
    const client = this.socket();
    await client.connect(server.getsockname());
    const [conn] = await server.accept();
    return [client, this.own(conn)];
  }

  async udp(): Promise<Socket> {
    const socket = this.socket(this.api.AF_INET, this.api.SOCK_DGRAM);
    await socket.bind("127.0.0.1:0");
    return socket;
  }

  closed(): Socket {
    const socket = this.socket();
    socket.close();
    return socket;
  }

  async refused(): Promise<Socket> {
    const gone = await this.udp();
    const socket = this.socket(this.api.AF_INET, this.api.SOCK_DGRAM);
    await socket.connect(gone.getsockname());
    gone.close();
    await socket.send("x");
    await socket.readable();
    return socket;
  }

  async deadPort(): Promise<InetAddress> {
    const server = await this.listener();
    const address = server.getsockname() as InetAddress;
    server.close();
    return address;
  }

  path(name: string = `s${++this.#names}`): string {
    if (this.#folder === undefined) {
      const folder = mkdtempSync(join(tmpdir(), "berkeley-row-"));
      this.#folder = folder;
      this.finally(() => rmSync(folder, { recursive: true, force: true }));
    }
    return join(this.#folder, name);
  }

  file(length: number = 10): number {
    const path = this.path();
    writeFileSync(path, Buffer.alloc(length, 97));
    return this.#open(path);
  }

  notSocket(): number {
    return this.#open("/dev/null");
  }

  #open(path: string): number {
    const fd = openSync(path, "r");
    this.finally(() => closeSync(fd));
    return fd;
  }

  exhaust(): void {
    try {
      for (;;) this.#open("/dev/null");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EMFILE") throw error;
    }
  }
}

/** Runs a row; what came of it. */
export async function outcomeOf(row: Row, api: Api): Promise<Outcome> {
  const scene = new RowScene(api);
  try {
    return { is: await row.run(scene) };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return "code" in error && "syscall" in error ? String(error.code) : error.name;
  } finally {
    scene.end();
  }
}
