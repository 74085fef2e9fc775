// The waiting of the blocking socket, with calls that fail on demand.
import assert from "node:assert/strict";
import { test } from "node:test";
import { MSG_DONTWAIT, Socket, SocketError, socketpair, SOCK_DGRAM, AF_UNIX } from "berkeley/sync";
import { type Calls, calls } from "#berkeley/sys/calls.js";
import { EAGAIN, EINTR, EMFILE } from "#berkeley/sys/errno.js";
import { checkLeaks } from "../support/leaks.js";

checkLeaks();

/** Runs `body` with entries of the table replaced. */
function withCalls(replaced: Partial<Calls>, body: () => void): void {
  const before = { ...calls };
  Object.assign(calls, replaced);
  try {
    body();
  } finally {
    Object.assign(calls, before);
  }
}

const failing = (code: string) => (error: unknown) => error instanceof SocketError && error.code === code;

test("EINTR of the call and of poll(2) is tried again", () => {
  const [left, right] = socketpair();
  left.send("x");
  const real = { ...calls };
  const results = [EINTR, EAGAIN, EINTR];
  const polls = [EINTR];
  let asked = 0;
  withCalls(
    {
      recv: (...args) => results.shift() ?? real.recv(...args),
      poll: (fd, events, timeout) => {
        asked++;
        return polls.shift() ?? real.poll(fd, events, timeout);
      },
    },
    () => assert.equal(right.recv(10).toString(), "x"),
  );
  assert.equal(asked, 1);
  left.close();
  right.close();
});

test("poll(2) waits for a slice of the timeout at a time, and then for the rest", () => {
  const [left, right] = socketpair();
  const slices: number[] = [];
  const real = { ...calls };
  withCalls(
    {
      poll: (fd, events, timeout) => {
        slices.push(timeout);
        return real.poll(fd, events, timeout);
      },
    },
    () => assert.throws(() => right.recv(1, { timeout: 150 }), failing("ETIMEDOUT")),
  );
  assert.equal(slices[0], 100);
  assert.ok(slices.length >= 2 && slices.slice(1).every((slice) => slice > 0 && slice <= 60), String(slices));
  left.close();
  right.close();
});

test("readiness that is of no use again and again does not spin", () => {
  const [left, right] = socketpair();
  left.send("x");
  let tries = 0;
  withCalls(
    {
      recv: () => {
        tries++;
        return EAGAIN;
      },
    },
    () => assert.throws(() => right.recv(1, { timeout: 100 }), failing("ETIMEDOUT")),
  );
  assert.ok(tries > 3 && tries < 15, `${tries} tries`);
  left.close();
  right.close();
});

test("a second Ctrl-C that comes while the call looks for signals interrupts it, and does not end the program", () => {
  const [left, right] = socketpair();
  let caught = 1;
  let told = 1;
  let looks = 0;
  /** The second signal comes right after the first look, whichever that is. */
  const look = (): number => {
    const now = caught;
    if (looks++ === 0) caught = 2;
    return now;
  };
  withCalls(
    {
      pendingSignals: () => look(),
      takeSignals: () => {
        const now = look();
        const count = now - told;
        told = now;
        return count;
      },
    },
    () => assert.throws(() => right.recv(1, { timeout: 5_000 }), failing("EINTR")),
  );
  left.close();
  right.close();
});

test("a lack of descriptors is EMFILE for accept(), and waited out with retryOnShortage and by the loop", () => {
  using server = new Socket();
  server.bind("127.0.0.1:0");
  server.listen();
  using one = new Socket();
  one.connect(server.getsockname());
  using other = new Socket();
  other.connect(server.getsockname());
  const real = { ...calls };
  withCalls({ accept: () => EMFILE }, () => assert.throws(() => server.accept(), failing("EMFILE")));
  let shortages = 2;
  const soon = (...args: Parameters<typeof calls.accept>): number => (shortages-- > 0 ? EMFILE : real.accept(...args));
  withCalls({ accept: soon }, () => server.accept({ retryOnShortage: true })[0].close());
  shortages = 2;
  withCalls({ accept: soon }, () => {
    for (const [conn] of server) {
      conn.close();
      break;
    }
  });
  assert.equal(shortages, -1);
});

test("the full queue of a UNIX datagram socket is waited for with pauses, and MSG_DONTWAIT says EAGAIN", () => {
  using receiver = new Socket(AF_UNIX, SOCK_DGRAM);
  receiver.bind("unix:@berkeley-sync-" + String(process.pid));
  using sender = new Socket(AF_UNIX, SOCK_DGRAM);
  const address = receiver.getsockname();
  let sent = 0;
  assert.throws(() => {
    for (;;) {
      sender.sendto("x", address, { flags: MSG_DONTWAIT });
      sent++;
    }
  }, failing("EAGAIN"));
  assert.throws(() => sender.sendto("x", address, { timeout: 30 }), failing("ETIMEDOUT"));
  const real = { ...calls };
  let pauses = 0;
  withCalls(
    {
      pollEntries: (entries, timeout) => {
        // While the sender pauses, the receiver takes one.
        if (pauses++ === 1) receiver.recv(10);
        return real.pollEntries(entries, timeout);
      },
    },
    () => assert.equal(sender.sendto("y", address), 1),
  );
  assert.equal(pauses, 2);
  for (let i = 1; i < sent; i++) assert.equal(receiver.recv(10).toString(), "x");
  assert.equal(receiver.recv(10).toString(), "y");
});

test("the reads of a stream's call have one deadline together, and EINTR of a receive is tried again", () => {
  const [left, right] = socketpair();
  const stream = right.stream();
  const real = { ...calls };
  const slices: number[] = [];
  let reads = 0;
  withCalls(
    {
      // Each wait ends with one more byte, so only the deadline of the whole call can end it.
      poll: (fd, events, timeout) => {
        slices.push(timeout);
        left.sendAll("x");
        return real.poll(fd, events, timeout);
      },
      recvAt: (...args) => (reads++ === 0 ? EINTR : real.recvAt(...args)),
    },
    () => assert.throws(() => stream.readLine({ timeout: 40 }), failing("ETIMEDOUT")),
  );
  assert.ok(
    slices.every((slice, index) => slice <= (slices[index - 1] ?? 40)),
    String(slices),
  );
  assert.equal(stream.buffered, slices.length);
  left.sendAll("\n");
  assert.equal(stream.readLine(), "x".repeat(slices.length));
  left.close();
  right.close();
});

test("an errno of a stream's receive keeps the bytes that arrived before it", () => {
  const [left, right] = socketpair();
  const stream = right.stream();
  left.sendAll("half");
  const real = { ...calls };
  let reads = 0;
  withCalls({ recvAt: (...args) => (reads++ === 0 ? real.recvAt(...args) : EMFILE) }, () =>
    assert.throws(() => stream.readLine(), failing("EMFILE")),
  );
  left.sendAll(" whole\n");
  assert.equal(stream.readLine(), "half whole");
  left.close();
  right.close();
});
