// <pa-spark>: the course of one number, without an axis; the number itself stands beside it.

import { LitElement, css, html, nothing, svg } from "lit";
import { hues } from "../styles.js";

const WIDTH = 96,
  HEIGHT = 24;

class Spark extends LitElement {
  static properties = {
    values: { attribute: false }, // oldest first; null where nothing is known
    floor: { attribute: false }, // lowest value of the axis; without one, the lowest there is
    ceiling: { attribute: false },
    limit: { attribute: false }, // a line
    policy: {},
    label: {},
  };

  static styles = [
    hues,
    css`
      :host {
        display: inline-block;
        vertical-align: middle;
      }
      svg {
        display: block;
        width: 96px;
        height: 24px;
        color: var(--hue, var(--quiet));
        overflow: visible;
      }
      path {
        fill: none;
        stroke: currentColor;
        stroke-width: 1.5;
        stroke-linejoin: round;
      }
      .area {
        fill: currentColor;
        fill-opacity: 0.15;
        stroke: none;
      }
      .limit {
        stroke: var(--line-strong);
        stroke-dasharray: 3 3;
      }
    `,
  ];

  render() {
    const known = (this.values ?? []).filter((value) => value !== null);
    if (known.length < 2) return nothing;
    const low = this.floor ?? Math.min(...known);
    const high = Math.max(this.ceiling ?? -Infinity, ...known, this.limit ?? -Infinity);
    const y = (value) => (HEIGHT - 2 - ((value - low) / (high - low || 1)) * (HEIGHT - 4)).toFixed(1);
    const step = WIDTH / (this.values.length - 1);
    const points = this.values
      .map((value, at) => (value === null ? null : `${(at * step).toFixed(1)},${y(value)}`))
      .filter(Boolean);
    const line = `M${points.join("L")}`;
    return html`<svg
      class=${this.policy ?? ""}
      viewBox="0 0 ${WIDTH} ${HEIGHT}"
      role="img"
      aria-label=${this.label ?? ""}
      preserveAspectRatio="none"
    >
      ${this.floor === undefined
        ? nothing
        : svg`<path class="area" d="${line}V${HEIGHT}H${points[0].split(",")[0]}Z"/>`}
      <path d=${line}></path>
      ${this.limit === undefined || this.limit === null
        ? nothing
        : svg`<line class="limit" x1="0" x2=${WIDTH} y1=${y(this.limit)} y2=${y(this.limit)}/>`}
    </svg>`;
  }
}

customElements.define("pa-spark", Spark);
