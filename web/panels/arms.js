// <pa-arms>: what every arm earned under a policy, what that policy makes of it, and which are odd.

import { css, html, nothing } from "lit";
import { count, percent, plural, probability, range, rate } from "../format.js";
import { ordered } from "../policies.js";
import { axisOf } from "../parts/forest.js";
import { Panel, trouble } from "../parts/panel.js";
import { copy } from "../copy.js";
import "../parts/moment.js";
import "../parts/pill.js";
import "../parts/rows.js";

const ODD_SHARE = 0.5,
  ODD_LEAST = 200;

class Arms extends Panel {
  static properties = {
    /** Of their feed, which answers later than the arms' own. */
    posteriors: { attribute: false },
    experiment: { attribute: false },
    chosen: { state: true },
    sought: { state: true },
    copied: { state: true },
  };

  static styles = [
    ...Panel.styles,
    css`
      .tools .small {
        margin-right: auto;
      }
      input {
        min-width: 200px;
      }
    `,
  ];

  constructor() {
    super();
    this.sought = "";
  }

  get heading() {
    return "Arms";
  }

  #policies({ arms }) {
    const found = ordered(
      new Set([
        ...Object.keys(this.posteriors.data?.policies ?? {}),
        ...arms.flatMap((arm) => arm.figures.map((each) => each.policy)),
      ]),
    );
    return found.filter((name) => name !== "none");
  }

  #policy(data) {
    const there = this.#policies(data);
    return there.includes(this.chosen) ? this.chosen : there[0];
  }

  empty({ arms }) {
    return arms.length
      ? null
      : html`<p>
            There is no arm yet. In an open catalogue candidates become arms when they are first seen; to list them
            beforehand:
          </p>
          <pre>curl -X POST …/api/experiments/${this.experiment?.key}/arms -d '["a", "b", "c"]'</pre>`;
  }

  body(data) {
    const policy = this.#policy(data);
    const all = this.#rows(data, policy);
    const sought = this.sought.toLowerCase();
    const found = sought ? all.filter((row) => row.text.includes(sought)) : all;
    return html` <div class="tools">
        <label class="row small"
          >Chosen by
          <select @change=${(event) => (this.chosen = event.target.value)}>
            ${this.#policies(data).map((name) => html`<option .selected=${name === policy}>${name}</option>`)}
          </select></label
        >
        <span class="quiet small" role="status"
          >${found.length === all.length
            ? plural(all.length, "arm")
            : `${count(found.length)} of ${plural(all.length, "arm")}`}</span
        >
        <input
          type="search"
          aria-label="Search arms"
          placeholder="Search arms"
          .value=${this.sought}
          @input=${(event) => (this.sought = event.target.value)}
        />
        <button @click=${() => this.#copy(found, policy)}>${this.copied ? "Copied" : "Copy as CSV"}</button>
      </div>
      ${this.posteriors.error ? trouble(this.posteriors.error, { kept: Boolean(this.posteriors.data) }) : nothing}
      <pa-rows
        aria-busy=${this.#awaited ? "true" : "false"}
        label="Arms under ${policy}"
        .columns=${this.#columns(policy, all)}
        .rows=${found}
        .sort=${{ id: "serves", turned: true }}
      ></pa-rows>`;
  }

  get #awaited() {
    return !this.posteriors.data && !this.posteriors.error;
  }

  #rows({ arms }, policy) {
    const posterior = new Map((this.posteriors.data?.policies[policy]?.arms ?? []).map((arm) => [arm.arm_no, arm]));
    const epoch = Math.max(0, ...arms.flatMap((arm) => arm.rates.map((each) => each.allocation_epoch)));
    return arms.map((arm) => {
      const own = arm.figures.find((each) => each.policy === policy && each.first_slot === 1);
      const adaptive = arm.rates.find((each) => each.policy === policy && each.allocation_epoch === epoch);
      const learned = posterior.get(arm.arm_no);
      return {
        arm,
        own,
        adaptive,
        learned,
        serves: own?.serves ?? 0,
        odd: odd(own, adaptive),
        text: `${arm.id} ${arm.label}`.toLowerCase(),
      };
    });
  }

  #columns(policy, rows) {
    const axis = axisOf(rows.map((row) => row.learned?.interval));
    return [
      {
        id: "arm",
        head: "Arm",
        value: (row) => row.arm.id,
        cell: ({ arm }) =>
          html`${arm.id}${arm.version > 1 ? html` <span class="quiet">v${arm.version}</span>` : nothing}${arm.label
            ? html`<div class="quiet small">${arm.label}</div>`
            : nothing}`,
      },
      {
        id: "status",
        head: "Status",
        value: (row) => row.arm.status,
        cell: ({ arm, odd: marks }) =>
          html`${arm.status === "active" ? nothing : html`<pa-pill word=${arm.status}></pa-pill>`}${marks.map(
            (mark) => html`<span class="small" title=${mark.why}>⚑ ${mark.what}</span> `,
          )}`,
      },
      {
        id: "serves",
        head: "Serves",
        number: true,
        value: (row) => row.serves,
        cell: (row) => count(row.serves),
      },
      {
        id: "share",
        head: "Share",
        number: true,
        value: (row) => row.own?.share ?? 0,
        cell: (row) => percent(row.own?.share ?? 0),
      },
      {
        id: "rewarded",
        head: "Rewarded",
        number: true,
        value: (row) => row.own?.rewarded ?? 0,
        cell: (row) => count(row.own?.rewarded ?? 0),
      },
      {
        id: "naive",
        head: "Naive rate",
        number: true,
        title: this.state.data.rate_note,
        value: (row) => row.own?.naive_rate ?? null,
        cell: (row) => rate(row.own?.naive_rate),
      },
      {
        id: "rate",
        head: "Valid rate, with 95 %",
        number: true,
        title: this.state.data.adaptive_note,
        value: (row) => row.adaptive?.rate ?? null,
        cell: ({ adaptive }) =>
          html`${rate(adaptive?.rate, adaptive?.interval)}
            <div class="quiet small">
              ${adaptive?.interval ? range(adaptive.interval) : adaptive ? "needs 5 rewards" : ""}
            </div>`,
      },
      {
        id: "posterior",
        head: "What the policy believes",
        value: (row) => row.learned?.mean ?? null,
        cell: ({ learned }) =>
          learned
            ? html`<pa-forest
                policy=${policy}
                .interval=${learned.interval}
                .value=${learned.mean}
                .axis=${axis}
                label="posterior ${rate(learned.mean)}, 95 % ${range(learned.interval)}"
              ></pa-forest>`
            : nothing,
      },
      {
        id: "best",
        head: "P(best)",
        number: true,
        value: (row) => row.learned?.best ?? null,
        cell: (row) => (this.#awaited ? "…" : probability(row.learned?.best)),
      },
      {
        id: "chosen",
        head: "P(chosen)",
        number: true,
        title: "Were all active arms offered",
        value: (row) => row.learned?.share ?? null,
        cell: (row) => (this.#awaited ? "…" : probability(row.learned?.share)),
      },
    ];
  }

  async #copy(rows, policy) {
    const heads = [
      "arm",
      "version",
      "status",
      "label",
      "policy",
      "serves",
      "rewarded",
      "share",
      "naive_rate",
      "valid_rate",
      "valid_low",
      "valid_high",
      "posterior_mean",
      "posterior_low",
      "posterior_high",
      "p_best",
      "p_chosen",
    ];
    const lines = rows.map(({ arm, own, adaptive, learned }) => [
      arm.id,
      arm.version,
      arm.status,
      arm.label,
      policy,
      own?.serves ?? 0,
      own?.rewarded ?? 0,
      own?.share ?? 0,
      own?.naive_rate,
      adaptive?.rate,
      ...(adaptive?.interval ?? ["", ""]),
      learned?.mean,
      ...(learned?.interval ?? ["", ""]),
      learned?.best,
      learned?.share,
    ]);
    await copy([heads, ...lines]);
    this.copied = true;
    setTimeout(() => (this.copied = false), 2_000);
  }

  note({ adaptive_cut: cut, unlisted }) {
    const shown = unlisted.reduce((sum, each) => sum + each.serves, 0);
    return html`The naive rate is too low for arms that were served little; the valid one holds, of first slots and
    mature
    decisions${cut.decided_before ? html` before <pa-moment at=${cut.decided_before}></pa-moment>` : " (none yet)"}, of
    all time. ⚑ marks an arm with more than half of its policy's serves, and one whose naive rate lies outside the valid
    interval.${shown ? ` ${plural(shown, "serve")} of candidates that were no arms.` : ""}`;
  }
}

/** What is odd about an arm, with the rule. */
function odd(own, adaptive) {
  const found = [];
  if (own && own.share > ODD_SHARE && own.serves >= ODD_LEAST)
    found.push({
      what: "dominates",
      why: `It has more than ${percent(ODD_SHARE, 0)} of its policy's serves.`,
    });
  if (
    adaptive?.interval &&
    adaptive.naive_rate !== null &&
    (adaptive.naive_rate < adaptive.interval[0] || adaptive.naive_rate > adaptive.interval[1])
  )
    found.push({
      what: "naive is off",
      why: "Its naive rate lies outside the interval of the valid one.",
    });
  return found;
}

customElements.define("pa-arms", Arms);
