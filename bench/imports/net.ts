// A program that imports Node's own sockets and ends.

// oxlint-disable-next-line import/no-unassigned-import -- what an import costs is measured
import "node:net";
