// <pa-health>: the guardrails as tiles; each explains itself when it is opened.

import { css, html, nothing } from "lit";
import { capital, count, duration, milliseconds, number, percent, plural, pValue, since, words } from "../format.js";
import { entries } from "../policies.js";
import { ICONS } from "../parts/icons.js";
import { Panel } from "../parts/panel.js";
import "../parts/moment.js";
import "../parts/pill.js";
import "../parts/policy.js";
import "../parts/spark.js";

const share = (value) => percent(value, 2);
/** By guardrail: its name for people, how its value is told, and what is measured. */
const TOLD = {
  error_rate: ["Errors", share, "calls that failed, or fell back because of a fault"],
  latency_p95: ["Latency p95", milliseconds, "95th percentile of how long Select takes"],
  reward_drop: ["Reward drop", (value) => percent(value, 1), "how far a policy's reward a serve lies below control's"],
  arm_concentration: [
    "One arm's share",
    (value) => percent(value, 0),
    "the largest share that one arm has of a policy's serves of the last day",
  ],
  sample_ratio: ["Split of users", (value) => `p ${pValue(value)}`, "p-value that users are split as configured"],
  propensity: [
    "Propensities",
    (value) => `p ${pValue(value)}`,
    "p-value that draws are as likely as their logged propensities say",
  ],
  refused_rewards: ["Refused rewards", share, "reported rewards that were refused"],
  worker_lag: ["Worker lag", duration, "how far the figures are behind"],
};
const LEADS_TO = {
  warn: "When it fails, an alert goes out; nothing is rolled back.",
  count: "When it fails together with a second one that counts, the experiment is rolled back.",
  critical: "When it fails, the experiment is rolled back at once: everybody gets control.",
  off: "It is not checked.",
};
const P_VALUES = ["sample_ratio", "propensity"];

class Health extends Panel {
  static properties = { histories: { attribute: false }, opened: { state: true } };

  static styles = [
    ...Panel.styles,
    css`
      .tiles {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(148px, 1fr));
        gap: 8px;
      }
      .tile {
        display: grid;
        gap: 2px;
        min-height: 92px;
        padding: 8px 10px;
        text-align: left;
        white-space: normal;
        border-color: var(--line);
        align-content: start;
      }
      .tile[aria-expanded="true"] {
        border-color: var(--accent);
        box-shadow: inset 0 0 0 1px var(--accent);
      }
      .name {
        display: flex;
        gap: 6px;
        align-items: center;
        font-size: 12.5px;
      }
      .name svg {
        flex: none;
      }
      .value {
        font-size: 16px;
        font-weight: 650;
        font-variant-numeric: tabular-nums;
        line-height: 1.3;
      }
      .limit {
        font-size: 12px;
        color: var(--quiet);
      }
      .pass .name svg {
        color: var(--good);
      }
      .warn .name,
      .unknown .name {
        color: var(--warn);
      }
      .fail {
        background: var(--bad-back);
      }
      .fail .name {
        color: var(--bad);
        font-weight: 600;
      }
      .off {
        color: var(--quiet);
      }
      .explained {
        margin-top: 12px;
        padding: 12px 16px;
        background: var(--sunken);
        border-radius: 8px;
        display: grid;
        gap: 6px;
      }
      .explained ul {
        margin: 0;
        padding-left: 18px;
      }
      .rollbacks {
        margin: 12px 0 0;
        padding-left: 18px;
      }
      pa-spark {
        margin-top: 2px;
      }
    `,
  ];

  get heading() {
    return "Health";
  }

  aside({ verdict, guardrails }) {
    const newest = Object.values(guardrails)
      .map((check) => check.checked_at)
      .sort()
      .at(-1);
    return html`${newest
        ? html`<span class="quiet small">checked ${since(newest)}, every 5 min</span>`
        : nothing}<pa-pill word=${verdict}></pa-pill>`;
  }

  empty({ guardrails, state }) {
    if (Object.keys(guardrails).length) return null;
    return state === "running" || state === "shipped"
      ? "The first check comes within five minutes of the start."
      : "It was never checked: only what runs or is shipped is.";
  }

  body({ guardrails, rollbacks, max_rollbacks: most }) {
    const opened = guardrails[this.opened];
    return html` <div class="tiles">
        ${Object.keys(TOLD)
          .filter((name) => guardrails[name])
          .map((name) => this.#tile(name, guardrails[name]))}
      </div>
      ${opened ? this.#explained(this.opened, opened) : nothing}
      ${rollbacks.length
        ? html`<ul class="rollbacks">
              ${rollbacks.map((each) => this.#rollback(each))}
            </ul>
            <p class="quiet small">
              After ${plural(most, "automatic rollback")} the next one stops the experiment for good.
            </p>`
        : nothing}`;
  }

  #tile(name, check) {
    const [title, told] = TOLD[name];
    const course = [...(this.histories?.[name] ?? [])].reverse().map((each) => each.value);
    return html`<button
      class="tile ${check.verdict}"
      aria-expanded=${this.opened === name}
      aria-controls="explained"
      @click=${() => (this.opened = this.opened === name ? null : name)}
    >
      <span class="name">${ICONS[check.verdict]} ${title}<span class="hidden-text">: ${check.verdict}</span></span>
      <span class="value">${check.value === null ? words(check.verdict) : told(check.value)}</span>
      <span class="limit"
        >${P_VALUES.includes(name) ? "fails below" : "limit"}
        ${told(check.limit)}${check.uncertain ? "; not certain yet" : ""}</span
      >
      <pa-spark .values=${course} label="${title}, the last ${course.length} checks"></pa-spark>
    </button>`;
  }

  #explained(name, check) {
    const [title, told, measured] = TOLD[name];
    const policies = entries(check.policies).filter(([, value]) => value !== null);
    const evidence =
      check.log_e !== null && check.log_e_needed
        ? html`<p>
            Evidence that the limit is broken: ${number(check.log_e)} of the ${number(check.log_e_needed)} that it takes
            to fail (ln of the e-value).
          </p>`
        : nothing;
    return html`<div class="explained" id="explained" role="region" aria-label=${title}>
      <div class="row">
        <h3>${title}</h3>
        <pa-pill word=${check.verdict}></pa-pill>${check.policy
          ? html`<pa-policy name=${check.policy}></pa-policy>`
          : nothing}
      </div>
      <p>${capital(measured)}. Warns at ${told(check.warning)}, fails at ${told(check.limit)}.</p>
      <p>
        <b>${check.why ? `${capital(check.why)}.` : `It is ${words(check.verdict)}.`}</b>
        ${check.uncertain
          ? `What was measured lies beyond the limit and may still be chance: whoever looks every five minutes sees
          every limit crossed sooner or later. It fails once that is certain enough.`
          : ""}
        ${check.sample ? `It rests on ${count(check.sample)}.` : ""}
      </p>
      ${evidence}
      ${policies.length
        ? html`<ul>
            ${policies.map(([policy, value]) => html`<li>${policy}: ${told(value)}</li>`)}
          </ul>`
        : nothing}
      <p>${LEADS_TO[check.action]}</p>
      <p class="quiet small">
        Checked <pa-moment at=${check.checked_at}></pa-moment>, in guard epoch ${check.guard_epoch}.
      </p>
    </div>`;
  }

  #rollback({ at, stopped, reason, recheck_at: again, confirmed }) {
    const later =
      confirmed === true
        ? "Matured rewards confirm it."
        : confirmed === false
          ? "Matured rewards do not confirm it: they were only late."
          : again
            ? html`It is looked at again <pa-moment at=${again}></pa-moment>, when its rewards have matured.`
            : nothing;
    return html`<li>
      <b>${stopped ? "Stopped for good" : "Rolled back"}</b> <pa-moment at=${at}></pa-moment>: ${reason}. ${later}
    </li>`;
  }
}

customElements.define("pa-health", Health);
