// What may be chosen in forms, as the API calls it and as people say it.

/** Operators of conditions on an attribute. */
export const EXISTENCE = { true: "is_there", false: "is_missing" };
export const CONDITIONS = [
  ["in", "is one of"],
  ["not_in", "is none of"],
  ["at_least", "is at least"],
  ["above", "is above"],
  ["at_most", "is at most"],
  ["below", "is below"],
  [EXISTENCE.true, "is there"],
  [EXISTENCE.false, "is missing"],
];

/** Guardrails and how their limits are written. */
export const GUARDRAILS = [
  { name: "error_rate", label: "Errors", kind: "percent" },
  { name: "latency_p95", label: "Latency p95", kind: "number", unit: "ms" },
  { name: "reward_drop", label: "Reward below control", kind: "percent" },
  { name: "arm_concentration", label: "One arm's share", kind: "percent" },
  { name: "sample_ratio", label: "Split of users, p-value", kind: "number" },
  { name: "propensity", label: "Propensities, p-value", kind: "number" },
  { name: "refused_rewards", label: "Refused rewards", kind: "percent" },
  { name: "worker_lag", label: "Worker lag", kind: "number", unit: "s" },
];
export const ACTIONS = [
  ["critical", "it is rolled back"],
  ["count", "it is rolled back with a second one"],
  ["warn", "an alert goes out"],
  ["off", "nothing: it is not checked"],
];

/** The parameters of each policy. */
const PRIOR = [
  { name: "prior_alpha", label: "prior successes", kind: "number" },
  { name: "prior_beta", label: "prior failures", kind: "number" },
];
export const PARAMETERS = {
  thompson: [{ name: "floor", label: "floor", kind: "percent" }, ...PRIOR],
  egreedy: [{ name: "epsilon", label: "epsilon", kind: "percent" }, ...PRIOR],
  ucb: [
    { name: "exploration", label: "exploration", kind: "number" },
    { name: "floor", label: "floor", kind: "percent" },
  ],
  control: [
    {
      name: "mode",
      label: "shows",
      kind: "choice",
      options: [
        ["caller", "the caller's first"],
        ["uniform", "any"],
      ],
    },
  ],
};
