// <pa-league>: the policies beside each other: what each earns, how much more than the baseline, and how sure that is.

import { css, html, nothing } from "lit";
import { count, lift, percent, probability, range, rate } from "../format.js";
import { entries } from "../policies.js";
import { axisOf } from "../parts/forest.js";
import { Panel } from "../parts/panel.js";
import "../parts/moment.js";
import "../parts/policy.js";
import "../parts/spark.js";

class League extends Panel {
  static properties = { epochs: { attribute: false }, allocation: { attribute: false } };

  static styles = [
    ...Panel.styles,
    css`
      tbody th {
        font-weight: 600;
      }
      th,
      td {
        padding-left: 8px;
        padding-right: 8px;
      }
      .share {
        display: flex;
        gap: 8px;
        align-items: center;
        white-space: nowrap;
      }
      .plus {
        color: var(--good);
      }
      .minus {
        color: var(--bad);
      }
      .key {
        display: inline;
      }
      .key i {
        display: inline-block;
        width: 24px;
        margin-right: 4px;
        vertical-align: middle;
        border-top: 4px solid var(--quiet);
      }
      .key i.thin {
        border-top-width: 1.5px;
      }
    `,
  ];

  get heading() {
    return "Policies";
  }

  aside({ since: from, until, allocation_epoch: epoch, interval_note: note }) {
    return html`<span class="quiet small"
      >${note
        ? html`<pa-moment at=${from}></pa-moment> to <pa-moment at=${until}></pa-moment>`
        : `allocation epoch ${epoch}`}</span
    >`;
  }

  empty({ policies }) {
    return Object.keys(policies).length ? null : "Each policy shows here with its first serve.";
  }

  body({ policies, baseline, best }) {
    const rows = entries(policies);
    const axis = axisOf(
      rows.map(([, policy]) => policy.lift?.anytime_interval),
      0,
    );
    const users = this.#users();
    return html`<div class="scroll" tabindex="0" role="group" aria-label="Policies, scrollable">
      <table>
        <thead>
          <tr>
            <th scope="col">Policy</th>
            <th scope="col" class="number">Users</th>
            <th scope="col" class="number">Serves</th>
            <th scope="col" class="number">Rewarded</th>
            <th scope="col" class="number">Rate, with 95 %</th>
            <th scope="col" class="number">Lift over ${baseline}</th>
            <th scope="col">How sure</th>
            <th scope="col" class="number">To expect</th>
            <th scope="col" class="number">P(best)</th>
            <th scope="col">Share</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            ([name, policy]) =>
              html`<tr>
                <th scope="row"><pa-policy name=${name}></pa-policy></th>
                <td class="number">${users[name] === undefined ? "–" : count(users[name])}</td>
                <td class="number">${count(policy.serves)}</td>
                <td class="number">${count(policy.rewarded)}</td>
                <td class="number">
                  ${rate(policy.rate, policy.interval)}
                  <div class="quiet small">${policy.interval ? range(policy.interval) : ""}</div>
                </td>
                ${policy.lift ? this.#lift(name, policy.lift, axis) : this.#none(name === baseline)}
                <td class="number">
                  ${probability(policy.best)}${name === best && rows.length > 1 && policy.best === undefined
                    ? html` <span class="quiet small">highest so far</span>`
                    : nothing}
                </td>
                <td>${this.#share(name)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  #lift(name, found, axis) {
    const [low, high] = found.anytime_interval;
    return html` <td class="number ${low > 0 ? "plus" : high < 0 ? "minus" : ""}">
        <b>${lift(found.value)}</b>
        <div class="quiet small">${range(found.interval, (value) => lift(value))}</div>
      </td>
      <td>
        <pa-forest
          width="170"
          policy=${name}
          .interval=${found.interval}
          .outer=${found.anytime_interval}
          .value=${found.value}
          .axis=${axis}
          .reference=${0}
          label="${name}: ${lift(found.value)}, 95 % for one look ${range(found.interval, (value) =>
            lift(value),
          )}, over all looks ${range(found.anytime_interval, (value) => lift(value))}"
        ></pa-forest>
      </td>
      <td class="number">${lift(found.shrunk)}</td>`;
  }

  #none(baseline) {
    return baseline
      ? html`<td class="number quiet">baseline</td>
          <td></td>
          <td class="number quiet">–</td>`
      : html`<td class="number quiet">–</td>
          <td class="quiet small">needs rewards of both</td>
          <td class="number quiet">–</td>`;
  }

  /** Users are counted by epoch, and not for a part of the time. */
  #users() {
    const { interval_note: part, allocation_epoch: epoch } = this.state.data;
    const found = part ? {} : (this.epochs?.figures[epoch] ?? {});
    return Object.fromEntries(Object.entries(found).map(([name, { users }]) => [name, users]));
  }

  #share(name) {
    const points = this.allocation?.points ?? [];
    const now = this.allocation?.observed[name];
    if (now === undefined) return nothing;
    return html`<span class="share"
      ><pa-spark
        policy=${name}
        .values=${points.map((point) => point.shares[name] ?? 0)}
        .floor=${0}
        .ceiling=${1}
        label="Share of ${name} over time"
      ></pa-spark>
      ${percent(now)}</span
    >`;
  }

  note({ interval_note: groups }) {
    return html`<span class="key"><i></i> 95 % for a single look that was settled before</span> ·
      <span class="key"><i class="thin"></i> 95 % over all looks, for whoever looks every day</span>
      · “To expect” is the lift less what looking at the largest adds. Users are the independent units, not
      serves.${groups ? " Of a part of the time, intervals are from 200 groups of users." : ""}`;
  }
}

customElements.define("pa-league", League);
