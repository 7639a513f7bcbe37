// Which page an address is, and going to another one without loading the document anew.

/** Every page: its path, the element that shows it, and the module that defines that. */
const ROUTES = [
  {
    path: /^\/$/,
    rail: "experiments",
    tag: "pa-experiments",
    load: () => import("./pages/experiments.js"),
  },
  {
    path: /^\/experiments\/(?<reference>[^/]+)$/,
    rail: "experiments",
    tag: "pa-experiment",
    load: () => import("./pages/experiment.js"),
  },
  { path: /^\/new$/, rail: "experiments", tag: "pa-edit", load: () => import("./pages/edit.js") },
  {
    path: /^\/experiments\/(?<reference>[^/]+)\/edit$/,
    rail: "experiments",
    tag: "pa-edit",
    load: () => import("./pages/edit.js"),
  },
  {
    path: /^\/replays$/,
    rail: "replays",
    tag: "pa-replays",
    load: () => import("./pages/replays.js"),
  },
  { path: /^\/system$/, rail: "system", tag: "pa-system", load: () => import("./pages/system.js") },
  { path: /^\/access$/, rail: "access", tag: "pa-access", load: () => import("./pages/access.js") },
  {
    path: /^\/reference$/,
    rail: "reference",
    tag: "pa-reference",
    load: () => import("./pages/reference.js"),
  },
];

/** Dispatched on window after the address has changed. */
export const MOVED = "pullarm-moved";

/** The route of an address with its parameters, or null. */
export function match(path = location.pathname) {
  for (const route of ROUTES) {
    const found = route.path.exec(path);
    if (found)
      return {
        ...route,
        parameters: Object.fromEntries(
          Object.entries(found.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)]),
        ),
      };
  }
  return null;
}

/** Go to an address of ours; `replace` leaves no entry to go back to. */
export function go(address, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", address);
  dispatchEvent(new Event(MOVED));
}

/** The query of the address as an object. */
export const query = () => Object.fromEntries(new URLSearchParams(location.search));

/** Change parameters of the query; empty ones go. */
export function setQuery(changes) {
  const wanted = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) wanted.set(name, value);
    else wanted.delete(name);
  }
  const text = wanted.toString();
  go(location.pathname + (text && `?${text}`) + location.hash, { replace: true });
}

/** Clicks on links to pages of ours go there; all others are the browser's. */
export function follow() {
  addEventListener("popstate", () => dispatchEvent(new Event(MOVED)));
  document.addEventListener("click", (event) => {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = event.composedPath().find((node) => node instanceof HTMLAnchorElement);
    if (
      !link ||
      link.origin !== location.origin ||
      link.target ||
      link.hasAttribute("download") ||
      !match(link.pathname)
    )
      return;
    event.preventDefault();
    go(link.href);
    scrollTo(0, 0);
  });
}
