// Keyboard shortcuts: `/` searches, `g` and a letter jumps, `?` helps. Pages work without this script.
"use strict";
(() => {
  let armed = 0;
  const isTyping = (it) => it.closest("input, textarea, select, [contenteditable]");

  const search = (event) => {
    const field = document.getElementById("text");
    event.preventDefault();
    if (field) field.focus();
    else location.href = "/console/requests#text";
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const help = document.getElementById("help");
    if (event.key === "?" && help) {
      event.preventDefault();
      if (help.open) help.close();
      else help.showModal();
      return;
    }
    if (help && help.open) return;
    if (event.key === "/") return search(event);
    if (event.key === "g") {
      armed = event.timeStamp;
      return;
    }
    if (armed && event.timeStamp - armed < 1500) {
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) link.click();
    }
    armed = 0;
  });

  if (location.hash === "#text") document.getElementById("text")?.focus();
})();
