/** The file of a dashboard, by the types that Grafana publishes for the programs that write one. */

import type { Dashboard, FieldConfig, FieldConfigSource, Panel } from "@grafana/grafana-foundation-sdk/dashboard";
import type { dataquery } from "@grafana/grafana-foundation-sdk/prometheus";
import type { Options as StatOptions } from "@grafana/grafana-foundation-sdk/stat";
import type { FieldConfig as Drawing, Options as SeriesOptions } from "@grafana/grafana-foundation-sdk/timeseries";

/** A value as JSON has it: the text of an enumeration instead of its member, and no methods. */
type Written<T> = T extends string
  ? `${T}`
  : T extends (infer E)[]
    ? Written<E>[]
    : T extends object
      ? { [K in keyof T as NonNullable<T[K]> extends (...given: never[]) => unknown ? never : K]: Written<T[K]> }
      : T;

/** A panel of a kind whose options and settings of fields are known. Grafana's own type takes any. */
type PanelOf<Kind extends string, Options, Custom> = Omit<Panel, "type" | "options" | "fieldConfig" | "targets"> & {
  type: Kind;
  options: Options;
  fieldConfig: Omit<FieldConfigSource, "defaults"> & { defaults: Omit<FieldConfig, "custom"> & { custom?: Custom } };
  targets: dataquery[];
};

type AnyPanel = PanelOf<"stat", StatOptions, never> | PanelOf<"timeseries", SeriesOptions, Drawing>;

export type File = Written<Omit<Dashboard, "panels"> & { panels: AnyPanel[] }>;
