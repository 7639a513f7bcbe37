// What changes in an experiment, as it changes, and whether that can be relied on.

import { of, stream } from "./api.js";

const KINDS = ["allocation", "guardrails", "rates", "summary"];
const LOST_AFTER_MS = 3_000; // a stream ends every quarter of an hour, and is back at once

/**
 * A reactive controller. `latest` has the newest data of each kind; `connection` is "connecting", "live", "lost" or "paused".
 * `news(kind)` is called after each event, `back()` when the connection is there again after it was lost: what came meanwhile
 * is to be read anew.
 */
export class Live {
  constructor(host, experiment, { news, back }) {
    this.host = host;
    this.experiment = experiment;
    this.news = news;
    this.back = back;
    this.latest = {};
    this.connection = "connecting";
    this.lostAt = null;
    this.watched = null;
    host.addController(this);
  }

  hostConnected() {
    document.addEventListener("visibilitychange", this.#visible);
  }

  hostUpdate() {
    const wanted = document.hidden ? null : this.experiment();
    if (wanted === this.watched) return;
    this.#close();
    this.watched = wanted;
    if (wanted) this.#open(wanted);
  }

  hostDisconnected() {
    document.removeEventListener("visibilitychange", this.#visible);
    this.#close();
    this.watched = null;
  }

  // A page that nobody looks at gives its connection back: a browser has six for all tabs together.
  #visible = () => this.host.requestUpdate();

  #open(experiment) {
    this.end = stream(of(experiment, "live"), KINDS, {
      told: (kind, data) => {
        this.latest = { ...this.latest, [kind]: data };
        this.news(kind);
        this.host.requestUpdate();
      },
      opened: () => {
        clearTimeout(this.timer);
        const missed = this.connection === "lost" || this.connection === "paused";
        this.#become("live");
        if (missed) this.back();
      },
      broken: () => {
        if (this.lostAt) return; // a try may fail more often than that: the first counts
        this.lostAt = new Date();
        this.timer = setTimeout(() => this.#become("lost"), LOST_AFTER_MS);
      },
    });
  }

  #close() {
    if (!this.end) return;
    clearTimeout(this.timer);
    this.end();
    this.end = null;
    this.lostAt = null;
    this.#become("paused");
  }

  #become(connection) {
    if (connection === "live") this.lostAt = null;
    this.connection = connection;
    this.host.requestUpdate();
  }
}
