// Data of one path for one component: read, kept, read anew, and tried again by itself where that fails.

import { read } from "./api.js";

const RETRY_MS = [2_000, 4_000, 8_000, 15_000, 30_000];
const FINAL = [400, 401, 403, 404, 422]; // asking again would be answered the same

/**
 * A reactive controller. `state` is what a panel shows: `data` (null before the first answer), `error` (a Failed, null where
 * the last answer was good), `stale` (the data are of another path than the one that is asked for now).
 */
export class Feed {
  /** `path` is a function that says what to read, null for nothing yet; `every` milliseconds read anew by itself. */
  constructor(host, path, { every = 0 } = {}) {
    this.host = host;
    this.path = path;
    this.every = every;
    this.state = { data: null, error: null, stale: false };
    this.asked = null;
    this.failures = 0;
    host.addController(this);
  }

  hostUpdate() {
    const path = this.path();
    if (path === this.asked || !this.host.isConnected) return;
    this.asked = path;
    this.failures = 0;
    this.state = { ...this.state, stale: this.state.data !== null };
    if (path) this.refresh();
  }

  hostDisconnected() {
    this.asked = null;
    this.request?.abort();
    clearTimeout(this.timer);
  }

  /** Read anew; what is there stays until the answer. */
  async refresh() {
    if (!this.asked) return;
    this.request?.abort();
    clearTimeout(this.timer);
    const request = (this.request = new AbortController());
    try {
      const data = await read(this.asked, request.signal);
      if (request.signal.aborted) return;
      this.failures = 0;
      this.state = { data, error: null, stale: false };
      if (this.every) this.#later(this.every);
    } catch (error) {
      if (request.signal.aborted) return;
      this.state = { ...this.state, error };
      if (!FINAL.includes(error.status)) this.#later(RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
    }
    this.host.requestUpdate();
  }

  #later(ms) {
    this.timer = setTimeout(() => (document.hidden ? this.#later(ms) : this.refresh()), ms);
  }
}
