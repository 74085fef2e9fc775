// pg, the PostgreSQL client of npm, unchanged, against a real PostgreSQL, over streams of ours.

import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect, type EndpointLike, type Stream } from "berkeley";
import pg from "pg";
import { checkLeaks } from "../support/leaks.js";
import { missing, type Server, startPostgres } from "./support.js";

checkLeaks();

/** pg makes its connection with `connect()` of its stream. Ours is there already, so there is only that to say. */
function forPg(duplex: Duplex): Duplex {
  return Object.assign(duplex, { connect: () => process.nextTick(() => duplex.emit("connect")) });
}

const ways: readonly [name: string, of: (stream: Stream) => Duplex][] = [
  ["toNetSocket()", (stream) => stream.toNetSocket()],
  ["toDuplex()", (stream) => stream.toDuplex()],
];

describe("pg against PostgreSQL", { skip: missing("postgresql", "postgres", "initdb", "setpriv") }, () => {
  let server: Server;
  before(async () => {
    server = await startPostgres();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  /** A client over a connection that we dialled. */
  async function open(endpoint: EndpointLike, of: (stream: Stream) => Duplex): Promise<pg.Client> {
    const stream = forPg(of(await connect(endpoint)));
    const client = new pg.Client({
      database: "postgres",
      host: "127.0.0.1",
      port: server.port,
      stream: () => stream,
      user: "postgres",
    });
    await client.connect();
    return client;
  }

  for (const [name, of] of ways) {
    test(`queries, a transaction and an error over ${name}`, async () => {
      const client = await open(["127.0.0.1", server.port], of);
      assert.deepEqual((await client.query("SELECT 1 + 1 AS sum, $1::text AS word", ["tea"])).rows, [
        { sum: 2, word: "tea" },
      ]);
      await client.query("BEGIN");
      await client.query("CREATE TEMP TABLE numbers (n int)");
      await client.query("INSERT INTO numbers SELECT generate_series(1, 10000)");
      await client.query("COMMIT");
      // Rows of some hundred kilobytes, and a parameter of a megabyte: more than any buffer on the way.
      const { rows } = await client.query<{ n: number; text: string }>(
        "SELECT n, repeat('x', 30) AS text FROM numbers",
      );
      assert.equal(rows.length, 10_000);
      assert.equal(
        rows.reduce((sum, { n }) => sum + n, 0),
        50_005_000,
      );
      const large = "y".repeat(1 << 20);
      const back = await client.query<{ back: string }>("SELECT $1::text AS back", [large]);
      assert.ok(back.rows[0]?.back === large);
      await assert.rejects(client.query("SELECT * FROM nowhere"), { code: "42P01" });
      assert.equal((await client.query("SELECT count(*)::int AS n FROM numbers")).rows[0].n, 10_000);
      await client.end();
    });

    test(`a notification without a request arrives over ${name}`, async () => {
      const client = await open(["127.0.0.1", server.port], of);
      await client.query("LISTEN bell");
      const rang = once(client, "notification") as Promise<[pg.Notification]>;
      const other = await open(`unix:${join(server.folder, `.s.PGSQL.${server.port}`)}`, of);
      await other.query("NOTIFY bell, 'dinner'");
      const [{ payload }] = await rang;
      assert.equal(payload, "dinner");
      await other.end();
      await client.end();
    });

    test(`the end of a connection that the server cuts is an error over ${name}`, async () => {
      const client = await open(["127.0.0.1", server.port], of);
      const failed = new Promise<Error>((resolve) => client.on("error", resolve));
      const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      const other = await open(["127.0.0.1", server.port], of);
      await other.query("SELECT pg_terminate_backend($1)", [rows[0]?.pid]);
      assert.match((await failed).message, /terminat/);
      await other.end();
      await client.end();
    });
  }
});
