// The orders of the bakery, in memory.

export const menu = ['Sourdough loaf', 'Rye bread', 'Baguette', 'Croissant', 'Cinnamon roll', 'Apple tart'] as const
export const statuses = ['ordered', 'baking', 'ready', 'collected'] as const

export type Status = typeof statuses[number]
export interface NewOrder { item: string, quantity: number, customer: string }
export interface Order extends NewOrder { id: number, status: Status, changedBy: string }

const limit = 60

/** A list of orders with some to begin with; the oldest goes when it is full. */
export function createOrderBook () {
  let lastId = 100
  const orders: Order[] = []

  function add (order: NewOrder, by: string, status: Status = 'ordered'): Order {
    const { item, quantity, customer } = order
    const added = { id: ++lastId, item, quantity, customer, status, changedBy: by }
    orders.push(added)
    if (orders.length > limit) orders.shift()
    return added
  }

  add({ item: 'Sourdough loaf', quantity: 2, customer: 'Mrs. Okafor' }, 'alice', 'ready')
  add({ item: 'Croissant', quantity: 12, customer: 'Café Mistral' }, 'bob', 'baking')
  add({ item: 'Apple tart', quantity: 1, customer: 'Jörg & Léa' }, 'alice', 'baking')
  add({ item: 'Cinnamon roll', quantity: 6, customer: 'Maple Street School' }, 'bob')
  add({ item: 'Rye bread', quantity: 1, customer: 'Mr. Lindqvist' }, 'alice')

  return {
    list: (): Order[] => orders,
    add,
    /** The order after the change, or undefined where there is no such order. */
    move (id: number, status: Status, by: string): Order | undefined {
      const order = orders.find((order) => order.id === id)
      return order && Object.assign(order, { status, changedBy: by })
    },
    /** Whether there was such an order, which is gone now. */
    cancel (id: number): boolean {
      const index = orders.findIndex((order) => order.id === id)
      if (index >= 0) orders.splice(index, 1)
      return index >= 0
    },
  }
}
