// A program that imports the synchronous sockets only and ends.

import "berkeley/sync";
