// <pa-allocation>: how traffic was split between the policies over time, beside how it was configured.

import { html, nothing } from "lit";
import { axes, line, marked, tooltip } from "../charting.js";
import { count, percent, pValue, time } from "../format.js";
import { entries, ordered } from "../policies.js";
import { Panel } from "../parts/panel.js";
import { ICONS } from "../parts/icons.js";
import "../parts/chart.js";
import "../parts/policy.js";

const PLOT = 228; // height of the plot in pixels: names stand in the middle of their bands

class Allocation extends Panel {
  static properties = { marks: { attribute: false } };

  constructor() {
    super();
    this.marks = [];
  }

  get heading() {
    return "Allocation";
  }

  aside({ sample_ratio: ratio }) {
    if (!ratio) return nothing;
    return html`<span class="small row"
      >${ratio.sound ? ICONS.pass : ICONS.fail} ${ratio.sound ? "split as configured" : "not split as configured"} (p
      ${pValue(ratio.p_value)})</span
    >`;
  }

  empty({ points }) {
    return points.length ? null : "Nothing was served in this time. The shares of the policies are drawn here.";
  }

  body(data) {
    return html`<pa-chart
        .data=${{ ...data, marks: this.marks }}
        .draw=${draw}
        .table=${table(data)}
        label="Share of serves of each policy over time"
      ></pa-chart>
      ${data.concentration.length ? this.#concentration(data.concentration) : nothing}`;
  }

  /** How each policy spreads its serves over the arms. */
  #concentration(found) {
    return html`<div class="scroll" tabindex="0" role="group" aria-label="Concentration, scrollable">
      <table>
        <thead>
          <tr>
            <th scope="col">Policy</th>
            <th scope="col">Top arm</th>
            <th scope="col" class="number">Its share</th>
            <th scope="col" class="number">Arms</th>
            <th scope="col" class="number">Evenness</th>
          </tr>
        </thead>
        <tbody>
          ${this.#ordered(found).map(
            (each) =>
              html`<tr>
                <td><pa-policy name=${each.policy}></pa-policy></td>
                <td>${each.top_arm ?? "–"}</td>
                <td class="number">${percent(each.top_share)}</td>
                <td class="number">${count(each.arms)}</td>
                <td class="number">${percent(each.entropy, 0)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`;
  }

  #ordered(found) {
    const names = ordered(found.map((each) => each.policy));
    return [...found].sort((one, other) => names.indexOf(one.policy) - names.indexOf(other.policy));
  }

  note({ sample_ratio_note: note }) {
    return html`${note ? `No test of the split: ${note}. ` : ""}Evenness is 100 % where all arms are served alike, 0 %
    where one is served alone.`;
  }
}

function draw({ points, configured, marks, since, until }, token) {
  const names = ordered(new Set([...Object.keys(configured), ...points.flatMap((point) => Object.keys(point.shares))]));
  let upto = 0;
  const edges = names.slice(0, -1).map((name) => ({ yAxis: (upto += configured[name] ?? 0) }));
  const series = names.map((name) =>
    line(
      name,
      points.map((point) => [Date.parse(point.at), point.shares[name] ?? 0]),
      token,
      { area: true, stack: "shares", down: ((points.at(-1)?.shares[name] ?? 0) * PLOT) / 2 },
    ),
  );
  if (series.length)
    series[0].markLine = {
      symbol: "none",
      silent: true,
      label: { show: false },
      lineStyle: { type: "dashed", color: token("text"), opacity: 0.5 },
      data: edges,
    };
  return {
    ...axes(token, { format: (value) => percent(value, 0), max: 1, interval: 0.25, since, until }),
    tooltip: tooltip(token, (name, value) =>
      names.includes(name)
        ? `${percent(value)}${configured[name] === undefined ? "" : ` (configured ${percent(configured[name])})`}`
        : null,
    ),
    series: [...series, marked(marks, token)],
  };
}

function table({ points }) {
  return {
    heads: ["From", "Policy", "Share of serves", "Serves in all"],
    rows: points.flatMap((point) =>
      entries(point.shares).map(([name, share]) => [time(point.at), name, percent(share), count(point.serves)]),
    ),
  };
}

customElements.define("pa-allocation", Allocation);
