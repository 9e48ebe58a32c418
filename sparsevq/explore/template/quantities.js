"use strict";

// What the panels show: of each quantity its values, scale of colours, title and unit.

/** What the panels show. */
function quantitiesOf(page) {
  const unit = () => page.quantityName;
  const of = (what) => () => {
    const channel = page.channels[page.channel];
    return channel.unit ? `${what} of ${channel.label} (${channel.unit})` : `${what} of ${channel.label}`;
  };
  const values = () => page.scale;
  const errors = () => ({ low: -page.bound, high: page.bound, palette: "PuOr_r" });
  const spread = () => ({ low: 0, high: page.bound, palette: "magma" });
  const made = {
    truth: { title: () => "Truth", short: () => "Truth", unit, colours: values, values: (lead) => page.less(page.truth.at(lead)) },
    forecast: {
      title: () => `Forecast: ${page.forecastName}`, short: () => `Forecast (${page.member === null ? "mean" : `member ${page.member + 1}`})`,
      unit, colours: values, values: (lead) => page.less(page.forecastAt(lead)),
    },
    error: {
      title: () => `Error: ${page.member === null ? "mean" : `member ${page.member + 1}`} minus truth`,
      unit: of("error"), colours: errors, values: (lead) => page.errorAt(lead),
    },
    spread: {
      title: () => "Spread: standard deviation", unit: of("spread"), colours: spread,
      values: (lead) => page.spread.at(lead),
    },
    low: { title: () => "Lower end of the 90 % interval", unit, colours: values, values: (lead) => page.less(page.endAt(page.low, lead)) },
    high: { title: () => "Upper end of the 90 % interval", unit, colours: values, values: (lead) => page.less(page.endAt(page.high, lead)) },
  };
  for (const [key, quantity] of Object.entries(made)) quantity.key = key;
  if (page.view.isLine) return lineQuantities(page, made);
  const { fields } = page.case;
  const keys = "truth" in fields ? ["truth", "forecast", "error", "spread"] : ["forecast", "spread", "low", "high"];
  return keys.filter((key) => key in fields || key === "forecast" || key === "error").map((key) => made[key]);
}

function lineQuantities(page, { forecast, error }) {
  const forecastLines = (lead) => [
    ...(page.low ? [{ band: [page.low, page.high].map((end) => page.less(page.endAt(end, lead))), fillcolor: BAND, name: "90 % interval" }] : []),
    { values: page.less(page.forecastAt(lead)), name: page.member === null ? "mean" : `member ${page.member + 1}`, line: { color: OURS, width: 2.2 } },
    ...(page.truth ? [{ values: page.less(page.truth.at(lead)), name: "truth", line: { color: "#000", width: 1.6 } }] : []),
  ];
  const errorLines = (lead) => [
    ...(page.spread ? [{ band: [page.spread.at(lead).map((value) => -value), page.spread.at(lead)], fillcolor: AROUND, name: "± spread" }] : []),
    ...(page.truth ? [{ values: page.errorAt(lead), name: "error", line: { color: ERROR, width: 2 } }] : []),
  ];
  const wider = ({ low, high }) => [low - 0.15 * (high - low), high + 0.15 * (high - low)];
  const title = () => (page.truth ? `Forecast (${page.forecastName}) and truth` : `Forecast: ${page.forecastName}`);
  const found = [{ ...forecast, title, lines: forecastLines, range: () => wider(forecast.colours()) }];
  if (page.truth || page.spread) {
    const name = () => (page.truth ? "Error, and the spread" : "Spread: standard deviation");
    found.push({ ...error, title: name, lines: errorLines, range: () => wider(error.colours()) });
  }
  return found;
}
