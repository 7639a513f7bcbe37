// What all samples are of: an experiment of four policies, six days old.

export const NOW = Date.parse("2026-03-09T14:20:00Z");
export const START = Date.parse("2026-03-03T09:00:00Z");
export const HOUR = 3_600_000;
export const iso = (ms) => new Date(ms).toISOString();

export const SHARES = { thompson: 0.4, egreedy: 0.2, ucb: 0.2, control: 0.2 };
export const RATES = { thompson: 0.1013, egreedy: 0.0981, ucb: 0.0964, control: 0.0942 };
export const NAMES = Object.keys(SHARES);
export const of = (each) => Object.fromEntries(NAMES.map((name) => [name, each(name)]));

/** A wave in place of noise, so that a preview looks the same every time. */
export const wave = (at, name) =>
  Math.sin(at / 5 + NAMES.indexOf(name)) * 0.006 + Math.sin(at / 2.3 + 2 * NAMES.indexOf(name)) * 0.003;
export const state = (data) => ({ data, error: null, stale: false });
export const framed = {
  experiment: "exp_sample",
  since: iso(START),
  until: iso(NOW),
  as_of: iso(NOW),
  data_cut: { fold_no: 4120, folds_behind: 0 },
};
export const maturity = { mature_before: iso(NOW - 25 * HOUR), serves: 41_200, not_mature: 25_550 };
