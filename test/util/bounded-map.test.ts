import t from 'tap'
import { BoundedMap } from '../../lib/util/bounded-map.ts'

t.test('one entry too many drops the one that was set the longest time ago', async (t) => {
  const dropped: [string, number][] = []
  const map = new BoundedMap<string, number>(2, (...entry) => { dropped.push(entry) })
  map.set('a', 1).set('b', 2).set('a', 3).set('c', 4)
  t.strictSame([...map], [['a', 3], ['c', 4]])
  t.strictSame(dropped, [['b', 2]])
})

t.test('what is deleted makes room and is not reported as dropped', async (t) => {
  const dropped: string[] = []
  const map = new BoundedMap<string, number>(1, (key) => { dropped.push(key) })
  map.set('a', 1)
  map.delete('a')
  map.set('b', 2)
  t.strictSame([...map.keys()], ['b'])
  t.strictSame(dropped, [])
})

t.test('entries that are set again or deleted meanwhile are passed by', async (t) => {
  const dropped: string[] = []
  const map = new BoundedMap<string, number>(2, (key) => { dropped.push(key) })
  map.set('a', 1).set('b', 2).set('c', 3).set('b', 4).set('d', 5)
  map.delete('b')
  map.set('e', 6).set('d', 7).set('f', 8).set('g', 9)
  t.strictSame([...map.keys()], ['f', 'g'])
  t.strictSame(dropped, ['a', 'c', 'e', 'd'])
})
