// <pa-filters>: the time and cohort that all panels are about, and where the page's parts are. The address carries them.

import { LitElement, css, html, nothing } from "lit";
import { RANGES } from "../span.js";
import { base, controls } from "../styles.js";

const SECTIONS = {
  policies: "Policies",
  rewards: "Rewards",
  arms: "Arms",
  cohorts: "Cohorts",
  latency: "Latency",
  events: "Events",
  audit: "Changes",
};

/** A time as a field for local times has it, and back. */
const local = (at) =>
  at ? new Date(new Date(at) - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : "";
const instant = (text) => (text ? new Date(text).toISOString() : "");

class Filters extends LitElement {
  static properties = {
    asked: { attribute: false },
    experiment: { attribute: false },
    cohorts: { attribute: false },
    custom: { state: true },
  };

  static styles = [
    base,
    controls,
    css`
      :host {
        position: sticky;
        top: 0;
        z-index: 5;
        margin-top: 16px;
        padding: 8px 0;
        background: var(--page);
      }
      .bar {
        display: flex;
        flex-wrap: wrap;
        gap: 8px 16px;
        align-items: center;
      }
      nav {
        display: flex;
        flex-wrap: wrap;
        gap: 2px;
        margin-right: auto;
      }
      nav button {
        min-height: 28px;
        padding: 2px 8px;
        color: var(--quiet);
      }
      label {
        display: inline-flex;
        gap: 8px;
        align-items: center;
        font-size: 12.5px;
      }
      select,
      input {
        min-height: 28px;
        padding: 2px 8px;
        font-size: 12.5px;
      }
      @media (max-width: 860px) {
        :host {
          position: static;
        }
        nav {
          display: none;
        }
      }
    `,
  ];

  render() {
    const { range = "", since = "", until = "", cohort = "" } = this.asked;
    const custom = this.custom || since || until;
    return html`<div class="bar">
      <nav aria-label="Parts of the page">
        ${Object.entries(SECTIONS).map(
          ([id, text]) => html`<button class="plain" @click=${() => this.#say("section", id)}>${text}</button>`,
        )}
      </nav>
      <div class="choice" role="group" aria-label="Time">
        ${Object.entries(RANGES).map(
          ([value, text]) =>
            html`<button
              aria-pressed=${!custom && value === range}
              @click=${() => this.#time({ range: value, since: "", until: "" })}
            >
              ${text}
            </button>`,
        )}
        <button aria-pressed=${Boolean(custom)} @click=${() => (this.custom = !this.custom)}>From … to</button>
      </div>
      ${custom
        ? html` <label
              >From
              <input
                type="datetime-local"
                .value=${local(since)}
                @change=${(event) => this.#ask({ range: "", since: instant(event.target.value) })}
            /></label>
            <label
              >to
              <input
                type="datetime-local"
                .value=${local(until)}
                @change=${(event) => this.#ask({ range: "", until: instant(event.target.value) })}
            /></label>`
        : nothing}
      ${this.experiment.cohorts
        ? html`<label
            >Cohort
            <select @change=${(event) => this.#ask({ cohort: event.target.value })}>
              ${this.#cohorts(cohort)}
            </select></label
          >`
        : nothing}
    </div>`;
  }

  #cohorts(chosen) {
    const named = this.experiment.cohort_numbers.map(({ attribute, value, cohort_no: number }) => [
      String(number),
      `${attribute}: ${value}`,
    ]);
    return [["", "all"], ...named, ["0", "other"]].map(
      ([value, text]) => html`<option value=${value} .selected=${value === chosen}>${text}</option>`,
    );
  }

  #time(changes) {
    this.custom = false;
    this.#ask(changes);
  }

  #ask(changes) {
    this.#say("asked", changes);
  }

  #say(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

customElements.define("pa-filters", Filters);
