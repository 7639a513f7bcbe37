// <pa-moment at="2026-03-03T09:00:00Z">: a time in the reader's zone, with UTC at hand; `ago` tells how long ago it was.

import { LitElement, css, html } from "lit";
import { exactly, since, time } from "../format.js";

class Moment extends LitElement {
  static properties = { at: {}, ago: { type: Boolean } };
  static styles = css`
    :host {
      display: inline;
      white-space: nowrap;
    }
  `;

  render() {
    return html`<time datetime=${this.at ?? ""} title=${exactly(this.at)}
      >${this.ago ? since(this.at) : time(this.at)}</time
    >`;
  }
}

customElements.define("pa-moment", Moment);
