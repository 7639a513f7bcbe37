// <pa-split>: which policies take part, their weights and parameters, and how they split the users. What is written is
// told as `given`, all policies together.

import { LitElement, css, html, nothing } from "lit";
import { percent } from "../format.js";
import { ordered, POLICIES } from "../policies.js";
import { base, controls, hues, tables } from "../styles.js";
import { PARAMETERS } from "../vocabulary.js";
import "./policy.js";

class Split extends LitElement {
  static properties = { policies: { attribute: false }, known: { attribute: false }, problems: { attribute: false } };

  static styles = [
    base,
    controls,
    hues,
    tables,
    css`
      td input[type="number"] {
        width: 72px;
      }
      label.row {
        flex-wrap: nowrap;
        white-space: nowrap;
      }
      td:last-child {
        min-width: 180px;
      }
      @media (max-width: 720px) {
        thead {
          display: none;
        }
        table,
        tbody {
          display: block;
        }
        tbody tr {
          display: grid;
          grid-template-columns: 1fr auto auto;
          align-items: center;
          gap: 4px 12px;
          padding: 12px 0;
          border-top: 1px solid var(--line);
        }
        tbody tr > td {
          padding: 0;
          border: 0;
        }
        td:nth-child(2)::before {
          content: "weight ";
          color: var(--quiet);
        }
        td:last-child {
          grid-column: 1 / -1;
        }
      }
      .bar {
        display: flex;
        height: 12px;
        border-radius: 6px;
        overflow: hidden;
        gap: 2px;
        margin: 12px 0 4px;
      }
      .bar i {
        background: var(--hue);
      }
      .problem {
        color: var(--bad);
      }
    `,
  ];

  render() {
    const chosen = Object.fromEntries(this.policies.map((policy) => [policy.name, policy]));
    const names = ordered(Object.keys(chosen));
    const total = names.reduce((sum, name) => sum + (chosen[name].weight || 0), 0);
    return html`<div class="scroll" tabindex="0" role="group" aria-label="Policies, scrollable">
        <table>
          <thead>
            <tr>
              <th scope="col">Takes part</th>
              <th scope="col">Weight</th>
              <th scope="col" class="number">Share</th>
              <th scope="col">Parameters</th>
            </tr>
          </thead>
          <tbody>
            ${POLICIES.map((name) => this.#row(name, chosen[name], total))}
          </tbody>
        </table>
      </div>
      <div class="bar" aria-hidden="true">
        ${names.map((name) => html`<i class=${name} .style=${`flex: ${chosen[name].weight || 0}`}></i>`)}
      </div>
      <p class="problem" role="alert">${this.problems?.join("; ")}</p>`;
  }

  #row(name, policy, total) {
    return html`<tr>
      <td>
        <label class="row"
          ><input
            type="checkbox"
            .checked=${Boolean(policy)}
            @change=${(event) => this.#take(name, event.target.checked)} /><pa-policy name=${name}></pa-policy
        ></label>
      </td>
      <td>
        ${policy
          ? html`<input
              type="number"
              min="0"
              step="any"
              aria-label="Weight of ${name}"
              .value=${policy.weight}
              @input=${(event) => this.#change(name, { weight: Number(event.target.value) })}
            />`
          : nothing}
      </td>
      <td class="number">${policy && total ? percent(policy.weight / total) : ""}</td>
      <td>
        <div class="row">${policy ? PARAMETERS[name].map((each) => this.#parameter(policy, each)) : nothing}</div>
      </td>
    </tr>`;
  }

  /** What the server has not told of yet, of a policy that is newly chosen, is left to it. */
  #parameter({ name: policy, params }, { name, label, kind, options }) {
    const value = params[name];
    if (value === undefined) return nothing;
    const scale = kind === "percent" ? 100 : 1;
    const change = (changed) => this.#change(policy, { params: { ...params, [name]: changed } });
    return html`<label class="row small"
      >${label}
      ${kind === "choice"
        ? html`<select @change=${(event) => change(event.target.value)}>
            ${options.map(
              ([option, text]) => html`<option value=${option} .selected=${option === value}>${text}</option>`,
            )}
          </select>`
        : html`<input
              type="number"
              step="any"
              .value=${Number((value * scale).toPrecision(10))}
              @input=${(event) => change(Number(event.target.value) / scale)}
            />${scale === 100 ? "%" : ""}`}</label
    >`;
  }

  #change(name, changes) {
    this.#give(this.policies.map((policy) => (policy.name === name ? { ...policy, ...changes } : policy)));
  }

  #take(name, yes) {
    const known = this.known.find((policy) => policy.name === name) ?? {
      name,
      weight: 1,
      params: {},
    };
    const others = this.policies.filter((policy) => policy.name !== name);
    this.#give(yes ? [...others, known] : others);
  }

  #give(policies) {
    this.dispatchEvent(new CustomEvent("given", { detail: policies }));
  }
}

customElements.define("pa-split", Split);
