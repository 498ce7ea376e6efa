// On paper nothing is folded.
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details:not([open])")) {
    each.open = true;
    each.dataset.folded = "";
  }
});
addEventListener("afterprint", () => {
  for (const each of document.querySelectorAll("details[data-folded]")) {
    each.open = false;
    delete each.dataset.folded;
  }
});
// Models need a server; who has opened the book as a file is told how to get one.
if (location.protocol === "file:") for (const each of document.querySelectorAll(".as-file")) each.hidden = false;
