"use strict";

// Pictures of one quantity in space, all with the same axes, sensors and marks.

const FONT = { family: 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif', size: 12, color: "#1c2430" };
const CONFIG = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
const CONFIG_3D = { ...CONFIG, modeBarButtons: [["toImage", "resetCameraDefault3d"]] };
const OURS = "#0072b2";
const ERROR = "#d55e00";
const BAND = "rgba(0,114,178,0.18)";
const AROUND = "rgba(213,94,0,0.15)";
const NUMBERS = { exponentformat: "power", minexponent: 5 }; // 0.0006, not 600µ
const NOTHING = "#9aa3ad"; // inside obstacles, on land
const MANY_DOTS = 4000; // are drawn by the graphics card

/** Make an element for a picture with a caption above. */
function figure(parent, caption, height) {
  const made = document.createElement("figure");
  made.innerHTML = "<figcaption></figcaption><div></div>";
  const [heading, picture] = made.children;
  heading.textContent = caption;
  picture.style.height = `${height}px`;
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", caption);
  parent.append(made);
  return { heading, picture };
}

function baseLayout(page) {
  return {
    font: FONT,
    margin: { l: 46, r: 10, t: 6, b: 88 },
    paper_bgcolor: "#fff",
    plot_bgcolor: "#fff",
    showlegend: false,
    hovermode: "closest",
    uirevision: page.viewKey,
  };
}

function axisLayout(view, i) {
  const axis = view.axes[view.numbers[i]];
  const range = view.range(i);
  const title = axis.kind === "" ? { title: { text: plain(axis.label), standoff: 4 } } : {};
  return { range, ...title, ...ticks(axis, ...range), zeroline: false, showgrid: false, ticks: "outside", ticklen: 3 };
}

/** A map, a slice or dots, coloured by value. */
class Picture {
  constructor(page, parent, quantity, height) {
    this.page = page;
    this.quantity = quantity;
    Object.assign(this, figure(parent, quantity.title(), height));
    this.height = height;
    this.picture.dataset.quantity = quantity.key;
  }

  draw() {
    const { page } = this;
    const { view } = page;
    this.shown = view.points(page.layer);
    const layout = { ...baseLayout(page), xaxis: axisLayout(view, 0), yaxis: axisLayout(view, 1), plot_bgcolor: NOTHING };
    if (view.scattered) layout.plot_bgcolor = "#fff";
    if (view.ratio !== null) Object.assign(layout.yaxis, { scaleanchor: "x", constrain: "domain" });
    if (view.ratio !== null) layout.xaxis.constrain = "domain";
    this.heading.textContent = this.quantity.title();
    Plotly.react(this.picture, [this.#field(), this.#coast(), this.#sensors(), this.#chosen()], layout, CONFIG);
    if (!this.listens) this.#listen();
  }

  /** Another lead time: only colours and texts change. */
  update() {
    const found = this.#field();
    const colours = this.page.view.scattered ? { "marker.color": [found.marker.color] } : { z: [found.z] };
    const [[name, [values]]] = Object.entries(colours);
    // undefined: stays as it is
    Plotly.restyle(this.picture, { [name]: [values, undefined], text: [undefined, sensorTexts(this.page)] }, [0, 2]);
    this.heading.textContent = this.quantity.title();
  }

  #field() {
    const { page, shown } = this;
    const { view } = page;
    const values = this.quantity.values(page.lead);
    const { low, high, palette } = this.quantity.colours();
    const bar = {
      orientation: "h", thickness: 10, len: 0.9, yref: "container", y: 0, yanchor: "bottom", ypad: 2, outlinewidth: 0, nticks: 6, ...NUMBERS,
      title: { text: plain(this.quantity.unit()), side: "bottom", font: { size: 12 } },
    };
    const unit = plain(page.channels[page.channel].unit);
    if (view.scattered) {
      const colour = shown.map((point) => values[point]);
      const room = this.picture.clientWidth * this.height;
      const size = Math.max(2, Math.min(14, Math.sqrt((0.3 * room) / Math.max(1, shown.length))));
      return {
        type: shown.length > MANY_DOTS ? "scattergl" : "scatter",
        mode: "markers",
        x: shown.map((point) => view.horizontal.at[point]),
        y: shown.map((point) => view.vertical.at[point]),
        marker: { color: colour, size, cmin: low, cmax: high, colorscale: page.palettes[palette], colorbar: bar, line: { width: 0 } },
        hovertemplate: `%{marker.color:${page.format}} ${unit}<extra></extra>`,
      };
    }
    return {
      type: "heatmap",
      x: view.horizontal.at,
      y: view.vertical.at,
      z: shown.map((row) => Float32Array.from(row, (point) => values[point])),
      zmin: low,
      zmax: high,
      colorscale: page.palettes[palette],
      colorbar: bar,
      hoverongaps: false,
      hovertemplate: `%{z:${page.format}} ${unit}<extra></extra>`,
    };
  }

  #coast() {
    const { page } = this;
    const shown = page.coastShown && page.view.horizontal.kind === "longitude" && page.view.vertical.kind === "latitude";
    const coast = shown ? page.domain.coast : { longitude: [], latitude: [] };
    return {
      type: "scatter", mode: "lines", x: coast.longitude, y: coast.latitude,
      line: { color: "#111", width: 1 }, hoverinfo: "skip", name: "coastlines",
    };
  }

  #sensors() {
    const { page } = this;
    const { view } = page;
    const places = page.sensorsShown ? page.sensors.places.map((each) => view.inPicture(each)) : [];
    const inLayer = page.sensors.places.map((each) => view.acrossNumber < 0 || view.layerOf(each) === page.layer);
    return {
      type: "scatter",
      mode: "markers",
      name: "sensors",
      x: places.map((each) => each[0]),
      y: places.map((each) => each[1]),
      text: sensorTexts(page),
      hovertemplate: "%{text}<extra></extra>",
      cliponaxis: false,
      marker: {
        size: 8,
        color: page.sensors.reads.map((reads) => (reads[page.channel] ? "#fff" : "#9aa3ad")),
        opacity: inLayer.map((within) => (within ? 1 : 0.25)),
        line: { color: "#000", width: 1.3 },
      },
    };
  }

  #chosen() {
    const { page } = this;
    const at = page.chosen === null ? null : page.view.inPicture(page.chosenPlace());
    return {
      type: "scatter", mode: "markers", hoverinfo: "skip", name: "chosen point",
      x: at ? [at[0]] : [], y: at ? [at[1]] : [],
      marker: { symbol: "cross-thin", size: 17, line: { color: "#e6007e", width: 2.5 } },
    };
  }

  #listen() {
    this.listens = true;
    const { page, picture } = this;
    const what = ({ points: [point] }) => {
      if (point.curveNumber === 2) return { sensor: point.pointNumber };
      if (point.curveNumber !== 0) return null;
      return { point: page.view.scattered ? this.shown[point.pointNumber] : this.shown[point.pointNumber[0]][point.pointNumber[1]] };
    };
    picture.on("plotly_hover", (event) => page.tell(what(event)));
    picture.on("plotly_unhover", () => page.tell(null));
    picture.on("plotly_click", (event) => page.choose(what(event)));
    picture.on("plotly_relayout", (change) => page.zoom(this, change));
  }
}

/** A field on a line: truth, forecast and its interval, or the error and the spread. */
class Line {
  constructor(page, parent, quantity, height) {
    this.page = page;
    this.quantity = quantity;
    Object.assign(this, figure(parent, quantity.title(), height));
    this.picture.dataset.quantity = quantity.key;
  }

  draw() {
    const { page, quantity } = this;
    const { view } = page;
    this.shown = view.points(page.layer);
    const x = this.shown.map((point) => (view.scattered ? view.horizontal.at[point] : view.coordinates(point)[view.numbers[0]]));
    const [low, high] = quantity.range();
    const layout = {
      ...baseLayout(page),
      showlegend: true,
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      margin: { l: 60, r: 10, t: 28, b: 38 },
      xaxis: axisLayout(view, 0),
      yaxis: { range: [low, high], title: { text: plain(quantity.unit()) }, gridcolor: "#eceff3", zeroline: false, automargin: true, ...NUMBERS },
    };
    const traces = quantity.lines(page.lead).map(({ values, band, ...look }) => {
      if (band) return this.#band(x, ...band, look);
      return { type: "scatter", mode: "lines", x, y: this.shown.map((point) => values[point]), hovertemplate: `%{y:${page.format}}`, ...look };
    });
    this.heading.textContent = quantity.title();
    Plotly.react(this.picture, [...traces, this.#sensors(low), this.#chosen(low, high)], layout, CONFIG);
    if (!this.listens) this.#listen();
  }

  update() {
    this.draw();
  }

  /** A band in as many parts as the field has: around each part from left to right and back. */
  #band(x, low, high, look) {
    const parts = [[]];
    this.shown.forEach((point, i) => {
      if (Number.isNaN(low[point] + high[point])) parts.push([]);
      else parts.at(-1).push([x[i], low[point], high[point]]);
    });
    const rims = parts.filter((part) => part.length).map((part) => [
      ...part.map(([at, , above]) => [at, above]),
      ...part.toReversed().map(([at, below]) => [at, below]),
      [null, null],
    ]);
    const around = rims.flat();
    return {
      type: "scatter", mode: "lines", x: around.map(([at]) => at), y: around.map(([, value]) => value),
      fill: "toself", line: { width: 0 }, hoverinfo: "skip", ...look,
    };
  }

  #sensors(ground) {
    const { page } = this;
    const places = page.sensorsShown ? page.sensors.places.map((each) => page.view.inPicture(each)[0]) : [];
    const readings = page.sensors.readings[page.channel].map((of) => of[of.length - 1]);
    const here = page.lead === 0 && this.quantity.key === "forecast";
    return {
      type: "scatter", mode: "markers", name: "sensors", x: places,
      y: places.map((_, i) => (here && readings[i] !== null ? readings[i] : ground)),
      text: sensorTexts(page), hovertemplate: "%{text}<extra></extra>", cliponaxis: false, showlegend: page.sensorsShown,
      marker: { size: 9, symbol: here ? "circle" : "triangle-up", color: "#fff", line: { color: "#000", width: 1.3 } },
    };
  }

  #chosen(low, high) {
    const { page } = this;
    const at = page.chosen === null ? [] : Array(2).fill(page.view.inPicture(page.chosenPlace())[0]);
    return {
      type: "scatter", mode: "lines", x: at, y: at.length ? [low, high] : [], hoverinfo: "skip", showlegend: false,
      line: { color: "#e6007e", width: 1.5, dash: "dot" }, name: "chosen point",
    };
  }

  #listen() {
    this.listens = true;
    const { page, picture } = this;
    const what = ({ points: [point] }) => {
      if (point.data.name === "sensors") return { sensor: point.pointNumber };
      return point.data.name === "chosen point" ? null : { point: this.shown[point.pointNumber] };
    };
    picture.on("plotly_hover", (event) => page.tell(what(event)));
    picture.on("plotly_unhover", () => page.tell(null));
    picture.on("plotly_click", (event) => page.choose(what(event)));
  }
}
