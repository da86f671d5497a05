// A button that fetches a file and hands it over.
import { blob } from "./api.js";
import { button, make } from "./dom.js";
import { tell, trying } from "./notice.js";
import { here } from "./project.js";
import { say } from "./words.js";

export function download(text, path, name, properties = {}) {
  const press = button(text, async () => {
    press.disabled = true;
    tell(say().moment);
    const content = await trying(() => blob(here(path())));
    press.disabled = false;
    tell("");
    if (content) save(content, name);
  }, properties);
  return press;
}

function save(content, name) {
  const link = make("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
