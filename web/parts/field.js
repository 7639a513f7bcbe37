// <pa-field>: a labelled field of a form with its hint, and what the server says is wrong with it. Says `given` with the value.

import { LitElement, css, html, nothing } from "lit";
import { base, controls } from "../styles.js";

const PER_CENT = 100;
const tidy = (value) => Number(value.toPrecision(10));
const local = (at) =>
  at ? new Date(new Date(at) - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : "";

/** By kind: how a value is written in the field, and read from it; an empty field is null. */
const KINDS = {
  text: { write: (value) => value ?? "", read: (text) => text },
  lines: { write: (value) => value ?? "", read: (text) => text },
  number: { write: (value) => value ?? "", read: (text) => (text === "" ? null : Number(text)) },
  percent: {
    write: (value) => (value === null || value === undefined ? "" : tidy(value * PER_CENT)),
    read: (text) => (text === "" ? null : tidy(Number(text) / PER_CENT)),
  },
  moment: { write: local, read: (text) => (text ? new Date(text).toISOString() : null) },
  choice: { write: (value) => value, read: (text) => text },
  yes: { write: Boolean, read: Boolean },
};

class Field extends LitElement {
  static properties = {
    label: {},
    kind: {},
    hint: {},
    unit: {},
    value: { attribute: false },
    options: { attribute: false },
    problem: {},
    required: { type: Boolean },
  };

  static styles = [
    base,
    controls,
    css`
      label {
        display: block;
        font-weight: 600;
        margin-bottom: 2px;
      }
      .with-unit {
        display: flex;
        gap: 8px;
        align-items: center;
      }
      input:not([type="checkbox"]),
      textarea,
      select {
        width: 100%;
        max-width: 100%;
      }
      .with-unit input {
        max-width: 140px;
      }
      textarea {
        min-height: 96px;
        font:
          12.5px/1.6 ui-monospace,
          Menlo,
          Consolas,
          monospace;
      }
      .hint {
        color: var(--quiet);
        font-size: 12.5px;
      }
      .problem {
        color: var(--bad);
        font-size: 12.5px;
      }
      [aria-invalid="true"] {
        border-color: var(--bad);
      }
      .yes {
        display: flex;
        gap: 8px;
        align-items: center;
        font-weight: 400;
      }
    `,
  ];

  constructor() {
    super();
    this.kind = "text";
  }

  focus() {
    this.renderRoot.querySelector("input, select, textarea")?.focus();
  }

  render() {
    const told = html`${this.hint ? html`<div class="hint" id="hint">${this.hint}</div>` : nothing}
      <div class="problem" id="problem" role="alert">${this.problem ?? nothing}</div>`;
    if (this.kind === "yes")
      return html`<label class="yes"
          ><input
            type="checkbox"
            .checked=${Boolean(this.value)}
            aria-describedby="hint problem"
            @change=${(event) => this.#give(event.target.checked)}
          />
          ${this.label}</label
        >${told}`;
    return html`<label for="field">${this.label}</label>${this.#input()}${told}`;
  }

  #input() {
    const invalid = this.problem ? "true" : "false";
    const value = KINDS[this.kind].write(this.value);
    const given = (event) => this.#give(event.target.value);
    if (this.kind === "choice")
      return html`<select id="field" aria-invalid=${invalid} aria-describedby="hint problem" @change=${given}>
        ${this.options.map(
          ([option, text]) => html`<option value=${option} .selected=${option === value}>${text}</option>`,
        )}
      </select>`;
    if (this.kind === "lines")
      return html`<textarea
        id="field"
        aria-invalid=${invalid}
        aria-describedby="hint problem"
        .value=${value}
        @input=${given}
      ></textarea>`;
    const numeric = this.kind === "number" || this.kind === "percent";
    const type = numeric ? "number" : this.kind === "moment" ? "datetime-local" : "text";
    const unit = this.kind === "percent" ? "%" : this.unit;
    return html`<div class=${unit ? "with-unit" : ""}>
      <input
        id="field"
        type=${type}
        step=${numeric ? "any" : nothing}
        ?required=${this.required}
        aria-invalid=${invalid}
        aria-describedby="hint problem"
        .value=${value}
        @input=${given}
      />${unit ?? nothing}
    </div>`;
  }

  #give(text) {
    this.dispatchEvent(new CustomEvent("given", { detail: KINDS[this.kind].read(text) }));
  }
}

customElements.define("pa-field", Field);
