// <pa-latency>: how long Select took, over time and as a distribution, beside what is promised.

import { html, nothing } from "lit";
import { axes, line, marked, tooltip } from "../charting.js";
import { count, milliseconds, number, percent, range, time } from "../format.js";
import { entries } from "../policies.js";
import { ICONS } from "../parts/icons.js";
import { Panel } from "../parts/panel.js";
import "../parts/chart.js";
import "../parts/policy.js";

const SLA_MS = 120;
const QUANTILES = { p50: "p50_ms", p95: "p95_ms", p99: "p99_ms" };

class Latency extends Panel {
  static properties = {
    marks: { attribute: false },
    view: { state: true },
    quantile: { state: true },
  };

  constructor() {
    super();
    this.marks = [];
    this.view = "time";
    this.quantile = "p95";
  }

  get heading() {
    return "Latency of Select";
  }

  aside() {
    const choice = (label, of, now, choose) =>
      html`<span class="choice" role="group" aria-label=${label}
        >${of.map(
          ([value, text]) => html`<button aria-pressed=${value === now} @click=${() => choose(value)}>${text}</button>`,
        )}</span
      >`;
    return html`${this.view === "time"
      ? choice(
          "Quantile",
          Object.keys(QUANTILES).map((name) => [name, name]),
          this.quantile,
          (value) => (this.quantile = value),
        )
      : nothing}
    ${choice(
      "What is drawn",
      [
        ["time", "Over time"],
        ["bins", "Distribution"],
      ],
      this.view,
      (value) => (this.view = value),
    )}`;
  }

  empty({ policies }) {
    return Object.keys(policies).length
      ? null
      : "Serving has reported no call in this time. It reports every five seconds.";
  }

  body(data) {
    const over = this.view === "time";
    const shown = { ...data, marks: this.marks, quantile: this.quantile };
    return html` <pa-chart
        short
        .data=${shown}
        .draw=${over ? drawTime : drawBins}
        .table=${over ? timeTable(shown) : binTable(data)}
        label=${over ? `${this.quantile} of the latency over time` : "How many calls took how long"}
      ></pa-chart>
      <div class="scroll" tabindex="0" role="group" aria-label="Latency, scrollable">
        <table>
          <thead>
            <tr>
              <th scope="col">Policy</th>
              <th scope="col" class="number">Calls</th>
              <th scope="col" class="number">Errors</th>
              <th scope="col" class="number">p50</th>
              <th scope="col" class="number">p95, with 95 %</th>
              <th scope="col" class="number">p99</th>
              <th scope="col">Within ${SLA_MS} ms</th>
            </tr>
          </thead>
          <tbody>
            ${entries(data.policies).map(
              ([name, each]) =>
                html`<tr>
                  <td><pa-policy name=${name}></pa-policy></td>
                  <td class="number">${count(each.calls)}</td>
                  <td class="number">${percent(each.error_rate, 2)}</td>
                  <td class="number">${milliseconds(each.p50_ms)}</td>
                  <td class="number">
                    ${milliseconds(each.p95_ms)}
                    <div class="quiet small">${range(each.p95_interval_ms, milliseconds)}</div>
                  </td>
                  <td class="number">${milliseconds(each.p99_ms)}</td>
                  <td class="nowrap">
                    ${each.keeps_sla === null
                      ? "–"
                      : html`<span class="row"
                          >${each.keeps_sla ? ICONS.pass : ICONS.fail}
                          ${percent(1 - each.over_120ms / each.calls, 2)}</span
                        >`}
                  </td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>`;
  }

  note() {
    return `As serving measured it. Promised: at most 5 % of calls above ${SLA_MS} ms. “none” is users outside the experiment.`;
  }
}

function drawTime({ policies, quantile, marks, since, until }, token) {
  const named = entries(policies);
  const series = named.map(([name, { points }]) =>
    line(
      name,
      points.map((point) => [Date.parse(point.at), point[QUANTILES[quantile]]]),
      token,
      { named: false },
    ),
  );
  const highest = Math.max(
    0,
    ...named.flatMap(([, { points }]) => points.map((point) => point[QUANTILES[quantile]] ?? 0)),
  );
  if (series.length && highest > SLA_MS / 4)
    series[0].markLine = {
      symbol: "none",
      silent: true,
      lineStyle: { color: token("bad"), type: "dashed" },
      label: { formatter: `${SLA_MS} ms`, color: token("bad"), position: "insideStartTop" },
      data: [{ yAxis: SLA_MS }],
    };
  return {
    ...axes(token, { format: (value) => `${number(value)} ms`, since, until, room: 16 }),
    tooltip: tooltip(token, (name, value) => (policies[name] ? milliseconds(value) : null)),
    series: [...series, marked(marks, token)],
  };
}

const EDGES = [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 100, 120, 250, 500, 1000, Infinity];
const between = (place) =>
  place === 0
    ? `up to ${EDGES[0]}`
    : EDGES[place] === Infinity
      ? `over ${EDGES[place - 1]}`
      : `${EDGES[place - 1]} to ${EDGES[place]}`;

/** Share of a policy's calls in each of a few widths that people can read. */
function shares({ distribution, calls }) {
  const found = EDGES.map(() => 0);
  for (const bin of distribution) found[EDGES.findIndex((edge) => bin.upto_ms <= edge)] += bin.calls / calls;
  return found;
}

function shown(policies) {
  const named = entries(policies).filter(([, each]) => each.calls);
  const all = named.map(([name, each]) => [name, shares(each)]);
  const used = EDGES.map((_, place) => all.some(([, found]) => found[place] > 0));
  const first = Math.max(0, used.indexOf(true)),
    last = Math.max(first, used.lastIndexOf(true));
  return { all, places: EDGES.map((_, place) => place).slice(first, last + 1) };
}

function drawBins({ policies }, token) {
  const { all, places } = shown(policies);
  return {
    grid: { left: 60, right: 16, top: 24, bottom: 44 },
    xAxis: {
      type: "category",
      data: places.map(between),
      name: "ms",
      nameLocation: "middle",
      nameGap: 28,
      nameTextStyle: { color: token("quiet") },
      axisTick: { show: false },
      axisLine: { lineStyle: { color: token("line-strong") } },
      axisLabel: { color: token("quiet"), hideOverlap: true },
    },
    yAxis: {
      type: "value",
      min: 0,
      axisLabel: { color: token("quiet"), formatter: (value) => percent(value, 0) },
      splitLine: { lineStyle: { color: token("line") } },
    },
    tooltip: {
      ...tooltip(
        token,
        (_, value) => percent(value, 2),
        (head) => `${head} ms`,
      ),
      trigger: "axis",
    },
    series: all.map(([name, found]) => ({
      name,
      type: "bar",
      barMaxWidth: 22,
      color: token(name),
      data: places.map((place) => [place - places[0], found[place]]),
      emphasis: { disabled: true },
    })),
  };
}

function timeTable({ policies, quantile }) {
  return {
    heads: ["From", "Policy", "Calls", quantile, "Errors"],
    rows: entries(policies).flatMap(([name, { points }]) =>
      points.map((point) => [
        time(point.at),
        name,
        count(point.calls),
        milliseconds(point[QUANTILES[quantile]]),
        percent(point.error_rate, 2),
      ]),
    ),
  };
}

function binTable({ policies }) {
  const { all, places } = shown(policies);
  return {
    heads: ["ms", ...all.map(([name]) => name)],
    rows: places.map((place) => [between(place), ...all.map(([, found]) => percent(found[place], 2))]),
  };
}

customElements.define("pa-latency", Latency);
