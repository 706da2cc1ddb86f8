// What makes the pages live. Everything that is to be read is there without it.

const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const LINE = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
  hourCycle: "h23",
});

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

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
}

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
      source.addEventListener("end", (event) => {
        isOver = true;
        source.close();
        const { error } = JSON.parse(event.data);
        element.dataset.state = error ? "failed" : "over";
        if (element.hasAttribute("data-reload") && !isBeingFilledIn()) location.reload();
      });
    };
    const close = () => { source?.close(); source = null; };
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    addEventListener("pagehide", close);
    open();
  }
}

/** Whether something has been typed here that a reload would throw away. */
function isBeingFilledIn() {
  return [...document.querySelectorAll("input:not([type=hidden]), textarea")].some(
    (each) => each === document.activeElement || (each.type !== "checkbox" && each.type !== "radio" && each.value !== each.defaultValue),
  );
}

function show({ target, html, added }) {
  const element = document.getElementById(target);
  if (!element) return;
  // Written by the server's templates, which escape everything.
  const fresh = document.createRange().createContextualFragment(html);
  const frame = element.closest(".lines") ?? element;
  const isAtEnd = frame.scrollHeight - frame.scrollTop - frame.clientHeight < 40;
  const made = document.createElement("div");
  made.append(fresh);
  enhance(made);
  // What was sent before, to a page that was hidden since, comes again.
  if (added) element.append(...[...made.children].filter((each) => !each.id || !document.getElementById(each.id)));
  else element.replaceChildren(...made.childNodes);
  if (added && isAtEnd) frame.scrollTop = frame.scrollHeight;
}

/** Begins at the end of what grows there, and at what was asked for. */
function places(root) {
  for (const element of root.querySelectorAll("[data-at-end]")) element.scrollTop = element.scrollHeight;
  root.querySelector(".lines .marked")?.scrollIntoView({ block: "center" });
}

/** Writes the column's name on each cell: a narrow screen shows rows as blocks, without the head. */
function cellNames(root) {
  for (const table of root.querySelectorAll("table:not(.month)")) {
    const names = [...(table.tHead?.rows[0].cells ?? [])].map((each) => each.textContent.trim());
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

/** Lets a page that was shown once come back without it when it is loaded anew. */
function shownOnce(root) {
  if (root.querySelector("[data-once]")) history.replaceState(null, "", location.href);
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
  filters(root);
  live(root);
  menus(root);
}

enhance(document);
showPlace();
places(document);
