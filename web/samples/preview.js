// One component alone, with data made up for it: preview.html?component=league. Without a name, all there are.

import "../theme.js";
import { SAMPLES } from "./samples.js";

const main = document.getElementById("main");
const wanted = new URLSearchParams(location.search).get("component");

async function show(name) {
  const { tag = `pa-${name}`, module = `../panels/${name}.js`, ...properties } = SAMPLES[name]();
  await import(module);
  const element = document.createElement(tag);
  main.append(Object.assign(element, properties));
  document.title = `${name} · Preview · Pullarm`;
}

function list() {
  const items = Object.keys(SAMPLES).map((name) => {
    const link = Object.assign(document.createElement("a"), {
      href: `?component=${name}`,
      textContent: name,
    });
    const item = document.createElement("li");
    item.append(link);
    return item;
  });
  const heading = Object.assign(document.createElement("h1"), { textContent: "Components" });
  const all = document.createElement("ul");
  all.append(...items);
  main.append(heading, all);
}

if (SAMPLES[wanted]) await show(wanted);
else list();
