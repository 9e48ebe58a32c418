"use strict";

// Where the points are, and which of them a picture shows.

/** A number as people write it, with so many digits. */
function told(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(digits - 1) : String(+value.toPrecision(digits));
  return text.replace("e+", "e").replaceAll("-", "−");
}

/** Text that plotly must not read as markup. */
function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** A coordinate with its unit, on a map as 30°N or 120°W. */
function place(axis, value) {
  if (axis.kind === "") return `${axis.name} = ${told(value, 4)} ${axis.unit}`.trim();
  const turned = axis.kind === "longitude" ? ((((value + 180) % 360) + 360) % 360) - 180 : value;
  const ends = axis.kind === "longitude" ? ["E", "W"] : ["N", "S"];
  return `${+Math.abs(turned).toFixed(2)}°${turned === 0 || turned === -180 ? "" : ends[+(turned < 0)]}`;
}

/** Ticks of an axis in degrees; of others plotly's own. */
function ticks(axis, low, high) {
  if (axis.kind === "") return {};
  const step = [1, 2, 5, 10, 15, 30, 45, 60, 90].find((each) => (high - low) / each <= 6) ?? 90;
  const values = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) values.push(value);
  return { tickmode: "array", tickvals: values, ticktext: values.map((value) => place(axis, value)) };
}

/** Edges of the cells around the first and the last coordinate. */
function edges(at) {
  const last = at.length - 1;
  if (last === 0) return [at[0] - 0.5, at[0] + 0.5];
  return [at[0] - (at[1] - at[0]) / 2, at[last] + (at[last] - at[last - 1]) / 2];
}

/** One way to look at the field: along a line, as a map, or as a slice across an axis. */
class View {
  constructor(domain, described) {
    Object.assign(this, described);
    this.scattered = domain.scattered;
    this.axes = domain.axes;
    this.sizes = domain.axes.map((axis) => axis.at.length);
    this.strides = this.sizes.map((_, i) => this.sizes.slice(i + 1).reduce((product, size) => product * size, 1));
    const number = (name) => domain.axes.findIndex((axis) => axis.name === name);
    this.numbers = this.shown.map(number);
    this.acrossNumber = this.across === null ? -1 : number(this.across);
    [this.horizontal, this.vertical] = this.numbers.map((each) => domain.axes[each]);
    this.isLine = this.numbers.length === 1;
    if (this.scattered) this.order = this.#inOrder();
  }

  /** Scattered points along the line, or along the axis that is looked along. */
  #inOrder() {
    const along = this.axes[this.isLine ? this.numbers[0] : Math.max(this.acrossNumber, 0)].at;
    const points = along.map((_, i) => i);
    return this.isLine || this.acrossNumber >= 0 ? points.sort((a, b) => along[a] - along[b]) : points;
  }

  /** Numbers of the points that are shown: of a line or dots a list, of a picture rows from below. */
  points(layer) {
    if (this.scattered) {
      if (this.acrossNumber < 0) return this.order;
      const bound = (i) => Math.floor((i * this.order.length) / this.layers);
      return this.order.slice(bound(layer), bound(layer + 1));
    }
    const first = this.acrossNumber < 0 ? 0 : layer * this.strides[this.acrossNumber];
    const along = (number, start) => Array.from({ length: this.sizes[number] }, (_, i) => start + i * this.strides[number]);
    if (this.isLine) return along(this.numbers[0], first);
    return along(this.numbers[1], first).map((start) => along(this.numbers[0], start));
  }

  /** Coordinates of a point, in the order of the axes. */
  coordinates(point) {
    if (this.scattered) return this.axes.map((axis) => axis.at[point]);
    return this.axes.map((axis, i) => axis.at[Math.floor(point / this.strides[i]) % this.sizes[i]]);
  }

  /** Where something at these coordinates is in the picture. */
  inPicture(coordinates) {
    return this.numbers.map((number) => {
      const { at, kind } = this.axes[number];
      if (kind !== "longitude") return coordinates[number];
      const low = Math.min(...edges(at)); // 30 degrees west is 330 east
      return low + ((((coordinates[number] - low) % 360) + 360) % 360);
    });
  }

  /** The point that is nearest to a place in the picture. */
  nearest(coordinates, layer) {
    const at = this.inPicture(coordinates);
    let best = 0;
    let least = Infinity;
    for (const point of this.points(layer).flat()) {
      const own = this.coordinates(point);
      const distance = this.numbers.reduce((sum, number, i) => sum + (own[number] - at[i]) ** 2, 0);
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  }

  /** The layer in which a place is. */
  layerOf(coordinates) {
    const at = coordinates[this.acrossNumber];
    if (this.scattered) {
      const along = this.axes[this.acrossNumber].at;
      const below = this.order.filter((point) => along[point] < at).length;
      return Math.min(this.layers - 1, Math.floor((below * this.layers) / this.order.length));
    }
    const distances = this.axes[this.acrossNumber].at.map((each) => Math.abs(each - at));
    return distances.indexOf(Math.min(...distances));
  }

  /** What a layer is called. */
  layerName(layer) {
    const axis = this.axes[this.acrossNumber];
    if (!this.scattered) return place(axis, axis.at[layer]);
    const along = this.points(layer).map((point) => axis.at[point]);
    return `${axis.name} = ${told(along[0])} to ${told(along[along.length - 1])} ${axis.unit}`.trim();
  }

  /** Range of an axis of the picture. */
  range(i) {
    const { at, kind } = this.axes[this.numbers[i]];
    let [low, high] = this.scattered ? [Math.min(...at), Math.max(...at)] : edges(at);
    if (this.scattered || this.isLine) [low, high] = [low - 0.03 * (high - low), high + 0.03 * (high - low)];
    return kind === "latitude" ? [Math.max(low, -90), Math.min(high, 90)] : [low, high];
  }
}
