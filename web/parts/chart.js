// <pa-chart>: a chart drawn by ECharts, which is fetched when the first one is wanted, with a table of the same figures.

import { LitElement, css, html, nothing } from "lit";
import { token } from "../theme.js";
import { base, controls, tables } from "../styles.js";

const MOST_ROWS = 400;
let library;

/** Ask for the library, where nobody has: a page does before its figures, which are then drawn as they come. */
export const fetchLibrary = () => (library ??= import("echarts"));

class Chart extends LitElement {
  static properties = {
    data: { attribute: false },
    draw: { attribute: false }, // (data, token) => an option of ECharts; the same function at every render
    table: { attribute: false }, // { heads: [text], rows: [[text]] }
    label: {}, // what a screen reader says of the picture
    short: { type: Boolean },
    listed: { state: true },
    broken: { state: true },
  };

  static styles = [
    base,
    controls,
    tables,
    css`
      figure {
        margin: 0;
        position: relative;
      }
      #plot {
        height: 280px;
      }
      :host([short]) #plot {
        height: 200px;
      }
      :host([tall]) #plot {
        height: 400px;
      }
      .switch {
        display: flex;
        justify-content: flex-end;
      }
      .switch button {
        font-size: 12px;
        min-height: 24px;
        padding: 0 4px;
      }
      .scroll {
        max-height: 280px;
        overflow: auto;
      }
      .tip {
        font-size: 12.5px;
        line-height: 1.6;
        font-variant-numeric: tabular-nums;
        color: var(--text);
      }
      .tip b {
        display: block;
        font-weight: 600;
      }
      .tip div {
        display: flex;
        gap: 16px;
        justify-content: space-between;
      }
      .tip div span:first-child {
        color: var(--quiet);
      }
    `,
  ];

  constructor() {
    super();
    this.listed = false;
    this.broken = false;
    this.resized = new ResizeObserver(() => this.chart?.resize());
  }

  connectedCallback() {
    super.connectedCallback();
    addEventListener("pullarm-theme", this.#paint);
    if (this.hasUpdated) this.#begin();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    removeEventListener("pullarm-theme", this.#paint);
    this.resized.disconnect();
    this.chart?.dispose();
    this.chart = null;
  }

  firstUpdated() {
    this.#begin();
  }

  updated(changed) {
    if (changed.has("data") || changed.has("draw")) this.#paint();
  }

  async #begin() {
    try {
      const echarts = await fetchLibrary();
      if (!this.isConnected || this.chart) return;
      const plot = this.renderRoot.getElementById("plot");
      this.chart = echarts.init(plot, null, { renderer: "canvas" });
      this.resized.observe(plot);
      this.#paint();
    } catch {
      library = undefined;
      this.#complete();
      this.broken = true;
      this.listed = true;
    }
  }

  #paint = () => {
    if (!this.chart || !this.data) return;
    const option = this.draw(this.data, token);
    this.chart.setOption(
      {
        animation: false,
        textStyle: { fontFamily: getComputedStyle(this).fontFamily, fontSize: 12 },
        ...option,
      },
      { replaceMerge: ["series", "xAxis", "yAxis"] },
    );
    this.#complete();
  };

  #complete() {
    this.renderRoot.getElementById("plot").ariaBusy = "false";
  }

  render() {
    return html`<figure>
      <div id="plot" role="img" aria-busy="true" aria-label=${this.label} ?hidden=${this.listed}></div>
      ${this.broken ? html`<p class="quiet">The chart could not be loaded; these are its figures.</p>` : nothing}
      ${this.listed ? this.#list() : nothing}
      <div class="switch">
        <button class="plain" aria-pressed=${this.listed} @click=${() => (this.listed = !this.listed)}>
          View as table
        </button>
      </div>
    </figure>`;
  }

  #list() {
    const { heads, rows } = this.table;
    return html`<div class="scroll" tabindex="0" role="group" aria-label="${this.label}, as a table">
      <table>
        <thead>
          <tr>
            ${heads.map((head, at) => html`<th scope="col" class=${at ? "number" : ""}>${head}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.slice(0, MOST_ROWS).map(
            (row) =>
              html`<tr>
                ${row.map((cell, at) => html`<td class=${at ? "number" : "nowrap"}>${cell}</td>`)}
              </tr>`,
          )}
        </tbody>
      </table>
      ${rows.length > MOST_ROWS
        ? html`<p class="quiet small">
            The first ${MOST_ROWS} of ${rows.length} rows; choose a shorter time for the others.
          </p>`
        : nothing}
    </div>`;
  }
}

customElements.define("pa-chart", Chart);
