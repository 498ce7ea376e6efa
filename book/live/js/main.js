// Finds the demo of a page and puts it in place of the note that stands there without JavaScript.
for (const root of document.querySelectorAll(".live[data-demo]")) {
  const { default: begin } = await import(`./${root.dataset.demo}.js`);
  begin(root);
}
