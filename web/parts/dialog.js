// <pa-dialog heading="...">: something that has to be dealt with before going on. Escape closes it; it says `closed`.

import { LitElement, css, html } from "lit";
import { base, controls } from "../styles.js";
import { ICONS } from "./icons.js";

class Dialog extends LitElement {
  static properties = { heading: {}, wide: { type: Boolean, reflect: true } };

  static styles = [
    base,
    controls,
    css`
      :host {
        display: contents;
      }
      dialog {
        width: min(520px, calc(100vw - 32px));
        max-height: calc(100vh - 48px);
        padding: 0;
        color: var(--text);
        background: var(--panel);
        border: 1px solid var(--line);
        border-radius: 12px;
        box-shadow: var(--shadow);
        overflow: auto;
      }
      :host([wide]) dialog {
        width: min(920px, calc(100vw - 32px));
      }
      dialog::backdrop {
        background: rgb(10 14 20 / 50%);
      }
      header {
        position: sticky;
        top: 0;
        z-index: 1;
        display: flex;
        gap: 16px;
        align-items: center;
        justify-content: space-between;
        padding: 14px 24px 10px;
        background: var(--panel);
      }
      h2 {
        font-size: 17px;
      }
      header button {
        min-height: 32px;
        padding: 4px 8px;
        border: 0;
      }
      .inside {
        padding: 0 24px 24px;
      }
    `,
  ];

  firstUpdated() {
    this.renderRoot.querySelector("dialog").showModal();
  }

  render() {
    return html`<dialog
      aria-labelledby="heading"
      @close=${() => this.dispatchEvent(new Event("closed"))}
      @click=${this.#beside}
    >
      <header>
        <h2 id="heading">${this.heading}</h2>
        <button aria-label="Close" @click=${() => this.close()}>${ICONS.close}</button>
      </header>
      <div class="inside"><slot></slot></div>
    </dialog>`;
  }

  close() {
    this.renderRoot.querySelector("dialog").close();
  }

  #beside(event) {
    if (event.target === event.currentTarget) event.currentTarget.close();
  }
}

customElements.define("pa-dialog", Dialog);
