/** A diagram as text becomes SVG. */
export function draw (text: string): string
