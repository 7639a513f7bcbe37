// <pa-head>: what experiment this is, how it stands, what can be said of it in words, and what may be done.

import { LitElement, css, html, nothing } from "lit";
import { days, percent, plural, since, time } from "../format.js";
import { story } from "../story.js";
import { base, controls } from "../styles.js";
import { panelStyles, trouble } from "../parts/panel.js";
import "../parts/actions.js";
import "../parts/moment.js";
import "../parts/pill.js";

const CONNECTION = {
  live: ["live", "Figures come as they change."],
  connecting: ["connecting", "The figures are there; changes will follow."],
  lost: [
    "connection lost",
    "What is shown may be old. It is tried again by itself, and what came meanwhile is read then.",
  ],
  paused: ["paused", "This page is not looked at."],
};

class Head extends LitElement {
  static properties = {
    experiment: { attribute: false },
    summary: { attribute: false },
    regret: { attribute: false },
    verdicts: { attribute: false },
    guardrails: { attribute: false },
    who: { attribute: false },
    connection: {},
    lostAt: { attribute: false },
    trouble: { attribute: false },
  };

  static styles = [
    base,
    controls,
    panelStyles,
    css`
      .top {
        display: flex;
        flex-wrap: wrap;
        gap: 8px 16px;
        align-items: center;
      }
      .top pa-actions {
        margin-left: auto;
      }
      .facts {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 16px;
        margin-top: 4px;
        color: var(--quiet);
      }
      .story {
        margin-top: 10px;
        font-size: 16px;
        max-width: 90ch;
        line-height: 1.5;
      }
      .connection {
        display: inline-flex;
        gap: 6px;
        align-items: center;
      }
      .connection i {
        width: 8px;
        height: 8px;
        border-radius: 50%;
        border: 2px solid currentColor;
      }
      .live {
        color: var(--good);
      }
      .live i {
        background: currentColor;
      }
      .lost {
        color: var(--bad);
        font-weight: 600;
      }
      .warnings {
        margin: 10px 0 0;
        padding: 8px 12px 8px 28px;
        color: var(--warn);
        background: var(--warn-back);
        border-radius: 6px;
      }
      a.back {
        font-size: 12.5px;
        text-decoration: none;
      }
    `,
  ];

  render() {
    const { experiment } = this;
    return html` <a class="back" href="/">Experiments</a>
      <div class="top">
        <h1>${experiment.name}</h1>
        <pa-pill word=${experiment.state}></pa-pill>
        <pa-actions
          .experiment=${experiment}
          .summary=${this.summary}
          .verdicts=${this.verdicts}
          .who=${this.who}
        ></pa-actions>
      </div>
      <div class="facts">${this.#facts(experiment)}</div>
      <p class="story">${story(experiment, this)}</p>
      ${this.trouble ? trouble(this.trouble, { kept: true }) : nothing}
      ${experiment.warnings.length
        ? html`<ul class="warnings">
            ${experiment.warnings.map((each) => html`<li>${each}</li>`)}
          </ul>`
        : nothing}
      ${experiment.notes ? html`<p class="quiet">${experiment.notes}</p>` : nothing}`;
  }

  #facts({
    started_at: started,
    end_at: end,
    state,
    traffic_pct: traffic,
    duration_days: duration,
    group,
    group_share: share,
    targeting,
    start_at: planned,
    key,
  }) {
    const over = ["stopped", "archived"].includes(state);
    const ran = this.summary?.days_running ?? 0;
    const conditions = Object.keys(targeting ?? {}).length;
    return html` ${started
        ? html`<span title="started ${time(started)}"
            >${over
              ? html`ran ${plural(Number(days(ran)), "day")}, ended <pa-moment at=${end}></pa-moment>`
              : state === "shipped"
                ? html`started <pa-moment at=${started}></pa-moment>`
                : html`day ${Math.max(1, Math.ceil(ran))} of ${days(duration)}, until
                    <pa-moment at=${end}></pa-moment>`}</span
          >`
        : planned
          ? html`<span>starts by itself <pa-moment at=${planned}></pa-moment></span>`
          : html`<span>not started</span>`}
      <span>traffic ${percent(traffic, 0)}${group ? ` of ${percent(share, 0)} of group ${group}` : ""}</span>
      ${conditions ? html`<span>targeted by ${plural(conditions, "attribute")}</span>` : nothing}
      <span><code>${key}</code></span>
      ${started ? this.#connection() : nothing}`;
  }

  #connection() {
    const [text, told] = CONNECTION[this.connection] ?? CONNECTION.connecting;
    return html`<span class="connection ${this.connection}" role="status" title=${told}
      ><i></i>${text}${this.connection === "lost" && this.lostAt ? ` ${since(this.lostAt)}; trying again` : ""}</span
    >`;
  }
}

customElements.define("pa-head", Head);
