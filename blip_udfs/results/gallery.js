"use strict";
// A click on a picture shows it whole; arrow keys go through the ranks, Escape leaves.
const figures = [...document.querySelectorAll("figure.whole")];
const view = document.querySelector("dialog");
const part = (name) => view.querySelector("." + name);
let at = 0;

function show(index) {
  at = (index + figures.length) % figures.length;
  const figure = figures[at], picture = figure.querySelector("img");
  part("full").src = picture.src;
  part("full").alt = picture.alt;
  part("rank").textContent = figure.querySelector(".rank").textContent;
  part("score").textContent = figure.querySelector(".score")?.textContent ?? "";
  part("facts").replaceChildren(...figure.querySelector("figcaption").cloneNode(true).children);
  part("file").hidden = !figure.dataset.file;
  part("file").href = figure.dataset.file || "#";
  if (!view.open) view.showModal();
}

figures.forEach((figure, index) => figure.querySelector("button").addEventListener("click", () => show(index)));
part("before").addEventListener("click", () => show(at - 1));
part("after").addEventListener("click", () => show(at + 1));
part("close").addEventListener("click", () => view.close());
view.addEventListener("click", (event) => { if (event.target === view) view.close(); });
view.addEventListener("close", () => figures[at].querySelector("button").focus());
view.addEventListener("keydown", (event) => {
  const target = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: figures.length - 1 }[event.key];
  if (target === undefined) return;
  event.preventDefault();
  show(target);
});
