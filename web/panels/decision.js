// <pa-decision>: why this arm? A decision redone from the ledger: who the user is to the experiment, what each candidate was
// believed to be worth, what was drawn from, and what was drawn.

import { LitElement, css, html, nothing } from "lit";
import { capital, count, number, percent, probability, range, rate, words } from "../format.js";
import { base, controls, hues, tables } from "../styles.js";
import { axisOf } from "../parts/forest.js";
import { ICONS } from "../parts/icons.js";
import { panelStyles, skeleton, trouble } from "../parts/panel.js";
import "../parts/dialog.js";
import "../parts/moment.js";
import "../parts/policy.js";

const VERDICTS = {
  reproduced: ["pass", "Redone from the ledger, it comes out the same to the last integer."],
  differs: ["fail", "Redone from the ledger, it does not come out as it was logged."],
  other_kernel: ["unknown", "Another version of the arithmetic made it: its weights are not redone."],
  not_logged: ["unknown", "Only a hash of its candidates was logged: its weights cannot be redone."],
  not_folded: ["unknown", "The decision itself has not come yet; this is what its reward says of it."],
};

class Decision extends LitElement {
  static properties = { state: { attribute: false }, experiment: { attribute: false } };

  static styles = [
    base,
    hues,
    controls,
    tables,
    panelStyles,
    css`
      .proof {
        display: flex;
        gap: 8px;
        align-items: flex-start;
        margin-bottom: 12px;
      }
      .proof svg {
        flex: none;
        margin-top: 3px;
      }
      .pass {
        color: var(--good);
      }
      .fail {
        color: var(--bad);
      }
      .unknown {
        color: var(--warn);
      }
      ol.steps {
        list-style: none;
        margin: 0;
        padding: 0;
        display: grid;
        gap: 20px;
      }
      h3 {
        margin-bottom: 4px;
        font-size: 14px;
      }
      .ruler {
        position: relative;
        height: 30px;
        margin: 8px 0;
      }
      .ruler .track {
        position: absolute;
        inset: 10px 0 10px;
        display: flex;
        gap: 1px;
        border-radius: 3px;
        overflow: hidden;
        background: var(--sunken);
      }
      .ruler i {
        display: block;
        background: var(--hue, var(--none));
        opacity: 0.35;
      }
      .ruler i.own {
        opacity: 1;
      }
      .ruler .at {
        position: absolute;
        top: 2px;
        bottom: 2px;
        width: 3px;
        margin-left: -1px;
        background: var(--text);
        border-radius: 2px;
        outline: 2px solid var(--panel);
      }
      .in {
        --hue: var(--accent);
      }
      tr.shown td {
        background: var(--sunken);
        font-weight: 600;
      }
      .weight {
        position: relative;
        width: 140px;
        height: 14px;
        background: var(--sunken);
        border-radius: 3px;
        overflow: hidden;
      }
      tr.shown .weight {
        background: var(--panel);
      }
      .weight i {
        position: absolute;
        inset: 0 auto 0 0;
        background: var(--accent);
      }
      .weight i.floor {
        background: var(--line-strong);
      }
    `,
  ];

  render() {
    const { data, error } = this.state;
    return html`<pa-dialog
      wide
      heading="Why this arm?"
      @closed=${() => this.dispatchEvent(new CustomEvent("asked", { detail: { decision: "" } }))}
    >
      ${error ? trouble(error) : nothing} ${data ? this.#told(data) : error ? nothing : skeleton(6)}
    </pa-dialog>`;
  }

  #told(data) {
    const [icon, proof] = VERDICTS[data.verdict];
    const { decision, slots = [] } = data;
    const first = slots[0];
    return html` <p>
        ${decision.unit ? html`<b>${decision.unit}</b> was` : "Somebody was"}
        ${first
          ? html`shown <b>${slots.map((slot) => slot.arm_id ?? "a candidate that is no arm").join(", ")}</b>`
          : "shown nothing"} <pa-moment at=${decision.decided_at}></pa-moment>${first
          ? html`, which had a probability of <b>${probability(first.propensity)}</b>`
          : nothing}${decision.reason === "ASSIGNED" ? nothing : html` (${words(decision.reason)})`}.
      </p>
      <p class="proof">
        <span class=${icon}>${ICONS[icon]}</span
        ><span>${proof}${data.differences?.length ? html` ${data.differences.join("; ")}` : nothing}</span>
      </p>
      <ol class="steps">
        ${data.assignment ? html`<li>${this.#assigned(data)}</li>` : nothing}
        ${data.candidates?.length ? html`<li>${this.#candidates(data)}</li>` : nothing}
        ${first ? html`<li>${this.#drawn(data, first)}</li>` : nothing}
        <li>${this.#rewards(data.rewards)}</li>
      </ol>`;
  }

  #assigned({ assignment, decision }) {
    const { gate, traffic_pct: traffic, bucket, policy_of_bucket: owner } = assignment;
    const shares = this.experiment?.policies.filter((policy) => policy.share) ?? [];
    return html`<h3>1. Which policy</h3>
      ${assignment.erased
        ? html`<p>The user was erased: of their assignment nothing is left to redo.</p>`
        : html` <p>
              Is the user in the ${percent(traffic, 0)} of traffic? Their place is ${percent(gate, 2)}:
              ${assignment.in_traffic ? "yes" : "no"}.
            </p>
            <div class="ruler" role="img" aria-label="place ${percent(gate, 2)} of a traffic of ${percent(traffic, 0)}">
              <div class="track"><i class="in" .style=${`width: ${traffic * 100}%`}></i></div>
              <span class="at" .style=${`left: ${gate * 100}%`}></span>
            </div>`}
      <p>
        Bucket ${count(bucket)} of 10,000 is
        ${owner}'s${decision.assigned === owner
          ? ""
          : `; the user was given ${decision.assigned}${assignment.refused ? `, because of ${words(assignment.refused)}` : ""}`}.
      </p>
      <div
        class="ruler"
        role="img"
        aria-label=${`shares of the buckets now: ${shares.map((policy) => `${policy.name} ${percent(policy.share)}`).join(", ")}`}
      >
        <div class="track">
          ${shares.map(
            (policy) =>
              html`<i
                class="${policy.name} ${policy.name === owner ? "own" : ""}"
                .style=${`width: ${policy.share * 100}%`}
                title="${policy.name} ${percent(policy.share)}"
              ></i>`,
          )}
        </div>
      </div>`;
  }

  #candidates({ candidates, slots, policy, publication }) {
    const shown = new Set(slots.map((slot) => slot.arm_no));
    const total = candidates.reduce((sum, each) => sum + (each.integer ?? 0), 0);
    const axis = axisOf(candidates.map((each) => each.interval ?? null));
    const highest = Math.max(...candidates.map((each) => each.floored ?? 0), 1e-9);
    const floor = policy.params.floor ?? policy.params.epsilon;
    return html`<h3>2. What ${policy.name} made of the ${count(candidates.length)} candidates</h3>
      <p class="quiet small">
        By publication ${count(publication.number)} of
        <pa-moment at=${publication.as_of}></pa-moment>, fold
        ${count(publication.fold)}${floor
          ? `; ${percent(floor, 0)} of the probability is spread equally (the floor, grey)`
          : ""}.
      </p>
      <div class="scroll" tabindex="0" role="group" aria-label="Candidates, scrollable">
        <table>
          <thead>
            <tr>
              <th scope="col" class="number">Place</th>
              <th scope="col">Arm</th>
              <th scope="col" class="number">Serves</th>
              <th scope="col" class="number">Rewards</th>
              <th scope="col" class="number">Believed rate</th>
              ${axis ? html`<th scope="col">95 %</th>` : nothing}
              <th scope="col">Probability</th>
              <th scope="col" class="number">
                <span class="hidden-text">Probability in numbers</span>
              </th>
            </tr>
          </thead>
          <tbody>
            ${candidates.map(
              (each) =>
                html`<tr class=${shown.has(each.arm_no) ? "shown" : ""}>
                  <td class="number">${each.place}</td>
                  <td>
                    ${each.arm_id ?? "no arm"}${shown.has(each.arm_no)
                      ? html`<span class="hidden-text"> (shown)</span>`
                      : nothing}
                  </td>
                  <td class="number">${each.serves === undefined ? "–" : number(each.serves)}</td>
                  <td class="number">${each.rewards === undefined ? "–" : number(each.rewards)}</td>
                  <td class="number">${rate(each.mean)}</td>
                  ${axis
                    ? html`<td>
                        ${each.interval
                          ? html`<pa-forest
                              width="140"
                              policy=${policy.name}
                              .interval=${each.interval}
                              .value=${each.mean}
                              .axis=${axis}
                              label="95 % ${range(each.interval)}"
                            ></pa-forest>`
                          : nothing}
                      </td>`
                    : nothing}
                  <td>
                    ${each.floored === undefined
                      ? html`<span class="quiet small">not scored</span>`
                      : html`<div class="weight" aria-hidden="true">
                          <i .style=${`width: ${(each.floored / highest) * 100}%`}></i
                          ><i
                            class="floor"
                            .style=${`width: ${((floor ?? 0) / candidates.length / highest) * 100}%`}
                          ></i>
                        </div>`}
                  </td>
                  <td class="number">${each.integer === undefined ? "" : probability(each.integer / total)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`;
  }

  #drawn({ candidates = [], drawn }, first) {
    const scored = candidates.filter((each) => each.integer).sort((one, other) => one.arm_no - other.arm_no);
    const total = scored.reduce((sum, each) => sum + each.integer, 0);
    return html`<h3>3. The draw</h3>
      <p>
        Weight ${count(first.weight)} of ${count(first.total)}: that is its logged propensity,
        ${probability(first.propensity)}.${Number.isInteger(drawn)
          ? ` The number ${count(drawn)} was drawn, by the decision's own key.`
          : ""}
      </p>
      ${scored.length
        ? html`<div
            class="ruler"
            role="img"
            aria-label="cumulated weights of the candidates, with ${first.arm_id} drawn"
          >
            <div class="track">
              ${scored.map(
                (each) =>
                  html`<i
                    class="in ${each.arm_no === first.arm_no ? "own" : ""}"
                    .style=${`width: ${(each.integer / total) * 100}%`}
                    title="${each.arm_id}: ${probability(each.integer / total)}"
                  ></i>`,
              )}
            </div>
            ${Number.isInteger(drawn)
              ? html`<span class="at" .style=${`left: ${(drawn / total) * 100}%`}></span>`
              : nothing}
          </div>`
        : nothing}`;
  }

  #rewards(rewards) {
    if (!rewards.length)
      return html`<h3>What came of it</h3>
        <p class="quiet">No reward yet.</p>`;
    return html`<h3>What came of it</h3>
      <div class="scroll" tabindex="0" role="group" aria-label="Rewards, scrollable">
        <table>
          <thead>
            <tr>
              <th scope="col">Received</th>
              <th scope="col">Kind</th>
              <th scope="col" class="number">Slot</th>
              <th scope="col" class="number">Value</th>
              <th scope="col" class="number">Credit</th>
              <th scope="col">Status</th>
              <th scope="col">From</th>
            </tr>
          </thead>
          <tbody>
            ${rewards.map(
              (each) =>
                html`<tr>
                  <td><pa-moment at=${each.received_at}></pa-moment></td>
                  <td>${each.kind}${each.retract ? " (retracted)" : ""}</td>
                  <td class="number">${each.slot}</td>
                  <td class="number">${number(each.value)}</td>
                  <td class="number">${number(each.credit)}</td>
                  <td>${capital(words(each.status))}</td>
                  <td>${each.source || "–"}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`;
  }
}

customElements.define("pa-decision", Decision);
