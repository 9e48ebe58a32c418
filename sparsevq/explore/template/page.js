"use strict";

// What is shown, and what changes it.

const PLAY = 260; // milliseconds between frames
const MOSTLY = 0.6; // share of a channel's variance that is its time mean's, from which it is taken off at first
const element = (id) => document.getElementById(id);

class Page {
  constructor(data) {
    this.data = data;
    Object.assign(this, { channels: data.channels, leads: data.leads, domain: data.domain, palettes: data.palettes });
    this.views = data.domain.views.map((described) => new View(data.domain, described));
    [this.view] = this.views;
    this.channel = 0;
    this.lead = 0;
    this.member = null; // null: the mean
    this.layer = null; // the one with the most in it
    this.levelShare = 40;
    this.sensorsShown = true;
    this.coastShown = data.domain.coast?.shown ?? false;
    this.chosen = null;
    this.kept = new Map(); // case, channel, quantity -> promise of a Field
    this.inSpace = this.view.acrossNumber >= 0;
    this.anomalies = this.meansDominate;
    this.timer = null;
  }

  get case() {
    return this.data.cases[this.caseNumber];
  }

  get sensors() {
    return this.case.sensors;
  }

  /** Zoom is kept as long as this is the same. */
  get viewKey() {
    return `${this.view.across}`;
  }

  get caseKey() {
    return "space";
  }

  /** Scale of the values that are shown. */
  get scale() {
    const { values, anomalies } = this.case.scales[this.channel];
    return this.anomalies ? anomalies : values;
  }

  get bound() {
    return this.case.scales[this.channel].bound;
  }

  /** Whether little would be seen of a channel but its time mean. */
  get meansDominate() {
    return (this.data.timeMean?.shares[this.channel] ?? 0) > MOSTLY;
  }

  get bothSigns() {
    return this.scale.palette === "RdBu_r";
  }

  /** Name of the quantity with its unit. */
  get quantityName() {
    const { label, unit } = this.channels[this.channel];
    const name = this.anomalies ? `${label} less its time mean` : label;
    return unit ? `${name} (${unit})` : name;
  }

  // ------------------------------------------------------------------ fields

  /** A field of the case and channel that are shown, unpacked when it is first wanted. */
  field(name, member = null) {
    const key = [this.caseNumber, this.channel, name, member].join();
    if (!this.kept.has(key)) {
      const { fields } = this.case;
      const packed = member === null ? fields[name]?.[this.channel] : fields.members[member][this.channel];
      this.kept.set(key, packed === undefined ? Promise.resolve(null) : unpack(packed));
    }
    return this.kept.get(key);
  }

  async load() {
    const token = (this.loading = {});
    const names = ["mean", "truth", "spread", "low", "high"];
    const { fields } = this.case;
    const loaded = await Promise.all(names.map((name) => this.field(name)));
    const means = await this.timeMean();
    const members = await Promise.all(fields.members.map((_, member) => this.field("members", member)));
    if (token !== this.loading) return false; // something else was chosen meanwhile
    Object.assign(this, Object.fromEntries(names.map((name, i) => [name, loaded[i]])), { memberFields: members, means });
    return true;
  }

  timeMean() {
    const { timeMean } = this.data;
    const key = `time mean ${this.channel}`;
    if (!this.kept.has(key)) this.kept.set(key, timeMean ? unpack(timeMean.fields[this.channel]) : Promise.resolve(null));
    return this.kept.get(key);
  }

  forecastAt(lead) {
    const mean = this.mean.at(lead);
    if (this.member === null) return mean;
    const off = this.memberFields[this.member].at(lead);
    return mean.map((value, i) => value + off[i]);
  }

  /** As the pictures show it: less the time mean, where that is wanted. */
  less(values) {
    if (!this.anomalies) return values;
    const means = this.means.at(0);
    return values.map((value, i) => value - means[i]);
  }

  endAt(end, lead) {
    const off = end.at(lead);
    return this.mean.at(lead).map((value, i) => value + off[i]);
  }

  errorAt(lead) {
    const truth = this.truth.at(lead);
    return this.forecastAt(lead).map((value, i) => value - truth[i]);
  }

  get forecastName() {
    return this.member === null ? `mean of ${this.data.members} members` : `member ${this.member + 1} of ${this.data.members}`;
  }

  /** What the panels show. */
  quantities() {
    const unit = () => this.quantityName;
    const of = (what) => () => {
      const channel = this.channels[this.channel];
      return channel.unit ? `${what} of ${channel.label} (${channel.unit})` : `${what} of ${channel.label}`;
    };
    const values = () => this.scale;
    const errors = () => ({ low: -this.bound, high: this.bound, palette: "PuOr_r" });
    const spread = () => ({ low: 0, high: this.bound, palette: "magma" });
    const made = {
      truth: { title: () => "Truth", short: () => "Truth", unit, colours: values, values: (lead) => this.less(this.truth.at(lead)) },
      forecast: {
        title: () => `Forecast: ${this.forecastName}`, short: () => `Forecast (${this.member === null ? "mean" : `member ${this.member + 1}`})`,
        unit, colours: values, values: (lead) => this.less(this.forecastAt(lead)),
      },
      error: {
        title: () => `Error: ${this.member === null ? "mean" : `member ${this.member + 1}`} minus truth`,
        unit: of("error"), colours: errors, values: (lead) => this.errorAt(lead),
      },
      spread: {
        title: () => "Spread: standard deviation of the members", unit: of("spread"), colours: spread,
        values: (lead) => this.spread.at(lead),
      },
      low: { title: () => "Lower end of the 90 % interval", unit, colours: values, values: (lead) => this.less(this.endAt(this.low, lead)) },
      high: { title: () => "Upper end of the 90 % interval", unit, colours: values, values: (lead) => this.less(this.endAt(this.high, lead)) },
    };
    for (const [key, quantity] of Object.entries(made)) quantity.key = key;
    if (this.view.isLine) return this.lineQuantities(made);
    const { fields } = this.case;
    const keys = "truth" in fields ? ["truth", "forecast", "error", "spread"] : ["forecast", "spread", "low", "high"];
    return keys.filter((key) => key in fields || key === "forecast" || key === "error").map((key) => made[key]);
  }

  lineQuantities({ forecast, error }) {
    const filled = { line: { width: 0 }, showlegend: false, hoverinfo: "skip" };
    const forecastLines = (lead) => [
      ...(this.low
        ? [
            { values: this.less(this.endAt(this.low, lead)), ...filled },
            { values: this.less(this.endAt(this.high, lead)), ...filled, fill: "tonexty", fillcolor: BAND, name: "90 % interval", showlegend: true },
          ]
        : []),
      { values: this.less(this.forecastAt(lead)), name: this.member === null ? "mean" : `member ${this.member + 1}`, line: { color: OURS, width: 2.2 } },
      ...(this.truth ? [{ values: this.less(this.truth.at(lead)), name: "truth", line: { color: "#000", width: 1.6 } }] : []),
    ];
    const errorLines = (lead) => [
      ...(this.spread
        ? [
            { values: this.spread.at(lead).map((value) => -value), ...filled },
            { values: this.spread.at(lead), ...filled, fill: "tonexty", fillcolor: "rgba(213,94,0,0.15)", name: "± spread", showlegend: true },
          ]
        : []),
      ...(this.truth ? [{ values: this.errorAt(lead), name: "error", line: { color: ERROR, width: 2 } }] : []),
    ];
    const wider = ({ low, high }) => [low - 0.15 * (high - low), high + 0.15 * (high - low)];
    const title = () => (this.truth ? `Forecast (${this.forecastName}) and truth` : `Forecast: ${this.forecastName}`);
    const found = [{ ...forecast, title, lines: forecastLines, range: () => wider(forecast.colours()) }];
    if (this.truth || this.spread) {
      const name = () => (this.truth ? "Error, and the spread" : "Spread: standard deviation of the members");
      found.push({ ...error, title: name, lines: errorLines, range: () => wider(error.colours()) });
    }
    return found;
  }

  // ------------------------------------------------------------------ points and sensors

  chosenPlace() {
    return this.chosen.sensor === undefined ? this.view.coordinates(this.chosen.point) : this.sensors.places[this.chosen.sensor];
  }

  placeName(coordinates) {
    return this.domain.axes.map((axis, i) => place(axis, coordinates[i])).join(", ");
  }

  /** What is told of each sensor where the pointer is on it. */
  sensorTexts() {
    const { places, readings, mean, spread, truth, reads } = this.sensors;
    const { channel, lead } = this;
    const unit = plain(this.channels[channel].unit);
    const label = plain(this.channels[channel].label);
    const value = (number) => `${told(number)} ${unit}`.trim();
    const model = (sensor, at) => {
      const around = spread[channel][sensor][at];
      return value(mean[channel][sensor][at]) + (around === null ? "" : ` ± ${told(around, 2)}`);
    };
    const when = `lead ${this.leads.frames[lead]}`;
    return places.map((at, sensor) => {
      const read = readings[channel][sensor];
      const lines = [`<b>sensor ${sensor}</b>`, plain(this.placeName(at))];
      if (reads[sensor][channel]) lines.push(`reading of ${label}: ${value(read[read.length - 1])}`);
      else lines.push(`does not read ${label}`);
      lines.push(`model, observed frame: ${model(sensor, 0)}`);
      if (lead > 0) lines.push(`model, ${when}: ${model(sensor, lead)}`);
      if (lead > 0 && truth) lines.push(`truth, ${when}: ${value(truth[channel][sensor][lead])}`);
      return lines.join("<br>");
    });
  }

  /** Everything at the chosen point over lead time. */
  seriesAt() {
    const { channel } = this;
    const known = this.chosen.sensor;
    if (known !== undefined) {
      const of = (quantity) => this.sensors[quantity]?.[channel][known] ?? null;
      const reads = this.sensors.reads[known][channel];
      const found = { truth: of("truth"), mean: of("mean"), readings: reads ? of("readings") : null, members: [], member: null };
      const some = (values) => (values?.some((value) => value !== null) ? values : null);
      return { ...found, low: some(of("low")), high: some(of("high")), name: `sensor ${known}` };
    }
    const { point } = this.chosen;
    const mean = this.mean.series(point);
    const above = (field) => field && field.series(point).map((value, i) => value + mean[i]);
    return {
      name: this.placeName(this.view.coordinates(point)),
      truth: this.truth?.series(point) ?? null,
      mean,
      low: above(this.low),
      high: above(this.high),
      members: this.memberFields.map(above),
      member: this.member === null ? null : above(this.memberFields[this.member]),
      readings: null,
    };
  }

  /** Say what is under the pointer. */
  tell(what) {
    const line = element("readout");
    if (!what || what.point === undefined) {
      line.textContent = what ? "" : this.hint;
      return;
    }
    const { point } = what;
    const { lead } = this;
    const unit = this.channels[this.channel].unit;
    const parts = [];
    if (this.truth) parts.push(`truth ${told(this.truth.at(lead)[point], 4)}`);
    parts.push(`${this.member === null ? "mean" : `member ${this.member + 1}`} ${told(this.forecastAt(lead)[point], 4)}`);
    if (this.spread) {
      const ends = [this.low, this.high].map((end) => told(this.endAt(end, lead)[point]));
      parts.push(`spread ${told(this.spread.at(lead)[point])}`, `90 % interval ${ends[0]} to ${ends[1]}`);
    }
    if (this.truth) parts.push(`error ${told(this.errorAt(lead)[point])}`);
    line.textContent = `${this.placeName(this.view.coordinates(point))}: ${parts.join(", ")} ${unit}`;
  }

  choose(what) {
    if (!what) return;
    this.chosen = what;
    this.panels.forEach((panel) => panel.draw());
    this.series.draw();
  }

  // ------------------------------------------------------------------ space

  /** The slice of the largest variance, in the middle of the lead times. */
  fullestLayer() {
    if (this.view.acrossNumber < 0) return 0;
    const values = this.less((this.truth ?? this.mean).at(Math.floor(this.leads.times.length / 2)));
    const variances = Array.from({ length: this.view.layers }, (_, layer) => {
      const found = this.view.points(layer).flat().map((point) => values[point]).filter((value) => !Number.isNaN(value));
      const mean = found.reduce((sum, value) => sum + value, 0) / Math.max(1, found.length);
      return found.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, found.length);
    });
    return variances.indexOf(Math.max(...variances));
  }

  /** The value of the surfaces. */
  level() {
    const { low, high } = this.scale;
    const from = this.bothSigns ? 0 : low;
    return from + (this.levelShare / 100) * (high - from);
  }

  levelName() {
    const channel = this.channels[this.channel];
    return `${channel.label} = ${this.bothSigns ? "±" : ""}${told(this.level())} ${channel.unit}`.trim();
  }

  // ------------------------------------------------------------------ what follows what

  /** Another zoom of one picture is that of all. */
  zoom(from, change) {
    if (this.zooming) return;
    const keys = ["xaxis.range[0]", "xaxis.range[1]", "yaxis.range[0]", "yaxis.range[1]", "xaxis.autorange", "yaxis.autorange"];
    const given = Object.fromEntries(Object.entries(change).filter(([key]) => keys.includes(key)));
    if (!Object.keys(given).length) return;
    this.zooming = true;
    const others = this.panels.filter((panel) => panel !== from);
    Promise.all(others.map((panel) => Plotly.relayout(panel.picture, given))).finally(() => (this.zooming = false));
  }

  turn(from, change) {
    const camera = change["scene.camera"];
    if (this.turning || !camera) return;
    this.turning = true;
    const others = this.surfaces.filter((surface) => surface !== from);
    Promise.all(others.map((surface) => Plotly.relayout(surface.picture, { "scene.camera": camera }))).finally(() => (this.turning = false));
  }

  /** Make the elements for all pictures. */
  build() {
    const [stage, panels, plots] = ["stage", "panels", "plots"].map(element);
    stage.querySelectorAll("figure > div").forEach((each) => Plotly.purge(each));
    panels.replaceChildren();
    plots.replaceChildren();
    const quantities = this.quantities();
    const { columns, height, beside, below } = this.arrangement(quantities.length);
    stage.classList.toggle("beside", beside);
    panels.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    plots.style.gridTemplateColumns = "repeat(2, minmax(0, 1fr))";
    const Kind = this.view.isLine ? Line : Picture;
    this.panels = quantities.map((quantity) => new Kind(this, panels, quantity, height));
    this.surfaces = [];
    if (this.inSpace) {
      const shown = quantities.filter((quantity) => ["truth", "forecast"].includes(quantity.key));
      if (canDrawSpace()) this.surfaces = shown.map((quantity) => new Surface(this, plots, quantity, below));
      else plots.append(this.#withoutSpace());
    }
    this.curves = this.data.curves ? new ErrorCurves(this, plots, below) : null;
    this.series = new Series(this, plots, below);
    if (plots.children.length % 2) plots.lastElementChild.style.gridColumn = "1 / -1";
  }

  #withoutSpace() {
    const said = document.createElement("p");
    said.className = "missing";
    said.textContent = "This browser has no WebGL, which surfaces in space are drawn with; the slices above need none.";
    return said;
  }

  /** Columns of the panels, heights of panels and curves (pixels), and whether these stand beside each other. */
  arrangement(count) {
    const room = document.body.clientWidth - 40;
    const high = Math.max(640, window.innerHeight - element("stage").getBoundingClientRect().top - window.scrollY - 64);
    if (this.view.isLine) return { columns: Math.min(count, 2), height: 330, beside: false, below: 270 };
    const { ratio, vertical } = this.view;
    const shape = ratio ?? (vertical.kind === "latitude" ? 0.25 : 0.8);
    const caption = 24;
    const around = { wide: 68, high: 96 }; // what a picture has beside the field: labels, bar of colours
    const field = (columns, most) => Math.min((room / columns - around.wide) * shape, most - around.high);
    if (this.inSpace && room > 1400) {
      const each = high / 2 - caption;
      return { columns: Math.min(count, 2), height: field(4, each) + around.high, beside: true, below: field(4, each) + around.high };
    }
    const below = Math.max(230, Math.min(300, high * 0.32));
    const rows = [1, 2].map((number) => ({ columns: Math.ceil(count / number), most: (high - below - caption) / number - caption }));
    const [one, two] = rows.map(({ columns, most }) => field(columns, most));
    const stacked = two > one || room < 900;
    const height = Math.max(90, stacked ? two : one) + around.high;
    const left = high - (1 + stacked) * (height + caption) - caption;
    return { columns: rows[+stacked].columns, height, beside: false, below: Math.max(below, Math.min(400, left)) };
  }

  /** Everything anew: another case, channel or view. */
  async draw() {
    if (!(await this.load())) return;
    this.layer ??= this.fullestLayer();
    this.#controls();
    if (this.chosen === null) this.chosen = this.sensors.places.length ? { sensor: 0 } : { point: this.view.points(this.layer).flat()[0] };
    this.build();
    for (const each of [...this.panels, ...this.surfaces, this.curves, this.series]) each?.draw();
    this.#mark();
  }

  /** Another lead time. */
  update() {
    this.#mark();
    for (const each of [...this.panels, ...this.surfaces, this.curves, this.series]) each?.update();
  }

  /** The same pictures with other marks, member or slice. */
  redraw() {
    this.#controls();
    for (const each of [...this.panels, ...this.surfaces, this.series]) each.draw();
    this.#mark();
  }

  #mark() {
    const date = this.case.dates?.[this.lead];
    element("lead").value = String(this.lead);
    element("lead-name").textContent = this.leads.names[this.lead] + (date ? `, ${date}` : "");
    element("lead").setAttribute("aria-valuetext", this.leads.names[this.lead]);
    document.body.dataset.drawn = [this.caseNumber, this.channel, this.member, this.view.across, this.layer, this.lead].join();
  }

  get hint() {
    return "Point at a picture or a sensor for values; click for its course in time; drag to zoom all pictures, double-click to zoom out.";
  }

  /** Names and ends of the controls. */
  #controls() {
    for (const each of document.querySelectorAll(".numbers")) each.hidden = Number(each.dataset.observed) !== this.case.observed;
    const { members } = this.case.fields;
    fill("member", [`mean of ${this.data.members} members`, ...members.map((_, k) => `member ${k + 1}`)]);
    element("member").value = String(this.member === null ? 0 : this.member + 1);
    element("member-label").hidden = members.length === 0;
    element("layer-label").hidden = element("view-label").hidden = !this.inSpace;
    element("level-label").hidden = !this.inSpace || this.domain.scattered;
    element("anomalies-label").hidden = !this.data.timeMean;
    element("anomalies").checked = this.anomalies;
    element("coast-label").hidden = !this.domain.coast;
    element("sensors-label").hidden = this.sensors.places.length === 0;
    element("lead").max = String(this.leads.times.length - 1);
    if (this.inSpace) {
      element("layer").max = String(this.view.layers - 1);
      element("layer").value = String(this.layer);
      element("layer-name").textContent = this.view.layerName(this.layer);
      element("level").value = String(this.levelShare);
      element("level-name").textContent = this.levelName();
    }
    const kept = members.length < this.data.members && members.length ? `${members.length} of ${this.data.members} members are kept here, all are in the mean, the spread and the interval` : "";
    element("notes").textContent = [
      "Truth and forecast have one scale of colours, error and spread another.",
      this.domain.leftOut,
      kept,
    ].filter(Boolean).join(" · ");
  }

  get caseNumber() {
    return this.caseChosen ?? 0;
  }

  set caseNumber(number) {
    this.caseChosen = number;
  }
}

function fill(id, names) {
  const select = element(id);
  select.replaceChildren(...names.map((name, i) => new Option(name, String(i))));
}

/** Connect the controls. */
function connect(page) {
  const { data } = page;
  fill("case", data.cases.map((each) => [each.name, each.observed > 1 ? `${each.observed} observed frames` : "", each.reason].filter(Boolean).join(", ")));
  fill("channel", data.channels.map((each) => (each.unit ? `${each.label} (${each.unit})` : each.label)));
  fill("view", page.views.map((view) => view.across ?? ""));
  element("case-label").hidden = data.cases.length < 2;
  element("channel-label").hidden = data.channels.length < 2;
  element("coast").checked = page.coastShown;
  const on = (id, event, change) => element(id).addEventListener(event, () => change(element(id)));
  on("case", "change", (at) => ((page.caseNumber = Number(at.value)), keepMember(page), page.draw()));
  on("channel", "change", (at) => {
    page.channel = Number(at.value);
    page.anomalies = page.meansDominate;
    page.draw();
  });
  on("anomalies", "change", (at) => ((page.anomalies = at.checked), page.redraw()));
  on("member", "change", (at) => ((page.member = at.value === "0" ? null : Number(at.value) - 1), page.redraw()));
  on("sensors", "change", (at) => ((page.sensorsShown = at.checked), page.redraw()));
  on("coast", "change", (at) => ((page.coastShown = at.checked), page.redraw()));
  on("view", "change", (at) => {
    page.view = page.views[Number(at.value)];
    page.layer = null;
    page.draw();
  });
  on("layer", "input", (at) => ((page.layer = Number(at.value)), page.redraw()));
  on("level", "input", (at) => {
    page.levelShare = Number(at.value);
    element("level-name").textContent = page.levelName();
    page.surfaces.forEach((surface) => surface.draw());
  });
  on("lead", "input", (at) => ((page.lead = Number(at.value)), page.update()));
  on("play", "click", () => play(page, page.timer === null));
}

function keepMember(page) {
  if (page.member !== null && page.member >= page.case.fields.members.length) page.member = null;
}

/** Start or stop the animation. */
function play(page, on) {
  const button = element("play");
  clearInterval(page.timer);
  page.timer = null;
  button.textContent = on ? "❚❚" : "▶";
  button.setAttribute("aria-label", on ? "Pause" : "Play");
  if (!on) return;
  page.timer = setInterval(() => {
    page.lead = (page.lead + 1) % page.leads.times.length;
    page.update();
  }, PLAY);
}

function fault(error) {
  const line = element("fault");
  line.hidden = false;
  line.textContent = `The page could not be drawn: ${error.message}. It needs a browser of 2023 or later.`;
  throw error;
}

const shown = new Page(JSON.parse(element("data").textContent));
connect(shown);
element("readout").textContent = shown.hint;
shown.draw().catch(fault);
let waiting = null;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => shown.draw(), 200);
});
