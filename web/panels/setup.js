// <pa-setup>: how an experiment is configured, in words.

import { LitElement, css, html, nothing } from "lit";
import { count, days, lift, number, percent, plural } from "../format.js";
import { entries } from "../policies.js";
import { base, tables } from "../styles.js";
import { panelStyles } from "../parts/panel.js";
import "../parts/policy.js";

class Setup extends LitElement {
  static properties = { experiment: { attribute: false } };

  static styles = [
    base,
    tables,
    panelStyles,
    css`
      dl {
        display: grid;
        grid-template-columns: minmax(120px, 200px) minmax(0, 1fr);
        gap: 6px 16px;
        margin: 0;
      }
      dt {
        color: var(--quiet);
      }
      dd {
        margin: 0;
        overflow-wrap: anywhere;
      }
      .split {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 16px;
      }
    `,
  ];

  render() {
    const { experiment } = this;
    const {
      reward,
      learning,
      catalogue,
      arms,
      cohorts,
      decision,
      guardrails,
      expectation,
      duration_days: duration,
    } = experiment;
    return html`<section aria-labelledby="heading">
      <header><h2 id="heading">Setup</h2></header>
      <dl>
        <dt>Policies</dt>
        <dd class="split">
          ${experiment.policies.map(
            (policy) =>
              html`<span
                ><pa-policy name=${policy.name}></pa-policy> ${percent(policy.share)}
                <span class="quiet small">${this.#parameters(policy.params)}</span></span
              >`,
          )}
        </dd>
        <dt>Arms</dt>
        <dd>
          ${arms.length ? plural(arms.length, "arm") : "none yet"}${catalogue === "open"
            ? `; candidates become arms when they are first seen, up to ${count(experiment.max_arms)}`
            : "; no others become arms"}
        </dd>
        <dt>Rewards</dt>
        <dd>
          ${reward.learns} is learnt from, within ${plural(reward.window_hours, "hour")} of the
          decision${reward.kinds.length > 1
            ? `; also ${reward.kinds
                .filter((kind) => kind.name !== reward.learns)
                .map((kind) => kind.name)
                .join(", ")}`
            : ""}${learning.half_life_hours
            ? `; decisions count half after ${plural(learning.half_life_hours, "hour")}`
            : ""}
        </dd>
        <dt>Duration</dt>
        <dd>${days(duration)} days</dd>
        <dt>Cohorts</dt>
        <dd>${cohorts ? `by ${cohorts.attribute}` : "none told apart"}</dd>
        <dt>Rolled back by itself</dt>
        <dd>
          at ${percent(guardrails.error_rate.limit)} errors, ${number(guardrails.latency_p95.limit)} ms p95, or a reward
          ${percent(guardrails.reward_drop.limit)} below control's
        </dd>
        <dt>Shipped</dt>
        <dd>
          from ${lift(decision.min_uplift)} over ${decision.baseline} on, tested from day ${decision.min_window_days} to
          ${decision.max_experiment_days}${decision.automatic_ship ? ", by itself" : ", by hand"}
        </dd>
        ${expectation
          ? html`<dt>Takes</dt>
              <dd>
                ${entries(expectation.policies).map(
                  ([name, needs]) =>
                    html`<div>
                      ${name}:
                      ${plural(needs.impressions, "impression")}${needs.days === null
                        ? ""
                        : `, ${days(needs.days)} days`}
                      to show ${lift(expectation.uplift)}
                    </div>`,
                )}
              </dd>`
          : nothing}
      </dl>
    </section>`;
  }

  #parameters(params) {
    const told = Object.entries(params)
      .filter(([name]) => !name.startsWith("prior_"))
      .map(([name, value]) => `${name} ${value}`);
    return told.length ? `(${told.join(", ")})` : "";
  }
}

customElements.define("pa-setup", Setup);
