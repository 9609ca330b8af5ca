/**
 * How the dashboard is built: a page of its own files only. It is served by aiohttp under a Content-Security-Policy
 * without exceptions, so nothing inline may be left in the HTML and no style may be written at run time.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const INLINE_SCRIPT = /<script>([\s\S]*?)<\/script>/g

export default defineNuxtConfig({
  compatibilityDate: '2026-11-01',
  ssr: false,
  telemetry: false,
  devtools: { enabled: false },
  modules: ['@nuxt/ui'],
  css: ['~/assets/main.css'],

  app: {
    head: {
      title: 'Trellis',
      htmlAttrs: { lang: 'en' },
      meta: [
        { name: 'viewport', content: 'width=device-width, initial-scale=1, viewport-fit=cover' },
        { name: 'robots', content: 'noindex' },
        { name: 'color-scheme', content: 'dark light' },
      ],
      link: [{ rel: 'icon', type: 'image/svg+xml', href: '/icon.svg' }],
      // Before the first paint, so that a light page does not flash dark.
      script: [{ src: '/theme.js', tagPosition: 'head' }],
    },
  },

  // No fonts from outside, no module that writes an inline script, no icon that is fetched while the page runs.
  ui: { fonts: false, colorMode: false, prose: false, content: false },
  icon: {
    provider: 'none',
    fallbackToApi: false,
    mode: 'svg',
    clientBundle: { scan: true, sizeLimitKb: 256 },
  },

  imports: { presets: [{ from: 'vue-i18n', imports: ['useI18n'] }] },

  features: { inlineStyles: false },
  experimental: {
    entryImportMap: false, // It would be an inline script.
    payloadExtraction: false,
    appManifest: false,
  },

  vite: {
    define: { __VUE_I18N_LEGACY_API__: false, __INTLIFY_PROD_DEVTOOLS__: false },
    build: { chunkSizeWarningLimit: 600 },
    // `nuxt dev` beside a running `trellis up`.
    server: { proxy: { '/api': 'http://127.0.0.1:8787' } },
  },

  nitro: {
    output: { publicDir: join(import.meta.dirname, 'dist') },
    prerender: { routes: ['/'], crawlLinks: false },
    hooks: {
      // The page's start values are the last inline script: they become a file with their hash in its name.
      'prerender:generate'(route, nitro) {
        if (!route.fileName?.endsWith('.html') || !route.contents) return
        route.contents = route.contents.replace(INLINE_SCRIPT, (_, text: string) => {
          const name = `_nuxt/start.${createHash('sha256').update(text).digest('hex').slice(0, 12)}.js`
          const folder = nitro.options.output.publicDir
          mkdirSync(join(folder, '_nuxt'), { recursive: true })
          writeFileSync(join(folder, name), text)
          return `<script src="/${name}"></script>`
        })
      },
    },
  },

  hooks: {
    // Nuxt UI writes its colours into a <style> at run time, which the policy forbids; ours stand in main.css.
    'app:resolve'(app) {
      app.plugins = app.plugins.filter((plugin) => !/ui\/dist\/runtime\/plugins\/colors/.test(plugin.src))
    },
  },

  typescript: { strict: true, tsConfig: { compilerOptions: { noUncheckedIndexedAccess: true } } },
})
