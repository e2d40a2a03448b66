// Keeps a part of the page fresh that asks for it: `data-live` says after how many seconds. The page is
// fetched again and its new part takes the old one's place. Without this script a reload does the same.
"use strict";
(() => {
  const part = () => document.querySelector("[data-live]");
  const wait = () => part() && setTimeout(look, 1000 * part().dataset.live);

  const look = async () => {
    // Nobody looks, or somebody is at work in it: later.
    if (document.hidden || part().contains(document.activeElement)) return wait();
    try {
      const response = await fetch(location.href);
      if (response.redirected) return location.assign(response.url);
      if (response.ok) {
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        const fresh = page.querySelector("[data-live]");
        // It has come to its end, and the rest of the page with it.
        if (!fresh) return location.reload();
        for (const open of part().querySelectorAll("details[open]")) {
          fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
        }
        part().replaceWith(fresh);
      }
    } catch {
      // The server is away for a moment: what stands there says how old it is.
    }
    wait();
  };

  wait();
})();
