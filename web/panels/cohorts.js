// <pa-cohorts>: each cohort under each policy, and whether they are treated alike beyond what noise makes of it.

import { css, html, nothing } from "lit";
import { count, lift, percent, plural, pValue, range, rate } from "../format.js";
import { ordered } from "../policies.js";
import { axisOf } from "../parts/forest.js";
import { Panel } from "../parts/panel.js";
import "../parts/policy.js";

class Cohorts extends Panel {
  static properties = { experiment: { attribute: false }, chosen: { state: true } };

  static styles = [
    ...Panel.styles,
    css`
      .fair {
        display: grid;
        gap: 4px;
        margin-bottom: 12px;
      }
      .scroll {
        max-height: 420px;
      }
      thead th {
        position: sticky;
        top: 0;
        background: var(--panel);
      }
    `,
  ];

  get heading() {
    return "Cohorts";
  }

  aside(data) {
    const policies = ordered(new Set(data.cohorts.map((each) => each.policy)));
    return html`<label class="small row"
      >Policy
      <select @change=${(event) => (this.chosen = event.target.value)}>
        ${policies.map((name) => html`<option .selected=${name === this.#policy(data)}>${name}</option>`)}
      </select></label
    >`;
  }

  #policy({ cohorts, baseline }) {
    const there = ordered(new Set(cohorts.map((each) => each.policy)));
    return there.includes(this.chosen) ? this.chosen : (there.find((name) => name !== baseline) ?? there[0]);
  }

  empty({ cohorts }) {
    if (cohorts.some((each) => each.attribute !== null)) return null;
    return this.experiment?.cohorts
      ? `No user with the attribute ${this.experiment.cohorts.attribute} was served in this time.`
      : html`<p>
            This experiment tells no cohorts apart. Name an attribute that you send with
            <code>Select</code>, and its values are told apart from then on:
          </p>
          <pre>curl -X PATCH …/api/experiments/${this.experiment?.key} -d '{"cohorts": "country"}'</pre>`;
  }

  body(data) {
    const policy = this.#policy(data);
    const rows = data.cohorts.filter((each) => each.policy === policy).sort((one, other) => other.serves - one.serves);
    const fairness = data.fairness.find((each) => each.policy === policy);
    const baseline = policy === data.baseline;
    const axis = baseline
      ? axisOf(rows.map((each) => each.interval))
      : axisOf(
          rows.map((each) => each.lift?.interval),
          0,
        );
    return html` ${fairness ? this.#fair(fairness) : nothing}
      <div class="scroll" tabindex="0" role="group" aria-label="Cohorts, scrollable">
        <table>
          <thead>
            <tr>
              <th scope="col">Cohort</th>
              <th scope="col" class="number">Serves</th>
              <th scope="col" class="number">Rate</th>
              <th scope="col">${baseline ? "95 %" : `Lift over ${data.baseline}, with 95 %`}</th>
            </tr>
          </thead>
          <tbody>
            ${rows.map(
              (each) =>
                html`<tr>
                  <td>
                    ${each.value === null ? "other" : html`<span class="quiet">${each.attribute}:</span> ${each.value}`}
                  </td>
                  <td class="number">${count(each.serves)}</td>
                  <td class="number">
                    ${each.withheld
                      ? html`<span class="quiet small">needs ${count(data.least_serves)} serves</span>`
                      : rate(each.rate)}
                  </td>
                  <td>${this.#interval(each, policy, baseline, axis)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`;
  }

  #interval(each, policy, baseline, axis) {
    const interval = baseline ? each.interval : each.lift?.interval;
    if (each.withheld || !interval) return nothing;
    const value = baseline ? each.rate : each.lift.value;
    const told = baseline ? rate : lift;
    return html`<pa-forest
        policy=${policy}
        .interval=${interval}
        .value=${value}
        .axis=${axis}
        .reference=${baseline ? null : 0}
        label="${each.value ?? "other"}: ${told(value)}, 95 % ${range(interval, (at) => told(at))}"
      ></pa-forest>
      <div class="small">${told(value)} <span class="quiet">(${range(interval, (at) => told(at))})</span></div>`;
  }

  #fair({ policy, cohorts, naive_cv: naive, corrected_cv: corrected, p_value: p }) {
    if (corrected === null)
      return html`<p class="fair quiet small">
        Fairness takes two cohorts with enough serves; ${plural(cohorts, "cohort has", "cohorts have")} them.
      </p>`;
    const verdict =
      p < 0.05
        ? `Under ${policy} rates differ between cohorts by ${percent(corrected)} beyond noise.`
        : `Under ${policy} no difference between cohorts is shown beyond noise.`;
    return html`<div class="fair">
      <p><b>${verdict}</b></p>
      <p class="quiet small">
        Coefficient of variation: ${percent(naive)} as observed, ${percent(corrected)} without noise. All cohorts equal:
        p = ${pValue(p)}, over ${plural(cohorts, "cohort")}.
      </p>
    </div>`;
  }

  note({ interval_note: note }) {
    return `By whole days. Intervals are ${note}. Among many cohorts some lie beside the truth.`;
  }
}

customElements.define("pa-cohorts", Cohorts);
