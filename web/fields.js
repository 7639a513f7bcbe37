// What can be said of an experiment in the form: its fields, part by part.

import { GUARDRAILS, ACTIONS, CONDITIONS } from "./vocabulary.js";
import { AS_CONDITIONS, AS_LINES, AS_LIST, AS_ROWS } from "./written.js";

/**
 * Parts of the form, each with its fields: the path in the API's JSON, a label, the kind of field. `create`: for a new
 * experiment only; `draft`: until it is started; `edit`: for one that is there. `options` may be a function of the form's
 * values and the groups there are. `when`: where it is asked for. `apart`: a request of its own.
 */
export const PARTS = [
  {
    heading: "What it is",
    fields: [
      { path: "name", label: "Name", required: true },
      {
        path: "key",
        label: "Key",
        hint: "What callers name it by; empty: one is made.",
        create: true,
      },
      { path: "notes", label: "Notes", kind: "lines", hint: "What is tried, and why." },
      {
        path: "traffic_pct",
        label: "Traffic",
        kind: "percent",
        hint: "Share of users who take part; all others get control's choice.",
      },
      { path: "duration_days", label: "Duration", kind: "number", unit: "days" },
      {
        path: "start_at",
        label: "Starts by itself",
        kind: "moment",
        hint: "In your time zone; empty: when somebody starts it.",
        draft: true,
      },
      {
        path: "end_at",
        label: "Ends by itself",
        kind: "moment",
        hint: "A moment that is set here counts, whatever the duration; empty: after its duration.",
      },
    ],
  },
  {
    heading: "Whom it is for",
    hint: "Without conditions for everybody. A request is in where its attributes meet all of them.",
    closed: true,
    fields: [
      {
        path: "targeting",
        label: "Conditions",
        kind: "entries",
        add: "Add a condition",
        row: { attribute: "", operator: "in", value: "" },
        columns: [
          { name: "attribute", label: "Attribute" },
          { name: "operator", label: "Condition", kind: "choice", options: CONDITIONS },
          { name: "value", label: "Value, or values with commas" },
        ],
        ...AS_CONDITIONS,
      },
      {
        path: "group",
        label: "Group",
        kind: "choice",
        options: (_, groups) => [
          ["", "none"],
          ...groups.map(({ name, free_share: free }) => [name, `${name}, ${Math.round(100 * free)} % free`]),
        ],
        hint: "A user is in one experiment of a group at most. Groups are made over REST.",
        draft: true,
      },
      {
        path: "group_share",
        label: "Share of the group's users",
        kind: "percent",
        hint: "Reserved until the experiment has ended.",
        when: (values) => values.group,
      },
    ],
  },
  {
    heading: "Arms",
    fields: [
      {
        path: "arms",
        label: "Arms, one a line",
        kind: "lines",
        hint: "Empty: an open catalogue, where candidates become arms when they are first seen.",
        create: true,
        ...AS_LINES,
      },
      {
        path: "catalogue",
        label: "Other candidates",
        kind: "choice",
        options: [
          ["open", "become arms when they are first seen"],
          ["closed", "are never shown by a policy"],
        ],
        edit: true,
      },
      { path: "max_arms", label: "Arms at most", kind: "number" },
    ],
  },
  {
    heading: "Rewards",
    fields: [
      {
        path: "reward.kinds",
        label: "Kinds of reward",
        kind: "entries",
        add: "Add a kind",
        row: { name: "", threshold: null },
        columns: [
          { name: "name", label: "Kind" },
          { name: "threshold", label: "Counts 1 from (empty: takes 0 to 1)", kind: "number" },
        ],
        ...AS_ROWS,
      },
      {
        path: "reward.learns",
        label: "Policies learn from",
        kind: "choice",
        options: (values) => values["reward.kinds"].filter(({ name }) => name).map(({ name }) => [name, name]),
      },
      {
        path: "reward.window_hours",
        label: "Attribution window",
        kind: "number",
        unit: "hours",
        hint: "How long after its decision a reward may occur.",
      },
      {
        path: "reward.aggregation",
        label: "Several rewards of one decision",
        kind: "choice",
        options: [
          ["first", "the first counts"],
          ["sum", "their sum counts, 1 at most"],
          ["max", "the largest counts"],
        ],
        create: true,
      },
      {
        path: "reward.exposure",
        label: "A decision counts",
        kind: "choice",
        options: [
          ["served", "with its answer"],
          ["confirmed", "once its first reward of any kind confirms it"],
        ],
        create: true,
      },
    ],
  },
  {
    heading: "What policies learn from",
    closed: true,
    fields: [
      {
        path: "learning.delay",
        label: "A decision without a reward counts",
        kind: "choice",
        options: [
          ["provisional", "as a failure until its reward comes"],
          ["weighted", "by the share of rewards that have come by its age"],
          ["at_close", "only once its window has closed"],
        ],
      },
      {
        path: "learning.half_life_hours",
        label: "Half-life",
        kind: "number",
        unit: "hours",
        hint: "A decision counts half after so long, for rates that move; empty: all alike.",
      },
      {
        path: "learn_slots",
        label: "Slots that are learnt from",
        kind: "number",
        hint: "The first so many of an answer.",
      },
      {
        path: "log_candidates",
        label: "Of a decision's candidates is kept",
        kind: "choice",
        options: [
          ["arms", "the list"],
          ["hash", "a hash: what others would have earned can then not be estimated"],
        ],
      },
    ],
  },
  {
    heading: "Cohorts",
    hint: "Figures are told apart by what an attribute of the request says, such as the country.",
    closed: true,
    fields: [
      { path: "cohorts.attribute", label: "Cohorts by attribute", hint: "Empty: none." },
      { path: "cohorts.values", label: "Values", hint: "With commas; empty: those that are seen first.", ...AS_LIST },
      {
        path: "cohorts.max_values",
        label: "Values at most",
        kind: "number",
        hint: "Of those that are seen; all others together are one.",
      },
    ],
  },
  {
    heading: "What to expect",
    hint: "From these it is said how many impressions and days the uplift takes to show.",
    fields: [
      { path: "expected.visits_per_day", label: "Visits a day", kind: "number" },
      { path: "expected.base_rate", label: "Rate of control", kind: "percent" },
      { path: "expected.uplift", label: "Uplift to find", kind: "percent" },
      {
        path: "expected.design_effect",
        label: "Design effect",
        kind: "number",
        hint: "How many times the variance is that of independent impressions, as users come again.",
      },
    ],
  },
  {
    heading: "Guardrails",
    hint: "What is checked every five minutes. Beyond a limit everybody gets control, by itself, where the guardrail says so.",
    closed: true,
    fields: [
      ...GUARDRAILS.flatMap(({ name, label, ...kind }) => [
        { path: `guardrails.${name}.warning`, label: `${label}: warns at`, ...kind },
        { path: `guardrails.${name}.limit`, label: `${label}: fails at`, ...kind },
        { path: `guardrails.${name}.action`, label: `${label}: then`, kind: "choice", options: ACTIONS },
      ]),
      { path: "guardrails.max_rollbacks", label: "Automatic rollbacks, then it stops", kind: "number" },
    ],
  },
  {
    heading: "Verdict",
    closed: true,
    fields: [
      { path: "decision.min_uplift", label: "Least uplift to ship", kind: "percent" },
      {
        path: "decision.min_confidence",
        label: "Confidence to ship with",
        kind: "percent",
        hint: "Over all looks together.",
      },
      {
        path: "decision.significance_level",
        label: "Significance level",
        kind: "percent",
        hint: "The same said in another way: the stricter of the two holds.",
      },
      { path: "decision.min_window_days", label: "First look after", kind: "number", unit: "days of matured data" },
      { path: "decision.max_experiment_days", label: "Last look after", kind: "number", unit: "days" },
      { path: "decision.min_events_per_policy", label: "Least serves of a policy", kind: "number" },
      {
        path: "decision.baseline",
        label: "Compared with",
        kind: "choice",
        options: (values) =>
          [...new Set(["control", ...values.policies.map(({ name }) => name)])].map((name) => [name, name]),
      },
      { path: "decision.time_zone", label: "Judged at nine o'clock in", hint: "Such as Europe/Berlin." },
      { path: "decision.automatic_ship", label: "Ship by itself what the verdict says to ship", kind: "yes" },
    ],
  },
  {
    heading: "Users who are given something to look at",
    hint: "A policy, or an arm that comes first, whatever is said above. It is never learnt from and in nobody's figures.",
    closed: true,
    edit: true,
    fields: [
      {
        path: "forced",
        label: "Users",
        kind: "entries",
        add: "Add a user",
        row: { user_id: "", policy: "", arm: "" },
        columns: [
          { name: "user_id", label: "User" },
          {
            name: "policy",
            label: "Policy",
            kind: "choice",
            options: (values) => [["", "none"], ...values.policies.map(({ name }) => [name, name])],
          },
          { name: "arm", label: "Or arm" },
        ],
        apart: true,
        ...AS_ROWS,
      },
    ],
  },
];
