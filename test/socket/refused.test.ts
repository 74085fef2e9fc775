// EAGAIN without a later event: the call is tried again, and ends by its deadline or when the cause has ended.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { canUnshare, runUnshared } from "../support/namespaces.js";

const scenes = fileURLToPath(new URL("./refusedScenes.js", import.meta.url));
const skip = canUnshare(["--net"]) ? undefined : "unshare --net takes privileges";

for (const kind of ["awaitable", "sync"]) {
  test(
    `a call of the ${kind} socket that finds no free port or a full receiver ends in time, and goes on later`,
    { skip },
    () => {
      const { status, stdout, stderr } = runUnshared(["--net"], `exec "$NODE" "$@"`, [scenes, kind]);
      assert.deepEqual([status, stderr], [0, ""]);
      const lines = stdout.trim().split("\n");
      assert.equal(lines.length, kind === "sync" ? 14 : 16);
      for (const line of lines) assert.match(line, /: ETIMEDOUT slept, EAGAIN, none$/);
    },
  );
}
