// Reading the REST API.

/** A request that was answered with a problem document, or not at all. */
export class Failed extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The JSON at a path; throws Failed with a sentence that can be shown. */
export async function read(path, signal) {
  let answer, body;
  try {
    answer = await fetch(path, { signal, headers: { Accept: "application/json" } });
    body = await answer.json();
  } catch {
    throw new Failed(answer ? `The control plane answered ${answer.status}, not with JSON.` : "The control plane does not answer.", 0);
  }
  if (!answer.ok) throw new Failed(body.detail, answer.status);
  return body;
}
