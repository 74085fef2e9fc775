// The workloads, in the order in which they are listed.

import type { Workload } from "../lib/workload.js";
import { importing } from "./import.js";
import { inspect } from "./inspect.js";
import { proxy } from "./proxy.js";
import { resp } from "./resp.js";
import { sendfile } from "./sendfile.js";
import { serve } from "./serve.js";
import { splice } from "./splice.js";
import { stream } from "./stream.js";
import { tcpEcho } from "./tcp-echo.js";
import { tls } from "./tls.js";
import { udp } from "./udp.js";

export const workloads: readonly Workload[] = [
  tcpEcho,
  udp,
  sendfile,
  splice,
  stream,
  serve,
  proxy,
  resp,
  tls,
  importing,
  inspect,
];
