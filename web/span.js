// The part of the time that a page is about, as its address says it: ?range=24h, or ?since=...&until=...

const HOURS = { "6h": 6, "24h": 24, "7d": 168, "30d": 720 };
const STEP_MS = 300_000; // so that an address of data is asked for anew every five minutes, not every second

/** What can be chosen, with its words; "" is all of it. */
export const RANGES = { "": "All", "30d": "30 days", "7d": "7 days", "24h": "24 h", "6h": "6 h" };

/** Parameters for the analytics: {since, until}, empty for all of the time. */
export function spanOf({ range, since, until }, now = Date.now()) {
  if (since || until) return { since, until };
  if (!HOURS[range]) return {};
  return {
    since: new Date(Math.floor(now / STEP_MS) * STEP_MS - HOURS[range] * 3_600_000).toISOString(),
  };
}
