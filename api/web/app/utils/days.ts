/** Days as the reader's time zone has them. */

/** The first moment of a day such as 2026-11-22 (or of a day some days later) in a zone; undefined if it is none. */
export function dayStart(day: string, zone: string, later = 0): number | undefined {
  const found = /^(\d{4})-(\d{2})-(\d{2})$/.exec(day)
  if (!found) return undefined
  const utc = Date.UTC(Number(found[1]), Number(found[2]) - 1, Number(found[3]) + later)
  // Asked twice: the first answer may lie on the other side of a change of clocks.
  return utc - ahead(utc - ahead(utc, zone), zone)
}

/** The first moment of today in a zone. */
export function dayBegan(zone: string): number {
  const now = Date.now()
  const today = new Date(now + ahead(now, zone)).toISOString().slice(0, 10)
  return dayStart(today, zone) ?? now
}

/** How far the clocks of a zone are ahead of UTC at a moment. */
function ahead(at: number, zone: string): number {
  const parts = new Intl.DateTimeFormat('en', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(at)
  const of = (type: string) => Number(parts.find((part) => part.type === type)?.value)
  const wall = Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'))
  return wall - Math.floor(at / 1000) * 1000
}
