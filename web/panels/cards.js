// <pa-cards>: an experiment's totals at a glance, each with what it is beside.

import { css, html, nothing } from "lit";
import { count, percent, rate, words } from "../format.js";
import { entries } from "../policies.js";
import { Panel } from "../parts/panel.js";
import { hues } from "../styles.js";
import "../parts/policy.js";

class Cards extends Panel {
  static properties = { maturity: { attribute: false } };

  static styles = [
    ...Panel.styles,
    hues,
    css`
      section {
        padding: 0;
        border: 0;
        background: none;
      }
      header {
        display: none;
      }
      .cards {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(140px, 1fr));
        gap: 16px;
        height: 100%;
      }
      .card {
        padding: 14px 20px 16px;
        background: var(--panel);
        border: 1px solid var(--line);
        border-radius: 10px;
      }
      .card h3 {
        font-weight: 500;
        color: var(--quiet);
      }
      .big {
        font-size: 24px;
        line-height: 1.3;
        font-weight: 650;
        font-variant-numeric: tabular-nums;
        letter-spacing: -0.01em;
      }
      .bar {
        display: flex;
        height: 10px;
        margin: 8px 0;
        border-radius: 5px;
        overflow: hidden;
        gap: 2px;
      }
      .bar i {
        background: var(--hue, var(--none));
      }
      .split {
        display: flex;
        flex-wrap: wrap;
        gap: 2px 12px;
        font-size: 12.5px;
      }
      .wide {
        grid-column: 1 / -1;
      }
    `,
  ];

  get heading() {
    return "Totals";
  }

  body(summary) {
    const policies = entries(summary.policies);
    const sum = (what) => policies.reduce((total, [, policy]) => total + policy[what], 0);
    const serves = sum("serves"),
      users = sum("users"),
      rewards = sum("rewards");
    const outside = Object.entries(summary.not_analysed).filter(([, number]) => number);
    return html`<div class="cards">
      <div class="card wide">
        <h3>Split of users: seen, and configured</h3>
        ${users
          ? html`<div class="bar" aria-hidden="true">
              ${policies.map(([name, policy]) => html`<i class=${name} .style=${`flex: ${policy.users}`}></i>`)}
            </div>`
          : nothing}
        <div class="split">
          ${policies.map(
            ([name, policy]) =>
              html`<span class="nowrap"
                ><pa-policy name=${name}></pa-policy> ${users ? percent(policy.users / users) : "–"}
                <span class="quiet">of ${percent(policy.share)}</span></span
              >`,
          )}
        </div>
      </div>
      <div class="card">
        <h3>Users</h3>
        <div class="big">${count(users)}</div>
        <div class="quiet small">in ${percent(summary.traffic_pct, 0)} of the traffic</div>
      </div>
      <div class="card">
        <h3>Serves</h3>
        <div class="big">${count(serves)}</div>
        <div class="quiet small">
          ${outside.length
            ? html`<span title=${outside.map(([why, number]) => `${words(why)}: ${count(number)}`).join(", ")}
                >${count(outside.reduce((total, [, number]) => total + number, 0))} more in no policy's figures</span
              >`
            : "all in a policy's figures"}
        </div>
      </div>
      <div class="card">
        <h3>Rewards</h3>
        <div class="big">${count(rewards)}</div>
        <div class="quiet small">${serves ? `${rate(rewards / serves)} of serves have one` : "none yet"}</div>
      </div>
      <div class="card">
        <h3>Still to come</h3>
        <div class="big">${this.#open()}</div>
        <div class="quiet small">of the last day's serves may still earn</div>
      </div>
    </div>`;
  }

  #open() {
    if (!this.maturity) return "–";
    return this.maturity.serves ? percent(this.maturity.not_mature / this.maturity.serves, 0) : "none";
  }
}

customElements.define("pa-cards", Cards);
