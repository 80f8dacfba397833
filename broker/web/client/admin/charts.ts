/** The charts of the last ten minutes. */
import uPlot from "uplot";
import { bytes, element, make, number, put, time } from "./dom.ts";
import type { Sample } from "./inspection.ts";

const SECONDS = 600;
/** A longer pause between two samples is a gap in the lines. */
const PAUSE = 5;
const HEIGHT = 150;

type Unit = (value: number) => string;

interface Line {
  name: string;
  of: (sample: Sample) => number;
}

interface Kind {
  title: string;
  unit: Unit;
  lines: Line[];
  /** The least top of the chart: a server at rest is not drawn as noise. */
  least: number;
}

const KINDS: Kind[] = [
  {
    title: "Calls per second",
    unit: number,
    least: 1,
    lines: [{ name: "calls", of: (sample) => sample.calls }],
  },
  {
    title: "Bytes per second",
    unit: bytes,
    least: 1024,
    lines: [
      { name: "in", of: (sample) => sample.bytes_in },
      { name: "out", of: (sample) => sample.bytes_out },
    ],
  },
  {
    title: "Event loop late",
    unit: time,
    least: 0.01,
    lines: [{ name: "late", of: (sample) => sample.lag }],
  },
  {
    title: "Connections",
    unit: number,
    least: 1,
    lines: [{ name: "open", of: (sample) => sample.connections }],
  },
];

/** The steps of an axis for bytes: powers of two look round. */
const BINARY = Array.from({ length: 40 }, (_, power) => 2 ** power);

const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** One chart, with its value: the last one, or that under the pointer. */
class Chart {
  private _kind: Kind;
  private _values = make("span", "", "values");
  private _place = make("div", "", "plot");
  private _plot: uPlot | undefined;
  private _data: (number | null)[][] = [];
  private _until = 0;

  constructor(kind: Kind, into: HTMLElement) {
    this._kind = kind;
    const title = make("figcaption", [make("b", kind.title), this._values]);
    into.append(make("figure", [title, this._place]));
    new ResizeObserver(() => this._plot?.setSize(this._size())).observe(this._place);
  }

  /** Draw it anew, with the colours that the page has now. */
  build(): void {
    this._plot?.destroy();
    this._plot = new uPlot(this._options(), this._data as uPlot.AlignedData, this._place);
  }

  show(samples: readonly (Sample | undefined)[], times: number[], until: number): void {
    const { lines } = this._kind;
    this._until = until;
    this._data = [times, ...lines.map(({ of }) => samples.map((each) => (each ? of(each) : null)))];
    if (this._plot) this._plot.setData(this._data as uPlot.AlignedData);
    else this.build();
    this._tell(this._plot?.cursor.idx);
  }

  private _tell(index: number | null | undefined): void {
    const { lines, unit } = this._kind;
    const parts = lines.map(({ name }, at) => {
      const line = this._data[at + 1] ?? [];
      const value = line[index ?? line.length - 1];
      const text = value === null || value === undefined ? "–" : unit(value);
      return lines.length > 1 ? `${name} ${text}` : text;
    });
    const at = index === null || index === undefined ? undefined : this._data[0]?.[index];
    const when = at ? `${new Date(at * 1000).toTimeString().slice(0, 8)}  ` : "";
    if (parts.length === this._values.children.length)
      parts.forEach((part, i) => put(this._values.children[i]!, i ? part : when + part));
    else this._values.replaceChildren(...parts.map((part, i) => make("span", part, `line${i + 1}`)));
  }

  private _size(): { width: number; height: number } {
    return { width: Math.max(120, this._place.clientWidth), height: HEIGHT };
  }

  private _options(): uPlot.Options {
    const { lines, unit, least } = this._kind;
    const axis = { stroke: colour("soft"), font: "11px system-ui, sans-serif" };
    const grid = { stroke: colour("line"), width: 1 };
    return {
      ...this._size(),
      legend: { show: false },
      cursor: { sync: { key: "admin" }, drag: { x: false, y: false }, y: false },
      hooks: { setCursor: [(plot) => this._tell(plot.cursor.idx)] },
      scales: {
        x: { time: true, range: () => [this._until - SECONDS, this._until] },
        y: { range: (_, __, most) => [0, Math.max(least, (most || 0) * 1.1)] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          ticks: grid,
          size: 24,
          space: 60,
          values: (_, at) => at.map((second) => new Date(second * 1000).toTimeString().slice(0, 5)),
        },
        {
          ...axis,
          grid,
          ticks: { show: false },
          size: 62,
          space: 30,
          ...(unit === bytes ? { incrs: BINARY } : {}),
          values: (_, at) => at.map((value) => (value ? unit(value) : "0")),
        },
      ],
      series: [
        {},
        ...lines.map(({ name }, at) => ({
          label: name,
          stroke: colour(`line${at + 1}`),
          width: 1.5,
          ...(lines.length > 1 ? {} : { fill: colour("fill") }),
          points: { show: false },
        })),
      ],
    };
  }
}

/** All charts, and the samples that they show. */
export class Charts {
  private _charts = KINDS.map((kind) => new Chart(kind, element("charts")));
  private _samples: (Sample | undefined)[] = [];
  private _times: number[] = [];

  constructor() {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", () => this._charts.forEach((chart) => chart.build()));
  }

  /** Begin with what the server has kept. */
  begin(history: Sample[]): void {
    this._samples = [];
    this._times = [];
    for (const sample of history) this._keep(sample);
    const last = history.at(-1);
    if (last) this._show(last.time);
  }

  /** Add a sample. */
  add(sample: Sample): void {
    this._keep(sample);
    this._show(sample.time);
  }

  private _keep(sample: Sample): void {
    const before = this._times.at(-1);
    if (before !== undefined && sample.time <= before) return;
    if (before !== undefined && sample.time - before > PAUSE) {
      this._times.push(before + 1);
      this._samples.push(undefined);
    }
    this._times.push(sample.time);
    this._samples.push(sample);
    while (this._times[0]! < sample.time - SECONDS) {
      this._times.shift();
      this._samples.shift();
    }
  }

  private _show(until: number): void {
    for (const chart of this._charts) chart.show(this._samples, this._times, until);
  }
}
