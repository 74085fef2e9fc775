// Lookups compared with Python's socket module, on this machine and with other databases of hosts and services.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { checkLeaks } from "../support/leaks.js";
import { canUnshare, runUnshared } from "../support/namespaces.js";
import { testSeeds } from "../support/random.js";
import { askBerkeley, askBlocking, askPython, differences, hasBlocking, paired, type Question } from "./python.js";
import { localQuestions, randomQuestions, resolverQuestions } from "./questions.js";

checkLeaks();

test("getaddrinfo() and its kin answer as Python's, awaited and blocking", async () => {
  const expected = paired(resolverQuestions, askPython(resolverQuestions));
  assert.ok(resolverQuestions.every(hasBlocking));
  assert.ok(expected.filter((line) => !line.includes("refused")).length > 300, "most are refused: what is compared?");
  assert.deepEqual(differences(paired(resolverQuestions, await askBerkeley(resolverQuestions)), expected), []);
  assert.deepEqual(differences(paired(resolverQuestions, askBlocking(resolverQuestions)), expected), []);
});

test("services, protocols, interfaces and addresses in text are as Python's", async () => {
  const expected = paired(localQuestions, askPython(localQuestions));
  const refused = expected.filter((line) => line.includes("refused")).length;
  assert.ok(expected.length - refused > 90, `${refused} of ${expected.length} are refused`);
  assert.deepEqual(differences(paired(localQuestions, await askBerkeley(localQuestions)), expected), []);
});

testSeeds("random IPv6 addresses in text and in bytes are as Python's", [7], async (random) => {
  const questions = randomQuestions(random);
  const expected = paired(questions, askPython(questions));
  const refused = expected.filter((line) => line.includes("refused")).length;
  assert.ok(refused > 500 && expected.length - refused > 500, `${refused} of ${expected.length} are refused`);
  assert.deepEqual(differences(paired(questions, await askBerkeley(questions)), expected), []);
});

const aliases = Array.from({ length: 200 }, (_, i) => `alias-number-${i}.example`);

/** Files that stand for those of /etc inside a mount namespace. */
const files: Readonly<Record<string, string>> = {
  hosts: [
    "127.0.0.1 localhost",
    "::1 localhost ip6-localhost",
    "192.0.2.10 first.example first one uno",
    "192.0.2.11 first.example",
    "2001:db8::10 first.example",
    "2001:db8::66 six.example six",
    `192.0.2.99 many.example ${aliases.join(" ")}`,
    "192.0.2.20 xn--bcher-kva.example",
    "192.0.2.30 plain",
    "",
  ].join("\n"),
  services: "berkeley 8888/tcp sockets # comment\nberkeley 8889/udp\nonlyudp 9/udp\n",
  protocols: "tcp 6 TCP\nfancy 253 FANCY fancier\n",
  "nsswitch.conf": "hosts: files\nservices: files\nprotocols: files\n",
};

const inFiles = [
  "first.example",
  "first",
  "uno",
  "six.example",
  "ip6-localhost",
  "many.example",
  "plain",
  "nobody.example",
];

const questions: readonly Question[] = [
  ...inFiles.flatMap((host): Question[] => [
    ...[0, 2, 10].flatMap((family): Question[] =>
      [0, 2, 8, 24].map((flags): Question => ["getaddrinfo", host, "berkeley", family, 1, 0, flags]),
    ),
    ["getaddrinfo", host, "onlyudp", 0, 1, 0, 0],
    ["getaddrinfo", host, "berkeley", 0, 0, 0, 0],
    ["gethostbyname", host],
    ["gethostbyname_ex", host],
    ["gethostbyaddr", host],
    ["getfqdn", host],
  ]),
  ["getaddrinfo", "bücher.example", 80, 0, 1, 0, 0],
  ["gethostbyname_ex", "bücher.example"],
  ...["192.0.2.10", "192.0.2.11", "192.0.2.99", "192.0.2.200", "2001:db8::66", "::1"].flatMap((host): Question[] => [
    ["gethostbyaddr", host],
    ["getfqdn", host],
    ["getnameinfo", [host, 8888], 0],
    ["getnameinfo", [host, 8888], 16],
    ["getnameinfo", [host, 8888], 8],
  ]),
  ["getservbyname", "berkeley"],
  ["getservbyname", "sockets", "tcp"],
  ["getservbyname", "sockets", "udp"],
  ["getservbyname", "http"],
  ["getservbyport", 8889],
  ["getservbyport", 8889, "tcp"],
  ["getprotobyname", "fancier"],
  ["getprotobyname", "icmp"],
];

test(
  "names from files made for it are as Python's",
  { skip: canUnshare(["-m", "-n", "-u"]) ? undefined : "unshare -m -n -u takes privileges" },
  () => {
    const folder = mkdtempSync(join(tmpdir(), "berkeley-names-"));
    after(() => rmSync(folder, { recursive: true }));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const input = join(folder, "questions.json");
    writeFileSync(input, JSON.stringify(questions));
    const { status, stdout, stderr } = runUnshared(
      ["-m", "-n", "-u"],
      `ip link set lo up
       hostname plain
       for name in ${Object.keys(files).join(" ")}; do mount --bind "$1/$name" "/etc/$name"; done
       exec "$NODE" "$2" "$1/questions.json"`,
      [folder, fileURLToPath(new URL("./answers.js", import.meta.url))],
    );
    assert.equal(stderr, "");
    assert.equal(status, 0);
    const { expected, awaited, blocking } = JSON.parse(stdout) as Record<string, string[]>;
    assert.ok(
      expected!.some((line) => line.includes(aliases.at(-1)!)),
      "the files are not those of the test",
    );
    assert.ok(expected!.some((line) => line.includes("EAI_")));
    assert.deepEqual(differences(awaited!, expected!), []);
    assert.deepEqual(
      differences(
        blocking!,
        expected!.filter((_, i) => hasBlocking(questions[i]!)),
      ),
      [],
    );
  },
);
