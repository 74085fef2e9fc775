// Loaded before a test file under Bun: what the tests expect of Node's --expose-gc.
globalThis.gc ??= () => Bun.gc(true);
