"use strict";

// What is shown, and what changes it.

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

  /** Format (of D3) of the channel's values: a hundredth of the scale of errors is told. */
  get format() {
    const { low, high } = this.case.scales[this.channel].values;
    const largest = Math.max(Math.abs(low), Math.abs(high), this.bound);
    const digits = Math.max(2, Math.ceil(Math.log10((100 * largest) / this.bound)));
    if (largest < 1e-2 || largest >= 1e7) return `.${digits - 1}e`;
    return `.${Math.max(0, digits - 1 - Math.floor(Math.log10(largest)))}f`;
  }

  /** A value of the channel. */
  told(value) {
    if (value === null || Number.isNaN(value)) return "–";
    const digits = parseInt(this.format.slice(1), 10);
    return (this.format.endsWith("e") ? value.toExponential(digits) : value.toFixed(digits)).replaceAll("-", "−").replace("e+", "e");
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
    if (this.data.members === 1) return "one member";
    return this.member === null ? `mean of the ensemble` : `member ${this.member + 1} of ${this.data.members}`;
  }

  // ------------------------------------------------------------------ points and sensors

  chosenPlace() {
    return this.chosen.sensor === undefined ? this.view.coordinates(this.chosen.point) : this.sensors.places[this.chosen.sensor];
  }

  placeName(coordinates) {
    return this.domain.axes.map((axis, i) => place(axis, coordinates[i])).join(", ");
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
    if (this.truth) parts.push(`truth ${this.told(this.truth.at(lead)[point])}`);
    parts.push(`${this.member === null ? "mean" : `member ${this.member + 1}`} ${this.told(this.forecastAt(lead)[point])}`);
    if (this.spread) {
      const ends = [this.low, this.high].map((end) => this.told(this.endAt(end, lead)[point]));
      parts.push(`spread ${this.told(this.spread.at(lead)[point])}`, `90 % interval ${ends[0]} to ${ends[1]}`);
    }
    if (this.truth) parts.push(`error ${this.told(this.errorAt(lead)[point])}`);
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
    const quantities = quantitiesOf(this);
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
      else plots.append(withoutSpace());
    }
    this.curves = this.data.curves ? new ErrorCurves(this, plots, below) : null;
    this.series = new Series(this, plots, below);
    if (beside && plots.children.length === 2) plots.style.gridTemplateColumns = "minmax(0, 1fr)";
    else if (plots.children.length % 2) plots.lastElementChild.style.gridColumn = "1 / -1";
  }

  /** Columns of the panels, heights of panels and curves (pixels), and whether these stand beside each other. */
  arrangement(count) {
    const room = document.body.clientWidth - 40;
    const high = Math.max(640, window.innerHeight - element("stage").getBoundingClientRect().top - window.scrollY - 64);
    if (this.view.isLine) return { columns: Math.min(count, 2), height: 0.54 * high - 30, beside: false, below: 0.46 * high - 30 };
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
    fill("member", [`mean (${this.data.members} members)`, ...members.map((_, k) => `member ${k + 1}`)]);
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
      this.truth ? "Truth and forecast have one scale of colours, error and spread another." : "Forecast and interval have one scale of colours.",
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

const shown = new Page(JSON.parse(element("data").textContent));
connect(shown);
element("readout").textContent = shown.hint;
shown.draw().catch(fault);
let waiting = null;
window.addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => shown.draw(), 200);
});
