/** Which of the two languages is shown; each is loaded when it is first needed. */
import type { Locale } from '~/types/contract'
import { createI18n } from 'vue-i18n'
import { russianPlural } from '~/utils/plural'

export const LOCALES: Locale[] = ['en', 'ru']

const texts = {
  en: () => import('~/locales/en'),
  ru: () => import('~/locales/ru'),
}

export const i18n = createI18n({
  legacy: false,
  locale: 'en',
  messages: {},
  pluralRules: { ru: russianPlural },
  missingWarn: import.meta.dev,
  fallbackWarn: false,
})

export function useLanguage() {
  const locale = i18n.global.locale as unknown as Ref<Locale>

  /** Show this language and remember it on this device. */
  async function use(wanted: Locale): Promise<void> {
    if (!i18n.global.availableLocales.includes(wanted)) {
      i18n.global.setLocaleMessage(wanted, (await texts[wanted]()).default)
    }
    locale.value = wanted
    localStorage.setItem('locale', wanted)
    document.documentElement.lang = wanted
  }

  /** Begin with the language of this device: the remembered one, else the browser's, else English. */
  async function begin(): Promise<void> {
    const remembered = localStorage.getItem('locale') ?? navigator.language.slice(0, 2)
    await use(remembered === 'ru' ? 'ru' : 'en')
  }

  return { locale, use, begin }
}
