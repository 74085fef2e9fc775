// A program that imports the library and ends.

// oxlint-disable-next-line import/no-unassigned-import -- what an import costs is measured
import "berkeley";
