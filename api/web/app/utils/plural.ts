/** Choose between `one | few | many`: 1 бот, 3 бота, 11 ботов. */
export function russianPlural(count: number, forms: number): number {
  const [tens, ones] = [Math.abs(count) % 100, Math.abs(count) % 10]
  if (ones === 1 && tens !== 11) return 0
  const few = ones >= 2 && ones <= 4 && (tens < 12 || tens > 14)
  return few ? 1 : Math.min(2, forms - 1)
}
