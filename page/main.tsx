// The page: header, routes, theme and keys.

import { render } from "preact";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { ageText, clockTime, plural, visible } from "./format.js";
import { Notice } from "./parts.js";
import { SocketPage } from "./socketPage.js";
import { type State, useStore, watch } from "./store.js";
import { Table } from "./table.js";
import { Tour } from "./tour.js";

/** The view that the address names after `#`. */
type Route =
  | { readonly view: "table" }
  | { readonly view: "socket"; readonly id: string }
  | { readonly view: "tour"; readonly lesson: string | null };

function readRoute(): Route {
  const [, view = "", escapedName = ""] = /^#\/([^/]*)\/?(.*)$/.exec(location.hash) ?? [];
  let name: string;
  try {
    name = decodeURIComponent(escapedName);
  } catch {
    name = "";
  }
  if (view === "sockets" && name !== "") return { view: "socket", id: name };
  if (view === "tour") return { view: "tour", lesson: name === "" ? null : name };
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

/** Returns the chosen theme, the shown one (dark or light), and a function that chooses the next theme. */
function useTheme(): [Theme, string, () => void] {
  const savedTheme = readSetting("berkeley-theme");
  const [theme, setTheme] = useState<Theme>(THEMES.find((name) => name === savedTheme) ?? "auto");
  const [isSystemDark, setSystemDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const listener = (): void => setSystemDark(query.matches);
    query.addEventListener("change", listener);
    return () => query.removeEventListener("change", listener);
  }, []);
  const shownTheme = theme === "dark" || (theme === "auto" && isSystemDark) ? "dark" : "light";
  document.documentElement.dataset["theme"] = shownTheme;
  const selectNext = (): void => {
    const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    writeSetting("berkeley-theme", next);
    setTheme(next);
  };
  return [theme, shownTheme, selectNext];
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

/** Whether letters that are typed go into this element. */
const isTyping = (target: HTMLElement | null): boolean =>
  (target?.closest('input:not([type="checkbox"]), select, textarea') ?? null) !== null;

function App(): JSX.Element {
  const [route, setRoute] = useState(readRoute);
  const [theme, shownTheme, selectNextTheme] = useTheme();
  // Whether the shortcuts of one letter are on.
  const [letterKeys, setLetterKeys] = useState(readSetting("berkeley-keys") !== "off");
  const help = useRef<HTMLDialogElement>(null);
  const state = useStore();
  const socketId = route.view === "socket" ? route.id : null;
  // For the link "Sockets": "page" in the view itself, and "true" on the page of one socket, which is below the view.
  const socketsCurrent = ({ table: "page", socket: "true", tour: undefined } as const)[route.view];

  useEffect(() => {
    const listener = (): void => {
      setRoute(readRoute());
      scrollTo(0, 0);
    };
    addEventListener("hashchange", listener);
    return () => removeEventListener("hashchange", listener);
  }, []);
  useEffect(() => watch(socketId), [socketId]);
  useEffect(() => {
    const title = state.process === null ? "" : `${visible(state.process.title)} (${state.process.pid}) – `;
    document.title = `${title}berkeley inspector`;
  }, [state.process?.title, state.process?.pid]);

  useEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
      if (hasModifier || event.defaultPrevented || help.current?.open === true) return;
      const target = event.target instanceof HTMLElement ? event.target : null;
      const search = document.querySelector<HTMLInputElement>("#search");
      if (event.key === "Escape") {
        if (target === search && search !== null) {
          // The browser clears the search at the first Esc. The second one leaves the search.
          if (search.value === "") search.blur();
        } else if (route.view !== "table") location.hash = "#/";
        return;
      }
      if (!letterKeys || isTyping(target)) return;
      if (event.key === "/") {
        event.preventDefault();
        if (search === null) location.hash = "#/";
        // The table must be drawn first.
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
          <Logo />
          <span>
            berkeley <span class="brand-second">inspector</span>
          </span>
        </a>
        <nav aria-label="Views">
          <a href="#/" aria-current={socketsCurrent}>
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
            checked={letterKeys}
            onChange={(event) => {
              setLetterKeys(event.currentTarget.checked);
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

function Logo(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <path d="M7 12h16m-4.5-4.5L23 12l-4.5 4.5M25 21H9m4.5 4.5L9 21l4.5-4.5" />
    </svg>
  );
}

const CONNECTION_TEXTS: Readonly<Record<State["connection"], string>> = {
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
        {CONNECTION_TEXTS[connection]}
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
  const [, redraw] = useState(0);
  const isDisconnected = connection === "lost" || connection === "silent";
  useEffect(() => {
    if (!isDisconnected) return undefined;
    const timer = setInterval(() => redraw(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [isDisconnected]);
  const staleText = time === 0 ? "" : ` What you see is from ${clockTime(time)}, ${ageText(Date.now() - time)} ago.`;
  return (
    <section class="banners" aria-label="Notices">
      <div role="alert">
        {connection === "silent" && (
          <Notice tone="bad" title="The process does not answer.">
            It has ended, or its inspector was stopped. This page tries to connect again and again.
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

// Moves the token from the parameter to the first folder of the address. The page requests relative addresses, so its
// requests contain that folder. After a reload the page still has the token.
const token = new URLSearchParams(location.search).get("token");
if (token !== null) history.replaceState(null, "", `/${encodeURIComponent(token)}/${location.hash}`);

render(<App />, document.querySelector("#app")!);
