"use strict";
// Forms with data-swap: the answer takes the place of the element of that id; without this script they load a page.
document.addEventListener("submit", async (event) => {
  const form = event.target;
  const place = form.dataset.swap && document.getElementById(form.dataset.swap);
  if (!place || place.dataset.busy) {
    if (place) event.preventDefault();
    return;
  }
  event.preventDefault();
  const said = document.getElementById("said");
  const body = new URLSearchParams(new FormData(form));
  if (event.submitter && event.submitter.name) body.set(event.submitter.name, event.submitter.value);
  place.dataset.busy = "1";
  place.setAttribute("aria-busy", "true");
  said.textContent = "Sent; asking for the list until it changes …";
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { "x-fragment": "1" } });
    const made = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = made.getElementById(place.id);
    if (part) {
      place.replaceWith(document.adoptNode(part));
      const first = part.querySelector("[data-focus]");
      if (first) first.focus();
      said.textContent = "";
    } else {
      said.textContent = made.body.textContent.trim();
    }
  } catch (error) {
    said.textContent = "The console does not answer. Is it still running? `mmrec status` says so.";
  } finally {
    delete place.dataset.busy;
    place.removeAttribute("aria-busy");
  }
});

// Values that are pushed.
const live = document.querySelector("[data-live]");
if (live) {
  const source = new EventSource(live.dataset.live);
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    live.textContent = told.failed ? `· ${told.failed}` : `· live, ${new Date().toLocaleTimeString()}`;
    for (const cell of document.querySelectorAll("[data-figure]")) {
      const value = (told.figures || {})[cell.dataset.figure];
      if (value !== undefined) cell.textContent = value;
    }
  };
  source.onerror = () => { live.textContent = "· not live: the console does not answer"; };
}
