// For src/server/, which is above: how it accepts from the listeners of this folder. Not for users.

export { acceptStream, SocketListener } from "./socketListener.js";
export { finishSocketHandshakes, TlsSocketListener } from "./tlsSocketListener.js";
export { finishHandshakes, TlsListener } from "../tls/tlsListener.js";
export { type Handover, handoverOf, type PassableSocket, registerHandover } from "./handover.js";
export { inherited } from "./inherited.js";
export { notifyManager } from "./sdNotify.js";
export { type UpgradeMessage } from "./upgradeChannel.js";
export { type NewProgramChannel, openUpgradeChannel } from "./newProgramChannel.js";
