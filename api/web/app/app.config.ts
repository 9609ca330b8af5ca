// Names only: what the colours are stands in assets/main.css.
export default defineAppConfig({
  ui: {
    colors: {
      primary: 'teal',
      secondary: 'sky',
      success: 'emerald',
      info: 'sky',
      warning: 'amber',
      error: 'rose',
      neutral: 'slate',
    },
    button: { slots: { base: 'min-h-10 md:min-h-9' } },
    input: { slots: { root: 'w-full', base: 'min-h-10 md:min-h-9' } },
    select: { slots: { base: 'min-h-10 md:min-h-9 w-full' } },
  },
})
