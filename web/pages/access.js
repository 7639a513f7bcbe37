// <pa-access>: tokens, who made them, for what they are; making and revoking them. For admins.

import { LitElement, css, html, nothing } from "lit";
import { send } from "../api.js";
import { Feed } from "../feed.js";
import { capital } from "../format.js";
import { base, controls, tables } from "../styles.js";
import { panelStyles, skeleton, trouble } from "../parts/panel.js";
import "../parts/dialog.js";
import "../parts/field.js";
import "../parts/moment.js";
import "../parts/pill.js";

const TOKENS = "/api/tokens";
const ROLES = {
  viewer: "viewer: read",
  operator: "operator: also create, change, start and stop",
  admin: "admin: also tokens",
  caller: "caller: Select and Reward over gRPC, nothing else",
};
const FRESH = { name: "", role: "viewer", experiments: "", expires_in_days: null };

class Access extends LitElement {
  static properties = {
    who: { attribute: false },
    asking: { state: true },
    values: { state: true },
    made: { state: true },
    problems: { state: true },
    failed: { state: true },
    copied: { state: true },
  };

  static styles = [
    base,
    controls,
    tables,
    panelStyles,
    css`
      .head {
        display: flex;
        gap: 16px;
        align-items: center;
        margin-bottom: 16px;
      }
      .head h1 {
        margin-right: auto;
      }
      form {
        display: grid;
        gap: 12px;
      }
      .buttons {
        display: flex;
        gap: 8px;
        justify-content: flex-end;
      }
      .gone td {
        color: var(--quiet);
      }
      .problem {
        color: var(--bad);
      }
      .secret {
        display: flex;
        gap: 8px;
      }
      .secret input {
        flex: 1;
        font:
          12.5px ui-monospace,
          Menlo,
          Consolas,
          monospace;
      }
    `,
  ];

  constructor() {
    super();
    this.values = FRESH;
    this.problems = [];
    this.tokens = new Feed(this, () => (this.who?.role === "admin" ? TOKENS : null));
  }

  connectedCallback() {
    super.connectedCallback();
    document.title = "Access · Pullarm";
  }

  render() {
    if (this.who?.role !== "admin")
      return html`<h1>Access</h1>
        <p>Tokens are made, listed and revoked with a token of role admin; yours is of role ${this.who?.role}.</p>`;
    const { data, error } = this.tokens.state;
    return html` <div class="head">
        <h1>Access</h1>
        <button class="primary" @click=${() => this.#ask("create")}>New token</button>
      </div>
      <section aria-label="Tokens">
        ${error ? trouble(error, { kept: data !== null }) : nothing}
        ${data ? this.#table(data.tokens) : error ? nothing : skeleton(5)}
        <p class="note">
          A token's secret is shown once and kept as a digest only. A revoked one ends at once here, and within a second
          at serving.
        </p>
      </section>
      ${this.asking === "create" ? this.#create() : this.asking ? this.#revoke(this.asking) : nothing}`;
  }

  #table(tokens) {
    return html`<div class="scroll" tabindex="0" role="group" aria-label="Tokens, scrollable">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Role</th>
            <th scope="col">For</th>
            <th scope="col">Made</th>
            <th scope="col">Expires</th>
            <th scope="col"><span class="hidden-text">Revoke</span></th>
          </tr>
        </thead>
        <tbody>
          ${tokens.map((token) => this.#row(token))}
        </tbody>
      </table>
    </div>`;
  }

  #row(token) {
    const expired = token.expires_at && new Date(token.expires_at) < new Date();
    return html`<tr class=${token.revoked_at || expired ? "gone" : ""}>
      <td>
        <b>${token.name}</b>
        <div class="quiet small">${token.id}</div>
      </td>
      <td>${token.role}</td>
      <td>
        ${token.experiments === null
          ? "all experiments"
          : token.experiments.map((id) => html`<div><a href="/experiments/${id}">${id}</a></div>`)}
      </td>
      <td>
        <pa-moment at=${token.created_at}></pa-moment>
        <div class="quiet small">by ${token.created_by}</div>
      </td>
      <td>
        ${token.revoked_at
          ? html`revoked <pa-moment at=${token.revoked_at}></pa-moment>
              <div class="quiet small">by ${token.revoked_by}</div>`
          : token.expires_at
            ? html`${expired ? "expired" : ""} <pa-moment at=${token.expires_at}></pa-moment>`
            : "never"}
      </td>
      <td>
        ${token.revoked_at || expired
          ? nothing
          : html`<button class="danger" aria-label="Revoke ${token.name}" @click=${() => this.#ask(token)}>
              Revoke
            </button>`}
      </td>
    </tr>`;
  }

  #ask(what) {
    this.values = FRESH;
    this.made = null;
    this.problems = [];
    this.failed = null;
    this.asking = what;
  }

  #create() {
    const field = (name) =>
      this.problems
        .filter((each) => each.field.startsWith(name))
        .map(({ detail }) => detail)
        .join("; ") || nothing;
    const give = (name) => (event) => (this.values = { ...this.values, [name]: event.detail });
    if (this.made) return this.#secret();
    return html`<pa-dialog heading="New token" @closed=${() => (this.asking = null)}
      ><form novalidate @submit=${this.#make}>
        <pa-field
          label="Name"
          required
          hint="Whoever or whatever uses it: it stands in the audit trail."
          .value=${this.values.name}
          problem=${field("name")}
          @given=${give("name")}
        ></pa-field>
        <pa-field
          label="Role"
          kind="choice"
          .options=${Object.entries(ROLES)}
          .value=${this.values.role}
          problem=${field("role")}
          @given=${give("role")}
        ></pa-field>
        <pa-field
          label="Experiments"
          hint="Ids or keys, with commas between; empty: all."
          .value=${this.values.experiments}
          problem=${field("experiments")}
          @given=${give("experiments")}
        ></pa-field>
        <pa-field
          label="Expires in"
          kind="number"
          unit="days"
          hint="Empty: never."
          .value=${this.values.expires_in_days}
          problem=${field("expires_in_days")}
          @given=${give("expires_in_days")}
        ></pa-field>
        ${this.failed ? html`<p class="problem" role="alert">${capital(this.failed.message)}</p>` : nothing}
        <div class="buttons">
          <button type="button" @click=${() => (this.asking = null)}>Cancel</button
          ><button class="primary" type="submit">Make it</button>
        </div>
      </form></pa-dialog
    >`;
  }

  #secret() {
    return html`<pa-dialog heading="The token of ${this.made.name}" @closed=${() => (this.asking = this.made = null)}>
      <p>This is its secret. It is shown this once: keep it where whoever uses it can read it.</p>
      <div class="secret">
        <input readonly aria-label="Secret" .value=${this.made.token} /><button @click=${this.#copy}>
          ${this.copied ? "Copied" : "Copy"}
        </button>
      </div>
    </pa-dialog>`;
  }

  #copy = async () => {
    await navigator.clipboard.writeText(this.made.token);
    this.copied = true;
    setTimeout(() => (this.copied = false), 2_000);
  };

  #make = async (event) => {
    event.preventDefault();
    const { experiments, expires_in_days: days, ...body } = this.values;
    if (experiments.trim())
      body.experiments = experiments
        .split(",")
        .map((each) => each.trim())
        .filter(Boolean);
    if (days !== null) body.expires_in_days = days;
    try {
      this.made = await send("POST", TOKENS, body);
      this.tokens.refresh();
    } catch (error) {
      this.problems = error.problems;
      this.failed = error.problems.length ? null : error;
    }
  };

  #revoke(token) {
    return html`<pa-dialog heading="Revoke ${token.name}?" @closed=${() => (this.asking = null)}>
      <p>
        Whatever uses it is refused within a second, and whoever is logged in with it is logged out. That is for good.
      </p>
      ${this.failed ? html`<p class="problem" role="alert">${capital(this.failed.message)}</p>` : nothing}
      <div class="buttons">
        <button @click=${() => (this.asking = null)}>Cancel</button
        ><button class="danger primary" @click=${() => this.#end(token)}>Revoke</button>
      </div>
    </pa-dialog>`;
  }

  async #end(token) {
    try {
      await send("DELETE", `${TOKENS}/${token.id}`);
      this.asking = null;
      this.tokens.refresh();
    } catch (error) {
      this.failed = error;
    }
  }
}

customElements.define("pa-access", Access);
