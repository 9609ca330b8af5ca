/**
 * The grid on the candle chart: a faint band from lower to upper, a line per level (buys and sells differ in colour
 * and in dash), and the named prices beside it. Drawn on the chart's own canvas; hundreds of lines cost nothing.
 */
import type {
  AutoscaleInfo,
  IPrimitivePaneRenderer,
  IPrimitivePaneView,
  ISeriesApi,
  ISeriesPrimitive,
  ISeriesPrimitiveAxisView,
  SeriesAttachedParameter,
  SeriesType,
  Time,
} from 'lightweight-charts'

export interface GridLine {
  price: number
  side: 'buy' | 'sell' | null
  /** Whether an order rests there. */
  isLive: boolean
}

export interface NamedLine {
  price: number
  label: string
  colour: string
}

export interface GridPicture {
  lower: number
  upper: number
  lines: GridLine[]
  named: NamedLine[]
  /** The line under the pointer. */
  lit: number | null
}

export interface GridColours {
  band: string
  buy: string
  sell: string
  empty: string
  edge: string
  onEdge: string
}

type Target = Parameters<IPrimitivePaneRenderer['draw']>[0]

export class GridLines implements ISeriesPrimitive<Time> {
  private series: ISeriesApi<SeriesType> | null = null
  private requestUpdate: (() => void) | null = null
  private picture: GridPicture | null = null
  private frozen: AutoscaleInfo | null = null

  constructor(
    private colours: GridColours,
    /** Called whenever the lines may have moved on the screen. */
    private readonly onMoved: () => void,
    private readonly write: (price: number) => string,
  ) {}

  attached(chart: SeriesAttachedParameter<Time>): void {
    this.series = chart.series
    this.requestUpdate = chart.requestUpdate
  }

  detached(): void {
    this.series = this.requestUpdate = null
  }

  show(picture: GridPicture | null): void {
    this.picture = picture
    this.requestUpdate?.()
  }

  paint(colours: GridColours): void {
    this.colours = colours
    this.requestUpdate?.()
  }

  /** Keep the scale still while a handle is dragged: it would run away from the pointer. */
  freeze(range: { from: number; to: number } | null): void {
    this.frozen = range && { priceRange: { minValue: range.from, maxValue: range.to } }
  }

  autoscaleInfo(): AutoscaleInfo | null {
    if (this.frozen) return this.frozen
    const picture = this.picture
    if (!picture || !(picture.upper > picture.lower)) return null
    const named = picture.named.map((each) => each.price)
    return { priceRange: { minValue: Math.min(picture.lower, ...named), maxValue: Math.max(picture.upper, ...named) } }
  }

  updateAllViews(): void {
    this.onMoved()
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return [{ zOrder: () => 'bottom', renderer: () => ({ draw: (target: Target) => this.draw(target) }) }]
  }

  priceAxisViews(): readonly ISeriesPrimitiveAxisView[] {
    const picture = this.picture
    if (!picture) return []
    const edges = [picture.lower, picture.upper].map((price) => this.mark(price, this.colours.edge, this.write(price)))
    return [...edges, ...picture.named.map((each) => this.mark(each.price, each.colour, this.write(each.price)))]
  }

  private mark(price: number, colour: string, text: string): ISeriesPrimitiveAxisView {
    return {
      coordinate: () => this.series?.priceToCoordinate(price) ?? -100,
      text: () => text,
      textColor: () => this.colours.onEdge,
      backColor: () => colour,
    }
  }

  private draw(target: Target): void {
    const { series, picture, colours } = this
    if (!series || !picture) return
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const top = series.priceToCoordinate(picture.upper)
      const bottom = series.priceToCoordinate(picture.lower)
      if (top !== null && bottom !== null && bottom > top) {
        context.fillStyle = colours.band
        context.fillRect(0, top, mediaSize.width, bottom - top)
        const gap = (bottom - top) / Math.max(1, picture.lines.length - 1)
        context.globalAlpha = gap < 3 ? 0.35 : gap < 6 ? 0.6 : 0.9
        picture.lines.forEach((line, index) => this.drawLine(context, mediaSize.width, line, index === picture.lit))
        context.globalAlpha = 1
      }
      picture.named.forEach((named) => this.drawNamed(context, mediaSize.width, named))
    })
  }

  private drawLine(context: CanvasRenderingContext2D, width: number, line: GridLine, isLit: boolean): void {
    const y = this.series?.priceToCoordinate(line.price)
    if (y === null || y === undefined) return
    const { buy, sell, empty } = this.colours
    context.strokeStyle = line.side === 'buy' ? buy : line.side === 'sell' ? sell : empty
    context.lineWidth = isLit ? 2.5 : 1
    // Sells are dashed, so that the two sides differ without colour; a level without an order is dotted.
    context.setLineDash(!line.isLive ? [1, 4] : line.side === 'sell' ? [7, 3] : [])
    stroke(context, Math.round(y) + 0.5, width)
  }

  private drawNamed(context: CanvasRenderingContext2D, width: number, named: NamedLine): void {
    const y = this.series?.priceToCoordinate(named.price)
    if (y === null || y === undefined) return
    context.strokeStyle = named.colour
    context.lineWidth = 1.5
    context.setLineDash([3, 3])
    stroke(context, Math.round(y) + 0.5, width)
    context.setLineDash([])
    context.fillStyle = named.colour
    context.font = '11px system-ui, "DejaVu Sans", sans-serif'
    context.fillText(named.label, 8, y - 4)
  }
}

function stroke(context: CanvasRenderingContext2D, y: number, width: number): void {
  context.beginPath()
  context.moveTo(0, y)
  context.lineTo(width, y)
  context.stroke()
}
