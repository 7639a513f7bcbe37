// <pa-foreseen>: what would come of an experiment as it is written in the form, as the server says.

import { LitElement, css, html, nothing } from "lit";
import { days, lift, percent, plural, words } from "../format.js";
import { entries } from "../policies.js";
import { base, controls } from "../styles.js";
import { panelStyles } from "../parts/panel.js";

class Foreseen extends LitElement {
  static properties = {
    preview: { attribute: false }, // the server's, null before the first
    problems: { attribute: false },
    elsewhere: { attribute: false }, // of these, those of no field of the form
    edited: { type: Boolean }, // an experiment that is there
  };

  static styles = [
    base,
    controls,
    panelStyles,
    css`
      section {
        height: auto;
      }
      .problem {
        color: var(--bad);
      }
      .warnings {
        color: var(--warn);
      }
      ul {
        margin: 8px 0;
        padding-left: 18px;
        overflow-wrap: anywhere;
      }
    `,
  ];

  constructor() {
    super();
    this.problems = [];
    this.elsewhere = [];
  }

  render() {
    const wrong = this.problems.length;
    return html`<section aria-labelledby="heading">
      <h2 id="heading">What comes of it</h2>
      ${wrong
        ? html`<p class="problem" role="status">${plural(wrong, "field is", "fields are")} not right yet.</p>`
        : nothing}
      ${this.elsewhere.map(({ field, detail }) => html`<p class="problem">${field} ${detail}</p>`)}
      ${wrong
        ? nothing
        : this.preview
          ? this.#told(this.preview)
          : html`<p class="quiet">
              Whatever you write is checked by the server as you go; nothing is stored before you save.
            </p>`}
      <slot></slot>
    </section>`;
  }

  #told({ experiment, after, new_epoch: epoch, moved_share: moved }) {
    return html`${this.#takes(experiment)}${this.edited
      ? html`<h3>Changes</h3>
          <ul>
            ${Object.keys(after).map((name) => html`<li>${words(name)}</li>`)}
          </ul>
          ${epoch
            ? html`<p class="problem">A new epoch begins: figures from before and after cannot be compared.</p>`
            : nothing}
          ${moved ? html`<p>${percent(moved)} of the users in traffic get another policy.</p>` : nothing}`
      : nothing}
    ${experiment.warnings.length
      ? html`<ul class="warnings">
          ${experiment.warnings.map((each) => html`<li>${each}</li>`)}
        </ul>`
      : nothing}`;
  }

  #takes({ expectation }) {
    if (!expectation)
      return html`<p class="quiet">
        With visits a day and the rate of control it is said how long the uplift takes to show.
      </p>`;
    return html`<h3>To show ${lift(expectation.uplift)} with ${percent(expectation.power, 0)} power</h3>
      <ul>
        ${entries(expectation.policies).map(
          ([name, needs]) =>
            html`<li>
              ${name}:
              ${plural(needs.impressions, "impression")}${needs.days === null ? "" : `, ${days(needs.days)} days`}
            </li>`,
        )}
      </ul>`;
  }
}

customElements.define("pa-foreseen", Foreseen);
