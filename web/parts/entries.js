// <pa-entries>: a list in a form, one row each, of any length. Says `given` with all rows.

import { LitElement, css, html, nothing } from "lit";
import { base, controls } from "../styles.js";

class Entries extends LitElement {
  static properties = {
    label: {},
    add: {}, // what the button for another one says
    row: { attribute: false }, // what another one begins as
    columns: { attribute: false }, // [{ name, label, kind: "text", "number" or "choice", options }]
    value: { attribute: false }, // the rows, with a value for the name of each column
    problem: {},
  };

  static styles = [
    base,
    controls,
    css`
      fieldset {
        border: 0;
        margin: 0;
        padding: 0;
      }
      legend {
        font-weight: 600;
        padding: 0;
      }
      .line {
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
        align-items: end;
        margin: 4px 0 12px;
      }
      label {
        flex: 1 1 140px;
        font-size: 12.5px;
        color: var(--quiet);
      }
      .line input,
      .line select {
        display: block;
        width: 100%;
        font-size: 14px;
        color: var(--text);
      }
      .problem {
        color: var(--bad);
        font-size: 12.5px;
      }
    `,
  ];

  constructor() {
    super();
    this.value = [];
  }

  focus() {
    this.renderRoot.querySelector("input, button").focus();
  }

  render() {
    return html`<fieldset aria-describedby="problem">
      <legend>${this.label}</legend>
      ${this.value.map((row, place) => this.#line(row, place))}
      <button type="button" @click=${() => this.#give([...this.value, { ...this.row }])}>${this.add}</button>
      <div class="problem" id="problem" role="alert">${this.problem ?? nothing}</div>
    </fieldset>`;
  }

  #line(row, place) {
    const change = (name, value) =>
      this.#give(this.value.map((each, at) => (at === place ? { ...each, [name]: value } : each)));
    return html`<div class="line" role="group" aria-label="Row ${place + 1}">
      ${this.columns.map(
        (column) => html`<label>${column.label} ${this.#input(column, row[column.name], change)}</label>`,
      )}
      <button
        type="button"
        aria-label="Remove row ${place + 1}"
        @click=${() => this.#give(this.value.filter((_, at) => at !== place))}
      >
        Remove
      </button>
    </div>`;
  }

  #input({ name, kind, options }, value, change) {
    if (kind === "choice")
      return html`<select @change=${(event) => change(name, event.target.value)}>
        ${options.map(([option, text]) => html`<option value=${option} .selected=${option === value}>${text}</option>`)}
      </select>`;
    const read = (text) => (kind !== "number" ? text : text === "" ? null : Number(text));
    return html`<input
      type=${kind ?? "text"}
      step=${kind === "number" ? "any" : nothing}
      .value=${value ?? ""}
      @input=${(event) => change(name, read(event.target.value))}
    />`;
  }

  #give(rows) {
    this.dispatchEvent(new CustomEvent("given", { detail: rows }));
  }
}

customElements.define("pa-entries", Entries);
