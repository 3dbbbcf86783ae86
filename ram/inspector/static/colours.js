// Colours: red raises the value, blue lowers it; perceptually even ones for inputs. As the report's.

const RDBU = ["#053061", "#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"];
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];
const GREYS = ["#ffffff", "#f0f0f0", "#d9d9d9", "#bdbdbd", "#969696", "#737373", "#525252"];

function ramp(stops) {
  const colours = new Uint8Array(256 * 3);
  const parts = stops.map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  for (let step = 0; step < 256; step++) {
    const at = (step / 255) * (stops.length - 1);
    const low = Math.min(Math.floor(at), stops.length - 2);
    for (let part = 0; part < 3; part++) {
      colours[3 * step + part] = Math.round(parts[low][part] + (at - low) * (parts[low + 1][part] - parts[low][part]));
    }
  }
  return colours;
}

export const DIVERGING = ramp(RDBU);
export const SEQUENTIAL = ramp(VIRIDIS);
export const GREY = ramp(GREYS);

export function css(colours, share) {
  const at = 3 * Math.max(0, Math.min(255, Math.round(255 * share)));
  return `rgb(${colours[at]},${colours[at + 1]},${colours[at + 2]})`;
}

/** Return a colour of the page by its name: "--ink". */
export const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
