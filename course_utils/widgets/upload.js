// A file in numbered parts: JupyterLab's connection to the kernel drops messages above 10 MB without a word.

const PART = 1 << 20;

export default {
  render({ model, el }) {
    const root = document.createElement("div");
    root.className = "course-widget upload";
    root.innerHTML = `
      <div class="row">
        <button class="main" type="button">Choose a file</button>
        <span class="note" role="status">wav, flac, ogg, opus, mp3 or aiff</span>
        <input type="file" accept="audio/*,.wav,.flac,.ogg,.opus,.mp3,.aiff" hidden aria-label="Sound file">
      </div>`;
    const [button, note, input] = ["button", ".note", "input"].map((selector) => root.querySelector(selector));
    el.appendChild(root);

    button.onclick = () => input.click();
    input.onchange = async () => {
      const file = input.files[0];
      input.value = ""; // the same file may be chosen again
      if (!file) return;
      const id = `${Date.now()}.${Math.random()}`;
      const parts = Math.max(1, Math.ceil(file.size / PART));
      note.textContent = file.name;
      if (file.size > model.get("max_bytes")) {
        model.send({ kind: "refused", name: file.name, size: file.size });
        return;
      }
      button.disabled = true;
      try {
        for (let index = 0; index < parts; index++) {
          const bytes = await file.slice(index * PART, (index + 1) * PART).arrayBuffer();
          model.send({ kind: "part", id, name: file.name, index, parts }, undefined, [bytes]);
        }
      } catch (error) {
        note.textContent = `${file.name} can not be read: ${error.message}`;
      }
      button.disabled = false;
    };
  },
};
