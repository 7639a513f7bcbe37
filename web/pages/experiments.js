// <pa-experiments>: all experiments, how they stand and whether they are healthy.

import { LitElement, css, html, nothing } from "lit";
import { Feed } from "../feed.js";
import { days, lift, percent, range, words } from "../format.js";
import { query, setQuery } from "../router.js";
import { base, controls, tables } from "../styles.js";
import { ICONS } from "../parts/icons.js";
import { skeleton, trouble, panelStyles } from "../parts/panel.js";
import "../parts/moment.js";
import "../parts/pill.js";
import "../parts/policy.js";

const STATES = {
  "": "all but archived",
  running: "running",
  draft: "draft",
  rolled_back: "rolled back",
  stopped: "stopped",
  shipped: "shipped",
  archived: "archived",
};
const SORTS = {
  "-created": "newest first",
  "-updated": "last changed first",
  name: "by name",
  state: "by state",
};
const EVERY_MS = 5_000;
const PAGE = 50;

class Experiments extends LitElement {
  static properties = { who: { attribute: false }, asked: { state: true }, limit: { state: true } };

  static styles = [
    base,
    controls,
    tables,
    panelStyles,
    css`
      .head {
        display: flex;
        flex-wrap: wrap;
        gap: 12px;
        align-items: center;
        margin-bottom: 16px;
      }
      .head h1 {
        margin-right: auto;
      }
      .filters {
        display: flex;
        flex-wrap: wrap;
        gap: 8px 12px;
        align-items: center;
        margin-bottom: 8px;
      }
      .search {
        position: relative;
        flex: 1 1 220px;
        max-width: 360px;
      }
      .search input {
        width: 100%;
        padding-left: 32px;
      }
      .search svg {
        position: absolute;
        left: 10px;
        top: 8px;
        color: var(--quiet);
      }
      td a {
        font-weight: 600;
        text-decoration: none;
      }
      td a:hover {
        text-decoration: underline;
      }
      td .small {
        display: block;
      }
      td.name {
        min-width: 180px;
        overflow-wrap: anywhere;
      }
      .small-inline {
        font-size: 12.5px;
      }
      tbody tr:hover {
        background: var(--sunken);
      }
      th:first-child,
      td:first-child {
        padding-left: 8px;
      }
      .split {
        display: grid;
        grid-template-columns: auto auto;
        gap: 2px 12px;
        justify-content: start;
      }
      .healthy {
        display: inline-flex;
        gap: 6px;
        align-items: center;
        white-space: nowrap;
      }
      .pass {
        color: var(--good);
      }
      .warn,
      .unknown {
        color: var(--warn);
      }
      .fail {
        color: var(--bad);
      }
      .first {
        max-width: 720px;
      }
      @media (min-width: 721px) {
        .narrow {
          display: none;
        }
      }
      @media (max-width: 720px) {
        .wide,
        thead {
          display: none;
        }
        table,
        tbody {
          display: block;
        }
        tbody tr {
          display: grid;
          grid-template: ". ." "ahead ." "health health" / minmax(0, 1fr) auto;
          gap: 6px 12px;
          padding: 12px 0;
          border-top: 1px solid var(--line);
        }
        tbody tr > td,
        td.name {
          padding: 0;
          border: 0;
          min-width: 0;
        }
        tbody tr > :not(.name, .ahead, .health) {
          justify-self: end;
        }
        .ahead {
          grid-area: ahead;
        }
        .health {
          grid-area: health;
        }
      }
    `,
  ];

  constructor() {
    super();
    this.asked = query();
    this.limit = PAGE;
    this.list = new Feed(this, () => this.#path("/api/experiments"), { every: EVERY_MS });
    this.glances = new Feed(this, () => this.#path("/api/glance"), { every: EVERY_MS });
  }

  connectedCallback() {
    super.connectedCallback();
    document.title = "Experiments · Pullarm";
    this.asked = query();
  }

  #path(route) {
    const { search = "", state = "", sort = "-created" } = this.asked;
    return `${route}?${new URLSearchParams({ search, state, sort, limit: this.limit })}`;
  }

  #ask(changes) {
    setQuery(changes);
    this.asked = query();
    this.limit = PAGE;
  }

  render() {
    const { data, error } = this.list.state;
    return html` <div class="head">
        <h1>Experiments</h1>
        ${["operator", "admin"].includes(this.who?.role)
          ? html`<a class="button" href="/new">New experiment</a>`
          : nothing}
      </div>
      <section aria-label="Experiments">
        ${this.#filters()} ${error ? trouble(error, { kept: data !== null }) : nothing}
        ${data ? this.#table(data) : error ? nothing : skeleton(5)}
      </section>`;
  }

  #filters() {
    const { search = "", state = "", sort = "-created" } = this.asked;
    const options = (of, chosen) =>
      Object.entries(of).map(
        ([value, text]) => html`<option value=${value} .selected=${value === chosen}>${text}</option>`,
      );
    return html`<div class="filters" role="search">
      <div class="search">
        ${ICONS.search}<input
          type="search"
          aria-label="Search in names, keys and notes"
          placeholder="Search  ( / )"
          .value=${search}
          @input=${(event) => this.#search(event.target.value)}
        />
      </div>
      <label class="row"
        >State
        <select @change=${(event) => this.#ask({ state: event.target.value })}>
          ${options(STATES, state)}
        </select></label
      >
      <label class="row"
        >Sort
        <select @change=${(event) => this.#ask({ sort: event.target.value })}>
          ${options(SORTS, sort)}
        </select></label
      >
    </div>`;
  }

  #search(text) {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.#ask({ search: text }), 200);
  }

  #table({ experiments, next }) {
    if (experiments.length === 0) return this.#empty();
    const glances = this.glances.state.data?.experiments ?? {};
    return html`<div class="scroll" tabindex="0" role="group" aria-label="Experiments, scrollable">
        <table>
          <thead>
            <tr>
              <th scope="col">Experiment</th>
              <th scope="col">State</th>
              <th scope="col">Day</th>
              <th scope="col" class="number wide">Traffic</th>
              <th scope="col" class="wide">Split</th>
              <th scope="col" class="nowrap">Ahead, with 95 %</th>
              <th scope="col">Health</th>
            </tr>
          </thead>
          <tbody>
            ${experiments.map((each) => this.#row(each, glances[each.id]))}
          </tbody>
        </table>
      </div>
      ${next ? html`<p class="note"><button @click=${() => (this.limit += PAGE)}>Show more</button></p>` : nothing}`;
  }

  #row(each, glance) {
    return html`<tr>
      <td class="name">
        <a href="/experiments/${each.id}">${each.name}</a><span class="quiet small">${each.key}</span>
      </td>
      <td class="state"><pa-pill word=${each.state}></pa-pill></td>
      <td class="day nowrap">${this.#day(each)}</td>
      <td class="number wide">${percent(each.traffic_pct, 0)}</td>
      <td class="wide">
        <span class="split"
          >${each.policies.map(
            (policy) =>
              html`<span class="nowrap"
                ><pa-policy name=${policy.name}></pa-policy>
                <span class="quiet small-inline">${percent(policy.share, 0)}</span></span
              >`,
          )}</span
        >
      </td>
      <td class="ahead">${this.#ahead(each, glance)}</td>
      <td class="health">${this.#health(each, glance)}</td>
    </tr>`;
  }

  #day({ started_at: started, end_at: end, duration_days: duration, state, start_at: planned }) {
    if (!started)
      return planned
        ? html`<span class="quiet">starts <pa-moment at=${planned}></pa-moment></span>`
        : html`<span class="quiet">not started</span>`;
    if (state === "stopped" || state === "archived")
      return html`<span class="quiet">ended <pa-moment at=${end}></pa-moment></span>`;
    const day = Math.max(1, Math.ceil((Date.now() - new Date(started)) / 86_400_000));
    return state === "shipped"
      ? html`since <pa-moment at=${started}></pa-moment>`
      : html`<span class="narrow quiet">day</span> ${day} <span class="quiet">of ${days(duration)}</span>`;
  }

  #ahead({ state }, glance) {
    if (!glance) return html`<span class="quiet">–</span>`;
    if (glance.verdict && glance.verdict !== "continue")
      return html`<pa-pill word=${glance.verdict}></pa-pill> ${glance.verdict_policy
          ? html`<pa-policy name=${glance.verdict_policy}></pa-policy>`
          : nothing}`;
    if (!glance.leading)
      return html`<span class="quiet"
        >${["running", "rolled_back"].includes(state) ? "too early to tell" : "no verdict"}</span
      >`;
    return html`<pa-policy name=${glance.leading}></pa-policy
      ><span class="quiet small nowrap"
        >${lift(glance.lift)} (${range(glance.interval, (value) => lift(value))})</span
      >`;
  }

  #health(each, glance) {
    if (!glance?.health) return html`<span class="quiet">–</span>`;
    const { health, concerns } = glance;
    return html`<span class="healthy ${health}"
      >${ICONS[health]}
      ${health === "pass"
        ? "healthy"
        : `${words(health)}: ${concerns.length > 2 ? `${concerns.length} checks` : concerns.map(words).join(", ")}`}</span
    >`;
  }

  #empty() {
    if (this.asked.search || this.asked.state)
      return html`<p class="empty">
        No experiment is like that.
        <button class="plain" @click=${() => this.#ask({ search: "", state: "" })}>Show all</button>
      </p>`;
    return html`<div class="empty first">
      <p>
        There is no experiment yet. Make one here or on the command line, with a token of role operator; it shows up
        within seconds:
      </p>
      <pre>pullarm launch --name "First test" --duration 14 --traffic 0.8</pre>
      <p>Or let a demo make one, with simulated visitors:</p>
      <pre>make demo</pre>
    </div>`;
  }
}

customElements.define("pa-experiments", Experiments);
