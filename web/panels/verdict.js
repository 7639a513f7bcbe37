// <pa-verdict>: ship, kill, iterate or not yet; what that rests on, and when it is judged next.

import { css, html, nothing } from "lit";
import { capital, count, days, lift, percent, plural, probability, pValue, range, weekday } from "../format.js";
import { entries } from "../policies.js";
import { Panel } from "../parts/panel.js";
import { axisOf } from "../parts/forest.js";
import "../parts/moment.js";
import "../parts/pill.js";
import "../parts/policy.js";

const MEANS = {
  ship: (policy) => `Ship ${policy}`,
  kill: () => "Kill: no policy can be better by enough",
  iterate: () => "Iterate: time is over, and neither is shown",
  continue: () => "Not decided yet",
  invalid: () => "Invalid: nothing follows from these figures",
  rolled_back: () => "Rolled back",
};

class Verdict extends Panel {
  static properties = { experiment: { attribute: false } };

  static styles = [
    ...Panel.styles,
    css`
      .outcome {
        display: flex;
        flex-wrap: wrap;
        gap: 8px 12px;
        align-items: center;
        font-size: 17px;
        font-weight: 650;
        line-height: 1.4;
      }
      .steps {
        display: flex;
        gap: 3px;
        margin: 12px 0 4px;
      }
      .steps i {
        flex: 1;
        height: 8px;
        background: var(--sunken);
        border-radius: 2px;
      }
      .steps .done {
        background: var(--accent);
        opacity: 0.45;
      }
      .steps .look {
        background: var(--accent);
        opacity: 1;
      }
      .why {
        margin-top: 4px;
      }
      table {
        margin-top: 12px;
      }
      td,
      th {
        padding: 6px 8px;
      }
      dl {
        display: flex;
        flex-wrap: wrap;
        gap: 4px 24px;
        margin: 12px 0 0;
        font-size: 12.5px;
      }
      dt {
        display: inline;
        color: var(--quiet);
      }
      dd {
        display: inline;
        margin: 0;
      }
    `,
  ];

  get heading() {
    return "Verdict";
  }

  body(data) {
    const newest = data.verdicts[0];
    return newest ? this.#judged(newest, data) : this.#waiting(data);
  }

  #waiting({ no_verdict_because: because, next_at: at, criteria }) {
    if (because)
      return html`<p class="outcome">No verdict</p>
        <p class="why">${capital(because)}.</p>`;
    return html` <p class="outcome">Not judged yet</p>
      <p class="why">
        ${at
          ? html`It is judged every day from ${weekday(at)} on; the first test takes
            ${plural(criteria.min_window_days, "day")} of matured data.`
          : "There is no look to come."}
      </p>
      ${this.#progress(0, Math.min(criteria.max_experiment_days, this.experiment.duration_days), criteria)}
      <p class="quiet small">
        It ships what is better than ${criteria.baseline} by ${percent(criteria.min_uplift, 0)} or more, and surely
        better, with ${percent(criteria.min_confidence, 0)} confidence over all looks.
      </p>`;
  }

  #judged({ verdict, at, verdict_no: number, details }, { final, next_at: next, criteria, verdicts }) {
    const judged = entries(verdict.policies);
    return html` <p class="outcome">
        <pa-pill word=${verdict.outcome}></pa-pill> ${MEANS[verdict.outcome](verdict.policy)}
      </p>
      <p class="why">${capital(verdict.why)}</p>
      ${this.#progress(verdict.day, verdict.last_day, criteria)}
      <p class="quiet small">
        Day ${verdict.day} of ${verdict.last_day} judged <pa-moment at=${at}></pa-moment>;
        ${final ? "final" : next ? html`next on ${weekday(next)}` : "no look to come"}.
      </p>
      ${judged.length ? this.#evidence(judged, final) : nothing}
      <dl>
        <div>
          <dt>Chance to err spent</dt>
          <dd>${percent(verdict.spent, 2)} of ${percent(verdict.alpha, 2)}</dd>
        </div>
        <div>
          <dt>Users split as configured</dt>
          <dd>p = ${pValue(verdict.split_p)}</dd>
        </div>
        ${verdict.runner_up
          ? html`<div>
              <dt>Over the runner-up ${verdict.runner_up}</dt>
              <dd>${range(verdict.over_runner_up, (value) => lift(value))}</dd>
            </div>`
          : nothing}
      </dl>`;
  }

  #progress(day, last, { min_window_days: first }) {
    const whole = Math.max(1, Math.round(last));
    const step = (at) => `${at < day ? "done" : at === day ? "look" : ""}`;
    return html`<div
      class="steps"
      role="img"
      aria-label="${day} of ${days(last)} days of matured data; the first look is on day ${first}"
    >
      ${whole <= 40
        ? Array.from(
            { length: whole },
            (_, place) =>
              html`<i
                class=${step(place + 1)}
                title="day ${place + 1}${place + 1 < first ? ", before the first look" : ""}"
              ></i>`,
          )
        : nothing}
    </div>`;
  }

  #evidence(judged, final) {
    const axis = axisOf(
      judged.map(([, policy]) => policy.interval),
      0,
    );
    return html`<div class="scroll" tabindex="0" role="group" aria-label="Evidence, scrollable">
      <table>
        <thead>
          <tr>
            <th scope="col">Policy</th>
            <th scope="col">Lift, at all looks</th>
            <th scope="col" class="number">To expect</th>
            ${final ? nothing : html`<th scope="col" class="number">Will ship</th>`}
          </tr>
        </thead>
        <tbody>
          ${judged.map(
            ([name, policy]) =>
              html`<tr>
                <td>
                  <pa-policy name=${name}></pa-policy>${policy.call === "continue"
                    ? nothing
                    : html`<div><pa-pill word=${policy.call}></pa-pill></div>`}
                </td>
                <td>
                  ${policy.interval
                    ? html`<pa-forest
                        width="130"
                        policy=${name}
                        .interval=${policy.interval}
                        .value=${policy.lift}
                        .axis=${axis}
                        .reference=${0}
                        label="${name}: ${range(policy.interval, (value) => lift(value))}"
                      ></pa-forest>`
                    : nothing}
                  <div class="small nowrap">
                    ${lift(policy.lift)}
                    <span class="quiet"
                      >${policy.interval
                        ? `(${range(policy.interval, (value) => lift(value))})`
                        : "not tested yet"}</span
                    >
                  </div>
                </td>
                <td class="number">${lift(policy.shrunk_lift)}</td>
                ${final
                  ? nothing
                  : html`<td class="number">
                      ${policy.power === null ? "–" : probability(policy.power)}${policy.days_to_ship
                        ? html`<div class="quiet small">day ${count(policy.days_to_ship)}</div>`
                        : nothing}
                    </td>`}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }
}

customElements.define("pa-verdict", Verdict);
