// A program that imports Node's own sockets and ends.

import "node:net";
