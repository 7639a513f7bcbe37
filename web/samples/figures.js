// Sample answers of figures: counts, rates, arms, cohorts, latency.

import { framed, HOUR, iso, maturity, NAMES, NOW, of, RATES, SHARES, START, state, wave } from "./scene.js";

const PARAMS = {
  thompson: { prior_alpha: 1, prior_beta: 1, floor: 0.05 },
  egreedy: { prior_alpha: 1, prior_beta: 1, epsilon: 0.1 },
  ucb: { exploration: 2, floor: 0.05 },
  control: { mode: "caller" },
};

export const experiment = () => ({
  id: "exp_sample",
  key: "front-page",
  name: "Front page",
  state: "running",
  notes: "",
  traffic_pct: 0.8,
  targeting: {},
  group: "",
  group_share: 1,
  duration_days: 14,
  policies: NAMES.map((name) => ({
    name,
    weight: SHARES[name] * 5,
    share: SHARES[name],
    params: PARAMS[name],
  })),
  default_policy: "thompson",
  cohorts: { attribute: "country", values: null, max_values: 50 },
  cohort_numbers: [
    { cohort_no: 1, attribute: "country", value: "DE" },
    { cohort_no: 2, attribute: "country", value: "AT" },
  ],
  catalogue: "closed",
  max_arms: 1_000,
  learning: { delay: "provisional", half_life_hours: null },
  guardrails: {
    error_rate: { limit: 0.01 },
    latency_p95: { limit: 120 },
    reward_drop: { limit: 0.05 },
  },
  decision: {
    min_uplift: 0.03,
    baseline: "control",
    min_window_days: 7,
    max_experiment_days: 14,
    automatic_ship: false,
  },
  expectation: {
    uplift: 0.03,
    power: 0.8,
    policies: { thompson: { impressions: 587_465, days: 29 } },
  },
  config_no: 4,
  allocation_epoch: 1,
  guard_epoch: 1,
  created_at: iso(START - 9 * HOUR),
  updated_at: iso(START),
  started_at: iso(START),
  start_at: null,
  end_at: iso(START + 14 * 24 * HOUR),
  warnings: [],
  arms: [],
  reward: {
    kinds: [{ name: "reward", threshold: null }],
    learns: "reward",
    aggregation: "first",
    exposure: "served",
    window_hours: 24,
  },
});

export const figures = (name) => {
  const serves = Math.round(248_000 * SHARES[name]);
  return {
    serves,
    rewarded: Math.round(serves * RATES[name]),
    reward: serves * RATES[name],
    rate: RATES[name],
    interval: [RATES[name] - 0.0021 / Math.sqrt(SHARES[name] * 5), RATES[name] + 0.0021 / Math.sqrt(SHARES[name] * 5)],
  };
};

export const summary = () => ({
  ...experiment(),
  as_of: iso(NOW),
  days_running: 6.2,
  policies: of((name) => ({
    share: SHARES[name],
    users: Math.round(61_950 * SHARES[name]),
    serves: figures(name).serves,
    rewards: figures(name).rewarded,
    rate: RATES[name],
    standard_error: 0.001,
    interval: figures(name).interval,
  })),
  not_analysed: { NOT_IN_TRAFFIC: 61_870 },
  decisions: 309_870,
  rewards_received: 24_410,
});

export const lift = (name) => {
  const value = RATES[name] / RATES.control - 1;
  return {
    value,
    interval: [value - 0.026, value + 0.027],
    anytime_interval: [value - 0.044, value + 0.047],
    shrunk: value * 0.82,
  };
};

export const regret = () => ({
  ...framed,
  allocation_epoch: 1,
  baseline: "control",
  best: "thompson",
  maturity,
  interval_note: null,
  gap_note: "",
  policies: of((name) => ({
    ...figures(name),
    lift: name === "control" ? null : lift(name),
    mature_lift: name === "control" ? null : lift(name),
    gap_to_best: RATES.thompson - RATES[name],
    missed_reward: 0,
    best: { thompson: 0.87, egreedy: 0.1, ucb: 0.028, control: 0.0004 }[name],
  })),
});

export const hours = Math.floor((NOW - START) / HOUR);
export const rewards = () => ({
  ...framed,
  grain: "hour",
  maturity,
  interval_note: "of 95 %, from 200 groups of users as the independent units",
  policies: of((name) => {
    let serves = 0,
      reward = 0;
    return Array.from({ length: hours }, (_, at) => {
      const own = Math.round(1_680 * SHARES[name]),
        rate = RATES[name] + wave(at, name);
      serves += own;
      reward += own * rate;
      const wide = 0.012 / Math.sqrt(SHARES[name] * 5),
        narrow = wide / Math.sqrt(at + 1);
      return {
        at: iso(START + at * HOUR),
        serves: own,
        rewarded: Math.round(own * rate),
        reward: own * rate,
        rate,
        interval: [rate - wide, rate + wide],
        mature: at < hours - 25,
        cumulative_serves: serves,
        cumulative_reward: reward,
        cumulative_rate: reward / serves,
        cumulative_interval: [reward / serves - narrow, reward / serves + narrow],
      };
    });
  }),
});

export const allocation = () => ({
  ...framed,
  grain: "hour",
  traffic_pct: 0.8,
  configured: SHARES,
  serves: of((name) => figures(name).serves),
  observed: of((name) => SHARES[name] + wave(3, name) / 4),
  points: Array.from({ length: hours }, (_, at) => ({
    at: iso(START + at * HOUR),
    serves: 1_680,
    shares: of((name) => SHARES[name] + wave(at, name)),
  })),
  concentration: NAMES.map((policy, at) => ({
    policy,
    arms: 20,
    top_arm: "sunset",
    top_share: [0.38, 0.44, 0.21, 0.06][at],
    entropy: [0.61, 0.55, 0.83, 0.99][at],
  })),
  sample_ratio: {
    users: of((name) => Math.round(61_950 * SHARES[name])),
    expected: SHARES,
    p_value: 0.43,
    sound: true,
  },
  sample_ratio_note: null,
});

export const cohorts = () => ({
  ...framed,
  maturity,
  interval_note: "of 95 %, from 200 groups of users as the independent units",
  baseline: "control",
  least_serves: 2_000,
  cohorts: NAMES.flatMap((policy) =>
    [
      ["DE", 61_200, 0.002],
      ["AT", 9_800, -0.004],
      ["CH", 7_450, 0.009],
      [null, 1_240, 0],
    ].map(([value, serves, by], at) => {
      const rate = RATES[policy] + by,
        withheld = serves < 2_000;
      return {
        policy,
        cohort: value ? at + 1 : 0,
        attribute: value && "country",
        value,
        withheld,
        serves,
        rewarded: Math.round(serves * rate),
        reward: serves * rate,
        rate: withheld ? null : rate,
        interval: withheld ? null : [rate - 0.5 / Math.sqrt(serves), rate + 0.5 / Math.sqrt(serves)],
        lift:
          policy === "control" || withheld
            ? null
            : {
                ...lift(policy),
                interval: [lift(policy).value - 8 / Math.sqrt(serves), lift(policy).value + 8 / Math.sqrt(serves)],
              },
      };
    }),
  ),
  fairness: NAMES.map((policy) => ({
    policy,
    cohorts: 3,
    naive_cv: 0.064,
    corrected_cv: 0.031,
    q: 7.9,
    p_value: 0.019,
  })),
});

export const ARMS = 1_000;
export const armRate = (arm) => 0.02 + (0.1 * ((arm * 7) % 97)) / 97;
export const arms = () => ({
  ...framed,
  maturity,
  rate_note: "naive: rewards by serves",
  interval_note: "",
  adaptive_note: "adaptively valid",
  unlisted: [],
  adaptive_cut: {
    decided_before: iso(NOW - 25 * HOUR),
    mature_before: iso(NOW - 25 * HOUR),
    behind_s: 40,
    decisions: 180_000,
    left_out: {},
  },
  arms: Array.from({ length: ARMS }, (_, arm) => {
    const rate = armRate(arm),
      serves = Math.max(3, Math.round(60_000 * Math.exp(-arm / 40)));
    return {
      id: `arm-${String(arm).padStart(4, "0")}`,
      label: arm % 3 ? "" : `Title ${arm}`,
      arm_no: arm + 1,
      version: 1,
      payload_hash: "",
      status: arm === 7 ? "paused" : "active",
      prior_serves: 0,
      prior_rewards: 0,
      figures: NAMES.map((policy) => ({
        policy,
        first_slot: 1,
        serves,
        rewarded: Math.round(serves * rate),
        reward: serves * rate,
        share: serves / 2_400_000,
        naive_rate: rate,
      })),
      rates: NAMES.map((policy) => ({
        policy,
        allocation_epoch: 1,
        offered: serves * 3,
        served: serves,
        rewarded: Math.round(serves * rate),
        naive_rate: rate,
        rate: rate * 1.04,
        error: 0.01,
        interval: serves * rate > 5 ? [rate * 0.9, rate * 1.18] : null,
        sequence: null,
        best: null,
      })),
    };
  }),
});
export const posteriors = () => ({
  policies: of(() => ({
    params: {},
    prior: [1, 1],
    total: ARMS,
    arms: Array.from({ length: ARMS }, (_, arm) => ({
      arm_no: arm + 1,
      id: `arm-${arm}`,
      status: "active",
      serves: 100,
      rewards: 5,
      mean: armRate(arm),
      interval: [armRate(arm) * 0.7, armRate(arm) * 1.3 + 0.004],
      best: arm < 5 ? 0.2 - arm / 40 : 0.0001,
      share: arm < 5 ? 0.19 - arm / 40 : 0.0003,
    })),
  })),
});

export const latency = () => ({
  ...framed,
  grain: "hour",
  policies: Object.fromEntries(
    [...NAMES, "none"].map((name, place) => [
      name,
      {
        calls: 49_600,
        errors: 12,
        error_rate: 0.00024,
        over_100ms: 40,
        over_120ms: 22,
        p50_ms: 1.2 + place / 10,
        p95_ms: 4.1 + place / 5,
        p99_ms: 11.8,
        p95_interval_ms: [4.0 + place / 5, 4.2 + place / 5],
        keeps_sla: true,
        distribution: [0.5, 0.9, 1.3, 2.1, 3.7, 6.4, 11, 19, 44, 131].map((upto, at) => ({
          upto_ms: upto,
          calls: Math.round(49_600 * [0.02, 0.2, 0.35, 0.22, 0.1, 0.06, 0.03, 0.01, 0.006, 0.004][at]),
        })),
        points: Array.from({ length: hours }, (_, at) => ({
          at: iso(START + at * HOUR),
          calls: 340,
          errors: 0,
          error_rate: 0,
          over_100ms: 0,
          over_120ms: 0,
          p50_ms: 1.2,
          p95_ms: 4.1 + place / 5 + Math.sin(at / 4 + place),
          p99_ms: 11 + Math.sin(at),
        })),
      },
    ]),
  ),
});
