// Numbers as people read them.
import { language } from "./words.js";

/** A share; rounded towards doubt, so that what is not quite certain is never shown as 100 %. */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  const digits = share > 0.995 && share < 1 ? 1 : 0;
  const floored = Math.floor(share * 100 * 10 ** digits + 1e-9) / 10 ** digits;
  const form = { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language(), form).format(floored / 100);
}

/** A share as it was measured. */
export const share = (value, digits = 0) =>
  value === null || value === undefined ? "–" :
    new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: digits }).format(value);

export const count = (value) => new Intl.NumberFormat(language()).format(value);

export function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 60) return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

const measured = (value) => new Intl.NumberFormat(language(), { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);

export const mb = (value) => `${measured(value)} MB`;

export const milliseconds = (value) => `${measured(value)} ms`;
