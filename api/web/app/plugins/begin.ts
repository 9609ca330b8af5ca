/** Before the first page: language, theme, the site and who is signed in. */
export default defineNuxtPlugin({
  name: 'begin',
  async setup(nuxtApp) {
    nuxtApp.vueApp.use(i18n)
    useTheme().begin()
    await useLanguage().begin()
    try {
      await useSession().load()
    } catch {
      // The server does not answer: app.vue says so and tries again.
    }
  },
})
