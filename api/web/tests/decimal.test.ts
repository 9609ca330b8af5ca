/** The arithmetic of the pages: exact, whatever the size of the number. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { add, compare, divide, isDecimal, multiply, negate, places, round, subtract } from '../app/utils/decimal.ts'

test('sums of tenths are exact', () => {
  assert.equal(add('0.1', '0.2'), '0.3')
  assert.equal(subtract('0.3', '0.1'), '0.2')
})

test('numbers beyond the doubles keep every digit', () => {
  assert.equal(add('9007199254740993.000000000000000001', '1'), '9007199254740994.000000000000000001')
  assert.equal(multiply('123456789.123456789', '1000000000'), '123456789123456789')
})

test('halves are rounded away from zero, on both sides', () => {
  assert.equal(round('1.005', 2), '1.01')
  assert.equal(round('-1.005', 2), '-1.01')
  assert.equal(round('0.0049', 2), '0.00')
  assert.equal(round('1.5', 0), '2')
  assert.equal(round('1.5', 3), '1.500')
})

test('a quotient is cut, not rounded', () => {
  assert.equal(divide('2', '3', 4), '0.6666')
  assert.equal(divide('-2', '3', 4), '-0.6666')
})

test('order and sign do not depend on how a number is written', () => {
  assert.equal(compare('1.0', '1'), 0)
  assert.equal(compare('-0.5', '0'), -1)
  assert.equal(compare('1e3', '999.9'), 1)
  assert.equal(negate('0'), '0')
})

test('places are those that the number needs', () => {
  assert.equal(places('0.0100'), 2)
  assert.equal(places('1e-8'), 8)
  assert.equal(places('100'), 0)
})

test('what is no number is told from what is one', () => {
  assert.ok(isDecimal('-0.5') && isDecimal('.5') && isDecimal('5.'))
  assert.ok(!isDecimal('') && !isDecimal('.') && !isDecimal('1,5') && !isDecimal('NaN'))
})
