// Cards are accepted or rejected by keys or buttons, and undone; what was decided is kept for the next opening of the
// page, where the browser lets it, and saved to files.
const units = [...document.querySelectorAll("li > figure")];
const idsOf = units.map((unit) => JSON.parse(unit.dataset.ids));
const headings = units.map((unit) => unit.closest("ol").dataset.heading);
const keys = units.map((_, index) => {
  const { score, ...others } = idsOf[index];  // a score may change in its last digits
  const names = Object.keys(others).length ? others : { rank: units[index].querySelector(".rank").textContent };
  return JSON.stringify([headings[index], names]);
});
const place = "blip-udfs review " + document.body.dataset.kept;
const toolbar = document.querySelector(".review");
const COLUMNS = ["sequence_id", "frame_id", "camera", "since", "until", "score", "image"];
let verdicts = {}, done = [], now = 0, isKept = true;

function recall() {
  try {
    ({ verdicts = {}, done = [] } = JSON.parse(localStorage.getItem(place)) ?? {});
  } catch { isKept = false; }  // a sandbox has no storage
}

function keep() {
  try {
    localStorage.setItem(place, JSON.stringify({ verdicts, done }));
  } catch { isKept = false; }
}

const verdictOf = (index) => verdicts[keys[index]] ?? "open";
const count = (verdict) => units.filter((_, index) => verdictOf(index) === verdict).length;

function pressed(root, verdict) {
  root.querySelector(".accept").setAttribute("aria-pressed", String(verdict === "accepted"));
  root.querySelector(".reject").setAttribute("aria-pressed", String(verdict === "rejected"));
}

function paint() {
  const asked = toolbar.querySelector(".filter").value;
  units.forEach((unit, index) => {
    const verdict = verdictOf(index);
    unit.dataset.verdict = verdict;
    unit.setAttribute("aria-current", String(index === now));
    unit.parentElement.hidden = asked !== "" && asked !== verdict;
    pressed(unit, verdict);
  });
  const accepted = count("accepted"), rejected = count("rejected"), reviewed = accepted + rejected;
  toolbar.querySelector("progress").max = units.length;
  toolbar.querySelector("progress").value = reviewed;
  const words = `${reviewed} of ${units.length} reviewed: ${accepted} accepted, ${rejected} rejected`;
  toolbar.querySelector(".progress").textContent = words + (isKept ? "" : "; save before you leave, nothing is kept here");
  part("progress").textContent = `${reviewed}/${units.length}`;
  toolbar.querySelector(".undo").disabled = !done.length;
  toolbar.querySelectorAll(".save").forEach((each) => {
    each.disabled = each.dataset.what === "all" ? !reviewed : !accepted;
    if (each.dataset.what === "list") each.hidden = !idsOf.some((ids) => ids.sequence_id);
  });
  if (view.open) pressed(view, verdictOf(now));
}

// The card becomes the one that keys mean: on the page, or whole where the whole picture is open
function go(index) {
  now = index;
  paint();
  const unit = units[now];
  if (view.open && figures.includes(unit)) return show(figures.indexOf(unit));
  if (view.open) {
    leavingFor = index;
    return view.close();
  }
  (unit.querySelector(".shot") ?? unit).focus({ preventScroll: true });
  unit.scrollIntoView({ block: "nearest" });
}

// The next card without a verdict, behind this one or from the beginning; without one the card itself
function nextOpen(from) {
  const order = [...units.keys()].map((step) => round(from + 1 + step, units.length));
  return order.find((index) => verdictOf(index) === "open") ?? from;
}

function judge(index, verdict) {
  if (verdictOf(index) !== verdict) {
    done.push([keys[index], verdicts[keys[index]] ?? null]);
    verdicts[keys[index]] = verdict;
    keep();
  }
  go(nextOpen(index));
}

function undo() {
  const last = done.pop();
  if (!last) return;
  const [key, before] = last;
  if (before) verdicts[key] = before;
  else delete verdicts[key];
  keep();
  if (keys.includes(key)) go(keys.indexOf(key));
  else paint();  // of a row that this page no longer has
}

const cell = (value) => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;

function csv(indices) {
  const names = COLUMNS.filter((name) => indices.some((index) => idsOf[index][name] !== undefined));
  const head = ["verdict", "query", "rank", ...names];
  const lines = indices.map((index) => [
    verdictOf(index), headings[index], units[index].querySelector(".rank").textContent,
    ...names.map((name) => idsOf[index][name] ?? ""),
  ]);
  return [head, ...lines].map((line) => line.map(cell).join(",") + "\r\n").join("");
}

// As the devkit's ImageSets/<split>.txt: a sequence a line
function list(indices) {
  return [...new Set(indices.map((index) => idsOf[index].sequence_id).filter(Boolean))].sort()
    .map((each) => each + "\n").join("");
}

function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function save(what) {
  const chosen = [...units.keys()].filter((index) => verdictOf(index) === "accepted");
  const judged = [...units.keys()].filter((index) => verdictOf(index) !== "open");
  const name = (document.title.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ["blip"]).join("-").slice(0, 60);
  if (what === "list") download(`${name}.txt`, list(chosen), "text/plain");
  else if (what === "csv") download(`${name}-accepted.csv`, csv(chosen), "text/csv");
  else download(`${name}-verdicts.csv`, csv(judged), "text/csv");
}

function byKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input")) return;
  const means = {
    a: () => judge(now, "accepted"), r: () => judge(now, "rejected"), u: undo,
    ArrowRight: () => go(neighbour(units, now, 1)), ArrowLeft: () => go(neighbour(units, now, -1)),
    j: () => go(neighbour(units, now, 1)), k: () => go(neighbour(units, now, -1)),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!means || event.defaultPrevented) return;  // the whole picture has arrows of its own
  event.preventDefault();
  means();
}

if (toolbar) {
  recall();
  now = nextOpen(-1 + units.length);
  units.forEach((unit, index) => {
    unit.addEventListener("focusin", () => { if (now !== index) { now = index; paint(); } });
    unit.querySelector(".accept").addEventListener("click", () => judge(index, "accepted"));
    unit.querySelector(".reject").addEventListener("click", () => judge(index, "rejected"));
  });
  part("accept").addEventListener("click", () => judge(now, "accepted"));
  part("reject").addEventListener("click", () => judge(now, "rejected"));
  view.addEventListener("shown", () => { now = units.indexOf(figures[at]); paint(); pressed(view, verdictOf(now)); });
  toolbar.querySelector(".undo").addEventListener("click", undo);
  toolbar.querySelector(".filter").addEventListener("change", paint);
  toolbar.querySelectorAll(".save").forEach((each) => each.addEventListener("click", () => save(each.dataset.what)));
  document.addEventListener("keydown", byKey);
  paint();
}
