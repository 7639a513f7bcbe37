// <pa-rewards>: what each policy earns over time, with bands; by bucket of time, from the beginning on, or in total.

import { html } from "lit";
import { apart, axes, band, hatched, line, marked, tooltip } from "../charting.js";
import { count, number, percent, range, rate, time } from "../format.js";
import { entries } from "../policies.js";
import { Panel } from "../parts/panel.js";
import "../parts/chart.js";

const PLOT = 348; // height of the plot, in pixels
const VIEWS = { rate: "Rate", cumulative: "Rate so far", reward: "Total reward" };

class Rewards extends Panel {
  static properties = { marks: { attribute: false }, view: { state: true } };

  constructor() {
    super();
    this.marks = [];
    this.view = null;
  }

  get heading() {
    return "Reward over time";
  }

  aside(data) {
    const shown = this.#view(data);
    return html`<span class="choice" role="group" aria-label="What is drawn"
      >${Object.entries(VIEWS).map(
        ([view, text]) =>
          html`<button aria-pressed=${view === shown} @click=${() => (this.view = view)}>
            ${view === "rate" ? `Rate by ${data.grain}` : text}
          </button>`,
      )}</span
    >`;
  }

  /** Rates of minutes and hours are noise mostly. */
  #view({ grain }) {
    return this.view ?? (grain === "day" ? "rate" : "cumulative");
  }

  empty({ policies }) {
    return Object.keys(policies).length
      ? null
      : "Nothing was served in this time. Each policy's rate is drawn here from its first serve on.";
  }

  body(data) {
    const view = this.#view(data);
    return html`<pa-chart
      tall
      .data=${{ ...data, view, marks: this.marks }}
      .draw=${draw}
      .table=${table(data, view)}
      label="${VIEWS[view]} of each policy over time"
    ></pa-chart>`;
  }

  note({ maturity, interval_note: note, grain }) {
    const open = maturity.not_mature
      ? `Hatched: ${percent(maturity.not_mature / Math.max(1, maturity.serves), 0)} of the last day's serves may still earn. `
      : "";
    return html`${open}${grain === "minute" ? note : "Bands are of 95 %, with users as the independent units."}`;
  }
}

const FIELDS = {
  rate: (point) => [point.rate, point.interval],
  cumulative: (point) => [point.cumulative_rate, point.cumulative_interval],
  reward: (point) => [point.cumulative_reward, null],
};
const told = (view, value) => (view === "reward" ? number(value) : rate(value));

function draw({ policies, view, marks, maturity, since, until, as_of: now }, token) {
  const named = entries(policies);
  const intervals = new Map();
  const scale = bounds(policies, view);
  const down = apart(
    named.map(([, points]) => FIELDS[view](points.at(-1) ?? {})[0]),
    scale,
    PLOT,
  );
  const series = named.flatMap(([name, points], place) => {
    const found = points.map((point) => [Date.parse(point.at), ...FIELDS[view](point)]);
    for (const [at, , interval] of found) intervals.set(`${name} ${at}`, interval);
    const edges = found.filter(([, , interval]) => interval).map(([at, , [low, high]]) => [at, low, high]);
    return [
      ...(edges.length ? band(name, edges, token) : []),
      line(
        name,
        found.map(([at, value]) => [at, value]),
        token,
        { down: down[place] },
      ),
    ];
  });
  const end = new Date(Math.min(Date.parse(until), Date.parse(now)));
  const open =
    maturity.not_mature && Date.parse(maturity.mature_before) < end
      ? [hatched(Math.max(Date.parse(maturity.mature_before), Date.parse(since)), end.getTime(), "not mature", token)]
      : [];
  return {
    ...axes(token, {
      format: (value) => (view === "reward" ? count(value) : percent(value, 1)),
      zero: view === "reward",
      ...scale,
      since,
      until: end,
    }),
    tooltip: tooltip(token, (name, value, [at]) => {
      if (!policies[name]) return null;
      const interval = intervals.get(`${name} ${at}`);
      return `${interval ? `${rate(value, interval)} (${range(interval)})` : told(view, value)}`;
    }),
    series: [...open, ...series, marked(marks, token)],
  };
}

/** An axis that holds all lines, and the bands but for the first points', which are wide before there is enough. */
function bounds(policies, view) {
  if (view === "reward")
    return {
      min: 0,
      max:
        1.02 *
        Math.max(
          1,
          ...Object.values(policies).flatMap((points) => points.slice(-1).map((point) => point.cumulative_reward)),
        ),
    };
  const shown = Object.values(policies)
    .flatMap((points) =>
      points.slice(Math.floor(points.length / 8)).flatMap((point) => {
        const [value, interval] = FIELDS[view](point);
        return [value, ...(interval ?? [])];
      }),
    )
    .filter((value) => value !== null);
  if (!shown.length) return { min: 0, max: 1 };
  const low = Math.min(...shown),
    high = Math.max(...shown),
    room = (high - low) * 0.1 || 0.001;
  const step = 10 ** Math.floor(Math.log10(high - low || 0.01)) / 2;
  return {
    min: Math.max(0, Math.floor((low - room) / step) * step),
    max: Math.ceil((high + room) / step) * step,
  };
}

function table({ policies }, view) {
  const rows = entries(policies).flatMap(([name, points]) =>
    points.map((point) => {
      const [value, interval] = FIELDS[view](point);
      return [
        time(point.at),
        name,
        count(view === "rate" ? point.serves : point.cumulative_serves),
        told(view, value),
        interval ? range(interval) : "–",
      ];
    }),
  );
  return { heads: ["From", "Policy", "Serves", VIEWS[view], "95 %"], rows };
}

customElements.define("pa-rewards", Rewards);
