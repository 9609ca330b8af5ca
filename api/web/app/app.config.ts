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
    dropdownMenu: { slots: { item: 'min-h-10 items-center md:min-h-8' } },
    selectMenu: { slots: { item: 'min-h-10 items-center md:min-h-8' } },
    input: { slots: { root: 'w-full', base: 'min-h-10 md:min-h-9' } },
    select: { slots: { base: 'min-h-10 md:min-h-9 w-full', item: 'min-h-10 items-center md:min-h-8' } },
  },
})
