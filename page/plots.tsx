// The samples of a socket over time, drawn by uPlot.

import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

import type { Sample } from "../src/inspect/protocol.js";
import { byteCountText, clockTime, countText, microsecondsText } from "./format.js";

/** A line of a plot. */
interface Series {
  readonly label: string;
  /** The name of a color of the style sheet. */
  readonly color: string;
  readonly value: (sample: Sample) => number | null;
}

interface Plot {
  readonly title: string;
  readonly hint: string;
  readonly format: (value: number) => string;
  readonly series: readonly Series[];
}

/** The plots, in the order of the page. The first four are of TCP connections. */
const PLOTS: readonly Plot[] = [
  {
    title: "Round-trip time",
    hint: "smoothed, from a segment to its acknowledgement",
    format: microsecondsText,
    series: [{ label: "RTT", color: "--blue", value: (sample) => sample.rtt }],
  },
  {
    title: "Congestion window",
    hint: "segments that may be under way",
    format: countText,
    series: [{ label: "window", color: "--violet", value: (sample) => sample.congestionWindow }],
  },
  {
    title: "Delivery rate",
    hint: "bytes per second that reached the peer, last measured",
    format: (value) => `${byteCountText(value)}/s`,
    series: [{ label: "rate", color: "--green", value: (sample) => sample.deliveryRate }],
  },
  {
    title: "Retransmits",
    hint: "segments sent again, since the start",
    format: countText,
    series: [{ label: "segments", color: "--red", value: (sample) => sample.retransmits }],
  },
  {
    title: "Queues",
    hint: "bytes in the kernel",
    format: byteCountText,
    series: [
      { label: "receive", color: "--blue", value: (sample) => sample.receiveQueue },
      { label: "send", color: "--orange", value: (sample) => sample.sendQueue },
    ],
  },
  {
    title: "Bytes",
    hint: "since the socket was made",
    format: byteCountText,
    series: [
      { label: "received", color: "--blue", value: (sample) => sample.bytesReceived },
      { label: "sent", color: "--orange", value: (sample) => sample.bytesSent },
    ],
  },
];

/** The height of a plot in pixels. */
const HEIGHT = 128;
/** The width of a plot in pixels until the browser has laid out the page. */
const FIRST_WIDTH = 300;
/** The value of a color of the style sheet. */
const colorOf = (element: Element, name: string): string => getComputedStyle(element).getPropertyValue(name).trim();

function optionsFor(element: HTMLElement, plot: Plot, width: number): uPlot.Options {
  const faint = colorOf(element, "--faint");
  const grid = { stroke: colorOf(element, "--line"), width: 1 };
  const axis = { stroke: faint, font: "11px system-ui, sans-serif", grid, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    // The unit of time is a millisecond.
    ms: 1,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { sync: { key: "socket" }, y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: {
      // The range begins at 0. It is not empty even if all values are 0.
      y: { range: (_plot, _low, high) => [0, high > 0 ? high * 1.15 : 1] },
    },
    axes: [
      { ...axis, size: 24, space: 100, values: (_plot, splits) => splits.map(clockTime) },
      {
        ...axis,
        size: 62,
        space: 30,
        // A small fraction, such as half a byte, gets no label.
        values: (_plot, splits) => splits.map((value) => (value % 1 === 0 || value > 10 ? plot.format(value) : "")),
      },
    ],
    series: [
      {},
      ...plot.series.map(({ label, color }) => ({
        label,
        stroke: colorOf(element, color),
        width: 1.5,
        points: { show: false },
      })),
    ],
  };
}

function PlotCard(props: {
  readonly plot: Plot;
  readonly samples: readonly Sample[];
  readonly theme: string;
}): JSX.Element {
  const { plot, samples, theme } = props;
  const place = useRef<HTMLDivElement>(null);
  const drawnPlot = useRef<uPlot>(undefined);
  const data = [
    samples.map(({ time }) => time),
    ...plot.series.map(({ value }) => samples.map(value)),
  ] as uPlot.AlignedData;

  // uPlot gets the colors when the plot is made. So a change of the theme makes the plot again.
  useLayoutEffect(() => {
    const element = place.current!;
    const newPlot = new uPlot(optionsFor(element, plot, element.clientWidth || FIRST_WIDTH), data, element);
    drawnPlot.current = newPlot;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) newPlot.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      newPlot.destroy();
    };
  }, [plot, theme]);
  useEffect(() => drawnPlot.current?.setData(data), [samples, theme]);

  const last = samples.at(-1);
  const currentValues = plot.series.map(({ label, color, value }) => {
    const current = last === undefined ? null : value(last);
    return { label, color, text: current === null ? "–" : plot.format(current) };
  });
  const drawnPoints = samples.filter((sample) => plot.series.some(({ value }) => value(sample) !== null)).length;
  return (
    <figure class="plot">
      <figcaption>
        <span class="plot-title">{plot.title}</span>
        <span class="plot-now">
          {currentValues.map(({ label, color, text }) => (
            <span key={label}>
              <i class="swatch" style={{ background: `var(${color})` }} />
              {currentValues.length > 1 && <span class="faint">{label} </span>}
              <b>{text}</b>
            </span>
          ))}
        </span>
        <span class="plot-hint">{plot.hint}</span>
      </figcaption>
      <div
        ref={place}
        class="plot-place"
        role="img"
        data-points={drawnPoints}
        aria-label={`${plot.title} over time; now ${currentValues.map(({ label, text }) => `${label} ${text}`).join(", ")}`}
      />
    </figure>
  );
}

export function Plots({
  samples,
  theme,
}: {
  readonly samples: readonly Sample[];
  readonly theme: string;
}): JSX.Element {
  const plots = PLOTS.filter(({ series }) =>
    series.some(({ value }) => samples.some((sample) => value(sample) !== null)),
  );
  const hasTcpSamples = samples.some(({ rtt }) => rtt !== null);
  if (plots.length === 0) return <p class="faint">The first sample comes within a second.</p>;
  return (
    <>
      <div class="plots">
        {plots.map((plot) => (
          <PlotCard key={plot.title} plot={plot} samples={samples} theme={theme} />
        ))}
      </div>
      {!hasTcpSamples && (
        <p class="faint">The kernel has round-trip time, window, rate and retransmits only of TCP connections.</p>
      )}
    </>
  );
}
