/** Colours of the theme for canvases: the stylesheets speak oklch, the charts want rgb. */

let brush: CanvasRenderingContext2D | null = null

/** Give a custom property such as `--tr-buy` as `rgba(…)`, with another opacity if wanted. */
export function themeColour(property: string, opacity = 1): string {
  const text = getComputedStyle(document.documentElement).getPropertyValue(property).trim()
  brush ??= Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', {
    willReadFrequently: true,
  })
  if (!brush) return 'rgba(128, 128, 128, 1)'
  brush.clearRect(0, 0, 1, 1)
  brush.fillStyle = text || 'gray'
  brush.fillRect(0, 0, 1, 1)
  const [red, green, blue] = brush.getImageData(0, 0, 1, 1).data
  return `rgba(${red}, ${green}, ${blue}, ${opacity})`
}
