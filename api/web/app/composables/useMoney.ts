/**
 * Amounts, prices and shares in the reader's language. Everything comes in and stays a decimal string;
 * Intl formats such strings exactly.
 */
import { places, round, sign } from '~/utils/decimal'

/** Coins that are counted in cents; others show what they need, up to eight places. */
const CENTS = new Set(['USDT', 'USDC', 'USD', 'EUR', 'DAI', 'FDUSD', 'USDE'])
const PLACES_MAX = 8

interface Shape {
  /** Show + as well as −. */
  signed?: boolean
  /** Exactly so many places. */
  places?: number
}

export function useMoney() {
  const { locale } = useLanguage()

  /** A bare number, with the thin marks of the language: 1,234.50 or 1 234,50. */
  function number(value: string, shape: Shape = {}): string {
    const wanted = shape.places ?? Math.min(places(value), PLACES_MAX)
    const rounded = round(value, wanted)
    const format = numberFormat(locale.value, {
      minimumFractionDigits: wanted,
      maximumFractionDigits: wanted,
      signDisplay: shape.signed ? 'exceptZero' : 'negative',
      useGrouping: 'always' as never,
    })
    return format.format(rounded as Intl.StringNumericLiteral).replace('-', '−')
  }

  /** An amount with its coin: 1,234.50 USDT. Small amounts of a dollar keep what makes them more than nothing. */
  function amount(value: string, coin: string, shape: Shape = {}): string {
    return `${number(value, { ...shape, places: shape.places ?? amountPlaces(value, coin) })}\u00a0${coin}`
  }

  /** A share given as a fraction: "0.0123" is 1.23 %. */
  function percent(fraction: string, shape: Shape = {}): string {
    return `${number(multiply(fraction, '100'), { places: 2, ...shape })}\u00a0%`
  }

  /** The class that colours a gain or a loss; the sign itself always stands beside it. */
  function tone(value: string): string {
    return { '-1': 'text-loss', '0': 'text-muted', '1': 'text-gain' }[String(sign(value)) as '-1' | '0' | '1']
  }

  return { number, amount, percent, tone }
}

function amountPlaces(value: string, coin: string): number {
  if (!CENTS.has(coin)) return Math.min(places(value), PLACES_MAX)
  // 0.0042 USDT of profit is not 0.00.
  return sign(value) !== 0 && sign(round(value, 2)) === 0 ? 4 : 2
}
