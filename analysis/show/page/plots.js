"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const plots = read("plots");
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
}

dark.addEventListener("change", draw);
