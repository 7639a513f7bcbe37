// The rate of each policy with its interval, on one common axis.

import { svg } from "./dom.js";
import { percent } from "./format.js";

/** A function from rate to position 0..1 that holds every interval with a margin, or null without any. */
export function scale(policies) {
  const ends = policies.flatMap((policy) => policy.interval ?? []);
  if (ends.length === 0) return null;
  const margin = Math.max((Math.max(...ends) - Math.min(...ends)) * 0.08, 1e-6);
  const low = Math.max(0, Math.min(...ends) - margin);
  const high = Math.min(1, Math.max(...ends) + margin);
  return (rate) => (rate - low) / (high - low);
}

/** The picture of one policy: a line from end to end of its interval, a dot at its rate. */
export function whisker(policy, name, at) {
  if (policy.interval === null || at === null) return null;
  const x = (rate) => (4 + at(rate) * 192).toFixed(1);
  const [low, high] = policy.interval;
  return svg(
    "svg",
    { class: `forest policy-${name}`, viewBox: "0 0 200 20", role: "img" },
    svg("title", {}, `${percent(low, 2)} to ${percent(high, 2)}`),
    svg("line", { class: "axis", x1: 0, x2: 200, y1: 10, y2: 10 }),
    svg("line", { class: "range", x1: x(low), x2: x(high), y1: 10, y2: 10 }),
    svg("circle", { cx: x(policy.rate), cy: 10, r: 4 }),
  );
}
