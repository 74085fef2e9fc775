// Checks of arguments, and the texts of their values in error messages.

export { brand, isBranded, quoteNonInstance } from "./brand.js";
export { byteCount, bytesToSend, byteView, EMPTY, type Sendable, totalLength } from "./bytes.js";
export { int32, integer } from "./numbers.js";
export { checkNames, checkOptions, flag } from "./optionsObject.js";
export { quote, quoteSecret } from "./quote.js";
