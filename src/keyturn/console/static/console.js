// What makes the pages live. Everything that is to be read is there without it.

const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const LINE = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
  hourCycle: "h23",
});

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

const ZONE = LINE.resolvedOptions().timeZone;
const IS_UTC = ["UTC", "Etc/UTC", "GMT", "Etc/GMT"].includes(ZONE);

/** Writes moments in the viewer's zone; UTC stays in the title. */
function localTimes(root) {
  for (const each of root.querySelectorAll('time[data-kind="time"]')) {
    const at = new Date(each.dateTime);
    each.textContent = `${TIME.format(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  }
  for (const each of root.querySelectorAll('time[data-kind="full"]')) {
    each.textContent = FULL.format(new Date(each.dateTime));
  }
  for (const each of root.querySelectorAll('time[data-kind="line"]')) {
    each.textContent = LINE.format(new Date(each.dateTime));
  }
  for (const each of root.querySelectorAll("[data-zone]")) {
    each.textContent = IS_UTC ? "Times are in UTC." : `Times are in ${ZONE} unless they say UTC.`;
  }
  for (const each of root.querySelectorAll("[data-utc]")) each.hidden = IS_UTC;
  distances(root);
}

const UNITS = [[86_400, "day"], [3_600, "hour"], [60, "minute"], [1, "second"]];

/** Says how far moments are from now, as the server does (rules/distance.py). */
function distances(root) {
  for (const each of root.querySelectorAll('time[data-kind="distance"]')) {
    const ahead = (new Date(each.dateTime) - Date.now()) / 1000;
    const size = Math.abs(ahead);
    const [unit, name] = UNITS.find(([seconds]) => size >= seconds) ?? UNITS.at(-1);
    const count = Math.floor(size / unit);
    const told = `${count} ${name}${count === 1 ? "" : "s"}`;
    const text = ahead > 0 ? `in ${told}` : `${told} ago`;
    if (each.textContent !== text && !isInUse(each)) each.textContent = text;
  }
}

setInterval(() => { if (!document.hidden) distances(document); }, 5000);

/** Offers to copy what an element holds. */
function copyButtons(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      await navigator.clipboard.writeText(source.value ?? source.textContent);
      const told = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = told; }, 1500);
    });
  }
}

/** Keeps a dangerous button off until the name is typed; the server looks as well. */
function confirmations(root) {
  for (const input of root.querySelectorAll("input[data-confirm]")) {
    const button = input.form.querySelector("button");
    const look = () => { button.disabled = input.value !== input.dataset.confirm; };
    input.addEventListener("input", look);
    look();
  }
}

/** Sends a form of filters while it is filled in, and takes over one element of the page that comes. */
function filters(root) {
  for (const form of root.querySelectorAll("form[data-filters]")) {
    let timer = 0;
    let asked = 0;
    const send = async () => {
      const mine = asked;
      const url = new URL(form.action);
      url.search = new URLSearchParams(new FormData(form)).toString();
      const answer = await fetch(url, { headers: { accept: "text/html" } });
      const html = await answer.text();
      if (mine !== asked) return;
      if (answer.redirected) { location.assign(answer.url); return; }
      const fresh = new DOMParser().parseFromString(html, "text/html").getElementById(form.dataset.filters);
      if (!fresh) { location.assign(url); return; }
      document.getElementById(form.dataset.filters).replaceWith(fresh);
      enhance(fresh);
      // Who does not see the list hears how long it is.
      form.querySelector("[data-found]")?.replaceChildren(fresh.dataset.told ?? "");
      history.replaceState(null, "", url);
    };
    form.addEventListener("input", () => {
      // What is done with the choice waits for what the choice is now.
      if (form.hasAttribute("data-holds")) document.getElementById(form.dataset.filters).inert = true;
      asked += 1;
      clearTimeout(timer);
      timer = setTimeout(() => send().catch(() => form.submit()), 200);
    });
  }
}

/** Shows parts of the page as the server sends them, while somebody looks. */
function live(root) {
  for (const element of root.querySelectorAll("[data-live]")) {
    let source = null;
    let isOver = false;
    const open = () => {
      if (source || isOver || document.hidden) return;
      source = new EventSource(element.dataset.live);
      source.addEventListener("part", (event) => show(JSON.parse(event.data)));
      source.addEventListener("end", (event) => end(JSON.parse(event.data).error));
      // Otherwise it asks again by itself.
      source.addEventListener("error", () => { if (source?.readyState === EventSource.CLOSED) end("The server does not tell what changes."); });
    };
    const end = (error) => {
      isOver = true;
      source.close();
      element.dataset.state = error ? "failed" : "over";
      if (element.hasAttribute("data-reload") && !isBeingFilledIn()) location.reload();
      else if (error) element.after(stopped(error));
    };
    const close = () => { source?.close(); source = null; };
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    addEventListener("pagehide", close);
    addEventListener("pageshow", open);
    open();
  }
}

/** Says that what is shown is not what is by now. */
function stopped(error) {
  const told = document.createElement("p");
  told.className = "warning";
  told.setAttribute("role", "alert");
  told.textContent = `${error} Load the page again to see what has changed.`;
  return told;
}

/** Whether something has been typed here that a reload would throw away. */
function isBeingFilledIn() {
  return [...document.querySelectorAll("input:not([type=hidden]), textarea")].some(
    (each) => each === document.activeElement || (each.type !== "checkbox" && each.type !== "radio" && each.value !== each.defaultValue),
  );
}

/** What has come of a part while somebody had the focus, or text selected, in what it changes. */
const held = new Map();

function show(part) {
  const element = document.getElementById(part.target);
  if (!element) return;
  // Written by the server's templates, which escape everything.
  const made = document.createElement("div");
  made.append(document.createRange().createContextualFragment(part.html));
  enhance(made);
  if (part.added) add(element, made);
  else if (!change(element, made)) held.set(part.target, part);
  else held.delete(part.target);
}

function add(element, made) {
  const frame = element.closest(".lines") ?? element;
  const isAtEnd = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 40;
  // What was sent before, to a page that was hidden since, comes again.
  element.append(...[...made.children].filter((each) => !each.id || !document.getElementById(each.id)));
  if (isAtEnd) frame.scrollTop = frame.scrollHeight;
}

/** Makes an element hold what another one holds, but leaves alone what is alike. Does nothing, and says so, if that would take away what somebody is at. */
function change(element, made) {
  const found = [...differences(element, made)];
  if (found.some(({ there }) => there && isInUse(there))) return false;
  for (const { parent, there, fresh } of found) {
    if (!there) parent.append(fresh);
    else if (fresh) there.replaceWith(fresh);
    else there.remove();
  }
  return true;
}

function* differences(parent, made) {
  const [here, wanted] = [[...parent.childNodes], [...made.childNodes]];
  for (let index = 0; index < Math.max(here.length, wanted.length); index += 1) {
    const [there, fresh] = [here[index], wanted[index]];
    if (there && fresh && there.isEqualNode(fresh)) continue;
    const isSameFrame = there?.nodeType === Node.ELEMENT_NODE && fresh && there.cloneNode().isEqualNode(fresh.cloneNode());
    if (isSameFrame) yield* differences(there, fresh);
    else yield { parent, there, fresh };
  }
}

/** Whether the focus is in it, or selected text. */
function isInUse(node) {
  const selection = getSelection();
  const isSelected = !selection.isCollapsed && selection.getRangeAt(0).intersectsNode(node);
  return isSelected || (document.activeElement !== document.body && node.contains(document.activeElement));
}

/** Catches up on what was held, once somebody is elsewhere. */
function catchUp() {
  for (const part of [...held.values()]) show(part);
}

document.addEventListener("selectionchange", catchUp);
document.addEventListener("focusout", () => setTimeout(catchUp));

/** Sends a form once, however often its button is pressed; one whose answer is a file may be sent again. */
function sentOnce(root) {
  for (const form of root.querySelectorAll('form[method="post"]:not([data-file])')) {
    form.addEventListener("submit", () => { form.inert = true; });
  }
}

addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll('form[method="post"][inert]')) form.inert = false;
});

/** Begins at the end of what grows there, and at what was asked for. */
function places(root) {
  for (const element of root.querySelectorAll("[data-at-end]")) element.scrollTop = element.scrollHeight;
  root.querySelector(".lines .marked")?.scrollIntoView({ block: "center" });
}

/** Writes the column's name on each cell: a narrow screen shows rows as blocks, without the head. */
function cellNames(root) {
  for (const table of root.querySelectorAll("table:not(.month)")) {
    const names = [...(table.tHead?.rows[0].cells ?? [])].map((each) => (each.querySelector(".hidden-text") ? "" : each.textContent.trim()));
    for (const cell of table.querySelectorAll("tbody > tr > *")) {
      cell.dataset.name = names[cell.cellIndex] ?? "";
      cell.classList.toggle("void", !cell.children.length && !cell.textContent.trim());
    }
    table.classList.toggle("named", names.length > 1);
  }
}

/** Closes menus that are left. */
function menus(root) {
  for (const menu of root.querySelectorAll("details.account")) {
    menu.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); }
    });
    document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  }
}

/** Lets a page that was shown once come back without it when it is loaded anew, or come back to. */
function shownOnce(root) {
  if (!root.querySelector("[data-once]")) return;
  history.replaceState(null, "", location.href);
  // A browser may keep the page as it is, for its Back button.
  addEventListener("pagehide", () => { for (const each of document.querySelectorAll("[data-once]")) each.replaceChildren(); });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

/** On a narrow screen the line of places is wider than what is seen of it. */
function showPlace() {
  document.querySelector(".places [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

function enhance(root) {
  shownOnce(root);
  localTimes(root);
  cellNames(root);
  copyButtons(root);
  confirmations(root);
  sentOnce(root);
  filters(root);
  live(root);
  menus(root);
}

enhance(document);
showPlace();
places(document);
