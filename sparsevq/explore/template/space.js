"use strict";

// Surfaces of one value in space, for fields with three axes.

const ABOVE = "#e07b39";
const BELOW = "#3d7fb5"; // the surface of minus the level

/** Whether this browser draws in space. */
function canDrawSpace() {
  const probe = document.createElement("canvas");
  return Boolean(probe.getContext("webgl2") ?? probe.getContext("webgl"));
}

/** The surface on which a quantity has one value (of a quantity of both signs: two), or coloured dots. */
class Surface {
  constructor(page, parent, quantity, height) {
    this.page = page;
    this.quantity = quantity;
    Object.assign(this, figure(parent, "", height));
    this.picture.dataset.surface = quantity.key;
    const points = page.domain.scattered ? page.domain.axes[0].at.map((_, i) => i) : null;
    const size = points ? points.length : page.view.sizes.reduce((product, each) => product * each, 1);
    const places = Array.from({ length: size }, (_, point) => page.view.coordinates(point));
    // Up is z, or the axis that is up in pictures.
    this.order = spaceOrder(page.domain);
    this.at = this.order.map((axis) => places.map((each) => each[axis]));
  }

  draw() {
    const { page, quantity } = this;
    const name = page.domain.scattered ? "in space" : page.levelName();
    this.heading.textContent = `${quantity.short()}: ${name}`;
    const named = (i) => ({ title: { text: plain(page.domain.axes[this.order[i]].label) }, nticks: 5, backgroundcolor: "#f6f7f9", gridcolor: "#dfe3e8" });
    const layout = {
      font: FONT,
      margin: { l: 0, r: 0, t: 0, b: 0 },
      uirevision: page.caseKey,
      showlegend: false,
      scene: {
        xaxis: named(0), yaxis: named(1), zaxis: named(2), aspectmode: "data", uirevision: page.caseKey,
        camera: { eye: { x: 1.2, y: -1.5, z: 0.7 }, center: { x: 0, y: 0, z: -0.12 } },
      },
    };
    Plotly.react(this.picture, [this.#field(), this.#sensors(), this.#slice()], layout, CONFIG_3D);
    if (!this.listens) {
      this.listens = true;
      this.picture.on("plotly_relayout", (change) => page.turn(this, change));
    }
  }

  update() {
    this.draw();
  }

  #field() {
    const { page, quantity } = this;
    const values = quantity.values(page.lead);
    const { low, high, palette } = quantity.colours();
    const [x, y, z] = this.at;
    if (page.domain.scattered) {
      const look = { colorscale: page.palettes[palette], cmin: low, cmax: high };
      return {
        type: "scatter3d", mode: "markers", x, y, z, hovertemplate: `%{marker.color:${page.format}} ${plain(page.channels[page.channel].unit)}<extra></extra>`,
        marker: { color: Array.from(values), size: 3, ...look, showscale: false },
      };
    }
    const both = page.bothSigns;
    const level = page.level();
    // Where there is no field (obstacles) nothing is above the level.
    const value = Array.from(values, (each) => (Number.isNaN(each) ? Math.min(low, 0) : each));
    return {
      type: "isosurface", x, y, z, value, showscale: false, cmin: -level, cmax: level,
      colorscale: both ? [[0, BELOW], [1, ABOVE]] : [[0, ABOVE], [1, ABOVE]],
      isomin: both ? -level : level, isomax: level, surface: { count: both ? 2 : 1 }, opacity: 0.8,
      caps: { x: { show: false }, y: { show: false }, z: { show: false } },
      lighting: { ambient: 0.65, diffuse: 0.7 },
      hovertemplate: `%{value:${page.format}} ${plain(page.channels[page.channel].unit)}<extra></extra>`,
    };
  }

  #sensors() {
    const { page } = this;
    const places = page.sensorsShown ? page.sensors.places : [];
    const [x, y, z] = this.order.map((axis) => places.map((each) => each[axis]));
    return {
      type: "scatter3d", mode: "markers", x, y, z, text: sensorTexts(page), hovertemplate: "%{text}<extra></extra>",
      marker: { size: 3, color: "#fff", line: { color: "#000", width: 1 } },
    };
  }

  /** Where the slice is that the pictures above show. */
  #slice() {
    const { page } = this;
    const { view } = page;
    if (view.scattered) return { type: "scatter3d", mode: "lines", x: [], y: [], z: [] };
    const corners = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]].map(([h, v]) => {
      const place = page.domain.axes.map((axis) => axis.at[0]);
      place[view.acrossNumber] = view.axes[view.acrossNumber].at[page.layer];
      view.numbers.forEach((number, i) => {
        const { at } = view.axes[number];
        place[number] = at[[h, v][i] ? at.length - 1 : 0];
      });
      return place;
    });
    const [x, y, z] = this.order.map((axis) => corners.map((each) => each[axis]));
    return { type: "scatter3d", mode: "lines", x, y, z, line: { color: "#566171", width: 3 }, hoverinfo: "skip" };
  }
}

/** Numbers of the axes as x, y and up. */
function spaceOrder(domain) {
  const names = domain.axes.map((axis) => axis.name);
  const wanted = ["x", "y", "z"].map((name) => names.indexOf(name));
  return wanted.includes(-1) ? [2, 1, 0] : wanted;
}

/** What stands where surfaces cannot be drawn. */
function withoutSpace() {
  const said = document.createElement("p");
  said.className = "missing";
  said.textContent = "This browser has no WebGL, which surfaces in space are drawn with; the slices above need none.";
  return said;
}
