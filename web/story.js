// What can be said of an experiment in a sentence or two, before any figure is shown.

import { capital, lift, percent, range, weekday } from "./format.js";

const STATES = {
  draft: () => "It takes no traffic yet: everybody gets control's choice.",
  stopped: () => "It has ended: everybody gets control's choice.",
  archived: () => "It is archived: everybody gets control's choice.",
  shipped: ({ default_policy: policy }) =>
    `${capital(policy)} is shipped: everybody whom the experiment is for gets it, and it goes on learning.`,
};

const FINAL = {
  ship: ({ policy }) => `to ship ${policy}`,
  kill: () => "to stop it: no policy can be better by enough",
  iterate: () => "that neither is shown: try another idea, or longer",
  invalid: () => "that it is invalid: nothing follows from its figures",
};

/** A text. `regret`, `verdicts` and `guardrails` are the answers of those routes, or null before they are there. */
export function story(experiment, { regret, verdicts, guardrails } = {}) {
  if (experiment.state === "rolled_back") return rolledBack(guardrails);
  const told = STATES[experiment.state]?.(experiment);
  const newest = verdicts?.verdicts[0]?.verdict;
  if (experiment.state === "running")
    return `${newest?.final ? `The verdict is ${FINAL[newest.outcome](newest)}.` : ahead(regret)} ${next(verdicts)}`.trim();
  const past =
    experiment.state === "stopped" && newest?.final ? ` The verdict was ${FINAL[newest.outcome](newest)}.` : "";
  return told + past;
}

function rolledBack(guardrails) {
  const [newest] = guardrails?.rollbacks ?? [];
  const why = newest && newest.guard_epoch === guardrails.guard_epoch ? ` Why: ${newest.reason}.` : "";
  return `It was rolled back: everybody gets control's choice.${why} Resuming it begins a new guard epoch.`;
}

/** Who earns most over the baseline, with the interval for whoever looks every day. */
function ahead(regret) {
  if (!regret) return "";
  const compared = Object.entries(regret.policies).filter(([, policy]) => policy.lift);
  if (compared.length === 0) return `Nothing can be compared with ${regret.baseline} yet: that takes rewards of both.`;
  const [name, { lift: found }] = compared.reduce((best, each) =>
    each[1].lift.value > best[1].lift.value ? each : best,
  );
  const sign = found.value >= 0 ? "more" : "less";
  const subject = found.value >= 0 ? capital(name) : `Even the best, ${name},`;
  const sure = found.anytime_interval[0] > 0 ? "" : found.anytime_interval[1] < 0 ? "" : " That may still be noise.";
  return `${subject} earns ${percent(Math.abs(found.value))} ${sign} than ${regret.baseline} (95 % over all looks: ${range(found.anytime_interval, (value) => lift(value))}).${sure}`;
}

function next(verdicts) {
  if (!verdicts || verdicts.final) return "";
  if (verdicts.no_verdict_because) return `There will be no verdict: ${verdicts.no_verdict_because}.`;
  return verdicts.next_at ? `It is judged next on ${weekday(verdicts.next_at)}.` : "";
}
