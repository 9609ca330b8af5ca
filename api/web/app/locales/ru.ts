/** Every section of this language; the file's name is the first word of its keys. */
const files = import.meta.glob('./ru/*.json', { eager: true, import: 'default' }) as Record<string, object>

export default Object.fromEntries(
  Object.entries(files).map(([path, texts]) => [path.replace(/^.*\/(\w+)\.json$/, '$1'), texts]),
)
