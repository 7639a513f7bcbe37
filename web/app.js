// <pa-app>: the frame. Rail, who is logged in, theme, keyboard; and the page that the address names.

import { LitElement, css, html, nothing } from "lit";
import { keyed } from "lit/directives/keyed.js";
import { html as dynamic, unsafeStatic } from "lit/static-html.js";
import { SIGNED_OUT, read, send } from "./api.js";
import { MOVED, follow, go, match } from "./router.js";
import { base, controls } from "./styles.js";
import { choose, chosen } from "./theme.js";
import { ICONS } from "./parts/icons.js";
import "./parts/login.js";

const RAIL = [
  { id: "experiments", href: "/", text: "Experiments" },
  { id: "replays", href: "/replays", text: "Replays" },
  { id: "system", href: "/system", text: "System" },
  { id: "access", href: "/access", text: "Access" },
  { id: "reference", href: "/reference", text: "REST interface" },
];
const THEMES = ["system", "light", "dark"];

/** The first search field of a page, also within its panels. */
function searchIn(root) {
  const own = root.querySelector("input[type=search]");
  return (
    own ?? [...root.querySelectorAll("*")].map((each) => each.renderRoot && searchIn(each.renderRoot)).find(Boolean)
  );
}

class App extends LitElement {
  static properties = {
    who: { state: true }, // undefined before that is known, null for nobody
    unreachable: { state: true },
    route: { state: true },
    open: { state: true }, // the rail, where there is no room for it
    theme: { state: true },
  };

  static styles = [
    base,
    controls,
    css`
      :host {
        display: grid;
        grid-template-columns: 208px minmax(0, 1fr);
        min-height: 100vh;
      }
      .rail {
        position: sticky;
        top: 0;
        height: 100vh;
        display: flex;
        flex-direction: column;
        gap: 4px;
        padding: 16px 12px;
        background: var(--panel);
        border-right: 1px solid var(--line);
      }
      .brand {
        display: flex;
        align-items: center;
        gap: 8px;
        padding: 4px 12px 16px;
        font-size: 16px;
        font-weight: 650;
        color: inherit;
        text-decoration: none;
      }
      .brand img {
        width: 20px;
        height: 20px;
      }
      nav {
        display: flex;
        flex-direction: column;
        gap: 2px;
      }
      nav a {
        display: flex;
        align-items: center;
        gap: 10px;
        padding: 6px 12px;
        color: var(--text);
        text-decoration: none;
        border-radius: 6px;
      }
      nav a:hover {
        background: var(--sunken);
      }
      nav a[aria-current] {
        background: var(--sunken);
        font-weight: 600;
      }
      .foot {
        margin-top: auto;
        display: grid;
        gap: 8px;
        padding: 12px;
        font-size: 12.5px;
        border-top: 1px solid var(--line);
      }
      .foot select,
      .foot button {
        min-height: 28px;
        padding: 2px 8px;
        font-size: 12.5px;
      }
      .foot label {
        display: flex;
        gap: 8px;
        align-items: center;
        justify-content: space-between;
      }
      main {
        padding: 20px 32px 64px;
        min-width: 0;
        max-width: 1480px;
      }
      .toggle {
        display: none;
      }
      .skip {
        position: absolute;
        left: -999px;
        top: 8px;
        z-index: 9;
        padding: 8px 16px;
        background: var(--panel);
      }
      .skip:focus {
        left: 8px;
      }
      .bar {
        padding: 8px 16px;
        margin-bottom: 16px;
        color: var(--warn);
        background: var(--warn-back);
        border-radius: 6px;
      }
      @media (max-width: 860px) {
        :host {
          display: block;
        }
        .rail {
          position: static;
          height: auto;
          padding: 8px 12px;
          border-right: 0;
          border-bottom: 1px solid var(--line);
        }
        .brand {
          padding: 4px 8px;
        }
        .top {
          display: flex;
          justify-content: space-between;
          align-items: center;
        }
        .toggle {
          display: inline-flex;
          align-items: center;
          gap: 8px;
        }
        .rail nav,
        .rail .foot {
          display: none;
        }
        .rail.open nav {
          display: flex;
        }
        .rail.open .foot {
          display: grid;
        }
        main {
          padding: 16px 16px 48px;
        }
      }
    `,
  ];

  constructor() {
    super();
    this.who = undefined;
    this.unreachable = false;
    this.route = match();
    this.open = false;
    this.theme = chosen();
  }

  connectedCallback() {
    super.connectedCallback();
    follow();
    addEventListener(MOVED, this.#moved);
    addEventListener(SIGNED_OUT, () => (this.who = null));
    addEventListener("keydown", this.#keys);
    this.#load();
    this.#ask();
  }

  async #ask() {
    try {
      this.who = await read("/api/session");
      this.unreachable = false;
    } catch (error) {
      if (error.status === 401) this.who = null;
      else {
        this.unreachable = true;
        setTimeout(() => this.#ask(), 2_000);
      }
    }
  }

  #moved = () => {
    const route = match();
    // The same page may be asked for in another way, by the query: it sees to that itself.
    if (JSON.stringify(route?.parameters) !== JSON.stringify(this.route?.parameters) || route?.tag !== this.route?.tag)
      this.route = route;
    this.open = false;
    this.#load();
  };

  async #load() {
    await this.route?.load();
    this.requestUpdate();
  }

  #keys = (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const at = event.composedPath()[0];
    if (at instanceof Element && at.matches("input, select, textarea, [contenteditable]")) return;
    if (event.key === "/") {
      const page = this.renderRoot.querySelector("#page");
      const search = page && searchIn(page.renderRoot);
      if (search) {
        event.preventDefault();
        search.focus();
      }
    } else if (event.key === "e" && this.before === "g") go("/");
    this.before = event.key;
  };

  async #leave() {
    try {
      await send("DELETE", "/api/session");
    } finally {
      this.who = null;
    }
  }

  render() {
    return html` <a class="skip" href="#page" @click=${this.#skip}>Skip to the page</a>
      <div class="rail ${this.open ? "open" : ""}">
        <div class="top">
          <a class="brand" href="/"><img src="/icon.svg" alt="" />Pullarm</a>
          <button class="toggle" aria-expanded=${this.open} @click=${() => (this.open = !this.open)}>
            ${ICONS.menu} Menu
          </button>
        </div>
        <nav aria-label="Main">
          ${RAIL.map(
            ({ id, href, text }) =>
              html`<a href=${href} aria-current=${this.route?.rail === id ? "page" : nothing}>${ICONS[id]} ${text}</a>`,
          )}
        </nav>
        <div class="foot">
          <label
            >Theme
            <select @change=${(event) => choose((this.theme = event.target.value))}>
              ${THEMES.map((theme) => html`<option .selected=${theme === this.theme}>${theme}</option>`)}
            </select></label
          >
          ${this.who
            ? html`<span
                  ><span class="quiet">Logged in as</span> ${this.who.name}
                  <span class="quiet">(${this.who.role})</span></span
                ><button @click=${this.#leave}>Log out</button>`
            : nothing}
        </div>
      </div>
      <main aria-busy=${this.#complete ? "false" : "true"}>
        ${this.unreachable
          ? html`<p class="bar" role="status">
              The control plane does not answer. Serving is not affected by this page, which tries again by itself.
            </p>`
          : nothing}
        ${this.#page()}
      </main>`;
  }

  get #complete() {
    if (this.who === undefined) return false;
    return this.who === null || !this.route || Boolean(customElements.get(this.route.tag));
  }

  #skip = (event) => {
    event.preventDefault();
    this.renderRoot.querySelector("main").querySelector("a, button, input, select, [tabindex]")?.focus();
  };

  #page() {
    if (!this.#complete) return nothing;
    if (this.who === null)
      return html`<pa-login id="page" @logged-in=${(event) => (this.who = event.detail)}></pa-login>`;
    if (!this.route)
      return html`<h1>Not found</h1>
        <p>There is no page at this address. <a href="/">All experiments</a></p>`;
    const tag = unsafeStatic(this.route.tag);
    // Another experiment is another page, which begins with nothing of the one before.
    return keyed(
      JSON.stringify(this.route.parameters),
      dynamic`<${tag} id="page" .who=${this.who} .parameters=${this.route.parameters}></${tag}>`,
    );
  }
}

customElements.define("pa-app", App);
