// Shows openapi.json to people: routes with an example to copy, and schemas. Everything is set as text.
"use strict";

const at = (id) => document.getElementById(id);

function element(tag, text, ...children) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

const nameOf = (schema) => schema.$ref.split("/").pop();

function typeOf(schema) {
  if (!schema) return "";
  if (schema.$ref) return nameOf(schema);
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  if (schema.type === "object" && schema.additionalProperties) return `object of ${typeOf(schema.additionalProperties) || "anything"}`;
  return schema.type || "anything";
}

function limitsOf(schema) {
  const limits = [];
  const inner = schema.items || {};
  if (schema.maxItems) limits.push(`at most ${schema.maxItems}`);
  if (schema.maxLength || inner.maxLength) limits.push(`at most ${schema.maxLength || inner.maxLength} characters each`);
  return [schema.description, ...limits].filter(Boolean).join(" ");
}

function table(rows) {
  const body = element("tbody");
  for (const [head, ...cells] of rows) {
    body.append(element("tr", "", element("th", head), ...cells.map((cell) => element("td", cell))));
  }
  return element("table", "", body);
}

function contentOf(holder) {
  return Object.values((holder && holder.content) || {})[0]?.schema;
}

function route(path, method, operation, schemas) {
  const made = element("details", "", element("summary", "", element("code", `${method.toUpperCase()} ${path}`)));
  made.firstChild.append(` ${operation.description || operation.summary || ""}`);
  const body = contentOf(operation.requestBody);
  const start = [`curl ${location.origin}${path}`];
  if (operation.security) start.push("-H 'Authorization: Bearer TOKEN'");
  if (!body) made.append(command(start));
  for (const fits of body?.anyOf ?? (body ? [body] : [])) {
    const example = (schemas[nameOf(fits)].examples || [{}])[0];
    made.append(command([...start, "-H 'Content-Type: application/json'", `-d '${JSON.stringify(example)}'`]));
  }
  if (operation.requestBody?.content["multipart/form-data"]) made.append(command([...start, "-F inputs=@picture.jpg"]));
  const answers = Object.entries(operation.responses).map(([status, answer]) => [
    status, typeOf(contentOf(answer)), answer.description,
  ]);
  if (body) answers.unshift(["body", typeOf(body), ""]);
  made.append(table(answers));
  return made;
}

function command(lines) {
  const pre = element("pre", lines.join(" \\\n  "));
  pre.tabIndex = 0;
  return pre;
}

function schemaCard(name, schema) {
  const wanted = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([field, inner]) => [
    field, typeOf(inner) + (wanted.has(field) ? "" : " (optional)"), limitsOf(inner),
  ]);
  const made = element("details", "", element("summary", "", element("code", name), ` ${schema.description || ""}`), table(rows));
  return made;
}

async function show() {
  const api = await (await fetch("openapi.json")).json();
  const schemas = api.components.schemas;
  at("about").textContent = api.info.description.replaceAll("`", "");
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) at("routes").append(route(path, method, operation, schemas));
  }
  for (const [name, schema] of Object.entries(schemas)) at("schemas").append(schemaCard(name, schema));
}

show();
