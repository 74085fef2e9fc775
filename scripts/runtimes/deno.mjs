// Loaded before a test file under Deno. Tests start programs by process.execPath with the arguments of Node.js: a script
// takes its place that starts Deno with the arguments that it has for the same (test:runtimes writes it).
import process from "node:process";

if (process.env.BERKELEY_DENO !== undefined) process.execPath = process.env.BERKELEY_DENO;
