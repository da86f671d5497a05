// Changes of examples, and taking them back. What was changed is on the disk before anybody is told that it is saved.
import { patch } from "./api.js";
import { here, project, refresh } from "./project.js";
import { session } from "./session.js";

const MOST = 500;
// There is no such example or label any more, or somebody else has changed it.
const NEVER = [404, 409, 422];

const key = () => `undo ${project().name}`;
const done = () => JSON.parse(session.get(key()) || "[]");

/** As many as the window has room for: masks are large. */
function keep(list) {
  for (let kept = list.slice(-MOST); !session.set(key(), JSON.stringify(kept)) && kept.length; kept = kept.slice(Math.ceil(kept.length / 2)));
}

/** Change a row as it was seen; gives the row as it is now. */
export async function change(row, wanted) {
  const before = Object.fromEntries(Object.keys(wanted).map((name) => [name, asSent(name, row[name])]));
  const now = await patch(here(`/examples/${row.id}`), { version: row.version, ...wanted });
  keep([...done(), { id: row.id, version: now.version, before }]);
  refresh();
  return now;
}

// SQLite's yes and no are numbers.
const asSent = (name, value) => (["label", "shapes", "mask"].includes(name) ? value : Boolean(value));

export const canUndo = () => done().length > 0;

/** The number of the row that was changed last. */
export const lastChanged = () => done().at(-1)?.id;

/** Take the last change of this window back; gives the row as it is now, or null where there is nothing to take back. */
export async function undo() {
  const list = done();
  const last = list.pop();
  if (!last) return null;
  const row = await patch(here(`/examples/${last.id}`), { version: last.version, ...last.before }).catch((error) => {
    // What will never be taken back stands in the way of what was done before; all else can be tried again.
    if (NEVER.includes(error.status)) keep(list);
    throw error;
  });
  // Earlier changes of the same row were seen at earlier versions; they are taken back from this one.
  keep(list.map((some) => (some.id === row.id ? { ...some, version: row.version } : some)));
  refresh();
  return row;
}
