/** The create form's values: what a person types, and the GridConfig that it means. All numbers are texts. */
import type { Direction, GridConfig, PaidIn, PriceStop, Spacing, StopAction } from '~/types/trading'

export interface StopForm {
  isOn: boolean
  price: string
  action: StopAction
}

export interface GridForm {
  account: string
  symbol: string
  direction: Direction
  amount: string
  paidIn: PaidIn
  baseAmount: string
  lower: string
  upper: string
  grids: string
  spacing: Spacing
  leverage: string
  triggerPrice: string
  stopLoss: StopForm
  takeProfit: StopForm
  targetProfit: string
  trailingUpLimit: string
  trailingDownLimit: string
  postOnly: boolean
  liveOrders: string
  reinvest: boolean
  name: string
}

export function emptyForm(): GridForm {
  return {
    account: '',
    symbol: '',
    direction: 'spot',
    amount: '',
    paidIn: 'quote',
    baseAmount: '',
    lower: '',
    upper: '',
    grids: '',
    spacing: 'arithmetic',
    leverage: '1',
    triggerPrice: '',
    stopLoss: { isOn: false, price: '', action: 'close' },
    takeProfit: { isOn: false, price: '', action: 'close' },
    targetProfit: '',
    trailingUpLimit: '',
    trailingDownLimit: '',
    postOnly: true,
    liveOrders: '',
    reinvest: false,
    name: '',
  }
}

/** Read a number as people type it, "1 234,5" or "1,234.5"; null if it is none. */
export function readNumber(text: string): string | null {
  let bare = text.replace(/[\s\u00a0\u202f_]/g, '')
  // A lone comma is a decimal point; commas before a point divide thousands.
  bare = bare.includes('.') ? bare.replace(/,/g, '') : bare.replace(',', '.')
  return /^\d*\.?\d+$|^\d+\.$/.test(bare) ? bare.replace(/\.$/, '').replace(/^\./, '0.') : null
}

const NUMBERS: [keyof GridForm, string, boolean][] = [
  ['amount', 'amount', true],
  ['lower', 'lower', true],
  ['upper', 'upper', true],
  ['grids', 'grids', true],
  ['leverage', 'leverage', true],
  ['baseAmount', 'base_amount', false],
  ['triggerPrice', 'trigger_price', false],
  ['targetProfit', 'target_profit', false],
  ['trailingUpLimit', 'trailing_up_limit', false],
  ['trailingDownLimit', 'trailing_down_limit', false],
  ['liveOrders', 'live_orders', false],
]

const WHOLE = new Set(['grids', 'leverage', 'live_orders'])

/** Turn the form into a config, or name the fields that are not numbers yet. */
export function toConfig(form: GridForm): { config: GridConfig } | { missing: string[] } {
  const read: Record<string, string | number | null> = {}
  const missing: string[] = []
  for (const [key, field, isNeeded] of NUMBERS) {
    const text = (form[key] as string).trim()
    const number = text ? readNumber(text) : null
    const isWhole = !WHOLE.has(field) || (number !== null && /^\d{1,9}$/.test(number))
    if (text ? number === null || !isWhole : isNeeded) missing.push(field)
    read[field] = number !== null && WHOLE.has(field) ? Number(number) : number
  }
  const stops: Record<string, PriceStop | null> = {}
  for (const [field, stop] of [['stop_loss', form.stopLoss], ['take_profit', form.takeProfit]] as const) {
    const price = stop.isOn ? readNumber(stop.price) : null
    if (stop.isOn && price === null) missing.push(field)
    stops[field] = price === null ? null : { price, action: stop.action }
  }
  if (!form.symbol) missing.push('symbol')
  if (missing.length) return { missing }
  const config = {
    symbol: form.symbol,
    direction: form.direction,
    spacing: form.spacing,
    paid_in: form.paidIn,
    post_only: form.postOnly,
    reinvest: form.reinvest,
    ...read,
    ...stops,
    base_amount: form.paidIn === 'both' ? read.base_amount : null,
  }
  return { config: config as unknown as GridConfig }
}

/** Fill the form with a config; what the config does not say stays. */
export function fill(form: GridForm, config: GridConfig): void {
  Object.assign(form, {
    symbol: config.symbol,
    direction: config.direction,
    amount: config.amount,
    paidIn: config.paid_in,
    baseAmount: config.base_amount ?? '',
    lower: config.lower,
    upper: config.upper,
    grids: String(config.grids),
    spacing: config.spacing,
    leverage: String(config.leverage),
    triggerPrice: config.trigger_price ?? '',
    stopLoss: stopForm(config.stop_loss),
    takeProfit: stopForm(config.take_profit),
    targetProfit: config.target_profit ?? '',
    trailingUpLimit: config.trailing_up_limit ?? '',
    trailingDownLimit: config.trailing_down_limit ?? '',
    postOnly: config.post_only,
    liveOrders: config.live_orders === null ? '' : String(config.live_orders),
    reinvest: config.reinvest,
  })
}

function stopForm(stop: PriceStop | null): StopForm {
  return { isOn: stop !== null, price: stop?.price ?? '', action: stop?.action ?? 'close' }
}

/** Where the levels will lie, before the server has said it: for the lines of a chart only. */
export function sketchLevels(lower: string, upper: string, grids: number, spacing: Spacing, digits: number): string[] {
  const [low, high] = [toPixelNumber(lower), toPixelNumber(upper)]
  if (!(low > 0 && high > low) || !(grids >= 2 && grids <= 500)) return []
  return Array.from({ length: grids + 1 }, (_, index) => {
    const share = index / grids
    return (spacing === 'geometric' ? low * (high / low) ** share : low + (high - low) * share).toFixed(digits)
  })
}
