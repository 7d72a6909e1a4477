// Everything works without this: it puts answers in place of a part of the page, asks before changes, and shows live figures.
"use strict";

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.dataset.ask && !window.confirm(form.dataset.ask)) {
    event.preventDefault();
    return;
  }
  const place = form.dataset.into && document.getElementById(form.dataset.into);
  if (!place) return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form, event.submitter));
  place.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, { method: "POST", body: fields, headers: { "x-fragment": "1" } });
    place.innerHTML = await answer.text(); // made by our own templates, which escape everything
  } catch {
    // Not sent a second time: it may have arrived.
    place.prepend(Object.assign(document.createElement("p"), {
      className: "failed", role: "alert", textContent: "The console does not answer; `mmrec status` says whether it runs.",
    }));
  } finally {
    place.removeAttribute("aria-busy");
  }
});

const figures = document.getElementById("figures");
if (figures) {
  const age = document.getElementById("live-age");
  let seen = Date.now();
  const live = new EventSource("/live");
  live.onmessage = (message) => {
    const told = JSON.parse(message.data);
    if (told.failed) return;
    seen = Date.now();
    for (const [name, value] of Object.entries(told.figures)) {
      const row = figures.querySelector(`[data-figure="${CSS.escape(name)}"] bdi`);
      if (row && row.textContent !== value) row.textContent = value;
    }
  };
  setInterval(() => {
    age.textContent = `Figures are live, ${Math.round((Date.now() - seen) / 1000)} s old.`;
  }, 1000);
}
