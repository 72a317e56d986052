"use strict";
// A click on a picture shows it whole; left and right go through the cards, up and down through a card's own pictures,
// Escape leaves.
const figures = [...document.querySelectorAll("figure.whole")];
const view = document.querySelector("dialog");
const part = (name) => view.querySelector("." + name);
const shots = (figure) => [...figure.querySelectorAll(".shot")];
const best = (figure) => Math.max(0, shots(figure).findIndex((each) => each.classList.contains("best")));
const round = (index, count) => (index + count) % count;
let at = 0, shot = 0, leavingFor = null;

// the nearest card in that direction that the filter shows
function neighbour(list, from, step) {
  for (let tried = 1; tried <= list.length; tried++) {
    const index = round(from + (step * tried) % list.length, list.length);
    if (!list[index].parentElement.hidden) return index;
  }
  return from;
}

function show(index, picture = best(figures[index])) {
  at = index;
  const figure = figures[at], own = shots(figure);
  shot = round(picture, own.length);
  const image = own[shot].querySelector("img");
  part("full").src = image.src;
  part("full").alt = image.alt;
  part("rank").textContent = figure.querySelector(".rank").textContent;
  part("score").textContent = figure.querySelector(".score")?.textContent ?? "";
  part("which").textContent = own[shot].dataset.label;
  part("facts").replaceChildren(...figure.querySelector("figcaption").cloneNode(true).children);
  part("file").hidden = !figure.dataset.file;
  part("file").href = figure.dataset.file || "#";
  const frames = own.length > 1 ? own.map((each) => each.cloneNode(true)) : [];
  frames.forEach((each, place) => {
    each.setAttribute("aria-current", String(place === shot));
    each.addEventListener("click", () => show(at, place));
  });
  part("frames").replaceChildren(...frames);
  frames[shot]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  view.dispatchEvent(new Event("shown"));
  if (!view.open) view.showModal();
}

figures.forEach((figure, index) => shots(figure).forEach((each, place) =>
  each.addEventListener("click", () => show(index, place))));
part("before").addEventListener("click", () => show(neighbour(figures, at, -1)));
part("after").addEventListener("click", () => show(neighbour(figures, at, 1)));
part("close").addEventListener("click", () => view.close());
view.addEventListener("click", (event) => { if (event.target === view) view.close(); });
view.addEventListener("close", () => {  // the browser has given the focus back to where it was before
  const index = leavingFor ?? units.indexOf(figures[at]);
  leavingFor = null;
  go(index);
});
view.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const cards = {
    ArrowLeft: () => neighbour(figures, at, -1), ArrowRight: () => neighbour(figures, at, 1),
    Home: () => neighbour(figures, -1, 1), End: () => neighbour(figures, 0, -1),
  };
  const own = { ArrowUp: shot - 1, ArrowDown: shot + 1 }[event.key];
  if (own === undefined && !cards[event.key]) return;
  event.preventDefault();
  if (own === undefined) show(cards[event.key]());
  else show(at, own);
});
