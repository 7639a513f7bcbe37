// Numbers and times as people read them. A missing number is a dash.

const NARROW = "\u202f";
const MINUS = "\u2212";
const whole = new Intl.NumberFormat("en");
const moment = new Intl.DateTimeFormat("en", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  hour12: false,
});
const dated = new Intl.DateTimeFormat("en", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  hour12: false,
});
const exact = new Intl.DateTimeFormat("en", {
  weekday: "short",
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hour12: false,
  timeZoneName: "short",
});
const on = new Intl.DateTimeFormat("en", {
  weekday: "long",
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  hour12: false,
});

const signed = (text) => text.replace("-", MINUS);

/** 12,430. */
export const count = (number) =>
  number === null || number === undefined ? "–" : signed(whole.format(Math.round(number)));

/** 12,430 decisions; 1 decision. */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** 4.1 %, of 0.041. */
export function percent(share, digits = 1) {
  if (share === null || share === undefined) return "–";
  return `${signed((share * 100).toFixed(digits))}${NARROW}%`;
}

/** A rate with as many digits as tell small ones apart, 12.3 %, 2.31 %, 0.231 %, or as its interval is wide. */
export function rate(share, interval = null) {
  if (share === null || share === undefined) return "–";
  if (interval) return percent(share, width(interval));
  return percent(share, share === 0 || share >= 0.1 ? 1 : share >= 0.01 ? 2 : 3);
}

/** Digits after the point with which both ends of an interval of shares are told, so that they differ. */
const width = ([low, high]) => Math.min(3, Math.max(1, 1 - Math.floor(Math.log10(Math.max(1e-9, 100 * (high - low))))));

/** +4.1 %, with its sign. */
export function lift(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  return `${value > 0 ? "+" : ""}${percent(value, digits)}`;
}

/** 1.2 % to 7.0 %. */
export const range = (interval, each = (share) => rate(share, interval)) =>
  interval ? `${each(interval[0])} to ${each(interval[1])}` : "–";

/** A probability: below 0.1 % and above 99.9 % are told as that. */
export function probability(share) {
  if (share === null || share === undefined) return "–";
  if (share < 0.001) return `<${NARROW}0.1${NARROW}%`;
  if (share > 0.999) return `>${NARROW}99.9${NARROW}%`;
  return percent(share, share < 0.1 ? 1 : 0);
}

/** A p-value. */
export const pValue = (p) => (p === null || p === undefined ? "–" : p < 0.001 ? `<${NARROW}0.001` : p.toFixed(3));

/** 12.3 ms. */
export function milliseconds(ms) {
  if (ms === null || ms === undefined) return "–";
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : count(ms)}${NARROW}ms`;
}

/** A number of at most three digits, for whatever has no unit of its own. */
export const number = (value) =>
  value === null || value === undefined ? "–" : signed(Number(value.toPrecision(3)).toLocaleString("en"));

/** 40 s, 3 min, 5 h, 2.5 days. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${Math.round(seconds)}${NARROW}s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}${NARROW}min`;
  if (seconds < 48 * 3600) return `${Math.round(seconds / 3600)}${NARROW}h`;
  return `${days(seconds / 86400)} days`;
}

/** 447 bytes, 40 kB, 1.2 MB. */
export function bytes(size) {
  if (size < 1e3) return plural(size, "byte");
  const [unit, worth] = size < 1e6 ? ["kB", 1e3] : size < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${number(size / worth)}${NARROW}${unit}`;
}

/** 6, 6.5: days, with a half where it matters. */
export const days = (value) => Number(value.toFixed(value < 10 ? 1 : 0)).toString();

/** A moment in the reader's zone; with its year where that is another one. */
export function time(at) {
  if (!at) return "–";
  const when = new Date(at);
  return (when.getFullYear() === new Date().getFullYear() ? moment : dated).format(when);
}

/** Tuesday, 3 Mar, 09:00. */
export const weekday = (at) => (at ? on.format(new Date(at)) : "–");

/** The same moment to the second, in the reader's zone and in UTC. */
export function exactly(at) {
  if (!at) return "";
  const when = new Date(at);
  return `${exact.format(when)} · ${when.toISOString().replace("T", " ").slice(0, 19)} UTC`;
}

/** 40 s ago; in 3 h. */
export function since(at, now = Date.now()) {
  if (!at) return "–";
  const seconds = (now - new Date(at)) / 1000;
  return seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
}

/** rolled_back as people say it. */
export const words = (name) => name.replaceAll("_", " ").toLowerCase();
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
