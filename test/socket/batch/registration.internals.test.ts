// sendmmsg() of many datagrams removes the registration of the socket with epoll, and the next waiting call registers
// again.

import assert from "node:assert/strict";
import { constants } from "node:os";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { AF_INET, AF_UNIX, DatagramBatch, MSG_ERRQUEUE, SOCK_DGRAM, SOCK_STREAM, type Socket } from "berkeley";
import { datagram, networkFamilies } from "../../support/families.js";
import { checkLeaks } from "../../support/leaks.js";
import { type Fake, fakeKernel, IN, keepAlive, OUT, turn, watch } from "../../support/fakeSocket.js";

keepAlive();
checkLeaks();

const EAGAIN = -constants.errno.EAGAIN;
/** So many that registering again costs less than staying registered. */
const MANY = 16;

function full(count: number, to?: string): DatagramBatch {
  const batch = new DatagramBatch({ capacity: count, size: 8 });
  for (let i = 0; i < count; i++) batch.add(String(i), to);
  return batch;
}

/** A socket that has waited once, so that it is registered. */
async function registered({ sys, socket, fire }: Fake, family: number = AF_INET): Promise<Socket> {
  const one = socket(family, SOCK_DGRAM);
  sys.script("recvmmsg", "EAGAIN", 1);
  const batch = new DatagramBatch();
  const first = one.recvmmsg(batch);
  fire(IN, one);
  assert.equal(await first, 1);
  sys.always("sendmmsg", (...args) => (args[4] as number) - (args[3] as number));
  sys.always("recvmmsg", EAGAIN);
  sys.log.length = 0;
  return one;
}

for (const family of [AF_INET, AF_UNIX]) {
  const over = family === AF_INET ? "UDP" : "a UNIX datagram socket";

  test(`a large batch over ${over} removes the registration, and the next recvmmsg() makes a system call before it registers again`, async () => {
    const fake = fakeKernel();
    const { sys, fire } = fake;
    const one = await registered(fake, family);
    assert.equal(await one.sendmmsg(full(MANY)), MANY);
    assert.equal(sys.isRegistered(one.fileno()), false);
    const next = watch(one.recvmmsg(new DatagramBatch()));
    await turn();
    assert.equal(next.state, "pending");
    assert.deepEqual(
      sys.log.map(({ name }) => name),
      ["pollerRemove", "sendmmsg", "recvmmsg", "pollerAdd"],
    );
    sys.script("recvmmsg", 5);
    fire(IN, one);
    await turn();
    assert.equal(next.value, 5);
    one.close();
    assert.equal(fake.reactor.registered, 0);
  });
}

test("datagrams that arrive between the batch and the next recvmmsg() are returned at once, without a registration", async () => {
  const fake = fakeKernel();
  const { sys } = fake;
  const one = await registered(fake);
  await one.sendmmsg(full(MANY));
  sys.script("recvmmsg", 7);
  assert.equal(await one.recvmmsg(new DatagramBatch()), 7);
  assert.equal(sys.isRegistered(one.fileno()), false);
  one.close();
});

test("a small batch leaves the registration alone", async () => {
  const fake = fakeKernel();
  const { sys } = fake;
  const one = await registered(fake);
  await one.sendmmsg(full(MANY - 1));
  assert.equal(sys.count("pollerRemove"), 0);
  await one.sendmmsg(full(2 * MANY), { start: MANY + 1 });
  assert.equal(sys.count("pollerRemove"), 0, "only what goes out counts");
  one.close();
});

test("the registration stays while a read, a write or a read of the error queue waits", async () => {
  const fake = fakeKernel();
  const { sys, fire } = fake;
  const one = await registered(fake);
  sys.always("recvmsg", EAGAIN);
  const reading = watch(one.recvmmsg(new DatagramBatch()));
  await one.sendmmsg(full(MANY));
  assert.ok(sys.isRegistered(one.fileno()));
  sys.script("recvmmsg", 1);
  fire(IN, one);
  await turn();
  assert.equal(reading.value, 1);

  const errors = watch(one.recvmsg(10, { flags: MSG_ERRQUEUE }));
  await one.sendmmsg(full(MANY));
  assert.ok(sys.isRegistered(one.fileno()));
  assert.equal(errors.state, "pending");

  sys.script("sendmmsg", "EAGAIN");
  const writing = watch(one.sendmmsg(full(MANY)));
  const behind = watch(one.sendmmsg(full(MANY)));
  assert.ok(sys.isRegistered(one.fileno()));
  fire(OUT, one);
  await turn();
  assert.deepEqual([writing.value, behind.value], [MANY, MANY]);
  one.close();
  await turn();
  assert.equal((errors.error as { code: string }).code, "ECANCELED");
});

test("a large batch that has to wait registers the socket for room, too", async () => {
  const fake = fakeKernel();
  const { sys, fire } = fake;
  const one = await registered(fake);
  sys.script("sendmmsg", 3, "EAGAIN");
  const sent = watch(one.sendmmsg(full(MANY)));
  await turn();
  assert.equal(sent.state, "pending");
  assert.equal(sys.callsOf("pollerAdd")[0]?.args[3], 0, "for writing as well as reading");
  fire(OUT, one);
  await turn();
  assert.equal(sent.value, MANY);

  // The next registration is for reading only, as the first one was.
  await one.sendmmsg(full(MANY));
  const reading = watch(one.recvmmsg(new DatagramBatch()));
  assert.equal(sys.callsOf("pollerAdd")[1]?.args[3], 1);
  one.close();
  await turn();
  assert.equal(reading.state, "rejected");
});

test("an event of a removed registration calls nothing", async () => {
  const fake = fakeKernel();
  const { sys } = fake;
  const one = await registered(fake);
  const stale = sys.token(one.fileno());
  await one.sendmmsg(full(MANY));
  const reading = watch(one.recvmmsg(new DatagramBatch()));
  const callsBefore = sys.count("recvmmsg");
  sys.fire([stale, IN]);
  await turn();
  assert.equal(sys.count("recvmmsg"), callsBefore);
  assert.equal(reading.state, "pending");
  one.close();
  await turn();
});

test("a TCP socket keeps its registration", async () => {
  const { sys, socket, fire } = fakeKernel();
  const one = socket(AF_INET, SOCK_STREAM);
  const read = one.recv(10);
  sys.script("recv", "EAGAIN", Buffer.from("x"));
  fire(IN, one);
  fire(IN, one);
  await read;
  sys.always("sendmmsg", MANY);
  await one.sendmmsg(full(MANY));
  assert.ok(sys.isRegistered(one.fileno()));
  one.close();
});

/** Whether an epoll descriptor of this process watches `fd`: proc_pid_fdinfo(5). */
function watched(fd: number): boolean {
  return readdirSync("/proc/self/fd").some((other) => {
    try {
      if (readlinkSync(`/proc/self/fd/${other}`) !== "anon_inode:[eventpoll]") return false;
      return new RegExp(`^tfd:\\s+${fd}\\s`, "m").test(readFileSync(`/proc/self/fdinfo/${other}`, "utf8"));
    } catch {
      // The descriptor by which the folder was read is gone.
      return false;
    }
  });
}

for (const family of networkFamilies) {
  test(`large batches over ${family.name} go to and fro, whenever they come, and none is missed`, async () => {
    await using server = await datagram(family);
    await using client = await datagram(family);
    const rounds = 50;
    const count = 2 * MANY;
    let unwatched = 0;
    const serving = (async () => {
      const batch = new DatagramBatch({ capacity: count, size: 8 });
      for (let left = rounds * count; left > 0; left -= batch.count) {
        const received = server.recvmmsg(batch);
        if (left === rounds * count) assert.ok(watched(server.fileno()), "the first call waits");
        await received;
        await server.sendmmsg(batch);
        if (!watched(server.fileno())) unwatched++;
      }
    })();
    const out = new DatagramBatch({ capacity: count, size: 8 });
    const back = new DatagramBatch({ capacity: count, size: 8 });
    const seen = new Set<string>();
    for (let round = 0; round < rounds; round++) {
      out.clear();
      for (let i = 0; i < count; i++) out.add(`${round}.${i}`, server.getsockname());
      await client.sendmmsg(out);
      for (let left = count; left > 0; left -= back.count) {
        await client.recvmmsg(back);
        for (const [data] of back) seen.add(data.toString());
      }
    }
    await serving;
    assert.equal(seen.size, rounds * count);
    assert.ok(unwatched > 0, "the registration was given up");
  });
}
