// <pa-events>: what was decided, one by one, with what came of it; files of all of it.

import { css, html, nothing } from "lit";
import { address, of } from "../api.js";
import { count, number, probability, words } from "../format.js";
import { Panel } from "../parts/panel.js";
import "../parts/moment.js";
import "../parts/policy.js";

const FORMATS = { csv: "CSV", parquet: "Parquet", jsonl: "JSON lines" };

class Events extends Panel {
  static properties = {
    experiment: { attribute: false },
    parameters: { attribute: false }, // of the time and cohort that the page is about
    sought: { attribute: false }, // { policy, arm, bucket, cursor }
  };

  static styles = [
    ...Panel.styles,
    css`
      .tools input {
        width: 130px;
      }
      .tools label {
        font-size: 12.5px;
      }
      tbody td {
        white-space: nowrap;
      }
      td button.plain {
        padding: 0;
        min-height: 24px;
      }
      .voided td {
        color: var(--quiet);
        text-decoration: line-through;
      }
      .pages {
        display: flex;
        gap: 8px;
        margin-top: 12px;
        align-items: center;
      }
      .files {
        margin-left: auto;
        display: flex;
        gap: 12px;
      }
    `,
  ];

  constructor() {
    super();
    this.sought = {};
    this.parameters = {};
    this.newer = [];
  }

  get heading() {
    return "Events";
  }

  body({ events, next }) {
    const { policy = "", arm = "", bucket = "", cursor } = this.sought;
    const names = ["", ...this.experiment.policies.map((each) => each.name)];
    const files = { ...this.parameters, ...this.sought, cursor: undefined };
    return html` <div class="tools">
        <label class="row"
          >Policy
          <select @change=${(event) => this.#seek({ policy: event.target.value })}>
            ${names.map((name) => html`<option value=${name} .selected=${name === policy}>${name || "all"}</option>`)}
          </select></label
        >
        <label class="row"
          >Arm
          <input .value=${arm} placeholder="all" @change=${(event) => this.#seek({ arm: event.target.value.trim() })}
        /></label>
        <label class="row"
          >Bucket
          <input
            .value=${bucket}
            inputmode="numeric"
            placeholder="all"
            @change=${(event) => this.#seek({ bucket: event.target.value.trim() })}
        /></label>
        <span class="files small"
          >As a file:
          ${Object.entries(FORMATS).map(
            ([format, text]) =>
              html`<a download href=${address(of(this.experiment.id, "export", { ...files, format }))}>${text}</a>`,
          )}</span
        >
      </div>
      ${events.length
        ? this.#table(events)
        : html`<p class="empty">
            ${next
              ? "None among the 10,000 decisions that were looked at; older ones follow."
              : this.#filtered
                ? "No decision is like that."
                : "Nothing was decided in this time."}
          </p>`}
      <div class="pages">
        <button ?disabled=${!this.newer.length} @click=${() => this.#page(this.newer.pop())}>Newer</button>
        <button ?disabled=${!next} @click=${() => (this.newer.push(cursor), this.#page(next))}>Older</button>
        ${cursor
          ? html`<button class="plain" @click=${() => ((this.newer = []), this.#page(undefined))}>Newest</button>`
          : nothing}
      </div>`;
  }

  get #filtered() {
    return Object.values({ ...this.sought, ...this.parameters }).some(Boolean);
  }

  #table(events) {
    return html`<div class="scroll" tabindex="0" role="group" aria-label="Events, scrollable">
      <table>
        <thead>
          <tr>
            <th scope="col">Decided</th>
            <th scope="col">User</th>
            <th scope="col">Policy</th>
            <th scope="col">Shown</th>
            <th scope="col" class="number">With probability</th>
            <th scope="col">Rewards</th>
            <th scope="col" class="number">Bucket</th>
            <th scope="col"><span class="hidden-text">Why</span></th>
          </tr>
        </thead>
        <tbody>
          ${events.map(
            (event) =>
              html`<tr class=${event.voided ? "voided" : ""}>
                <td><pa-moment at=${event.decided_at}></pa-moment></td>
                <td>${event.unit}</td>
                <td>
                  ${event.assigned === "none"
                    ? html`<span class="quiet">${words(event.reason)}</span>`
                    : html`<pa-policy name=${event.assigned}></pa-policy>${event.acting === event.assigned
                          ? nothing
                          : html` <span class="quiet small">${event.acting} chose</span>`}`}
                </td>
                <td>
                  ${event.slots.map((slot) => slot.id ?? "(no arm)").join(", ") ||
                  html`<span class="quiet">nothing</span>`}
                </td>
                <td class="number">${event.slots.length ? probability(event.slots[0].propensity) : "–"}</td>
                <td>${this.#rewards(event)}</td>
                <td class="number">${count(event.bucket)}</td>
                <td>
                  <button class="plain" @click=${() => this.#say("asked", { decision: event.uid })}>
                    Why this arm?<span class="hidden-text"> ${event.unit}</span>
                  </button>
                </td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  #rewards({ slots }) {
    const found = slots.flatMap((slot) =>
      Object.entries(slot.rewards).map(([kind, value]) => `${kind} ${number(value)}`),
    );
    return found.length ? found.join(", ") : html`<span class="quiet">none</span>`;
  }

  #seek(changes) {
    this.newer = [];
    this.#say("sought", { ...this.sought, ...changes, cursor: undefined });
  }

  #page(cursor) {
    this.#say("sought", { ...this.sought, cursor });
  }

  #say(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  note() {
    return "Newest first. A reward is what it is worth, from 0 to 1; more may come while the window is open.";
  }
}

customElements.define("pa-events", Events);
