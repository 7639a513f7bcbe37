// <pa-edit>: an experiment is made or changed; what the server thinks of it is said while it is written.

import { LitElement, css, html, nothing } from "lit";
import { of, read, send } from "../api.js";
import { PARTS } from "../fields.js";
import { bodyOf, concerns, forcedOf, valuesOf, within } from "../form.js";
import { ordered } from "../policies.js";
import { go } from "../router.js";
import { base, controls } from "../styles.js";
import { panelStyles, skeleton, trouble } from "../parts/panel.js";
import "../panels/foreseen.js";
import "../parts/entries.js";
import "../parts/field.js";
import "../parts/split.js";

const PAUSE_MS = 300;
const NEW = "/api/experiments";

class Edit extends LitElement {
  static properties = {
    who: { attribute: false },
    parameters: { attribute: false },
    experiment: { state: true },
    values: { state: true },
    preview: { state: true },
    problems: { state: true },
    failed: { state: true },
    busy: { state: true },
    touched: { state: true },
  };

  static styles = [
    base,
    controls,
    panelStyles,
    css`
      .page {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        gap: 16px;
        margin-top: 16px;
      }
      @media (min-width: 1100px) {
        .page {
          grid-template-columns: minmax(0, 2fr) minmax(300px, 1fr);
        }
        .beside {
          position: sticky;
          top: 16px;
          align-self: start;
        }
      }
      form {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        gap: 16px;
      }
      section,
      details {
        height: auto;
        background: var(--panel);
        border: 1px solid var(--line);
        border-radius: 10px;
        padding: 16px 20px;
      }
      summary {
        cursor: pointer;
        font-size: 15px;
        font-weight: 650;
      }
      .fields {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(240px, 1fr));
        gap: 12px 24px;
        margin-top: 12px;
      }
      .fields > .long {
        grid-column: 1 / -1;
      }
      .buttons {
        display: flex;
        gap: 8px;
        align-items: center;
        margin-top: 16px;
      }
    `,
  ];

  connectedCallback() {
    super.connectedCallback();
    this.touched = new Set();
    this.problems = [];
    this.#begin();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearTimeout(this.pause);
  }

  get #reference() {
    return this.parameters?.reference;
  }

  /** A new experiment starts from the server's own defaults. */
  async #begin() {
    document.title = `${this.#reference ? "Edit" : "New experiment"} · Pullarm`;
    try {
      const [experiment, groups, forced] = await Promise.all([
        this.#reference
          ? read(of(this.#reference))
          : send("POST", `${NEW}/validate`, { name: "-" }).then((made) => ({ ...made.experiment, name: "", key: "" })),
        read("/api/groups"),
        this.#reference ? read(of(this.#reference, "forced")) : {},
      ]);
      this.experiment = experiment;
      this.groups = groups.groups.filter(({ name }) => name !== "all");
      this.before = valuesOf(experiment, forced.forced);
      this.values = { ...this.before };
      this.failed = null;
    } catch (error) {
      this.failed = error;
    }
  }

  render() {
    const title = this.#reference ? `Edit ${this.experiment?.name ?? ""}` : "New experiment";
    return html`<h1>${title}</h1>
      ${this.failed ? trouble(this.failed) : nothing}
      ${this.values
        ? html`<div class="page">
            <form novalidate @submit=${this.#save}>${this.#form()}</form>
            <div class="beside">${this.#beside()}</div>
          </div>`
        : this.failed
          ? nothing
          : skeleton(8)}`;
  }

  #form() {
    const shown = PARTS.filter((part) => !part.edit || this.#reference);
    const [first, ...others] = shown.map((part) => this.#part(part));
    return html`${first}${this.#policies()}${others}`;
  }

  #part({ heading, hint, fields, closed }) {
    const draft = !this.#reference || this.experiment.state === "draft";
    const asked = fields.filter(
      ({ create, edit, draft: early, when = () => true }) =>
        !(create && this.#reference) && !(edit && !this.#reference) && !(early && !draft) && when(this.values),
    );
    const inside = html`${hint ? html`<p class="quiet small">${hint}</p>` : nothing}
      <div class="fields">
        ${asked.map((field) => (field.kind === "entries" ? this.#entries(field) : this.#field(field)))}
      </div>`;
    return closed
      ? html`<details>
          <summary>${heading}</summary>
          ${inside}
        </details>`
      : html`<section aria-label=${heading}>
          <h2>${heading}</h2>
          ${inside}
        </section>`;
  }

  #options = (options) => (typeof options === "function" ? options(this.values, this.groups) : options);

  #field({ path, label, kind = "text", hint, unit, required, options }) {
    return html`<pa-field
      class=${kind === "lines" ? "long" : ""}
      name=${path}
      label=${label}
      kind=${kind}
      hint=${hint ?? nothing}
      unit=${unit ?? nothing}
      ?required=${required}
      .options=${this.#options(options)}
      .value=${this.values[path]}
      problem=${this.#problem(path) ?? nothing}
      @given=${(event) => this.#give(path, event.detail)}
    ></pa-field>`;
  }

  #entries({ path, label, add, row, columns }) {
    return html`<pa-entries
      class="long"
      name=${path}
      label=${label}
      add=${add}
      .row=${row}
      .columns=${columns.map((column) => ({ ...column, options: this.#options(column.options) }))}
      .value=${this.values[path]}
      problem=${this.#problem(path) ?? nothing}
      @given=${(event) => this.#give(path, event.detail)}
    ></pa-entries>`;
  }

  #policies() {
    const names = ordered(this.values.policies.map((policy) => policy.name));
    const problems = this.problems.filter(({ field }) => field.startsWith("policies"));
    return html`<section aria-label="Policies">
      <h2>Policies</h2>
      <pa-split
        .policies=${this.values.policies}
        .known=${this.before.policies}
        .problems=${problems.map(({ detail }) => detail)}
        @given=${(event) => this.#give("policies", event.detail)}
      ></pa-split>
      <div class="fields">
        <pa-field
          label="To ship unless the verdict says otherwise"
          kind="choice"
          .options=${names.map((name) => [name, name])}
          .value=${this.values.default_policy}
          problem=${this.#problem("default_policy") ?? nothing}
          @given=${(event) => this.#give("default_policy", event.detail)}
        ></pa-field>
      </div>
    </section>`;
  }

  /** What is wrong with a field that was written in, or with any once it was tried to save. */
  #problem(path) {
    if (!this.touched.has(path) && !this.touched.has("")) return null;
    return (
      this.problems
        .filter(({ field }) => concerns(field, path))
        .map(({ field, detail }) => `${within(field, path)} ${detail}`.trim())
        .join("; ") || null
    );
  }

  #give(path, value) {
    this.values = { ...this.values, [path]: value };
    this.touched = new Set([...this.touched, path]);
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.#validate(), PAUSE_MS);
  }

  get #body() {
    return bodyOf(this.before, this.values);
  }

  async #validate() {
    const asked = this.values;
    try {
      const path = this.#reference ? of(this.#reference, "validate") : `${NEW}/validate`;
      const preview = await send("POST", path, this.#body);
      if (asked !== this.values) return; // it has been written on, and the newer answer may be there
      this.preview = preview;
      this.problems = [];
      this.failed = null;
    } catch (error) {
      if (asked !== this.values) return;
      this.problems = error.problems;
      this.failed = error.problems.length ? null : error;
    }
  }

  #beside() {
    const paths = [...PARTS.flatMap((part) => part.fields.map((field) => field.path)), "policies", "default_policy"];
    return html`<pa-foreseen
      .preview=${this.preview}
      .problems=${this.problems}
      .elsewhere=${this.problems.filter(({ field }) => !paths.some((path) => concerns(field, path)))}
      ?edited=${this.#reference}
    >
      <div class="buttons">
        <button class="primary" ?disabled=${this.busy} @click=${this.#save}>
          ${this.#reference ? "Save" : "Make a draft"}</button
        ><a href=${this.#reference ? `/experiments/${encodeURIComponent(this.#reference)}` : "/"}>Cancel</a>
      </div>
    </pa-foreseen>`;
  }

  #save = async (event) => {
    event.preventDefault();
    clearTimeout(this.pause);
    this.touched = new Set([...this.touched, ""]);
    this.busy = true;
    try {
      const body = this.#body;
      const saved = this.#reference ? await this.#change(body) : await send("POST", NEW, body);
      go(`/experiments/${saved.id}`);
    } catch (error) {
      this.problems = error.problems;
      this.failed = error.problems.length ? null : error;
      await this.updateComplete;
      this.renderRoot.querySelector("[problem]")?.focus();
    } finally {
      this.busy = false;
    }
  };

  /** Who is given something to look at is a request of its own, and comes last: it may name what is new. */
  async #change(body) {
    if (Object.keys(body).length) {
      const version = this.experiment.config_no;
      this.experiment = await send("PATCH", of(this.#reference), body, { version });
      this.before = valuesOf(this.experiment, this.before.forced);
    }
    const forced = forcedOf(this.before, this.values);
    if (forced) await send("PUT", of(this.#reference, "forced"), forced, { version: this.experiment.config_no });
    return this.experiment;
  }
}

customElements.define("pa-edit", Edit);
