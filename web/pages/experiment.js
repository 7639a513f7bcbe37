// <pa-experiment>: one experiment, top to bottom: is it healthy, who is winning and do we know, what to do; then the rest.

import { LitElement, css, html, nothing } from "lit";
import { of } from "../api.js";
import { Feed } from "../feed.js";
import { Live } from "../live.js";
import { marksOf } from "../marks.js";
import { memo } from "../memo.js";
import { query, setQuery } from "../router.js";
import { spanOf } from "../span.js";
import { base, controls } from "../styles.js";
import { fetchLibrary } from "../parts/chart.js";
import { panelStyles, skeleton, trouble } from "../parts/panel.js";
import "../panels/allocation.js";
import "../panels/arms.js";
import "../panels/audit.js";
import "../panels/cards.js";
import "../panels/cohorts.js";
import "../panels/decision.js";
import "../panels/events.js";
import "../panels/filters.js";
import "../panels/head.js";
import "../panels/health.js";
import "../panels/latency.js";
import "../panels/league.js";
import "../panels/rewards.js";
import "../panels/setup.js";
import "../panels/verdict.js";

const TICK_MS = 10_000;
const HISTORY = 72; // six hours of checks
const NAMES = [
  "error_rate",
  "latency_p95",
  "reward_drop",
  "arm_concentration",
  "sample_ratio",
  "propensity",
  "refused_rewards",
  "worker_lag",
];

/** Whether an experiment is as an event says: a connection begins with what was read a moment ago. */
const allocated = ({ state, traffic_pct: traffic, policies }, told) =>
  state === told.state &&
  traffic === told.traffic_pct &&
  policies.every(({ name, share }) => told.shares[name] === share);

class Experiment extends LitElement {
  static properties = {
    who: { attribute: false },
    parameters: { attribute: false },
    asked: { state: true },
    sought: { state: true },
  };

  static styles = [
    base,
    controls,
    panelStyles,
    css`
      .grid {
        display: grid;
        grid-template-columns: repeat(12, minmax(0, 1fr));
        gap: 16px;
        margin-top: 16px;
      }
      .grid > * {
        grid-column: span 12;
        scroll-margin-top: 64px;
      }
      @media (min-width: 1180px) {
        .grid > .half {
          grid-column: span 6;
        }
        .grid > .five {
          grid-column: span 5;
        }
        .grid > .seven {
          grid-column: span 7;
        }
        .grid > .tall {
          grid-row: span 2;
        }
      }
    `,
  ];

  constructor() {
    super();
    this.asked = query();
    this.sought = {};
    const path = (route, parameters) => () => of(this.parameters.reference, route, parameters?.() ?? {});
    const later = (route, parameters) => () =>
      this.summary.state.data && this.config.state.data ? path(route, parameters)() : null;
    const span = () => spanOf(this.asked);
    const cohort = () => ({ cohort: this.asked.cohort });
    this.config = new Feed(this, path(""));
    this.summary = new Feed(this, path("summary"), { every: 30_000 });
    this.guardrails = new Feed(this, path("guardrails"), { every: 60_000 });
    this.verdicts = new Feed(this, path("decisions"), { every: 300_000 });
    this.regret = new Feed(
      this,
      path("regret", () => ({ ...span(), ...cohort() })),
    );
    this.slow = {
      epochs: new Feed(this, later("epochs")),
      rewards: new Feed(
        this,
        later("timeseries", () => ({ ...span(), ...cohort() })),
      ),
      allocation: new Feed(this, later("allocation", span)),
      cohorts: new Feed(
        this,
        later("cohorts", () => ({ ...span(), ...cohort() })),
      ),
      arms: new Feed(this, later("arms", span)),
      posteriors: new Feed(
        this,
        later("policies", () => ({ limit: 10_000 })),
      ),
      latency: new Feed(this, later("latency", span)),
      events: new Feed(
        this,
        later("events", () => ({ ...span(), ...cohort(), ...this.sought, limit: 15 })),
      ),
      audit: new Feed(
        this,
        later("audit", () => ({ limit: 50 })),
      ),
    };
    this.decision = new Feed(this, () =>
      this.asked.decision ? `/api/decisions/${encodeURIComponent(this.asked.decision)}` : null,
    );
    this.histories = Object.fromEntries(
      NAMES.map((name) => [
        name,
        new Feed(this, () =>
          name in (this.guardrails.state.data?.guardrails ?? {})
            ? later(`guardrails/${name}`, () => ({ limit: HISTORY }))()
            : null,
        ),
      ]),
    );
    this.live = new Live(this, () => (this.config.state.data ? this.parameters.reference : null), {
      news: (kind) => this.#heard(kind),
      back: () => this.#everything(),
    });
  }

  connectedCallback() {
    super.connectedCallback();
    this.ticking = setInterval(() => this.#tick(), TICK_MS);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.ticking);
  }

  willUpdate() {
    // Between the figures that are seen first and those that are drawn; where it fails the charts say so.
    if (this.config.state.data?.started_at && this.summary.state.data) fetchLibrary().catch(() => {});
  }

  updated() {
    const name = this.config.state.data?.name;
    document.title = name ? `${name} · Pullarm` : "Experiment · Pullarm";
  }

  #heard(kind) {
    const { data: experiment } = this.config.state;
    const told = this.live.latest[kind];
    if (kind === "allocation" && !allocated(experiment, told)) this.config.refresh();
    if (kind === "guardrails" && JSON.stringify(told) !== JSON.stringify(this.guardrails.state.data))
      this.guardrails.refresh();
    if (kind === "rates") this.owed = new Set([...(this.owed ?? []), "regret", ...Object.keys(this.slow)]);
  }

  /** What is in sight is read anew where something has come; the rest when it comes in sight. */
  #tick() {
    if (document.hidden) return;
    for (const name of this.owed ?? []) {
      const shown = this.renderRoot.querySelector(`[data-feed~="${name}"]`)?.getBoundingClientRect();
      if (shown && (shown.bottom < 0 || shown.top > innerHeight)) continue;
      this.owed.delete(name);
      (this.slow[name] ?? this[name]).refresh();
    }
  }

  #everything() {
    for (const feed of [
      this.config,
      this.summary,
      this.guardrails,
      this.verdicts,
      this.regret,
      ...Object.values(this.slow),
    ])
      feed.refresh();
  }

  #ask = (event) => {
    setQuery(event.detail);
    this.asked = query();
  };

  // The stream brings a summary every second or so: panels that show nothing of it must not be drawn for it.
  #marks = memo(marksOf);
  #histories = memo((...found) => Object.fromEntries(found.map((data, place) => [NAMES[place], data?.checks ?? []])));
  #parameters = memo((asked) => ({ ...spanOf(asked), cohort: asked.cohort }));
  #told = memo((told, state) =>
    told && (!state.data || told.as_of > state.data.as_of) ? { data: told, error: null, stale: false } : state,
  );

  /** The newest of what was asked for and what was told. */
  get #summary() {
    return this.#told(this.live.latest.summary, this.summary.state);
  }

  render() {
    const { data: experiment, error } = this.config.state;
    if (error?.status === 404 || error?.status === 403)
      return html`<h1>Not found</h1>
        <p>${error.message}. <a href="/">All experiments</a></p>`;
    if (!experiment)
      return html`<section aria-label="Experiment">${error ? trouble(error) : nothing}${skeleton(8)}</section>`;
    return html` <pa-head
        .experiment=${experiment}
        .summary=${this.#summary.data}
        .regret=${this.regret.state.data}
        .verdicts=${this.verdicts.state.data}
        .guardrails=${this.guardrails.state.data}
        .who=${this.who}
        .connection=${this.live.connection}
        .lostAt=${this.live.lostAt}
        .trouble=${error}
        @changed=${() => this.#everything()}
      ></pa-head>
      ${experiment.started_at ? this.#figures(experiment) : this.#draft(experiment)}`;
  }

  #figures(experiment) {
    const slow = Object.fromEntries(Object.entries(this.slow).map(([name, feed]) => [name, feed.state]));
    const histories = this.#histories(...NAMES.map((name) => this.histories[name].state.data));
    const marks = this.#marks(slow.epochs.data, this.guardrails.state.data, this.verdicts.state.data);
    return html` <pa-filters
        .asked=${this.asked}
        .experiment=${experiment}
        .cohorts=${slow.cohorts.data}
        @asked=${this.#ask}
        @section=${this.#section}
      ></pa-filters>
      <div class="grid">
        <pa-verdict id="verdict" class="five tall" .state=${this.verdicts.state} .experiment=${experiment}></pa-verdict>
        <pa-health id="health" class="seven" .state=${this.guardrails.state} .histories=${histories}></pa-health>
        <pa-cards class="seven" .state=${this.#summary} .maturity=${slow.rewards.data?.maturity}></pa-cards>
        <pa-league
          id="policies"
          data-feed="regret"
          .state=${this.regret.state}
          .epochs=${slow.epochs.data}
          .allocation=${slow.allocation.data}
        ></pa-league>
        <pa-rewards
          id="rewards"
          class="seven"
          data-feed="rewards epochs"
          .state=${slow.rewards}
          .marks=${marks}
        ></pa-rewards>
        <pa-allocation
          id="allocation"
          class="five"
          data-feed="allocation"
          .state=${slow.allocation}
          .marks=${marks}
        ></pa-allocation>
        <pa-arms
          id="arms"
          data-feed="arms posteriors"
          .state=${slow.arms}
          .posteriors=${slow.posteriors}
          .experiment=${experiment}
        ></pa-arms>
        <pa-cohorts
          id="cohorts"
          class="half"
          data-feed="cohorts"
          .state=${slow.cohorts}
          .experiment=${experiment}
        ></pa-cohorts>
        <pa-latency id="latency" class="half" data-feed="latency" .state=${slow.latency} .marks=${marks}></pa-latency>
        <pa-events
          id="events"
          data-feed="events"
          .state=${slow.events}
          .experiment=${experiment}
          .sought=${this.sought}
          .parameters=${this.#parameters(this.asked)}
          @sought=${(event) => (this.sought = event.detail)}
          @asked=${this.#ask}
        ></pa-events>
        <pa-setup class="half" .experiment=${experiment}></pa-setup>
        <pa-audit id="audit" class="half" data-feed="audit" .state=${slow.audit}></pa-audit>
      </div>
      ${this.asked.decision
        ? html`<pa-decision .state=${this.decision.state} .experiment=${experiment} @asked=${this.#ask}></pa-decision>`
        : nothing}`;
  }

  #draft(experiment) {
    return html`<div class="grid">
      <pa-setup class="seven" .experiment=${experiment}></pa-setup>
      <pa-audit id="audit" class="five" data-feed="audit" .state=${this.slow.audit.state}></pa-audit>
    </div>`;
  }

  #section = (event) => this.renderRoot.getElementById(event.detail)?.scrollIntoView({ behavior: "smooth" });
}

customElements.define("pa-experiment", Experiment);
