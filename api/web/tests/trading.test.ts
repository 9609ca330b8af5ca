/** What people type, what the server says, where days begin. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { dayStart } from '../app/utils/days.ts'
import { emptyForm, readNumber, toConfig } from '../app/utils/gridForm.ts'
import { recognise, recogniseLevel } from '../app/utils/serverWords.ts'

test('numbers are read as people of both languages type them, and stay texts', () => {
  const typed = { '61 500,5': '61500.5', '61,500.50': '61500.50', ' 12 ': '12', '.5': '0.5', '7.': '7', '0,001': '0.001' }
  for (const [text, number] of Object.entries(typed)) assert.equal(readNumber(text), number)
  for (const text of ['', 'abc', '1.2.3', '-5', '1e5', '12 USDT']) assert.equal(readNumber(text), null)
})

test('a form becomes a config without a float, or names what is missing', () => {
  const form = { ...emptyForm(), symbol: 'BTCUSDT', amount: '0,1', lower: '58 600', upper: '64200.10', grids: '15' }
  const read = toConfig(form)
  assert.ok('config' in read)
  assert.equal(read.config.amount, '0.1')
  assert.equal(read.config.upper, '64200.10')
  assert.equal(read.config.grids, 15)
  assert.equal(read.config.stop_loss, null)
  assert.deepEqual(toConfig({ ...form, grids: '15.5', lower: '' }), { missing: ['lower', 'grids'] })
  const stopLoss = { isOn: true, price: '', action: 'close' as const }
  assert.deepEqual(toConfig({ ...form, stopLoss }), { missing: ['stop_loss'] })
})

test('sentences of the server are found by their form, with what fills them', () => {
  assert.deepEqual(recognise('waits for 61250.5'), { key: 'waits_for_price', gaps: { price: '61250.5' } })
  assert.equal(recognise('sell 0.0016 at 61945.18 (maker), fee 0.0998 USDT')?.key, 'filled')
  assert.equal(recognise('sell 0.0016 at 61945.18')?.gaps.price, '61945.18')
  assert.equal(recognise('stopped: emergency stop')?.gaps.text, 'emergency stop')
  assert.equal(recognise('outside the window of 20 live orders nearest the price')?.gaps.n, '20')
  assert.equal(recognise('something nobody has ever said'), null)
})

test('the purpose of a level is read with its state', () => {
  assert.deepEqual(recogniseLevel('opens interval -3'), { opens: true, state: null, behind: null })
  assert.equal(recogniseLevel('closes interval 12; being cancelled')?.state, 'being cancelled')
  assert.equal(recogniseLevel('opens interval 4, 2 tick(s) behind its level after a post-only refusal')?.behind, '2')
  assert.equal(recogniseLevel('the bot is paused'), null)
})

test('every sentence that is recognised has words in both languages', () => {
  const source = readFileSync(new URL('../app/utils/serverWords.ts', import.meta.url), 'utf8')
  const keys = [...source.matchAll(/\/, '(\w+)'\]/g)].map((found) => found[1]!)
  assert.ok(keys.length > 40)
  for (const locale of ['en', 'ru']) {
    const file = new URL(`../app/locales/${locale}/server.json`, import.meta.url)
    const texts = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>
    assert.deepEqual(keys.filter((key) => !texts[key]), [], locale)
  }
})

test('a day begins at midnight of the zone, also when its clocks change', () => {
  assert.equal(dayStart('2026-11-22', 'UTC'), Date.UTC(2026, 10, 22))
  assert.equal(dayStart('2026-11-22', 'Europe/Moscow'), Date.UTC(2026, 10, 21, 21))
  assert.equal(dayStart('2026-03-29', 'Europe/Berlin'), Date.UTC(2026, 2, 28, 23))
  assert.equal(dayStart('2026-03-29', 'Europe/Berlin', 1), Date.UTC(2026, 2, 29, 22))
  assert.equal(dayStart('yesterday', 'UTC'), undefined)
})
