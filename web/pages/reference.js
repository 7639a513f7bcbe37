// <pa-reference>: the REST interface as its OpenAPI document describes it.

import { LitElement, css, html, nothing } from "lit";
import { Feed } from "../feed.js";
import { address } from "../api.js";
import { base, controls } from "../styles.js";
import { panelStyles, skeleton, trouble } from "../parts/panel.js";

const DOCUMENT = "/schema/openapi.json";

class Reference extends LitElement {
  static properties = { sought: { state: true } };

  static styles = [
    base,
    controls,
    panelStyles,
    css`
      .intro {
        display: flex;
        flex-wrap: wrap;
        gap: 8px 24px;
        align-items: center;
        margin: 8px 0 16px;
      }
      details {
        background: var(--panel);
        border: 1px solid var(--line);
        border-radius: 8px;
        margin-bottom: 8px;
      }
      summary {
        padding: 10px 16px;
        cursor: pointer;
      }
      summary code {
        overflow-wrap: anywhere;
      }
      summary b {
        display: inline-block;
        width: 64px;
        font-weight: 650;
      }
      .inside {
        padding: 0 16px 12px;
      }
      ul {
        margin: 8px 0;
        padding-left: 20px;
      }
    `,
  ];

  constructor() {
    super();
    this.sought = "";
    this.document = new Feed(this, () => DOCUMENT);
  }

  connectedCallback() {
    super.connectedCallback();
    document.title = "REST interface · Pullarm";
  }

  render() {
    const { data, error } = this.document.state;
    return html`<h1>REST interface</h1>
      <div class="intro">
        <span
          >Send <code>Authorization: Bearer TOKEN</code>. The same as an
          <a href=${address(DOCUMENT)}>OpenAPI document</a>.</span
        >
        <input
          type="search"
          aria-label="Search paths"
          placeholder="Search  ( / )"
          @input=${(event) => (this.sought = event.target.value.toLowerCase())}
        />
      </div>
      ${error ? trouble(error, { kept: data !== null }) : nothing}
      ${data ? this.#operations(data) : error ? nothing : skeleton(8)}`;
  }

  #operations({ paths }) {
    const all = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, told]) => ({ path, method, told })),
    );
    const found = all.filter(({ path, told }) =>
      `${path} ${told.description ?? ""}`.toLowerCase().includes(this.sought),
    );
    return found.length ? found.map((each) => this.#operation(each)) : html`<p class="empty">No path is like that.</p>`;
  }

  #operation({ path, method, told }) {
    const content = Object.entries(told.requestBody?.content ?? {});
    return html`<details>
      <summary><b>${method.toUpperCase()}</b><code>${path}</code></summary>
      <div class="inside">
        <p>${told.description ?? told.summary ?? ""}</p>
        ${told.parameters?.length
          ? html`<h3>Parameters</h3>
              <ul>
                ${told.parameters.map(
                  (each) => html`<li><code>${each.name}</code> (${each.in}) ${each.description ?? ""}</li>`,
                )}
              </ul>`
          : nothing}
        ${content.map(
          ([type, { example }]) =>
            html`<h3>Body, ${type}</h3>
              <pre>${typeof example === "string" ? example : JSON.stringify(example, null, 2)}</pre>`,
        )}
        <h3>Answers</h3>
        <ul>
          ${Object.entries(told.responses ?? {}).map(
            ([status, { description }]) => html`<li><code>${status}</code> ${description ?? ""}</li>`,
          )}
        </ul>
      </div>
    </details>`;
  }
}

customElements.define("pa-reference", Reference);
