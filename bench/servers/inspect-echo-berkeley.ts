// The server of tcp-echo with the inspector: not loaded ("none"), loaded and off ("off"), or on ("on"): the second argument. The
// first one is the way to echo.

const mode = process.argv[3];
if (mode !== "none" && mode !== "off" && mode !== "on") throw new Error("a mode is required: none, off, on");
if (mode !== "none") {
  const { startInspector } = await import("berkeley/inspect");
  if (mode === "on") await startInspector();
}
await import("./tcp-echo-berkeley.js");
