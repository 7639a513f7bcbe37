// <pa-audit>: who changed what, when and by which way.

import { css, html, nothing } from "lit";
import { words } from "../format.js";
import { Panel } from "../parts/panel.js";
import "../parts/moment.js";

const told = (value) => (value === null ? "none" : typeof value === "object" ? JSON.stringify(value) : String(value));
const LONG = 160;
const short = (text) => (text.length > LONG ? `${text.slice(0, LONG)}…` : text);

class Audit extends Panel {
  static styles = [
    ...Panel.styles,
    css`
      ol {
        list-style: none;
        margin: 0;
        padding: 0;
        max-height: 420px;
        overflow: auto;
      }
      ol > li {
        display: grid;
        grid-template-columns: 150px minmax(0, 1fr);
        gap: 0 16px;
        padding: 8px 0;
        border-bottom: 1px solid var(--line);
      }
      ol > li:last-child {
        border-bottom: 0;
      }
      .what {
        font-weight: 600;
      }
      ul {
        margin: 4px 0 0;
        padding-left: 18px;
        overflow-wrap: anywhere;
      }
      del {
        color: var(--quiet);
        text-decoration-color: var(--line-strong);
      }
      ins {
        text-decoration: none;
      }
      @media (max-width: 600px) {
        ol > li {
          grid-template-columns: 1fr;
        }
      }
    `,
  ];

  get heading() {
    return "Changes";
  }

  body({ entries, next }) {
    return html`<ol tabindex="0" aria-label="Changes, newest first">
        ${entries.map((each) => this.#entry(each))}
      </ol>
      ${next ? html`<p class="note">Older ones: <code>pullarm audit</code></p>` : nothing}`;
  }

  #entry({ at, actor, origin, action, before, after, config_no: version }) {
    const fields = Object.keys(before).length ? Object.keys(after) : []; // of what was just made, all is new
    return html`<li>
      <span class="quiet"><pa-moment at=${at}></pa-moment></span>
      <div>
        <span class="what">${words(action)}</span>${version
          ? html` <span class="quiet">version ${version}</span>`
          : nothing} <span class="quiet">by ${actor}, ${origin}</span>
        ${fields.length
          ? html`<ul class="small">
              ${fields.map(
                (field) =>
                  html`<li>
                    ${words(field)}: <del>${short(told(before[field] ?? null))}</del> →
                    <ins>${short(told(after[field]))}</ins>
                  </li>`,
              )}
            </ul>`
          : nothing}
      </div>
    </li>`;
  }
}

customElements.define("pa-audit", Audit);
