// Light or dark: as the reader chose, else as the system has it.

const KEY = "pullarm-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** What the reader chose: "light", "dark", or "system". */
export function chosen() {
  try {
    return localStorage.getItem(KEY) ?? "system";
  } catch {
    return "system"; // storage may be forbidden
  }
}

/** Choose, and keep the choice where that is allowed. */
export function choose(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It holds until the page is left.
  }
  apply(theme);
}

/** The colour of a token as it is now, as charts want it. */
export function token(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

const probe = document.createElement("i");
probe.hidden = true;
document.documentElement.append(probe);

function apply(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("pullarm-theme"));
}

system.addEventListener("change", () => apply(chosen()));
addEventListener("storage", (event) => event.key === KEY && apply(chosen()));
apply(chosen());
