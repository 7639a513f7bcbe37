// Made-up data for every component, as the API answers: an experiment on its sixth day. Each call makes them anew.

import { CONDITIONS } from "../vocabulary.js";
import { maturity, of, SHARES, state } from "./scene.js";
import {
  allocation,
  arms,
  cohorts,
  experiment,
  figures,
  latency,
  posteriors,
  regret,
  rewards,
  summary,
} from "./figures.js";
import { audit, decision, events, guardrails, histories, marks, verdicts } from "./records.js";

const operator = { name: "ann", role: "operator" };

/** By component: its properties, and where it is not panels/NAME.js with the element pa-NAME, its module and tag. */
export const SAMPLES = {
  actions: () => ({
    module: "../parts/actions.js",
    experiment: experiment(),
    summary: summary(),
    verdicts: verdicts(),
    who: operator,
  }),
  allocation: () => ({ state: state(allocation()), marks }),
  arms: () => ({ state: state(arms()), posteriors: state(posteriors()), experiment: experiment() }),
  audit: () => ({ state: state(audit()) }),
  cards: () => ({ state: state(summary()), maturity }),
  cohorts: () => ({ state: state(cohorts()), experiment: experiment() }),
  decision: () => ({ state: state(decision()), experiment: experiment() }),
  entries: () => ({
    module: "../parts/entries.js",
    label: "Conditions",
    add: "Add a condition",
    row: { attribute: "", operator: "in", value: "" },
    columns: [
      { name: "attribute", label: "Attribute" },
      { name: "operator", label: "Condition", kind: "choice", options: CONDITIONS },
      { name: "value", label: "Value" },
    ],
    value: [
      { attribute: "country", operator: "in", value: "DE, AT" },
      { attribute: "age", operator: "at_least", value: "18" },
    ],
  }),
  events: () => ({ state: state(events()), experiment: experiment() }),
  filters: () => ({ asked: {}, experiment: experiment() }),
  foreseen: () => ({
    preview: { experiment: experiment(), after: { traffic_pct: 0.8 }, new_epoch: true, moved_share: 0.2 },
    edited: true,
  }),
  head: () => ({
    experiment: experiment(),
    summary: summary(),
    regret: regret(),
    verdicts: verdicts(),
    guardrails: guardrails(),
    who: operator,
    connection: "live",
  }),
  health: () => ({ state: state(guardrails()), histories: histories() }),
  latency: () => ({ state: state(latency()), marks }),
  league: () => ({
    state: state(regret()),
    allocation: allocation(),
    epochs: { figures: { 1: of((name) => ({ users: Math.round(61_950 * SHARES[name]) })) } },
  }),
  login: () => ({ module: "../parts/login.js" }),
  rewards: () => ({ state: state(rewards()), marks }),
  split: () => ({
    module: "../parts/split.js",
    policies: experiment().policies,
    known: experiment().policies,
  }),
  setup: () => ({ experiment: experiment() }),
  verdict: () => ({ state: state(verdicts()), experiment: experiment() }),
};
