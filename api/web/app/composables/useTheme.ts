/** Light, dark, or as the system says. The same rule runs before the first paint in public/theme.js. */
import type { Theme } from '~/types/contract'

const wanted = ref<Theme>('system')
const isDark = ref(true)
let system: MediaQueryList | null = null

export function useTheme() {
  /** Apply the theme and remember it on this device. */
  function use(theme: Theme): void {
    wanted.value = theme
    localStorage.setItem('theme', theme)
    paint()
  }

  /** Take what theme.js has already painted, and follow the system from now on. */
  function begin(): void {
    wanted.value = (localStorage.getItem('theme') as Theme | null) ?? 'system'
    system = matchMedia('(prefers-color-scheme: dark)')
    system.addEventListener('change', paint)
    paint()
  }

  return { wanted: readonly(wanted), isDark: readonly(isDark), use, begin }
}

function paint(): void {
  isDark.value = wanted.value === 'dark' || (wanted.value === 'system' && (system?.matches ?? true))
  const root = document.documentElement
  root.classList.toggle('dark', isDark.value)
  root.classList.toggle('light', !isDark.value)
}
