// <pa-login>: a token is exchanged for a cookie, which scripts cannot read; nothing of the token is kept here.

import { LitElement, css, html, nothing } from "lit";
import { send } from "../api.js";
import { base, controls } from "../styles.js";

class Login extends LitElement {
  static properties = { problem: { state: true }, busy: { state: true } };

  static styles = [
    base,
    controls,
    css`
      section {
        max-width: 520px;
        margin: 8vh auto 0;
        padding: 24px 32px 32px;
        background: var(--panel);
        border: 1px solid var(--line);
        border-radius: 10px;
      }
      p,
      form {
        margin-top: 12px;
      }
      form {
        display: grid;
        gap: 8px;
      }
      label {
        display: grid;
        gap: 4px;
        font-weight: 600;
      }
      .problem {
        color: var(--bad);
      }
    `,
  ];

  connectedCallback() {
    super.connectedCallback();
    document.title = "Log in · Pullarm";
  }

  render() {
    return html`<section>
      <h1>Log in</h1>
      <p>With a token of role viewer, operator or admin. What you may do here is what it may do.</p>
      <form @submit=${this.#submit}>
        <label
          >Token
          <input
            type="password"
            name="token"
            required
            autocomplete="off"
            placeholder="pullarm_…"
            aria-describedby="problem"
        /></label>
        <p class="problem" id="problem" role="alert" ?hidden=${!this.problem}>${this.problem ?? nothing}</p>
        <div><button class="primary" type="submit" ?disabled=${this.busy}>Log in</button></div>
      </form>
      <p class="quiet">
        <code>pullarm up</code> keeps an admin's token in <code>admin.token</code> of its state folder. This makes
        another one:
      </p>
      <pre>pullarm token create --name me --role viewer</pre>
    </section>`;
  }

  async #submit(event) {
    event.preventDefault();
    const token = new FormData(event.target).get("token");
    this.busy = true;
    try {
      const who = await send("POST", "/api/session", { token });
      this.dispatchEvent(new CustomEvent("logged-in", { detail: who }));
    } catch (error) {
      this.problem = error.message;
    } finally {
      this.busy = false;
    }
  }
}

customElements.define("pa-login", Login);
