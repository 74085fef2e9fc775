// Loaded before a test file under Bun. Defines gc(), which Node's --expose-gc defines.
globalThis.gc ??= () => Bun.gc(true);
