// The server of tcp-echo with the inspector. The first argument is that of tcp-echo-berkeley.ts. The second argument is
// the mode of the inspector: "none" (not loaded), "off" (loaded and off) or "on".

const mode = process.argv[3];
if (mode !== "none" && mode !== "off" && mode !== "on") throw new Error("a mode is required: none, off, on");
if (mode !== "none") {
  const { startInspector } = await import("berkeley/inspect");
  if (mode === "on") await startInspector();
}
await import("./tcp-echo-berkeley.js");
