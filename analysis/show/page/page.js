const layers = read("histogram-data");

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
dark.addEventListener("change", compare);
filter();
draw();
compare();
