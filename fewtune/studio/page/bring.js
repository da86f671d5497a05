// Files: dropped or chosen, sent one after the other.
import { post, query, upload } from "./api.js";
import { button, field, make, section } from "./dom.js";
import { count } from "./format.js";
import { tell, tellError, clearError, trying } from "./notice.js";
import { drawnAs, here, isDrawn, isPictures, refresh } from "./project.js";
import { inBoth, say } from "./words.js";

const MOST_BYTES = 400_000_000;

export function bringSection(changed) {
  const words = say();
  const file = make("input", { type: "file", id: "file", multiple: true, accept: isPictures() ? "image/*,.zip" : ".csv,.tsv,.xlsx,.jsonl,.txt" });
  const text = make("input", { maxLength: 200 });
  const label = make("input", { maxLength: 200 });
  const log = make("ul", { className: "plain" });
  const send = (files) => sendAll([...files], { text: text.value.trim(), label: label.value.trim() }, log, changed);
  file.addEventListener("change", async () => { await send(file.files); file.value = ""; });
  const columns = isPictures() ? null : make("details", {}, make("summary", {}, words.columns),
    make("p", { className: "line" }, field(words.textColumn, text), field(words.labelColumn, label)));
  const made = section(words.bring, make("p", {}, isDrawn() ? { boxes: words.bringBoxes, masks: words.bringMasks }[drawnAs()] : isPictures() ? words.bringPictures : words.bringTexts),
    make("p", {}, field(words.chooseFile, file)), columns, log);
  made.classList.add("drop");
  made.addEventListener("dragover", (event) => { event.preventDefault(); made.classList.add("over"); });
  made.addEventListener("dragleave", () => made.classList.remove("over"));
  made.addEventListener("drop", (event) => {
    event.preventDefault();
    made.classList.remove("over");
    send(event.dataTransfer.files);
  });
  return made;
}

async function sendAll(files, columns, log, changed) {
  clearError();
  for (const [position, file] of files.entries()) {
    tell(say().sending(file.name, position + 1, files.length));
    if (file.size > MOST_BYTES) {
      tellError({ code: "too-large" });
      continue;
    }
    try {
      const brought = await upload(here(`/import${query({ file: file.name, ...columns })}`), file);
      tell(say().brought(file.name, count(brought.added), count(brought.labelled)));
      log.prepend(entry(file.name, brought, changed));
    } catch (error) {
      tell("");
      tellError(error);
    }
  }
  await refresh();
  changed();
}

function entry(name, brought, changed) {
  const undo = button(say().undoImport, async () => {
    const undone = await trying(() => post(here(`/import/${brought.batch}/undo`)));
    if (!undone) return;
    made.remove();
    tell(say().undone);
    await refresh();
    changed();
  }, { className: "small" });
  const notes = brought.notes.map((note) => make("li", { lang: inBoth(note) === note.en ? "en" : undefined }, inBoth(note)));
  const made = make("li", {}, say().brought(name, count(brought.added), count(brought.labelled)), " ", undo,
    notes.length ? make("ul", { className: "faint" }, notes) : null);
  return made;
}
