// Requests to the studio, and what it says when it refuses.
import { say } from "./words.js";
import { session } from "./session.js";

export class Refused extends Error {
  constructor(status, error) {
    super([error.where, error.what, error.how].filter(Boolean).join("\n"));
    this.status = status;
    this.code = error.code || "";
  }
}

let onTokenWanted = () => {};
export const whenTokenIsWanted = (listener) => { onTokenWanted = listener; };

const headers = (more = {}) => {
  const token = session.get("token");
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
};

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: headers(options.headers) });
  } catch {
    throw new Refused(0, { what: say().unreachable, code: "unreachable" });
  }
  if (response.ok) return response;
  if (response.status === 401) onTokenWanted();
  let error = { what: `HTTP ${response.status}` };
  try { error = (await response.json()).error; } catch { /* not ours */ }
  throw new Refused(response.status, error);
}

export const get = async (path) => (await request(path)).json();

const withBody = (method) => async (path, body = {}) =>
  (await request(path, { method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } })).json();

export const post = withBody("POST");
export const patch = withBody("PATCH");

/** Send a file as it is. */
export const upload = async (path, file) =>
  (await request(path, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } })).json();

/** Fetch what is no JSON. */
export const blob = async (path) => (await request(path)).blob();

/** The same of a picture, with the width and height that its file has. */
export async function blobWithSize(path) {
  const response = await request(path);
  const [width, height] = response.headers.get("x-picture-size").split("x").map(Number);
  return { content: await response.blob(), width, height };
}

/** The address of a project's part. */
export const inProject = (name, path = "") => `/api/projects/${encodeURIComponent(name)}${path}`;

export const query = (values) => {
  const kept = Object.entries(values).filter(([, value]) => value !== "" && value !== undefined);
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
};
