// What happened to an experiment, for the charts over time to name.

import { words } from "./format.js";

const NEAR_MS = 60_000;

/** [{at, label}], oldest first, of epochs, rollbacks and verdicts; what is told twice within a minute, once. */
export function marksOf(epochs, guardrails, verdicts) {
  const found = [
    ...(epochs?.epochs ?? [])
      .filter(({ action }) => action !== "create")
      .map(({ began_at: at, action }) => ({ at, label: words(action) })),
    ...(guardrails?.rollbacks ?? []).map(({ at, stopped }) => ({
      at,
      label: stopped ? "stopped by guardrails" : "rolled back",
    })),
    ...(verdicts?.verdicts ?? [])
      .filter(({ verdict }) => verdict.outcome !== "continue")
      .map(({ at, verdict }) => ({ at, label: `verdict: ${words(verdict.outcome)}` })),
  ].sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
  return found.filter(
    (mark, place) =>
      !found
        .slice(0, place)
        .some((other) => other.label === mark.label && Date.parse(mark.at) - Date.parse(other.at) < NEAR_MS),
  );
}
