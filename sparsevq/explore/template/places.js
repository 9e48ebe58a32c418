"use strict";

// What is told of sensors and points.

/** What is told of each sensor where the pointer is on it. */
function sensorTexts(page) {
  const { names, places, readings, mean, spread, truth, reads } = page.sensors;
  const { channel, lead } = page;
  const unit = plain(page.channels[channel].unit);
  const label = plain(page.channels[channel].label);
  const value = (number) => `${page.told(number)} ${unit}`.trim();
  const model = (sensor, at) => {
    const around = spread[channel][sensor][at];
    return value(mean[channel][sensor][at]) + (around === null ? "" : ` ± ${page.told(around)}`);
  };
  const when = `lead ${page.leads.frames[lead]}`;
  return places.map((at, sensor) => {
    const read = readings[channel][sensor];
    const lines = [`<b>sensor ${names[sensor]}</b>`, plain(page.placeName(at))];
    if (reads[sensor][channel]) lines.push(`reading of ${label}: ${value(read[read.length - 1])}`);
    else lines.push(`does not read ${label}`);
    lines.push(`model, observed frame: ${model(sensor, 0)}`);
    if (lead > 0) lines.push(`model, ${when}: ${model(sensor, lead)}`);
    if (lead > 0 && truth) lines.push(`truth, ${when}: ${value(truth[channel][sensor][lead])}`);
    return lines.join("<br>");
  });
}

/** Everything at the chosen point over lead time. */
function seriesAt(page) {
  const { channel } = page;
  const known = page.chosen.sensor;
  if (known !== undefined) {
    const of = (quantity) => page.sensors[quantity]?.[channel][known] ?? null;
    const reads = page.sensors.reads[known][channel];
    const found = { truth: of("truth"), mean: of("mean"), readings: reads ? of("readings") : null, members: [], member: null };
    const some = (values) => (values?.some((value) => value !== null) ? values : null);
    return { ...found, low: some(of("low")), high: some(of("high")), name: `sensor ${page.sensors.names[known]}` };
  }
  const { point } = page.chosen;
  const mean = page.mean.series(point);
  const above = (field) => field && field.series(point).map((value, i) => value + mean[i]);
  return {
    name: page.placeName(page.view.coordinates(point)),
    truth: page.truth?.series(point) ?? null,
    mean,
    low: above(page.low),
    high: above(page.high),
    members: page.memberFields.map(above),
    member: page.member === null ? null : above(page.memberFields[page.member]),
    readings: null,
  };
}
