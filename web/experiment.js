// The page of one experiment.

import { el } from "./dom.js";
import { count, days, percent, plural, stateName, time } from "./format.js";
import { scale, whisker } from "./forest.js";

const HEADS = [
  ["Policy", ""],
  ["Split", "number"],
  ["Users", "number"],
  ["Serves", "number"],
  ["Rewards", "number"],
  ["Rate", "number"],
  ["± SE", "number"],
  ["95 % interval", ""],
];

const STORIES = {
  draft: "It takes no traffic yet: everybody gets control's choice.",
  stopped: "It has ended: everybody gets control's choice.",
  rolled_back: "It was rolled back: everybody gets control's choice.",
};

function leader(policies) {
  const rated = Object.entries(policies).filter(([, policy]) => policy.rate !== null);
  if (rated.length < 2) return null;
  const [name, policy] = rated.reduce((best, each) => (each[1].rate > best[1].rate ? each : best));
  return `Highest rate so far: ${name} with ${percent(policy.rate, 2)}. Not yet a verdict.`;
}

function row(name, policy, at) {
  const number = (text) => el("td", { class: "number" }, text);
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("span", { class: `mark policy-${name}` }), name),
    number(percent(policy.share, 1)),
    number(count(policy.users)),
    number(count(policy.serves)),
    number(count(policy.rewards)),
    number(policy.rate === null ? "–" : percent(policy.rate, 2)),
    number(policy.standard_error === null ? "–" : percent(policy.standard_error, 2)),
    el("td", { class: "interval" }, whisker(policy, name, at) ?? el("span", { class: "quiet" }, "no serve yet")),
  );
}

function facts(summary) {
  const started = summary.started_at ? `started ${time(summary.started_at)}` : "not started";
  const day = `day ${days(summary.days_running)} of ${days(summary.duration_days)}`;
  const ended = summary.end_at ? `, ended ${time(summary.end_at)}` : "";
  return `${day}, ${started}${ended} · traffic ${percent(summary.traffic_pct, 0)}`;
}

/** What the page shows for one experiment's summary. */
export function experimentPage(summary) {
  document.title = `${summary.name} · Pullarm`;
  const policies = Object.entries(summary.policies);
  const at = scale(policies.map(([, policy]) => policy));
  const refused = Object.values(summary.refused_rewards).reduce((sum, number) => sum + number, 0);
  const story = STORIES[summary.state] ?? leader(summary.policies);
  return [
    el(
      "h1",
      {},
      summary.name,
      " ",
      el("span", { class: `pill ${summary.state}` }, stateName(summary.state)),
    ),
    el("p", { class: "quiet" }, facts(summary)),
    story === null ? null : el("p", { class: "story" }, story),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, HEADS.map(([head, kind]) => el("th", { scope: "col", class: kind }, head)))),
        el("tbody", {}, policies.map(([name, policy]) => row(name, policy, at))),
      ),
    ),
    el(
      "p",
      { class: "quiet" },
      "Rate is the mean credit of a serve, by the policy the user was assigned to. Standard errors and Wilson intervals ",
      "take users as independent, not serves; rewards of recent serves may still come.",
    ),
    el(
      "p",
      { class: "quiet" },
      `${plural(summary.decisions, "decision")} and ${plural(summary.rewards_received, "reward call")} in the ledger`,
      refused ? `, ${plural(refused, "reward")} refused` : "",
      ` · posterior version ${count(summary.posterior_version)} · `,
      el("a", { href: `/api/experiments/${summary.id}` }, "configuration"),
      " · ",
      el("a", { href: `/api/experiments/${summary.id}/summary` }, "figures as JSON"),
    ),
  ].filter(Boolean);
}
