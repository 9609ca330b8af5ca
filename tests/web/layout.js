// Find text that is cut off, or that lies on other text, in what a reader looks at: an open dialog, else the page.
() => {
  const scope = document.querySelector('[role=dialog]') ?? document.body
  const covers = (element) => element.closest('.sr-only, .skip, .truncate, [aria-hidden=true], nav.fixed, [data-test=notice], [data-test^=handle]')
  const texts = []
  const walker = document.createTreeWalker(scope, NodeFilter.SHOW_TEXT)
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const holder = node.parentElement
    if (!node.data.trim() || covers(holder) || holder.closest('script, style, option, thead')) continue
    if (!holder.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) continue
    const range = document.createRange()
    range.selectNodeContents(node)
    for (const box of range.getClientRects()) if (box.width > 1) texts.push({ holder, box, words: node.data.trim() })
  }

  const problems = new Set()
  const isScrolled = (overflow) => overflow === 'auto' || overflow === 'scroll'
  // What is scrolled out of sight lies on nothing.
  const seen = ({ holder, box }) => {
    let { left, right, top, bottom } = box
    for (let around = holder; around && around !== document.body; around = around.parentElement) {
      if (getComputedStyle(around).overflowY === 'visible') continue
      const limit = around.getBoundingClientRect()
      left = Math.max(left, limit.left)
      right = Math.min(right, limit.right)
      top = Math.max(top, limit.top)
      bottom = Math.min(bottom, limit.bottom)
    }
    return { left, right, top, bottom }
  }
  for (const { holder, box, words } of texts) {
    for (let around = holder; around && around !== document.body; around = around.parentElement) {
      const { overflowX } = getComputedStyle(around)
      if (isScrolled(overflowX)) break
      const limit = around.getBoundingClientRect()
      if (overflowX !== 'visible' && (box.right > limit.right + 1 || box.left < limit.left - 1)) {
        problems.add(`cut off: ${words}`)
        break
      }
    }
  }
  const boxes = texts.map((text) => ({ ...seen(text), words: text.words }))
  boxes.forEach((one, index) => {
    for (const other of boxes.slice(index + 1)) {
      const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left)
      const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top)
      if (wide > 1 && high > 4) problems.add(`${one.words} lies on ${other.words}`)
    }
  })
  return [...problems]
}
