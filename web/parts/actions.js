// <pa-actions>: what may be done with an experiment in its state by whoever is logged in; each is confirmed with its consequence.

import { LitElement, css, html, nothing } from "lit";
import { of, send } from "../api.js";
import { capital, percent, plural, words } from "../format.js";
import { go } from "../router.js";
import { base, controls } from "../styles.js";
import { ICONS } from "./icons.js";
import "./dialog.js";

/** By state: the first is the one that stands for itself, the others are in the menu. */
const LEGAL = {
  draft: ["start", "archive"],
  running: ["stop", "ship", "rollback"],
  rolled_back: ["resume", "stop"],
  stopped: ["clone", "archive"],
  shipped: ["stop", "ship", "rollback"],
  archived: ["clone"],
};

const EDITABLE = ["draft", "running"];

/** What each is called, what comes of it, and whether it takes something from users. */
const ACTIONS = {
  start: {
    text: "Start",
    consequence: ({ experiment }) =>
      `${percent(experiment.traffic_pct, 0)} of the users whom it is for get their policy: ${experiment.policies.map((policy) => `${policy.name} ${percent(policy.share, 0)}`).join(", ")}.`,
  },
  stop: {
    text: "Stop",
    danger: true,
    note: true,
    consequence: ({ users }) =>
      `${users} return to control within a second. A stop is for good: to try anew, clone the experiment. What was learned and logged stays.`,
  },
  rollback: {
    text: "Roll back",
    danger: true,
    note: true,
    consequence: ({ users }) => `${users} return to control within a second. It can be resumed.`,
  },
  resume: {
    text: "Resume",
    consequence: ({ users }) =>
      `${users} get their policy again within a second. A new guard epoch begins: what spoke for the rollback is not held against it again.`,
  },
  ship: {
    text: "Ship",
    note: true,
    policy: true,
    consequence: ({ experiment, policy, verdict }) =>
      `Everybody whom ${experiment.name} is for gets ${policy}, and the split ends. ${verdict?.outcome === "ship" && verdict.policy === policy ? "That is what the verdict says." : `The verdict does not say so: it is ${verdict ? verdict.outcome : "none yet"}.`}`,
  },
  archive: {
    text: "Archive",
    consequence: () => "It is hidden from lists. Nothing is deleted, and it can be cloned.",
  },
  clone: {
    text: "Clone",
    name: true,
    consequence: () => "A draft with the same configuration and live arms is made. It learns anew.",
  },
};

class Actions extends LitElement {
  static properties = {
    experiment: { attribute: false },
    summary: { attribute: false },
    verdicts: { attribute: false },
    who: { attribute: false },
    /** The action that is to be confirmed, and the experiment as it was when that was asked. */
    asking: { state: true },
    open: { state: true },
    problem: { state: true },
    busy: { state: true },
    policy: { state: true },
  };

  static styles = [
    base,
    controls,
    css`
      :host {
        position: relative;
        display: flex;
        gap: 12px;
        align-items: center;
      }
      .menu {
        position: absolute;
        right: 0;
        top: 40px;
        z-index: 8;
        display: grid;
        min-width: 160px;
        padding: 4px;
        background: var(--panel);
        border: 1px solid var(--line);
        border-radius: 8px;
        box-shadow: var(--shadow);
      }
      .menu button {
        border: 0;
        text-align: left;
      }
      form {
        display: grid;
        gap: 12px;
      }
      form label {
        display: grid;
        gap: 4px;
      }
      .problem {
        color: var(--bad);
      }
      .buttons {
        display: flex;
        gap: 8px;
        justify-content: flex-end;
      }
    `,
  ];

  connectedCallback() {
    super.connectedCallback();
    addEventListener("click", this.#elsewhere);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    removeEventListener("click", this.#elsewhere);
  }

  #elsewhere = (event) => {
    if (!event.composedPath().includes(this)) this.open = false;
  };

  render() {
    if (!["operator", "admin"].includes(this.who?.role)) return nothing;
    const [first, ...others] = this.#legal();
    return html` ${EDITABLE.includes(this.experiment.state)
        ? html`<a class="edit" href="/experiments/${this.experiment.id}/edit">Edit</a>`
        : nothing}
      <button class="primary" @click=${() => this.#ask(first)}>${ACTIONS[first].text}</button>
      ${others.length
        ? html`<button
            aria-label="More actions"
            aria-expanded=${Boolean(this.open)}
            @click=${() => (this.open = !this.open)}
          >
            ${ICONS.more}
          </button>`
        : nothing}
      ${this.open
        ? html`<div
            class="menu"
            role="group"
            aria-label="More actions"
            @keydown=${(event) => event.key === "Escape" && (this.open = false)}
          >
            ${others.map(
              (action) =>
                html`<button class=${ACTIONS[action].danger ? "danger" : ""} @click=${() => this.#ask(action)}>
                  ${ACTIONS[action].text}…
                </button>`,
            )}
          </div>`
        : nothing}
      ${this.asking ? this.#dialog(this.asking.action, this.asking.experiment) : nothing}`;
  }

  /** Once the verdict is to ship, that is what stands for itself: the last one comes when the time is over. */
  #legal() {
    const legal = LEGAL[this.experiment.state];
    const ship = ["running", "stopped"].includes(this.experiment.state) && this.#verdict?.outcome === "ship";
    return ship ? ["ship", ...legal.filter((action) => action !== "ship")] : legal;
  }

  get #verdict() {
    return this.verdicts?.verdicts[0]?.verdict;
  }

  #ask(action) {
    this.open = false;
    this.problem = null;
    this.policy = this.#verdict?.policy || this.experiment.default_policy;
    this.asking = { action, experiment: this.experiment };
  }

  #dialog(action, experiment) {
    const { text, danger, note, name, policy, consequence } = ACTIONS[action];
    const seen = Object.entries(this.summary?.policies ?? {})
      .filter(([each]) => each !== "control")
      .reduce((sum, [, each]) => sum + each.users, 0);
    const told = consequence({
      experiment,
      users: seen ? plural(seen, "user") : "All users",
      policy: this.policy,
      verdict: this.#verdict,
    });
    return html`<pa-dialog heading="${text} ${experiment.name}?" @closed=${() => (this.asking = null)}>
      <form @submit=${(event) => this.#do(event, action, experiment)}>
        <p>${told}</p>
        ${policy
          ? html`<label
              >Policy
              <select name="policy" @change=${(event) => (this.policy = event.target.value)}>
                ${experiment.policies.map(
                  (each) => html`<option .selected=${each.name === this.policy}>${each.name}</option>`,
                )}
              </select></label
            >`
          : nothing}
        ${name
          ? html`<label
              >Name of the draft <input name="name" required maxlength="200" .value="${experiment.name} (again)"
            /></label>`
          : nothing}
        ${note
          ? html`<label
              >Why (for the audit trail${action === "rollback" ? ", and the alert" : ""})
              <input name="note" maxlength="1000"
            /></label>`
          : nothing}
        ${this.problem ? this.#problem(this.problem) : nothing}
        <div class="buttons">
          <button type="button" @click=${() => (this.asking = null)}>Cancel</button
          ><button type="submit" class="primary ${danger ? "danger" : ""}" ?disabled=${this.busy}>${text}</button>
        </div>
      </form>
    </pa-dialog>`;
  }

  #problem({ message, changes }) {
    const who = changes.map((each) => `${words(each.action)} by ${each.actor}`).join("; ");
    return html`<p class="problem" role="alert">
      ${capital(message)}.${who ? ` Meanwhile: ${who}. Look at it as it is now, and ask again.` : ""}
    </p>`;
  }

  async #do(event, action, { id, config_no: version }) {
    event.preventDefault();
    this.busy = true;
    const given = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value !== ""));
    try {
      const done = await send("POST", of(id, action), given, action === "clone" ? {} : { version });
      this.asking = null;
      this.dispatchEvent(new CustomEvent("changed", { bubbles: true, composed: true, detail: done }));
      if (action === "clone") go(`/experiments/${done.id}`);
    } catch (error) {
      this.problem = error;
      if (error.status === 412) this.dispatchEvent(new CustomEvent("changed", { bubbles: true, composed: true }));
    } finally {
      this.busy = false;
    }
  }
}

customElements.define("pa-actions", Actions);
