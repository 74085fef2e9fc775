// Writes the public surface to golden files. For each entry of "exports" in package.json, etc/<entry>.api.md has the
// public names and types. API Extractor makes the files from the compiled declarations.
//
//   npm run surface                        writes the files; their diff shows what changes for users
//   node scripts/surface.mjs --check       fails when they differ from the present declarations
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Extractor, ExtractorConfig, ExtractorLogLevel } from "@microsoft/api-extractor";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const golden = join(root, "etc");
const fresh = join(root, "out", "surface");
const checking = process.argv.includes("--check");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** [name of the report, declarations] of each entry. The report of "." has the name of the package. */
const entries = Object.entries(manifest.exports).flatMap(([subpath, target]) =>
  typeof target === "object" && target.types
    ? [[subpath.slice(2) || manifest.name, join(root, target.types.replace("./dist/", "out/lib/"))]]
    : [],
);

const complaint = { logLevel: ExtractorLogLevel.Error, addToApiReportFile: false };
const silence = { logLevel: ExtractorLogLevel.None, addToApiReportFile: false };
const remark = { logLevel: ExtractorLogLevel.None, addToApiReportFile: true };

function configFor(name, declarations) {
  return ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, "package.json"),
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: declarations,
      newlineKind: "lf",
      compiler: {
        // API Extractor has a compiler of its own, which reads our declarations and not our sources.
        overrideTsconfig: {
          compilerOptions: {
            target: "ES2022",
            lib: ["ES2023", "ESNext.Disposable"],
            module: "NodeNext",
            moduleResolution: "NodeNext",
            types: ["node"],
            strict: true,
            exactOptionalPropertyTypes: true,
            skipLibCheck: true,
          },
          files: [declarations],
        },
      },
      apiReport: {
        enabled: true,
        reportFileName: `${name.replaceAll("/", "-")}.api.md`,
        reportFolder: golden,
        reportTempFolder: fresh,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: complaint },
        extractorMessageReporting: {
          default: remark,
          // All exports are public, so they need no tag such as @public or @beta.
          "ae-missing-release-tag": silence,
          "ae-undocumented": silence,
        },
        // The syntax of doc comments is not a part of the surface.
        tsdocMessageReporting: { default: silence },
      },
    },
  });
}

mkdirSync(golden, { recursive: true });
mkdirSync(fresh, { recursive: true });
const wrong = [];
const known = new Set();
for (const [name, declarations] of entries) {
  if (!existsSync(declarations)) {
    process.stderr.write(`surface: ${relative(root, declarations)} is missing: run npm run setup\n`);
    process.exit(1);
  }
  const config = configFor(name, declarations);
  known.add(relative(golden, config.reportFilePath));
  const result = Extractor.invoke(config, {
    localBuild: !checking,
    messageCallback(message) {
      // The result is printed below, with the diff.
      if (message.logLevel !== ExtractorLogLevel.Error || message.messageId.startsWith("console-"))
        message.handled = true;
    },
  });
  if (result.errorCount > 0 && !result.apiReportChanged) process.exit(1);
  if (!result.apiReportChanged) continue;
  const report = relative(root, config.reportFilePath);
  if (checking) {
    wrong.push(report);
    const before = existsSync(config.reportFilePath) ? report : "/dev/null";
    spawnSync("diff", ["-u", before, relative(root, config.reportTempFilePath)], { cwd: root, stdio: "inherit" });
  } else {
    process.stdout.write(`surface: wrote ${report}\n`);
  }
}

for (const file of readdirSync(golden).filter((path) => path.endsWith(".api.md") && !known.has(path))) {
  if (checking) wrong.push(join("etc", file));
  else {
    rmSync(join(golden, file));
    process.stdout.write(`surface: removed ${join("etc", file)}: its entry is gone\n`);
  }
}

if (wrong.length > 0) {
  process.stderr.write(
    `surface: the public surface differs from ${wrong.join(", ")}` +
      `\nsurface: if that is meant, run npm run surface, read the diff and commit it with a line in CHANGELOG.md\n`,
  );
  process.exit(1);
}
