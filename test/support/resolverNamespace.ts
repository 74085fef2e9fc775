// Runs programs that look up names in new namespaces, with a private /etc and with loopback as the only network.
import { canUnshare } from "./namespaces.js";
import { Program } from "./program.js";

const FLAGS = ["--net", "--mount"];

/** The reason why such namespaces can't be made here, or false. Root can make them. */
export const noResolverNamespace: string | false = canUnshare(FLAGS)
  ? false
  : "no network and mount namespaces can be made here";

/** The contents of the private files in /etc. The name server is 127.0.0.1, where none runs. */
export interface ResolverFiles {
  readonly hosts?: string;
  readonly gai?: string;
  /** Options of resolv.conf(5). */
  readonly options?: string;
  /** Commands of sh(1) that run before the program. */
  readonly commands?: string;
}

/** Runs a compiled script in such namespaces. */
export function inResolverNamespace(script: URL, files: ResolverFiles, words: readonly string[] = []): Program {
  const { hosts = "127.0.0.1 localhost", gai = "", options = "", commands = "" } = files;
  const setUp = `
    set -e
    ip link set lo up
    folder=$(mktemp -d)
    mount -t tmpfs private "$folder"
    cp -a /etc/. "$folder"
    rm -f "$folder"/hosts "$folder"/gai.conf "$folder"/resolv.conf "$folder"/nsswitch.conf
    printf '%s\\n' "$1" > "$folder/hosts"
    printf '%s\\n' "$2" > "$folder/gai.conf"
    printf 'nameserver 127.0.0.1\\noptions %s\\n' "$3" > "$folder/resolv.conf"
    printf 'hosts: files dns\\n' > "$folder/nsswitch.conf"
    mount --move "$folder" /etc
    rmdir "$folder"
    shift 3
    ${commands}
    exec "$@"`;
  const args = ["sh", "-c", setUp, "sh", hosts, gai, options, process.execPath, "--expose-gc", script.pathname];
  return new Program("unshare", [...FLAGS, "--propagation", "private", ...args, ...words]);
}
