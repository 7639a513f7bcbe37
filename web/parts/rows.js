// <pa-rows>: a table of any length. Only the rows in sight are in the document; arrow keys move, heads sort.

import { LitElement, css, html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { base, controls, tables } from "../styles.js";
import { ICONS } from "./icons.js";

const HEIGHT = 44; // of a row, in pixels
const SPARE = 8; // rows beyond those in sight

/** Compares numbers and texts; what is missing comes last either way round. */
function compare(one, other, turned) {
  const missing = (value) => value === null || value === undefined || Number.isNaN(value);
  if (missing(one) || missing(other)) return missing(one) - missing(other);
  const found =
    typeof one === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
  return turned ? -found : found;
}

class Rows extends LitElement {
  static properties = {
    columns: { attribute: false }, // [{ id, head, number, value: row => what is sorted by, cell: row => what is shown, title }]
    rows: { attribute: false },
    sort: { attribute: false }, // { id, turned }
    label: {},
    first: { state: true },
    seen: { state: true },
  };

  static styles = [
    base,
    controls,
    tables,
    css`
      .scroll {
        max-height: 540px;
        overflow: auto;
        overflow-anchor: none;
        border-top: 1px solid var(--line);
      }
      table {
        table-layout: auto;
      }
      thead th {
        position: sticky;
        top: 0;
        z-index: 1;
        background: var(--panel);
        padding-top: 4px;
        padding-bottom: 4px;
        box-shadow: inset 0 -1px var(--line);
      }
      thead button {
        border: 0;
        padding: 0;
        min-height: 24px;
        font-size: 12px;
        color: var(--quiet);
        background: none;
        display: inline-flex;
        align-items: center;
        gap: 2px;
        white-space: normal;
        text-align: inherit;
      }
      thead button[data-sorted] {
        color: var(--text);
        font-weight: 650;
      }
      thead svg {
        width: 12px;
        height: 12px;
        flex: none;
      }
      tbody td {
        height: 44px;
        padding-top: 0;
        padding-bottom: 0;
        white-space: nowrap;
        line-height: 1.3;
      }
      tbody tr.space td {
        height: inherit;
        padding: 0;
        border: 0;
      }
      tbody tr:focus-visible {
        outline-offset: -2px;
      }
    `,
  ];

  constructor() {
    super();
    this.rows = [];
    this.columns = [];
    this.sort = null;
    this.first = 0;
    this.seen = 20;
  }

  willUpdate(changed) {
    if (!changed.has("rows") && !changed.has("sort") && !changed.has("columns")) return;
    const column = this.columns.find(({ id }) => id === this.sort?.id);
    this.sorted = column
      ? [...this.rows].sort((one, other) => compare(column.value(one), column.value(other), this.sort.turned))
      : this.rows;
  }

  render() {
    const first = Math.min(Math.max(0, this.first - SPARE), Math.max(0, this.sorted.length - this.seen));
    const last = Math.min(this.sorted.length, first + this.seen + 2 * SPARE);
    const space = (rows) =>
      rows > 0
        ? html`<tr class="space" aria-hidden="true" .style=${`height: ${rows * HEIGHT}px`}>
            <td colspan=${this.columns.length}></td>
          </tr>`
        : nothing;
    return html`<div
      class="scroll"
      tabindex="0"
      role="group"
      aria-label="${this.label}, scrollable"
      @scroll=${this.#scrolled}
      @keydown=${this.#keys}
    >
      <table aria-label=${this.label} aria-rowcount=${this.sorted.length + 1}>
        <thead>
          <tr aria-rowindex="1">
            ${this.columns.map((column) => this.#head(column))}
          </tr>
        </thead>
        <tbody>
          ${space(first)}
          ${repeat(
            this.sorted.slice(first, last),
            (_, place) => first + place, // a scroll takes rows away at one end, and makes others at the other
            (row, place) =>
              html`<tr aria-rowindex=${first + place + 2}>
                ${this.columns.map(
                  (column) => html`<td class=${column.number ? "number" : ""}>${column.cell(row)}</td>`,
                )}
              </tr>`,
          )}
          ${space(this.sorted.length - last)}
        </tbody>
      </table>
    </div>`;
  }

  #head(column) {
    const sorted = this.sort?.id === column.id;
    const direction = sorted ? (this.sort.turned ? "descending" : "ascending") : nothing;
    return html`<th scope="col" class=${column.number ? "number" : ""} aria-sort=${direction}>
      ${column.value
        ? html`<button
            ?data-sorted=${sorted}
            title=${column.title ?? nothing}
            @click=${() => this.#sort(column, sorted)}
          >
            ${column.head} ${sorted ? (this.sort.turned ? ICONS.down : ICONS.up) : nothing}
          </button>`
        : column.head}
    </th>`;
  }

  /** Numbers begin with the largest. */
  #sort(column, sorted) {
    this.sort = { id: column.id, turned: sorted ? !this.sort.turned : Boolean(column.number) };
  }

  #scrolled = (event) => {
    this.first = Math.floor(event.target.scrollTop / HEIGHT);
    this.seen = Math.ceil(event.target.clientHeight / HEIGHT);
  };

  #keys = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    const to = { Home: 0, End: this.sorted.length * HEIGHT }[event.key];
    if (by === undefined && to === undefined) return;
    event.preventDefault();
    const { currentTarget: box } = event;
    box.scrollTop = to ?? box.scrollTop + by * HEIGHT;
  };
}

customElements.define("pa-rows", Rows);
