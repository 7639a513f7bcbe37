// The page with all experiments.

import { el } from "./dom.js";
import { percent, stateName, time } from "./format.js";

const COMMAND = 'pullarm launch --name "First test" --duration 14 --traffic 0.8';

function row(experiment) {
  const policies = experiment.policies.map((policy) => policy.name).join(", ");
  return el(
    "tr",
    {},
    el("td", {}, el("a", { href: `/experiments/${experiment.id}` }, experiment.name)),
    el("td", {}, el("span", { class: `pill ${experiment.state}` }, stateName(experiment.state))),
    el("td", { class: "number" }, percent(experiment.traffic_pct, 0)),
    el("td", {}, policies),
    el("td", { class: "when" }, time(experiment.started_at)),
  );
}

/** What the page shows for the list of experiments. */
export function listPage({ experiments }) {
  document.title = "Experiments · Pullarm";
  if (experiments.length === 0) {
    return [
      el("h1", {}, "Experiments"),
      el("p", {}, "There is no experiment yet. Start one, and it shows up here within two seconds:"),
      el("pre", {}, el("code", {}, COMMAND)),
    ];
  }
  const heads = ["Name", "State", "Traffic", "Policies", "Started"];
  const classes = { Traffic: "number" };
  return [
    el("h1", {}, "Experiments"),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col", class: classes[head] }, head)))),
        el("tbody", {}, experiments.map(row)),
      ),
    ),
  ];
}
