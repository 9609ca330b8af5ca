/** Intl's formats, each made once: making one costs a hundred times what using it does, and a list uses hundreds. */

const numbers = new Map<string, Intl.NumberFormat>()
const dates = new Map<string, Intl.DateTimeFormat>()

export function numberFormat(locale: string, shape: Intl.NumberFormatOptions): Intl.NumberFormat {
  return kept(numbers, locale, shape, () => new Intl.NumberFormat(locale, shape))
}

export function dateFormat(locale: string, shape: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return kept(dates, locale, shape, () => new Intl.DateTimeFormat(locale, shape))
}

function kept<T>(formats: Map<string, T>, locale: string, shape: object, make: () => T): T {
  const key = locale + JSON.stringify(shape)
  const found = formats.get(key) ?? make()
  formats.set(key, found)
  return found
}
