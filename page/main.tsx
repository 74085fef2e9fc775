// The page: header, routes, theme and keys.

import { render } from "preact";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { age, clockTime, plural, visible } from "./format.js";
import { Notice } from "./parts.js";
import { SocketPage } from "./socketPage.js";
import { type State, useStore, watch } from "./store.js";
import { Table } from "./table.js";
import { Tour } from "./tour.js";

type Route =
  | { readonly view: "table" }
  | { readonly view: "socket"; readonly id: string }
  | { readonly view: "tour"; readonly lesson: string | null };

function readRoute(): Route {
  const [, view = "", name = ""] = /^#\/([^/]*)\/?(.*)$/.exec(location.hash) ?? [];
  let value: string;
  try {
    value = decodeURIComponent(name);
  } catch {
    value = "";
  }
  if (view === "sockets" && value !== "") return { view: "socket", id: value };
  if (view === "tour") return { view: "tour", lesson: value === "" ? null : value };
  return { view: "table" };
}

const readSetting = (key: string): string | null => {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
};
const writeSetting = (key: string, value: string): void => {
  try {
    localStorage.setItem(key, value);
  } catch {
    // The browser stores nothing for this page, so the setting is lost when the page is closed.
  }
};

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const THEME_NAMES: Readonly<Record<Theme, string>> = { auto: "Auto", light: "Light", dark: "Dark" };

/** Returns the setting, the theme that is shown (dark or light), and a function that selects the next setting. */
function useTheme(): [Theme, string, () => void] {
  const before = readSetting("berkeley-theme");
  const [theme, setTheme] = useState<Theme>(THEMES.find((name) => name === before) ?? "auto");
  const [systemDark, setSystemDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const listener = (): void => setSystemDark(query.matches);
    query.addEventListener("change", listener);
    return () => query.removeEventListener("change", listener);
  }, []);
  const dark = theme === "dark" || (theme === "auto" && systemDark);
  document.documentElement.dataset["theme"] = dark ? "dark" : "light";
  const selectNext = (): void => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    writeSetting("berkeley-theme", next);
    setTheme(next);
  };
  return [theme, dark ? "dark" : "light", selectNext];
}

const SHORTCUTS: readonly (readonly [string, string])[] = [
  ["/", "search in the table"],
  ["↑ ↓", "row above, row below"],
  ["Page Up, Page Down", "a screen of rows"],
  ["Home, End", "first row, last row"],
  ["Enter", "open the socket of the row"],
  ["Esc", "back to the table; in the search: clear it"],
  ["s", "sockets"],
  ["t", "tour"],
  ["d", "auto, light or dark"],
  ["?", "this list"],
];

/** Whether the element takes the letters that are typed. */
const isTyping = (target: HTMLElement | null): boolean =>
  (target?.closest('input:not([type="checkbox"]), select, textarea') ?? null) !== null;

function App(): JSX.Element {
  const [route, setRoute] = useState(readRoute);
  const [theme, shownTheme, selectNextTheme] = useTheme();
  const [keys, setKeys] = useState(readSetting("berkeley-keys") !== "off");
  const help = useRef<HTMLDialogElement>(null);
  const state = useStore();
  const socket = route.view === "socket" ? route.id : null;

  useEffect(() => {
    const listener = (): void => {
      setRoute(readRoute());
      scrollTo(0, 0);
    };
    addEventListener("hashchange", listener);
    return () => removeEventListener("hashchange", listener);
  }, []);
  useEffect(() => watch(socket), [socket]);
  useEffect(() => {
    const title = state.process === null ? "" : `${visible(state.process.title)} (${state.process.pid}) – `;
    document.title = `${title}berkeley inspector`;
  }, [state.process?.title, state.process?.pid]);

  useEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || help.current?.open === true)
        return;
      const target = event.target instanceof HTMLElement ? event.target : null;
      const search = document.querySelector<HTMLInputElement>("#search");
      if (event.key === "Escape") {
        if (target === search && search !== null) {
          if (search.value === "") search.blur();
        } else if (route.view !== "table") location.hash = "#/";
        return;
      }
      if (!keys || isTyping(target)) return;
      if (event.key === "/") {
        event.preventDefault();
        if (search === null) location.hash = "#/";
        setTimeout(() => document.querySelector<HTMLInputElement>("#search")?.focus());
      } else if (event.key === "s") location.hash = "#/";
      else if (event.key === "t") location.hash = "#/tour";
      else if (event.key === "d") selectNextTheme();
      else if (event.key === "?") help.current?.showModal();
    };
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  });

  return (
    <div class={`app view-${route.view}`}>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          const row = document.querySelector<HTMLElement>('#main [role="row"][tabindex="0"], #main h1');
          row?.setAttribute("tabindex", row.getAttribute("tabindex") ?? "-1");
          row?.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="#/">
          <Mark />
          <span>
            berkeley <span class="brand-second">inspector</span>
          </span>
        </a>
        <nav aria-label="Views">
          <a href="#/" aria-current={route.view === "table" ? "page" : route.view === "socket" ? "true" : undefined}>
            Sockets
          </a>
          <a href="#/tour" aria-current={route.view === "tour" ? "page" : undefined}>
            Tour
          </a>
        </nav>
        <ProcessFacts state={state} />
        <div class="tools">
          <button type="button" onClick={selectNextTheme} title="Theme (d)">
            <span class="hidden">Theme: </span>
            {THEME_NAMES[theme]}
          </button>
          <button type="button" onClick={() => help.current?.showModal()} title="Keys (?)" aria-label="Keys">
            ?
          </button>
        </div>
      </header>
      <Banners state={state} />
      {route.view === "table" && <Table state={state} />}
      {route.view === "socket" && <SocketPage id={route.id} state={state} theme={shownTheme} />}
      {route.view === "tour" && <Tour lesson={route.lesson} />}
      <dialog ref={help} aria-labelledby="keys-title">
        <h2 id="keys-title">Keys</h2>
        <dl class="keys">
          {SHORTCUTS.map(([key, meaning]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
        <label class="check">
          <input
            type="checkbox"
            checked={keys}
            onChange={(event) => {
              setKeys(event.currentTarget.checked);
              writeSetting("berkeley-keys", event.currentTarget.checked ? "on" : "off");
            }}
          />
          Keys of one letter are on
        </label>
        <form method="dialog">
          <button class="primary">Close</button>
        </form>
      </dialog>
    </div>
  );
}

/** The logo. */
function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <path d="M7 12h16m-4.5-4.5L23 12l-4.5 4.5M25 21H9m4.5 4.5L9 21l4.5-4.5" />
    </svg>
  );
}

const CONNECTIONS: Readonly<Record<State["connection"], string>> = {
  connecting: "connecting",
  live: "live",
  lost: "connection lost",
  silent: "no answer",
  refused: "refused",
};

function ProcessFacts({ state }: { readonly state: State }): JSX.Element {
  const { process, connection, dropped } = state;
  return (
    <div class="process">
      <span class={`link ${connection}`} role="status">
        <i aria-hidden="true" />
        {CONNECTIONS[connection]}
      </span>
      {process !== null && (
        <span class="process-facts">
          <b title={visible(process.title)}>{visible(process.title)}</b>
          <span>pid {process.pid}</span>
          <span>Node.js {visible(process.node.replace(/^v/, ""))}</span>
          {process.threads > 1 && <span>{plural(process.threads, "thread")}</span>}
          {dropped > 0 && (
            <span title="The inspector keeps the latest calls. Counters and states are complete; timelines begin later.">
              {plural(dropped, "record")} dropped
            </span>
          )}
        </span>
      )}
    </div>
  );
}

/** Notices about the connection to the process. While it is lost, the age of the data is updated every second. */
function Banners({ state }: { readonly state: State }): JSX.Element {
  const { connection, time } = state;
  const [, tick] = useState(0);
  const isDisconnected = connection === "lost" || connection === "silent";
  useEffect(() => {
    if (!isDisconnected) return undefined;
    const timer = setInterval(() => tick(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [isDisconnected]);
  const staleText = time === 0 ? "" : ` What you see is from ${clockTime(time)}, ${age(Date.now() - time)} ago.`;
  return (
    <section class="banners" aria-label="Notices">
      <div role="alert">
        {connection === "silent" && (
          <Notice tone="bad" title="The process does not answer.">
            It has ended, or its inspector was stopped. This page goes on asking.
          </Notice>
        )}
        {connection === "refused" && (
          <Notice tone="bad" title="The process refuses this page.">
            The token is not of this run. Open the address that the process printed.
          </Notice>
        )}
        {connection === "lost" && (
          <Notice tone="warn" title="Connection lost.">
            Connecting again.
          </Notice>
        )}
      </div>
      {isDisconnected && staleText !== "" && <p class="stale">{staleText}</p>}
    </section>
  );
}

// Moves the token from the parameter to a folder of the address. The requests of the page are relative to the address,
// so they have the token. After a reload the page still has it.
const token = new URLSearchParams(location.search).get("token");
if (token !== null) history.replaceState(null, "", `/${encodeURIComponent(token)}/${location.hash}`);

render(<App />, document.querySelector("#app")!);
