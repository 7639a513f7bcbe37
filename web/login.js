// The log-in: a token is exchanged for a cookie, which scripts cannot read; nothing of it is kept here.

import { el } from "./dom.js";
import { send } from "./api.js";

/** The form, which reloads the page once the token is taken. */
export function loginPage() {
  document.title = "Log in · Pullarm";
  const secret = el("input", { type: "password", name: "token", required: "", autocomplete: "off", placeholder: "pullarm_…" });
  const problem = el("p", { class: "notice", role: "alert", hidden: "" });
  const form = el(
    "form",
    { class: "login" },
    el("label", {}, "Token ", secret),
    el("button", { type: "submit" }, "Log in"),
    problem,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await send("POST", "/api/session", { token: secret.value });
      location.reload();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  });
  return [
    el("h1", {}, "Log in"),
    el("p", {}, "With a token of role viewer, operator or admin. ", el("code", {}, "pullarm up"), " keeps one in ", el("code", {}, "admin.token"), " in its state folder, and this makes another:"),
    el("pre", {}, el("code", {}, "pullarm token create --name me --role viewer")),
    form,
  ];
}

/** Who is logged in, and the way out. */
export function account({ name, role }) {
  const out = el("button", { type: "button" }, "Log out");
  out.addEventListener("click", async () => {
    try {
      await send("DELETE", "/api/session");
    } finally {
      location.reload();
    }
  });
  return [el("span", { class: "quiet" }, `${name} (${role})`), out];
}
