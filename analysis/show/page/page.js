"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const plots = read("plots"), layers = read("histogram-data");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const options = { responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtonsToRemove: ["select2d", "lasso2d"] };

// Plotly knows nothing of the page's colours
function themed(layout) {
  const ink = dark.matches ? "#e6e6e6" : "#1a1a1a", grid = dark.matches ? "#3a3a3a" : "#ddd";
  const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
  const axis = (key) => ({ ...layout[key], gridcolor: grid, zerolinecolor: grid, linecolor: grid });
  return {
    ...layout, template: undefined, paper_bgcolor: layout.meta && layout.meta.opaque ? (dark.matches ? "#141414" : "#ffffff") : "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink },
    ...Object.fromEntries([...new Set([...axes, "xaxis", "yaxis"])].map((key) => [key, axis(key)])),
  };
}

function draw() {
  for (const place of document.querySelectorAll("[data-plot]")) {
    const { data, layout } = plots[place.dataset.plot];
    const about = layout.meta || {}, named = layout.showlegend === false ? 0 : data.length;
    if (about.min_width) place.style.minWidth = `${about.min_width}px`; // the frame around it scrolls
    const lines = named > 3 ? Math.ceil(named / Math.max(1, Math.floor(place.clientWidth / 380))) : 0;
    const height = about.height || (layout.showlegend === false ? 320 : 420 + 20 * lines);
    place.style.height = `${Math.min(height, 2600)}px`; // the legend takes room below, the picture keeps its own
    const small = place.clientWidth < 500 ? { font: { size: 9 } } : {};
    Plotly.react(place, data, themed({ ...layout, legend: { ...layout.legend, ...small } }), options);
    const frame = place.parentElement;
    frame.parentElement.classList.toggle("more", frame.scrollWidth > frame.clientWidth + 1);
  }
  compare();
}

// One legend for all curves
function show(numbers, on) {
  for (const place of document.querySelectorAll(".panels [data-plot]")) {
    const { data } = plots[place.dataset.plot];
    const traces = data.flatMap((trace, index) => (numbers.includes(trace.meta) ? [index] : []));
    for (const index of traces) data[index].visible = on;
    Plotly.restyle(place, { visible: on }, traces);
  }
}

function fill(select, names, chosen) {
  select.replaceChildren(...names.map((name) => new Option(name.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&"), name)));
  select.value = names[Math.min(chosen, names.length - 1)];
}

function compare() {
  const layer = document.getElementById("layer");
  if (!layer) return;
  const { y, runs } = layers[layer.value];
  const top = Math.max(...Object.values(runs).flatMap((run) => run.z.flat()));
  for (const side of ["left", "right"]) {
    const select = document.getElementById(side), run = runs[select.value];
    const place = document.getElementById(`${side}-plot`);
    const heat = run ? [{ type: "heatmap", x: run.x, y, z: run.z, zmin: 0, zmax: top, colorscale: "Cividis", colorbar: { title: { text: "share" } } }] : [];
    const layout = { xaxis: { title: { text: "epoch" }, type: "category", nticks: 12 }, yaxis: { title: { text: layer.value } }, margin: { l: 70, r: 10, t: 10, b: 45 } };
    Plotly.react(place, heat, themed(layout), options);
  }
}

const table = document.querySelector("table"), body = table.tBodies[0];
const rows = [...body.rows], heads = [...table.tHead.rows[0].cells];

function sortBy(column) {
  const falls = heads[column].getAttribute("aria-sort");
  const numeric = heads[column].classList.contains("number");
  const up = falls === "none" ? !numeric : falls === "descending";
  heads.forEach((head, index) => head.setAttribute("aria-sort", index !== column ? "none" : up ? "ascending" : "descending"));
  const key = (row) => row.cells[column].dataset.key;
  const order = (a, b) => numeric ? Number(a) - Number(b) : a.localeCompare(b);
  rows.sort((a, b) => {
    if (!key(a) || !key(b)) return (key(a) ? 0 : 1) - (key(b) ? 0 : 1); // what has no value comes last
    return up ? order(key(a), key(b)) : order(key(b), key(a));
  });
  body.append(...rows);
}

function filter() {
  const words = document.getElementById("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  document.getElementById("count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
}

heads.forEach((head, index) => head.querySelector("button").addEventListener("click", () => sortBy(index)));
document.getElementById("filter").addEventListener("input", filter);
const boxes = [...document.querySelectorAll("[data-config]")];
for (const box of boxes) box.addEventListener("change", () => show([Number(box.dataset.config)], box.checked));
for (const button of document.querySelectorAll("[data-all]")) {
  button.addEventListener("click", () => {
    for (const box of boxes) box.checked = button.dataset.all === "1";
    show(boxes.map((box) => Number(box.dataset.config)), button.dataset.all === "1");
  });
}
if (document.getElementById("layer")) {
  const names = [...new Set(Object.values(layers).flatMap((one) => Object.keys(one.runs)))];
  fill(document.getElementById("layer"), Object.keys(layers).sort().reverse(), 0); // weights before gradients
  fill(document.getElementById("left"), names, 0);
  fill(document.getElementById("right"), names, 1);
  for (const id of ["layer", "left", "right"]) document.getElementById(id).addEventListener("change", compare);
}
dark.addEventListener("change", draw);
filter();
draw();
