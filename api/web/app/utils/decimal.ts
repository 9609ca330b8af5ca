/**
 * Exact arithmetic on decimal strings, as the API writes amounts. No floats: 0.1 + 0.2 is "0.3" here.
 */

interface Scaled {
  units: bigint
  scale: number
}

const FORM = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/

/** Whether the text is a number that the functions below take. */
export function isDecimal(text: string): boolean {
  const found = FORM.exec(text.trim())
  return found !== null && Boolean(found[2] || found[3])
}

function read(text: string): Scaled {
  const found = FORM.exec(text.trim())
  if (!found || !(found[2] || found[3])) throw new Error(`not a decimal: ${text}`)
  const [, sign, whole = '', fraction = '', exponent = '0'] = found
  const units = BigInt((sign === '-' ? '-' : '') + (whole + fraction || '0'))
  const scale = fraction.length - Number(exponent)
  return scale >= 0 ? { units, scale } : { units: units * 10n ** BigInt(-scale), scale: 0 }
}

function write({ units, scale }: Scaled): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const fraction = scale ? digits.slice(-scale).replace(/0+$/, '') : ''
  return (units < 0n ? '-' : '') + whole + (fraction && `.${fraction}`)
}

function align(first: string, second: string): [bigint, bigint, number] {
  const [a, b] = [read(first), read(second)]
  const scale = Math.max(a.scale, b.scale)
  return [a.units * 10n ** BigInt(scale - a.scale), b.units * 10n ** BigInt(scale - b.scale), scale]
}

export function add(first: string, second: string): string {
  const [a, b, scale] = align(first, second)
  return write({ units: a + b, scale })
}

export function subtract(first: string, second: string): string {
  const [a, b, scale] = align(first, second)
  return write({ units: a - b, scale })
}

export function multiply(first: string, second: string): string {
  const [a, b] = [read(first), read(second)]
  return write({ units: a.units * b.units, scale: a.scale + b.scale })
}

/** Divide, cut after `places` decimal places (towards zero). */
export function divide(first: string, second: string, places = 12): string {
  const [a, b] = align(first, second)
  return write({ units: (a * 10n ** BigInt(places)) / b, scale: places })
}

/** -1, 0 or 1. */
export function compare(first: string, second: string): -1 | 0 | 1 {
  const [a, b] = align(first, second)
  return a < b ? -1 : a > b ? 1 : 0
}

export function sign(value: string): -1 | 0 | 1 {
  return compare(value, '0')
}

export function negate(value: string): string {
  const { units, scale } = read(value)
  return write({ units: -units, scale })
}

/** Round half away from zero to `places` decimal places, and keep them all: round("1.5", 2) is "1.50". */
export function round(value: string, places: number): string {
  const { units, scale } = read(value)
  let rounded = units * 10n ** BigInt(Math.max(0, places - scale))
  if (scale > places) {
    const unit = 10n ** BigInt(scale - places)
    const half = unit / 2n
    rounded = (units + (units < 0n ? -half : half)) / unit
  }
  const digits = (rounded < 0n ? -rounded : rounded).toString().padStart(places + 1, '0')
  const cut = digits.length - places
  return (rounded < 0n ? '-' : '') + digits.slice(0, cut) + (places ? `.${digits.slice(cut)}` : '')
}

/** How many decimal places the text needs: "0.0100" needs 2. */
export function places(value: string): number {
  return write(read(value)).split('.')[1]?.length ?? 0
}

/** Only for drawing: a pixel needs no more. */
export function toPixelNumber(value: string): number {
  return Number(value)
}

/** The nearest multiple of `step`: snap("101.37", "0.5") is "101.5". */
export function snap(value: string, step: string): string {
  const [a, b, scale] = align(value, step)
  if (b === 0n) return value
  const half = b / 2n
  const count = a < 0n ? (a - half) / b : (a + half) / b
  return write({ units: count * b, scale })
}

export function absolute(value: string): string {
  return sign(value) < 0 ? negate(value) : value
}
