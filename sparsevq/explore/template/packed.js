"use strict";

// Fields as sparsevq/explore/packing.py packs them.

/** Numbers (frames, points) with NaN where there are none. */
class Field {
  constructor(values, points) {
    this.values = values;
    this.points = points;
  }

  /** The points of one frame. */
  at(frame) {
    return this.values.subarray(frame * this.points, (frame + 1) * this.points);
  }

  /** One point in all frames. */
  series(point) {
    const frames = this.values.length / this.points;
    return Array.from({ length: frames }, (_, frame) => this.values[frame * this.points + point]);
  }
}

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undoes the differences: the levels of a frame are those of the frame before plus a sum along the points. */
async function unpack(packed) {
  const bytes = await inflate(packed.data);
  const [frames, points] = packed.shape;
  const size = frames * points;
  const levels = packed.bytes === 2 ? new Uint16Array(size) : new Uint8Array(size); // both wrap around, as is meant
  const values = new Float32Array(size);
  for (let frame = 0; frame < frames; frame++) {
    let sum = 0;
    for (let i = frame * points; i < (frame + 1) * points; i++) {
      sum += packed.bytes === 2 ? bytes[i] + 256 * bytes[size + i] : bytes[i];
      levels[i] = sum + (frame ? levels[i - points] : 0);
      values[i] = levels[i] === 0 ? NaN : packed.low + (levels[i] - 1) * packed.step;
    }
  }
  return new Field(values, points);
}
