// Renews the figures in place while the page is visible; the form is left alone.
"use strict";

const PERIOD = 5000; // milliseconds: the server takes a sample as often

async function renew() {
  const figures = document.getElementById("figures");
  try {
    const response = await fetch("./", { cache: "no-store" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    figures.replaceWith(page.getElementById("figures"));
    document.title = page.title;
    document.body.classList.remove("away");
  } catch {
    document.body.classList.add("away"); // the server has ended: what is shown is old
  }
}

setInterval(() => {
  if (!document.hidden) renew();
}, PERIOD);
