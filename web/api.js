// The one module that talks to the control plane. The session's cookie goes along by itself.

const BASE = document.querySelector('meta[name="pullarm-api"]')?.content ?? "";
const TIMEOUT_MS = 60_000;

/** Dispatched on window when an answer says that nobody is logged in. */
export const SIGNED_OUT = "pullarm-signed-out";

/** A request that was answered with a problem document, or not at all (status 0). */
export class Failed extends Error {
  constructor(message, status = 0, { problems = [], changes = [] } = {}) {
    super(message);
    this.status = status;
    /** Fields at fault: [{field, detail}]. */
    this.problems = problems;
    /** What others changed meanwhile, where the version was not the newest. */
    this.changes = changes;
  }
}

/** The JSON at a path; throws Failed with a sentence that can be shown. */
export const read = (path, signal) => ask(path, { signal, headers: { Accept: "application/json" } });

/** What a change is answered with, null for nothing; throws Failed. `version` is the config_no it is based on. */
export function send(method, path, content, { version } = {}) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  if (version !== undefined) headers["If-Match"] = `"${version}"`;
  return ask(path, {
    method,
    headers,
    body: content === undefined ? undefined : JSON.stringify(content),
  });
}

/** The address of a file to download. */
export const address = (path) => BASE + path;

/** The path of an experiment's own routes, with those parameters that have a value. */
export function of(experiment, route = "", parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = given.length ? `?${new URLSearchParams(given)}` : "";
  return `/api/experiments/${encodeURIComponent(experiment)}${route && `/${route}`}${query}`;
}

/**
 * Server-sent events: calls `told(kind, data)` for each, `opened()` and `broken()` as the connection comes and goes.
 * Answers a function that ends it. The browser reconnects by itself and says what it saw last; where the server refuses,
 * which ends an EventSource for good, a new one is opened after a while.
 */
export function stream(path, kinds, { told, opened, broken }) {
  let source,
    again,
    wait = 1_000;
  const open = () => {
    source = new EventSource(BASE + path);
    source.addEventListener("open", () => {
      wait = 1_000;
      opened();
    });
    source.addEventListener("error", () => {
      broken();
      if (source.readyState !== EventSource.CLOSED) return;
      again = setTimeout(open, wait);
      wait = Math.min(wait * 2, 30_000);
    });
    for (const kind of kinds) source.addEventListener(kind, (event) => told(kind, JSON.parse(event.data)));
  };
  open();
  return () => {
    clearTimeout(again);
    source.close();
  };
}

async function ask(path, { signal, ...options }) {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  let answer, body;
  try {
    answer = await fetch(BASE + path, {
      ...options,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    body = answer.status === 204 ? null : await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (limit.aborted) throw new Failed(`The control plane does not answer within ${TIMEOUT_MS / 1_000} s.`);
    throw new Failed(
      answer ? `The control plane answered ${answer.status}, not with JSON.` : "The control plane does not answer.",
    );
  }
  if (answer.ok) return body;
  if (answer.status === 401 && path !== "/api/session") dispatchEvent(new Event(SIGNED_OUT));
  throw new Failed(body.detail, answer.status, body);
}
