// A program that imports the library and ends.

import "berkeley";
