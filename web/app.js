// Which page this address is, and keeping it up to date.

import { read } from "./api.js";
import { el } from "./dom.js";
import { experimentPage } from "./experiment.js";
import { listPage } from "./list.js";
import { account, loginPage } from "./login.js";
import { REFERENCE, referencePage } from "./reference.js";

const EVERY_MS = 2000;
const TIMEOUT_MS = 10_000;

const [, noun, reference] = location.pathname.split("/");
const [path, draw] = route();

function route() {
  if (noun === "reference") return [REFERENCE, referencePage];
  if (noun !== "experiments" || !reference) return ["/api/experiments", listPage];
  return [`/api/experiments/${encodeURIComponent(decodeURIComponent(reference))}/summary`, experimentPage];
}

const page = document.getElementById("page");
const notice = document.getElementById("notice");
let shown = "";
let fresh = null;

function say(text) {
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = text === "";
}

function show(data) {
  // Redrawn only where something has changed, so that selections and focus survive.
  const { as_of: _, days_running: __, ...figures } = data;
  const now = JSON.stringify(figures);
  if (now !== shown) page.replaceChildren(...draw(data));
  shown = now;
}

function missing(message) {
  page.replaceChildren(el("h1", {}, "Not found"), el("p", {}, message), el("p", {}, el("a", { href: "/" }, "All experiments")));
  shown = "";
}

/** Whether that was all: where somebody has to log in first, and where nothing changes. */
async function refresh() {
  try {
    show(await read(path, AbortSignal.timeout(TIMEOUT_MS)));
    fresh = new Date();
    say("");
    return noun === "reference";
  } catch (error) {
    if (error.status === 401) {
      page.replaceChildren(...loginPage());
      say("");
      return true;
    }
    if (error.status === 404) {
      missing(error.message);
      say("");
      return false;
    }
    const figures = fresh ? ` The figures are from ${fresh.toLocaleTimeString()}.` : "";
    say(`${error.message} Serving is not affected by this page.${figures} Trying again every ${EVERY_MS / 1000} s.`);
    return false;
  }
}

async function run() {
  const who = await read("/api/session").catch(() => null);
  if (who) document.getElementById("account").replaceChildren(...account(who));
  for (;;) {
    // After a log-in the page is loaded anew.
    if (!document.hidden && (await refresh())) return;
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

run();
