// Runs before the first paint: the stored theme, or the one of the system.
(function () {
  var wanted = 'system'
  try {
    wanted = localStorage.getItem('theme') || 'system'
  } catch (refused) {
    // Without storage the system's theme holds.
  }
  var dark = wanted === 'dark' || (wanted !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.className = dark ? 'dark' : 'light'
})()
