// <pa-forest>: an estimate with its interval, on an axis that the rows of a table share.

import { LitElement, css, html, nothing, svg } from "lit";
import { hues } from "../styles.js";

const HEIGHT = 24,
  PAD = 6;

/** The [low, high] that holds every interval and the reference with a margin; null without any. */
export function axisOf(intervals, reference = null) {
  const ends = [...intervals.filter(Boolean).flat(), ...(reference === null ? [] : [reference])].filter(
    Number.isFinite,
  );
  if (ends.length === 0) return null;
  const low = Math.min(...ends),
    high = Math.max(...ends);
  const margin = Math.max((high - low) * 0.06, Math.abs(high) * 1e-3, 1e-9);
  return [low - margin, high + margin];
}

class Forest extends LitElement {
  static properties = {
    interval: { attribute: false },
    outer: { attribute: false }, // a wider one, drawn thinner
    value: { attribute: false },
    axis: { attribute: false }, // [low, high] of axisOf
    reference: { attribute: false }, // a line to compare with
    policy: {},
    label: {},
    width: { type: Number },
  };

  constructor() {
    super();
    this.width = 200;
  }

  static styles = [
    hues,
    css`
      :host {
        display: inline-block;
        vertical-align: middle;
      }
      svg {
        display: block;
        color: var(--hue, var(--control));
      }
      .reference {
        stroke: var(--line-strong);
        stroke-dasharray: 3 3;
      }
      .track {
        stroke: var(--line);
      }
      .inner {
        stroke: currentColor;
        stroke-width: 4;
      }
      .outer {
        stroke: currentColor;
        stroke-width: 1.5;
      }
      circle {
        fill: var(--panel);
        stroke: currentColor;
        stroke-width: 2.5;
      }
    `,
  ];

  render() {
    const { axis, interval, outer, value, reference, width } = this;
    if (!axis || (!interval && !outer)) return nothing;
    const x = (at) =>
      (PAD + ((Math.min(Math.max(at, axis[0]), axis[1]) - axis[0]) / (axis[1] - axis[0])) * (width - 2 * PAD)).toFixed(
        1,
      );
    const line = (kind, ends) =>
      ends ? svg`<line class=${kind} x1=${x(ends[0])} x2=${x(ends[1])} y1="12" y2="12"/>` : nothing;
    const inside = reference !== undefined && reference !== null && reference >= axis[0] && reference <= axis[1];
    return html`<svg
      class=${this.policy ?? ""}
      width=${width}
      height=${HEIGHT}
      viewBox="0 0 ${width} ${HEIGHT}"
      role="img"
      aria-label=${this.label ?? ""}
    >
      <line class="track" x1="0" x2=${width} y1="12" y2="12"></line>
      ${inside ? svg`<line class="reference" x1=${x(reference)} x2=${x(reference)} y1="0" y2=${HEIGHT}/>` : nothing}
      ${line("outer", outer)} ${line("inner", interval)}
      ${value === null || value === undefined ? nothing : svg`<circle cx=${x(value)} cy="12" r="4"/>`}
    </svg>`;
  }
}

customElements.define("pa-forest", Forest);
