"use strict";

// Curves over lead time: errors of the methods, and the field at one point.

function curveLayout(page, picture, label) {
  const narrow = picture.clientWidth < 560;
  const { allTimes: times, unit } = page.leads;
  const span = times[times.length - 1] || 1;
  return {
    font: FONT,
    margin: { l: 62, r: 12, t: 6, b: 40 },
    hovermode: "x unified",
    hoverlabel: { font: { size: 11 } },
    legend: narrow ? { orientation: "h", x: 0, y: -0.24, yanchor: "top", font: { size: 11 } } : { x: 1.02, y: 1, font: { size: 11.5 } },
    xaxis: {
      title: { text: plain(`lead time${unit ? ` (${unit})` : ""}`), standoff: 4 }, range: [-0.02 * span, 1.02 * span],
      gridcolor: "#eceff3", zeroline: false,
    },
    yaxis: { title: { text: plain(label), standoff: 4 }, gridcolor: "#eceff3", zerolinecolor: "#d9dee5", automargin: true, ...NUMBERS },
    shapes: [marker(page)],
  };
}

/** A line at the lead time that is shown. */
function marker(page) {
  const at = page.leads.times[page.lead];
  return { type: "line", x0: at, x1: at, y0: 0, y1: 1, yref: "paper", line: { color: "#1c2430", width: 1.2, dash: "dot" } };
}

/** Relative L2 error against lead time. */
class ErrorCurves {
  constructor(page, parent, height) {
    this.page = page;
    Object.assign(this, figure(parent, "Error against lead time", height));
    this.picture.dataset.curves = "errors";
  }

  draw() {
    const { page } = this;
    const curves = page.data.curves[page.case.observed];
    const name = page.channels[page.channel].label;
    const all = page.channels.length > 1 ? ` of ${name}` : "";
    this.heading.innerHTML = "<b></b> <span></span>";
    this.heading.children[0].textContent = `Relative L2 error${all} against lead time`;
    this.heading.children[1].textContent = "mean over all forecasts";
    const traces = curves.map((curve) => ({
      type: "scatter", mode: "lines", name: plain(curve.name), x: page.leads.allTimes, y: curve.values[page.channel],
      line: { color: curve.colour, width: curve.ours ? 2.8 : 1.8, dash: curve.ours ? "solid" : "dash" },
      hovertemplate: "%{y:.3g}", visible: curve.name.includes("one member") ? "legendonly" : true,
    }));
    traces.push({
      type: "scatter", mode: "lines", name: "this forecast (mean)", x: page.leads.allTimes, y: page.case.errors[page.channel],
      line: { color: "#000", width: 1.5, dash: "dot" }, hovertemplate: "%{y:.3g}",
    });
    const layout = curveLayout(page, this.picture, "relative L2 error");
    Plotly.react(this.picture, traces, { ...layout, yaxis: { ...layout.yaxis, rangemode: "tozero" } }, CONFIG);
  }

  update() {
    Plotly.relayout(this.picture, { shapes: [marker(this.page)] });
  }
}

/** The field at the chosen point or sensor. */
class Series {
  constructor(page, parent, height) {
    this.page = page;
    Object.assign(this, figure(parent, "At the chosen point", height));
    this.picture.dataset.curves = "series";
  }

  draw() {
    const { page } = this;
    const { times } = page.leads;
    const at = seriesAt(page);
    const { label, unit } = page.channels[page.channel];
    this.heading.innerHTML = "<b></b> <span></span>";
    this.heading.children[0].textContent = `${label} at ${at.name}`;
    this.heading.children[1].textContent = "click a point or a sensor for others";
    const read = page.sensors.times.map((time) => time * page.leads.factor);
    const traces = [];
    const curve = (name, y, look) => traces.push({ type: "scatter", mode: "lines", name, x: times, y, hovertemplate: `%{y:${page.format}}`, ...look });
    at.members.forEach((y, k) =>
      curve("members", y, { line: { color: "#8ab8d8", width: 0.8 }, hoverinfo: "skip", hovertemplate: null, showlegend: k === 0, legendgroup: "members" }),
    );
    if (at.low) {
      curve("5 %", at.low, { line: { width: 0 }, showlegend: false });
      curve("90 % interval", at.high, { line: { width: 0 }, fill: "tonexty", fillcolor: BAND });
    }
    curve("mean", at.mean, { line: { color: OURS, width: 2.4 } });
    if (at.member) curve(`member ${page.member + 1}`, at.member, { line: { color: "#56b4e9", width: 2, dash: "dash" } });
    if (at.truth) curve("truth", at.truth, { line: { color: "#000", width: 1.8 } });
    if (at.readings) {
      traces.push({
        type: "scatter", mode: "markers", name: "reading", x: read, y: at.readings, hovertemplate: `%{y:${page.format}}`,
        marker: { size: 8, color: "#fff", line: { color: "#000", width: 1.5 } },
      });
    }
    const layout = curveLayout(page, this.picture, unit ? `${label} (${unit})` : label);
    const first = at.readings ? Math.min(0, ...read) : 0;
    const span = times[times.length - 1] - first || 1;
    layout.xaxis.range = [first - 0.02 * span, times[times.length - 1] + 0.02 * span];
    Plotly.react(this.picture, traces, layout, CONFIG);
  }

  update() {
    Plotly.relayout(this.picture, { shapes: [marker(this.page)] });
  }
}
