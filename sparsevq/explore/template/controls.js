"use strict";

// The controls and what they change.

const PLAY = 200; // milliseconds between frames

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
  clearTimeout(page.timer);
  page.timer = null;
  button.textContent = on ? "❚❚" : "▶";
  button.setAttribute("aria-label", on ? "Pause" : "Play");
  if (!on) return;
  const next = () => {
    page.lead = (page.lead + 1) % page.leads.times.length;
    page.update();
    page.timer = setTimeout(next, PLAY); // after what may have taken long
  };
  page.timer = setTimeout(next, PLAY);
}

function fault(error) {
  const line = element("fault");
  line.hidden = false;
  line.textContent = `The page could not be drawn: ${error.message}. It needs a browser of 2023 or later.`;
  throw error;
}
