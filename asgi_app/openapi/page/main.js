/** The page /docs: loads the document, and shows the view that the address names. */

import { Document } from "./document.js";
import { el } from "./dom.js";
import { askForKey } from "./keys.js";
import { operationLink, partsOf } from "./links.js";
import { Menu } from "./menu.js";
import { OperationView } from "./operation.js";
import { overview, resourceView } from "./overview.js";
import { base, keyFor, send, setKey } from "./service.js";

const KEPT_VIEWS = 30;
const TITLE = "The service's API key or token.";
const WAYS = [
  { purpose: "document", title: TITLE, header: "X-API-Key", prefix: "", variable: "API_KEY" },
  { purpose: "document", title: TITLE, header: "Authorization", prefix: "Bearer ", variable: "API_KEY" },
];

const main = document.getElementById("main");
const menuPlace = document.getElementById("menu");
const fold = document.getElementById("fold");
const narrow = matchMedia("(max-width: 60rem)");

let shown = null; // the document and its menu, and the views of operations that keep what was entered in them

/** Load the document, ask for a key as long as the service wants one, and show it. */
async function load() {
  try {
    const loaded = await fetchDocument();
    if (!loaded) return;
    const { raw, access } = loaded;
    const described = new Document(raw, access);
    handOver(described, access);
    shown = { described, menu: new Menu(described), views: new Map() };
    menuPlace.replaceChildren(...shown.menu.element);
    document.getElementById("title").textContent = raw.info.title;
    document.getElementById("keys").hidden = !mainCredential();
    show();
  } catch (error) {
    fail(error.message);
  }
}

/** Return the document and the credential it was had with, or null if the user gives no key. */
async function fetchDocument() {
  let message = "";
  let response = await get(null);
  let access = null;
  while (response.status === 401 || (response.status === 403 && access)) {
    if (keyFor("document")) message = (await response.json().catch(() => ({}))).detail ?? "This key is not accepted.";
    if (!(await askForKey(WAYS[0], message))) {
      fail("The description of this service needs a key.");
      return null;
    }
    for (const way of WAYS) {
      access = way;
      response = await get(way);
      if (response.status !== 401) break;
    }
  }
  if (!response.ok) throw new Error(`openapi.json: ${response.status} ${response.statusText}`);
  return { raw: await response.json(), access };
}

const get = (credential) => send({ method: "GET", url: new URL("openapi.json", base).href, credential });

/** Use the key that the document was had with for its operations too. */
function handOver(described, access) {
  const first = mainCredential(described);
  if (access && first && !keyFor(first.purpose)) setKey(first.purpose, keyFor(access.purpose));
}

const mainCredential = (described = shown.described) => [...described.credentials.values()][0] ?? described.access;

function fail(message) {
  const again = el("button", { type: "button", class: "primary", click: load }, "Try again");
  main.replaceChildren(el("article", {}, el("h1", { tabindex: -1 }, "No description"), el("p", {}, message), again));
}

/** Show the view that the address names. */
function show() {
  if (!shown) return;
  const { described, menu } = shown;
  const [kind, name] = partsOf(location.hash);
  const operation = kind === "operation" ? described.operations.get(name) : undefined;
  const resource = kind === "resource" ? described.resources.get(name) : undefined;
  menu.mark(operation?.resource ?? resource?.name, operation?.id);
  const found = operation ? viewOf(operation).element : resource && resourceView(resource);
  main.replaceChildren(found ?? (kind ? unknown(kind, name) : overview(described)));
  const heading = main.querySelector("h1");
  document.title = kind ? `${heading.textContent} · ${described.raw.info.title}` : described.raw.info.title;
  fold.open = !narrow.matches;
  scrollTo(0, 0);
}

const unknown = (kind, name) =>
  el("article", {}, el("h1", { tabindex: -1 }, `No such ${kind}`), el("p", {}, `This service has no ${kind} `, el("code", {}, name), "."));

/** Return the view of an operation: the one from before, if the user comes back to it. */
function viewOf(operation) {
  const { described, views } = shown;
  const view = views.get(operation.id) ?? new OperationView(described, operation, { open, askForKey });
  views.delete(operation.id);
  views.set(operation.id, view);
  if (views.size > KEPT_VIEWS) views.delete(views.keys().next().value);
  return view;
}

/** Show an operation with values for its parameters. */
function open(operation, values) {
  viewOf(operation).fill(values);
  location.hash = operationLink(operation.id);
}

addEventListener("hashchange", () => {
  show();
  main.querySelector("h1")?.focus();
});
narrow.addEventListener("change", () => (fold.open = !narrow.matches));
document.getElementById("keys").addEventListener("click", () => askForKey(mainCredential()));
document.getElementById("refresh").addEventListener("click", load);
load();
