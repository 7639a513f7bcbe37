// What the charts over time have in common: axes, lines with bands, direct labels, marks of what happened, tooltips.

import { time } from "./format.js";
import { SYMBOLS } from "./policies.js";

const TIMES = {
  year: "{yyyy}",
  month: "{MMM} {yyyy}",
  day: "{d} {MMM}",
  hour: "{HH}:{mm}",
  minute: "{HH}:{mm}",
  second: "{HH}:{mm}:{ss}",
};
const LINE = 15; // height of a name, in pixels
const FEW = 60; // up to so many points each has a symbol

/** Axes of a chart over time; `format` is of the numbers, `zero` whether their axis begins at 0. */
export function axes(
  token,
  { format, zero = true, min = null, max = null, interval = null, since = null, until = null, room = 84 },
) {
  return {
    grid: { left: 60, right: room, top: 24, bottom: 28 },
    xAxis: {
      type: "time",
      min: since && Date.parse(since),
      max: until && Date.parse(until),
      axisLine: { lineStyle: { color: token("line-strong") } },
      axisTick: { show: false },
      axisLabel: { color: token("quiet"), fontSize: 11.5, formatter: TIMES, hideOverlap: true },
      splitLine: { show: false },
    },
    yAxis: {
      type: "value",
      scale: !zero,
      min: zero ? 0 : min,
      max,
      splitNumber: 4,
      interval,
      axisLabel: { color: token("quiet"), fontSize: 11.5, formatter: format },
      splitLine: { lineStyle: { color: token("line") } },
    },
  };
}

/** A line with its name at its end, `down` pixels below it; `points` are [time, value], a missing value is a gap. */
export function line(name, points, token, { area = false, named = true, stack, down = 0 } = {}) {
  const few = points.length <= FEW && !area;
  return {
    name,
    type: "line",
    data: points,
    stack,
    symbol: SYMBOLS[name] ?? "circle",
    showSymbol: few,
    symbolSize: few && points.length > 1 ? 5 : 7,
    connectNulls: false,
    color: token(name),
    lineStyle: { width: area ? 1.5 : 2 },
    areaStyle: area ? { opacity: 0.4 } : undefined,
    emphasis: { disabled: true },
    endLabel: {
      show: named,
      formatter: "{a}",
      color: token("text"),
      distance: 6,
      offset: [0, down],
    },
    z: 3,
  };
}

/** Pixels by which names beside these values have to go down so that none hides another, on an axis of such a height. */
export function apart(values, { min, max }, height) {
  const down = values.map(() => 0);
  const known = values
    .map((value, place) => ({ place, y: ((max - value) / (max - min)) * height }))
    .filter(({ y }) => Number.isFinite(y))
    .sort((one, other) => one.y - other.y);
  known.reduce((above, { place, y }) => {
    const at = Math.max(y, above + LINE);
    down[place] = at - y;
    return at;
  }, -Infinity);
  return down;
}

/** The band of an interval about a line: `points` are [time, low, high]. */
export function band(name, points, token) {
  const known = points.filter(([, low]) => low !== null);
  const common = {
    name,
    type: "line",
    stack: `band of ${name}`,
    stackStrategy: "all",
    silent: true,
    symbol: "none",
    color: token(name),
    lineStyle: { opacity: 0 },
    emphasis: { disabled: true },
    tooltip: { show: false },
    z: 1,
  };
  return [
    { ...common, data: known.map(([at, low]) => [at, low]) },
    {
      ...common,
      data: known.map(([at, low, high]) => [at, high - low]),
      areaStyle: { opacity: 0.15 },
    },
  ];
}

/** Thin labelled lines for what happened: rollbacks, epochs, looks. `marks` are [{at, label}]. */
export function marked(marks, token) {
  return {
    type: "line",
    name: "marks",
    data: [],
    markLine: {
      symbol: "none",
      silent: true,
      animation: false,
      lineStyle: { color: token("line-strong"), width: 1, type: "solid" },
      label: {
        color: token("quiet"),
        fontSize: 11,
        position: "insideEndTop",
        formatter: (mark) => mark.name,
      },
      data: marks.map(({ at, label }) => ({ name: label, xAxis: Date.parse(at) })),
    },
  };
}

/** A hatched stretch between two moments in milliseconds: what is not final there. */
export function hatched(from, to, label, token) {
  return {
    type: "line",
    name: "not final",
    data: [],
    markArea: {
      silent: true,
      itemStyle: { color: { image: hatch(token("line")), repeat: "repeat" } },
      label: { color: token("quiet"), fontSize: 11, position: "insideBottomRight" },
      data: [[{ name: label, xAxis: from }, { xAxis: to }]],
    },
  };
}

function hatch(colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const pen = canvas.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.beginPath();
  for (const from of [-8, 0, 8]) {
    pen.moveTo(from, 8);
    pen.lineTo(from + 8, 0);
  }
  pen.stroke();
  return canvas;
}

/** A tooltip with all series at that time; `told(name, value, row)` is the text of one, null for none of it. */
export function tooltip(token, told, head = (at) => time(at)) {
  return {
    trigger: "axis",
    confine: true,
    transitionDuration: 0,
    backgroundColor: token("panel"),
    borderColor: token("line-strong"),
    borderWidth: 1,
    padding: [8, 12],
    axisPointer: { type: "line", lineStyle: { color: token("line-strong") } },
    formatter: (found) => tip(found, told, head),
  };
}

// Elements rather than HTML: the policy on contents allows no inline style.
function tip(found, told, head) {
  const box = document.createElement("div");
  box.className = "tip";
  const title = document.createElement("b");
  title.textContent = head(found[0].axisValue);
  box.append(title);
  const seen = new Set();
  for (const { seriesName, data } of found) {
    const text = seen.has(seriesName) ? null : told(seriesName, data[1], data);
    if (text === null) continue;
    seen.add(seriesName);
    const row = document.createElement("div");
    for (const each of [seriesName, text]) {
      const cell = document.createElement("span");
      cell.textContent = each;
      row.append(cell);
    }
    box.append(row);
  }
  return box;
}
