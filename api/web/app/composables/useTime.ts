/** Moments and durations in the reader's language and time zone. The zone is always told. */

const MINUTE_MS = 60_000

export function useTime() {
  const { locale } = useLanguage()
  const { user } = useSession()
  const zone = computed(() => user.value?.time_zone || Intl.DateTimeFormat().resolvedOptions().timeZone)

  /** 22 Nov 2026, 14:02:11 GMT+3 */
  function moment(ms: number): string {
    return write(ms, { dateStyle: undefined, ...DATE, ...CLOCK, timeZoneName: 'short' })
  }

  /** 14:02:11 today, with the date on other days. Put `moment` into the title. */
  function clock(ms: number): string {
    const isToday = write(ms, DATE) === write(Date.now(), DATE)
    return write(ms, isToday ? CLOCK : { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' })
  }

  function date(ms: number): string {
    return write(ms, DATE)
  }

  /** 3 d 4 h, 12 min, 5 s: the two largest units. */
  function duration(ms: number): string {
    const { t } = i18n.global
    const parts: [number, string][] = [
      [Math.floor(ms / (1440 * MINUTE_MS)), 'common.days'],
      [Math.floor(ms / (60 * MINUTE_MS)) % 24, 'common.hours'],
      [Math.floor(ms / MINUTE_MS) % 60, 'common.minutes'],
      [Math.floor(ms / 1000) % 60, 'common.seconds'],
    ]
    const first = parts.findIndex(([count]) => count > 0)
    if (first < 0) return t('common.seconds', { n: 0 })
    const shown = parts.slice(first, first + 2).filter(([count]) => count > 0)
    return shown.map(([n, key]) => t(key, { n })).join(' ')
  }

  /** How long ago: 5 min ago. */
  function ago(ms: number): string {
    const passed = Date.now() - ms
    return passed < 5000 ? i18n.global.t('common.just_now') : i18n.global.t('common.ago', { time: duration(passed) })
  }

  function write(ms: number, shape: Intl.DateTimeFormatOptions): string {
    return dateFormat(locale.value, { ...shape, timeZone: zone.value }).format(ms)
  }

  return { zone, moment, clock, date, duration, ago }
}

const DATE: Intl.DateTimeFormatOptions = { year: 'numeric', month: 'short', day: 'numeric' }
const CLOCK: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }
